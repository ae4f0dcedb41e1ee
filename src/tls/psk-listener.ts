import type { Socket } from 'node:net'
import tls, { type TLSSocket, type TlsOptions } from 'node:tls'
import { type Btid, type Fqdn, parseFqdn } from '../core/identity.ts'
import { UA_PSK_TLS13, type UaProtocolId, uaProtocolIdOfSuiteCode } from '../core/naf-id.ts'
import { parsePskIdentity } from '../core/psk-identity.ts'
import type { Secret } from '../core/secret.ts'
import type { ClientHello } from './hello.ts'
import { ignoreError, type Opening, takeOpening } from './peek.ts'
import { PskEngines } from './psk-engines.ts'
import { PskTap } from './psk-tap.ts'
import type { KnownHello } from './sni.ts'

/** How a peer came in, and what that proves of it. */
export type Door =
  /** It holds the key of this bootstrap under this NAF_Id. */
  | { readonly kind: 'psk'; readonly btid: Btid; readonly uaProtocolId: UaProtocolId; readonly nafFqdn: Fqdn }
  /** Nothing is known of it yet. */
  | { readonly kind: 'certificate' }

/** Ks_NAF for the identity of a handshake; undefined: no such bootstrap, or not for this NAF. It may take its time. */
export type PskFor = (
  nafFqdn: Fqdn,
  btid: Btid,
  uaProtocolId: UaProtocolId,
  /** Who asks to be let in. */
  raw: Socket,
) => Promise<Secret | undefined>

export type PskRefusal =
  | 'hello-too-large'
  | 'handshake-late'
  /** Malformed, without SNI, or without a key: TLS 1.2 ends with alert 115, TLS 1.3 goes on with a certificate. */
  | 'identity-unknown'
  | 'lookup-failed'
  /** Among them: a wrong key. */
  | 'handshake-failed'

export interface PskOptions {
  readonly pskFor: PskFor
  /** psk_identity_hint of TLS 1.2. */
  readonly hint: string
  readonly limits: {
    /** The most octets that are held while a handshake message is incomplete; at most 64 KiB are of use. */
    readonly peekBytes: number
    /** From the connection to the end of a shared-key handshake, the lookup among it. */
    readonly handshakeMs: number
  }
  /** Told of handshakes that did not come about, once each, and of unknown identities. */
  readonly onRefused?: (reason: PskRefusal, peer: Socket, cause?: unknown) => void
}

/**
 * Suites of shared-key TLS 1.2 in our order: AEAD, ephemeral keys first. OpenSSL has no ECDHE_PSK with AES-GCM.
 * @see RFC 5487 section 3 (2009), RFC 7905 section 2 (2016)
 */
export const PSK_SUITES_OFFERED: ReadonlyMap<string, number> = new Map([
  ['ECDHE-PSK-CHACHA20-POLY1305', 0xccac],
  ['DHE-PSK-AES128-GCM-SHA256', 0x00aa],
  ['DHE-PSK-AES256-GCM-SHA384', 0x00ab],
  ['DHE-PSK-CHACHA20-POLY1305', 0xccad],
  ['PSK-AES128-GCM-SHA256', 0x00a8],
  ['PSK-AES256-GCM-SHA384', 0x00a9],
  ['PSK-CHACHA20-POLY1305', 0xccab],
])

/** An external key without a hash of its own goes with SHA-256 (RFC 8446 section 4.2.11). */
const TLS13_SUITES: ReadonlyMap<string, number> = new Map([
  ['TLS_AES_128_GCM_SHA256', 0x1301],
  ['TLS_CHACHA20_POLY1305_SHA256', 0x1303],
])

/**
 * A TLS server that also takes subscribers by their bootstrapped key, on the one port and address.
 * @param options.onDoor gets each connection once its handshake is done, and who that makes it
 * @see 3GPP TS 33.222 clause 5.4 (Rel-17)
 */
export function pskListener({
  certificateContext,
  onDoor,
  ...options
}: PskOptions & {
  readonly certificateContext: TlsOptions
  readonly onDoor: (arrival: { readonly socket: TLSSocket; readonly door: Door }) => void
}): tls.Server {
  const server = tls.createServer(certificateContext, (socket) => onDoor({ socket, door: doorOf(socket) }))
  admitPsk(server, { ...options, ...alpnOf(certificateContext) })
  return server
}

/**
 * Lets subscribers with a bootstrapped key into a TLS or HTTPS server that has no connections yet. All others reach it
 * as before; those come out of its 'secureConnection' event like them, and `doorOf` tells the two apart.
 * @throws RangeError for a server whose connections somebody else handles as well
 * @see 3GPP TS 33.222 clause 5.4 (Rel-17)
 */
