import type { X509Certificate } from 'node:crypto'
import { ConfigError } from '../config/config-error.ts'
import type { EpochMs } from '../core/bytes.ts'
import { INTEGER, readDer, readDerInside, readDerTime } from './der.ts'
import { readFile, type Warn } from './files.ts'

/** Certificate revocation lists of one file. */
export interface Crls {
  /** Each list by itself: OpenSSL as Node calls it reads the first of a text and leaves the others. */
  readonly pems: readonly string[]
  /** When the first of them is too old to be believed. */
  readonly expiresAt: EpochMs | undefined
  readonly content: Buffer
}

/**
 * Reads lists of revoked certificates in PEM, and compares whose they are with the CAs that count. Their signatures
 * are checked where they are used, in the handshake.
 * @param warn told of a list of a foreign CA, which is idle, and of a CA without a list: everybody whom it certified
 *   is refused
 * @throws ConfigError naming the file
 * @see RFC 5280 section 5.1 (2008)
 */
export function readCrls(file: string, cas: readonly X509Certificate[], warn: Warn): Crls {
  const content = readFile(file)
  const pems = content.toString('latin1').match(/-----BEGIN X509 CRL-----[^-]+-----END X509 CRL-----/g) ?? []
  if (pems.length === 0) throw new ConfigError({ file }, 'holds no PEM certificate revocation list')
  const lists = pems.map((pem) => {
    const list = parseCrl(Buffer.from(pem.replace(/-----[^-]+-----/g, ''), 'base64'))
    if (!list) throw new ConfigError({ file }, 'holds a certificate revocation list that cannot be parsed')
    return list
  })
  const subjects = cas.map((ca) => ({ subject: ca.subject, der: subjectOf(ca) }))
  for (const { issuer } of lists) {
    if (!subjects.some(({ der }) => der?.equals(issuer))) warn(file, 'holds a list of a CA that is not among ours')
  }
  for (const { subject, der } of subjects) {
    if (!lists.some(({ issuer }) => der?.equals(issuer)))
      warn(file, `holds no list of ${subject}: all it issued is refused`)
  }
  const ends = lists.flatMap(({ nextUpdate }) => nextUpdate ?? [])
  return { pems, expiresAt: ends.length > 0 ? Math.min(...ends) : undefined, content }
}

interface Crl {
  /** DER of the Name: compared octet by octet, as RFC 5280 lets a CA rely on. */
  readonly issuer: Buffer
  readonly nextUpdate: EpochMs | undefined
}

function parseCrl(der: Uint8Array): Crl | undefined {
  const [list, ...behind] = readDer(der) ?? []
  const [tbsCertList, , signature, ...others] = readDerInside(list) ?? []
  const fields = readDerInside(tbsCertList) ?? []
  const [, issuer, thisUpdate, nextUpdate] = fields[0]?.tag === INTEGER ? fields.slice(1) : fields
  if (behind.length > 0 || others.length > 0 || !signature || !issuer) return undefined
  if (readDerInside(issuer) === undefined || readDerTime(thisUpdate) === undefined) return undefined
  return { issuer: Buffer.from(issuer.whole), nextUpdate: readDerTime(nextUpdate) }
}

function subjectOf(certificate: X509Certificate): Buffer | undefined {
  const [whole] = readDer(certificate.raw) ?? []
  const [tbsCertificate] = readDerInside(whole) ?? []
  const fields = readDerInside(tbsCertificate) ?? []
  const [, , , , subject] = fields[0]?.tag === VERSION ? fields.slice(1) : fields
  return subject && Buffer.from(subject.whole)
}

/** Explicit [0]. */
const VERSION = 0xa0
