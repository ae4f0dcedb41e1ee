import { type Fqdn, parseFqdn } from './fqdn.ts'

/** What of a SIP URI names somebody. Port, parameters and headers say how to reach them, and are checked and dropped. */
export interface SipUri {
  readonly scheme: 'sip' | 'sips'
  /** Letter case kept; escapes of unreserved characters resolved, all others with upper-case digits. */
  readonly user: string
  readonly host: Fqdn
}

/**
 * Reads a SIP or SIPS URI with a user part and a host name.
 * Reading: port, parameters and headers do not tell identities apart (the practical rule for public identities), though
 * clause 19.1.4 compares them. So `sip:+1@home;user=phone` is `sip:+1@home`; it is never `tel:+1`.
 * Reading: a password, an IPv6 host and an escaped control character have no place in a public identity.
 * @returns undefined for anything else than such a URI
 * @see RFC 3261 clause 19.1.1
 */
export function parseSipUri(text: string): SipUri | undefined {
  const [, scheme, userText, hostText, tail] = /^(sips?):([^@:]+)@([^@:;?]+)([^@]*)$/i.exec(text) ?? []
  if (scheme === undefined || userText === undefined || hostText === undefined || tail === undefined) return undefined
  const user = canonicalUser(userText)
  const host = parseFqdn(hostText)
  if (user === undefined || host === undefined || !TAIL.test(tail)) return undefined
  return { scheme: scheme.toLowerCase() === 'sips' ? 'sips' : 'sip', user, host }
}

/**
 * Whether a text is a SIP or SIPS URI that reads as itself: nothing in it is escaped, in another letter case than the
 * canonical one, or would be dropped. False tells nothing.
 * @see RFC 3261 clause 19.1.1
 */
export function isCanonicalSipUri(text: string): boolean {
  const at = text.indexOf('@')
  return CANONICAL_START.test(text) && parseFqdn(text.slice(at + 1)) === text.slice(at + 1)
}

const CANONICAL_START = /^sips?:[A-Za-z0-9\-_.!~*'()&=+$,;?/]+@/
const UNRESERVED = String.raw`A-Za-z0-9\-_.!~*'()`
const ESCAPE = '%[0-9A-Fa-f]{2}'
const PARAMETER = String.raw`(?:[${UNRESERVED}\[\]/:&+$]|${ESCAPE})+`
const HEADER = String.raw`(?:[${UNRESERVED}\[\]/?:+$]|${ESCAPE})`

const USER = new RegExp(`^(?:[${UNRESERVED}&=+$,;?/]|${ESCAPE})+$`)
const TAIL = new RegExp(
  String.raw`^(?::\d{1,5})?(?:;${PARAMETER}(?:=${PARAMETER})?)*(?:\?${HEADER}+=${HEADER}*(?:&${HEADER}+=${HEADER}*)*)?$`,
)
const UNESCAPED = new RegExp(`[${UNRESERVED}]`)

function canonicalUser(text: string): string | undefined {
  if (!USER.test(text) || /%(?:[01]|7f)/i.test(text)) return undefined
  return text.replace(/%[0-9a-f]{2}/gi, (octet) => {
    const character = String.fromCharCode(Number.parseInt(octet.slice(1), 16))
    return UNESCAPED.test(character) ? character : octet.toUpperCase()
  })
}
