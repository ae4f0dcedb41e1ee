import { Readable } from 'node:stream'
import proxy, { type FastifyHttpProxyOptions } from '@fastify/http-proxy'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { GbaError } from '../errors.ts'
import { incomingHeaders } from './headers.ts'
import { FORWARDING, type Forwarding, faultOfConnection, type upstreams } from './upstream.ts'

export interface UtOptions {
  readonly upstreams: Pick<ReturnType<typeof upstreams>, 'request' | 'destroy' | 'close'>
  /** What the check made of this request. @throws when there was none */
  readonly forwardingOf: (request: FastifyRequest) => Forwarding
  /** Value of Authentication-Info for an answer with this body; undefined: the answer has none. */
  readonly authenticationInfo: (request: FastifyRequest, body: Uint8Array) => string | undefined
  /** The answer's body enters Authentication-Info. */
  readonly coversBody: (request: FastifyRequest) => boolean
  readonly authIntAnswerBytes: (request: FastifyRequest) => number
}

/** The road to the application servers. Nothing gets on it without a grant. @see 3GPP TS 24.109 clause 7 (Rel-17) */
export default async function ut(scope: FastifyInstance, options: UtOptions) {
  const { upstreams, forwardingOf, authenticationInfo, coversBody } = options
  // An answer that breaks off before its first octet comes here; once one is sent, the connection is cut.
  scope.setErrorHandler((error) => {
    throw faultOfConnection(error) ?? error
  })
  await scope.register(proxy, {
    // Only the scheme and a name for the proxy's own checks: the grant says where a request goes.
    upstream: 'http://application-server.invalid',
    undici: upstreams as unknown as NonNullable<FastifyHttpProxyOptions['undici']>,
    httpMethods: ['GET', 'HEAD', 'PUT', 'DELETE', 'POST', 'OPTIONS'],
    proxyPayloads: false,
    disableRequestLogging: true,
    disableCache: true,
    destroyAgent: true,
    internalRewriteLocationHeader: false,
    replyOptions: {
      // The proxy leaves the body alone; it would read its Content-Type, and copy it.
      body: null,
      // A request with a side effect is never sent twice, and a 503 of an AS is the AS's word.
      retryDelay: () => null,
      rewriteRequestHeaders: (request) =>
        ({ [FORWARDING]: forwardingOf(request as FastifyRequest) }) as unknown as Record<string, string>,
      rewriteHeaders: (headers) => incomingHeaders(headers),
      onError: (reply, { error }) => {
        const cause = error.cause instanceof GbaError ? error.cause : error
        reply.send(cause)
      },
      onResponse: (request, reply, res) => {
        // reply-from hands over undici's answer; its types name the Node response only.
        answer(request as FastifyRequest, reply as FastifyReply, res as unknown as UndiciAnswer)
      },
    },
  } as FastifyHttpProxyOptions)

  function answer(request: FastifyRequest, reply: FastifyReply, { statusCode, stream }: UndiciAnswer): void {
    // Deviation: handsets take any 401 as "bootstrap anew", so an AS that asks for credentials must not be passed on.
    if (statusCode === 401 || statusCode === 407) {
      stream.destroy()
      reply.send(new GbaError('UT_AS_WANTS_CREDENTIALS', `the application server answered ${statusCode}`))
      return
    }
    // An HTTP/1.0 client would take the end of a broken connection for the end of an answer without a length.
    const endless = request.raw.httpVersion === '1.0' && !reply.hasHeader('content-length')
    if (!coversBody(request) && !endless) {
      prove(request, reply, NO_BODY)
      reply.send(stream)
      return
    }
    // Nobody is left to have it: the server is not kept busy with it.
    reply.raw.once('close', () => stream.destroy())
    collect(stream, options.authIntAnswerBytes(request)).then(
      (body) => {
        reply.removeHeader('transfer-encoding')
        prove(request, reply, body)
        // HEAD and 304 tell the length of a body that is not there.
        if (body.length > 0) reply.header('content-length', body.length)
        // Fastify gives octets a type where the server gave none; it leaves a stream alone.
        const typed = reply.hasHeader('content-type') ? body : Readable.from([body])
        reply.send(body.length > 0 ? typed : undefined)
      },
      (error: unknown) => reply.send(error),
    )
  }

  /** Whoever authenticated with Digest learns that the proxy has the key, too. */
  function prove(request: FastifyRequest, reply: FastifyReply, body: Uint8Array): void {
    const proof = authenticationInfo(request, body)
    if (proof !== undefined) reply.header('authentication-info', proof)
  }
}

interface UndiciAnswer {
  readonly statusCode: number
  readonly stream: AsyncIterable<Uint8Array> & NodeJS.ReadableStream & { destroy(error?: Error): void }
}

const NO_BODY = new Uint8Array()

async function collect(stream: UndiciAnswer['stream'], limit: number): Promise<Buffer> {
  const parts: Uint8Array[] = []
  let length = 0
  try {
    for await (const part of stream) {
      length += part.length
      if (length > limit) throw new GbaError('UT_ANSWER_TOO_LARGE', `auth-int cannot cover more than ${limit} octets`)
      parts.push(part)
    }
  } catch (error) {
    throw faultOfConnection(error) ?? error
  }
  return Buffer.concat(parts)
}
