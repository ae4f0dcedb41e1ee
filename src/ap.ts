import type { TLSSocket } from 'node:tls'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { EpochMs } from './core/bytes.ts'
import { headerValues, productTokens } from './core/headers.ts'
import type { Fqdn } from './core/identity.ts'
import { parseIdentityHeader } from './core/identity-header.ts'
import { type UaProtocolId, uaProtocolIdOfSuite } from './core/naf-id.ts'
import { type FaultCode, GbaError, PROBLEM_JSON, problemOf } from './errors.ts'
import type { Audit, AuditRecord } from './observe/audit.ts'
import { addressedNaf } from './ua/addressed-naf.ts'
import type { Authenticated, Authenticator, Examined, NafPolicy } from './ua/authenticate.ts'
import { authorise, type Grant, type RoutePolicy } from './ut/authorise.ts'
import { type AppServerPolicy, inspectIdentityHeaders, outgoingHeaders } from './ut/headers.ts'
import ut from './ut/plugin.ts'
import { type RouteMatch, selectRoute } from './ut/routes.ts'
import { type Forwarding, type Upstream, upstreams } from './ut/upstream.ts'
import { parseXcapUri, type XcapUri } from './ut/xcap-uri.ts'

/** One host name that UEs address. */
export interface Naf extends NafPolicy {
  /** Tried in this order; `tls-suite` stands for the identifier of the connection's cipher suite. */
  readonly uaProtocolIds: readonly (UaProtocolId | 'tls-suite')[]
}

export interface Route extends RouteMatch {
  readonly appServer: AppServer
  readonly methods: readonly string[]
  readonly policy: RoutePolicy
}

export interface AppServer extends Upstream, AppServerPolicy {
  readonly xcapRoot: string
}

export interface ApOptions {
  readonly nafs: ReadonlyMap<Fqdn, Naf>
  readonly routes: readonly Route[]
  readonly appServers: readonly AppServer[]
  readonly authenticator: Authenticator
  readonly requireToken: boolean
  readonly headerCount: number
  readonly authIntAnswerBytes: number
  readonly audit: Audit
  readonly now: () => EpochMs
}

/** What is known of a request before anybody is authenticated. */
interface Arrival {
  readonly at: EpochMs
  readonly nafFqdn: Fqdn
  readonly naf: Naf
  readonly route: Route
  readonly uri: XcapUri
}

/** How far one request has come. Each step needs the one before. */
interface Passage {
  naf?: { readonly nafFqdn: Fqdn; readonly naf: Naf }
  arrival?: Arrival
  examined?: Examined
  authenticated?: Authenticated
  grant?: Grant
  forwarding?: Forwarding
}

declare module 'fastify' {
  interface FastifyRequest {
    passage: Passage
  }
}

/**
 * The authentication proxy: arrive → authenticate → authorise → rewrite → forward, in this order and only in it.
 * @see 3GPP TS 24.109 clause 7 (Rel-17)
 */
