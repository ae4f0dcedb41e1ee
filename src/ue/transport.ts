import http from 'node:http'
import https from 'node:https'
import { isIP, type Socket } from 'node:net'
import { checkServerIdentity, connect, TLSSocket } from 'node:tls'
import { UeError } from './fault.ts'
import type { HeaderList, UeConnection, UeRequestMessage, UeResponseMessage } from './message.ts'
import { type ConnectRule, connectTarget, type UeUrl } from './url.ts'

export interface TransportOptions {
  readonly connect?: readonly ConnectRule[]
  /** Trust anchors in PEM, in place of the system's. */
  readonly ca?: string | Uint8Array
  /** Accepts any server certificate: for labs. */
  readonly insecure?: boolean
  /** Of an answer; 16 MiB by default. */
  readonly maxBodyBytes?: number
  /** Kept by default. */
  readonly connections?: 'kept' | 'one-per-request'
}

/** A request to a URL before the connection is known. */
export interface Outgoing {
  readonly url: UeUrl
  readonly method: string
  readonly body: Uint8Array
  /**
   * Called once the connection stands, since Ks_NAF depends on its suite; and again for each further connection that
   * is tried, so that no nonce count goes out twice.
   */
  readonly headers: (connection: UeConnection) => HeaderList
  readonly signal?: AbortSignal | undefined
}

export interface Sent {
  readonly connection: UeConnection
  readonly request: UeRequestMessage
  readonly response: UeResponseMessage
}

export interface Transport {
  /** @throws UeError, whatever goes wrong */
  send(outgoing: Outgoing): Promise<Sent>
  /** A TLS handshake and nothing else; nothing at all for plain HTTP. @throws UeError */
  probe(url: UeUrl, signal?: AbortSignal): Promise<UeConnection>
  close(): void
}

/**
 * HTTP/1.1 with the request target as given. `node:https` rather than undici: it hands out the socket, and so the
 * suite, before the first header is written.
 */
export function createTransport(options: TransportOptions = {}): Transport {
  const keepAlive = options.connections !== 'one-per-request'
  const agents = { http: new http.Agent({ keepAlive }), https: new https.Agent({ keepAlive }) }
  const limit = options.maxBodyBytes ?? 16 * 1024 * 1024

  const tlsOptions = (url: UeUrl) => ({
    ...connectTarget(options.connect ?? [], url.host, url.port),
    minVersion: 'TLSv1.2' as const,
    servername: isIP(url.host) === 0 ? url.host : '',
    rejectUnauthorized: !options.insecure,
    checkServerIdentity: (_: string, certificate: Parameters<typeof checkServerIdentity>[1]) =>
      checkServerIdentity(url.host, certificate),
    ...(options.ca !== undefined && { ca: Buffer.from(options.ca) }),
  })

  const open = ({ url, method, signal }: Outgoing): http.ClientRequest => {
    const common = { method, path: url.target, setHost: false, ...(signal && { signal }) }
    return url.scheme === 'https'
      ? https.request({ ...common, ...tlsOptions(url), agent: agents.https })
      : http.request({ ...common, ...connectTarget(options.connect ?? [], url.host, url.port), agent: agents.http })
  }

  const attempt = (outgoing: Outgoing): Promise<Sent> =>
    new Promise((resolve, reject) => {
      const request = open(outgoing)
      let phase: Phase = 'connect'
      const fail = (error: unknown) => reject(faultOf(error, phase, outgoing.signal, request.reusedSocket))
      request.on('error', fail)
      request.on('socket', (socket) => {
        const ready = () => {
          phase = 'sent'
          try {
            const connection = connectionOf(socket)
            const headers = outgoing.headers(connection)
            for (const [name, values] of grouped(headers)) request.setHeader(name, values)
            const { method, body, url } = outgoing
            request.on('response', (response) => {
              phase = 'answered'
              collect(response, limit).then((answer) => {
                resolve({ connection, request: { method, target: url.target, headers, body }, response: answer })
              }, fail)
            })
            request.end(body.length > 0 ? body : undefined)
          } catch (error) {
            fail(error)
            request.destroy()
          }
        }
        if (request.reusedSocket) return ready()
        socket.once('connect', () => {
          phase = phase === 'connect' ? 'tls' : phase
        })
        socket.once(socket instanceof TLSSocket ? 'secureConnect' : 'connect', ready)
      })
    })

  return {
    async send(outgoing) {
      for (;;) {
        try {
          return await attempt(outgoing)
        } catch (error) {
          // The server closed an idle connection just as we wrote to it: nothing was wrong, and the agent has one less.
          if (!(error instanceof IdleConnectionLost) || !IDEMPOTENT.has(outgoing.method)) throw error
        }
      }
    },
    probe(url, signal) {
      if (url.scheme === 'http') return Promise.resolve({})
      return new Promise((resolve, reject) => {
        let phase: Phase = 'connect'
        const socket = connect(tlsOptions(url))
        const abort = () => socket.destroy(new Error('aborted'))
        signal?.addEventListener('abort', abort, { once: true })
        socket.once('connect', () => {
          phase = 'tls'
        })
        socket.once('error', (error) => reject(faultOf(error, phase, signal, false)))
        socket.once('close', () => signal?.removeEventListener('abort', abort))
        socket.once('secureConnect', () => {
          resolve(connectionOf(socket))
          socket.end()
        })
      })
    },
    close() {
      agents.http.destroy()
      agents.https.destroy()
    },
  }
}

