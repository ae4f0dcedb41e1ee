import type { ConnectionOptions as TlsOptions } from 'node:tls'
import { atEndOfTurn } from '../core/turn.ts'
import { GbaError } from '../errors.ts'
import { type AnswerSink, type Call, type Holder, type OutgoingRequest, PendingCall } from './call.ts'
import { ClientConnection, type ConnectionOptions, type ConnectionPool } from './client-connection.ts'
import { connectorTo } from './connector.ts'
import { Queue } from './queue.ts'

export type { AnswerHead } from './answer-head.ts'
export type { AnswerSink, Call, OutgoingRequest } from './call.ts'

export interface ClientOptions {
  readonly name: string
  /** Scheme, host and port. */
  readonly url: string
  /** From the request being sent to the head of the answer, and between two pieces of the body. */
  readonly timeoutMs: number
  readonly connectTimeoutMs: number
  /** At most open; more requests wait, first come, first served. */
  readonly connections: number
  /** At most waiting; one more is refused at once. */
  readonly maxWaiting: number
  /** Where every connection is busy, one that waited so long is refused. Default: it waits as long as it may live. */
  readonly maxWaitMs?: number
  /** A kept connection is closed when it was not used for so long, or 1 s before the server says that it closes it. */
  readonly idleMs: number
  /** Default: 16 KiB. */
  readonly maxHeadBytes?: number
  /** Of an https URL. `servername`: the name that the certificate has to carry; default: the host of the URL. */
  readonly tls?: TlsOptions
}

export interface Client {
  request(request: OutgoingRequest, sink: AnswerSink): Call
  /** Connections that are open, or about to be. */
  readonly open: number
  /** Requests that no connection is there or opened for. */
  readonly waiting: number
  /** Takes no more requests; resolves when those that were made are answered and all connections are closed. */
  close(): Promise<void>
  /** Fails all requests and destroys all connections. */
  destroy(): void
}

/**
 * A client of one server for what makes up nearly all traffic: requests whose body is whole, and answers in HTTP/1.1.
 * On a connection one request is sent at a time, and another one only after an answer without any oddity.
 *
 * A request fails with UT_AS_UNREACHABLE where no connection stands in time or it breaks off, with UT_AS_TIMEOUT where
 * waiting, connecting and answering together take longer than connectTimeoutMs and timeoutMs, or a piece of the body
 * longer than timeoutMs, with UT_AS_ANSWER_INVALID, and with UT_AS_OVERLOADED where too many wait, or one for longer
 * than maxWaitMs. Times are kept to a tenth of a second. GET and HEAD are sent again, once, where a kept connection was closed as they came.
 * @throws Error on a URL or certificate that is none
 */
export function httpClient(options: ClientOptions): Client {
  return new Pool(options)
}

class Pool implements Client, ConnectionPool, Holder {
  readonly #options: ClientOptions
  readonly #each: ConnectionOptions
  readonly #connections = new Set<ClientConnection>()
  /** The last one used comes first: what is not needed at all is closed in time. */
  readonly #idle: ClientConnection[] = []
  readonly #queue = new Queue<PendingCall>()
  #opening = 0
  #isFlushing = false
  #sweeping: NodeJS.Timeout | undefined
  #closed: PromiseWithResolvers<void> | undefined

  constructor(options: ClientOptions) {
    this.#options = options
    const { url, tls, timeoutMs, connectTimeoutMs, idleMs, maxHeadBytes = 16_384 } = options
    const connector = connectorTo(url, tls)
    this.#each = { connector, timeoutMs, connectTimeoutMs, idleMs, maxHeadBytes, pool: this }
  }

  get open(): number {
    return this.#connections.size
  }

