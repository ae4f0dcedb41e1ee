import { claimsIdentity, foldedNames, foldName, HOP_BY_HOP, isPlainName, startingWith } from '../core/header-names.ts'
import { Memo } from '../core/memo.ts'

/** All that a header name decides. */
export interface HeaderTraits {
  /** In lower case. */
  readonly key: string
  /** A UE that sends it asserts an identity or flags itself. */
  readonly claimsIdentity: boolean
  readonly forwardable: boolean
  readonly returnable: boolean
  /** It is in `PASSED_OUTSIDE`. */
  readonly passedOutside: boolean
  /** It is in `SINGLE`. */
  readonly single: boolean
}

/** What a name decides, which for the names that come in every request is remembered. */
export const traitsOf = (name: string): HeaderTraits => TRAITS.of(name)

const TRAITS = new Memo<HeaderTraits>(
  (name) => {
    const key = name.toLowerCase()
    return {
      key,
      claimsIdentity: claimsIdentity(name),
      forwardable: forwardable(name),
      returnable: returnable(name),
      passedOutside: PASSED_OUTSIDE.has(key),
      single: SINGLE.has(key),
    }
  },
  { most: 1_000, longest: 64 },
)

/** Whether a header of the UE may go on to an application server. */
export function forwardable(name: string): boolean {
  const folded = foldName(name)
  return (
    isPlainName(name) &&
    !claimsIdentity(name) &&
    !REQUEST_FAMILIES.test(name) &&
    !IDENTITY_LOOK_ALIKES.test(folded) &&
    !NOT_FORWARDED.has(folded)
  )
}

/** Whether a header of an application server may go back to the UE. */
export function returnable(name: string): boolean {
  return (
    isPlainName(name) && !claimsIdentity(name) && !RESPONSE_FAMILIES.test(name) && !NOT_RETURNED.has(foldName(name))
  )
}

/**
 * What an application server outside the trust domain gets of the UE's headers: what the representation is, what is
 * wanted of it, and on what conditions. A closed list, for no search finds what is hidden in a header of unknown
 * meaning, and what identifies a device is unknown to us.
 */
export const PASSED_OUTSIDE: ReadonlySet<string> = new Set([
  'accept',
  'accept-charset',
  'accept-encoding',
  'accept-language',
  'cache-control',
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-range',
  'content-type',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'pragma',
  'range',
  'user-agent',
])

/** Headers without which the request would do something else than the UE asked for. */
export const changesMeaning = (name: string): boolean => /^(?:if-|range$|content-)/.test(name)

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

/**
 * 3GPP, OMA and SIP identity headers, those of proxies, and the customary ways to tell a server another user, client
 * address, path or method than the request's own.
 */
const REQUEST_FAMILIES = startingWith(`
  3gpp p- proxy remote client-cert client-ip ssl cf- fastly shib oidc mellon iv- sm-?user wl-
  x-?consumer x-?principal x-?subject x-?webauth x-?jwt x-?forward-
  x-?3gpp x-?xcap x-?akma x-?forwarded x-?original x-?rewrite x-?remote x-?auth x-?user(?!-agent) x-?client x-?ssl x-?tls
  x-?cert x-?envoy x-?amzn x-?goog x-?accel x-?http-?method x-?method x-?msisdn x-?imsi x-?impi x-?impu x-?up- x-?wap
  x-?nokia x-?h3g
`)

/** The identity families once more, with their hyphens anywhere. */
const IDENTITY_LOOK_ALIKES = startingWith('x?3gpp xxcap xakma passerted ppreferred xmsisdn ximsi ximpi ximpu')

/** Cookies too: one host name serves several application servers, and none may see another's. */
const NOT_FORWARDED = foldedNames(`
  ${HOP_BY_HOP} Host Content-Length Expect Authorization Authentication-Info WWW-Authenticate Cookie Cookie2 Set-Cookie
  X-3GPP-Intended-Identity From Via Forwarded X-Real-IP X-Host X-Cluster-Client-IP True-Client-IP X-ProxyUser-IP
  MSISDN Identity Identity-Info X-Identity X-Network-Info X-Request-ID X-Correlation-ID Traceparent Tracestate Baggage
  Destination Front-End-Https User Username Content-Location
`)

const RESPONSE_FAMILIES = startingWith('3gpp p- proxy x-?3gpp x-?xcap x-?akma x-?accel x-?sendfile x-?envoy')

/** Credentials and challenges are the proxy's; `Server` carries GBA tokens; Alt-Svc would lead the UE past the proxy. */
/** Deviation: Kamailio (2026) tells in `Sia` which address it saw, which is ours. */
const NOT_RETURNED = foldedNames(`
  ${HOP_BY_HOP} Authorization Authentication-Info WWW-Authenticate Set-Cookie Set-Cookie2 Server Via X-Powered-By
  X-Request-ID Alt-Svc Refresh Strict-Transport-Security Sia
`)
