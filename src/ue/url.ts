import { type Fqdn, parseFqdn } from '../core/identity.ts'
import { UeError } from './fault.ts'

/** A URL split as it is written: no part of it is decoded, re-encoded or put in order. */
export interface UeUrl {
  readonly scheme: 'http' | 'https'
  readonly host: Fqdn
  readonly port: number
  /** Host header: the port only when it is not the scheme's own. */
  readonly authority: string
  /** `scheme://host:port`, the key under which nonces are kept. */
  readonly origin: string
  /** Request target, octet for octet: path and query. */
  readonly target: string
}

/**
 * The platform's URL class would turn `\` into `/`, drop `.` segments and escape quotation marks; what a test sends
 * must arrive as it was typed.
 * @throws UeError URL_MALFORMED
 */
export function parseUeUrl(text: string): UeUrl {
  const parts = /^(https?):\/\/([^/?#]*)([^#]*)/i.exec(text)
  const [, schemeText = '', authority = '', rest = ''] = parts ?? []
  if (!parts) throw new UeError('URL_MALFORMED', `not an http or https URL: ${text}`)
  if (authority.includes('@')) throw new UeError('URL_MALFORMED', 'credentials do not belong into the URL')
  const [, hostText = '', portText] = /^([^:]*)(?::(\d{1,5}))?$/.exec(authority) ?? []
  const host = parseFqdn(hostText)
  if (!host) throw new UeError('URL_MALFORMED', `not a host name: ${authority}`)
  const scheme = schemeText.toLowerCase() === 'https' ? 'https' : 'http'
  const standard = scheme === 'https' ? 443 : 80
  const port = portText === undefined ? standard : Number(portText)
  if (port < 1 || port > 65535) throw new UeError('URL_MALFORMED', `not a port: ${portText}`)
  const target = rest.startsWith('/') ? rest : `/${rest}`
  if (!/^[\x21-\x7e]+$/.test(target)) {
    throw new UeError('URL_MALFORMED', 'white space, control characters and letters beyond ASCII need percent-encoding')
  }
  return {
    scheme,
    host,
    port,
    authority: port === standard ? host : `${host}:${port}`,
    origin: `${scheme}://${host}:${port}`,
    target,
  }
}

/** Where a name is really connected to, as with curl's `--connect-to`. Absent members match, or keep, anything. */
export interface ConnectRule {
  readonly host?: string
  readonly port?: number
  readonly toHost?: string
  readonly toPort?: number
}

/** The first rule that fits decides; names in the request, in SNI and in the certificate check stay as they are. */
export function connectTarget(
  rules: readonly ConnectRule[],
  host: string,
  port: number,
): { host: string; port: number } {
  const rule = rules.find((r) => (r.host ?? host) === host && (r.port ?? port) === port)
  return { host: rule?.toHost ?? host, port: rule?.toPort ?? port }
}

/** `HOST1:PORT1:HOST2:PORT2`, parts may be empty, IPv6 addresses in brackets. @returns undefined when malformed */
export function parseConnectTo(text: string): ConnectRule | undefined {
  const parts = /^(HOST)?:(PORT)?:(HOST)?:(PORT)?$/.source.replaceAll('HOST', HOST).replaceAll('PORT', PORT)
  const [, host, port, toHost, toPort] = new RegExp(parts).exec(text) ?? []
  if (!new RegExp(parts).test(text)) return undefined
  return connectRule(host, port, toHost, toPort)
}

/** `HOST[:PORT]` and `HOST:PORT` of a SIM file's `connect` map. @returns undefined when malformed */
export function parseConnectEntry(from: string, to: string): ConnectRule | undefined {
  const pattern = new RegExp(`^(${HOST})(?::(${PORT}))?$`)
  const [, host, port] = pattern.exec(from) ?? []
  const [, toHost, toPort] = pattern.exec(to) ?? []
  if (host === undefined || toHost === undefined || toPort === undefined) return undefined
  return connectRule(host, port, toHost, toPort)
}

const HOST = String.raw`\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+`
const PORT = String.raw`\d{1,5}`

function connectRule(host?: string, port?: string, toHost?: string, toPort?: string): ConnectRule | undefined {
  if ([port, toPort].some((p) => p && (Number(p) < 1 || Number(p) > 65535))) return undefined
  return {
    ...(host && { host: host.toLowerCase() }),
    ...(port && { port: Number(port) }),
    ...(toHost && { toHost: toHost.replace(/^\[|\]$/g, '') }),
    ...(toPort && { toPort: Number(toPort) }),
  }
}
