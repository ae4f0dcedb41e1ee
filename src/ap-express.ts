import { randomUUID } from 'node:crypto'
import type { ApClients, Underway } from './ap-clients.ts'
import type { Held, Lane } from './ap-lane.ts'
import { type OwnAnswer, SERVER_TOKENS } from './ap-stages.ts'
import { GbaError } from './errors.ts'
import type { AnswerHead, AnswerSink } from './http/client.ts'
import { dateLine } from './http/exchange.ts'
import type { Exchange } from './http/front.ts'
import { reuseBody, reuseReadBuffer } from './http/read-buffers.ts'
import type { RequestHead } from './http/request-head.ts'
import type { Overload, Place } from './load.ts'
import type { Logger } from './observe/log.ts'
import type { ApRequest, Connection, Passage } from './passage.ts'
import type { Shedding } from './shedding.ts'
import { headTextOf, returnedFields } from './ut/headers.ts'
import { checkedMessage } from './ut/upstream.ts'

export interface ExpressOptions {
  readonly lane: Lane<ApClients>
  readonly connectionOf: (exchange: Exchange) => Connection
  readonly shedding: Shedding
  readonly log: Pick<Logger, 'error'>
}

/**
 * What the lane takes of what the front reads: proofs that cover bodies go the general road, which holds bodies whole, and
 * so does what most clients never send.
 */
export function expressTakes({ method, target, contentLength, authorization }: RequestHead): boolean {
  if (contentLength > EXPRESS_BODY_BYTES || (method === 'DELETE' && contentLength > 0)) return false
  if (target.includes('%') && !isDecodable(target)) return false
  // With a backslash the same can be written in other ways.
  return !authorization.some((line) => /auth-int|\\/i.test(line))
}

/** Fastify has its own word for what is not. */
function isDecodable(target: string): boolean {
  try {
    decodeURIComponent(target)
    return true
  } catch {
    return false
  }
}

/** Larger bodies are better streamed in than held beside what belongs to the next request. */
export const EXPRESS_BODY_BYTES = 65_536

/**
 * The express lane: the common request, read by the strict front and sent by a lean client. The stages are those of the
 * general road, and so is what is checked on the way out; only the carrying differs.
 */
export function expressLane(options: ExpressOptions): (exchange: Exchange) => void {
  return (exchange) =>
    options.shedding.arrive(
      (place, waitedMs) => {
        if (exchange.isGone) place.leave()
        else void new Carriage(options, exchange, place, waitedMs).go()
      },
      (why) => refuse(options, exchange, why),
    )
}

function refuse({ shedding, log }: ExpressOptions, exchange: Exchange, why: Overload): void {
  const { head, peer } = exchange
  const request = { id: randomUUID(), method: head.method, peer }
  try {
    const { status, headers, body } = shedding.refusal(why, request)
    exchange.send(status, idLine(request.id) + ownFields(headers), body)
  } catch (err) {
    // What cannot be recorded is not answered; and nobody is above this to catch it.
    log.error({ err, requestId: request.id }, 'ut.failed')
    exchange.cut()
  }
}

/** One exchange on its way through the stages, to the application server and back. */
class Carriage implements AnswerSink {
  readonly #options: ExpressOptions
  readonly #exchange: Exchange
  readonly #passage: Passage
  /** The rules of its arrival. */
  readonly #held: Held<ApClients>
  readonly #place: Place
  /** For the process to come to it. */
  readonly #waitedMs: number
  #call: Underway | undefined
  /** An answer of which the body is still to come. */
  #announced: { status: number; fields: string; contentLength: number | undefined } | undefined

  constructor(options: ExpressOptions, exchange: Exchange, place: Place, waitedMs: number) {
    this.#options = options
    this.#exchange = exchange
    this.#place = place
    this.#waitedMs = waitedMs
    this.#passage = { request: readRequest(exchange) }
    this.#held = options.lane.hold()
  }

