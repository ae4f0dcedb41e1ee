import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { EpochMs } from './core/bytes.ts'
import { headerValues, productTokens } from './core/headers.ts'
import type { Fqdn } from './core/identity.ts'
import { parseIdentityHeader } from './core/identity-header.ts'
import type { UaProtocolId } from './core/naf-id.ts'
import type { Tolerances } from './core/tolerances.ts'
import { type FaultCode, GbaError, PROBLEM_JSON, problemOf } from './errors.ts'
import type { Audit } from './observe/audit.ts'
import {
  type AppServer,
  type Arrival,
  type Connection,
  type Naf,
  type Passage,
  type Permission,
  type Route,
  recordOf,
} from './passage.ts'
import type { AccessLog } from './store/store.ts'
import { addressedNaf } from './ua/addressed-naf.ts'
import type { Attempt, Authenticated } from './ua/authenticated.ts'
import type { DoorName } from './ua/door.ts'
import type { DoorPolicy, Doors, Knock } from './ua/doors.ts'
import { type FailureGuard, isGuess } from './ua/failures.ts'
import { mustRebootstrap, type ProvenBootstrap, type RebootstrapDemands } from './ua/rebootstrap.ts'
import { requireTolerated } from './ua/verify.ts'
import {
  ACCESS_LOG_METHODS,
  accessEntryOf,
  accessLogPolicy,
  answerAccessLog,
  isAccessLog,
  requireAccessLog,
} from './ut/access-log.ts'
import { authorise, type Grant } from './ut/authorise.ts'
import { inspectIdentityHeaders, outgoingHeaders } from './ut/headers.ts'
import ut from './ut/plugin.ts'
import { selectRoute } from './ut/routes.ts'
import { type Forwarding, upstreams } from './ut/upstream.ts'
import { parseXcapUri, type XcapUri } from './ut/xcap-uri.ts'

export interface ApOptions {
  readonly nafs: ReadonlyMap<Fqdn, Naf>
  readonly routes: readonly Route[]
  readonly appServers: readonly AppServer[]
  readonly tolerances: Tolerances
  readonly doors: Doors
  readonly failures: FailureGuard
  /** What is known of the connection that a request came on. @throws GbaError UA_FRONT_SILENT */
  readonly connectionOf: (request: FastifyRequest) => Connection
  /** What an address is counted as where the BSF is asked; undefined: not by its address. */
  readonly askerOf: (address: string) => string | undefined
  /** Header fields without those that a front may have written for us: no application server is told by them. */
  readonly withoutFront: (raw: readonly string[]) => readonly string[]
  /** Without TLS the digest uri may say http. */
  readonly scheme: 'https' | 'http'
  readonly headerCount: number
  readonly authIntAnswerBytes: number
  readonly audit: Audit
  /** Where users find who touched their documents; undefined: nowhere, and its AUID is like any other. */
  readonly accessLog: AccessLog | undefined
  readonly demands: () => RebootstrapDemands
  /** How far the BSF's clock may be behind. */
  readonly clockSkewMs: number
  readonly now: () => EpochMs
}

/**
 * The authentication proxy: arrive → authenticate → authorise → rewrite → forward, in this order and only in it.
 * @see 3GPP TS 24.109 clause 7 (Rel-17)
 */
