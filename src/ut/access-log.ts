import { hash } from 'node:crypto'
import { type EpochMs, utf8 } from '../core/bytes.ts'
import type { Impu } from '../core/identity.ts'
import { escapeXml } from '../core/xml.ts'
import { FAULTS, type FaultCode, GbaError } from '../errors.ts'
import type { AccessEntry } from '../store/store.ts'
import type { Grant, RoutePolicy } from './authorise.ts'
import type { XcapUri } from './xcap-uri.ts'

/**
 * Our application usage: the reverse of a name below `.internal`, which nobody can own, so that no vendor's AUID is it.
 * @see RFC 4825 clause 5.1
 */
export const ACCESS_LOG_AUID = 'internal.gba-proxy.access-log'
export const ACCESS_LOG_NAMESPACE = 'urn:gba-proxy:access-log'
/** Ours, and registered nowhere. */
export const ACCESS_LOG_TYPE = 'application/vnd.gba-proxy.access-log+xml'
/** Nobody writes it but the proxy. */
export const ACCESS_LOG_METHODS: readonly string[] = ['GET', 'HEAD']

/** Whether a request is for a log. In any letter case: another spelling must not reach a server under another rule. */
export const isAccessLog = ({ auid }: Pick<XcapUri, 'auid'>): boolean => auid.toLowerCase() === ACCESS_LOG_AUID

/** By which rule a log is read, whatever the route says of its application server: by its owner alone. */
export const accessLogPolicy = ({ ownershipByAuid: _, ...policy }: RoutePolicy): RoutePolicy => ({
  ...policy,
  ownership: 'owner',
})

/** One request, as far as it came. */
export interface Access {
  readonly at: EpochMs
  readonly method: string
  readonly uri: Pick<XcapUri, 'auid' | 'xui' | 'documentSelector'>
  /** HTTP status of the answer: the application server's where it gave one. */
  readonly outcome: number
  /** What was permitted. */
  readonly grant?: Pick<Grant, 'assertedIdentities' | 'ownTree'> | undefined
  /** The request proved to be a subscriber's. */
  readonly isAuthenticated: boolean
  /** Why it was refused. */
  readonly code?: FaultCode | undefined
}

/**
 * What a request leaves in a log, and in whose: that of the XUI in its path. Each public identity has a log of its own,
 * also where one subscriber has several.
 * - What was permitted is there with the application server's status, or with ours where that server failed: as `self`
 *   when the documents are the subscriber's own, under whichever identity; else as the identity asserted.
 * - What an authenticated subscriber was refused by policy (403), and a wrong response or a used nonce count over a
 *   B-TID that the BSF knows, is there as `refused`: a try names nobody, since nobody was let through.
 * - A request without credentials, with stale ones or with an expired key is no try: every UE makes some.
 * - The owner's own reading of the log is not in it; what others try there is.
 * @returns undefined where nothing is left
 */
export function accessEntryOf(access: Access): { readonly owner: Impu; readonly entry: AccessEntry } | undefined {
  const { at, method, uri, outcome, grant } = access
  const { xui } = uri
  const actor = grant === undefined ? refused(access) : grant.ownTree ? 'self' : grant.assertedIdentities[0]
  if (xui === undefined || actor === undefined || (actor === 'self' && isAccessLog(uri))) return undefined
  const documentSelector = uri.documentSelector.slice(0, LONGEST_SELECTOR)
  return { owner: xui, entry: { at, actor, method: method.slice(0, LONGEST_METHOD), documentSelector, outcome } }
}

/** A stranger chooses these texts, and the owner's log keeps them. */
const LONGEST_SELECTOR = 512
const LONGEST_METHOD = 16

/** Only over a B-TID that the BSF knows do requests come as far as these. */
const TRIES: ReadonlySet<FaultCode> = new Set(['UA_RESPONSE_WRONG', 'UA_NC_REUSED'])

