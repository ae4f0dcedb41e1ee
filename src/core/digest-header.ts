import {
  type AuthParam,
  type AuthParams,
  eachParam,
  isOfScheme,
  parseChallengeList,
  parseParams,
  quotedParam as quoted,
  tokenParam as token,
} from './auth-params.ts'
import { type DigestAlgorithm, isSessionAlgorithm, parseAlgorithm, type Qop } from './digest.ts'

/** Deviations of real UEs that the parser tolerates and names. */
export type DigestQuirk =
  | `unquoted-${(typeof QUOTED)[number]}`
  | `quoted-${(typeof TOKENS)[number]}`
  | 'nc-length'
  | 'nc-upper-case'

/** Digest credentials of a request, quotation marks and escapes resolved. @see RFC 7616 clause 3.4 */
export interface DigestCredentials {
  readonly username: string
  readonly realm: string
  readonly nonce: string
  readonly uri: string
  readonly response: string
  /** Absent when not sent; the digest is then MD5. */
  readonly algorithm?: DigestAlgorithm
  readonly qop?: Qop
  /** As sent, since the text enters the digest: 1 to 10 hex digits. */
  readonly nc?: string
  readonly cnonce?: string
  readonly opaque?: string
  /** Resynchronisation parameter, base64. @see RFC 3310 clause 3.4 */
  readonly auts?: string
  readonly userhash: boolean
  readonly quirks: readonly DigestQuirk[]
}

/** What the formatter needs of credentials: quirks are never written. */
export type OutgoingCredentials = Omit<DigestCredentials, 'quirks' | 'userhash'> & { readonly userhash?: boolean }

/** @see RFC 7616 clause 3.3 */
export interface DigestChallenge {
  readonly realm: string
  readonly nonce: string
  readonly algorithm?: DigestAlgorithm
  /** Empty: the challenge has none, as in RFC 2069. */
  readonly qop: readonly Qop[]
  readonly opaque?: string
  readonly stale?: boolean
}

/** @see RFC 7616 clause 3.5 */
export interface AuthenticationInfo {
  readonly qop?: Qop
  readonly rspauth?: string
  readonly cnonce?: string
  readonly nc?: string
  readonly nextnonce?: string
}

/**
 * Reads an Authorization header strictly: one list of parameters, each at most once, unknown ones ignored.
 * Reading: only printable ASCII. IMPI, TMPI and B-TID need no more, and RFC 7616 leaves other octets to `username*`,
 * which is refused too, as a second name for the user.
 * Reading: nonce and response both empty make the first request on Ub; only then may qop or -sess stand incomplete.
 * @param header  as received, at most 8 KiB and 32 parameters
 * @returns undefined for anything else than well-formed Digest credentials
 * @see RFC 7616 clause 3.4
 */
export function parseAuthorization(header: string): DigestCredentials | undefined {
  if (!isOfScheme(header, 'digest')) return undefined
  const known: Known = [...NOTHING_KNOWN]
  const unknown: string[] = []
  const isWhole = eachParam(header, 'digest '.length, (name, param) => {
    const place = KNOWN.get(name)
    if (place === undefined ? unknown.includes(name) : known[place] !== undefined) return false
    if (place === undefined) unknown.push(name)
    else known[place] = param
    return true
  })
  if (!isWhole || unknown.includes('username*')) return undefined
  // By their places in the tables below: to take the list apart by its iterator costs as much as to read it.
  const [username, realm, nonce] = [known[0]?.value, known[1]?.value, known[2]?.value]
  const [uri, response, cnonce] = [known[3]?.value, known[4]?.value, known[5]?.value]
  const [opaque, auts] = [known[6]?.value, known[7]?.value]
  if (username === undefined || realm === undefined || nonce === undefined) return undefined
  if (uri === undefined || response === undefined) return undefined

  const algorithm = typed(known[8], parseAlgorithm)
  const qop = typed(known[9], parseQop)
  const nc = typed(known[10], parseNc)
  const userhash = typed(known[11], parseBoolean)
  if (algorithm === null || qop === null || nc === null || userhash === null) return undefined
  if (nonce !== '' || response !== '') {
    if (qop !== undefined && (nc === undefined || cnonce === undefined)) return undefined
    if (algorithm !== undefined && isSessionAlgorithm(algorithm) && cnonce === undefined) return undefined
  }
  const quirks = quirksOf(known, nc)
  const required = { username, realm, nonce, uri, response, userhash: userhash ?? false, quirks }
  const credentials: Writable<DigestCredentials> = required
  if (algorithm !== undefined) credentials.algorithm = algorithm
  if (qop !== undefined) credentials.qop = qop
  if (nc !== undefined) credentials.nc = nc
  if (cnonce !== undefined) credentials.cnonce = cnonce
  if (opaque !== undefined) credentials.opaque = opaque
  if (auts !== undefined) credentials.auts = auts
  return credentials
}