export default async function ap(scope: FastifyInstance, options: ApOptions) {
  const { audit, doors, failures, now } = options
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
    const connection = options.connectionOf(request)
    passage.connection = connection
    passage.naf = addressedNaf(connection.serverName, headerValues(request.raw.rawHeaders, 'host'), options.nafs)
    // The whole server is meant, of which there is nothing to tell: clients send it to upgrade a connection.
    if (request.method === 'OPTIONS' && request.originalUrl === '*') return reply.code(204).send()
    const arrival = arrive(request, passage.naf)
    passage.arrival = arrival
    const knock = knockOf(request, arrival, connection)
    const policy = doorPolicyOf(arrival)
    passage.door = doors.choose(knock, policy)
    if (isDigest(passage.door)) failures.admit(connection.source, knock.request.authorization)
    passage.attempt = await doors.enter(passage.door, knock, policy)
    // Who is not authenticated gets no body read, where the response does not cover it.
    if (passage.attempt.needsBody) return
    passage.authenticated = await verified(passage.attempt, arrival, connection, NO_BODY)
    passage.permission = permit(request, arrival, passage.authenticated)
  })

  scope.addHook('preHandler', async (request, reply) => {
    const { passage } = request
    const { arrival, attempt, connection } = passage
    if (!arrival || !attempt || !connection) throw new TypeError('a request that never arrived')
    const body = Buffer.isBuffer(request.body) ? request.body : undefined
    passage.authenticated ??= await verified(attempt, arrival, connection, body ?? NO_BODY)
    passage.permission ??= permit(request, arrival, passage.authenticated)
    if (isOurs(arrival.uri)) return sendAccessLog(request, reply, arrival.uri, passage.authenticated)
    passage.forwarding = {
      ...rewrite(request, options.withoutFront(request.raw.rawHeaders), arrival, passage.permission.grant, body),
      onAnswer: (status) => {
        leaveEntry(request, status)
        audit.record('ut.forwarded', { ...recordOf(request, now()), status })
      },
    }
  })

  await scope.register(ut, {
    upstreams: ways,
    forwardingOf: ({ passage: { forwarding } }) => {
      if (!forwarding) throw new TypeError('a request that nobody permitted')
      return forwarding
    },
    authenticationInfo: ({ passage }, body) => passage.authenticated?.authenticationInfo(body),
    coversBody: ({ passage }) => passage.authenticated?.coversBody ?? false,
    authIntAnswerBytes: options.authIntAnswerBytes,
  })
  scope.addHook('onClose', () => ways.destroy())

  const isOurs = (uri: XcapUri) => options.accessLog !== undefined && isAccessLog(uri)

  async function verified(attempt: Attempt, { route }: Arrival, { source }: Connection, body: Uint8Array) {
    const who = await attempt.verify(body, renewalOn(route))
    const username = attempt.btid ?? attempt.username
    if (isDigest(who.door) && username !== undefined) failures.succeeded(source, username)
    return who
  }

  /** Asked of a bootstrap once a response has verified, so that the 401 means renegotiation. */
  function renewalOn({ maxKeyAgeS }: Route) {
    const policy = { demands: options.demands(), maxKeyAgeS, clockSkewMs: options.clockSkewMs }
    return (proven: ProvenBootstrap) => mustRebootstrap(proven, policy, now())
  }

  /** Authorise: whether this subscriber may do this, and as whom. */
  function permit(request: FastifyRequest, { uri, route }: Arrival, who: Authenticated): Permission {
    const { rawHeaders } = request.raw
    inspectIdentityHeaders(rawHeaders)
    const intended = parseIdentityHeader(headerValues(rawHeaders, 'x-3gpp-intended-identity'))
    if (intended === 'malformed') throw new GbaError('UT_IDENTITY_MALFORMED', 'X-3GPP-Intended-Identity')
    const asked = intended === 'absent' ? undefined : intended
    const met = asked?.quirk === undefined ? [] : [asked.quirk]
    requireTolerated(met, options.tolerances)
    const policy = isOurs(uri) ? accessLogPolicy(route.policy) : route.policy
    const grant = authorise(who, uri, request.method, asked?.impu, policy)
    return { grant, tolerances: [...met, ...grant.tolerances] }
  }

  /** The one resource that is the proxy's own: it goes to no application server, and so needs no rewriting. */
  async function sendAccessLog(request: FastifyRequest, reply: FastifyReply, uri: XcapUri, who: Authenticated) {
    const owner = requireAccessLog(request.method, uri)
    const entries = (await options.accessLog?.read(owner, now())) ?? []
    const { 'if-match': ifMatch, 'if-none-match': ifNoneMatch } = request.raw.headers
    const { status, headers, body } = answerAccessLog(owner, entries, { ifMatch, ifNoneMatch })
    audit.record('ut.log-read', { ...recordOf(request, now()), status })
    const sent = request.method === 'HEAD' ? NO_BODY : body
    const proof = who.authenticationInfo(sent)
    reply.code(status).headers(headers)
    if (proof !== undefined) reply.header('authentication-info', proof)
    return status === 200 ? reply.send(Buffer.from(body)) : reply.send()
  }

  /** What this request leaves in the log of whom it was about. Once: an answer may still turn into a refusal. */
  function leaveEntry(request: FastifyRequest, outcome: number, code?: FaultCode): void {
    const { passage } = request
    if (!options.accessLog || !passage?.arrival || passage.isLogged) return
    passage.isLogged = true
    const { arrival, authenticated, permission } = passage
    const left = accessEntryOf({
      at: arrival.at,
      method: request.method,
      uri: arrival.uri,
      outcome,
      grant: permission?.grant,
      isAuthenticated: authenticated !== undefined,
      code,
    })
    if (left) void options.accessLog.append(left.owner, left.entry)
  }

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
    const methods = isOurs(uri) ? ACCESS_LOG_METHODS : route.methods
    request.passage.methods = methods
    if (!methods.includes(request.method)) throw new GbaError('UT_METHOD_NOT_ALLOWED', request.method)
    return { at: now(), nafFqdn, naf, route, uri }
  }

  function knockOf(request: FastifyRequest, { nafFqdn, naf }: Arrival, connection: Connection): Knock {
    const { method, originalUrl: target, raw } = request
    const authorization = headerValues(raw.rawHeaders, 'authorization')
    return {
      request: {
        method,
        target,
        nafFqdn,
        authorization,
        scheme: options.scheme,
        asker: options.askerOf(connection.source),
      },
      tokens: tokensOf(request),
      uaProtocolIds: idsOf(connection, naf),
      psk: connection.psk,
      certificate: connection.certificate,
    }
  }

  /** Whoever fails once too often is told so in the place of how. */
  async function counted(found: GbaError, { passage, raw }: FastifyRequest): Promise<GbaError> {
    const { connection, door } = passage ?? {}
    if (!connection || !isDigest(door) || !isGuess(found.code)) return found
    const authorization = headerValues(raw.rawHeaders, 'authorization')
    return (await failures.failed(found.code, connection.source, authorization)) ?? found
  }

  async function refuse(error: unknown, request: FastifyRequest, reply: FastifyReply) {
    const fault = await counted(asGbaError(error), request)
    const status = fault.fault.ut ?? 500
    leaveEntry(request, status, fault.code)
    audit.record('ut.refused', {
      ...recordOf(request, now()),
      code: fault.code,
      detail: fault.message,
      status,
      source: request.passage?.connection?.source ?? request.ip,
    })
    if (fault.fault.by === 'us' && status >= 500) request.log.error({ err: error, code: fault.code }, 'ut.failed')
    // What an application server said of its answer is not true of this one.
    for (const name of Object.keys(reply.getHeaders())) if (!OURS.has(name)) reply.removeHeader(name)
    const { naf, arrival, door } = request.passage ?? {}
    // Whoever framed a request oddly is not trusted to know where it ends.
    if (fault.code === 'UT_REQUEST_MALFORMED') reply.header('connection', 'close')
    if (status === 401 && naf) {
      const policy: DoorPolicy = arrival ? doorPolicyOf(arrival) : { ...naf.naf, doors: ['digest'], services: [] }
      const refused = { through: door, stale: STALE.has(fault.code) }
      reply.header('www-authenticate', doors.challenge(naf.nafFqdn, policy, tokensOf(request), refused))
      // The connection stands on a key that is no longer good.
      if (door === 'psk') reply.header('connection', 'close')
    }
    if (status === 405) reply.header('allow', (request.passage?.methods ?? ALL_METHODS).join(', '))
    const retryAfterS = fault.retryAfterS ?? (status === 503 ? 5 : undefined)
    if (retryAfterS !== undefined) reply.header('retry-after', String(retryAfterS))
    const body = Buffer.from(JSON.stringify(problemOf(status, request.id)))
    // A UE that authenticated learns that this refusal is ours as well.
    const { authenticated } = request.passage ?? {}
    if (authenticated && status !== 401) {
      const sent = request.method === 'HEAD' ? NO_BODY : body
      const proof = authenticated.authenticationInfo(sent)
      if (proof !== undefined) reply.header('authentication-info', proof)
    }
    return reply.code(status).header('content-type', PROBLEM_JSON).send(body)
  }
}

