import type { TLSSocket } from 'node:tls'
import type { HeadReader } from './alike-head.ts'
import { Exchange, type ExchangeHost } from './exchange.ts'
import type { HeadLimits, RequestHead } from './request-head.ts'

export interface FrontLimits extends HeadLimits {
  readonly headersTimeoutMs: number
  readonly requestTimeoutMs: number
  readonly keepAliveTimeoutMs: number
}

/** What the connections of one front have in common. */
export interface FrontHost {
  readonly limits: FrontLimits
  readonly heads: HeadReader
  readonly keepAliveHeader: string
  readonly isStopping: boolean
  /** Whether the lane takes requests like this. */
  takes(head: RequestHead): boolean
  serve(exchange: Exchange): void
  /** To the general server, with everything that it has not seen; for good. */
  handOver(socket: TLSSocket, octets: Buffer): void
  gone(connection: FrontConnection): void
}

/**
 * One connection: a request at a time, in the order in which they came. What the narrow grammar does not match goes to
 * the general server with the rest of the connection, for only who reads it knows where such a request ends.
 */
export class FrontConnection implements ExchangeHost {
  readonly socket: TLSSocket
  readonly peer: string
  readonly #host: FrontHost
  /** Octets that belong to no request yet; behind the head of the one under way, its body. */
  #held: Buffer = NOTHING
  /** Pieces that an incomplete head has come in. */
  #pieces = 0
  #exchange: Exchange | undefined
  /** Octets of the body that are still to come, or to be read away. */
  #bodyLeft = 0
  #isPaused = false
  #isOver = false
  #endsAfterAnswer = false
  /** When the present wait began, in the front's coarse time. */
  #since: number
  #isFresh = true
  #written = 0

