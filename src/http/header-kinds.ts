import { foldedNames, foldName } from '../core/header-names.ts'

/**
 * What a header line is to whom reads a request's head: one that frames or addresses the message, one that is noted,
 * one that only the general server may judge (`other`), or one like any other.
 */
export type HeaderKind =
  | 'authorization'
  | 'connection'
  | 'content-length'
  | 'host'
  | 'intended identity'
  | 'ordinary'
  | 'other'
  | 'user agent'

/**
 * The kind of a header by its name. A name that some server could take for one that frames, addresses or credits the
 * message, in any spelling but the very one, is `other`.
 * @param name  as sent: a token
 */
export function headerKind(name: string): HeaderKind {
  // Few spellings come nearly always: the common one, and lower case. Whatever else comes is looked at in full.
  return KNOWN.get(name) ?? kindOf(name)
}

function kindOf(name: string): HeaderKind {
  const known = KNOWN.get(name.toLowerCase())
  return known ?? (LOOKED_FOR.has(foldName(name)) ? 'other' : 'ordinary')
}

const READ: readonly (readonly [name: string, kind: HeaderKind])[] = [
  ['Authorization', 'authorization'],
  ['Connection', 'connection'],
  ['Content-Length', 'content-length'],
  ['Host', 'host'],
  ['X-3GPP-Intended-Identity', 'intended identity'],
  ['User-Agent', 'user agent'],
]

/** They frame a message, change the protocol, or ask for an answer before the answer. */
const OTHER = 'Transfer-Encoding Upgrade Expect Trailer TE Proxy-Connection HTTP2-Settings'

const ORDINARY = `
  Accept Accept-Charset Accept-Encoding Accept-Language Cache-Control Content-Encoding Content-Language Content-Type Cookie
  Date If-Match If-Modified-Since If-None-Match If-Range If-Unmodified-Since Keep-Alive Origin Pragma Range Referer
  X-Requested-With
`

const words = (names: string): string[] => names.trim().split(/\s+/)

const KNOWN: ReadonlyMap<string, HeaderKind> = new Map(
  [
    ...READ,
    ...words(OTHER).map((name) => [name, 'other'] as const),
    ...words(ORDINARY).map((name) => [name, 'ordinary'] as const),
  ].flatMap(([name, kind]) => [
    [name, kind],
    [name.toLowerCase(), kind],
  ]),
)

const LOOKED_FOR = foldedNames(`${OTHER} ${READ.map(([name]) => name).join(' ')}`)