type Writable<T> = { -readonly [K in keyof T]: T[K] }

/** What differs from one request of a UE to the next, where they are for the same. */
export type ChangingParam = 'nc' | 'cnonce' | 'response'

/** Where the value of one of them stands in its header, without quotation marks. */
export interface ChangingValue {
  readonly name: ChangingParam
  readonly from: number
  readonly to: number
}

/**
 * Finds these three values in an Authorization header that `parseAuthorization` reads.
 * @returns in the order in which they stand; undefined: one is missing, or not written in the usual way
 * @see RFC 7616 clause 3.4
 */
export function changingValuesIn(header: string): readonly ChangingValue[] | undefined {
  const values: ChangingValue[] = []
  const isWhole = eachParam(header, 'digest '.length, (name, { value, quoted: isQuoted }, end) => {
    if (name !== 'nc' && name !== 'cnonce' && name !== 'response') return true
    const to = isQuoted ? end - 1 : end
    const from = to - value.length
    if (isQuoted !== (name !== 'nc') || !isUsualValue(name, header.slice(from, to))) return false
    values.push({ name, from, to })
    return header.slice(from, to) === value
  })
  return isWhole && values.length === 3 ? values : undefined
}

/**
 * Whether a text may stand in the place of another value that `changingValuesIn` found, and the header be read as it was.
 * @see RFC 7616 clause 3.4
 */
