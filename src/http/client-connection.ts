import type { Socket } from 'node:net'
import { GbaError } from '../errors.ts'
import { AnswerReader, type Progress } from './answer-reader.ts'
import type { Holder, PendingCall } from './call.ts'
import type { Connector } from './connector.ts'
import { takeBody, takeReadBuffer, VIEWED_BYTES } from './read-buffers.ts'

/** How patient a connection is, and where it reports. */
export interface ConnectionOptions {
  readonly connector: Connector
  readonly timeoutMs: number
  readonly connectTimeoutMs: number
  readonly idleMs: number
  readonly maxHeadBytes: number
  readonly pool: ConnectionPool
}

export interface ConnectionPool {
  /** It stands. */
  onOpen(): void
  /** Another request may be sent: the connection stands, or its answer is complete. */
  onFree(connection: ClientConnection): void
  /** Once, and nothing after it. `error`: why it never stood; undefined: it did, or nobody wants to know. */
  onGone(connection: ClientConnection, error: GbaError | undefined): void
  /** The kept connection was closed as the request came. */
  onUnread(pending: PendingCall): void
}

/**
 * One connection, on which one request is sent at a time: an answer can be that of no other. Only after an answer
 * without any oddity another request follows.
 */
export class ClientConnection implements Holder {
  readonly #options: ConnectionOptions
  readonly #socket: Socket
  readonly #reader: AnswerReader
  /** Where reads go; a new one once a large part of it was handed on. */
  #octets: Buffer
  #isHandedOn = false
  #isOpen = false
  #isGone = false
  #isPaused = false
  /** It has had an answer before. */
  #isKept = false
  #pending: PendingCall | undefined
  /** Monotonic clock, ms: the time by which the next thing has to happen. */
  deadline: number
  /** The request that this connection is made for, so that no other gets it. */
  reserved: PendingCall | undefined

