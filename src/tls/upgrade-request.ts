import { type Fqdn, parseFqdn } from '../core/fqdn.ts'
import { headerValues, type RawHeaders } from '../core/headers.ts'

/** `upgrade`: 426, and 101 to who asks for TLS. `redirect`: 308 to https, and no upgrade. */
export type ClearMode = 'upgrade' | 'redirect'

export interface ClearPolicy {
  readonly mode: ClearMode
  /** Where the redirect leads; undefined: 443. */
  readonly httpsPort?: number | undefined
  /** Whether this host name, in lower case, is one of ours. */
  readonly nafs: (host: string) => boolean
}

export interface RequestHead {
  readonly method: string
  /** Request target, undecoded. */
  readonly target: string
  /** As `1.1`. */
  readonly httpVersion: string
  readonly rawHeaders: RawHeaders
}

/** What a request that came without TLS gets. `isLast`: and the connection ends. */
export type ClearAnswer =
  /** `replay`: octets of the same request, for the inside of TLS; `host`: the name it is for. */
  | { readonly status: 101; readonly replay: Buffer; readonly host: Fqdn }
  | { readonly status: 308; readonly location: string; readonly isLast: boolean; readonly detail: string }
  | { readonly status: 426; readonly isLast: boolean; readonly detail: string }
  | { readonly status: 400; readonly isLast: true; readonly detail: string }

/** What both 426 and 101 name: TLS/1.2 stands for 1.2 or later, as the TLS/1.0 of a client stands for any. */
export const UPGRADE_OFFERED = 'TLS/1.2, HTTP/1.1'

/**
 * Judges a request that came without TLS by its head. Nothing of it is served: credentials are not looked at, and they
 * are not taken along into TLS either, for whoever listened has them as well.
 * Reading: only what is safe is answered within TLS, since nobody knows who wrote what came before it.
 * @see RFC 2817 section 3, section 4 (2000)
 */
export function answerInClear(head: RequestHead, policy: ClearPolicy): ClearAnswer {
  if (head.httpVersion !== '1.1' && head.httpVersion !== '1.0') return malformed(`HTTP/${head.httpVersion}`)
  const hosts = headerValues(head.rawHeaders, 'host')
  if (hosts.length !== 1) return malformed(`${hosts.length} Host headers`)
  const host = hostOf(hosts[0] ?? '')
  if (!host || !policy.nafs(host)) return malformed('Host is no NAF of ours')
  const isLast = endsConnection(head)
  if (policy.mode === 'redirect') {
    if (!ORIGIN_FORM.test(head.target)) return malformed('a target that no redirect can name')
    const port = policy.httpsPort === undefined || policy.httpsPort === 443 ? '' : `:${policy.httpsPort}`
    return { status: 308, location: `https://${host}${port}${head.target}`, isLast, detail: 'redirected to https' }
  }
  const obstacle = obstacleTo(head)
  return obstacle === undefined
    ? { status: 101, replay: replayOf(head), host }
    : { status: 426, isLast, detail: obstacle }
}

/** Methods that change nothing, so that what a stranger put before the handshake does not either. */
const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD', 'OPTIONS'])

/** Visible ASCII; without what a client would cut off, or turn into a slash. */
const ORIGIN_FORM = /^\/[\x21\x22\x24-\x5b\x5d-\x7e]*$/

/** A list of protocols of which one is TLS 1.x (RFC 9110 section 7.8). */
const TLS_PROTOCOL = /^TLS\/1\.[0-3]$/i

/** Whoever sends more than this is not waited for. */
const MAX_IGNORED_BODY = 65_536

/** Why this request is not answered by 101; undefined: it is. */
function obstacleTo(head: RequestHead): string | undefined {
  if (!tokens(head, 'upgrade').some((protocol) => TLS_PROTOCOL.test(protocol))) return 'no TLS, and none asked for'
  if (!tokens(head, 'connection').some((option) => option.toLowerCase() === 'upgrade')) {
    return 'Upgrade without Connection: Upgrade'
  }
  if (head.httpVersion !== '1.1') return 'an upgrade of HTTP/1.0'
  if (!SAFE.has(head.method)) return 'an upgrade by a method that is not safe'
  if (bodyOctets(head) !== 0) return 'an upgrade with a body'
  if (headerValues(head.rawHeaders, 'expect').length > 0) return 'an upgrade with an expectation'
  return undefined
}

/** The same request as the first within TLS: without what was about the connection in clear, and without credentials. */
function replayOf({ method, target, rawHeaders }: RequestHead): Buffer {
  const lines = [`${method} ${target} HTTP/1.1`]
  for (let i = 0; i + 1 < rawHeaders.length; i += 2) {
    const name = rawHeaders[i] ?? ''
    if (!NOT_REPLAYED.has(name.toLowerCase())) lines.push(`${name}: ${rawHeaders[i + 1]}`)
  }
  // What else concerns this hop still does: both ends are the same.
  const options = tokens({ rawHeaders }, 'connection').filter((option) => option.toLowerCase() !== 'upgrade')
  if (options.length > 0) lines.push(`Connection: ${options.join(', ')}`)
  return Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1')
}

const NOT_REPLAYED: ReadonlySet<string> = new Set(['upgrade', 'connection', 'authorization', 'proxy-authorization'])

/** Whether the client wants it so, or where this request ends is not worth finding out. */
function endsConnection(head: RequestHead): boolean {
  const closes = tokens(head, 'connection').some((option) => option.toLowerCase() === 'close')
  const expects = headerValues(head.rawHeaders, 'expect').length > 0
  return closes || expects || head.httpVersion !== '1.1' || bodyOctets(head) > MAX_IGNORED_BODY
}

/** How long its body is by its head; Infinity for what only the body itself tells. */
function bodyOctets({ rawHeaders }: RequestHead): number {
  if (headerValues(rawHeaders, 'transfer-encoding').length > 0) return Number.POSITIVE_INFINITY
  const [length = '0', ...more] = headerValues(rawHeaders, 'content-length')
  return more.length === 0 && /^\d{1,15}$/.test(length) ? Number(length) : Number.POSITIVE_INFINITY
}

function tokens({ rawHeaders }: Pick<RequestHead, 'rawHeaders'>, name: string): string[] {
  const elements = headerValues(rawHeaders, name).flatMap((value) => value.split(','))
  return elements.map((element) => element.trim()).filter((element) => element !== '')
}

function hostOf(host: string): Fqdn | undefined {
  return parseFqdn(host.replace(/:\d{1,5}$/, ''))
}

function malformed(detail: string): ClearAnswer {
  return { status: 400, isLast: true, detail }
}
