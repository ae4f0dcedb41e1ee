import type { FastifyRequest } from 'fastify'
import type { EpochMs } from './core/bytes.ts'
import type { Fqdn } from './core/identity.ts'
import type { UaProtocolId } from './core/naf-id.ts'
import type { ToleranceName } from './core/tolerances.ts'
import type { AuditRecord } from './observe/audit.ts'
import type { Authenticated, Examined, NafPolicy } from './ua/authenticate.ts'
import type { ChallengePolicy } from './ua/challenge.ts'
import type { Grant, RoutePolicy } from './ut/authorise.ts'
import type { AppServerPolicy } from './ut/headers.ts'
import type { RouteMatch } from './ut/routes.ts'
import type { Forwarding, Upstream } from './ut/upstream.ts'
import type { XcapUri } from './ut/xcap-uri.ts'

/** One host name that UEs address. */
export interface Naf extends NafPolicy {
  /** Tried in this order; `tls-suite` stands for the identifier of the connection's cipher suite. */
  readonly uaProtocolIds: readonly (UaProtocolId | 'tls-suite')[]
}

export interface Route extends RouteMatch {
  readonly appServer: AppServer
  readonly methods: readonly string[]
  readonly challenge: ChallengePolicy
  /** How old a bootstrap may be here; undefined: as old as the BSF lets it be. */
  readonly maxKeyAgeS: number | undefined
  readonly policy: RoutePolicy
}

export interface AppServer extends Upstream, AppServerPolicy {
  readonly xcapRoot: string
}

/** What is known of a request before anybody is authenticated. */
export interface Arrival {
  readonly at: EpochMs
  readonly nafFqdn: Fqdn
  readonly naf: Naf
  readonly route: Route
  readonly uri: XcapUri
}

/** What authorisation found: the grant, and the deviations that were tolerated for it. */
export interface Permission {
  readonly grant: Grant
  readonly tolerances: readonly ToleranceName[]
}

/** How far one request has come. Each step needs the one before. */
export interface Passage {
  naf?: { readonly nafFqdn: Fqdn; readonly naf: Naf }
  /** Those of the resource, once it is known. */
  methods?: readonly string[]
  arrival?: Arrival
  examined?: Examined
  authenticated?: Authenticated
  permission?: Permission
  forwarding?: Forwarding
  /** It has left its entry in the access log, or need not. */
  isLogged?: boolean
}

declare module 'fastify' {
  interface FastifyRequest {
    passage: Passage
  }
}

/** What the audit is told of a request, as far as it came. */
export function recordOf(request: FastifyRequest, at: EpochMs): AuditRecord {
  const { arrival, authenticated, examined, permission } = request.passage ?? {}
  const tolerances = [...(authenticated?.tolerances ?? []), ...(permission?.tolerances ?? [])]
  const btid = authenticated?.btid ?? examined?.presented.btid
  return {
    requestId: request.id,
    step: stepOf(request.passage ?? {}),
    method: request.method,
    ...(examined && !authenticated && { uaProtocolIds: examined.candidates }),
    ...(arrival && {
      naf: arrival.nafFqdn,
      auid: arrival.uri.auid,
      appServer: arrival.route.appServer.name,
      durationMs: at - arrival.at,
      route: arrival.route.pathPrefix,
      ...(arrival.uri.xui !== undefined && { xui: arrival.uri.xui }),
    }),
    ...(btid && { btid }),
    ...(authenticated?.impi && { impi: authenticated.impi }),
    ...(authenticated && { uaProtocolId: authenticated.uaProtocolId }),
    ...(permission && { impus: permission.grant.assertedIdentities }),
    ...(tolerances.length > 0 && { tolerances }),
  }
}

/** The stage that a request is at: where it is refused, if it is. */
function stepOf({ arrival, authenticated, permission, forwarding }: Passage): NonNullable<AuditRecord['step']> {
  if (!arrival) return 'arrive'
  if (!authenticated) return 'authenticate'
  if (!permission) return 'authorise'
  return forwarding ? 'forward' : 'rewrite'
}