export default async function ap(scope: FastifyInstance, options: ApOptions) {
  const { authenticator, audit, now } = options
  const ways = upstreams(options.appServers)

  scope.decorateRequest('passage')
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
  scope.setErrorHandler(refuse)
  scope.setNotFoundHandler((request) => {
    throw new GbaError('UT_METHOD_NOT_ALLOWED', request.method)
  })

  scope.addHook('onRequest', async (request, reply) => {
    const passage: Passage = {}
    request.passage = passage
    reply.header('server', 'gba-proxy 3gpp-gba')
    passage.naf = addressedNaf(sniOf(request), headerValues(request.raw.rawHeaders, 'host'), options.nafs)
    const arrival = arrive(request, passage.naf)
    passage.arrival = arrival
    const examined = await authenticator.examine(
      uaRequestOf(request, arrival),
      arrival.naf,
      idsOf(request, arrival.naf),
    )
    passage.examined = examined
    // Who is not authenticated gets no body read, where the response does not cover it.
    if (examined.needsBody) return
    passage.authenticated = await authenticator.verify(examined, NO_BODY)
    passage.grant = permit(request, arrival, passage.authenticated)
  })

  scope.addHook('preHandler', async (request) => {
    const { passage } = request
    const { arrival, examined } = passage
    if (!arrival || !examined) throw new TypeError('a request that never arrived')
    const body = Buffer.isBuffer(request.body) ? request.body : undefined
    passage.authenticated ??= await authenticator.verify(examined, body ?? NO_BODY)
    passage.grant ??= permit(request, arrival, passage.authenticated)
    passage.forwarding = rewrite(request, arrival, passage.grant, body)
  })

  await scope.register(ut, {
    upstreams: ways,
    forwardingOf: ({ passage: { forwarding } }) => {
      if (!forwarding) throw new TypeError('a request that nobody permitted')
      return forwarding
    },
    authenticationInfo: ({ passage }, body) => passage.authenticated?.authenticationInfo(body) ?? '',
    coversBody: ({ passage }) => passage.authenticated?.coversBody ?? false,
    authIntAnswerBytes: options.authIntAnswerBytes,
    onAnswer: (request, status) => audit.record('ut.forwarded', { ...recordOf(request, now()), status }),
  })
  scope.addHook('onClose', () => ways.destroy())

  /** Everything about a request that can be judged before its author is known. */
  function arrive(request: FastifyRequest, { nafFqdn, naf }: NonNullable<Passage['naf']>): Arrival {
    const { raw } = request
    if (raw.rawHeaders.length / 2 >= options.headerCount) {
      throw new GbaError('UT_HEADERS_TOO_LARGE', `${raw.rawHeaders.length / 2} header fields`)
    }
    checkBody(request)
    const target = request.originalUrl
    if (!target.startsWith('/')) throw new GbaError('UT_TARGET_AMBIGUOUS', 'not in origin-form')
    const route = selectRoute(options.routes, nafFqdn, target)
    const uri = parseXcapUri(target, route.appServer.xcapRoot)
    if (!route.methods.includes(request.method)) throw new GbaError('UT_METHOD_NOT_ALLOWED', request.method)
    const userAgent = headerValues(raw.rawHeaders, 'user-agent').join(' ')
    const knocks = headerValues(raw.rawHeaders, 'authorization').length === 0
    if (options.requireToken && knocks && !productTokens(userAgent).has('3gpp-gba')) {
      throw new GbaError('UA_TOKEN_MISSING', 'no Authorization, and no token 3gpp-gba in User-Agent')
    }
    return { at: now(), nafFqdn, naf, route, uri }
  }

  function refuse(error: unknown, request: FastifyRequest, reply: FastifyReply) {
    const fault = asGbaError(error)
    const status = fault.fault.ut ?? 500
    audit.record('ut.refused', {
      ...recordOf(request, now()),
      code: fault.code,
      detail: fault.message,
      status,
      source: request.ip,
    })
    if (fault.fault.by === 'us' && status >= 500) request.log.error({ err: error, code: fault.code }, 'ut.failed')
    // What an application server said of its answer is not true of this one.
    for (const name of Object.keys(reply.getHeaders())) if (!OURS.has(name)) reply.removeHeader(name)
    const { naf, arrival } = request.passage ?? {}
    // Whoever framed a request oddly is not trusted to know where it ends.
    if (fault.code === 'UT_REQUEST_MALFORMED') reply.header('connection', 'close')
    if (status === 401 && naf) {
      const stale = STALE.has(fault.code)
      reply.header('www-authenticate', authenticator.challenge(naf.nafFqdn, naf.naf, stale))
    }
    if (status === 405) reply.header('allow', (arrival?.route.methods ?? ALL_METHODS).join(', '))
    if (status === 503) reply.header('retry-after', '5')
    const body = Buffer.from(JSON.stringify(problemOf(status, request.id)))
    // A UE that authenticated learns that this refusal is ours as well.
    const { authenticated } = request.passage ?? {}
    if (authenticated && status !== 401) {
      const sent = request.method === 'HEAD' ? NO_BODY : body
      reply.header('authentication-info', authenticated.authenticationInfo(sent))
    }
    return reply.code(status).header('content-type', PROBLEM_JSON).send(body)
  }
}

const NO_BODY = new Uint8Array()
const ALL_METHODS = ['GET', 'HEAD', 'PUT', 'DELETE']

/** Headers that a refusal keeps, whoever was asked before. */
const OURS: ReadonlySet<string> = new Set(['server', 'connection'])

