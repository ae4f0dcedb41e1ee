/**
 * Header names, judged by what some server makes of them. CGI-like interfaces turn hyphens, underscores and dots into
 * one character, so two names are look-alikes when their letters and digits agree.
 */
export const foldName = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]/g, '')

export function foldedNames(names: string): ReadonlySet<string> {
  return new Set(names.trim().split(/\s+/).map(foldName))
}

export function startingWith(families: string): RegExp {
  return new RegExp(`^(?:${families.trim().split(/\s+/).join('|')})`, 'i')
}

/** Words between single hyphens: a name with anything else in it has look-alikes, and no client needs it. */
export const isPlainName = (name: string): boolean => PLAIN.test(name)

/** Names that only an authentication proxy may write; a UE that does is lying. */
export function claimsIdentity(name: string): boolean {
  const folded = foldName(name)
  if (folded === 'x3gppintendedidentity') return name.toLowerCase() !== 'x-3gpp-intended-identity'
  return IDENTITY_CLAIMS.has(folded)
}

export const HOP_BY_HOP = `Connection Keep-Alive TE Trailer Transfer-Encoding Upgrade HTTP2-Settings`

/**
 * Why an operator may not add this header to every request for an application server; undefined: they may.
 * Not for adding are names that tell an identity, frame the message, concern one hop, carry credentials (a file that
 * many can read is no place for them), or say what only the UE knows of its own message.
 * @returns completes a sentence that begins with the name
 */
export function faultOfFixedHeader(name: string, value: string): string | undefined {
  if (!PLAIN.test(name) || name.length > 64) return 'is no plain header name: words of letters and digits with hyphens'
  const folded = foldName(name)
  if (claimsIdentity(name) || IDENTITY_FAMILIES.test(name) || IDENTITY_NAMES.has(folded)) return 'tells an identity'
  if (NOT_FIXED.has(folded) || /^(?:proxy|content|if)-/i.test(name)) return 'is for the proxy or the UE to write'
  if (!/^[\x21-\x7e](?:[\x20-\x7e]{0,1022}[\x21-\x7e])?$/.test(value))
    return 'needs printable ASCII, at most 1024 of it'
  return undefined
}

const PLAIN = /^[a-z0-9]+(?:-[a-z0-9]+)*$/i

const IDENTITY_CLAIMS = foldedNames(`
  X-3GPP-Asserted-Identity X-3GPP-Authorization-Flags X-3GPP-Authorisation-Flags
  X-XCAP-Asserted-Identity P-Asserted-Identity
`)

const IDENTITY_FAMILIES = startingWith(`
  3gpp p- remote-user x-?3gpp x-?xcap x-?akma x-?remote-user x-?auth x-?user(?!-agent)
  x-?msisdn x-?imsi x-?impi x-?impu x-?up-
`)

const IDENTITY_NAMES = foldedNames(`From MSISDN Identity Identity-Info X-Identity X-Network-Info`)

const NOT_FIXED = foldedNames(`
  ${HOP_BY_HOP} Host Content-Length Expect Range Authorization Authentication-Info WWW-Authenticate
  Cookie Cookie2 Set-Cookie X-Request-ID
`)
