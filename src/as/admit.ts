import type { IncomingHttpHeaders } from 'node:http'
import { ASSERTED_IDENTITY, parseAssertedIdentities } from './asserted-identity.ts'
import type { ApplicationUsage } from './auids.ts'
import { type NodeSelector, parseNodeSelector } from './node-selector.ts'
import { type Preconditions, parsePreconditions } from './preconditions.ts'
import { type AsTarget, parseAsTarget, type TargetRefusal } from './request-target.ts'
import { contentTypeOf } from './resource.ts'

export interface AsRequest {
  readonly method: string
  /** As on the request line. */
  readonly target: string
  readonly headers: IncomingHttpHeaders
}

/** A request that may look at its document. */
export interface Admission {
  readonly method: 'GET' | 'PUT' | 'DELETE'
  readonly usage: ApplicationUsage
  readonly target: AsTarget
  readonly selector?: NodeSelector
  readonly preconditions: Preconditions
}

export interface Refusal {
  readonly status: TargetRefusal | 401 | 403 | 405 | 415
  /** Methods that the resource has, with 405. */
  readonly allow?: string
}

export const EVERY_METHOD = 'GET, HEAD, PUT, DELETE'
const READING_METHODS = 'GET, HEAD'

/**
 * Judges a request by all that can be known without its document: whose tree it is, which node, which media type.
 * Reading: nobody writes to the global tree through this server, and everybody may read it.
 * @see RFC 4825 clause 8.1
 */
export function admit(
  request: AsRequest,
  usages: ReadonlyMap<string, ApplicationUsage>,
  xcapRoot: string,
): Admission | Refusal {
  const { headers } = request
  const method = request.method === 'HEAD' ? 'GET' : request.method
  if (method !== 'GET' && method !== 'PUT' && method !== 'DELETE') return { status: 405, allow: EVERY_METHOD }
  const target = parseAsTarget(request.target, xcapRoot)
  if (typeof target === 'number') return { status: target }
  const usage = usages.get(target.auid)
  if (!usage || (usage.generated !== undefined && `${target.tree}/${target.path}` !== 'global/index')) {
    return { status: 404 }
  }
  const stranger = target.tree === 'users' && refuseStranger(target, headers)
  if (stranger) return stranger
  const selector = selectorOf(target, usage)
  const preconditions = parsePreconditions(headers)
  if (selector === 'malformed' || !preconditions) return { status: 400 }
  if (method !== 'GET') {
    const readOnly = usage.generated !== undefined || selector?.terminal?.kind === 'namespaces'
    if (readOnly) return { status: 405, allow: READING_METHODS }
    if (target.tree === 'global') return { status: 403 }
  }
  const unfit = method === 'PUT' && refuseBody(headers, contentTypeOf(usage, selector))
  if (unfit) return unfit
  return { method, usage, target, preconditions, ...(selector && { selector }) }
}

/** The proxy has checked this already; a second look costs little and holds when the proxy is bypassed or misled. */
function refuseStranger({ xui }: AsTarget, headers: IncomingHttpHeaders): Refusal | undefined {
  const identities = parseAssertedIdentities(headers[ASSERTED_IDENTITY])
  if (!identities) return { status: 401 }
  return xui !== undefined && identities.includes(xui) ? undefined : { status: 403 }
}

function selectorOf(target: AsTarget, usage: ApplicationUsage): NodeSelector | 'malformed' | undefined {
  if (target.nodeSelector === undefined) return undefined
  return parseNodeSelector(target.nodeSelector, target.query, usage.defaultNamespace) ?? 'malformed'
}

function refuseBody(headers: IncomingHttpHeaders, contentType: string): Refusal | undefined {
  // Part of a body taken for the whole would cut the document short.
  if (headers['content-range'] !== undefined) return { status: 400 }
  const type = headers['content-type']?.split(';', 1)[0]?.trim().toLowerCase()
  const coding = headers['content-encoding']?.trim().toLowerCase() ?? 'identity'
  return type === contentType && coding === 'identity' ? undefined : { status: 415 }
}