/** The response was right, and only the nonce is too old or no longer accounted for: no new bootstrap is needed. */
const STALE: ReadonlySet<FaultCode> = new Set(['UA_NONCE_AGED', 'UA_NONCE_FORGOTTEN'])

/** Authorise: whether this subscriber may do this, and as whom. */
function permit(request: FastifyRequest, { uri, route }: Arrival, who: Authenticated): Grant {
  const { rawHeaders } = request.raw
  inspectIdentityHeaders(rawHeaders)
  const intended = parseIdentityHeader(headerValues(rawHeaders, 'x-3gpp-intended-identity'))
  if (intended === 'malformed') throw new GbaError('UT_IDENTITY_MALFORMED', 'X-3GPP-Intended-Identity')
  return authorise(who, uri, request.method, intended === 'absent' ? undefined : intended.impu, route.policy)
}

/** Rewrite: from what is permitted to what exactly is sent. */
function rewrite(request: FastifyRequest, arrival: Arrival, grant: Grant, body: Buffer | undefined): Forwarding {
  const { nafFqdn, route } = arrival
  const contentLength = body?.length ?? emptyBodyOf(request.method)
  const headers = outgoingHeaders(request.raw.rawHeaders, grant, route.appServer, {
    ...(contentLength !== undefined && { contentLength }),
    host: headerValues(request.raw.rawHeaders, 'host')[0] ?? nafFqdn,
    requestId: request.id,
  })
  return { grant, headers, body }
}

function sniOf(request: FastifyRequest): string | undefined {
  const { servername } = request.raw.socket as TLSSocket
  return typeof servername === 'string' && servername !== '' ? servername : undefined
}

function idsOf(request: FastifyRequest, { uaProtocolIds }: Naf): UaProtocolId[] {
  const suite = uaProtocolIdOfSuite((request.raw.socket as TLSSocket).getCipher?.()?.standardName ?? '')
  return uaProtocolIds.flatMap((id) => (id === 'tls-suite' ? (suite ?? []) : id))
}

function uaRequestOf(request: FastifyRequest, { nafFqdn }: Arrival) {
  const authorization = headerValues(request.raw.rawHeaders, 'authorization')
  return { method: request.method, target: request.originalUrl, nafFqdn, authorization }
}

/** A body that most servers do not expect, and so might take for the next request. */
function checkBody({ method, raw }: FastifyRequest): void {
  if (method !== 'GET' && method !== 'HEAD') return
  const hasBody = raw.headers['transfer-encoding'] !== undefined || (raw.headers['content-length'] ?? '0') !== '0'
  if (hasBody) throw new GbaError('UT_REQUEST_MALFORMED', `${method} with a body`)
}

/** A PUT or POST without a body still says so; other methods have no length. */
function emptyBodyOf(method: string): number | undefined {
  return method === 'PUT' || method === 'POST' ? 0 : undefined
}

function recordOf(request: FastifyRequest, at: EpochMs): AuditRecord {
  const { arrival, authenticated, examined, grant } = request.passage ?? {}
  const btid = authenticated?.btid ?? examined?.presented.btid
  return {
    requestId: request.id,
    method: request.method,
    ...(arrival && {
      naf: arrival.nafFqdn,
      auid: arrival.uri.auid,
      appServer: arrival.route.appServer.name,
      durationMs: at - arrival.at,
      ...(arrival.uri.xui !== undefined && { xui: arrival.uri.xui }),
    }),
    ...(btid && { btid }),
    ...(authenticated?.impi && { impi: authenticated.impi }),
    ...(authenticated && { uaProtocolId: authenticated.uaProtocolId }),
    ...(grant && { impus: grant.assertedIdentities }),
  }
}

/** What Fastify itself refuses is the UE's; anything else unforeseen is our bug. */
function asGbaError(error: unknown): GbaError {
  if (error instanceof GbaError) return error
  const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500
  const detail = error instanceof Error ? error.message : 'not an error'
  if (status === 413) return new GbaError('UT_BODY_TOO_LARGE', detail, { cause: error })
  const code = status >= 400 && status < 500 ? 'UT_REQUEST_MALFORMED' : 'INTERNAL'
  return new GbaError(code, detail, { cause: error })
}
