import { randomUUID } from 'node:crypto'
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { TlsOptions } from 'node:tls'
import Fastify, {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyServerOptions,
  LogController,
} from 'fastify'
import { headerValues } from './core/headers.ts'
import { type FaultCode, PROBLEM_JSON, problemOf } from './errors.ts'
import type { Audit } from './observe/audit.ts'
import { RequestLog } from './request-log.ts'

/** Bounds that hold before a request is a request. */
export interface ServerLimits {
  readonly bodyBytes: number
  readonly headerBytes: number
  readonly headersTimeoutMs: number
  readonly requestTimeoutMs: number
  readonly keepAliveTimeoutMs: number
  readonly connections: number
}

export interface ServerOptions {
  readonly log: FastifyBaseLogger
  readonly limits: ServerLimits
  /** undefined: plain HTTP. */
  readonly tls?: TlsOptions | undefined
  /** Told of what never became a request. */
  readonly onRefused?: (code: FaultCode, requestId: string, status: number) => void
  /** Told when the server begins to stop: idle connections are closed after a moment of so many ms. */
  readonly onStopping?: (lingerMs: number) => void
}

/** One Fastify server, with the framing limits that every role has. Every refusal is problem+json with a request id. */
export function createServer({ log, limits, tls, onRefused, onStopping }: ServerOptions): FastifyInstance {
  const checkingMs = Math.min(1000, limits.headersTimeoutMs)
  const framing = {
    maxHeaderSize: limits.headerBytes,
    headersTimeout: limits.headersTimeoutMs,
    connectionsCheckingInterval: checkingMs,
    // Node's own answer to a request without Host says nothing that could be found in a log: see checkFraming.
    requireHostHeader: false,
  }
  const told = new WeakSet<Socket>()
  const refuse = (socket: Socket, code: FaultCode, status: number) => {
    // The rest of what is refused comes here again, while the answer is on its way.
    if (told.has(socket)) return
    // Who was told already, or is in the midst of an answer, would take these octets for something else.
    if (!socket.writable || isAnswering(socket)) {
      socket.destroy()
      return
    }
    told.add(socket)
    const requestId = randomUUID()
    onRefused?.(code, requestId, status)
    const body = JSON.stringify(problemOf(status, requestId))
    socket.end(
      `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: ${PROBLEM_JSON}\r\n` +
        `Content-Length: ${Buffer.byteLength(body)}\r\nConnection: close\r\n\r\n${body}`,
    )
    // What it still sends is read away, or closing would reset our answer away.
    socket.resume()
    // A peer that neither reads nor closes keeps no connection.
    const linger = setTimeout(() => socket.destroy(), LINGER_MS)
    socket.once('close', () => clearTimeout(linger))
  }
  const common = {
    loggerInstance: log,
    childLoggerFactory: (...of: ConstructorParameters<typeof RequestLog>) => new RequestLog(...of),
    logController: new LogController({ disableRequestLogging: true, requestIdLogLabel: 'requestId' }),
    requestIdHeader: false as const,
    genReqId: () => randomUUID(),
    bodyLimit: limits.bodyBytes,
    // Fastify sets these on the server itself, over what Node's options say.
    // Who is too slow is found at the next look: by then the limit is not to have passed.
    requestTimeout: Math.max(checkingMs, limits.requestTimeoutMs - checkingMs),
    keepAliveTimeout: limits.keepAliveTimeoutMs,
    exposeHeadRoutes: false,
    forceCloseConnections: 'idle' as const,
    // What was on its way when we were asked to stop is served like everything else.
    return503OnClosing: false,
    clientErrorHandler: (error: Error & { code?: string }, socket: Socket) => {
      const [code, status] = CLIENT_ERRORS[error.code ?? ''] ?? (['UT_REQUEST_MALFORMED', 400] as const)
      // A peer that went away, or with whom there is no TLS, is nobody to answer.
      if (socket.destroyed || NOBODY_THERE.test(error.code ?? '')) socket.destroy()
      else refuse(socket, code, status)
    },
    frameworkErrors: (_error: unknown, request: { readonly id: string }, reply: FastifyReply) => {
      onRefused?.('UT_REQUEST_MALFORMED', request.id, 400)
      void reply
        .code(400)
        .header('content-type', PROBLEM_JSON)
        .send(Buffer.from(JSON.stringify(problemOf(400, request.id))))
    },
  }
  const transport = tls ? { https: { ...tls, ...framing } } : { http: framing }
  const server = Fastify({ ...common, ...transport } as FastifyServerOptions)
  server.server.maxConnections = limits.connections
  // What Node would answer itself, without a problem or a record. Expect counts for nothing: it is never passed on.
  server.server.on('checkExpectation', (request, response) => server.server.emit('request', request, response))
  server.server.on('connect', (_request, socket: Socket) => refuse(socket, 'UT_METHOD_NOT_ALLOWED', 405))
  server.addHook('onRequest', async ({ raw }) => checkFraming(raw))
  // A peer that stops reading its answer is cut off; the timer is the connection's, and each octet that goes resets it.
  server.addHook('onSend', async (_request, reply) => void reply.raw.setTimeout(limits.requestTimeoutMs))
  boundStop(server, undefined, onStopping)
  return server
}

