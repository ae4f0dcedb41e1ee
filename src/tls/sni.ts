import type { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import type { Server } from 'node:tls'
import type { ClientHello } from './hello.ts'
import { HANDSHAKE_TIMEOUT_MS } from './listener.ts'
import { ignoreError, type Peeked, peekHello } from './peek.ts'

/** Why a connection was cut before any handshake of ours. */
export type NameRefusal = 'name-unknown' | 'hello-too-large' | 'hello-late'

export interface NameOptions {
  /** The TLS server for the name that a client asks for, if it asks; undefined: it gets none. */
  readonly engineFor: (serverName: string | undefined) => Server | undefined
  readonly onRefused?: ((reason: NameRefusal, peer: Socket) => void) | undefined
}

/**
 * The certificates for a name: of each type of key the first whose dNSNames hold it as it is; where there is none, the
 * first with a wildcard for it.
 * @param name a host name
 * @see RFC 9525 section 6.3 (2023)
 */
export function certificatesFor<T extends { readonly certificate: X509Certificate }>(
  name: string,
  all: readonly T[],
): T[] {
  const carrying = (wildcards: boolean) => {
    const byType = new Map<string, T>()
    for (const entry of all) {
      const { certificate } = entry
      const type = String(certificate.publicKey.asymmetricKeyType)
      const found = certificate.checkHost(name, { subject: 'never', partialWildcards: false, wildcards })
      if (found !== undefined && !byType.has(type)) byType.set(type, entry)
    }
    return [...byType.values()]
  }
  const exact = carrying(false)
  return exact.length > 0 ? exact : carrying(true)
}

/** What somebody has read already of a connection; it is still to be read from the socket as well. */
export interface KnownHello {
  /** undefined: none that could be read. */
  readonly hello: ClientHello | undefined
}

/**
 * Hands each connection of a TLS or HTTPS server to the engine of the name it asks for, and not to the server's own.
 * Who asks for a name that is not ours gets the alert unrecognized_name, where Node's SNICallback could only hang up.
 * Whoever has read the hello before says so beside the connection, a `KnownHello`: it is not read again.
 * @throws RangeError for a server whose connections somebody else handles already
 * @see RFC 6066 section 3 (2011)
 */
export function serveByName(server: Server, { engineFor, onRefused }: NameOptions): void {
  const [own, ...others] = server.listeners('connection') as ((raw: Socket) => void)[]
  if (!own || others.length > 0) throw new RangeError('not the only listener for connections')
  server.removeListener('connection', own)
  const hand = (raw: Socket, peeked: Peeked) => {
    if (raw.destroyed) return
    const engine = peeked.outcome === 'ready' ? engineFor(peeked.hello?.serverName) : undefined
    if (engine) {
      engine.emit('connection', raw)
      return
    }
    onRefused?.(peeked.outcome === 'ready' ? 'name-unknown' : `hello-${peeked.outcome}`, raw)
    if (peeked.outcome === 'ready') refuse(raw)
    else raw.destroy()
  }
  server.on('connection', (raw: Socket, known?: KnownHello) => {
    raw.on('error', ignoreError)
    if (known) hand(raw, { outcome: 'ready', hello: known.hello })
    else peekHello(raw, HANDSHAKE_TIMEOUT_MS, (peeked) => hand(raw, peeked))
  })
}

/** A fatal alert in clear, since nothing has been agreed on. */
const UNRECOGNIZED_NAME = Buffer.from([21, 3, 3, 0, 2, 2, 112])
/** How long a refused peer has to take its alert and close. */
const LINGER_MS = 1000

function refuse(raw: Socket): void {
  raw.end(UNRECOGNIZED_NAME)
  raw.resume() // closing on octets that were not read would reset the alert away
  const linger = setTimeout(() => raw.destroy(), LINGER_MS)
  raw.once('close', () => clearTimeout(linger))
}