const NO_BODY = new Uint8Array()

/** Where responses can be guessed: at the others TLS has proved who it is. */
const isDigest = (door: DoorName | undefined): boolean => door === 'digest' || door === 'password'

const ALL_METHODS = ['GET', 'HEAD', 'PUT', 'DELETE']

/** Headers that a refusal keeps, whoever was asked before. */
const OURS: ReadonlySet<string> = new Set(['server', 'connection'])

/** The response was right, and only the challenge is not the one to answer: no new bootstrap is needed. */
const STALE: ReadonlySet<FaultCode> = new Set(['UA_NONCE_AGED', 'UA_NONCE_FORGOTTEN', 'UA_OFFERED_ELSEWHERE'])

/** Rewrite: from what is permitted to what exactly is sent. */
function rewrite(
  request: FastifyRequest,
  fields: readonly string[],
  arrival: Arrival,
  grant: Grant,
  body: Buffer | undefined,
): Forwarding {
  const { nafFqdn, route } = arrival
  const contentLength = body?.length ?? emptyBodyOf(request.method)
  const headers = outgoingHeaders(fields, grant, route.appServer, {
    ...(contentLength !== undefined && { contentLength }),
    host: headerValues(request.raw.rawHeaders, 'host')[0] ?? nafFqdn,
    requestId: request.id,
  })
  return { grant, headers, body }
}

function idsOf({ suiteId }: Connection, { uaProtocolIds }: Naf): UaProtocolId[] {
  return uaProtocolIds.flatMap((id) => (id === 'tls-suite' ? (suiteId ?? []) : id))
}

function tokensOf(request: FastifyRequest): ReadonlySet<string> {
  return productTokens(headerValues(request.raw.rawHeaders, 'user-agent').join(' '))
}

const doorPolicyOf = ({ naf, route }: Arrival): DoorPolicy => ({
  ...naf,
  challenge: route.challenge,
  doors: route.doors,
  services: route.policy.gsids,
})

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

/** What Fastify itself refuses is the UE's; anything else unforeseen is our bug. */
function asGbaError(error: unknown): GbaError {
  if (error instanceof GbaError) return error
  const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500
  const detail = error instanceof Error ? error.message : 'not an error'
  if (status === 413) return new GbaError('UT_BODY_TOO_LARGE', detail, { cause: error })
  const code = status >= 400 && status < 500 ? 'UT_REQUEST_MALFORMED' : 'INTERNAL'
  return new GbaError(code, detail, { cause: error })
}
