import type { EpochMs } from '../core/bytes.ts'
import { fromUtf8 } from '../core/bytes.ts'
import {
  computeResponse,
  type DigestAlgorithm,
  hashBody,
  isSessionAlgorithm,
  type Qop,
  responseEquals,
  sessionHa1,
} from '../core/digest.ts'
import {
  type AuthenticationInfo,
  type DigestCredentials,
  type DigestQuirk,
  parseAuthorization,
} from '../core/digest-header.ts'
import { type Btid, type Fqdn, parseBtid, parseFqdn } from '../core/identity.ts'
import type { Secret } from '../core/secret.ts'
import type { ToleranceName, Tolerances } from '../core/tolerances.ts'
import { GbaError } from '../errors.ts'
import type { RequestTrace } from '../observe/audit.ts'
import type { LedgerStanding, UsedNonce } from '../store/store.ts'
import { type ChallengePolicy, type GbaMethod, methodsOfRealm, UA_OPAQUE } from './challenge.ts'
import { type Familiar, FamiliarCredentials } from './familiar.ts'
import { ha1OfKey, keepHa1 } from './ha1.ts'
import { isBehind, mintedAhead, mintedAt } from './nonce.ts'

/** A request on Ua as the verifier sees it. */
export interface UaRequest {
  readonly method: string
  /** Request target, undecoded. */
  readonly target: string
  /** The NAF the UE addressed: TLS SNI, Host and configuration agreed on it. */
  readonly nafFqdn: Fqdn
  /** Every Authorization line. */
  readonly authorization: readonly string[]
  /** Scheme of the connection; https unless said otherwise. */
  readonly scheme?: 'https' | 'http'
  /** What the address of the UE is counted as where the BSF is asked; undefined: not counted. */
  readonly asker?: string | undefined
  /** What a question to the BSF belongs to. */
  readonly trace?: RequestTrace | undefined
  /** What is kept for requests that are like this one but for their credentials, under the same rules; by default nothing. */
  readonly familiar?: Familiar | undefined
}

export interface NoncePolicy {
  readonly key: Secret
  readonly lifetimeMs: number
  /** Of the ledger that is asked about them. */
  readonly standing?: () => LedgerStanding | undefined
}

/** Digest credentials of the right form over a nonce of ours, whoever they name. Nothing is proven yet. */
export interface PresentedDigest {
  readonly request: UaRequest
  readonly algorithm: DigestAlgorithm
  readonly qop: Qop
  readonly nc: number
  readonly cnonce: string
  readonly credentials: DigestCredentials
  readonly nonce: UsedNonce
  /** Deviations met so far; all of them are tolerated. */
  readonly tolerances: readonly ToleranceName[]
  /** Algorithm or qop are those of another route of this NAF: a right response earns this route's challenge, no more. */
  readonly isOfferedElsewhere: boolean
}

/** The same from a UE that has bootstrapped. */
export interface Presented extends PresentedDigest {
  readonly btid: Btid
  /** Methods that the realm stands for: at least one. */
  readonly methods: readonly GbaMethod[]
  /** Those that these were held against. */
  readonly familiar?: FamiliarCredentials
}

/** What any route of a NAF offers: UEs keep one nonce for a host, whatever the path. */
export type OfferedAnywhere = Pick<ChallengePolicy, 'algorithms' | 'qop'>

/** What credentials are measured by. */
export interface DigestRules {
  /** What this route offers. */
  readonly offered: OfferedAnywhere
  readonly anywhere: OfferedAnywhere
  readonly nonces: NoncePolicy
  readonly now: EpochMs
  /** Deviations that are accepted. */
  readonly tolerances: Tolerances
}

/** What one kind of credentials has for itself: its realms and its usernames. Each throws what is none of them. */
export interface DigestNames<Realm, User> {
  readonly realm: (realm: string) => Realm
  readonly user: (username: string) => User
}