  constructor(options: ConnectionOptions, now: number, reserved: PendingCall | undefined) {
    this.#options = options
    this.#reader = new AnswerReader(options.maxHeadBytes, takeBody)
    this.reserved = reserved
    if (reserved !== undefined) reserved.holder = this
    this.deadline = Math.min(now + options.connectTimeoutMs, reserved?.giveUpAt ?? Infinity)
    const { connector } = options
    this.#octets = takeReadBuffer(connector.readBytes)
    const socket = connector.connect({ buffer: () => this.#buffer(), callback: (length) => this.#read(length) })
    this.#socket = socket
    socket.once(connector.readyEvent, () => this.#ready())
    socket.once('end', () => this.#ended())
    socket.on('error', (error) => this.#lost(unreachable(error)))
    socket.once('close', () => this.#lost(closedByServer()))
  }

  /** It stands, or did. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  /** Only on a connection that the pool was told is free. */
  send(pending: PendingCall, now: number): void {
    const { method, head, body } = pending.request
    this.reserved = undefined
    this.#pending = pending
    pending.holder = this
    pending.timesSent++
    this.#reader.begin(method === 'HEAD')
    this.deadline = Math.min(now + this.#options.timeoutMs, pending.giveUpAt)
    const socket = this.#socket
    if (body === undefined || body.length === 0) {
      socket.write(head, 'latin1')
    } else if (body.length <= JOINED_BYTES) {
      const octets = Buffer.allocUnsafe(head.length + body.length)
      octets.write(head, 'latin1')
      octets.set(body, head.length)
      socket.write(octets)
    } else {
      socket.cork()
      socket.write(head, 'latin1')
      socket.write(body)
      socket.uncork()
    }
  }

  resume(): void {
    if (!this.#isPaused) return
    this.#isPaused = false
    this.deadline = performance.now() + this.#options.timeoutMs
    this.#socket.resume()
  }

  /** Nothing tells a server that its answer is not wanted any more, but the end of the connection. */
  abort(pending: PendingCall): void {
    if (this.reserved === pending) this.reserved = undefined
    if (this.#pending !== pending) return
    this.#pending = undefined
    this.close()
  }

  /** Its deadline has come. */
  expire(now: number): void {
    const isTooLate = this.#isOpen || (this.reserved !== undefined && now >= this.reserved.giveUpAt)
    const detail = this.#isOpen ? 'no answer in time, or no more of it' : 'no connection in time'
    this.fail(new GbaError(isTooLate ? 'UT_AS_TIMEOUT' : 'UT_AS_UNREACHABLE', detail))
  }

  /** Ends it, when no request is on it. */
  close(): void {
    this.#close(undefined)
  }

  /** Ends it. A request that it has fails with this error. */
  fail(error: GbaError): void {
    if (this.#isGone) return
    const pending = this.#pending ?? this.reserved
    if (this.#pending !== undefined) this.#pending.hasBegun = this.#reader.hasBegun
    this.#pending = undefined
    this.#close(error)
    pending?.fail(error)
  }

  #ready(): void {
    if (this.#isGone) return
    this.#isOpen = true
    this.deadline = performance.now() + this.#options.connectTimeoutMs
    this.#options.pool.onOpen()
    this.#options.pool.onFree(this)
  }

  #free(): void {
    const { idleMs, pool } = this.#options
    const { keepAliveMs } = this.#reader
    const keptMs = keepAliveMs === undefined ? idleMs : Math.min(idleMs, keepAliveMs - KEEP_ALIVE_MARGIN_MS)
    this.deadline = performance.now() + keptMs
    if (keptMs > 0) pool.onFree(this)
    else this.close()
  }

  #close(error: GbaError | undefined): void {
    if (this.#isGone) return
    this.#isGone = true
    this.#socket.destroy()
    this.#options.pool.onGone(this, this.#isOpen ? undefined : error)
    this.reserved = undefined
  }

  /** @returns false: no more, for now */
  #read(length: number): boolean {
    if (this.#isGone) return true
    const pending = this.#pending
    if (pending === undefined) {
      // Nobody asked. The next request must not take it for its answer.
      this.close()
      return true
    }
    let progress: Progress
    try {
      progress = this.#reader.read(this.#octets, length)
    } catch (error) {
      this.fail(asGbaError(error))
      return true
    }
    const { head, isDone } = progress
    // A small answer that came in one read is looked at where it lies, and at once.
    const isAtOnce = head !== undefined && isDone && (progress.body?.length ?? 0) <= VIEWED_BYTES
    const body = progress.body === undefined || isAtOnce ? progress.body : this.#own(progress.body)
    if (isDone) this.#answered(pending)
    else if (this.#reader.isInBody && !this.#isPaused) this.deadline = performance.now() + this.#options.timeoutMs
    const { sink } = pending
    if (head !== undefined) {
      sink.onAnswer(head, isDone ? (body ?? NOTHING) : undefined)
      if (isDone) return true
    }
    if (body !== undefined && !pending.isAborted && !sink.onData(body) && !isDone) this.#pause()
    if (isDone && !pending.isAborted) sink.onEnd()
    return !this.#isPaused
  }

  /** The next request may have the connection before the sink of this one hears of its answer: it is complete. */
  #answered(pending: PendingCall): void {
    this.#pending = undefined
    pending.holder = undefined
    // A server that answers what it has not read may read the rest of it as another request.
    if (!this.#reader.isReusable || this.#socket.writableLength > 0) {
      this.close()
      return
    }
    this.#isKept = true
    if (this.#isPaused) {
      this.#isPaused = false
      this.#socket.resume()
    }
    this.#free()
  }

  /** Who is slow to take an answer is no fault of the server: no time runs against it meanwhile. */
  #pause(): void {
    if (this.#isGone) return
    this.#isPaused = true
    this.deadline = Infinity
  }

  #ended(): void {
    const pending = this.#pending
    if (pending === undefined || !this.#reader.hasBegun) {
      this.#lost(closedByServer())
      return
    }
    try {
      this.#reader.end()
    } catch (error) {
      this.fail(asGbaError(error))
      return
    }
    this.#answered(pending)
    pending.sink.onEnd()
  }

  /**
   * A server may close a kept connection just as a request is on its way. Where that asked for nothing but to read, it
   * is sent again, once; what may have been done is not done twice.
   */
  #lost(error: GbaError): void {
    const pending = this.#pending
    const isUnread = this.#isKept && !this.#reader.hasBegun
    if (this.#isGone || pending === undefined || !isUnread || !mayRepeat(pending)) {
      this.fail(error)
      return
    }
    this.#pending = undefined
    this.close()
    this.#options.pool.onUnread(pending)
  }

  /** Where the next read goes. */
  #buffer(): Buffer {
    if (this.#isHandedOn) {
      this.#isHandedOn = false
      this.#octets = takeReadBuffer(this.#octets.length)
    }
    return this.#octets
  }

  /** Out of the way of the next read: a large part takes its memory along, a small one is copied. */
  #own(part: Buffer): Buffer {
    if (part.buffer !== this.#octets.buffer) return part
    if (part.length * 2 >= this.#octets.length) {
      this.#isHandedOn = true
      return part
    }
    return Buffer.from(part)
  }
}

/** Up to this size head and body are copied into one piece, which is cheaper than to write two. */
const JOINED_BYTES = 16 * 1024
/** By how much sooner than the server we give a kept connection up. */
const KEEP_ALIVE_MARGIN_MS = 1000
const NOTHING = Buffer.alloc(0)

/** @see RFC 9110 section 9.2.1 (2022) */
const SAFE: ReadonlySet<string> = new Set(['GET', 'HEAD'])

const mayRepeat = ({ timesSent, request }: PendingCall): boolean => timesSent < 2 && SAFE.has(request.method)

const closedByServer = () => new GbaError('UT_AS_UNREACHABLE', 'closed by the server')

const asGbaError = (error: unknown): GbaError => (error instanceof GbaError ? error : unreachable(error))

function unreachable(error: unknown): GbaError {
  const { code, message } = error as NodeJS.ErrnoException
  return new GbaError('UT_AS_UNREACHABLE', code ?? message, { cause: error })
}
