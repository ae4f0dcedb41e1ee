import { createPrivateKey, sign, verify, X509Certificate } from 'node:crypto'
import type { EpochMs } from '../core/bytes.ts'
import { concat, fromHex, toHex } from '../core/bytes.ts'
import { type DerElement, INTEGER, OCTET_STRING, readDer, readDerInside, readDerTime, SEQUENCE } from './der.ts'
import type { Issued } from './issue.ts'

/** What one CA has taken back. */
export interface RevocationList {
  /** Grows with every list of a CA. */
  readonly number: number
  readonly thisUpdate: EpochMs
  /** From then on nobody believes the list, and with it no certificate of the CA. */
  readonly nextUpdate: EpochMs
  /** When, by serial number in upper-case hex. */
  readonly revoked: ReadonlyMap<string, EpochMs>
}

/**
 * A list in PEM, signed by the CA with SHA-256. Test material, as the CA is.
 * @see RFC 5280 section 5 (2008)
 */
export function formatRevocationList(ca: Issued, { number, thisUpdate, nextUpdate, revoked }: RevocationList): string {
  const { subject, subjectKeyIdentifier } = namesOfCa(new X509Certificate(ca.certificate))
  const entries = [...revoked].map(([serialNumber, at]) =>
    element(SEQUENCE, element(INTEGER, fromHex(serialNumber)), time(at)),
  )
  const extensions = [
    ...(subjectKeyIdentifier
      ? [extension(AUTHORITY_KEY_IDENTIFIER, element(SEQUENCE, element(KEY_IDENTIFIER, subjectKeyIdentifier)))]
      : []),
    extension(CRL_NUMBER, integer(number)),
  ]
  const tbsCertList = element(
    SEQUENCE,
    integer(1), // version 2
    SHA256_WITH_RSA,
    subject,
    time(thisUpdate),
    time(nextUpdate),
    // where nothing is revoked, the list of entries has to be absent
    ...(entries.length > 0 ? [element(SEQUENCE, ...entries)] : []),
    element(EXTENSIONS, element(SEQUENCE, ...extensions)),
  )
  const signature = sign('sha256', tbsCertList, createPrivateKey(ca.key))
  const der = element(SEQUENCE, tbsCertList, SHA256_WITH_RSA, element(BIT_STRING, Uint8Array.of(0), signature))
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  return `-----BEGIN X509 CRL-----\n${lines.join('\n')}\n-----END X509 CRL-----\n`
}

/**
 * Reads a list that `formatRevocationList` made.
 * @param ca  certificate of the CA, PEM
 * @returns undefined for any other list, and for one that this CA has not signed
 * @see RFC 5280 section 5.1 (2008)
 */
export function parseRevocationList(pem: string, ca: string): RevocationList | undefined {
  const [, base64 = ''] = /^-----BEGIN X509 CRL-----([^-]+)-----END X509 CRL-----\s*$/.exec(pem) ?? []
  const [tbsCertList, , signature] = readDerInside(readDer(Buffer.from(base64, 'base64'))?.[0]) ?? []
  if (tbsCertList === undefined || signature?.tag !== BIT_STRING) return undefined
  const certificate = new X509Certificate(ca)
  if (!verify('sha256', tbsCertList.whole, certificate.publicKey, signature.content.subarray(1))) return undefined
  const [, , issuer, thisUpdate, nextUpdate, ...rest] = readDerInside(tbsCertList) ?? []
  const from = readDerTime(thisUpdate)
  const to = readDerTime(nextUpdate)
  const number = crlNumberIn(rest.find(({ tag }) => tag === EXTENSIONS))
  const revoked = (readDerInside(rest.find(({ tag }) => tag === SEQUENCE)) ?? []).map(entryOf)
  if (from === undefined || to === undefined || number === undefined) return undefined
  if (toHex(issuer?.whole ?? new Uint8Array()) !== toHex(namesOfCa(certificate).subject)) return undefined
  return {
    number,
    thisUpdate: from,
    nextUpdate: to,
    revoked: new Map(revoked.flatMap((entry) => (entry ? [entry] : []))),
  }
}