export function admitPsk(server: tls.Server, options: PskOptions & Pick<TlsOptions, 'ALPNProtocols'>): void {
  const [accept, ...others] = server.listeners('connection') as Accept[]
  if (!accept || others.length > 0) throw new RangeError('not the only listener for connections')
  server.removeListener('connection', accept)
  const byCertificate: Accept = accept.bind(server)
  // What these settings lack is to be known now, and not from the first UE.
  for (const context of [TLS12, TLS13]) tls.createSecureContext(context)
  const alpn = alpnOf(options)
  const engines = {
    tls12: new PskEngines({ ...TLS12, ...alpn, pskIdentityHint: options.hint }),
    tls13: new PskEngines({ ...TLS13, ...alpn }),
  }
  server.on('connection', (raw: Socket) => new Arrival(server, options, engines, raw).peek(byCertificate))
}

interface Engines {
  readonly tls12: PskEngines
  readonly tls13: PskEngines
}

/** Where connections go that come by certificate: the hello of each has been read. */
type Accept = (raw: Socket, known: KnownHello) => void

/** Only this file knows of a socket that it came in by key; every other one came in by certificate. */
const doors = new WeakMap<object, Door>()

export function doorOf(socket: object): Door {
  return doors.get(socket) ?? CERTIFICATE
}

const CERTIFICATE: Door = { kind: 'certificate' }

/** Identities of one hello that are looked up: a UE offers one for each kind of GBA, and ours is one of them. */
const MAX_LOOKUPS = 2

/** There is no certificate, so nothing but the key opens these. */
const COMMON = {
  honorCipherOrder: true,
  ecdhCurve: 'X25519:P-256:P-384',
} as const satisfies TlsOptions

const TLS12 = {
  ...COMMON,
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.2',
  ciphers: [...PSK_SUITES_OFFERED.keys()].join(':'),
  dhparam: 'auto',
} as const satisfies TlsOptions

const TLS13 = {
  ...COMMON,
  minVersion: 'TLSv1.3',
  maxVersion: 'TLSv1.3',
  ciphers: [...TLS13_SUITES.keys()].join(':'),
} as const satisfies TlsOptions

/** A key that was found, and the one identity for which the engine gets it. */
interface Match {
  readonly identity: string
  readonly key: Secret
  readonly door: Door & { readonly kind: 'psk' }
}

/** One connection on its way in. */
class Arrival {
  readonly #server: tls.Server
  readonly #options: PskOptions
  readonly #engines: Engines
  readonly #raw: Socket
  readonly #deadline: NodeJS.Timeout
  #refused = false

  constructor(server: tls.Server, options: PskOptions, engines: Engines, raw: Socket) {
    this.#server = server
    this.#options = options
    this.#engines = engines
    this.#raw = raw
    raw.on('error', ignoreError)
    this.#deadline = setTimeout(() => this.#cut('handshake-late'), options.limits.handshakeMs)
    raw.once('close', () => clearTimeout(this.#deadline))
  }

  /** Reads the hello from the socket, puts it back, and lets the way be chosen that goes with it. */
  peek(byCertificate: Accept): void {
    takeOpening(this.#raw, this.#options.limits.peekBytes, (opening) => {
      if (opening.reading.outcome === 'too-large') this.#cut('hello-too-large')
      else this.#enter(opening, byCertificate)
    })
  }

  #enter({ octets, reading }: Opening, byCertificate: Accept): void {
    const hello = reading.outcome === 'complete' ? reading.value : undefined
    if (hello && reading.outcome === 'complete' && offersPsk12(hello)) {
      this.#byPsk12(hello, octets, reading.octets)
      return
    }
    // Put back at once: the end of the stream may be next, and nothing can be put back behind that.
    this.#raw.unshift(octets)
    const identities = hello ? identities13(hello) : NO_IDENTITIES
    // Nearly everybody comes by certificate, and waits for nothing.
    if (hello && identities.length > 0) void this.#byPsk13(hello, identities, byCertificate)
    else this.#leave(hello, byCertificate)
  }

  #leave(hello: ClientHello | undefined, byCertificate: Accept): void {
    clearTimeout(this.#deadline) // the server has its own
    byCertificate(this.#raw, { hello })
  }

  async #byPsk13(hello: ClientHello, identities: readonly string[], byCertificate: Accept): Promise<void> {
    const match = await this.#matchTls13(hello, identities)
    if (match === 'failed' || this.#raw.destroyed) return
    if (match) this.#handshake(this.#engines.tls13, this.#raw, () => match)
    else this.#leave(hello, byCertificate)
  }

  async #matchTls13(hello: ClientHello, identities: readonly string[]): Promise<Match | 'failed' | undefined> {
    for (const identity of identities.slice(0, MAX_LOOKUPS)) {
      const match = await this.#match(hello, Buffer.from(identity, 'latin1'), UA_PSK_TLS13)
      if (match) return match
    }
    this.#tell('identity-unknown')
    return undefined
  }

