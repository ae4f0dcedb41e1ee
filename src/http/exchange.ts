import { STATUS_CODES } from 'node:http'
import type { TLSSocket } from 'node:tls'
import { VIEWED_BYTES } from './read-buffers.ts'
import type { RequestHead } from './request-head.ts'

/** What the front needs to know of an exchange: when it is over, and whether the connection goes on. */
export interface ExchangeHost {
  readonly socket: TLSSocket
  /** Address at its other end. */
  readonly peer: string
  /** Every answer from now on is the last of its connection. */
  readonly isEnding: boolean
  readonly keepAliveHeader: string
  /** The answer is on its way, whole. */
  over(isLast: boolean): void
}

type BodyTaker = { readonly take: (body: Buffer | undefined) => void; readonly late: () => void }

/**
 * One request and its answer on a connection. Of the answer, `send` is all of it; or `begin`, any number of `write` and
 * `end`; or `cut`, where no whole one can be given any more.
 */
export class Exchange {
  readonly head: RequestHead
  readonly #host: ExchangeHost
  #body: Buffer | undefined
  #taker: BodyTaker | undefined
  #state: 'asked' | 'answering' | 'over' | 'gone' = 'asked'
  #isChunked = false
  #isLast = false
  /** Called when the UE has taken what was written so far. */
  onDrain: (() => void) | undefined
  /** Called when the connection is gone before the answer was whole. */
  onGone: (() => void) | undefined

  constructor(host: ExchangeHost, head: RequestHead) {
    this.#host = host
    this.head = head
  }

  get socket(): TLSSocket {
    return this.#host.socket
  }

  get peer(): string {
    return this.#host.peer
  }

  /** Also in the turn in which a socket is destroyed and says so later: what it knew of its TLS connection is gone then. */
  get isGone(): boolean {
    return this.#state === 'gone' || this.#host.socket.destroyed
  }

  /** Calls `take` once the body is there as a whole, with undefined where there is none; or `late`, when it took too long. */
  body(take: BodyTaker['take'], late: BodyTaker['late']): void {
    if (this.head.contentLength === 0) take(undefined)
    else if (this.#body) take(this.#body)
    else this.#taker = { take, late }
  }

  /** The front has it. */
  bodyIsThere(body: Buffer): void {
    this.#body = body
    const taker = this.#taker
    this.#taker = undefined
    taker?.take(body)
  }

  /** @returns whether somebody waits for the body, and was told */
  bodyIsLate(): boolean {
    const taker = this.#taker
    this.#taker = undefined
    taker?.late()
    return taker !== undefined
  }

  connectionIsGone(): void {
    if (this.#state === 'over') return
    this.#state = 'gone'
    this.#taker = undefined
    this.onGone?.()
  }

  /**
   * The whole answer.
   * @param fields  header lines, each with its line end, without those of framing and connection
   * @param body    undefined: none, and `fields` may tell the length of one (HEAD, 304)
   * @param done    called once nobody looks at the body any more; not always
   */
  send(status: number, fields: string, body: Uint8Array | undefined, isLast = false, done?: () => void): void {
    if (this.#state !== 'asked') return
    this.#state = 'over'
    const { socket } = this.#host
    const last = isLast || this.#closes()
    const length = body ? `content-length: ${body.length}\r\n` : ''
    const head = this.#headText(status, fields, length, last)
    const isEmpty = !body || body.length === 0 || this.head.method === 'HEAD'
    if (isEmpty) socket.write(head, 'latin1')
    else if (body.length <= VIEWED_BYTES) sendJoined(socket, head, body)
    else {
      socket.cork()
      socket.write(head, 'latin1')
      socket.write(body, done)
      socket.uncork()
    }
    this.#host.over(last)
  }

  /** @param length  of the body that follows; undefined: chunked, since nobody told */
  begin(status: number, fields: string, length: number | undefined): void {
    if (this.#state !== 'asked') return
    this.#state = 'answering'
    this.#isLast = this.#closes()
    this.#isChunked = length === undefined
    const framing = length === undefined ? 'transfer-encoding: chunked\r\n' : `content-length: ${length}\r\n`
    this.#host.socket.write(this.#headText(status, fields, framing, this.#isLast), 'latin1')
  }

  /** @param done  called once nobody looks at the piece any more. @returns false: more is to come only after `onDrain` */
  write(piece: Buffer, done: () => void): boolean {
    if (this.#state !== 'answering') return true
    const { socket } = this.#host
    if (!this.#isChunked) return socket.write(piece, done)
    if (piece.length === 0) return true
    socket.cork()
    socket.write(`${piece.length.toString(16)}\r\n`, 'latin1')
    socket.write(piece, done)
    const goesOn = socket.write('\r\n', 'latin1')
    socket.uncork()
    return goesOn
  }

  end(): void {
    if (this.#state !== 'answering') return
    this.#state = 'over'
    if (this.#isChunked) this.#host.socket.write('0\r\n\r\n', 'latin1')
    this.#host.over(this.#isLast)
  }

  /** What was begun cannot be finished: the UE has to see that it is not whole. */
  cut(): void {
    if (this.#state === 'over') return
    this.#state = 'over'
    this.#host.socket.destroy()
  }

  /** Whether the answer has begun, so that no other can be given. */
  get hasBegun(): boolean {
    return this.#state !== 'asked'
  }

  #closes(): boolean {
    return this.#host.isEnding || !this.head.keepsAlive
  }

  #headText(status: number, fields: string, framing: string, isLast: boolean): string {
    const connection = isLast ? 'connection: close\r\n' : this.#host.keepAliveHeader
    return `${statusLine(status)}${fields}${connection}${framing}\r\n`
  }
}

/**
 * Head and body as one piece, and one TLS record: copying is cheaper than a second of each. It is needed as well: the
 * body may be memory that something else is about to be read into.
 */
function sendJoined(socket: TLSSocket, head: string, body: Uint8Array): void {
  const length = head.length + body.length
  const room = length > ROOM_BYTES ? Buffer.allocUnsafe(length) : (rooms.pop() ?? Buffer.allocUnsafeSlow(ROOM_BYTES))
  room.write(head, 0, 'latin1')
  room.set(body, head.length)
  if (length > ROOM_BYTES) socket.write(room)
  else socket.write(room.subarray(0, length), () => rooms.length < MOST_ROOMS && rooms.push(room))
}

/** Memory that answers are put together in, used again once they are sent. */
const rooms: Buffer[] = []
const ROOM_BYTES = 20_480
const MOST_ROOMS = 512

const statusLines = new Map<number, string>()

function statusLine(status: number): string {
  const known = statusLines.get(status)
  if (known !== undefined) return known
  const made = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? 'Unknown'}\r\n`
  statusLines.set(status, made)
  return made
}

let dateAt = 0
let date = ''

/** The Date of an answer that has none yet. @see RFC 9110 clause 6.6.1 */
export function dateLine(): string {
  const second = Math.floor(Date.now() / 1000)
  if (second !== dateAt) {
    dateAt = second
    date = `date: ${new Date(second * 1000).toUTCString()}\r\n`
  }
  return date
}
