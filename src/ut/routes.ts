import type { Fqdn } from '../core/identity.ts'
import { GbaError } from '../errors.ts'

/** What a route is chosen by. */
export interface RouteMatch {
  /** undefined: any NAF. */
  readonly host: Fqdn | undefined
  /** Start of the undecoded path, in whole segments. */
  readonly pathPrefix: string
}

/**
 * The first route whose host and path prefix fit.
 * @throws GbaError UT_ROUTE_UNKNOWN
 */
export function selectRoute<Route extends RouteMatch>(routes: readonly Route[], nafFqdn: Fqdn, target: string): Route {
  const route = routes.find(
    ({ host, pathPrefix }) => (host === undefined || host === nafFqdn) && startsWith(target, pathPrefix),
  )
  if (!route) throw new GbaError('UT_ROUTE_UNKNOWN', 'no route is configured for this host and path')
  return route
}

function startsWith(target: string, prefix: string): boolean {
  const whole = prefix.endsWith('/') ? prefix : `${prefix}/`
  return target.startsWith(whole) || target === prefix || target.startsWith(`${prefix}?`)
}
