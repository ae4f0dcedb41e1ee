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
  for (const route of routes) {
    const { host, pathPrefix } = route
    if ((host === undefined || host === nafFqdn) && startsWith(target, pathPrefix)) return route
  }
  throw new GbaError('UT_ROUTE_UNKNOWN', 'no route is configured for this host and path')
}

function startsWith(target: string, prefix: string): boolean {
  if (!target.startsWith(prefix)) return false
  const next = target[prefix.length]
  return prefix.endsWith('/') || next === undefined || next === '/' || next === '?'
}
