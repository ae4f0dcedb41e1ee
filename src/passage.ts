import type { Found } from './ap-found.ts'
import type { EpochMs } from './core/bytes.ts'
import type { RawHeaders } from './core/headers.ts'
import type { Fqdn } from './core/identity.ts'
import type { UaProtocolId } from './core/naf-id.ts'
import type { ToleranceName } from './core/tolerances.ts'
import type { Likeness } from './http/likeness.ts'
import type { AuditRecord, RequestTrace } from './observe/audit.ts'
import type { NafPolicy } from './ua/authenticate.ts'
import type { Attempt, Authenticated } from './ua/authenticated.ts'
import type { PeerCertificate } from './ua/certificate.ts'
import type { ChallengePolicy } from './ua/challenge.ts'
import type { DoorName } from './ua/door.ts'
import type { PskPeer } from './ua/psk.ts'
import type { Grant, RoutePolicy } from './ut/authorise.ts'
import type { AppServerPolicy } from './ut/headers.ts'
import type { RouteMatch } from './ut/routes.ts'
import type { Forwarding, Upstream } from './ut/upstream.ts'
import type { XcapUri } from './ut/xcap-uri.ts'

/** One host name that UEs address. */
export interface Naf extends NafPolicy {
  /** What its routes with the door psk ask for together; undefined: none opens it. */
  readonly psk: NafPolicy | undefined
  /** Tried in this order; `tls-suite` stands for the identifier of the connection's cipher suite. */
  readonly uaProtocolIds: readonly (UaProtocolId | 'tls-suite')[]
}

export interface Route extends RouteMatch {
  /** Ways to prove who one is that it opens, in order of preference: at least one. */
  readonly doors: readonly DoorName[]
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

/** What the connection of a request tells: by its TLS, or by the word of the front that ended that. */
export interface Connection {
  /** Where the UE is. */
  readonly source: string
  /** Address of the front that ended the TLS of the UE, and may have written to its headers; undefined: there is none. */
  readonly front?: string
  readonly serverName: string | undefined
  /** Identifier that goes with the cipher suite; undefined without TLS and for a suite without a code. */
  readonly suiteId: UaProtocolId | undefined
  /** Who holds the key that the connection stands on. */
  readonly psk?: PskPeer
  /** The client's certificate; `refused`: it showed one that is not good. */
  readonly certificate?: PeerCertificate | 'refused'
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

/** One request as the stages see it, whoever read it off its connection. */
export interface ApRequest {
  readonly id: string
  readonly method: string
  /** Request target, undecoded. */
  readonly target: string
  readonly rawHeaders: RawHeaders
  /** Every line of these headers. */
  readonly host: readonly string[]
  readonly authorization: readonly string[]
  readonly intendedIdentity: readonly string[]
  /** All lines of User-Agent, joined. */
  readonly userAgent: string
  /** Its framing announces a body. */
  readonly announcesBody: boolean
  /** Address of whoever is at the other end of the connection. */
  readonly peer: string
  /** Where its reader compares: what it has in common with others, on whatever connection they come. */
  readonly likeness?: Likeness
}

/** How far one request has come. Each step needs the one before. */
export interface Passage {
  readonly request: ApRequest
  connection?: Connection
  /** Where traces are made. */
  trace?: RequestTrace
  naf?: { readonly nafFqdn: Fqdn; readonly naf: Naf }
  /** Those of the resource, once it is known. */
  methods?: readonly string[]
  arrival?: Arrival
  /** What is so of all requests like it. */
  found?: Found
  door?: DoorName
  attempt?: Attempt
  authenticated?: Authenticated
  permission?: Permission
  forwarding?: Forwarding
  /** It has left its entry in the access log, or need not. */
  isLogged?: boolean
}

/** What the audit is told of a request, as far as it came. */
export function recordOf(passage: Passage, at: EpochMs): AuditRecord {
  const { request, arrival, attempt, authenticated, door, permission, trace } = passage
  const tolerances = [...(authenticated?.tolerances ?? []), ...(permission?.tolerances ?? [])]
  const btid = authenticated?.btid ?? attempt?.btid
  return {
    requestId: request.id,
    step: stepOf(passage),
    method: request.method,
    ...(trace && { trace }),
    ...(door && { door }),
    ...(attempt?.uaProtocolIds && !authenticated && { uaProtocolIds: attempt.uaProtocolIds }),
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
    ...(authenticated?.uaProtocolId && { uaProtocolId: authenticated.uaProtocolId }),
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
