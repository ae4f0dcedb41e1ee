import { Found } from './ap-found.ts'
import type { StageOptions } from './ap-stages.ts'
import { productTokens } from './core/headers.ts'
import type { UaProtocolId } from './core/naf-id.ts'
import { GbaError } from './errors.ts'
import type { Likeness } from './http/likeness.ts'
import type { ApRequest, Arrival, Connection, Naf, Passage } from './passage.ts'
import { addressedNaf } from './ua/addressed-naf.ts'
import type { DoorPolicy } from './ua/doors.ts'
import { ACCESS_LOG_METHODS, isAccessLog } from './ut/access-log.ts'
import { selectRoute } from './ut/routes.ts'
import { parseXcapUri, type XcapUri } from './ut/xcap-uri.ts'

export type ArrivalOptions = Pick<StageOptions, 'nafs' | 'routes' | 'headerCount' | 'accessLog' | 'now'>

/** The first stage: everything about a request that can be judged before its author is known. */
export function arrivals(options: ArrivalOptions) {
  const isOurs = (uri: XcapUri) => options.accessLog !== undefined && isAccessLog(uri)

  /** What was found of heads that are kept; it goes with them, and with these rules. */
  const founds = new WeakMap<Likeness, Found>()

  /** Which NAF is meant. @throws GbaError UT_REQUEST_MALFORMED, UA_SNI_MISMATCH, UA_NAF_UNKNOWN */
  function address(passage: Passage, connection: Connection): NonNullable<Passage['naf']> {
    passage.connection = connection
    passage.naf = addressedNaf(connection.serverName, passage.request.host, options.nafs)
    return passage.naf
  }

  function look(passage: Passage, connection: Connection): Found {
    const { request } = passage
    const { method, rawHeaders, target } = request
    const { nafFqdn, naf } = address(passage, connection)
    if (rawHeaders.length / 2 >= options.headerCount) {
      throw new GbaError('UT_HEADERS_TOO_LARGE', `${rawHeaders.length / 2} header fields`)
    }
    checkBody(request)
    if (!target.startsWith('/')) throw new GbaError('UT_TARGET_AMBIGUOUS', 'not in origin-form')
    const route = selectRoute(options.routes, nafFqdn, target)
    const uri = parseXcapUri(target, route.appServer.xcapRoot)
    const methods = isOurs(uri) ? ACCESS_LOG_METHODS : route.methods
    passage.methods = methods
    if (!methods.includes(method)) throw new GbaError('UT_METHOD_NOT_ALLOWED', method)
    return new Found(connection, {
      arrival: { nafFqdn, naf, route, uri },
      methods,
      tokens: productTokens(request.userAgent),
      uaProtocolIds: idsOf(connection, naf),
      doorPolicy: doorPolicyOf({ naf, route }),
    })
  }

  return {
    isOurs,
    address,

    /** @throws GbaError of what is not addressed, formed or routed as it has to be */
    arrive(passage: Passage, connection: Connection): Found {
      const { likeness } = passage.request
      const known = likeness?.isKept ? founds.get(likeness) : undefined
      const found = known?.holdsOn(connection) ? known : look(passage, connection)
      found.isFamiliar = found === known
      const { nafFqdn, naf, route, uri } = found.arrival
      passage.connection = connection
      passage.naf = found.arrival
      passage.methods = found.methods
      passage.found = found
      passage.arrival = { at: options.now(), nafFqdn, naf, route, uri }
      return found
    },

    /** To be told of requests whose author is known: what is found of those of strangers is not worth keeping. */
    keep({ request: { likeness }, found }: Passage): void {
      if (likeness?.isKept && found && !found.isFamiliar) founds.set(likeness, found)
    },
  }
}

export const doorPolicyOf = ({ naf, route }: Pick<Arrival, 'naf' | 'route'>): DoorPolicy => ({
  ...naf,
  challenge: route.challenge,
  doors: route.doors,
  services: route.policy.gsids,
})

function idsOf({ suiteId }: Connection, { uaProtocolIds }: Naf): UaProtocolId[] {
  return uaProtocolIds.flatMap((id) => (id === 'tls-suite' ? (suiteId ?? []) : id))
}

/** A body that most servers do not expect, and so might take for the next request. */
function checkBody({ method, announcesBody }: ApRequest): void {
  if (announcesBody && (method === 'GET' || method === 'HEAD')) {
    throw new GbaError('UT_REQUEST_MALFORMED', `${method} with a body`)
  }
}