  get waiting(): number {
    const places = this.#options.connections - this.#connections.size + this.#opening + this.#idle.length
    return Math.max(0, this.#queue.size - places)
  }

  request(request: OutgoingRequest, sink: AnswerSink): Call {
    const { connectTimeoutMs, timeoutMs, maxWaiting, name } = this.#options
    const pending = new PendingCall(request, sink, performance.now(), connectTimeoutMs + timeoutMs, this)
    this.#queue.add(pending)
    if (this.#closed !== undefined) {
      this.#refuse(pending, new GbaError('UT_AS_UNREACHABLE', `${name}: closed`))
    } else if (this.waiting > maxWaiting) {
      this.#refuse(pending, new GbaError('UT_AS_OVERLOADED', `${name}: ${maxWaiting} requests wait already`))
    } else {
      this.#sweeping ??= setInterval(() => this.#sweep(), SWEEP_MS).unref()
      this.#flushSoon()
    }
    return pending
  }

  close(): Promise<void> {
    this.#closed ??= Promise.withResolvers<void>()
    this.#flushSoon()
    return this.#closed.promise
  }

  destroy(): void {
    void this.close()
    const error = new GbaError('UT_AS_UNREACHABLE', `${this.#options.name}: destroyed`)
    for (const pending of this.#queue.all()) this.#drop(pending, error)
    for (const connection of this.#connections) connection.fail(error)
  }

  /** Of a request that waits there is nothing to resume. */
  resume(): void {}

  abort(pending: PendingCall): void {
    this.#queue.delete(pending)
  }

  onOpen(): void {
    this.#opening--
  }

  onFree(connection: ClientConnection): void {
    const { reserved } = connection
    if (reserved !== undefined) {
      connection.send(reserved, performance.now())
      return
    }
    this.#idle.push(connection)
    if (this.#queue.size > 0 || this.#closed !== undefined) this.#flushSoon()
  }

  onGone(connection: ClientConnection, error: GbaError | undefined): void {
    this.#connections.delete(connection)
    const at = this.#idle.indexOf(connection)
    if (at >= 0) this.#idle.splice(at, 1)
    if (!connection.isOpen) {
      this.#opening--
      // The request that it was opened for; not where another one has taken its place and it had that one's.
      const { first } = this.#queue
      const isMissed = connection.reserved === undefined && this.#queue.size > this.#opening
      if (error !== undefined && first !== undefined && isMissed) this.#drop(first, error)
    }
    this.#flushSoon()
  }

  onUnread(pending: PendingCall): void {
    this.#open(performance.now(), pending)
  }

  /**
   * Requests are written once all that has arrived in this turn of the event loop is read: an octet that came on a kept
   * connection unasked ends it, rather than to begin the answer to the next request.
   */
  #flushSoon(): void {
    if (this.#isFlushing) return
    this.#isFlushing = true
    atEndOfTurn('send', this.#flush)
  }

  readonly #flush = (): void => {
    this.#isFlushing = false
    const now = performance.now()
    for (let pending = this.#queue.first; pending !== undefined; pending = this.#queue.first) {
      const connection = this.#takeIdle(now)
      if (connection === undefined) break
      this.#queue.delete(pending)
      connection.send(pending, now)
    }
    while (this.#queue.size > this.#opening && this.open < this.#options.connections) this.#open(now, undefined)
    if (this.#closed === undefined || this.#queue.size > 0) return
    for (const connection of [...this.#idle]) connection.close()
    if (this.open === 0) this.#closed.resolve()
  }

  #takeIdle(now: number): ClientConnection | undefined {
    for (let connection = this.#idle.pop(); connection !== undefined; connection = this.#idle.pop()) {
      if (connection.deadline > now) return connection
      connection.close()
    }
    return undefined
  }

  #open(now: number, reserved: PendingCall | undefined): void {
    this.#opening++
    this.#connections.add(new ClientConnection(this.#each, now, reserved))
  }

  #drop(pending: PendingCall, error: GbaError): void {
    this.#queue.delete(pending)
    pending.fail(error)
  }

  #refuse(pending: PendingCall, error: GbaError): void {
    this.#queue.delete(pending)
    process.nextTick(() => pending.fail(error))
  }

  /** Who waits for a connection that is being opened has the time that it may take; others wait for the server. */
  #refuseWhoWaitsTooLong(now: number): void {
    const { connections, maxWaitMs = Infinity, name } = this.#options
    if (this.#opening > 0 || this.open < connections) return
    for (const pending of this.#queue.all()) {
      if (now - pending.since >= maxWaitMs)
        this.#drop(pending, new GbaError('UT_AS_OVERLOADED', `${name}: every connection is busy for too long`))
    }
  }

  #sweep(): void {
    const now = performance.now()
    for (const pending of this.#queue.all()) {
      if (pending.giveUpAt > now) break
      this.#drop(pending, new GbaError('UT_AS_TIMEOUT', 'no connection in time'))
    }
    this.#refuseWhoWaitsTooLong(now)
    for (const connection of this.#connections) if (connection.deadline <= now) connection.expire(now)
    if (this.open > 0 || this.#queue.size > 0) return
    clearInterval(this.#sweeping)
    this.#sweeping = undefined
  }
}

const SWEEP_MS = 100