/** The record of what never became a request. */
export const unborn =
  (audit: Audit, event: 'ub.refused' | 'zn.refused' | 'ut.refused'): NonNullable<ServerOptions['onRefused']> =>
  (code, requestId, status) =>
    audit.record(event, { code, requestId, status })

/** How long a refused peer has to take its answer and close. */
const LINGER_MS = 1000

/** What Node's parser lets through and two servers could frame, or address, differently. */
function checkFraming({ httpVersion, rawHeaders, headers }: IncomingMessage): void {
  if (httpVersion !== '1.1' && httpVersion !== '1.0') malformed(`HTTP/${httpVersion}`)
  const hosts = headerValues(rawHeaders, 'host').length
  if (hosts > 1 || (hosts === 0 && httpVersion === '1.1')) malformed(`${hosts} Host headers`)
  const coding = headers['transfer-encoding']
  if (coding === undefined) return
  if (httpVersion === '1.0') malformed('chunked under HTTP/1.0')
  // Another coding under the chunks would reach a server as if it were the content.
  if (coding.toLowerCase() !== 'chunked') malformed(`transfer coding ${coding}`)
}

/** For the error handler of each role, which has a code of its own for a malformed request. */
function malformed(detail: string): never {
  throw Object.assign(new Error(detail), { statusCode: 400 })
}

/** The response that this connection waits for, begun or not: Node keeps it there. */
export function answerOn(
  socket: Socket & { readonly _httpMessage?: ServerResponse | null },
): ServerResponse | undefined {
  return socket._httpMessage ?? undefined
}

/** Whether it has begun: Node asks the same before it answers itself. */
const isAnswering = (socket: Socket): boolean => answerOn(socket)?.headersSent === true

const NOBODY_THERE = /^(?:ECONNRESET$|ERR_SSL_|ERR_TLS_)/

/**
 * How a server stops: every answer from now on is the last of its connection; a moment later nothing more is accepted
 * and connections that wait for a request are closed; what is in flight finishes, or is cut off when the grace is over.
 * The moment is for requests that were sent before their client could know.
 */
export function boundStop(
  server: FastifyInstance,
  graceMs: () => number = () => STOP_GRACE_MS,
  onStopping: ServerOptions['onStopping'] = undefined,
): void {
  const open = new Set<Socket>()
  let isStopping = false
  // Before TLS, if there is any: who never finishes a handshake holds up nobody either. Not before it listens, since
  // who takes connections out of the server's hands wants to be the only one to be told of them until then.
  server.server.once('listening', () => {
    server.server.on('connection', (socket: Socket) => {
      open.add(socket)
      socket.once('close', () => open.delete(socket))
    })
  })
  server.addHook('onSend', async (_request, reply) => {
    if (isStopping) reply.header('connection', 'close')
  })
  server.addHook('preClose', async () => {
    isStopping = true
    onStopping?.(STOP_LINGER_MS)
    // Node ends its own timers when a server closes: from then on nobody else would cut off a client.
    const cut = setTimeout(() => {
      for (const socket of open) socket.destroy()
    }, graceMs()).unref()
    for (let waited = 0; open.size > 0 && waited < STOP_LINGER_MS; waited += POLL_MS) await delay(POLL_MS)
    // An answer that had begun before did not say that it would be the last.
    const idle = setInterval(() => server.server.closeIdleConnections(), POLL_MS).unref()
    server.server.once('close', () => {
      clearTimeout(cut)
      clearInterval(idle)
    })
  })
}

/** How long requests in flight have to finish when the process is asked to stop. */
export const STOP_GRACE_MS = 8_000

const STOP_LINGER_MS = 300
const POLL_MS = 20

const CLIENT_ERRORS: Readonly<Record<string, readonly [FaultCode, number]>> = {
  HPE_HEADER_OVERFLOW: ['UT_HEADERS_TOO_LARGE', 431],
  ERR_HTTP_REQUEST_TIMEOUT: ['UT_REQUEST_TIMEOUT', 408],
}
