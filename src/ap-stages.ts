import { arrivals, doorPolicyOf } from './ap-arrival.ts'
import type { Found } from './ap-found.ts'
import type { EpochMs } from './core/bytes.ts'
import { headerValues, productTokens } from './core/headers.ts'
import type { Fqdn } from './core/identity.ts'
import { parseIdentityHeader } from './core/identity-header.ts'
import type { Tolerances } from './core/tolerances.ts'
import { type FaultCode, GbaError, PROBLEM_JSON, problemOf } from './errors.ts'
import type { Audit } from './observe/audit.ts'
import type { Logger } from './observe/log.ts'
import type { Tracing } from './observe/traces.ts'
import {
  type AppServer,
  type Connection,
  type Naf,
  type Passage,
  type Permission,
  type Route,
  recordOf,
} from './passage.ts'
import type { AccessLog } from './store/store.ts'
import type { Attempt, Authenticated } from './ua/authenticated.ts'
import type { DoorName } from './ua/door.ts'
import type { DoorPolicy, Doors, Knock } from './ua/doors.ts'
import { type FailureGuard, isGuess } from './ua/failures.ts'
import { mustRebootstrap, type ProvenBootstrap, type RebootstrapDemands } from './ua/rebootstrap.ts'
import { requireTolerated } from './ua/verify.ts'
import { accessEntryOf, accessLogPolicy, answerAccessLog, requireAccessLog } from './ut/access-log.ts'
import { authorise } from './ut/authorise.ts'
import { inspectIdentityHeaders, type OutgoingHeaders, outgoingHeaders, preparedAgain } from './ut/headers.ts'
import type { Forwarding } from './ut/upstream.ts'
import type { XcapUri } from './ut/xcap-uri.ts'

export interface StageOptions {
  readonly nafs: ReadonlyMap<Fqdn, Naf>
  readonly routes: readonly Route[]
  readonly appServers: readonly AppServer[]
  readonly tolerances: Tolerances
  readonly doors: Doors
  readonly failures: FailureGuard
  /** What an address is counted as where the BSF is asked; undefined: not by its address. */
  readonly askerOf: (address: string) => string | undefined
  /** Header fields without those that a front may have written for us: no application server is told by them. */
  readonly withoutFront: (raw: readonly string[]) => readonly string[]
  /** Without TLS the digest uri may say http. */
  readonly scheme: 'https' | 'http'
  readonly headerCount: number
  readonly audit: Audit
  /** undefined: no traces are made. */
  readonly traces: Tracing | undefined
  readonly log: Pick<Logger, 'error'>
  /** Where users find who touched their documents; undefined: nowhere, and its AUID is like any other. */
  readonly accessLog: AccessLog | undefined
  readonly demands: () => RebootstrapDemands
  /** How far the BSF's clock may be behind. */
  readonly clockSkewMs: number
  readonly now: () => EpochMs
}

/** What the proxy itself answers, whole. */
export interface OwnAnswer {
  readonly status: number
  /** Names in lower case; several lines of one name are an array. */
  readonly headers: Readonly<Record<string, string | string[]>>
  /** Not sent in answer to HEAD, and then still what the headers speak of. */
  readonly body: Uint8Array
}

/**
 * The stages that every request goes through, whoever reads it off its connection: arrive → authenticate → authorise →
 * rewrite, and what is answered where one of them refuses. Each writes what it found into the passage, once.
 * @see 3GPP TS 24.109 clause 7 (Rel-17)
 */
