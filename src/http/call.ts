import type { GbaError } from '../errors.ts'
import type { AnswerHead } from './answer-head.ts'

export interface OutgoingRequest {
  readonly method: string
  /** Request line and fields with the empty line, one octet a character; its Content-Length is that of `body`. */
  readonly head: string
  readonly body: Uint8Array | undefined
  /** How often it was sent before, by others. Default: never. */
  readonly timesSent?: number
  /** How long it has waited already, of what it may; ms. Default: not at all. */
  readonly waitedMs?: number
}

/** Where an answer goes. Nothing is called before `request` has returned. */
export interface AnswerSink {
  /**
   * Once. `whole`: the complete body where it is all there already, and then `onEnd` is not called; one up
   * to 16 KiB may be gone once this returns. undefined: `onData` and `onEnd` follow.
   */
  onAnswer(head: AnswerHead, whole: Buffer | undefined): void
  /**
   * The sink may give the memory of the chunk back by `reuseReadBuffer`, when it is done with it.
   * @returns false: read no more until `resume`; what was read already may still come, 64 KiB at most
   */
  onData(chunk: Buffer): boolean
  onEnd(): void
  /** At most once, and nothing after it; after `onAnswer` when the body breaks off. */
  onFailed(error: GbaError): void
}

/** One request on its way. */
export interface Call {
  /** After `onData` has returned false. */
  resume(): void
  /** The connection is destroyed if the request was sent. Nothing of the sink is called any more. */
  abort(): void
  /** How often it was sent. */
  readonly timesSent: number
  /** An octet of an answer has come. */
  readonly hasBegun: boolean
}

/** What has the request now. */
export interface Holder {
  resume(pending: PendingCall): void
  abort(pending: PendingCall): void
}

/** A request from being made until its answer is complete; the pool hands it to a connection, or to another one. */
export class PendingCall implements Call {
  readonly request: OutgoingRequest
  readonly sink: AnswerSink
  /** Monotonic clock, ms: without an answer until then there will be none. */
  readonly giveUpAt: number
  /** From when its wait counts. */
  readonly since: number
  /** undefined once it is over. */
  holder: Holder | undefined
  timesSent: number
  hasBegun = false
  isAborted = false

  constructor(request: OutgoingRequest, sink: AnswerSink, now: number, limitMs: number, holder: Holder) {
    this.request = request
    this.sink = sink
    this.giveUpAt = now + limitMs
    this.since = now - (request.waitedMs ?? 0)
    this.holder = holder
    this.timesSent = request.timesSent ?? 0
  }

  resume(): void {
    this.holder?.resume(this)
  }

  abort(): void {
    const { holder } = this
    this.isAborted = true
    this.holder = undefined
    holder?.abort(this)
  }

  fail(error: GbaError): void {
    if (this.holder === undefined) return
    this.holder = undefined
    this.sink.onFailed(error)
  }
}
