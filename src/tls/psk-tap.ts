import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { readPskIdentity, readServerHelloSuite } from './hello.ts'
import { gather } from './peek.ts'

/** What a TLS 1.2 client and our engine agreed on until the key is needed. */
export interface KeyExchange {
  /** As the client sent it. */
  readonly identity: Uint8Array
  /** Code point, as our engine chose it. */
  readonly cipherSuite: number
}

export interface TapOptions {
  /** What was read from the socket already: the ClientHello and whatever came with it. */
  readonly opening: Uint8Array
  /** How many octets of that are the ClientHello. */
  readonly helloOctets: number
  /** The most that is held back. */
  readonly peekBytes: number
  /** Whether the engine may now see the ClientKeyExchange; undefined: there was none to be read. Must not reject. */
  readonly prepare: (exchange: KeyExchange | undefined) => Promise<boolean>
}

/**
 * A TCP connection as the TLS 1.2 engine sees it: the flight with the ClientKeyExchange reaches it only when the key
 * has been fetched, since the engine asks for it without waiting. Before and after that, octets pass as they are.
 */
export class PskTap extends Duplex {
  readonly #raw: Socket
  readonly #options: TapOptions
  /** What the client sent after its hello; undefined once it flows. */
  #held: Uint8Array[] | undefined = []
  #heldOctets = 0
  #lookAt = 0
  /** What the engine sent, until the ServerHello was read. */
  #sent: Buffer | undefined = Buffer.alloc(0)
  #cipherSuite: number | undefined

  constructor(raw: Socket, options: TapOptions) {
    super({ allowHalfOpen: false })
    this.#raw = raw
    this.#options = options
    raw.on('data', this.#fromPeer)
    raw.once('end', this.#peerEnded)
    raw.once('close', () => this.destroy())
    const { opening, helloOctets } = options
    this.push(opening.subarray(0, helloOctets))
    if (opening.length > helloOctets) this.#fromPeer(opening.subarray(helloOctets))
  }

  override _read(): void {
    // Octets that are held are not asked for by anybody: see #hold.
    if (!this.#isAsking) this.#raw.resume()
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    if (this.#sent) this.#watch(this.#sent, chunk)
    // An error of the socket closes it, and that ends this stream.
    this.#raw.write(chunk, () => done())
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#raw.end(() => done())
  }

  /** The last octets, an alert perhaps, are sent, and what still comes is read: closing on it would reset them away. */
  override _destroy(_error: Error | null, done: (error?: Error | null) => void): void {
    const raw = this.#raw
    raw.removeListener('data', this.#fromPeer)
    if (!raw.destroyed) {
      raw.end()
      raw.resume()
      const linger = setTimeout(() => raw.destroy(), LINGER_MS)
      raw.once('close', () => clearTimeout(linger))
    }
    done()
  }

  get #isAsking(): boolean {
    return this.#lookAt === Number.POSITIVE_INFINITY
  }

  readonly #fromPeer = (chunk: Uint8Array): void => {
    if (this.#held) this.#hold(this.#held, chunk)
    else if (!this.push(chunk)) this.#raw.pause()
  }

  readonly #peerEnded = (): void => {
    if (this.#held) this.destroy()
    else this.push(null)
  }

  #hold(held: Uint8Array[], chunk: Uint8Array): void {
    gather(held, chunk)
    this.#heldOctets += chunk.length
    if (this.#heldOctets < this.#lookAt) return
    const reading = readPskIdentity(Buffer.concat(held))
    if (reading.outcome === 'more' && reading.atLeast <= this.#options.peekBytes) {
      this.#lookAt = reading.atLeast
      return
    }
    const identity = reading.outcome === 'complete' ? reading.value : undefined
    const cipherSuite = this.#cipherSuite
    this.#lookAt = Number.POSITIVE_INFINITY
    this.#raw.pause()
    // An identity before the ServerHello answers no question of ours.
    const exchange = identity && cipherSuite !== undefined ? { identity, cipherSuite } : undefined
    void this.#options.prepare(exchange).then((goOn) => (goOn ? this.#release(held) : this.destroy()))
  }

  #release(held: readonly Uint8Array[]): void {
    if (this.destroyed) return
    this.#held = undefined
    this.#lookAt = 0
    this.#raw.resume()
    this.push(Buffer.concat(held))
  }

  #watch(before: Buffer, chunk: Buffer): void {
    const sent = Buffer.concat([before, chunk])
    const reading = readServerHelloSuite(sent)
    if (reading.outcome === 'complete') this.#cipherSuite = reading.value
    this.#sent = reading.outcome === 'more' ? sent : undefined
  }
}

/** How long a peer has to take our last octets and close. */
const LINGER_MS = 1000