export const isUsualValue = (name: ChangingParam, text: string): boolean =>
  name === 'nc' ? /^[0-9a-f]{8}$/.test(text) : /^[ !#-[\]-~]+$/.test(text)

/**
 * Writes an Authorization header. No two credentials are written alike.
 * @throws RangeError on what is not printable ASCII
 * @see RFC 7616 clause 3.4
 */
export function formatAuthorization(credentials: OutgoingCredentials): string {
  const { username, realm, nonce, uri, qop, nc, cnonce, response, opaque, algorithm, auts, userhash } = credentials
  const params = [
    quoted('username', username),
    quoted('realm', realm),
    quoted('nonce', nonce),
    quoted('uri', uri),
    token('qop', qop),
    token('nc', nc),
    quoted('cnonce', cnonce),
    quoted('response', response),
    quoted('opaque', opaque),
    token('algorithm', algorithm),
    quoted('auts', auts),
    token('userhash', userhash ? 'true' : undefined),
  ]
  return `Digest ${list(params, ', ')}`
}

/**
 * Writes a WWW-Authenticate value with one Digest challenge.
 * @throws RangeError on what is not printable ASCII
 * @see RFC 7616 clause 3.3
 */
export function formatChallenge({ realm, nonce, algorithm, qop, opaque, stale }: DigestChallenge): string {
  const params = [
    quoted('realm', realm),
    quoted('nonce', nonce),
    token('algorithm', algorithm),
    quoted('qop', qop.length > 0 ? qop.join(',') : undefined),
    quoted('opaque', opaque),
    token('stale', stale?.toString()),
  ]
  return `Digest ${list(params, ', ')}`
}

/**
 * Reads the Digest challenges that a client can answer, out of all WWW-Authenticate values of one response.
 * Other schemes, unknown algorithms and challenges with only unknown qop are skipped; a malformed value is skipped whole.
 * @param values  each at most 8 KiB, with any number of challenges
 * @see RFC 7616 clause 3.3
 */
export function parseChallenges(values: readonly string[]): DigestChallenge[] {
  return values
    .flatMap((value) => parseChallengeList(value) ?? [])
    .flatMap(({ scheme, params }) => (scheme === 'digest' ? (challengeOf(params) ?? []) : []))
}

/**
 * Writes an Authentication-Info value.
 * Deviation: no space after the commas by default, and first what a client can best do without (qop), because Android's
 * ImsStack cuts the value at its first space.
 * @throws RangeError on what is not printable ASCII
 * @see RFC 7616 clause 3.5
 */
export function formatAuthenticationInfo(
  { qop, rspauth, cnonce, nc, nextnonce }: AuthenticationInfo,
  { separator = ',' }: { readonly separator?: ',' | ', ' } = {},
): string {
  const params = [
    token('qop', qop),
    quoted('rspauth', rspauth),
    quoted('cnonce', cnonce),
    token('nc', nc),
    quoted('nextnonce', nextnonce),
  ]
  return list(params, separator)
}

/**
 * Reads an Authentication-Info value; values quoted or not, unknown parameters ignored.
 * @param text  at most 8 KiB and 32 parameters
 * @returns undefined when malformed
 * @see RFC 7616 clause 3.5
 */
export function parseAuthenticationInfo(text: string): AuthenticationInfo | undefined {
  const params = parseParams(text)
  if (!params) return undefined
  const [qop, nc] = [typed(params.get('qop'), parseQop), typed(params.get('nc'), parseNc)]
  if (qop === null || nc === null) return undefined
  const [rspauth, cnonce] = [textOf(params, 'rspauth'), textOf(params, 'cnonce')]
  return present({ qop, rspauth, cnonce, nc, nextnonce: textOf(params, 'nextnonce') })
}

function challengeOf(params: AuthParams): DigestChallenge | undefined {
  const [realm, nonce, opaque] = [textOf(params, 'realm'), textOf(params, 'nonce'), textOf(params, 'opaque')]
  const [algorithm, stale] = [typed(params.get('algorithm'), parseAlgorithm), typed(params.get('stale'), parseBoolean)]
  const options = textOf(params, 'qop')?.split(',')
  const qop = options?.flatMap((option) => parseQop(option.trim()) ?? []) ?? []
  if (realm === undefined || nonce === undefined || algorithm === null) return undefined
  if (options && qop.length === 0) return undefined
  return { realm, nonce, qop: [...new Set(qop)], ...present({ algorithm, opaque, stale: stale ?? undefined }) }
}

const QUOTED = ['username', 'realm', 'nonce', 'uri', 'response', 'cnonce', 'opaque', 'auts'] as const
const TOKENS = ['algorithm', 'qop', 'nc', 'userhash'] as const

/** Where the parameters that mean something have their places: first those to be quoted. */
const KNOWN: ReadonlyMap<string, number> = new Map([...QUOTED, ...TOKENS].map((name, place) => [name, place]))
type Known = (AuthParam | undefined)[]
const NOTHING_KNOWN: Known = [...QUOTED, ...TOKENS].map(() => undefined)

/** In the order of these tables, so that the same deviations always read the same. */
function quirksOf(known: Known, nc = '00000001'): DigestQuirk[] {
  const quirks: DigestQuirk[] = []
  QUOTED.forEach((name, place) => {
    if (known[place]?.quoted === false) quirks.push(`unquoted-${name}`)
  })
  TOKENS.forEach((name, place) => {
    if (known[QUOTED.length + place]?.quoted === true) quirks.push(`quoted-${name}`)
  })
  if (nc.length !== 8) quirks.push('nc-length')
  if (/[A-F]/.test(nc)) quirks.push('nc-upper-case')
  return quirks
}

const textOf = (params: AuthParams, name: string): string | undefined => params.get(name)?.value

/** @returns undefined when the parameter is absent, null when its value is not of the type */
function typed<T>(param: AuthParam | undefined, parse: (text: string) => T | undefined): T | undefined | null {
  return param === undefined ? undefined : (parse(param.value) ?? null)
}

/** Reading: in lower case only, since the text enters the digest. */
const parseQop = (text: string): Qop | undefined => (text === 'auth' || text === 'auth-int' ? text : undefined)

/** Deviation: Android's ImsStack prints nc in decimal, and ten digits hold any 32-bit count. */
const parseNc = (text: string): string | undefined => (/^[0-9a-fA-F]{1,10}$/.test(text) ? text : undefined)

function parseBoolean(text: string): boolean | undefined {
  const word = text.toLowerCase()
  return word === 'true' ? true : word === 'false' ? false : undefined
}

const list = (params: readonly (string | undefined)[], separator: string): string =>
  params.filter((param) => param !== undefined).join(separator)

type Present<T> = { [K in keyof T]?: Exclude<T[K], undefined> }

/** Without the members that are undefined, as exact optional properties demand. */
function present<T extends object>(members: T): Present<T> {
  const out: Partial<T> = {}
  for (const name in members) if (members[name] !== undefined) out[name] = members[name]
  return out as Present<T>
}
