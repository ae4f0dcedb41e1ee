import { headerKind } from './header-kinds.ts'
import { Likeness } from './likeness.ts'

/** One request head that the narrow grammar matched as a whole. */
export interface RequestHead {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'DELETE'
  /** Origin-form, octet for octet; whether it can be read in two ways is for others to judge. */
  readonly target: string
  /** Name, value, name, value, …: names as sent, values trimmed, one character per octet, as Node gives them. */
  readonly rawHeaders: readonly string[]
  readonly host: string
  /** Octets of the body; 0 where no header tells. */
  readonly contentLength: number
  /** false after `Connection: close`. */
  readonly keepsAlive: boolean
  /** Octets of the head, with its empty line. */
  readonly length: number
  /** The value of every such line. */
  readonly authorization: readonly string[]
  /** The value of the first such line. */
  readonly userAgent: string | undefined
  /** The value of every X-3GPP-Intended-Identity line. */
  readonly intendedIdentity: readonly string[]
  /** Where the value of the last Authorization begins, in octets. */
  readonly authorizationAt: number | undefined
  /** What it has in common with others, on whatever connection they come. */
  readonly likeness: Likeness
}

export interface HeadLimits {
  /** Most octets of a head, with its empty line. */
  readonly headerBytes: number
  /** As many header lines are too many. */
  readonly headerCount: number
  /** Most octets of a body. */
  readonly bodyBytes: number
}

/**
 * Reads the head of an HTTP/1.1 request if every octet of it fits a grammar that is narrower than any server's: what
 * it accepts has one reading. All the rest is for the general server, so that too narrow costs time and nothing else.
 * @param octets  what has come so far, from the first octet of a request on; what follows the head is not looked at
 * @returns `more`: so far it fits, but is not whole; `other`: something that only the general server may judge
 * @see RFC 9112 section 2.1, section 5 (2022)
 */
export function readRequestHead(octets: Buffer, limits: HeadLimits): RequestHead | 'more' | 'other' {
  const end = octets.indexOf(EMPTY_LINE)
  if (end < 0) return octets.length < limits.headerBytes && mayBecomeHead(octets) ? 'more' : 'other'
  const length = end + EMPTY_LINE.length
  if (length > limits.headerBytes) return 'other'
  const text = octets.toString('latin1', 0, length)
  REQUEST_LINE.lastIndex = 0
  if (!REQUEST_LINE.test(text)) return 'other'
  const method = methodOf(text)
  const target = octets.toString('latin1', method.length + 1, REQUEST_LINE.lastIndex - VERSION.length)

  const rawHeaders: string[] = []
  const authorization: string[] = []
  const intendedIdentity: string[] = []
  let host: string | undefined
  let contentLength: number | undefined
  let connection: string | undefined
  let userAgent: string | undefined
  let authorizationAt: number | undefined
  const last = length - 2
  for (let at = REQUEST_LINE.lastIndex; at < last; at = HEADER_LINE.lastIndex) {
    if (rawHeaders.length + 2 >= 2 * limits.headerCount) return 'other'
    HEADER_LINE.lastIndex = at
    if (!HEADER_LINE.test(text)) return 'other'
    const colon = text.indexOf(':', at)
    let from = colon + 1
    while (isBlank(text.charCodeAt(from))) from++
    let to = HEADER_LINE.lastIndex - 2
    while (to > from && isBlank(text.charCodeAt(to - 1))) to--
    const name = text.slice(at, colon)
    const kind = headerKind(name)
    // What may be remembered for long, in parts, is a string of its own, and keeps nothing else of the head alive.
    const value = kind === 'ordinary' ? text.slice(from, to) : octets.toString('latin1', from, to)
    rawHeaders.push(name, value)
    switch (kind) {
      case 'ordinary':
        break
      case 'authorization':
        authorization.push(value)
        authorizationAt = from
        break
      case 'intended identity':
        intendedIdentity.push(value)
        break
      case 'user agent':
        userAgent ??= value
        break
      case 'host':
        if (host !== undefined || value === '') return 'other'
        host = value
        break
      case 'connection':
        if (connection !== undefined || !CONNECTION.test(value)) return 'other'
        connection = value.toLowerCase()
        break
      case 'content-length':
        if (contentLength !== undefined || !LENGTH.test(value)) return 'other'
        contentLength = Number(value)
        break
      default:
        return 'other'
    }
  }
  if (host === undefined) return 'other'
  if (contentLength !== undefined && contentLength > (mayHaveBody(method) ? limits.bodyBytes : 0)) return 'other'
  return {
    method,
    target,
    rawHeaders,
    host,
    contentLength: contentLength ?? 0,
    keepsAlive: connection !== 'close',
    length,
    authorization,
    userAgent,
    intendedIdentity,
    authorizationAt,
    likeness: new Likeness(),
  }
}

const METHODS = ['GET', 'HEAD', 'PUT', 'DELETE'] as const

const EMPTY_LINE = Buffer.from('\r\n\r\n', 'latin1')

const VERSION = ' HTTP/1.1\r\n'

/**
 * What RFC 3986 has in paths and queries, and the brackets of node selectors: no URL parser writes any of it in another
 * way. A quotation mark it would escape, an apostrophe only behind the question mark.
 */
const TARGET = String.raw`\/[A-Za-z0-9\-._~!$&'()*+,;=:@%/\[\]]*(?:\?[A-Za-z0-9\-._~!$&()*+,;=:@%/?\[\]]*)?`

const REQUEST_LINE = new RegExp(String.raw`(?:${METHODS.join('|')}) ${TARGET} HTTP\/1\.1\r\n`, 'y')

/** A token (RFC 9110 section 5.6.2). */
const NAME = String.raw`[A-Za-z0-9!#$%&'*+\-.^_\x60|~]+`
/** One line of it: no controls, no fold. */
const VALUE = String.raw`[\t\x20-\x7e\x80-\xff]*`
const HEADER_LINE = new RegExp(String.raw`${NAME}:${VALUE}\r\n`, 'y')

const CONNECTION = /^(?:keep-alive|close)$/i
const LENGTH = /^[0-9]{1,15}$/

const prefixes = (word: string): string[] => Array.from(` ${word}`, (_, i) => word.slice(0, i))

const isBlank = (octet: number): boolean => octet === 0x20 || octet === 0x09

const mayHaveBody = (method: RequestHead['method']): boolean => method === 'PUT' || method === 'DELETE'

function methodOf(text: string): RequestHead['method'] {
  const first = text.charCodeAt(0)
  return first === 0x47 ? 'GET' : first === 0x50 ? 'PUT' : first === 0x44 ? 'DELETE' : 'HEAD'
}

/** Whether more octets could make it a head, as far as the form of its lines tells. */
function mayBecomeHead(octets: Buffer): boolean {
  const text = octets.toString('latin1')
  if (!text.includes('\n')) return REQUEST_LINE_SO_FAR.test(text)
  REQUEST_LINE.lastIndex = 0
  if (!REQUEST_LINE.test(text)) return false
  HEADER_LINES_SO_FAR.lastIndex = REQUEST_LINE.lastIndex
  return HEADER_LINES_SO_FAR.test(text)
}

const REQUEST_LINE_SO_FAR = new RegExp(
  String.raw`^(?:${METHODS.flatMap(prefixes).join('|')}|(?:${METHODS.join('|')}) (?:${TARGET}(?: [HTP/1.]{0,8}\r?)?)?)$`,
)

const HEADER_LINES_SO_FAR = new RegExp(String.raw`(?:${NAME}:${VALUE}\r\n)*(?:${NAME}(?::${VALUE}\r?)?|\r)?$`, 'y')
