import { parseChallengeList, parseParams, quotedParam } from '../core/auth-params.ts'
import { toBase64, toHex, utf8 } from '../core/bytes.ts'
import { parseAlgorithm, type Qop } from '../core/digest.ts'
import {
  type AuthenticationInfo,
  type DigestChallenge,
  type OutgoingCredentials,
  parseAuthenticationInfo,
  parseChallenges,
} from '../core/digest-header.ts'
import { standardProfile, type UeProfile } from './profile.ts'

/**
 * Android's ImsStack, as its public code has it (2026): whatever a server sends, this one has to survive it.
 * Reading: nc has eight digits in the decimal form too.
 */
const android: UeProfile = {
  ...standardProfile,
  name: 'android',
  userAgent: 'ImsStack',
  headers: [['Accept-Encoding', '']],
  readChallenges: (values) => values.flatMap((value) => naiveChallenge(value) ?? []),
  readAuthenticationInfo: (value) => naiveAuthenticationInfo(value.split(' ', 1)[0] ?? ''),
  algorithms: ['MD5', 'MD5-sess'],
  formatNc: (count) => String(count).padStart(8, '0'),
  ncRestarts: false,
  bootstrapsOn: 'any-401',
  forgetsWhenRefused: true,
  connections: 'one-per-request',
  suiteOf: 'previous-connection',
  targets: (xui) => {
    const document = `/simservs.ngn.etsi.org/users/${xui}/simservs.xml`
    const diversion = `${document}/~~/ss:simservs/ss:communication-diversion`
    const ss = 'xmlns(ss=http://uri.etsi.org/ngn/params/xml/simservs/xcap)'
    return [
      document,
      `${diversion}?${ss}`,
      `${diversion}/cp:ruleset/cp:rule%5B@id=%22cfu%22%5D?${ss}xmlns(cp=urn:ietf:params:xml:ns:common-policy)`,
    ]
  },
}

/**
 * The GBA_ME clients (2026).
 * Reading: who cannot parse a list of qop cannot answer at all; for them the NAF has to offer a single one.
 */
const gbaMe: UeProfile = {
  ...standardProfile,
  name: 'gba-me',
  userAgent: 'GBA_ME',
  readChallenges: (values) =>
    parseChallenges(values).map((challenge) => (challenge.qop.length > 1 ? { ...challenge, qop: [] } : challenge)),
  digestUri: (target) => (target.endsWith('/') ? target : `${target}/`),
  formatIntendedIdentity: (identity) => identity,
}

/**
 * `curl --digest` 7.88 with B-TID and key as user and password. It looks at no Authentication-Info. Its auth-int leaves
 * the body out, so that here, unlike there, it takes auth only.
 */
const curl: UeProfile = {
  ...standardProfile,
  name: 'curl',
  userAgent: 'curl/7.88.1',
  readChallenges: (values) => parseChallenges(values).slice(0, 1),
  readAuthenticationInfo: () => ({}),
  algorithms: ['MD5', 'MD5-sess', 'SHA-256', 'SHA-256-sess'],
  qops: ['auth'],
  formatCnonce: (random) => toBase64(utf8(toHex(random))),
  formatAuthorization: curlAuthorization,
  remembersNonce: false,
  withholdsBody: true,
  bootstrapsOn: 'no-key',
}

/**
 * A UE that does what the specifications say and takes no less from the server.
 * @see RFC 7616 clauses 3.3 and 3.5
 */
const strict: UeProfile = {
  ...standardProfile,
  name: 'strict',
  readChallenges: (values) => parseChallenges(values.filter(isChallengeOfTheBook)),
  readAuthenticationInfo: (value) => (isInfoOfTheBook(value) ? parseAuthenticationInfo(value) : undefined),
  rspauth: 'require',
}

/** Every make of UE that the emulator can be. */
export const PROFILES = { standard: standardProfile, android, 'gba-me': gbaMe, curl, strict } as const satisfies Record<
  string,
  UeProfile
>
export type ProfileName = keyof typeof PROFILES
export const PROFILE_NAMES = Object.keys(PROFILES) as ProfileName[]

/**
 * Splits at every comma and equals sign, wherever they stand; of a value with an equals sign in it the start is left,
 * of a list the first element, and of a parameter that is there twice the last.
 */
function naiveParams(text: string): ReadonlyMap<string, string> {
  const params = new Map<string, string>()
  for (const piece of text.split(',')) {
    const [name = '', value] = piece.split('=')
    if (value !== undefined) params.set(name.trim().toLowerCase(), value.replaceAll('"', '').trim())
  }
  return params
}

function naiveChallenge(value: string): DigestChallenge | undefined {
  if (!/^digest /i.test(value)) return undefined
  const params = naiveParams(value.slice('digest '.length))
  const [realm, nonce, opaque, stale] = ['realm', 'nonce', 'opaque', 'stale'].map((name) => params.get(name))
  const name = params.get('algorithm')
  const algorithm = name === undefined ? undefined : parseAlgorithm(name)
  if (realm === undefined || nonce === undefined || (name !== undefined && !algorithm)) return undefined
  return {
    realm,
    nonce,
    qop: qopOf(params.get('qop')) ?? [],
    ...(algorithm && { algorithm }),
    ...(opaque !== undefined && { opaque }),
    ...(stale !== undefined && { stale: stale.toLowerCase() === 'true' }),
  }
}

function naiveAuthenticationInfo(value: string): AuthenticationInfo {
  const params = naiveParams(value)
  const [qop] = qopOf(params.get('qop')) ?? []
  const texts = (['rspauth', 'cnonce', 'nc', 'nextnonce'] as const).flatMap((name) => {
    const text = params.get(name)
    return text === undefined ? [] : [[name, text] as const]
  })
  return { ...Object.fromEntries(texts), ...(qop && { qop }) }
}

const qopOf = (text: string | undefined): [Qop] | undefined =>
  text === 'auth' || text === 'auth-int' ? [text] : undefined

/** The order of curl 7.88. */
function curlAuthorization(credentials: OutgoingCredentials): string {
  const { username, realm, nonce, uri, cnonce, nc, qop, response, opaque, algorithm } = credentials
  return `Digest ${[
    quotedParam('username', username),
    quotedParam('realm', realm),
    quotedParam('nonce', nonce),
    quotedParam('uri', uri),
    quotedParam('cnonce', cnonce),
    nc && `nc=${nc}`,
    qop && `qop=${qop}`,
    quotedParam('response', response),
    quotedParam('opaque', opaque),
    algorithm && `algorithm=${algorithm}`,
  ]
    .filter((param) => param !== undefined)
    .join(', ')}`
}

type Params = ReturnType<typeof parseParams>

/** Which parameters stand in quotation marks is not left to taste. */
function areQuoted(params: Params, quoted: readonly string[], tokens: readonly string[]): boolean {
  return (
    quoted.every((name) => params?.get(name)?.quoted !== false) &&
    tokens.every((name) => params?.get(name)?.quoted !== true)
  )
}

function isChallengeOfTheBook(value: string): boolean {
  return (parseChallengeList(value) ?? []).every(
    ({ scheme, params }) =>
      scheme !== 'digest' ||
      areQuoted(params, ['realm', 'domain', 'nonce', 'opaque', 'qop'], ['stale', 'algorithm', 'charset', 'userhash']),
  )
}

function isInfoOfTheBook(value: string): boolean {
  const params = parseParams(value)
  return (
    ['qop', 'rspauth', 'cnonce', 'nc'].every((name) => params?.has(name)) &&
    areQuoted(params, ['nextnonce', 'rspauth', 'cnonce'], ['qop', 'nc'])
  )
}