/**
 * Reads credentials as far as no key is needed, so that a stranger costs no Zn request.
 * @param tolerances  deviations that are accepted
 * @param anywhere    what the routes of this NAF offer together; by default what this one does
 * @throws GbaError UA_CREDENTIALS_MISSING and the other UA_ codes that a 401 answers; UA_DEVIATION_REFUSED
 * @see 3GPP TS 24.109 clause 5.2 (Rel-17)
 */
export function readCredentials(
  request: UaRequest,
  policy: ChallengePolicy,
  nonces: NoncePolicy,
  now: EpochMs,
  tolerances: Tolerances,
  anywhere: OfferedAnywhere = policy,
): Presented {
  const { familiar } = request
  const like = familiar?.credentials?.read(request, now)
  if (like) return like
  const read = readDigest(
    request,
    { offered: policy, anywhere, nonces, now, tolerances },
    {
      realm(text) {
        const methods = methodsOfRealm(text, request.nafFqdn, policy)
        if (methods.length === 0) throw new GbaError('UA_REALM_WRONG', `realm ${text} is not this NAF`)
        return methods
      },
      user: requireBtid,
    },
  )
  const { algorithm, qop, nc, cnonce, credentials, nonce, isOfferedElsewhere, realm: methods, user: btid } = read
  const presented = { request, algorithm, qop, nc, cnonce, credentials, nonce, isOfferedElsewhere, methods, btid }
  const whole = { ...presented, tolerances: read.tolerances }
  // One that was minted ahead of the clock is good while the clock is behind, and so is read anew each time.
  if (familiar && nonce.generation === undefined) familiar.credentials = FamiliarCredentials.of(whole)
  return whole
}

type Named<Realm, User> = PresentedDigest & { readonly realm: Realm; readonly user: User }

function requireBtid(username: string): Btid {
  const btid = parseBtid(username)
  if (!btid) throw new GbaError('UA_BTID_MALFORMED', 'username is not a B-TID')
  return btid
}

/**
 * Reads Digest credentials of any kind as far as no key is needed.
 * @throws GbaError UA_CREDENTIALS_MISSING and the other UA_ codes that a 401 answers; UA_DEVIATION_REFUSED; what `names`
 *   throws
 * @see RFC 7616 clause 3.4
 */
export function readDigest<Realm, User>(
  request: UaRequest,
  { offered, anywhere, nonces, now, tolerances }: DigestRules,
  names: DigestNames<Realm, User>,
): Named<Realm, User> {
  const [header, ...more] = request.authorization
  if (header === undefined) throw new GbaError('UA_CREDENTIALS_MISSING', 'no Authorization header')
  if (more.length > 0) throw new GbaError('UA_CREDENTIALS_MALFORMED', 'several Authorization headers')
  const credentials = parseAuthorization(header)
  if (!credentials) throw new GbaError('UA_CREDENTIALS_MALFORMED', 'not a Digest of the right form')
  const { algorithm = 'MD5', qop, cnonce, opaque, uri } = credentials
  const used = credentials.quirks.length > 0 ? [...new Set(credentials.quirks.map(toleranceOf))] : []
  const realm = names.realm(credentials.realm)
  // Deviation: Android ImsStack (2026) answers a challenge for MD5 with MD5-sess.
  const isSess = algorithm === 'MD5-sess' && !anywhere.algorithms.includes(algorithm)
  if (isSess) used.push('md5-sess')
  const taken = isSess ? 'MD5' : algorithm
  if (!anywhere.algorithms.includes(taken)) throw new GbaError('UA_ALGORITHM_NOT_OFFERED', algorithm)
  if (!qop || !anywhere.qop.includes(qop)) throw new GbaError('UA_QOP_NOT_OFFERED', qop ?? 'no qop')
  const isOfferedElsewhere = !offered.algorithms.includes(taken) || !offered.qop.includes(qop)
  if (!cnonce) throw new GbaError('UA_CREDENTIALS_MALFORMED', 'qop without cnonce')
  if (credentials.userhash) throw new GbaError('UA_CREDENTIALS_MALFORMED', 'userhash was not offered')
  const uriForm = formOfUri(uri, request)
  if (uriForm === undefined) throw new GbaError('UA_URI_MISMATCH', `uri ${uri} is not the request target`)
  if (uriForm !== 'exact') used.push(uriForm)
  const nonce = nonceOf(nonces, request.nafFqdn, credentials.nonce, now)
  if (opaque !== undefined && opaque !== UA_OPAQUE) throw new GbaError('UA_NONCE_UNKNOWN', 'opaque is not ours')
  const user = names.user(credentials.username)
  requireTolerated(used, tolerances)
  const nc = countOf(credentials.nc)
  const read = { request, algorithm, qop, cnonce, credentials, nc, nonce, isOfferedElsewhere }
  return { ...read, tolerances: used, realm, user }
}

