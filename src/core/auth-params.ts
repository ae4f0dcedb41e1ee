/** Value of one auth-param, escapes resolved. */
export interface AuthParam {
  readonly value: string
  /** Sent as a quoted-string, not as a token. */
  readonly quoted: boolean
}

/** Parameters by name in lower case. */
export type AuthParams = ReadonlyMap<string, AuthParam>

export interface AuthChallenge {
  /** In lower case. */
  readonly scheme: string
  readonly params: AuthParams
}

const MAX_HEADER_LENGTH = 8192
const MAX_PARAMS = 32

/**
 * Reads `scheme param, param...`: empty list elements are tolerated, a repeated parameter is not.
 * Reading: printable ASCII only within quotation marks; RFC 9110 would allow tabs and octets above 0x7f.
 * @param scheme  in lower case
 * @returns undefined when malformed, of another scheme, or beyond the limits
 * @see RFC 9110 clause 11.4
 */
export function parseCredentials(text: string, scheme: string): AuthParams | undefined {
  const start = scheme.length + 1
  return text.slice(0, start).toLowerCase() === `${scheme} ` ? parseParams(text, start) : undefined
}

/**
 * Reads a list of at least one parameter.
 * @see RFC 9110 clause 11.6.3
 */
export function parseParams(text: string, start = 0): AuthParams | undefined {
  if (text.length > MAX_HEADER_LENGTH) return undefined
  const params = new Map<string, AuthParam>()
  let at = endOf(LIST_START, text, start)
  while (at !== undefined && at < text.length) {
    at = takeParam(text, at, params)
    if (at !== undefined) at = endOf(ELEMENT_END, text, at)
  }
  return at === undefined || params.size === 0 ? undefined : params
}

/**
 * Reads the challenges of one WWW-Authenticate value; a token68 is read over.
 * @returns undefined when any of them is malformed, since then nobody can tell where the next one begins
 * @see RFC 9110 clause 11.6.1
 */
export function parseChallengeList(text: string): AuthChallenge[] | undefined {
  if (text.length > MAX_HEADER_LENGTH) return undefined
  const challenges: { scheme: string; params: Map<string, AuthParam> }[] = []
  let at = endOf(LIST_START, text, 0)
  while (at !== undefined && at < text.length) {
    const current = challenges.at(-1)
    let end = current && takeParam(text, at, current.params)
    if (end === undefined) {
      const scheme = exec(SCHEME, text, at)?.[1]
      if (scheme === undefined) return undefined
      const params = new Map<string, AuthParam>()
      challenges.push({ scheme: scheme.toLowerCase(), params })
      at = SCHEME.lastIndex
      end = endOf(TOKEN68, text, at) ?? takeParam(text, at, params) ?? at
    }
    at = endOf(ELEMENT_END, text, end)
  }
  return at === undefined ? undefined : challenges
}

/**
 * One parameter as a quoted-string.
 * @returns undefined for an absent value
 * @throws RangeError on what is not printable ASCII: no header can be injected
 * @see RFC 9110 clause 5.6.4
 */
export function quotedParam(name: string, value: string | undefined): string | undefined {
  if (value === undefined) return undefined
  if (!/^[ -~]*$/.test(value)) throw new RangeError(`${name} is not printable ASCII`)
  return `${name}="${value.replace(/["\\]/g, '\\$&')}"`
}

/**
 * One parameter as a token.
 * @returns undefined for an absent value
 * @throws RangeError on what is no token
 * @see RFC 9110 clause 5.6.2
 */
export function tokenParam(name: string, value: string | undefined): string | undefined {
  if (value === undefined) return undefined
  if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(value)) throw new RangeError(`${name} is not a token`)
  return `${name}=${value}`
}

// Sticky, and the alternatives of each begin with different characters: linear in the length of the header.
const LIST_START = /[ \t,]*/y
const ELEMENT_END = /[ \t]*(?:$|,[ \t,]*)/y
const SCHEME = /([!#$%&'*+\-.^_`|~0-9A-Za-z]+)(?: +|(?=[ \t]*(?:,|$)))/y
const TOKEN68 = /[-._~+/0-9A-Za-z]+=*(?=[ \t]*(?:,|$))/y
const PARAM =
  /([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*=[ \t]*(?:([!#$%&'*+\-.^_`|~0-9A-Za-z]+)|"([ !#-[\]-~]*(?:\\[ -~][ !#-[\]-~]*)*)")/y

/** @returns where the parameter ends; undefined when there is none, or it is there already, or they are too many */
function takeParam(text: string, at: number, params: Map<string, AuthParam>): number | undefined {
  const [, name, token, quoted] = exec(PARAM, text, at) ?? []
  const key = name?.toLowerCase()
  if (key === undefined || params.has(key) || params.size === MAX_PARAMS) return undefined
  if (token !== undefined) params.set(key, { value: token, quoted: false })
  if (quoted !== undefined)
    params.set(key, { value: quoted.includes('\\') ? quoted.replace(/\\(.)/g, '$1') : quoted, quoted: true })
  return PARAM.lastIndex
}

function exec(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at
  return pattern.exec(text)
}

const endOf = (pattern: RegExp, text: string, at: number): number | undefined =>
  exec(pattern, text, at) ? pattern.lastIndex : undefined