  constructor(host: FrontHost, socket: TLSSocket, now: number) {
    this.#host = host
    this.socket = socket
    this.peer = socket.remoteAddress ?? ''
    this.#since = now
    socket.on('data', this.#onData)
    socket.on('drain', this.#onDrain)
    socket.on('close', this.#onClose)
    socket.on('error', ignore)
  }

  get isEnding(): boolean {
    return this.#endsAfterAnswer || this.#host.isStopping
  }

  get keepAliveHeader(): string {
    return this.#host.keepAliveHeader
  }

  get isIdle(): boolean {
    return this.#exchange === undefined
  }

  /** Ends now, or after the answer that is under way. */
  endAfterAnswer(): void {
    this.#endsAfterAnswer = true
    if (this.#exchange === undefined) this.#end()
  }

  /** Cuts off who would be too slow before the next call. @param now  ms, in steps as coarse as the calls */
  check(now: number): void {
    if (this.#isOver) return
    const { headersTimeoutMs, requestTimeoutMs, keepAliveTimeoutMs } = this.#host.limits
    const waited = now - this.#since
    const isTooLong = (limitMs: number) => waited > Math.max(limitMs - CHECK_MS, limitMs / 2)
    if (this.#exchange === undefined) {
      // Node's parser reads in pieces of any size, and cuts off who is too slow at it.
      if (this.#held.length > 0 && waited > PIECES_MS) this.#handOver()
      else if (isTooLong(this.#isFresh ? headersTimeoutMs : keepAliveTimeoutMs)) this.#end()
      return
    }
    if (this.#bodyLeft > 0 && isTooLong(requestTimeoutMs)) {
      this.#endsAfterAnswer = true
      if (!this.#exchange.bodyIsLate()) this.socket.destroy()
      return
    }
    // A peer that stops reading its answer is cut off; each octet that goes gives it more time.
    const { bytesWritten, writableLength } = this.socket
    if (writableLength === 0 || bytesWritten !== this.#written) {
      this.#written = bytesWritten
      if (this.#bodyLeft === 0) this.#since = now
    } else if (isTooLong(requestTimeoutMs)) this.socket.destroy()
  }

  /** The answer is on its way: what comes next is another request. */
  over(isLast: boolean): void {
    this.#exchange = undefined
    this.#since = this.#nowish()
    this.#isFresh = false
    if (isLast || this.isEnding) {
      this.#end()
      return
    }
    if (this.#bodyLeft > 0 || this.#held.length > 0) queueMicrotask(this.#advance)
    this.#resume()
  }

  readonly #onData = (piece: Buffer): void => {
    if (this.#isOver) return
    this.#held = this.#held.length === 0 ? piece : Buffer.concat([this.#held, piece])
    if (this.#exchange === undefined) this.#advance()
    else if (this.#bodyLeft > 0) this.#collectBody()
    else if (this.#held.length > AHEAD_BYTES) this.#pause()
  }

  readonly #onDrain = (): void => this.#exchange?.onDrain?.()

  readonly #onClose = (): void => {
    this.#isOver = true
    this.#host.gone(this)
    const exchange = this.#exchange
    this.#exchange = undefined
    exchange?.connectionIsGone()
  }

  readonly #advance = (): void => {
    if (this.#isOver || this.#exchange !== undefined) return
    // The body of a request that was answered before it was read.
    if (this.#bodyLeft > 0) {
      const skipped = Math.min(this.#bodyLeft, this.#held.length)
      this.#bodyLeft -= skipped
      this.#held = this.#held.subarray(skipped)
      if (this.#bodyLeft > 0) return
    }
    if (this.#held.length === 0) return
    const head = this.#host.heads.read(this.#held)
    if (head === 'more') {
      this.#pieces += 1
      if (this.#pieces === 1) this.#since = this.#nowish()
      if (this.#pieces > MAX_PIECES) this.#handOver()
      return
    }
    if (head === 'other' || !this.#host.takes(head)) {
      this.#handOver()
      return
    }
    this.#pieces = 0
    this.#held = this.#held.length === head.length ? NOTHING : this.#held.subarray(head.length)
    this.#bodyLeft = head.contentLength
    this.#since = this.#nowish()
    const exchange = new Exchange(this, head)
    this.#exchange = exchange
    if (this.#bodyLeft > 0) this.#collectBody()
    this.#host.serve(exchange)
  }

  #collectBody(): void {
    if (this.#held.length < this.#bodyLeft) return
    const body = Buffer.from(this.#held.subarray(0, this.#bodyLeft))
    this.#held = this.#held.length === body.length ? NOTHING : this.#held.subarray(body.length)
    this.#bodyLeft = 0
    this.#exchange?.bodyIsThere(body)
  }

  #handOver(): void {
    this.#isOver = true
    this.#forget()
    this.#host.gone(this)
    this.#host.handOver(this.socket, this.#held)
  }

  /** What was written before still goes; what a peer sends behind it is read away, or closing would reset our answer. */
  #end(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#held = NOTHING
    this.#resume()
    this.socket.end()
    const linger = setTimeout(() => this.socket.destroy(), LINGER_MS)
    this.socket.once('close', () => clearTimeout(linger))
  }

  #forget(): void {
    this.socket.off('data', this.#onData)
    this.socket.off('drain', this.#onDrain)
    this.socket.off('close', this.#onClose)
    this.socket.off('error', ignore)
  }

  #pause(): void {
    this.#isPaused = true
    this.socket.pause()
  }

  #resume(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.socket.resume()
  }

  #nowish(): number {
    return Date.now()
  }
}

const NOTHING = Buffer.alloc(0)

/** Of requests that come before their turn. */
const AHEAD_BYTES = 65_536

/** A head that comes in more pieces, or takes longer, is unusual. */
const MAX_PIECES = 4
const PIECES_MS = 1000

/** How often those who are too slow are looked for. */
export const CHECK_MS = 500

/** How long a peer has to take its last answer and close. */
const LINGER_MS = 1000

const ignore = (): void => {}
