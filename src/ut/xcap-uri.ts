import { type Impu, parseImpu } from '../core/identity.ts'
import { GbaError } from '../errors.ts'
import { ambiguous, decodeSegment, requireUnambiguous } from './target.ts'

/** A request target that every parser reads alike, and what it names. */
export interface XcapUri {
  /** The request target, octet for octet as received and as forwarded. */
  readonly target: string
  readonly auid: string
  readonly tree: 'users' | 'global'
  /** Whose tree it is; absent in the global one. */
  readonly xui?: Impu
  /**
   * `auid/users/<xui>/<document path>` or `auid/global/<document path>`, decoded, the XUI in canonical form: equal for
   * all spellings of one document. For storage and logs; it is never sent anywhere.
   */
  readonly documentSelector: string
  /** What follows `/~~/`, undecoded. */
  readonly nodeSelector?: string
  /** What follows the first `?`, undecoded. */
  readonly query?: string
}

/**
 * Reads `<root>/<AUID>/users/<XUI>/<document path>[/~~/<node selector>][?query]`, or the same with `global` and no XUI.
 * Reading: an XUI is a SIP, SIPS or tel URI. A bare `alice@example.com`, which some servers take, names nobody that a
 * USS could list, so it is refused.
 * Reading: `~~` splits once; a second one, and document path segments named `users` or `global`, are refused, since
 * parsers that search from the other end find another document.
 * @param target    request target in origin-form, as received
 * @param xcapRoot  path of the XCAP root, '' or '/' for none
 * @throws GbaError UT_TARGET_AMBIGUOUS for what two parsers could read differently, UT_REQUEST_MALFORMED for what is
 *   no XCAP URI; RangeError for a root that is no plain path
 * @see RFC 4825 clause 6
 */
export function parseXcapUri(target: string, xcapRoot = ''): XcapUri {
  const root = plainRoot(xcapRoot)
  const { path, query } = requireUnambiguous(target)
  if (!path.startsWith(`${root}/`)) malformed('outside the XCAP root')
  const segments = path.slice(root.length + 1).split('/')
  const split = segments.indexOf('~~')
  const end = split < 0 ? segments.length : split
  const auid = end > 0 ? (segments[0] ?? '') : ''
  const tree = end > 1 ? (segments[1] ?? '') : ''
  if (!AUID.test(auid)) refuseName(auid, 'AUID')
  if (tree !== 'users' && tree !== 'global') refuseName(tree, 'tree')
  const xui = tree === 'users' ? readXui(end > 2 ? segments[2] : undefined) : undefined
  const start = xui === undefined ? [auid, tree] : [auid, tree, xui]
  // Joined at one go: a text that was put together piece by piece holds on to all of its pieces.
  const documentSelector = [...start, ...readDocumentPath(segments, start.length, end)].join('/')
  const uri: Writable<XcapUri> = { target, auid, tree, documentSelector }
  if (xui !== undefined) uri.xui = xui
  if (split >= 0) uri.nodeSelector = readNodeSelector(segments.slice(split + 1))
  if (query !== undefined) uri.query = query
  return Object.freeze(uri)
}

type Writable<T> = { -readonly [K in keyof T]: T[K] }

/** Names that are compared, not decoded: no escape in them is needed, and none is taken. */
const AUID = /^(?!(?:users|global)$)[a-z0-9](?:[a-z0-9._-]{0,126}[a-z0-9])?$/i
const TREE_LIKE = /^(?:users|global)(?:;.*|[^a-z0-9]*)$/is

/** The octets of an XUI that separate path, query and fragment in a parser that decodes too early. */
const EARLY_DELIMITER = /[?#]/

function plainRoot(xcapRoot: string): string {
  if (xcapRoot === '') return ''
  const root = xcapRoot.endsWith('/') ? xcapRoot.slice(0, -1) : xcapRoot
  if (!/^(?:\/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$/.test(root)) throw new RangeError('XCAP root is not a plain path')
  return root
}

function refuseName(name: string, what: string): never {
  if (name.includes('%') || TREE_LIKE.test(name)) ambiguous(`${what} in another spelling`)
  malformed(`no ${what}`)
}

function readXui(segment: string | undefined): Impu {
  if (segment === undefined) malformed('no XUI')
  const text = decodeSegment(segment)
  if (EARLY_DELIMITER.test(text)) ambiguous('query or fragment delimiter in the XUI')
  return parseImpu(text) ?? malformed('XUI is no SIP or tel URI')
}

/** @returns the names from start to end, decoded */
function readDocumentPath(segments: readonly string[], start: number, end: number): string[] {
  if (start >= end) malformed('no document')
  return segments.slice(start, end).map((segment) => {
    const name = decodeSegment(segment)
    if (EARLY_DELIMITER.test(name)) ambiguous('query or fragment delimiter in the document path')
    if (TREE_LIKE.test(name)) ambiguous('a second tree in the document path')
    return name
  })
}

function readNodeSelector(segments: readonly string[]): string {
  if (segments.length === 0) malformed('empty node selector')
  if (segments.includes('~~')) ambiguous('a second ~~')
  return segments.join('/')
}

function malformed(detail: string): never {
  throw new GbaError('UT_REQUEST_MALFORMED', detail)
}
