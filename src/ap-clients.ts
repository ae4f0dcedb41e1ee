import type { GbaError } from './errors.ts'
import type { AnswerHead, AnswerSink, Call, Client, ClientOptions, OutgoingRequest } from './http/client.ts'
import { httpClient } from './http/client.ts'
import type { AppServer } from './passage.ts'
import { type AppServerAddresses, isSafeMethod, type Lease } from './ut/addresses.ts'
import type { Grant } from './ut/authorise.ts'

/** The express lane's way to one application server: a client for each of its addresses. */
export interface ApClients {
  /** @throws GbaError UT_AS_SUSPENDED when no address is tried now */
  request(grant: Grant, request: OutgoingRequest, sink: AnswerSink): Underway
  /** How busy each client is. */
  loads(): readonly Pick<Client, 'open' | 'waiting'>[]
  /** Resolves when the requests that were made are over, tried elsewhere where that may be; later ones fail. */
  close(): Promise<void>
  destroy(): void
}

export type Underway = Pick<Call, 'resume' | 'abort'>

/** @param addresses  what is known of the server, which others who send to it may share */
export function apClients(server: AppServer, addresses: AppServerAddresses): ApClients {
  const clients = new Map(addresses.urls.map((url) => [url, httpClient(optionsOf(server, url))]))
  let underWay = 0
  let idle: PromiseWithResolvers<void> | undefined
  const over = () => {
    if (--underWay === 0) idle?.resolve()
  }
  const way: Way = { addresses, clients, over }
  return {
    request(grant, request, sink) {
      const attempts = new Attempts(way, grant, request, sink)
      underWay++
      return attempts
    },
    loads: () => [...clients.values()],
    async close() {
      idle ??= Promise.withResolvers()
      if (underWay === 0) idle.resolve()
      await idle.promise
      await Promise.all([...clients.values()].map((client) => client.close()))
    },
    destroy() {
      for (const client of clients.values()) client.destroy()
    },
  }
}

interface Way {
  readonly addresses: AppServerAddresses
  /** By URL of the address. */
  readonly clients: ReadonlyMap<string, Client>
  /** To be told once of each request that is over. */
  readonly over: () => void
}

const optionsOf = (
  { name, timeoutMs, connectTimeoutMs, connections, waiting = Infinity, waitMs = Infinity, tls }: AppServer,
  url: string,
): ClientOptions => ({
  name,
  url,
  timeoutMs,
  connectTimeoutMs,
  connections,
  maxWaiting: waiting,
  maxWaitMs: waitMs,
  idleMs: IDLE_MS,
  ...(tls && { tls }),
})

/** A server that closes sooner says so, or loses a race that is answered. */
const IDLE_MS = 4_000

/**
 * One request at one address; or, where it only reads and nothing of an answer has come, at a second one. It is sent
 * twice at most, by whomever: where its client has sent it twice already, that was all.
 */
class Attempts implements AnswerSink, Underway {
  readonly #way: Way
  readonly #request: OutgoingRequest
  readonly #sink: AnswerSink
  readonly #key: string
  #lease: Lease
  #call: Call
  #isSecond = false
  #isOver = false

  constructor(way: Way, grant: Grant, request: OutgoingRequest, sink: AnswerSink) {
    this.#way = way
    this.#request = request
    this.#sink = sink
    this.#key = grant.uri.xui ?? grant.subscriber
    const wanted = { key: this.#key, isSafe: isSafeMethod(request.method) }
    this.#lease = way.addresses.choose(wanted, performance.now())
    this.#call = this.#send(request)
  }

  resume(): void {
    this.#call.resume()
  }

  abort(): void {
    this.#call.abort()
    this.#lease.abandoned(performance.now())
    this.#end()
  }

  onAnswer(head: AnswerHead, whole: Buffer | undefined): void {
    this.#lease.answered(head.status, performance.now())
    if (whole) this.#end()
    this.#sink.onAnswer(head, whole)
  }

  onData(piece: Buffer): boolean {
    return this.#sink.onData(piece)
  }

  onEnd(): void {
    this.#end()
    this.#sink.onEnd()
  }

  onFailed(error: GbaError): void {
    const failedAt = this.#lease.url
    this.#lease.failed(error.code, performance.now())
    this.#lease.release()
    if (this.#mayRepeat(error) && this.#repeat(failedAt)) return
    this.#end()
    this.#sink.onFailed(error)
  }

  #end(): void {
    this.#lease.release()
    if (!this.#isOver) this.#way.over()
    this.#isOver = true
  }

  #mayRepeat({ code }: GbaError): boolean {
    const { timesSent, hasBegun } = this.#call
    const isUnanswered = code === 'UT_AS_UNREACHABLE' && !hasBegun
    return isUnanswered && !this.#isSecond && timesSent < 2 && isSafeMethod(this.#request.method)
  }

  /** @returns false: there is no other address that takes it */
  #repeat(except: string): boolean {
    const lease = this.#way.addresses.chooseOther({ key: this.#key, isSafe: true, except }, performance.now())
    if (!lease) return false
    this.#isSecond = true
    this.#lease = lease
    this.#call = this.#send({ ...this.#request, timesSent: this.#call.timesSent })
    return true
  }

  #send(request: OutgoingRequest): Call {
    const client = this.#way.clients.get(this.#lease.url)
    if (!client) throw new TypeError(`no client of ${this.#lease.url}`)
    return client.request(request, this)
  }
}
