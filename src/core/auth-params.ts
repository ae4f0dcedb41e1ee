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
  return isOfScheme(text, scheme) ? parseParams(text, scheme.length + 1) : undefined
}

/**
 * Reads a list of at least one parameter.
 * @see RFC 9110 clause 11.6.3
 */
export function parseParams(text: string, start = 0): AuthParams | undefined {
  if (text.length > MAX_HEADER_LENGTH) return undefined
  const params = new Map<string, AuthParam>()
  const isWhole = eachParam(text, start, (name, param) => {
    if (params.has(name)) return false
    params.set(name, param)
    return true
  })
  return isWhole ? params : undefined
}

/**
 * Reads a list of at least one parameter, and hands each over as it comes; `parseParams` without the map.
 * @param start  where the list begins: behind the scheme
 * @param take   gets the name in lower case, and where the parameter ends; false: the list is refused, as one with a
 *   repeated name has to be
 * @returns whether the whole text was such a list, within the limits, and all of it was taken
 * @see RFC 9110 clause 11.6.3
 */
export function eachParam(
  text: string,
  start: number,
  take: (name: string, param: AuthParam, end: number) => boolean,
): boolean {
  if (text.length > MAX_HEADER_LENGTH) return false
  let at: number | undefined = skip(text, start, BLANK | COMMA)
  let count = 0
  while (at !== undefined && at < text.length) {
    const param = paramAt(text, at)
    if (!param || count === MAX_PARAMS || !take(param.name, param, param.end)) return false
    count++
    at = endOfElement(text, param.end)
  }
  return at !== undefined && count > 0
}

/**
 * Whether credentials are of a scheme, which is in lower case: then its parameters begin one behind its length.
 * @see RFC 9110 clause 11.1
 */
export const isOfScheme = (text: string, scheme: string): boolean =>
  text.length > scheme.length &&
  text.charCodeAt(scheme.length) === SPACE &&
  text.slice(0, scheme.length).toLowerCase() === scheme

/**
 * Reads the challenges of one WWW-Authenticate value; a token68 is read over.
 * @returns undefined when any of them is malformed, since then nobody can tell where the next one begins
 * @see RFC 9110 clause 11.6.1
 */
export function parseChallengeList(text: string): AuthChallenge[] | undefined {
  if (text.length > MAX_HEADER_LENGTH) return undefined
  const challenges: { scheme: string; params: Map<string, AuthParam> }[] = []
  let at: number | undefined = skip(text, 0, BLANK | COMMA)
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
    at = endOfElement(text, end)
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
  if (PLAIN.test(value)) return `${name}="${value}"`
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

// Sticky, and each character fits one place alone: linear in the length of the header.
const SCHEME = /([!#$%&'*+\-.^_`|~0-9A-Za-z]+)(?: +|(?=[ \t]*(?:,|$)))/y
const TOKEN68 = /[-._~+/0-9A-Za-z]+=*(?=[ \t]*(?:,|$))/y

/** @returns where the parameter ends; undefined when there is none, or it is there already, or they are too many */
function takeParam(text: string, at: number, params: Map<string, AuthParam>): number | undefined {
  const param = paramAt(text, at)
  if (!param || params.has(param.name) || params.size === MAX_PARAMS) return undefined
  params.set(param.name, param)
  return param.end
}

/** A parameter, and where it was found. */
interface FoundParam extends AuthParam {
  /** In lower case. */
  readonly name: string
  readonly end: number
}

/**
 * `name=token` or `name="quoted"`, blanks around the sign. By hand, octet by octet: what an expression with groups finds
 * costs several times as much, and there are a dozen of them in each request.
 */
function paramAt(text: string, at: number): FoundParam | undefined {
  const nameEnd = skip(text, at, TOKEN)
  const sign = skip(text, nameEnd, BLANK)
  if (nameEnd === at || text.charCodeAt(sign) !== EQUALS) return undefined
  const name = lowerCase(text.slice(at, nameEnd))
  const start = skip(text, sign + 1, BLANK)
  if (text.charCodeAt(start) !== QUOTE) {
    const end = skip(text, start, TOKEN)
    return end === start ? undefined : { name, value: text.slice(start, end), quoted: false, end }
  }
  let escaped = false
  let end = endOfQuoted(text, start + 1)
  while (text.charCodeAt(end) === BACKSLASH) {
    if (!isOf(text, end + 1, PRINTABLE)) return undefined
    escaped = true
    end = endOfQuoted(text, end + 2)
  }
  if (text.charCodeAt(end) !== QUOTE) return undefined
  const value = text.slice(start + 1, end)
  return { name, value: escaped ? value.replace(/\\(.)/g, '$1') : value, quoted: true, end: end + 1 }
}

/** Where the next element begins, or the text ends; undefined where neither a comma nor the end follows. */
function endOfElement(text: string, at: number): number | undefined {
  const end = skip(text, at, BLANK)
  if (end === text.length) return end
  return text.charCodeAt(end) === COMMA_SIGN ? skip(text, end + 1, BLANK | COMMA) : undefined
}

const [SPACE, QUOTE, COMMA_SIGN, EQUALS, BACKSLASH] = [0x20, 0x22, 0x2c, 0x3d, 0x5c]

/** Kinds of characters, a bit each. */
const [TOKEN, PRINTABLE, BLANK, COMMA, UPPER] = [1, 2, 4, 8, 16]

const KINDS = Uint8Array.from({ length: 128 }, (_, code) => {
  const character = String.fromCharCode(code)
  return (
    (/[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(character) ? TOKEN : 0) |
    (/[ -~]/.test(character) ? PRINTABLE : 0) |
    (/[ \t]/.test(character) ? BLANK : 0) |
    (character === ',' ? COMMA : 0) |
    (/[A-Z]/.test(character) ? UPPER : 0)
  )
})

/** Behind the end is no character of any kind. */
const isOf = (text: string, at: number, kinds: number): boolean =>
  at < text.length && ((KINDS[text.charCodeAt(at)] ?? 0) & kinds) !== 0

function skip(text: string, from: number, kinds: number): number {
  let at = from
  while (isOf(text, at, kinds)) at++
  return at
}

/** Long runs are what expressions are good at. */
function endOfQuoted(text: string, from: number): number {
  QUOTED.lastIndex = from
  QUOTED.test(text)
  return QUOTED.lastIndex
}

const QUOTED = /[ !#-[\]-~]*/y

function lowerCase(name: string): string {
  for (let at = 0; at < name.length; at++) if (isOf(name, at, UPPER)) return name.toLowerCase()
  return name
}

/** Printable, and nothing in it to escape. */
const PLAIN = /^[ !#-[\]-~]*$/

function exec(pattern: RegExp, text: string, at: number): RegExpExecArray | null {
  pattern.lastIndex = at
  return pattern.exec(text)
}

const endOf = (pattern: RegExp, text: string, at: number): number | undefined =>
  exec(pattern, text, at) ? pattern.lastIndex : undefined
