import type { X509Certificate } from 'node:crypto'
import type { EpochMs } from '../core/bytes.ts'
import { type Impi, type Impu, isTemporaryImpu, parseFqdn, parseImpi, parseImpu, parseTmpi } from '../core/identity.ts'
import { isWildcarded } from '../core/wildcard.ts'

/** What a client certificate says of its holder. That its chain is right has been checked in the handshake. */
export interface PeerCertificate {
  /** As RFC 4514 writes it, the last component first: what `openssl x509 -subject -nameopt RFC2253` prints. */
  readonly subject: string
  /** As node:crypto writes it; only to be compared with the subject of a CA, written the same way. */
  readonly issuer: string
  /** Of its subjectAltName, those that can name somebody, in canonical form. */
  readonly sans: readonly San[]
  /** Public identities among the URIs, in their order. */
  readonly impus: readonly Impu[]
  /** From an e-mail address that has the form of one. */
  readonly impi?: Impi
  /** SHA-256 of the whole, upper-case hex with colons. */
  readonly fingerprint256: string
  /** Upper-case hex. */
  readonly serialNumber: string
  readonly validFrom: EpochMs
  readonly validTo: EpochMs
  /** Why its names cannot be relied upon: such a certificate opens nothing. It has no `sans` then. */
  readonly fault?: string
}

export type SanType = 'URI' | 'DNS' | 'email'
export interface San {
  readonly type: SanType
  /** Compared octet by octet. */
  readonly value: string
}

const MOST_SANS = 64

/**
 * Reads a client certificate whose chain is known to be right.
 * Reading: a URI of the schemes sip, sips and tel is a public identity, and one that cannot be used as such spoils the
 * certificate. A private identity has no URI of its own; it stands as an e-mail address, the only name there of the
 * form user@domain.
 * @see RFC 5280 clause 4.2.1.6
 */
export function readPeerCertificate(x509: X509Certificate): PeerCertificate {
  const names = readNames(x509.subjectAltName ?? '')
  const none = { sans: [], impus: [] }
  return {
    // Node has none where a certificate names its holder in the SAN alone, whatever its types say.
    subject: distinguishedName((x509.subject as string | undefined) ?? ''),
    issuer: x509.issuer,
    ...(typeof names === 'string' ? { ...none, fault: names } : names),
    fingerprint256: x509.fingerprint256,
    serialNumber: x509.serialNumber,
    validFrom: Date.parse(x509.validFrom),
    validTo: Date.parse(x509.validTo),
  }
}

/**
 * The one form in which a name of a certificate is compared.
 * @returns undefined for what is not of this type, or has characters that two readers could take differently
 * @see RFC 5280 clause 7
 */
export function canonicalSan(type: SanType, text: string): San | undefined {
  if (text.length > 512 || !/^[\x21-\x7e]+$/.test(text)) return undefined
  const value = CANONICAL[type](text)
  return value === undefined ? undefined : { type, value }
}

/**
 * The one form in which a subject is compared, from a text in the form of RFC 4514; blanks around the separators are
 * dropped.
 * @returns undefined for what is not such a name, or not of printable ASCII characters
 * @see RFC 4514 clause 3
 */
export function canonicalSubject(text: string): string | undefined {
  if (text.length > 1024 || !/^[\x20-\x7e]+$/.test(text)) return undefined
  const parts = splitUnescaped(text).map((part) => /^ *([A-Za-z][A-Za-z0-9-]*|[0-9.]+) *= *(.*)$/.exec(part))
  const named = parts.map((match) => match && `${match[1]}=${withoutTrailingBlanks(match[2] ?? '')}`)
  return named.length > 0 && named.every((part) => part !== null) ? named.join(',') : undefined
}

const CANONICAL: Readonly<Record<SanType, (text: string) => string | undefined>> = {
  URI: (text) =>
    PUBLIC_SCHEME.test(text) ? parseImpu(text) : /^[A-Za-z][A-Za-z0-9+.-]*:/.test(text) ? text : undefined,
  DNS: (text) => parseFqdn(text.replace(/^\*\./, '')) && text.toLowerCase(),
  email: (text) => {
    const at = text.lastIndexOf('@')
    const domain = parseFqdn(text.slice(at + 1))
    return at < 1 || domain === undefined ? undefined : `${text.slice(0, at)}@${domain}`
  },
}

const PUBLIC_SCHEME = /^(?:sips?|tel):/i

/** @returns why they cannot be relied upon, where they cannot */
function readNames(text: string): Pick<PeerCertificate, 'sans' | 'impus' | 'impi'> | string {
  const entries = splitAltName(text)
  if (entries === undefined) return 'its alternative names cannot be told apart'
  if (entries.length > MOST_SANS) return `more than ${MOST_SANS} alternative names`
  const sans: San[] = []
  for (const { type, value } of entries) {
    if (type !== 'URI' && type !== 'DNS' && type !== 'email') continue
    const san = canonicalSan(type, value)
    if (san === undefined) return `an alternative name of type ${type} is malformed`
    sans.push(san)
  }
  const impus = unique(sans.flatMap(({ type, value }) => (type === 'URI' && parseImpu(value)) || []))
  if (impus.some(isTemporaryImpu)) return 'names a temporary identity'
  if (impus.some(isWildcarded)) return 'names a wildcarded identity'
  const emails = unique(sans.flatMap(({ type, value }) => (type === 'email' ? [value] : [])))
  if (emails.some(parseTmpi)) return 'names a temporary identity'
  const [impi, ...more] = emails.flatMap((email) => parseImpi(email) ?? [])
  if (more.length > 0) return 'names two private identities'
  return { sans, impus, ...(impi !== undefined && { impi }) }
}

/**
 * Splits what node:crypto makes of a subjectAltName. A value with a comma, a quotation mark, a backslash or a character
 * that is not printable ASCII stands there as a JSON string, so that no value can pass for two.
 */
function splitAltName(text: string): { type: string; value: string }[] | undefined {
  const entries: { type: string; value: string }[] = []
  ENTRY.lastIndex = 0
  while (ENTRY.lastIndex < text.length) {
    const [, type, quoted, bare = '', separator] = ENTRY.exec(text) ?? []
    if (type === undefined) return undefined
    entries.push({ type, value: quoted === undefined ? bare : String(JSON.parse(quoted)) })
    // One behind the limit is enough to see that there are too many.
    if (entries.length > MOST_SANS) return entries
    if (separator === ', ' && ENTRY.lastIndex === text.length) return undefined
  }
  return entries
}

const ENTRY =
  /(URI|DNS|email|IP Address|DirName|Registered ID|othername|X400Name|EdiPartyName):(?:("(?:[^"\\\x00-\x1f]|\\["\\]|\\u[0-9a-f]{4})*")|([^",\\'\x00-\x1f]*))(, |$)/y

/** From the form of node:crypto: a component a line, the first one first, ` + ` within a component of several. */
const distinguishedName = (lines: string): string =>
  lines
    .split('\n')
    .reverse()
    .map((line) => line.split(' + ').reverse().join('+'))
    .join(',')

/** At commas that no backslash precedes; nothing where that leaves an empty part. */
function splitUnescaped(text: string): string[] {
  const parts = text.match(/(?:[^,\\]|\\.)+/g) ?? []
  return parts.join(',') === text ? parts : []
}

const withoutTrailingBlanks = (value: string): string => {
  let end = value.length
  while (end > 0 && value[end - 1] === ' ' && value[end - 2] !== '\\') end--
  return value.slice(0, end)
}

const unique = <Item>(items: readonly Item[]): Item[] => [...new Set(items)]
