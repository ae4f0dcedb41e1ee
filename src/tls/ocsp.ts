import type { X509Certificate } from 'node:crypto'
import { ConfigError } from '../config/config-error.ts'
import type { EpochMs } from '../core/bytes.ts'
import { type DerElement, ENUMERATED, INTEGER, OCTET_STRING, readDer, readDerInside, readDerTime } from './der.ts'
import { readFile, type Warn } from './files.ts'

/** What a CA says of a certificate of ours, for clients that want to hear it in the handshake. */
export interface Staple {
  readonly content: Buffer
  /** undefined: it is not to be stapled. */
  readonly response: Buffer | undefined
  readonly expiresAt: EpochMs | undefined
}

/**
 * Reads an OCSP response in DER. One that is none of this certificate, or does not call it good, is not stapled: after
 * a renewal the response comes later than the certificate, and must not keep it from its use.
 * @throws ConfigError naming the file, where there is no successful response in it
 * @see RFC 6960 section 4.2.1 (2013)
 */
export function readStaple(file: string, certificate: X509Certificate, warn: Warn): Staple {
  const content = readFile(file)
  const singles = parseOcspResponse(content)
  if (!singles) throw new ConfigError({ file }, 'holds no successful OCSP response in DER')
  const ours = singles.find(({ serialNumber }) => serialNumber === BigInt(`0x${certificate.serialNumber}`))
  if (!ours) warn(file, 'is of another certificate, and is not stapled')
  else if (!ours.isGood) warn(file, 'does not call the certificate good, and is not stapled')
  return { content, response: ours?.isGood ? content : undefined, expiresAt: ours?.nextUpdate }
}

interface SingleResponse {
  readonly serialNumber: bigint
  readonly isGood: boolean
  readonly nextUpdate: EpochMs | undefined
}

function parseOcspResponse(der: Uint8Array): SingleResponse[] | undefined {
  const [response, ...behind] = readDer(der) ?? []
  const [status, responseBytes] = readDerInside(response) ?? []
  if (behind.length > 0 || status?.tag !== ENUMERATED || status.content.length !== 1 || status.content[0] !== 0) {
    return undefined
  }
  const [typed] = readDerInside(responseBytes, EXPLICIT_0) ?? []
  const [type, octets] = readDerInside(typed) ?? []
  if (!type || !ID_PKIX_OCSP_BASIC.equals(type.whole) || octets?.tag !== OCTET_STRING) return undefined
  const [basic] = readDer(octets.content) ?? []
  const [responseData] = readDerInside(basic) ?? []
  const fields = readDerInside(responseData) ?? []
  const [, , responses] = fields[0]?.tag === EXPLICIT_0 ? fields.slice(1) : fields
  const singles = readDerInside(responses)?.map(parseSingle)
  return singles?.every((single) => single !== undefined) ? singles : undefined
}

function parseSingle(element: DerElement): SingleResponse | undefined {
  const [certId, certStatus, thisUpdate, next] = readDerInside(element) ?? []
  const serial = readDerInside(certId)?.[3]
  if (serial?.tag !== INTEGER || serial.content.length === 0 || !certStatus) return undefined
  if (readDerTime(thisUpdate) === undefined) return undefined
  const [nextUpdate] = readDerInside(next, EXPLICIT_0) ?? []
  return {
    serialNumber: BigInt(`0x${Buffer.from(serial.content).toString('hex')}`),
    isGood: certStatus.tag === GOOD,
    nextUpdate: readDerTime(nextUpdate),
  }
}

const EXPLICIT_0 = 0xa0
/** Implicit [0]. */
const GOOD = 0x80
/** 1.3.6.1.5.5.7.48.1.1 */
const ID_PKIX_OCSP_BASIC = Buffer.from('06092b0601050507300101', 'hex')
