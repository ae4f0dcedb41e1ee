import { type FaultCode, GbaError } from '../../src/errors.ts'
import type { AnswerHead, AnswerSink, Call, Client, ClientOptions, OutgoingRequest } from '../../src/http/client.ts'
import { httpClient } from '../../src/http/client.ts'

/** For assert.throws and assert.rejects. */
export const refusedAs = (code: FaultCode) => (error: unknown) => error instanceof GbaError && error.code === code
export const invalid = refusedAs('UT_AS_ANSWER_INVALID')
export const unreachable = refusedAs('UT_AS_UNREACHABLE')
export const tooLate = refusedAs('UT_AS_TIMEOUT')
export const overloaded = refusedAs('UT_AS_OVERLOADED')

export function clientOf(url: string, options: Partial<ClientOptions> = {}): Client {
  const patience = { timeoutMs: 5000, connectTimeoutMs: 5000, idleMs: 4000 }
  return httpClient({ name: 'as', url, ...patience, connections: 4, maxWaiting: 16, ...options })
}

export function requestOf(method = 'GET', target = '/', body?: Uint8Array): OutgoingRequest {
  const length = body === undefined ? '' : `Content-Length: ${body.length}\r\n`
  return { method, head: `${method} ${target} HTTP/1.1\r\nHost: as\r\n${length}\r\n`, body }
}

export interface Got {
  readonly head: AnswerHead
  readonly body: Buffer
  /** It came at once. */
  readonly isWhole: boolean
}

/** What a sink was told, in order; a call that must not come any more throws. */
export class Recorder implements AnswerSink {
  readonly told: ('answer' | 'whole' | 'data' | 'end' | 'failed')[] = []
  readonly pieces: Buffer[] = []
  head: AnswerHead | undefined
  error: GbaError | undefined
  /** Settled by the end, or by the failure. */
  readonly over = Promise.withResolvers<Got>()
  readonly answered = Promise.withResolvers<void>()
  #isOver = false

  constructor() {
    // Who waits for neither has asked something else.
    this.over.promise.catch(() => {})
    this.answered.promise.catch(() => {})
  }

  onAnswer(head: AnswerHead, whole: Buffer | undefined): void {
    if (this.head !== undefined) throw new Error('a second answer')
    this.#tell(whole === undefined ? 'answer' : 'whole')
    this.head = head
    this.answered.resolve()
    if (whole === undefined) return
    this.pieces.push(whole)
    this.#end()
  }
  onData(chunk: Buffer): boolean {
    this.#tell('data')
    this.pieces.push(chunk)
    return true
  }
  onEnd(): void {
    this.#tell('end')
    this.#end()
  }
  onFailed(error: GbaError): void {
    this.#tell('failed')
    this.#isOver = true
    this.error = error
    this.over.reject(error)
    this.answered.reject(error)
  }

  #tell(what: (typeof this.told)[number]): void {
    if (this.#isOver) throw new Error(`${what} after the end`)
    if ((what === 'data' || what === 'end') && this.head === undefined) throw new Error(`${what} before the answer`)
    this.told.push(what)
  }
  #end(): void {
    this.#isOver = true
    if (this.head === undefined) throw new Error('an end without an answer')
    const isWhole = this.told[0] === 'whole'
    this.over.resolve({ head: this.head, body: Buffer.concat(this.pieces), isWhole })
  }
}

/** @throws GbaError */
export function ask(client: Client, request: OutgoingRequest = requestOf()): Promise<Got> {
  return asking(client, request).over
}

export interface Asking {
  readonly call: Call
  readonly sink: Recorder
  readonly over: Promise<Got>
}

export function asking(client: Client, request: OutgoingRequest = requestOf(), sink = new Recorder()): Asking {
  return { call: client.request(request, sink), sink, over: sink.over.promise }
}

/** Sooner or later; a test whose wait never ends fails by its time limit. */
export async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((later) => setTimeout(later, 5))
}

/** After it, what was written within this process before it has been read, however late the process runs. */
export async function turn(): Promise<void> {
  for (let times = 0; times < 3; times++) await new Promise((later) => setTimeout(later, 2))
  for (let times = 0; times < 3; times++) await new Promise((later) => setImmediate(later))
}
