import { constants } from 'node:crypto'
import type { Duplex } from 'node:stream'
import tls, { type TLSSocket, type TlsOptions } from 'node:tls'
import type { Secret } from '../core/secret.ts'

/** What one handshake asks, and is told. */
export interface PskHandshake {
  /** Asked when the engine wants to know the key; undefined: it gets none. */
  readonly keyOf: (identity: string) => Secret | undefined
  /** @param asked  whether this very socket asked for a key and got one; that the handshake stands on it is not said */
  readonly onSecure: (socket: TLSSocket, asked: boolean) => void
  readonly onFailed: (error: Error) => void
}

/** As many as are kept for the next ones; more handshakes at a time have engines that are made for them. */
const MAX_IDLE = 64

/** A ticket would let a key in after its end, and into the handshake of somebody else. */
const NOTHING_LASTS = constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION

/**
 * TLS servers that listen nowhere, each for one handshake at a time: the callback for keys has no other way to know
 * whose key it is asked for. Making one takes half as long as the handshake, so they are used again.
 * No session outlives its connection.
 */
export class PskEngines {
  readonly #options: TlsOptions
  readonly #idle: Engine[] = []

  constructor(options: Omit<TlsOptions, 'secureOptions'>) {
    this.#options = options
  }

  begin(stream: Duplex, handshake: PskHandshake): void {
    const engine = this.#idle.pop() ?? new Engine(this.#options, (free) => this.#keep(free))
    engine.begin(stream, handshake)
  }

  #keep(engine: Engine): void {
    if (this.#idle.length < MAX_IDLE) this.#idle.push(engine)
  }
}

class Engine {
  readonly #server: tls.Server
  readonly #onFree: (engine: Engine) => void
  #handshake: PskHandshake | undefined
  /** Whose question was answered with a key. */
  #asked: TLSSocket | undefined

  constructor(options: TlsOptions, onFree: (engine: Engine) => void) {
    this.#onFree = onFree
    const pskCallback = (socket: TLSSocket, identity: string) => {
      const key = this.#handshake?.keyOf(identity)
      this.#asked = key && socket
      return key ? key.expose() : null
    }
    this.#server = tls.createServer({ ...options, secureOptions: NOTHING_LASTS, pskCallback })
    this.#server.on('secureConnection', (socket: TLSSocket) => {
      const asked = this.#asked === socket
      this.#end()?.onSecure(socket, asked)
    })
    this.#server.on('tlsClientError', (error: Error) => this.#end()?.onFailed(error))
  }

  begin(stream: Duplex, handshake: PskHandshake): void {
    this.#handshake = handshake
    this.#server.emit('connection', stream)
  }

  /** A handshake ends once, in one way or the other: then the next one may begin. */
  #end(): PskHandshake | undefined {
    const handshake = this.#handshake
    this.#handshake = undefined
    this.#asked = undefined
    if (handshake) this.#onFree(this)
    return handshake
  }
}
