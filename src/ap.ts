import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Held, Lane } from './ap-lane.ts'
import { type OwnAnswer, SERVER_TOKENS } from './ap-stages.ts'
import { headerValues } from './core/headers.ts'
import { GbaError } from './errors.ts'
import type { Overload, Place } from './load.ts'
import type { ApRequest, Connection, Passage } from './passage.ts'
import type { Shedding } from './shedding.ts'
import ut from './ut/plugin.ts'
import { type CheckedHeaders, FORWARDING, type Forwarding, type upstreams } from './ut/upstream.ts'

/** The general road's way to one application server. */
export type GeneralWay = ReturnType<typeof upstreams>

export interface ApOptions {
  readonly lane: Lane<GeneralWay>
  /** What is known of the connection that a request came on. @throws GbaError UA_FRONT_SILENT */
  readonly connectionOf: (request: FastifyRequest) => Connection
  readonly shedding: Shedding
}

declare module 'fastify' {
  interface FastifyRequest {
    passage: Passage
    /** The rules that this request goes by. */
    held: Held<GeneralWay>
    place: Place | null
  }
}

/**
 * The authentication proxy as a Fastify server: the general road, which takes every method, framing and size. The stages
 * are those of `ap-stages.ts`; this file only brings requests to them and their answers back.
 * @see 3GPP TS 24.109 clause 7 (Rel-17)
 */
export default async function ap(scope: FastifyInstance, options: ApOptions) {
  const { lane, shedding } = options
  const ways = new WeakMap<Forwarding, GeneralWay>()

  scope.decorateRequest('passage')
  scope.decorateRequest('held')
  scope.decorateRequest('place', null)
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  scope.setErrorHandler(refuse)
  scope.setNotFoundHandler((request) => {
    throw new GbaError('UT_METHOD_NOT_ALLOWED', request.method)
  })

  scope.addHook('onRequest', async (request, reply) => {
    const place = await new Promise<Place | Overload>((resolve) => shedding.arrive(resolve, resolve))
    if (typeof place === 'string') {
      const { id, method, ip } = request
      const answer = shedding.refusal(place, { id, method, peer: ip })
      return send(reply.headers({ server: SERVER_TOKENS, 'x-request-id': id }), answer, answer.body)
    }
    // Its client has not waited so long. The answer hears of it a turn later than the socket.
    if (reply.raw.destroyed || request.raw.socket.destroyed) {
      place.leave()
      return reply.hijack()
    }
    request.place = place
    reply.raw.once('close', () => place.leave())
    const passage: Passage = { request: readRequest(request) }
    request.passage = passage
    const held = lane.hold()
    request.held = held
    // Answered or not: that event comes once, whatever has become of the request.
    reply.raw.once('close', held.release)
    const { stages } = held.rules
    reply.header('server', SERVER_TOKENS)
    reply.header('x-request-id', request.id)
    const connection = options.connectionOf(request)
    // The whole server is meant, of which there is nothing to tell: clients send it to upgrade a connection.
    if (request.method === 'OPTIONS' && request.originalUrl === '*') {
      stages.address(passage, connection)
      return reply.code(204).send()
    }
    await stages.enter(passage, connection)
    // Its body comes as slowly as the UE sends it.
    place.pause()
  })

  scope.addHook('preHandler', async (request, reply) => {
    request.place?.resume()
    const body = Buffer.isBuffer(request.body) ? request.body : undefined
    const answer = await request.held.rules.stages.prepare(request.passage, body)
    if (answer) return send(reply, answer, answer.status === 200 ? answer.body : undefined)
  })

  await scope.register(ut, {
    upstreams: {
      request(sent: { readonly headers?: unknown }, answer: Parameters<GeneralWay['request']>[1]) {
        const forwarding = (sent.headers as Partial<CheckedHeaders> | undefined)?.[FORWARDING]
        const way = forwarding && ways.get(forwarding)
        if (!way) throw new TypeError('forwarding without a grant')
        way.request(sent, answer)
      },
      destroy,
      close: destroy,
    },
    forwardingOf: ({ held, passage: { forwarding } }) => {
      if (!forwarding) throw new TypeError('a request that nobody permitted')
      ways.set(forwarding, held.wayTo(forwarding.grant.appServer))
      return forwarding
    },
    authenticationInfo: ({ passage }, body) => passage.authenticated?.authenticationInfo(body),
    coversBody: ({ passage }) => passage.authenticated?.coversBody ?? false,
    authIntAnswerBytes: ({ held }) => held.rules.authIntAnswerBytes,
  })
  scope.addHook('onClose', destroy)

  async function destroy() {
    lane.destroy()
    return []
  }

  async function refuse(error: unknown, request: FastifyRequest, reply: FastifyReply) {
    const held = request.held ?? lane.hold()
    held.release()
    const answer = await held.rules.stages.refuse(error, request.passage ?? { request: readRequest(request) })
    // What an application server said of its answer is not true of this one.
    for (const name of Object.keys(reply.getHeaders())) if (!OURS.has(name)) reply.removeHeader(name)
    return send(reply, answer, answer.body)
  }
}

const send = (reply: FastifyReply, { status, headers }: OwnAnswer, body: Uint8Array | undefined) =>
  reply
    .code(status)
    .headers(headers)
    .send(body && Buffer.from(body))

/** Headers that a refusal keeps, whoever was asked before. */
const OURS: ReadonlySet<string> = new Set(['server', 'connection', 'x-request-id'])

function readRequest({ id, ip, method, originalUrl, raw }: FastifyRequest): ApRequest {
  const { rawHeaders, headers } = raw
  return {
    id,
    method,
    target: originalUrl,
    rawHeaders,
    host: headerValues(rawHeaders, 'host'),
    authorization: headerValues(rawHeaders, 'authorization'),
    intendedIdentity: headerValues(rawHeaders, 'x-3gpp-intended-identity'),
    userAgent: headerValues(rawHeaders, 'user-agent').join(' '),
    announcesBody: headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0',
    peer: ip,
  }
}