export function stagesOf(options: StageOptions) {
  const { audit, doors, failures, now, traces } = options

  const { address, arrive, isOurs, keep } = arrivals(options)

  /** @throws GbaError of arrival and authentication */
  async function enter(passage: Passage, connection: Connection): Promise<void> {
    const { request } = passage
    if (traces) passage.trace = traces.begin(connection, request.rawHeaders, now())
    const found = arrive(passage, connection)
    const { route } = found.arrival
    const knock = knockOf(passage, found, connection)
    const policy = found.doorPolicy
    passage.door = doors.choose(knock, policy)
    if (isDigest(passage.door)) failures.admit(connection.source, knock.request.authorization)
    passage.attempt = await doors.enter(passage.door, knock, policy)
    // Who is not authenticated gets no body read, where the response does not cover it.
    if (passage.attempt.needsBody) return
    passage.authenticated = await verified(passage.attempt, route, connection, NO_BODY)
    passage.permission = permit(passage, found, passage.authenticated)
  }

  /**
   * Once the body is there.
   * @returns what the proxy answers itself; undefined: the request is to be forwarded, and `passage.forwarding` tells how
   */
  async function prepare(passage: Passage, body: Buffer | undefined): Promise<OwnAnswer | undefined> {
    const { attempt, connection, found } = passage
    if (!attempt || !connection || !found) throw new TypeError('a request that never arrived')
    const { route, uri } = found.arrival
    passage.authenticated ??= await verified(attempt, route, connection, body ?? NO_BODY)
    passage.permission ??= permit(passage, found, passage.authenticated)
    if (isOurs(uri)) return accessLogAnswer(passage, uri, passage.authenticated)
    passage.forwarding = rewrite(passage, found, passage.permission, body)
    return undefined
  }

  async function verified(attempt: Attempt, route: Route, { source }: Connection, body: Uint8Array) {
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
  function permit(passage: Passage, found: Found, who: Authenticated): Permission {
    const known = found.permissionOf(who)
    if (known) return known
    const { request } = passage
    keep(passage)
    const { uri, route } = found.arrival
    inspectIdentityHeaders(request.rawHeaders)
    const intended = parseIdentityHeader(request.intendedIdentity)
    if (intended === 'malformed') throw new GbaError('UT_IDENTITY_MALFORMED', 'X-3GPP-Intended-Identity')
    const asked = intended === 'absent' ? undefined : intended
    const met = asked?.quirk === undefined ? NOTHING_MET : [asked.quirk]
    requireTolerated(met, options.tolerances)
    const policy = isOurs(uri) ? accessLogPolicy(route.policy) : route.policy
    const grant = authorise(who, uri, request.method, asked?.impu, policy)
    const permission = { grant, tolerances: [...met, ...grant.tolerances] }
    found.permitted(who, permission)
    return permission
  }

  /** Rewrite: from what is permitted to what exactly is sent. */
  function rewrite(passage: Passage, found: Found, permission: Permission, body: Buffer | undefined): Forwarding {
    const { grant } = permission
    const sentAt = now()
    const headers = headersOf(passage, found, permission, body, sentAt)
    return {
      grant,
      headers,
      body,
      onAnswer: (status) => {
        leaveEntry(passage, status)
        const at = now()
        audit.record('ut.forwarded', { ...recordOf(passage, at), status, upstreamMs: at - sentAt })
      },
    }
  }

  function headersOf(
    { request, trace }: Passage,
    found: Found,
    permission: Permission,
    body: Buffer | undefined,
    sentAt: EpochMs,
  ): OutgoingHeaders {
    const contentLength = body?.length ?? emptyBodyOf(request.method)
    const like = trace ? undefined : found.headersSent(permission, contentLength)
    if (like) return preparedAgain(like, request.id)
    const { nafFqdn, route } = found.arrival
    const headers = outgoingHeaders(options.withoutFront(request.rawHeaders), permission.grant, route.appServer, {
      contentLength,
      host: request.host[0] ?? nafFqdn,
      requestId: request.id,
      traceparent: trace && traces?.sending(trace, route.appServer, sentAt),
    })
    if (!trace) found.sent(permission, contentLength, headers)
    return headers
  }

  /** The one resource that is the proxy's own: it goes to no application server, and so needs no rewriting. */
  async function accessLogAnswer(passage: Passage, uri: XcapUri, who: Authenticated): Promise<OwnAnswer> {
    const { request } = passage
    const owner = requireAccessLog(request.method, uri)
    const entries = (await options.accessLog?.read(owner, now())) ?? []
    const conditions = {
      ifMatch: joined(headerValues(request.rawHeaders, 'if-match')),
      ifNoneMatch: joined(headerValues(request.rawHeaders, 'if-none-match')),
    }
    const { status, headers, body } = answerAccessLog(owner, entries, conditions)
    audit.record('ut.log-read', { ...recordOf(passage, now()), status })
    const proof = who.authenticationInfo(request.method === 'HEAD' ? NO_BODY : body)
    return { status, headers: { ...headers, ...(proof !== undefined && { 'authentication-info': proof }) }, body }
  }

  /** What this request leaves in the log of whom it was about. Once: an answer may still turn into a refusal. */
  function leaveEntry(passage: Passage, outcome: number, code?: FaultCode): void {
    if (!options.accessLog || !passage.arrival || passage.isLogged) return
    passage.isLogged = true
    const { request, arrival, authenticated, permission } = passage
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

  function knockOf({ request, trace }: Passage, found: Found, connection: Connection): Knock {
    return {
      request: {
        method: request.method,
        target: request.target,
        nafFqdn: found.arrival.nafFqdn,
        authorization: request.authorization,
        scheme: options.scheme,
        asker: options.askerOf(connection.source),
        trace,
        familiar: found.isFamiliar ? found.familiar : undefined,
      },
      tokens: found.tokens,
      uaProtocolIds: found.uaProtocolIds,
      psk: connection.psk,
      certificate: connection.certificate,
    }
  }

  /** Whoever fails once too often is told so in the place of how. */
  async function counted(found: GbaError, { connection, door, request }: Passage): Promise<GbaError> {
    if (!connection || !isDigest(door) || !isGuess(found.code)) return found
    return (await failures.failed(found.code, connection.source, request.authorization)) ?? found
  }

  /** What is answered to a request that something refused; recorded, and counted where it may be a guess. */
  async function refuse(error: unknown, passage: Passage): Promise<OwnAnswer> {
    const { request, naf, arrival, authenticated, door } = passage
    const fault = await counted(asGbaError(error), passage)
    const status = fault.fault.ut ?? 500
    leaveEntry(passage, status, fault.code)
    audit.record('ut.refused', {
      ...recordOf(passage, now()),
      code: fault.code,
      detail: fault.message,
      status,
      source: passage.connection?.source ?? request.peer,
    })
    if (fault.fault.by === 'us' && status >= 500) {
      options.log.error({ err: error, code: fault.code, requestId: request.id }, 'ut.failed')
    }
    const headers: Record<string, string | string[]> = {}
    // Whoever framed a request oddly is not trusted to know where it ends.
    if (fault.code === 'UT_REQUEST_MALFORMED') headers.connection = 'close'
    if (status === 401 && naf) {
      const policy: DoorPolicy = arrival ? doorPolicyOf(arrival) : { ...naf.naf, doors: ['digest'], services: [] }
      const refused = { through: door, stale: STALE.has(fault.code) }
      const tokens = productTokens(request.userAgent)
      headers['www-authenticate'] = doors.challenge(naf.nafFqdn, policy, tokens, refused)
      // The connection stands on a key that is no longer good.
      if (door === 'psk') headers.connection = 'close'
    }
    if (status === 405) headers.allow = (passage.methods ?? ALL_METHODS).join(', ')
    const retryAfterS = fault.retryAfterS ?? (status === 503 ? 5 : undefined)
    if (retryAfterS !== undefined) headers['retry-after'] = String(retryAfterS)
    headers['content-type'] = PROBLEM_JSON
    const body = Buffer.from(JSON.stringify(problemOf(status, request.id)))
    // A UE that authenticated learns that this refusal is ours as well.
    if (authenticated && status !== 401) {
      const proof = authenticated.authenticationInfo(request.method === 'HEAD' ? NO_BODY : body)
      if (proof !== undefined) headers['authentication-info'] = proof
    }
    return { status, headers, body }
  }

  return { address, enter, prepare, refuse }
}

export type Stages = ReturnType<typeof stagesOf>

/** What every answer of the proxy says of itself. */
export const SERVER_TOKENS = 'gba-proxy 3gpp-gba'

const NO_BODY = new Uint8Array()
const NOTHING_MET: readonly never[] = []

/** Where responses can be guessed: at the others TLS has proved who it is. */
const isDigest = (door: DoorName | undefined): boolean => door === 'digest' || door === 'password'

const ALL_METHODS = ['GET', 'HEAD', 'PUT', 'DELETE']

/** The response was right, and only the challenge is not the one to answer: no new bootstrap is needed. */
const STALE: ReadonlySet<FaultCode> = new Set(['UA_NONCE_AGED', 'UA_NONCE_FORGOTTEN', 'UA_OFFERED_ELSEWHERE'])

const joined = (lines: readonly string[]): string | undefined => (lines.length === 0 ? undefined : lines.join(', '))

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