function entryOf(entry: DerElement): [string, EpochMs] | undefined {
  const [serialNumber, at] = readDerInside(entry) ?? []
  const revokedAt = readDerTime(at)
  if (serialNumber?.tag !== INTEGER || revokedAt === undefined) return undefined
  return [toHex(serialNumber.content).toUpperCase(), revokedAt]
}

function crlNumberIn(extensions: DerElement | undefined): number | undefined {
  const all = readDerInside(readDerInside(extensions, EXTENSIONS)?.[0]) ?? []
  const found = all.map((one) => readDerInside(one)).find((fields) => isOid(fields?.[0], CRL_NUMBER))
  const [number] = readDer(found?.[1]?.content ?? new Uint8Array()) ?? []
  const value = number?.tag === INTEGER ? Number(`0x${toHex(number.content)}`) : Number.NaN
  return Number.isSafeInteger(value) ? value : undefined
}

/** Subject as the CA wrote it, octet by octet, and the identifier of its key, if it says one. */
function namesOfCa(certificate: X509Certificate): { subject: Uint8Array; subjectKeyIdentifier?: Uint8Array } {
  const [tbsCertificate] = readDerInside(readDer(certificate.raw)?.[0]) ?? []
  const fields = readDerInside(tbsCertificate) ?? []
  const extensions = readDerInside(
    fields.find(({ tag }) => tag === CERTIFICATE_EXTENSIONS),
    CERTIFICATE_EXTENSIONS,
  )
  const all = readDerInside(extensions?.[0])?.map((one) => readDerInside(one)) ?? []
  const value = all.find((parts) => isOid(parts?.[0], SUBJECT_KEY_IDENTIFIER))?.at(-1)
  const [identifier] = readDer(value?.content ?? new Uint8Array()) ?? []
  const subject = fields[5]
  if (!subject) throw new RangeError('not a certificate')
  const hasOne = identifier?.tag === OCTET_STRING
  return { subject: subject.whole, ...(hasOne && { subjectKeyIdentifier: identifier.content }) }
}

const isOid = (element: DerElement | undefined, oid: Uint8Array): boolean =>
  toHex(element?.whole ?? new Uint8Array()) === toHex(oid)

function element(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const content = concat(...parts)
  const { length } = content
  if (length < 0x80) return concat(Uint8Array.of(tag, length), content)
  const hex = length.toString(16)
  const octets = fromHex(hex.padStart(hex.length + (hex.length % 2), '0'))
  return concat(Uint8Array.of(tag, 0x80 + octets.length), octets, content)
}

/** Positive: an octet of zero goes before a first bit of one. */
function integer(value: number): Uint8Array {
  const hex = value.toString(16)
  const octets = fromHex(hex.padStart(hex.length + (hex.length % 2), '0'))
  return element(INTEGER, (octets[0] ?? 0) < 0x80 ? octets : concat(Uint8Array.of(0), octets))
}

/** UTCTime, whose years end in 2049, and GeneralizedTime from there on. */
function time(at: EpochMs): Uint8Array {
  const digits = new Date(at).toISOString().replace(/\.\d+|[-:T]/g, '')
  return digits < '2050' ? element(UTC_TIME, ascii(digits.slice(2))) : element(GENERALIZED_TIME, ascii(digits))
}

const extension = (oid: Uint8Array, value: Uint8Array): Uint8Array =>
  element(SEQUENCE, oid, element(OCTET_STRING, value))

const ascii = (text: string): Uint8Array => Buffer.from(text, 'latin1')

const BIT_STRING = 0x03
const UTC_TIME = 0x17
const GENERALIZED_TIME = 0x18
/** Explicit [0] of a list, explicit [3] of a certificate. */
const EXTENSIONS = 0xa0
const CERTIFICATE_EXTENSIONS = 0xa3
const KEY_IDENTIFIER = 0x80
// OIDs with their identifier octet and length
const SUBJECT_KEY_IDENTIFIER = fromHex('0603551d0e')
const AUTHORITY_KEY_IDENTIFIER = fromHex('0603551d23')
const CRL_NUMBER = fromHex('0603551d14')
/** AlgorithmIdentifier 1.2.840.113549.1.1.11, parameters NULL. */
const SHA256_WITH_RSA = fromHex('300d06092a864886f70d01010b0500')