/** @throws GbaError UA_NONCE_UNKNOWN */
function nonceOf({ key, lifetimeMs, standing }: NoncePolicy, nafFqdn: Fqdn, nonce: string, now: EpochMs): UsedNonce {
  const minted = mintedAt(key, nafFqdn, nonce)
  if (minted !== undefined) {
    // A clock that runs ahead on another host may mint a little in our future; more than that is not a clock.
    if (minted > now + 60_000) throw new GbaError('UA_NONCE_UNKNOWN', 'minted in the future')
    return { nonce, mintedAt: minted, expiresAt: minted + lifetimeMs }
  }
  const its = standing?.()
  const ahead = its && isBehind(now, its) ? mintedAhead(key, nafFqdn, nonce, its) : undefined
  if (!its || ahead === undefined) throw new GbaError('UA_NONCE_UNKNOWN', 'not a nonce of this NAF')
  return { nonce, mintedAt: ahead, expiresAt: ahead + lifetimeMs, generation: its.generation }
}

/** @throws GbaError UA_DEVIATION_REFUSED naming the first deviation that is not switched on */
export function requireTolerated(met: readonly ToleranceName[], tolerances: Tolerances): void {
  for (const name of met) if (!tolerances.has(name)) throw new GbaError('UA_DEVIATION_REFUSED', name)
}

/**
 * Whether the response was made with this key, over this request (and this body, under auth-int). Constant time.
 * @see RFC 7616 clause 3.4.1
 */
export function responseIsRight(presented: Presented, ksNaf: Secret, body: Uint8Array): boolean {
  const { algorithm, credentials } = presented
  const ha1 = ha1OfKey(ksNaf, algorithm, credentials)
  if (!isRight(presented, inSession(presented, ha1), body)) return false
  keepHa1(ksNaf, algorithm, credentials, ha1)
  return true
}

/**
 * The same with a stored HA1. Constant time.
 * @param ha1  H(username:realm:password) as lower-case hex text, of the algorithm without -sess
 * @see RFC 7616 clause 3.4.1
 */
export function responseFitsHa1(presented: PresentedDigest, ha1: Secret, body: Uint8Array): boolean {
  return isRight(presented, ha1OfStored(presented, ha1), body)
}

/**
 * What the UE is told of an accepted request: proof that the AP holds the key, too.
 * @param body       what the AP answers; counts under auth-int only
 * @param nextNonce  to use from now on
 * @see 3GPP TS 24.109 clause 7.2 (Rel-17)
 */
export function authenticationInfo(
  presented: Presented,
  ksNaf: Secret,
  body: Uint8Array,
  nextNonce: string | undefined,
): AuthenticationInfo {
  const ha1 = ha1OfKey(ksNaf, presented.algorithm, presented.credentials)
  return infoOver(presented, inSession(presented, ha1), body, nextNonce)
}

