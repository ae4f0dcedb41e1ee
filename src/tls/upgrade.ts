import { randomUUID } from 'node:crypto'
import { type IncomingMessage, Server, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import { type Fqdn, parseFqdn } from '../core/fqdn.ts'
import { PROBLEM_JSON } from '../errors.ts'
import { doorOf } from './psk-listener.ts'
import { answerInClear, type ClearAnswer, type ClearPolicy, UPGRADE_OFFERED } from './upgrade-request.ts'

export interface UpgradeOptions extends ClearPolicy {
  readonly limits: {
    readonly headerBytes: number
    /** For a head, for what follows it, and between two requests. */
    readonly headersTimeoutMs: number
    /** From our 101 to the end of the handshake. */
    readonly handshakeMs: number
    /** Those that went over to TLS among them. */
    readonly connections: number
  }
  /** Body of a refusal, in JSON. */
  readonly problem: (status: number, requestId: string) => string
  /** Told of every answer but 101; and with 101, of a handshake that did not come. */
  readonly onRefused: (requestId: string, status: number, detail: string) => void
}

/**
 * A listener without TLS that serves nothing: it sends clients to TLS, or takes them there on the connection they have.
 * From 101 on, the connection is one of `tlsServer`, by all of its rules; the request that asked comes in there first.
 * It counts here until it ends, so `close` is over once both servers have closed.
 * @param tlsServer answers what comes within TLS; it may have been through `admitPsk`
 * @see RFC 2817 section 3, section 4 (2000)
 */
export function upgradeListener(tlsServer: HttpsServer, options: UpgradeOptions): Server {
  const server = new ClearServer(options)
  const handover = new Handover(tlsServer, options)
  server.on('upgrade', (request, socket, head) => {
    server.loosen(socket)
    const answer = answerInClear(headOf(request), options)
    if (server.isAnswering(socket)) server.refuse(socket, undefined, 'an upgrade behind an unfinished answer')
    else if (head.length > 0) server.refuse(socket, 400, 'octets before our 101')
    else if (answer.status !== 101 || !(socket instanceof Socket)) server.refuse(socket, 400, 'no upgrade after all')
    else handover.begin(socket, answer, () => server.forget(socket))
  })
  server.once('close', () => handover.end())
  return server
}

/**
 * Whether this request was written before its connection had TLS. Who wrote it is then unknown, whatever the handshake
 * proved: a stranger may ask for the upgrade, and leave the handshake to a UE that knows of no upgrade.
 * @see RFC 2817 section 8 (2000)
 */
export const cameInClear = (request: IncomingMessage): boolean => inClear.has(request)

const inClear = new WeakSet<IncomingMessage>()

/** Whether the first request of a connection is one that came in clear and was put back before it. */
export const expectsReplay = (socket: Socket): boolean => beforeReplay.has(socket)

/** Connections whose first request is still to come in. */
const beforeReplay = new WeakSet<object>()

/** What `onRefused` is told of a handshake that somebody else was led to: with 101, the sign of an attack. */
export const SPLICED = 'a handshake of a client that did not upgrade'

/** How long a refused peer has to take its answer and close. */
const LINGER_MS = 1000

/** On one connection: one to be told, one to ask for TLS, and a few for a client that is slow to understand. */
const MAX_REQUESTS = 8

const SWITCHING = `HTTP/1.1 101 ${STATUS_CODES[101]}\r\nUpgrade: ${UPGRADE_OFFERED}\r\nConnection: Upgrade\r\n\r\n`

/** What is known of a connection in clear. */
interface Conversation {
  requests: number
  request: IncomingMessage | undefined
  isAnswering: boolean
  isOver: boolean
}

/** Answers in clear, each of them a refusal. */
class ClearServer extends Server {
  readonly #options: UpgradeOptions
  readonly #conversations = new WeakMap<Duplex, Conversation>()
  /** Sockets that the server itself has let go of, and TLS does not have yet. */
  readonly #loose = new Set<Duplex>()

  constructor(options: UpgradeOptions) {
    const { headerBytes, headersTimeoutMs, connections } = options.limits
    super({
      maxHeaderSize: headerBytes,
      headersTimeout: headersTimeoutMs,
      requestTimeout: headersTimeoutMs,
      keepAliveTimeout: headersTimeoutMs,
      connectionsCheckingInterval: Math.min(1000, headersTimeoutMs),
      // Node's own answer is none of ours: see answerInClear.
      requireHostHeader: false,
      shouldUpgradeCallback: (request) => answerInClear(headOf(request), options).status === 101,
    })
    this.#options = options
    this.maxConnections = connections
    // Of a client that does not take its answer.
    this.timeout = 2 * headersTimeoutMs + LINGER_MS
    // Beyond a number, Node would drop fields, a second Host among them; their octets are bounded anyway.
    this.maxHeadersCount = 0
    this.on('request', this.#answer)
    // Node would say 100 here, or 417 without a record.
    this.on('checkContinue', this.#answer)
    this.on('checkExpectation', this.#answer)
    this.on('connect', (_request, socket) => {
      this.loosen(socket)
      this.refuse(socket, 400, 'CONNECT')
    })
    this.on('clientError', this.#unread)
  }

  /** Those of a handshake that is under way as well; but not those that have become connections of the TLS server. */
  override closeAllConnections(): void {
    super.closeAllConnections()
    for (const socket of this.#loose) socket.destroy()
  }

  isAnswering(socket: Duplex): boolean {
    return this.#conversationOn(socket).isAnswering
  }

  /** Looks after a socket that Node has let go of. */
  loosen(socket: Duplex): void {
    this.#loose.add(socket)
    socket.on('error', () => {}) // it closes, and that is dealt with
    socket.once('close', () => this.#loose.delete(socket))
  }

  forget(socket: Duplex): void {
    this.#loose.delete(socket)
  }

  /** The end of a connection without a response object. @param status undefined: no answer would find its question */
  refuse(socket: Duplex, status: 400 | 408 | 431 | undefined, detail: string): void {
    this.#conversationOn(socket).isOver = true
    const requestId = randomUUID()
    this.#options.onRefused(requestId, status ?? 400, detail)
    if (status !== undefined) {
      const body = this.#options.problem(status, requestId)
      socket.write(
        `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: ${PROBLEM_JSON}\r\n` +
          `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
      )
    }
    socket.end()
    // What still comes is read, lest it reset the answer away; but not for long.
    socket.resume()
    const linger = setTimeout(() => socket.destroy(), LINGER_MS)
    socket.once('close', () => clearTimeout(linger))
  }

  #conversationOn(socket: Duplex): Conversation {
    const known = this.#conversations.get(socket)
    const conversation = known ?? { requests: 0, request: undefined, isAnswering: false, isOver: false }
    if (!known) this.#conversations.set(socket, conversation)
    return conversation
  }

  readonly #answer = (request: IncomingMessage, response: ServerResponse): void => {
    const conversation = this.#conversationOn(request.socket)
    // Nothing behind the last answer is answered.
    if (conversation.isOver) return
    conversation.requests += 1
    conversation.request = request
    conversation.isAnswering = true
    response.once('close', () => {
      conversation.isAnswering = conversation.request !== request
    })
    const answer = refusalOf(answerInClear(headOf(request), this.#options))
    conversation.isOver = answer.isLast || conversation.requests === MAX_REQUESTS
    const requestId = randomUUID()
    this.#options.onRefused(requestId, answer.status, answer.detail)
    const body = this.#options.problem(answer.status, requestId)
    const connection = [...(answer.status === 426 ? ['Upgrade'] : []), ...(conversation.isOver ? ['close'] : [])]
    response.writeHead(answer.status, {
      ...(answer.status === 426 && { Upgrade: UPGRADE_OFFERED }),
      ...(answer.status === 308 && { Location: answer.location }),
      ...(connection.length > 0 && { Connection: connection.join(', ') }),
      'Content-Type': PROBLEM_JSON,
      'Content-Length': Buffer.byteLength(body),
    })
    response.end(body)
  }

  /** What never became a request, or a body that nobody waits for. */
  readonly #unread = (error: Error & { readonly code?: string }, socket: Duplex): void => {
    const { request, isAnswering, isOver } = this.#conversationOn(socket)
    if (isOver) return // and about to end
    if (!socket.writable || error.code === 'ECONNRESET') {
      socket.destroy()
      return
    }
    this.loosen(socket)
    const isAnswered = isAnswering || request?.complete === false
    this.refuse(socket, isAnswered ? undefined : (STATUS_OF[error.code ?? ''] ?? 400), error.code ?? error.message)
  }
}

const STATUS_OF: Readonly<Record<string, 408 | 431>> = {
  HPE_HEADER_OVERFLOW: 431,
  ERR_HTTP_REQUEST_TIMEOUT: 408,
}

type Switch = Extract<ClearAnswer, { readonly status: 101 }>

/** The name that the handshake was made for. */
function nameOf(socket: TLSSocket): Fqdn | undefined {
  const door = doorOf(socket)
  if (door.kind === 'psk') return door.nafFqdn
  return typeof socket.servername === 'string' ? parseFqdn(socket.servername) : undefined
}

/** Takes connections from clear to TLS. */
class Handover {
  readonly #tlsServer: HttpsServer
  readonly #options: UpgradeOptions
  /** By both ends of the connection: that is what its TLS socket has in common with it. */
  readonly #waiting = new Map<string, (socket: TLSSocket) => void>()

  constructor(tlsServer: HttpsServer, options: UpgradeOptions) {
    this.#tlsServer = tlsServer
    this.#options = options
    // Before the server reads from it: what is put back then comes first.
    tlsServer.prependListener('secureConnection', this.#arrived)
    tlsServer.prependListener('request', this.#replayed)
  }

  end(): void {
    this.#tlsServer.removeListener('secureConnection', this.#arrived)
    this.#tlsServer.removeListener('request', this.#replayed)
  }

  /** Says 101 and hands the connection over. @param onSecure its handshake is done */
  begin(raw: Socket, { host, replay }: Switch, onSecure: () => void): void {
    const ends = endsOf(raw)
    if (!ends) {
      raw.destroy()
      return
    }
    const deadline = setTimeout(() => {
      this.#options.onRefused(randomUUID(), 101, 'no handshake in time')
      raw.destroy()
    }, this.#options.limits.handshakeMs)
    const arrive = (socket: TLSSocket) => {
      clearTimeout(deadline)
      onSecure()
      // Whoever upgraded has said HTTP/1.1 and which name. This one means to begin with TLS, knows nothing of the request
      // that somebody put before it, and would take its answer for that of its own.
      if (socket.alpnProtocol || nameOf(socket) !== host) {
        this.#options.onRefused(randomUUID(), 101, SPLICED)
        socket.destroy()
        return
      }
      beforeReplay.add(socket)
      socket.unshift(replay)
    }
    this.#waiting.set(ends, arrive)
    raw.once('close', () => {
      clearTimeout(deadline)
      if (this.#waiting.get(ends) === arrive) this.#waiting.delete(ends)
    })
    raw.setTimeout(0)
    raw.allowHalfOpen = false
    raw.write(SWITCHING)
    this.#tlsServer.emit('connection', raw)
  }

  readonly #arrived = (socket: TLSSocket): void => {
    const ends = endsOf(socket)
    const arrive = ends === undefined ? undefined : this.#waiting.get(ends)
    if (ends === undefined || !arrive) return
    this.#waiting.delete(ends)
    arrive(socket)
  }

  readonly #replayed = (request: IncomingMessage): void => {
    if (beforeReplay.delete(request.socket)) inClear.add(request)
  }
}

type Refusal = Exclude<ClearAnswer, { readonly status: 101 }>

/** The parser saw no upgrade where we do: whoever is right, it is not granted. */
function refusalOf(answer: ClearAnswer): Refusal {
  return answer.status === 101
    ? { status: 426, isLast: true, detail: 'an upgrade that the parser did not see' }
    : answer
}

function headOf({ method, url, httpVersion, rawHeaders }: IncomingMessage) {
  return { method: method ?? '', target: url ?? '', httpVersion, rawHeaders }
}

function endsOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string | undefined {
  if (remoteAddress === undefined) return undefined
  return [remoteAddress, remotePort, localAddress, localPort].join(' ')
}
