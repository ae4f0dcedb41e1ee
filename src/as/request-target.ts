import { type Impu, parseImpu } from '../core/identity.ts'
import { MAX_SELECTOR } from './node-selector.ts'

/** Octets of the path of a document: a store may not take longer keys. */
const MAX_DOCUMENT_PATH = 1024

/** A request target taken apart; the node selector and the query are still percent-encoded. */
export interface AsTarget {
  readonly auid: string
  readonly tree: 'users' | 'global'
  /** Whose tree; undefined on `global`, and on `users` where the XUI is no public identity. */
  readonly xui?: Impu
  /** Path of the document below the XUI or `global`, percent-decoded. */
  readonly path: string
  /** Names the document in the store: one key however the client spelt the XUI or its percent-encoding. */
  readonly documentSelector: string
  /** The document's URI as received: what an error body points to. */
  readonly documentUri: string
  readonly nodeSelector?: string
  readonly query?: string
}

/** Status of a target that names no document of any kind. */
export type TargetRefusal = 400 | 404 | 414

/**
 * Reads a request target below the XCAP root.
 * @param target  as on the request line
 * @param root    path of the XCAP root, or its whole URI, which then also begins the URIs in error bodies
 * @see RFC 4825 clause 6
 */
export function parseAsTarget(target: string, root = '/'): AsTarget | TargetRefusal {
  const [, origin = '', rootPath = ''] = /^(https?:\/\/[^/]*)?(.*)$/.exec(root) ?? []
  const base = rootPath.replace(/\/$/, '')
  const mark = target.indexOf('?')
  const path = mark < 0 ? target : target.slice(0, mark)
  const query = mark < 0 ? undefined : target.slice(mark + 1)
  if (!/^[!-~]*$/.test(target)) return 400
  if (!path.startsWith(`${base}/`)) return 404
  const { document, nodeSelector = '' } = splitAtNodeSelector(path)
  if (document.length > MAX_DOCUMENT_PATH || nodeSelector.length > MAX_SELECTOR) return 414
  if (query !== undefined && query.length > MAX_SELECTOR) return 414
  const segments = document
    .slice(base.length + 1)
    .split('/')
    .map(decodeSegment)
  if (!isPath(segments)) return 400
  const [auid, tree, ...rest] = segments
  if (auid === undefined || (tree !== 'users' && tree !== 'global')) return 404
  const [xui, names] = tree === 'users' ? [rest[0], rest.slice(1)] : [undefined, rest]
  if (names.length === 0) return 404
  const impu = xui === undefined ? undefined : parseImpu(xui)
  const owner = xui === undefined ? [] : [impu ?? xui]
  return {
    auid,
    tree,
    path: names.join('/'),
    documentSelector: [auid, tree, ...owner, ...names].join('/'),
    documentUri: origin + document,
    ...(impu !== undefined && { xui: impu }),
    ...(document !== path && { nodeSelector }),
    ...(query !== undefined && { query }),
  }
}

/** The URI of an element, from its selector in clear. */
export function elementUri({ documentUri, query }: AsTarget, selector: string): string {
  if (selector === '') return documentUri
  return `${documentUri}/~~/${encodeSelector(selector)}${query === undefined ? '' : `?${query}`}`
}

/** The first segment `~~`, in whichever encoding, ends the document selector. */
function splitAtNodeSelector(path: string): { document: string; nodeSelector?: string } {
  const match = /\/(?:~|%7[eE]){2}(?=\/|$)/.exec(path)
  if (!match) return { document: path }
  return { document: path.slice(0, match.index), nodeSelector: path.slice(match.index + match[0].length + 1) }
}

function decodeSegment(segment: string): string | undefined {
  try {
    return decodeURIComponent(segment)
  } catch {
    return undefined
  }
}

/** No segment that a file system, a proxy or a second decoder could take for something else. */
const isPath = (segments: readonly (string | undefined)[]): segments is readonly string[] =>
  segments.every((segment) => segment !== undefined && !/^\.{0,2}$|[/\\\p{Cc}]/u.test(segment))

const encodeSelector = (text: string): string =>
  encodeURIComponent(text).replace(/%(?:2F|40|3D|3A|2B|2C)/g, (octet) => decodeURIComponent(octet))
