import type { IncomingHttpHeaders } from 'node:http'

/** Entity tags that a request names, without quotation marks; `'*'` for any. A weak one is marked. */
export type TagCondition = '*' | readonly { readonly tag: string; readonly weak: boolean }[]

export interface Preconditions {
  readonly ifMatch?: TagCondition
  readonly ifNoneMatch?: TagCondition
}

/**
 * Reads If-Match and If-None-Match.
 * @returns undefined when malformed: a condition that cannot be read must not pass for none
 * @see RFC 9110 clauses 13.1.1 and 13.1.2
 */
export function parsePreconditions(headers: IncomingHttpHeaders): Preconditions | undefined {
  const ifMatch = parseCondition(headers['if-match'])
  const ifNoneMatch = parseCondition(headers['if-none-match'])
  if (ifMatch === 'malformed' || ifNoneMatch === 'malformed') return undefined
  return { ...(ifMatch && { ifMatch }), ...(ifNoneMatch && { ifNoneMatch }) }
}

/**
 * Whether the conditions hold. All nodes of a document share its entity tag.
 * Reading: `*` asks whether the addressed node exists; a tag is compared with that of the document even where the node
 * does not exist yet, so that an insertion can be made conditional on the version that the client has seen.
 * @param exists  the node, or the document where no node is addressed
 * @param etag    of the document; undefined when there is none
 * @see RFC 4825 clause 8.5
 */
export function failedPrecondition(
  { ifMatch, ifNoneMatch }: Preconditions,
  exists: boolean,
  etag: string | undefined,
): 'if-match' | 'if-none-match' | undefined {
  if (ifMatch === '*' ? !exists : ifMatch && !ifMatch.some(({ tag, weak }) => !weak && tag === etag)) return 'if-match'
  if (ifNoneMatch === '*') return exists ? 'if-none-match' : undefined
  return exists && ifNoneMatch?.some(({ tag }) => tag === etag) ? 'if-none-match' : undefined
}

const ELEMENT = /[ \t,]*(W\/)?"([\x21\x23-\x7e\x80-\xff]*)"[ \t]*(?=,|$)/y
const REST = /[ \t,]*$/y

function parseCondition(value: string | undefined): TagCondition | 'malformed' | undefined {
  if (value === undefined) return undefined
  if (value.trim() === '*') return '*'
  const tags: { tag: string; weak: boolean }[] = []
  let at = 0
  while (at < value.length) {
    ELEMENT.lastIndex = at
    const [whole, weak, tag] = ELEMENT.exec(value) ?? []
    if (whole === undefined || tag === undefined) break
    tags.push({ tag, weak: weak !== undefined })
    at += whole.length
  }
  REST.lastIndex = at
  return tags.length > 0 && REST.test(value) ? tags : 'malformed'
}
