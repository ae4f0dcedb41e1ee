import { isIP, connect as netConnect, type Socket, type TcpNetConnectOpts } from 'node:net'
import { type ConnectionOptions, checkServerIdentity, createSecureContext, connect as tlsConnect } from 'node:tls'
import { READ_BYTES } from './read-buffers.ts'

/** How the octets of a connection are read: see `onread` of node:net. */
export type OnRead = NonNullable<TcpNetConnectOpts['onread']>

export interface Connector {
  /** Octets that one read can bring: those of one TLS record, or as many as libuv asks for. */
  readonly readBytes: number
  /** Of the socket: the connection stands, and the certificate is verified. */
  readonly readyEvent: 'connect' | 'secureConnect'
  connect(onread: OnRead): Socket
}

/**
 * The way to one server. Its certificate is always verified, whatever the environment says, and the TLS sessions that
 * are resumed are its own. An IP address is verified as such, and never asked for by SNI.
 * @param url scheme http or https, host, port
 * @param tls of an https URL; `servername`: the name that the certificate has to carry. Default: the host of the URL
 * @throws Error on a certificate, a key or a CA that is none
 */
export function connectorTo(url: string, tls: ConnectionOptions = {}): Connector {
  const { protocol, hostname, port } = new URL(url)
  const host = hostname.replace(/^\[|\]$/g, '')
  const common = { host, noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 }
  if (protocol === 'http:') {
    const options = { ...common, port: Number(port || 80) }
    return { readBytes: READ_BYTES, readyEvent: 'connect', connect: (onread) => netConnect({ ...options, onread }) }
  }
  if (protocol !== 'https:') throw new TypeError('neither http nor https')
  const { servername = isIP(host) ? '' : host, ...others } = tls
  const options: ConnectionOptions = {
    ...others,
    ...common,
    port: Number(port || 443),
    secureContext: others.secureContext ?? createSecureContext(others),
    ALPNProtocols: ['http/1.1'],
    rejectUnauthorized: true,
    checkServerIdentity,
    ...(servername === '' ? {} : { servername }),
  }
  let session: Buffer | undefined
  return {
    readBytes: 16_384,
    readyEvent: 'secureConnect',
    connect(onread) {
      const with_ = { ...options, onread, ...(session === undefined ? {} : { session }) }
      return tlsConnect(with_).on('session', (fresh) => {
        session = fresh
      })
    },
  }
}