  #byPsk12(hello: ClientHello, opening: Buffer, helloOctets: number): void {
    let match: Match | undefined
    const { peekBytes } = this.#options.limits
    const tap = new PskTap(this.#raw, {
      opening,
      helloOctets,
      peekBytes,
      prepare: async (exchange) => {
        const found =
          exchange && (await this.#match(hello, exchange.identity, uaProtocolIdOfSuiteCode(exchange.cipherSuite)))
        if (found === 'failed') return false
        match = found
        if (!match) this.#refuse('identity-unknown')
        return true
      },
    })
    this.#handshake(this.#engines.tls12, tap, () => match)
  }

  async #match(
    { serverName }: ClientHello,
    identity: Uint8Array,
    uaProtocolId: UaProtocolId,
  ): Promise<Match | 'failed' | undefined> {
    const btid = parsePskIdentity(identity)
    const nafFqdn = serverName === undefined ? undefined : parseFqdn(serverName)
    if (!btid || !nafFqdn) return undefined
    try {
      const key = await this.#options.pskFor(nafFqdn, btid, uaProtocolId, this.#raw)
      if (!key) return undefined
      const door = { kind: 'psk', btid, uaProtocolId, nafFqdn } as const
      return { identity: Buffer.from(identity).toString('latin1'), key, door }
    } catch (error) {
      // Not the UE's fault: it must not be told that its bootstrap is unknown.
      this.#refuse('lookup-failed', error)
      if (this.#raw.writable) this.#raw.end(INTERNAL_ERROR)
      this.#raw.resume()
      return 'failed'
    }
  }

  /** Shared-key TLS with one key, over the socket or its tap; `match` is asked when the engine wants to know the key. */
  #handshake(engines: PskEngines, stream: Socket | PskTap, match: () => Match | undefined): void {
    let used: Match | undefined
    engines.begin(stream, {
      keyOf: (identity) => {
        const candidate = match()
        used = candidate?.identity === identity ? candidate : undefined
        return used?.key
      },
      onSecure: (socket, asked) => {
        if (stream !== this.#raw) addressLike(socket, this.#raw)
        // That the key was asked for does not say that the handshake stands on it.
        if (!used || !asked || !restsOnKey(socket)) {
          this.#refuse('handshake-failed')
          socket.destroy()
          return
        }
        clearTimeout(this.#deadline)
        doors.set(socket, used.door)
        this.#server.emit('secureConnection', socket)
      },
      onFailed: (error) => this.#refuse('handshake-failed', error),
    })
  }

  #cut(reason: PskRefusal): void {
    this.#refuse(reason)
    this.#raw.destroy()
  }

  #refuse(reason: PskRefusal, cause?: unknown): void {
    if (!this.#refused) this.#tell(reason, cause)
    this.#refused = true
  }

  #tell(reason: PskRefusal, cause?: unknown): void {
    this.#options.onRefused?.(reason, this.#raw, cause)
  }
}

const TLS_1_3 = 0x0304
const PSK_DHE_KE = 1
/** A fatal alert in clear: it is sent only before our ChangeCipherSpec, or before our ServerHello. */
const INTERNAL_ERROR = Buffer.from([21, 3, 3, 0, 2, 2, 80])

/** The version is TLS 1.3 wherever that is offered, and then the suites of TLS 1.2 do not count. */
function offersPsk12({ versions, cipherSuites }: ClientHello): boolean {
  return !versions.includes(TLS_1_3) && offersOneOf(cipherSuites, PSK_SUITES_OFFERED)
}

const NO_IDENTITIES: readonly string[] = []

/** Those that may be B-TIDs, each once, where an external key would be taken. */
function identities13(hello: ClientHello): readonly string[] {
  if (hello.pskIdentities.length === 0 || !offersPsk13(hello)) return NO_IDENTITIES
  const identities = new Set<string>()
  for (const octets of hello.pskIdentities) {
    if (parsePskIdentity(octets)) identities.add(Buffer.from(octets).toString('latin1'))
  }
  return [...identities]
}

/** Where the engine would not take an external key, the certificate is the only way. */
function offersPsk13({ versions, cipherSuites, pskKeyExchangeModes }: ClientHello): boolean {
  return (
    versions.includes(TLS_1_3) && pskKeyExchangeModes.includes(PSK_DHE_KE) && offersOneOf(cipherSuites, TLS13_SUITES)
  )
}

function offersOneOf(offered: readonly number[], ours: ReadonlyMap<string, number>): boolean {
  return [...ours.values()].some((code) => offered.includes(code))
}

function restsOnKey(socket: TLSSocket): boolean {
  // In TLS 1.3 an external key counts as resumption, and there is nothing else here that could be resumed.
  if (socket.getProtocol() === 'TLSv1.3') return socket.isSessionReused()
  return !socket.isSessionReused() && /(?:^|-)PSK-/.test(socket.getCipher().name)
}

/** Over a stream that is no socket, a TLS socket has no addresses. */
function addressLike(socket: TLSSocket, raw: Socket): void {
  const { remoteAddress, remotePort, remoteFamily, localAddress, localPort, localFamily } = raw
  const addresses = { remoteAddress, remotePort, remoteFamily, localAddress, localPort, localFamily }
  for (const [name, value] of Object.entries(addresses)) Object.defineProperty(socket, name, { value })
}

function alpnOf({ ALPNProtocols }: Pick<TlsOptions, 'ALPNProtocols'>): Pick<TlsOptions, 'ALPNProtocols'> {
  return ALPNProtocols ? { ALPNProtocols } : {}
}