type Phase = 'connect' | 'tls' | 'sent' | 'answered'

/** What may be sent again without asking. @see RFC 9110 clause 9.2.2 */
const IDEMPOTENT: ReadonlySet<string> = new Set(['GET', 'HEAD', 'PUT', 'DELETE', 'OPTIONS', 'TRACE'])

class IdleConnectionLost extends UeError {}

function connectionOf(socket: Socket): UeConnection {
  if (!(socket instanceof TLSSocket)) return {}
  const { name, standardName } = socket.getCipher()
  return { tls: { suite: standardName, cipher: name, version: socket.getProtocol() ?? '' } }
}

/** Node takes a field's lines together; their order among themselves stays. */
function grouped(headers: HeaderList): Iterable<[name: string, values: string | string[]]> {
  const fields = new Map<string, [string, string[]]>()
  for (const [name, value] of headers) {
    const field = fields.get(name.toLowerCase())
    if (field) field[1].push(value)
    else fields.set(name.toLowerCase(), [name, [value]])
  }
  return [...fields.values()].map(([name, values]) => [name, values.length === 1 ? (values[0] ?? '') : values])
}

async function collect(response: http.IncomingMessage, limit: number): Promise<UeResponseMessage> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > limit) throw new UeError('ANSWER_TOO_LARGE', `the answer is larger than ${limit} octets`)
    chunks.push(chunk)
  }
  const { rawHeaders } = response
  const headers = rawHeaders.flatMap((name, i): [string, string][] => (i % 2 ? [] : [[name, rawHeaders[i + 1] ?? '']]))
  return {
    status: response.statusCode ?? 0,
    reason: response.statusMessage ?? '',
    headers,
    body: new Uint8Array(Buffer.concat(chunks)),
  }
}

function faultOf(error: unknown, phase: Phase, signal: AbortSignal | undefined, reused: boolean): UeError {
  if (error instanceof UeError) return error
  const cause = error instanceof Error ? error : new Error(String(error))
  const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : ''
  // OpenSSL's message is a line out of its source; its reason is the part for people.
  const detail = 'reason' in cause && typeof cause.reason === 'string' ? cause.reason : cause.message || code
  if (signal?.aborted) {
    return signal.reason instanceof Error && signal.reason.name === 'TimeoutError'
      ? new UeError('TIMEOUT', 'no answer in time', { cause })
      : new UeError('ABORTED', 'interrupted', { cause })
  }
  if (code.startsWith('ERR_INVALID_') || code === 'ERR_UNESCAPED_CHARACTERS') {
    return new UeError('REQUEST_MALFORMED', detail, { cause })
  }
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return new UeError('HOST_UNKNOWN', detail, { cause })
  if (phase === 'connect') return new UeError('CONNECT_FAILED', detail, { cause })
  if (phase === 'tls') {
    return new UeError(isCertificateFault(code) ? 'CERTIFICATE_REFUSED' : 'TLS_FAILED', detail, { cause })
  }
  if (phase === 'answered') return new UeError('ANSWER_CUT_SHORT', detail, { cause })
  const lost = code === 'ECONNRESET' || code === 'EPIPE'
  if (lost && reused) return new IdleConnectionLost('CONNECTION_LOST', detail, { cause })
  // Node's own words for a connection that was closed before the first octet of an answer.
  if (lost && cause.message === 'socket hang up')
    return new UeError('ANSWER_EMPTY', 'the server said nothing', { cause })
  return new UeError('CONNECTION_LOST', detail, { cause })
}

/** OpenSSL's X509_V_ERR names as Node passes them on, and Node's own check of the name. */
function isCertificateFault(code: string): boolean {
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') return true
  return !code.startsWith('ERR_') && /CERT|ISSUER|SIGNATURE|CRL|_CA$|HOSTNAME_MISMATCH/.test(code)
}
