import { GbaError } from '../errors.ts'
import { invalidAnswer, type ParsedHead, parseAnswerHead } from './answer-head.ts'
import { ChunkDecoder } from './chunked.ts'

/** What the octets of one read have brought. */
export interface Progress {
  /** Once for an answer: with the first of its body, or with all of it. */
  readonly head: ParsedHead | undefined
  /** More of the body: a part of the octets that were read, which the next read overwrites, or memory of its own. */
  readonly body: Buffer | undefined
  /** The answer is complete. */
  readonly isDone: boolean
}

/**
 * Reads answers to one request after another from the octets of one connection, however they are split. Informational
 * answers are read over. A body of known length is held until it is whole where it is small, so that one which breaks
 * off does so before anything of it was passed on.
 * @see RFC 9112 section 6 (2022)
 */
export class AnswerReader {
  readonly #maxHeadBytes: number
  #state: State = IDLE
  #isForHead = false
  #interim = 0
  /** Of a head that is not whole yet. */
  #held: Buffer | undefined
  #head: ParsedHead | undefined
  /** The last one that was parsed. */
  #last: LastHead = { isForHead: false, text: '', head: undefined }
  /** Where the body begins in the octets that hold the end of the head. */
  #bodyAt = 0
  /** Of a body of known length: octets still to come. */
  #missing = 0
  #collected: Buffer | undefined
  readonly #allocate: (size: number) => Buffer
  #chunks: ChunkDecoder | undefined
  #hasBegun = false
  #isClean = true

  /**
   * @param maxHeadBytes  the most that a head may have, and all that is said around the chunks of a body together
   * @param allocate      gives memory for a body that is collected
   */
  constructor(maxHeadBytes: number, allocate: (size: number) => Buffer = Buffer.allocUnsafe) {
    this.#maxHeadBytes = maxHeadBytes
    this.#allocate = allocate
  }

  /** A request was sent. */
  begin(isForHead: boolean): void {
    this.#state = HEAD
    this.#isForHead = isForHead
    this.#interim = 0
    this.#head = undefined
    this.#hasBegun = false
  }

  /** Any octet of an answer has come, be it of an informational one. */
  get hasBegun(): boolean {
    return this.#hasBegun
  }

  /** The head is known, and the body is on its way. */
  get isInBody(): boolean {
    return this.#state >= SIZED
  }

  /** The answer was such that another request may follow it. */
  get isReusable(): boolean {
    return this.#isClean && this.#state === IDLE && this.#head !== undefined && !this.#head.isLast
  }

  /** How long the server says that it keeps the connection. */
  get keepAliveMs(): number | undefined {
    return this.#head?.keepAliveMs
  }

