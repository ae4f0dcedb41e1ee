import { connect as connectTcp, isIP, type Socket } from 'node:net'
import {
  type ConnectionOptions,
  checkServerIdentity,
  connect as connectTls,
  createSecureContext,
  type SecureContext,
  TLSSocket,
} from 'node:tls'
import { faultOf, type Phase } from './connection-fault.ts'
import { UeError, type UeFaultCode } from './fault.ts'
import type { Sent, UeConnection } from './message.ts'
import { openByPsk12, openByPsk13, type PskKey } from './psk.ts'
import { answerInside, askForTls, upgradeRequest } from './upgrade.ts'
import { type ConnectRule, connectTarget, type UeUrl } from './url.ts'

/** Certificate (with its chain) and private key of the UE, both PEM; the two may be in one text. */
export interface UeClientCertificate {
  readonly cert: string | Uint8Array
  readonly key: string | Uint8Array
}

export interface ConnectorOptions {
  readonly connect?: readonly ConnectRule[]
  /** Trust anchors in PEM, in place of the system's. */
  readonly ca?: string | Uint8Array
  /** Accepts any server certificate: for labs. */
  readonly insecure?: boolean
  /** This version only. */
  readonly tls?: '1.2' | '1.3'
  /** OpenSSL names with `:` between them. */
  readonly ciphers?: string
  readonly clientCertificate?: UeClientCertificate
  /** Plain connections are changed to TLS before a request goes out on them. */
  readonly upgrade?: boolean
  /** Of the answer to an upgrade; 16 MiB by default. */
  readonly maxBodyBytes?: number
  /** Told what was said to change a connection to TLS. */
  readonly onUpgrade?: (url: UeUrl, sent: Sent, note: string) => void
}

export interface Connector {
  /**
   * A connection that is ready for requests.
   * @param key  that TLS has to stand on; without it, the server has to have a certificate
   * @throws UeError, whatever goes wrong
   */
  open(url: UeUrl, key: PskKey | undefined, signal?: AbortSignal): Promise<Socket>
}

export function createConnector(options: ConnectorOptions = {}): Connector {
  const { upgrade = false, maxBodyBytes: limit = 16 * 1024 * 1024, onUpgrade = () => {} } = options
  /** Suite of shared-key TLS 1.2 that a server took. */
  const favourites = new Map<string, string>()
  let context: SecureContext | undefined

  const byCertificate = (url: UeUrl): ConnectionOptions => {
    context ??= contextOf(options)
    return {
      secureContext: context,
      rejectUnauthorized: !options.insecure,
      checkServerIdentity: (_, certificate) => checkServerIdentity(url.host, certificate),
    }
  }

  /** TCP; where asked for, the change to TLS; TLS with these settings. */
  const attempt = async (url: UeUrl, settings: ConnectionOptions | undefined, signal?: AbortSignal) => {
    let phase: Phase = 'connect'
    const raw = connectTcp({ ...connectTarget(options.connect ?? [], url.host, url.port), noDelay: true })
    raw.on('error', () => {}) // whoever waits for something hears of it
    const abort = () => raw.destroy(new Error('aborted'))
    signal?.addEventListener('abort', abort, { once: true })
    if (signal?.aborted) abort()
    try {
      await ready(raw, 'connect')
      if (!settings) return raw
      const asking = url.scheme === 'http' ? upgradeRequest(url) : undefined
      if (asking) {
        phase = 'upgrade'
        const response = await askForTls(raw, asking)
        onUpgrade(url, { connection: {}, request: asking, response }, 'the server changes to TLS')
      }
      phase = 'tls'
      const secure = connectTls({ ...settings, socket: raw, servername: isIP(url.host) === 0 ? url.host : '' })
      secure.on('error', () => {})
      await ready(secure, 'secureConnect')
      if (asking) {
        phase = 'upgrade'
        const connection = connectionOf(secure, settings.pskCallback !== undefined)
        const response = await answerInside(secure, asking, limit)
        onUpgrade(url, { connection, request: asking, response }, 'the request that asked for TLS is answered inside')
      }
      return secure
    } catch (error) {
      raw.destroy()
      throw faultOf(error, phase, signal)
    } finally {
      signal?.removeEventListener('abort', abort)
    }
  }

  const byKey = async (url: UeUrl, key: PskKey, signal?: AbortSignal): Promise<Socket> => {
    const handshake = async (settings: ConnectionOptions): Promise<TLSSocket> => {
      // There is no certificate to check; whether the key was used is checked behind the handshake.
      const socket = await attempt(url, { ...settings, rejectUnauthorized: false }, signal)
      if (socket instanceof TLSSocket) return socket
      throw new TypeError('a key without TLS')
    }
    if (options.tls !== '1.2') return openByPsk13(key, options.ciphers, handshake)
    const socket = await openByPsk12(key, options.ciphers, favourites.get(url.origin), handshake)
    favourites.set(url.origin, socket.getCipher().name)
    return socket
  }

  return {
    async open(url, key, signal) {
      const isTls = url.scheme === 'https' || upgrade
      if (!key) return attempt(url, isTls ? byCertificate(url) : undefined, signal)
      if (!isTls)
        throw new UeError('URL_MALFORMED', 'a bootstrapped key opens TLS only: https, or http with an upgrade')
      return byKey(url, key, signal)
    },
  }
}

/** @param byKey  the handshake stands on a bootstrapped key, as was checked */
export function connectionOf(socket: unknown, byKey: boolean): UeConnection {
  if (!(socket instanceof TLSSocket)) return {}
  const { name, standardName } = socket.getCipher()
  const tls = { suite: standardName, cipher: name, version: socket.getProtocol() ?? '' }
  return { tls: { ...tls, ...(byKey && { psk: true }) } }
}

/** The settings that all connections by certificate share. @throws UeError for what OpenSSL does not take */
function contextOf({ ca, tls, ciphers, clientCertificate: client }: ConnectorOptions): SecureContext {
  const versions = { minVersion: `TLSv${tls ?? '1.2'}`, maxVersion: `TLSv${tls ?? '1.3'}` } as const
  const own = client && { cert: Buffer.from(client.cert), key: Buffer.from(client.key) }
  if (own) tried('CLIENT_CERTIFICATE_UNUSABLE', 'certificate and key', () => createSecureContext(own))
  const offer = { ...versions, ...(ciphers !== undefined && { ciphers }) }
  tried('CIPHERS_UNUSABLE', 'ciphers', () => createSecureContext(offer))
  const anchors = ca === undefined ? {} : { ca: Buffer.from(ca) }
  return tried('CA_UNREADABLE', 'CA', () => createSecureContext({ ...offer, ...own, ...anchors }))
}

function tried<T>(code: UeFaultCode, what: string, make: () => T): T {
  try {
    return make()
  } catch (cause) {
    const detail = cause instanceof Error ? cause.message : String(cause)
    throw new UeError(code, `${what}: ${detail}`, { cause })
  }
}

/** Settles with the first of: the event, an error, the end. */
function ready(socket: Socket, event: 'connect' | 'secureConnect'): Promise<void> {
  return new Promise((resolve, reject) => {
    const close = () => reject(new Error('the server closed the connection'))
    socket.once(event, () => {
      socket.removeListener('error', reject)
      socket.removeListener('close', close)
      resolve()
    })
    socket.once('error', reject)
    socket.once('close', close)
  })
}
