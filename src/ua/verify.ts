import type { EpochMs } from '../core/bytes.ts'
import { toBase64, utf8 } from '../core/bytes.ts'
import {
  computeHa1,
  computeResponse,
  type DigestAlgorithm,
  hashBody,
  type Qop,
  responseEquals,
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
import type { UsedNonce } from '../store/store.ts'
import { type ChallengePolicy, type GbaMethod, methodsOfRealm, UA_OPAQUE } from './challenge.ts'
import { mintedAt } from './nonce.ts'

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
}

export interface NoncePolicy {
  readonly key: Secret
  readonly lifetimeMs: number
}

/** Credentials of the right form over a nonce of ours. Nothing is proven yet. */
export interface Presented {
  readonly request: UaRequest
  readonly btid: Btid
  readonly algorithm: DigestAlgorithm
  readonly qop: Qop
  readonly nc: number
  readonly cnonce: string
  readonly credentials: DigestCredentials
  readonly nonce: UsedNonce
  /** Methods that the realm stands for: at least one. */
  readonly methods: readonly GbaMethod[]
  /** Deviations met so far; all of them are tolerated. */
  readonly tolerances: readonly ToleranceName[]
  /** Algorithm or qop are those of another route of this NAF: a right response earns this route's challenge, no more. */
  readonly isOfferedElsewhere: boolean
}

/** What any route of a NAF offers: UEs keep one nonce for a host, whatever the path. */
export type OfferedAnywhere = Pick<ChallengePolicy, 'algorithms' | 'qop'>

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
  const [header, ...more] = request.authorization
  if (header === undefined) throw new GbaError('UA_CREDENTIALS_MISSING', 'no Authorization header')
  if (more.length > 0) throw new GbaError('UA_CREDENTIALS_MALFORMED', 'several Authorization headers')
  const credentials = parseAuthorization(header)
  if (!credentials) throw new GbaError('UA_CREDENTIALS_MALFORMED', 'not a Digest of the right form')
  const { algorithm = 'MD5', qop, cnonce, opaque, realm, uri } = credentials
  const used = new Set<ToleranceName>(credentials.quirks.map(toleranceOf))
  const methods = methodsOfRealm(realm, request.nafFqdn, policy)
  if (methods.length === 0) throw new GbaError('UA_REALM_WRONG', `realm ${realm} is not this NAF`)
  // Deviation: Android ImsStack (2026) answers a challenge for MD5 with MD5-sess.
  const isSess = algorithm === 'MD5-sess' && !anywhere.algorithms.includes(algorithm)
  if (isSess) used.add('md5-sess')
  const offered = isSess ? 'MD5' : algorithm
  if (!anywhere.algorithms.includes(offered)) throw new GbaError('UA_ALGORITHM_NOT_OFFERED', algorithm)
  if (!qop || !anywhere.qop.includes(qop)) throw new GbaError('UA_QOP_NOT_OFFERED', qop ?? 'no qop')
  const isOfferedElsewhere = !policy.algorithms.includes(offered) || !policy.qop.includes(qop)
  if (!cnonce) throw new GbaError('UA_CREDENTIALS_MALFORMED', 'qop without cnonce')
  if (credentials.userhash) throw new GbaError('UA_CREDENTIALS_MALFORMED', 'userhash was not offered')
  const uriForm = formOfUri(uri, request)
  if (uriForm === undefined) throw new GbaError('UA_URI_MISMATCH', `uri ${uri} is not the request target`)
  if (uriForm !== 'exact') used.add(uriForm)
  const minted = mintedAt(nonces.key, request.nafFqdn, credentials.nonce)
  if (minted === undefined) throw new GbaError('UA_NONCE_UNKNOWN', 'not a nonce of this NAF')
  // A clock that runs ahead on another host may mint a little in our future; more than that is not a clock.
  if (minted > now + 60_000) throw new GbaError('UA_NONCE_UNKNOWN', 'minted in the future')
  if (opaque !== undefined && opaque !== UA_OPAQUE) throw new GbaError('UA_NONCE_UNKNOWN', 'opaque is not ours')
  const btid = parseBtid(credentials.username)
  if (!btid) throw new GbaError('UA_BTID_MALFORMED', 'username is not a B-TID')
  const nonce = { nonce: credentials.nonce, mintedAt: minted, expiresAt: minted + nonces.lifetimeMs }
  requireTolerated([...used], tolerances)
  const nc = countOf(credentials.nc)
  const read = { request, btid, algorithm, qop, cnonce, credentials, nc, nonce, methods, isOfferedElsewhere }
  return { ...read, tolerances: [...used] }
}

/** @throws GbaError UA_DEVIATION_REFUSED naming the first deviation that is not switched on */
export function requireTolerated(met: readonly ToleranceName[], tolerances: Tolerances): void {
  const refused = met.find((name) => !tolerances.has(name))
  if (refused !== undefined) throw new GbaError('UA_DEVIATION_REFUSED', refused)
}

/**
 * Whether the response was made with this key, over this request (and this body, under auth-int). Constant time.
 * @see RFC 7616 clause 3.4.1
 */
export function responseIsRight(presented: Presented, ksNaf: Secret, body: Uint8Array): boolean {
  return responseEquals(responseOver(presented, ksNaf, presented.request.method, body), presented.credentials.response)
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
  return {
    qop: presented.qop,
    cnonce: presented.cnonce,
    nc: presented.credentials.nc ?? '',
    rspauth: responseOver(presented, ksNaf, '', body),
    ...(nextNonce !== undefined && { nextnonce: nextNonce }),
  }
}

function responseOver(presented: Presented, ksNaf: Secret, method: string, body: Uint8Array): string {
  const { algorithm, cnonce, qop, credentials } = presented
  const { username, realm, nonce, nc = '', uri } = credentials
  // The password is the text of the key, not its octets.
  const password = utf8(toBase64(ksNaf.expose(32)))
  const session = algorithm.endsWith('-sess') ? { nonce, cnonce } : undefined
  const ha1 = computeHa1(algorithm, username, realm, password, session)
  const bodyHash = qop === 'auth-int' ? { bodyHash: hashBody(algorithm, body) } : {}
  return computeResponse({ algorithm, ha1, nonce, nc, cnonce, qop, method, uri, ...bodyHash })
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