/**
 * The same with a stored HA1: proof that the AP holds it, too.
 * @param body       what the AP answers; counts under auth-int only
 * @param nextNonce  to use from now on
 * @see RFC 7616 clause 3.5
 */
export function authenticationInfoOfHa1(
  presented: PresentedDigest,
  ha1: Secret,
  body: Uint8Array,
  nextNonce: string | undefined,
): AuthenticationInfo {
  return infoOver(presented, ha1OfStored(presented, ha1), body, nextNonce)
}

function isRight(presented: DigestOver, ha1: string, body: Uint8Array): boolean {
  return responseEquals(responseOver(presented, ha1, presented.request.method, body), presented.credentials.response)
}

function infoOver(
  presented: DigestOver,
  ha1: string,
  body: Uint8Array,
  nextNonce: string | undefined,
): AuthenticationInfo {
  const { qop, cnonce, credentials } = presented
  const info = { qop, cnonce, nc: credentials.nc ?? '', rspauth: responseOver(presented, ha1, '', body) }
  return nextNonce === undefined ? info : { ...info, nextnonce: nextNonce }
}

const ha1OfStored = (presented: PresentedDigest, stored: Secret): string =>
  inSession(presented, fromUtf8(stored.expose(presented.algorithm.startsWith('SHA-') ? 64 : 32)))

/** The HA1 that responses are made of: under -sess that of the session. */
function inSession({ algorithm, cnonce, credentials }: PresentedDigest, ha1: string): string {
  return isSessionAlgorithm(algorithm) ? sessionHa1(algorithm, ha1, { nonce: credentials.nonce, cnonce }) : ha1
}

/** Those of either kind. */
type DigestOver = PresentedDigest & Pick<Presented, 'familiar'>

function responseOver(presented: DigestOver, ha1: string, method: string, body: Uint8Array): string {
  const { algorithm, cnonce, qop, credentials, familiar } = presented
  const { nonce, nc = '', uri } = credentials
  const bodyHash = qop === 'auth-int' ? hashBody(algorithm, body) : undefined
  const ha2 = bodyHash === undefined ? familiar?.ha2(method) : undefined
  return computeResponse({ algorithm, ha1, nonce, nc, cnonce, qop, method, uri, bodyHash, ha2 })
}

/**
 * How the digest `uri` names the request target: octet for octet, or in a form that names no other target.
 * Deviation: GBA_ME clients (2026) end it in a slash that the target lacks; others send the absolute form.
 */
function formOfUri(
  uri: string,
  { target, nafFqdn, scheme = 'https' }: UaRequest,
): 'exact' | 'uri-trailing-slash' | 'uri-absolute' | undefined {
  if (uri === target) return 'exact'
  // Behind a query it would be another target: `?a` and `?a/` are two, while no path here ends in a slash.
  if (uri === `${target}/` && !target.includes('?')) return 'uri-trailing-slash'
  const absolute = /^(https?):\/\/([^/?#@:]+)(?::\d{1,5})?(\/.*)$/i.exec(uri)
  if (absolute?.[1]?.toLowerCase() !== scheme || absolute[3] !== target) return undefined
  return parseFqdn(absolute[2] ?? '') === nafFqdn ? 'uri-absolute' : undefined
}

/** Reading: hexadecimal as RFC 7616 says; a UE that prints decimal still never uses one value twice. */
function countOf(nc: string | undefined): number {
  const count = nc === undefined ? Number.NaN : Number.parseInt(nc, 16)
  if (!(count <= 0xffffffff)) throw new GbaError('UA_CREDENTIALS_MALFORMED', 'nc is not a number of 32 bits')
  return count
}

function toleranceOf(quirk: DigestQuirk): ToleranceName {
  if (quirk === 'nc-length' || quirk === 'nc-upper-case') return 'nc-form'
  return quirk.startsWith('quoted-') ? 'quoted-token' : 'unquoted-text'
}