  async go(): Promise<void> {
    const { connectionOf } = this.#options
    const { stages } = this.#held.rules
    const passage = this.#passage
    // A body that never comes: nobody goes on here then.
    this.#exchange.onGone = this.#held.release
    try {
      await stages.enter(passage, connectionOf(this.#exchange))
      const body = this.#exchange.head.contentLength === 0 ? undefined : await this.#body()
      const answer = await stages.prepare(passage, body)
      if (answer) this.#own(answer, false)
      else this.#forward()
    } catch (error) {
      await this.#refuse(error)
    } finally {
      // What was sent is answered, whatever becomes of the way.
      this.#held.release()
    }
  }

  onAnswer(head: AnswerHead, whole: Buffer | undefined): void {
    try {
      this.#answer(head, whole)
    } catch (error) {
      this.#call?.abort()
      this.onFailed(error)
    }
  }

  #answer(head: AnswerHead, whole: Buffer | undefined): void {
    const { status } = head
    this.#passage.forwarding?.onAnswer?.(status)
    // Deviation: handsets take any 401 as "bootstrap anew", so an AS that asks for credentials must not be passed on.
    if (status === 401 || status === 407) {
      this.#call?.abort()
      void this.#refuse(new GbaError('UT_AS_WANTS_CREDENTIALS', `the application server answered ${status}`))
      return
    }
    const proof = this.#passage.authenticated?.authenticationInfo(NO_BODY)
    const fields = idLine(this.#passage.request.id) + fieldsText(head, proof)
    if (whole) {
      this.#place.leave()
      this.#exchange.send(status, fields, head.isBodyless ? undefined : whole, false, () => reuseBody(whole))
      return
    }
    const exchange = this.#exchange
    if (exchange.isGone) {
      this.#abort()
      return
    }
    exchange.onDrain = () => this.#call?.resume()
    exchange.onGone = () => this.#abort()
    this.#announced = { status, fields, contentLength: head.contentLength }
  }

  onData(piece: Buffer): boolean {
    this.#begin()
    return this.#exchange.write(piece, () => reuseReadBuffer(piece))
  }

  onEnd(): void {
    this.#place.leave()
    this.#begin()
    this.#exchange.end()
  }

  /** Where the UE has gone meanwhile nobody is answered, and it is recorded all the same. */
  onFailed(error: unknown): void {
    if (this.#exchange.hasBegun && !this.#exchange.isGone) this.#cut()
    else void this.#refuse(error)
  }

  /** Not before the first octet of the body: until then a server that fails can still be told of as one. */
  #begin(): void {
    const announced = this.#announced
    if (!announced) return
    this.#announced = undefined
    this.#exchange.begin(announced.status, announced.fields, announced.contentLength)
  }

  /** Never settled when the UE goes before it has sent all of it. */
  #body(): Promise<Buffer | undefined> {
    return new Promise((resolve, reject) => {
      this.#place.pause()
      const take = (body: Buffer | undefined) => {
        this.#place.resume()
        resolve(body)
      }
      this.#exchange.body(take, () => reject(new GbaError('UT_REQUEST_TIMEOUT', 'the body took too long')))
    })
  }

  #forward(): void {
    const { forwarding } = this.#passage
    if (!forwarding) throw new TypeError('a request that nobody permitted')
    const { grant, path, headers, body } = checkedMessage(forwarding)
    const request = {
      method: grant.method,
      head: headTextOf(grant.method, path, headers),
      body,
      waitedMs: this.#waitedMs,
    }
    this.#call = this.#held.wayTo(grant.appServer).request(grant, request, this)
  }

  async #refuse(error: unknown): Promise<void> {
    try {
      const answer = await this.#held.rules.stages.refuse(error, this.#passage)
      this.#own(answer, answer.headers.connection === 'close')
    } catch (err) {
      this.#options.log.error({ err, requestId: this.#passage.request.id }, 'ut.failed')
      this.#cut()
    }
  }

  /** Nobody is there any more to take the answer. */
  #abort(): void {
    this.#place.leave()
    this.#call?.abort()
  }

  #cut(): void {
    this.#place.leave()
    this.#exchange.cut()
  }

  #own({ status, headers, body }: OwnAnswer, isLast: boolean): void {
    this.#place.leave()
    const { connection: _, ...told } = headers
    this.#exchange.send(
      status,
      idLine(this.#passage.request.id) + ownFields(told),
      status === 304 ? undefined : body,
      isLast,
    )
  }
}

const idLine = (id: string): string => `x-request-id: ${id}\r\n`

function ownFields(headers: OwnAnswer['headers']): string {
  let fields = SERVER_LINE + dateLine()
  for (const [name, value] of Object.entries(headers)) {
    for (const line of [value].flat()) fields += `${name}: ${line}\r\n`
  }
  return fields
}

const NO_BODY = new Uint8Array()

const SERVER_LINE = `server: ${SERVER_TOKENS}\r\n`

/** Of the answer's fields and ours, what is the same for all answers like it. */
class Returned {
  readonly text: string
  readonly isDated: boolean

  constructor({ rawHeaders, isBodyless, contentLength }: AnswerHead) {
    const returned = returnedFields(rawHeaders)
    let text = SERVER_LINE
    let isDated = false
    for (let i = 0; i + 1 < returned.length; i += 2) {
      const name = returned[i]
      // Its body is framed anew.
      if (name === 'content-length') continue
      if (name === 'date') isDated = true
      text += `${name}: ${returned[i + 1]}\r\n`
    }
    // Of a body that is not there.
    if (isBodyless && contentLength !== undefined) text += `content-length: ${contentLength}\r\n`
    this.text = text
    this.isDated = isDated
  }

  static of(head: AnswerHead): Returned {
    const { note } = head.likeness
    if (note instanceof Returned) return note
    const returned = new Returned(head)
    head.likeness.note = returned
    return returned
  }
}

function fieldsText(head: AnswerHead, proof: string | undefined): string {
  const { text, isDated } = Returned.of(head)
  const fields = isDated ? text : text + dateLine()
  return proof === undefined ? fields : `${fields}authentication-info: ${proof}\r\n`
}

function readRequest({ head, peer }: Exchange): ApRequest {
  const { method, target, rawHeaders, host, authorization, intendedIdentity, userAgent = '', contentLength } = head
  const { likeness } = head
  return {
    id: randomUUID(),
    method,
    target,
    rawHeaders,
    host: [host],
    authorization,
    intendedIdentity,
    userAgent,
    announcesBody: contentLength > 0,
    peer,
    likeness,
  }
}