function refused({ code, isAuthenticated }: Access): 'refused' | undefined {
  if (code === undefined) return undefined
  const byPolicy = isAuthenticated && FAULTS[code].ut === 403
  return byPolicy || TRIES.has(code) ? 'refused' : undefined
}

/**
 * A log as its owner reads it.
 *
 *     <log xmlns="urn:gba-proxy:access-log" owner="sip:alice@example.org">
 *       <entry time="2026-11-21T10:00:00.000Z" actor="self" method="PUT" document="pres-rules/users/…" status="201"/>
 *     </log>
 *
 * `actor` is `self`, `refused` or a public identity, which always has a colon. `document` may be cut after 512
 * characters; what XML has no character for is U+FFFD in it.
 * @param entries  newest first, as they stand in the document
 */
export function accessLogDocument(owner: Impu, entries: readonly AccessEntry[]): string {
  const lines = entries.map(
    ({ at, actor, method, documentSelector, outcome }) =>
      `  <entry time="${new Date(at).toISOString()}" actor="${escapeXml(actor)}" method="${escapeXml(method)}" ` +
      `document="${escapeXml(documentSelector.replace(NOT_XML, '\ufffd'))}" status="${outcome}"/>\n`,
  )
  const open = `<log xmlns="${ACCESS_LOG_NAMESPACE}" owner="${escapeXml(owner)}">`
  return `<?xml version="1.0" encoding="UTF-8"?>\n${open}\n${lines.join('')}</log>\n`
}

const NOT_XML = /[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu

/** Conditions of a request, as they were sent. */
export interface Conditions {
  readonly ifMatch?: string | undefined
  readonly ifNoneMatch?: string | undefined
}

export interface AccessLogAnswer {
  readonly status: 200 | 304 | 412
  readonly headers: Readonly<Record<string, string>>
  /** Empty unless the status is 200; an answer to HEAD leaves it out. */
  readonly body: Uint8Array
}

/**
 * Whether a request names a log: `<root>/internal.gba-proxy.access-log/users/<XUI>/index`, and no node of it.
 * @returns whose log
 * @throws GbaError UT_METHOD_NOT_ALLOWED, UT_ROUTE_UNKNOWN
 */
export function requireAccessLog(method: string, uri: XcapUri): Impu {
  if (!ACCESS_LOG_METHODS.includes(method)) throw new GbaError('UT_METHOD_NOT_ALLOWED', `${method} on an access log`)
  const { xui, documentSelector, nodeSelector } = uri
  if (xui === undefined || documentSelector !== `${uri.auid}/users/${xui}/index`) {
    throw new GbaError('UT_ROUTE_UNKNOWN', 'the only document of an access log is index in a users tree')
  }
  if (nodeSelector !== undefined) throw new GbaError('UT_ROUTE_UNKNOWN', 'an access log is read as a whole')
  return xui
}

/**
 * The answer to GET or HEAD of a log. Its ETag is a hash of what is in it.
 * @see RFC 9110 clause 13.2.2
 */
export function answerAccessLog(
  owner: Impu,
  entries: readonly AccessEntry[],
  { ifMatch, ifNoneMatch }: Conditions,
): AccessLogAnswer {
  const document = accessLogDocument(owner, entries)
  const etag = `"${hash('sha256', document, 'base64url')}"`
  const headers = { etag, 'cache-control': 'private, no-cache' }
  if (ifMatch !== undefined && !names(ifMatch, etag)) return { status: 412, headers, body: NO_BODY }
  if (ifNoneMatch !== undefined && names(ifNoneMatch.replaceAll('W/"', '"'), etag)) {
    return { status: 304, headers, body: NO_BODY }
  }
  return { status: 200, headers: { ...headers, 'content-type': ACCESS_LOG_TYPE }, body: utf8(document) }
}

const NO_BODY = new Uint8Array()

/** Whether a list of entity tags, or `*`, has this one; our tags hold no comma. */
const names = (condition: string, etag: string): boolean =>
  condition.trim() === '*' || condition.split(',').some((tag) => tag.trim() === etag)