  /**
   * @param octets their content may be moved
   * @param length how many of them were read
   * @throws GbaError UT_AS_ANSWER_INVALID; nothing can be read after that
   */
  read(octets: Buffer, length: number): Progress {
    this.#hasBegun = true
    if (this.#state !== HEAD) return this.#readBody(octets, 0, length, undefined)
    const held = this.#held
    this.#held = undefined
    const all = held === undefined ? octets : Buffer.concat([held, octets.subarray(0, length)])
    const end = held === undefined ? length : all.length
    const head = this.#takeHead(all, end)
    if (head === undefined) return NOTHING_YET
    this.#head = head
    if (head.isBodyless || head.contentLength === 0) return this.#done(this.#bodyAt, end, head, undefined)
    if (head.isChunked) {
      this.#chunks = new ChunkDecoder(this.#maxHeadBytes)
      this.#state = CHUNKED
    } else if (head.contentLength === undefined) {
      this.#state = UNTIL_CLOSE
    } else {
      this.#missing = head.contentLength
      this.#state = SIZED
      if (end - this.#bodyAt < head.contentLength && head.contentLength <= COLLECTED_BYTES) {
        this.#collected = this.#allocate(head.contentLength)
        this.#state = COLLECTING
      }
    }
    return this.#readBody(all, this.#bodyAt, end, head)
  }

  /**
   * The server ends the connection, as it may where nothing else ends the body.
   * @throws GbaError UT_AS_UNREACHABLE within an answer; UT_AS_ANSWER_INVALID where a shorter one was announced as last
   */
  end(): void {
    const { isChunked = false, contentLength, isLast = false } = this.#head ?? {}
    if (this.#state === UNTIL_CLOSE) {
      this.#state = IDLE
      return
    }
    const what = isChunked ? 'its chunks' : `${contentLength ?? 'all'} octets`
    if (this.isInBody && isLast) throw invalidAnswer(`the answer ends before ${what}`)
    throw new GbaError('UT_AS_UNREACHABLE', `closed before the end of ${this.isInBody ? what : 'the head'}`)
  }

  /** Informational answers before it are read over. @returns undefined when it is not whole yet */
  #takeHead(octets: Buffer, length: number): ParsedHead | undefined {
    let from = 0
    for (;;) {
      const blank = octets.indexOf(EMPTY_LINE, from)
      const end = blank + EMPTY_LINE.length
      // Beyond the length there may be what was read before.
      const isWhole = blank >= 0 && end <= length
      if ((isWhole ? end : length) - from > this.#maxHeadBytes) throw invalidAnswer('too large a head')
      if (!isWhole) {
        this.#hold(octets.subarray(from, length))
        return undefined
      }
      const head = this.#parse(octets.toString('latin1', from, end))
      from = end
      if (head.status >= 200) {
        this.#bodyAt = end
        return head
      }
      if (++this.#interim > MAX_INTERIM) throw invalidAnswer('too many informational answers')
    }
  }

  /** A server says the same again and again, within a second at least. */
  #parse(text: string): ParsedHead {
    const { isForHead, text: before, head } = this.#last
    if (head !== undefined && before === text && isForHead === this.#isForHead) return head
    const parsed = parseAnswerHead(text, this.#isForHead)
    this.#last = { isForHead: this.#isForHead, text, head: parsed }
    return parsed
  }

  /** What can never become a head is not waited for: who speaks something else speaks no CRLF, perhaps. */
  #hold(part: Buffer): void {
    const text = part.toString('latin1')
    if (!text.startsWith(START.slice(0, text.length)) || BARE_LF.test(text)) throw invalidAnswer('no HTTP')
    if (part.length > 0) this.#held = Buffer.from(part)
  }

  #readBody(octets: Buffer, from: number, length: number, head: ParsedHead | undefined): Progress {
    switch (this.#state) {
      case COLLECTING:
      case SIZED: {
        const size = Math.min(this.#missing, length - from)
        const collected = this.#collected
        if (collected !== undefined) octets.copy(collected, collected.length - this.#missing, from, from + size)
        this.#missing -= size
        const isWhole = this.#missing === 0
        if (collected === undefined) {
          const body = part(octets, from, from + size)
          return isWhole ? this.#done(from + size, length, head, body) : { head, body, isDone: false }
        }
        if (!isWhole) return NOTHING_YET
        this.#collected = undefined
        return this.#done(from + size, length, this.#head, collected)
      }
      case CHUNKED: {
        const chunks = this.#chunks
        if (chunks === undefined) break
        const body = part(octets, from, chunks.decode(octets, from, length))
        if (!chunks.isDone) return { head, body, isDone: false }
        this.#chunks = undefined
        return this.#done(chunks.end, length, head, body)
      }
      case UNTIL_CLOSE:
        return { head, body: part(octets, from, length), isDone: false }
    }
    throw invalidAnswer('octets without a request')
  }

  #done(end: number, length: number, head: ParsedHead | undefined, body: Buffer | undefined): Progress {
    this.#state = IDLE
    // What stands behind an answer is no answer to the next request.
    if (end !== length) this.#isClean = false
    return { head, body, isDone: true }
  }
}

interface LastHead {
  readonly isForHead: boolean
  readonly text: string
  readonly head: ParsedHead | undefined
}

/** The largest body of known length that is held until it is whole. */
export const COLLECTED_BYTES = 64 * 1024

const MAX_INTERIM = 8
const EMPTY_LINE = Buffer.from('\r\n\r\n', 'latin1')
const START = 'HTTP/1.'
const BARE_LF = /(?:^|[^\r])\n/

const IDLE = 0
const HEAD = 1
const SIZED = 2
const COLLECTING = 3
const CHUNKED = 4
const UNTIL_CLOSE = 5
type State = 0 | 1 | 2 | 3 | 4 | 5

const NOTHING_YET: Progress = { head: undefined, body: undefined, isDone: false }

const part = (octets: Buffer, from: number, to: number): Buffer | undefined =>
  from === to ? undefined : octets.subarray(from, to)
