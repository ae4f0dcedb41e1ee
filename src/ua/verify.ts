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
import { type AuthenticationInfo, type DigestCredentials, parseAuthorization } from '../core/digest-header.ts'
import { type Btid, type Fqdn, parseBtid, parseFqdn } from '../core/identity.ts'
import type { Secret } from '../core/secret.ts'
import { GbaError } from '../errors.ts'
import type { UsedNonce } from '../store/store.ts'
import { type ChallengePolicy, realmOf, UA_OPAQUE } from './challenge.ts'
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
}

/**
 * Reads credentials as far as no key is needed, so that a stranger costs no Zn request.
 * @throws GbaError UA_CREDENTIALS_MISSING and the other UA_ codes that a 401 answers
 * @see 3GPP TS 24.109 clause 5.2 (Rel-17)
 */
export function readCredentials(
  request: UaRequest,
  policy: ChallengePolicy,
  nonces: NoncePolicy,
  now: EpochMs,
): Presented {
  const [header, ...more] = request.authorization
  if (header === undefined) throw new GbaError('UA_CREDENTIALS_MISSING', 'no Authorization header')
  if (more.length > 0) throw new GbaError('UA_CREDENTIALS_MALFORMED', 'several Authorization headers')
  const credentials = parseAuthorization(header)
  if (!credentials) throw new GbaError('UA_CREDENTIALS_MALFORMED', 'not a Digest of the right form')
  const { algorithm = 'MD5', qop, cnonce, opaque, realm, uri } = credentials
  if (realm !== realmOf(request.nafFqdn)) throw new GbaError('UA_REALM_WRONG', `realm ${realm} is not this NAF`)
  if (!policy.algorithms.includes(algorithm)) throw new GbaError('UA_ALGORITHM_NOT_OFFERED', algorithm)
  if (!qop || !policy.qop.includes(qop)) throw new GbaError('UA_QOP_NOT_OFFERED', qop ?? 'no qop')
  if (!cnonce) throw new GbaError('UA_CREDENTIALS_MALFORMED', 'qop without cnonce')
  if (credentials.userhash) throw new GbaError('UA_CREDENTIALS_MALFORMED', 'userhash was not offered')
  if (!isTarget(uri, request)) throw new GbaError('UA_URI_MISMATCH', `uri ${uri} is not the request target`)
  const minted = mintedAt(nonces.key, request.nafFqdn, credentials.nonce)
  if (minted === undefined) throw new GbaError('UA_NONCE_UNKNOWN', 'not a nonce of this NAF')
  // A clock that runs ahead on another host may mint a little in our future; more than that is not a clock.
  if (minted > now + 60_000) throw new GbaError('UA_NONCE_UNKNOWN', 'minted in the future')
  if (opaque !== undefined && opaque !== UA_OPAQUE) throw new GbaError('UA_NONCE_UNKNOWN', 'opaque is not ours')
  const btid = parseBtid(credentials.username)
  if (!btid) throw new GbaError('UA_BTID_MALFORMED', 'username is not a B-TID')
  const nonce = { nonce: credentials.nonce, mintedAt: minted, expiresAt: minted + nonces.lifetimeMs }
  return { request, btid, algorithm, qop, cnonce, credentials, nc: countOf(credentials.nc), nonce }
}

/** Whether the response was made with this key, over this request (and this body, under auth-int). Constant time. */
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

/** The digest `uri` is the target, octet for octet, or its absolute form at this very NAF. */
function isTarget(uri: string, { target, nafFqdn }: UaRequest): boolean {
  if (uri === target) return true
  const absolute = /^https:\/\/([^/?#@:]+)(?::\d{1,5})?(\/.*)$/i.exec(uri)
  return absolute?.[2] === target && parseFqdn(absolute[1] ?? '') === nafFqdn
}

/** Reading: hexadecimal as RFC 7616 says; a UE that prints decimal still never uses one value twice. */
function countOf(nc: string | undefined): number {
  if (nc === undefined || !/^[0-9a-fA-F]{8}$/.test(nc)) {
    throw new GbaError('UA_CREDENTIALS_MALFORMED', 'nc is not 8 hexadecimal digits')
  }
  return Number.parseInt(nc, 16)
}
