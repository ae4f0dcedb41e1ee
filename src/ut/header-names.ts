/**
 * Header names, judged by what some server makes of them. CGI-like interfaces turn hyphens, underscores and dots into
 * one character, so two names are look-alikes when their letters and digits agree.
 */
export const foldName = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]/g, '')

/** Names that only an authentication proxy may write; a UE that does is lying. */
export function claimsIdentity(name: string): boolean {
  const folded = foldName(name)
  if (folded === 'x3gppintendedidentity') return name.toLowerCase() !== 'x-3gpp-intended-identity'
  return IDENTITY_CLAIMS.has(folded)
}

/** Whether a header of the UE may go on to an application server. */
export function forwardable(name: string): boolean {
  return PLAIN.test(name) && !claimsIdentity(name) && !REQUEST_FAMILIES.test(name) && !NOT_FORWARDED.has(foldName(name))
}

/** Whether a header of an application server may go back to the UE. */
export function returnable(name: string): boolean {
  return PLAIN.test(name) && !claimsIdentity(name) && !RESPONSE_FAMILIES.test(name) && !NOT_RETURNED.has(foldName(name))
}

/** Headers of which a request has one at most: a server that reads the first and one that reads the last must agree. */
export const SINGLE: ReadonlySet<string> = new Set([
  'content-type',
  'content-range',
  'content-disposition',
  'content-location',
  'date',
  'if-modified-since',
  'if-range',
  'if-unmodified-since',
  'range',
  'user-agent',
])

/** Words between single hyphens: a name with anything else in it has look-alikes, and no client needs it. */
const PLAIN = /^[a-z0-9]+(?:-[a-z0-9]+)*$/i

function folded(names: string): ReadonlySet<string> {
  return new Set(names.trim().split(/\s+/).map(foldName))
}

function startingWith(families: string): RegExp {
  return new RegExp(`^(?:${families.trim().split(/\s+/).join('|')})`, 'i')
}

const IDENTITY_CLAIMS = folded(`
  X-3GPP-Asserted-Identity X-3GPP-Authorization-Flags X-3GPP-Authorisation-Flags
  X-XCAP-Asserted-Identity P-Asserted-Identity
`)

const HOP_BY_HOP = `Connection Keep-Alive TE Trailer Transfer-Encoding Upgrade HTTP2-Settings`

/**
 * 3GPP, OMA and SIP identity headers, those of proxies, and the customary ways to tell a server another user, client
 * address, path or method than the request's own.
 */
const REQUEST_FAMILIES = startingWith(`
  3gpp p- proxy remote client-cert ssl cf- fastly
  x-?3gpp x-?xcap x-?akma x-?forwarded x-?original x-?rewrite x-?remote x-?auth x-?user(?!-agent) x-?client x-?ssl x-?tls
  x-?cert x-?envoy x-?amzn x-?goog x-?accel x-?http-?method x-?method x-?msisdn x-?imsi x-?impi x-?impu x-?up- x-?wap
  x-?nokia x-?h3g
`)

/** Cookies too: one host name serves several application servers, and none may see another's. */
const NOT_FORWARDED = folded(`
  ${HOP_BY_HOP} Host Content-Length Expect Authorization Authentication-Info WWW-Authenticate Cookie Cookie2 Set-Cookie
  X-3GPP-Intended-Identity From Via Forwarded X-Real-IP X-Host X-Cluster-Client-IP True-Client-IP X-ProxyUser-IP
  MSISDN Identity Identity-Info X-Identity X-Network-Info X-Request-ID X-Correlation-ID Traceparent Tracestate Baggage
  Destination Front-End-Https
`)

const RESPONSE_FAMILIES = startingWith('3gpp p- proxy x-?3gpp x-?xcap x-?akma x-?accel x-?sendfile x-?envoy')

/** Credentials and challenges are the proxy's; `Server` carries GBA tokens; Alt-Svc would lead the UE past the proxy. */
const NOT_RETURNED = folded(`
  ${HOP_BY_HOP} Authorization Authentication-Info WWW-Authenticate Set-Cookie Set-Cookie2 Server Via X-Powered-By
  X-Request-ID Alt-Svc Refresh Strict-Transport-Security
`)
