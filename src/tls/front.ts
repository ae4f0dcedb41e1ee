import type net from 'node:net'
import type { Socket } from 'node:net'
import tls, { type TLSSocket } from 'node:tls'
import { ianaSuite } from '../core/openssl-suites.ts'
import { plainAddress } from './addresses.ts'
import { type ProxyHeader, readProxyHeader } from './proxy-protocol.ts'

/** What a front tells of a client. Whatever is absent it does not know, or does not tell. */
export interface FrontFacts {
  readonly clientAddress?: string
  readonly clientPort?: number
  /** SNI of the client as the front saw it; it may be anything. */
  readonly serverName?: string
  /** There when the client's TLS ends at the front. */
  readonly tls?: {
    /** Such as `TLSv1.3`. */
    readonly version: string | undefined
    /** IANA name; undefined for a suite that is not in `CIPHER_SUITES`, or was not told. */
    readonly suite: string | undefined
  }
}

export type FrontRefusal =
  /** Somebody else connected, where only fronts may. */
  | 'not-a-front'
  | 'header-late'
  | 'header-too-large'
  /** Among them: none, or one of version 1. */
  | 'header-malformed'

export interface FrontOptions {
  /** Asked for the peer's address, an IPv4 one in IPv4 form. */
  readonly isFront: (address: string) => boolean
  /** `headers`: each request has its own, which `readFrontHeaders` reads; only addresses are looked at here. */
  readonly tells: 'proxy-v2' | 'headers'
  /** From the connection to the end of the front's header. */
  readonly headerMs: number
  /** Told of every connection that is cut, once. */
  readonly onRefused?: (reason: FrontRefusal, peer: Socket) => void
}

/**
 * Makes a server that has no connections yet take them from fronts only, and read what a front tells before the first
 * octet: `frontOf` has it. It works on what came before it in time, so `admitPsk` on the same server goes first.
 * @param tlsServer  where the TLS of these connections ends, if that is another server
 * @throws RangeError for a server whose connections somebody else handles as well
 * @see PROXY protocol clause 2 (2020)
 */
export function admitFront(
  server: net.Server,
  options: FrontOptions,
  tlsServer: tls.Server | undefined = server instanceof tls.Server ? server : undefined,
): void {
  const [accept, ...others] = server.listeners('connection') as ((raw: Socket) => void)[]
  if (!accept || others.length > 0) throw new RangeError('not the only listener for connections')
  const told = new Map<string, FrontFacts>()
  server.removeListener('connection', accept)
  server.on('connection', (raw: Socket) => {
    const address = plainAddress(raw.remoteAddress ?? '')
    if (address === undefined || !options.isFront(address)) {
      // Without an address it has gone already.
      if (address !== undefined) options.onRefused?.('not-a-front', raw)
      raw.destroy()
      return
    }
    if (options.tells === 'headers') accept.call(server, raw)
    else readFacts(raw, options, (found) => hand(raw, found))
  })
  // Before HTTP has it.
  tlsServer?.prependListener('secureConnection', (socket: TLSSocket) => {
    const found = told.get(endsOf(socket))
    if (found) facts.set(socket, found)
  })

  function hand(raw: Socket, found: FrontFacts): void {
    facts.set(raw, found)
    // Nothing public leads from a TLS socket to the one below. Both have the same ends, and no other open one has.
    const ends = endsOf(raw)
    told.set(ends, found)
    raw.once('close', () => {
      if (told.get(ends) === found) told.delete(ends)
    })
    accept?.call(server, raw)
    // HTTP listens for data and does not expect a paused socket; TLS reads below the socket and needs no data from it.
    if (raw.listenerCount('data') > 0) raw.resume()
  }
}

const facts = new WeakMap<object, FrontFacts>()

/**
 * What a front told of this connection, by PROXY protocol.
 * @param socket of a request, TLS or not
 * @returns undefined for a connection that no front brought: on a front's listener there is none
 */
export function frontOf(socket: object): FrontFacts | undefined {
  return facts.get(socket)
}

/** Reads the header off the socket, and puts back what is behind it. */
function readFacts(raw: Socket, options: FrontOptions, onFacts: (found: FrontFacts) => void): void {
  const chunks: Buffer[] = []
  let have = 0
  let lookAt = 0
  const deadline = setTimeout(() => cut('header-late'), options.headerMs)
  const stop = () => {
    clearTimeout(deadline)
    raw.removeListener('data', onData).removeListener('end', onEnd).removeListener('close', stop)
  }
  const cut = (reason: FrontRefusal) => {
    stop()
    options.onRefused?.(reason, raw)
    raw.destroy()
  }
  const onData = (chunk: Buffer) => {
    chunks.push(chunk)
    have += chunk.length
    if (have < lookAt) return
    const opening = Buffer.concat(chunks)
    const reading = readProxyHeader(opening)
    if (reading.outcome === 'more') {
      lookAt = reading.atLeast
      return
    }
    if (reading.outcome !== 'complete') {
      cut(reading.outcome === 'too-large' ? 'header-too-large' : 'header-malformed')
      return
    }
    stop()
    raw.pause()
    if (opening.length > reading.octets) raw.unshift(opening.subarray(reading.octets))
    onFacts(factsOf(reading.value))
  }
  const onEnd = () => {
    if (have > 0) cut('header-malformed')
    else raw.destroy() // a balancer that looks whether somebody listens
  }
  raw.on('error', () => {}) // it closes, and that is dealt with
  raw.once('close', stop).once('end', onEnd).on('data', onData)
}

function factsOf({ source, authority, ssl }: ProxyHeader): FrontFacts {
  return {
    ...(source && { clientAddress: source.address, clientPort: source.port }),
    ...(authority !== undefined && { serverName: authority }),
    ...(ssl?.isTls && {
      tls: { version: ssl.version, suite: ssl.cipher === undefined ? undefined : ianaSuite(ssl.cipher) },
    }),
  }
}

function endsOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`
}
