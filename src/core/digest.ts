import { createHmac, hash, timingSafeEqual } from 'node:crypto'
import { concat, toBase64, utf8 } from './bytes.ts'
import type { Secret } from './secret.ts'

/** Algorithms in the letter case in which they are sent; AKAv1 is from RFC 3310, AKAv2 from RFC 4169. @see RFC 7616 clause 6.1 */
export const DIGEST_ALGORITHMS = [
  'MD5',
  'MD5-sess',
  'SHA-256',
  'SHA-256-sess',
  'SHA-512-256',
  'SHA-512-256-sess',
  'AKAv1-MD5',
  'AKAv1-MD5-sess',
  'AKAv2-MD5',
] as const
export type DigestAlgorithm = (typeof DIGEST_ALGORITHMS)[number]

/** What a response covers: the request line, or the entity body too. @see RFC 7616 clause 3.3 */
export type Qop = 'auth' | 'auth-int'

/** What the digest of one message is made of. */
export interface DigestInput {
  readonly algorithm: DigestAlgorithm
  /** From `computeHa1`. */
  readonly ha1: string
  readonly nonce: string
  /** Needed with a qop, as text exactly as sent. */
  readonly nc?: string | undefined
  /** Needed with a qop. */
  readonly cnonce?: string | undefined
  /** Without it the digest is the one of RFC 2069. */
  readonly qop?: Qop | undefined
  /** The empty method gives rspauth. */
  readonly method: string
  readonly uri: string
  /** From `hashBody`; needed with auth-int. */
  readonly bodyHash?: string | undefined
  /** From `hashA2`, of this method and uri, where that was made before; with auth-int it is another. */
  readonly ha2?: string | undefined
}

/**
 * Algorithm of a name in any letter case.
 * @returns the name in canonical letter case
 * @see RFC 7616 clause 3.3
 */
export function parseAlgorithm(name: string): DigestAlgorithm | undefined {
  return ALGORITHM_OF_NAME.get(name.toLowerCase())
}

/** Whether HA1 takes in the nonces of a session. @see RFC 7616 clause 3.4.2 */
export const isSessionAlgorithm = (algorithm: DigestAlgorithm): boolean => algorithm.endsWith('-sess')

/**
 * Digest of who the user is: H(username:realm:password), and for a -sess algorithm that with the nonces of the session.
 * Reading: under -sess the inner digest enters in hex, as RFC 7616 has it, not in octets as RFC 2617's sample code.
 * @param username  as sent (a TMPI stays one); under userhash the clear name
 * @param password  octets: RES under AKAv1, `akav2Password` under AKAv2, base64(Ks_NAF) on Ua, none for a resynchronisation
 * @param session   needed for -sess
 * @returns lower-case hex
 * @see RFC 7616 clause 3.4.2
 */
export function computeHa1(
  algorithm: DigestAlgorithm,
  username: string,
  realm: string,
  password: Uint8Array,
  session?: { readonly nonce: string; readonly cnonce: string },
): string {
  const ha1 = userHa1(algorithm, username, realm, password)
  if (!isSessionAlgorithm(algorithm)) return ha1
  if (!session) throw new RangeError(`${algorithm} needs nonce and cnonce`)
  return sessionHa1(algorithm, ha1, session)
}

/**
 * H(username:realm:password): HA1 itself, and for a -sess algorithm the part of it that is the same in all sessions.
 * @param password  as in `computeHa1`
 * @returns lower-case hex
 * @see RFC 7616 clause 3.4.2
 */
export const userHa1 = (algorithm: DigestAlgorithm, username: string, realm: string, password: Uint8Array): string =>
  h(algorithm, concat(utf8(`${username}:${realm}:`), password))

/**
 * HA1 of a session, from the one that stands for the password: what a server computes that keeps no password.
 * @param ha1  H(username:realm:password) in lower-case hex
 * @returns lower-case hex
 * @throws RangeError when the algorithm has no sessions
 * @see RFC 7616 clause 3.4.2
 */
export function sessionHa1(
  algorithm: DigestAlgorithm,
  ha1: string,
  session: { readonly nonce: string; readonly cnonce: string },
): string {
  if (!isSessionAlgorithm(algorithm)) throw new RangeError(`${algorithm} has no sessions`)
  return h(algorithm, `${ha1}:${session.nonce}:${session.cnonce}`)
}

/**
 * Digest of an entity body, as auth-int takes it in.
 * @returns lower-case hex
 * @see RFC 7616 clause 3.4.3
 */
export const hashBody = (algorithm: DigestAlgorithm, body: Uint8Array): string => h(algorithm, body)

/**
 * H(method:uri), the same for all requests for the same without auth-int.
 * @returns lower-case hex
 * @see RFC 7616 clause 3.4.3
 */
export const hashA2 = (algorithm: DigestAlgorithm, method: string, uri: string): string =>
  h(algorithm, `${method}:${uri}`)

/**
 * Response of a request; with the empty method, rspauth of its answer.
 * @returns lower-case hex
 * @throws RangeError when the qop needs what is not there
 * @see RFC 7616 clause 3.4.1
 */
export function computeResponse(input: DigestInput): string {
  const { algorithm, ha1, nonce, nc, cnonce, qop, method, uri, bodyHash, ha2: known } = input
  if (qop === 'auth-int' && bodyHash === undefined) throw new RangeError('auth-int needs the digest of the body')
  const ha2 =
    qop === 'auth-int' ? h(algorithm, `${method}:${uri}:${bodyHash}`) : (known ?? hashA2(algorithm, method, uri))
  if (qop === undefined) return h(algorithm, `${ha1}:${nonce}:${ha2}`)
  if (nc === undefined || cnonce === undefined) throw new RangeError('a qop needs nc and cnonce')
  return h(algorithm, `${ha1}:${nonce}:${nc}:${cnonce}:${qop}:${ha2}`)
}

/**
 * Compares two digests in constant time; their length is not secret. Letter case counts: both are lower-case hex.
 * @see RFC 7616 clause 3.4.1
 */
export function responseEquals(a: string, b: string): boolean {
  const { length } = a
  if (length !== b.length) return false
  // What is not ASCII has more octets than characters, and room for them here.
  const desk = length === 64 ? DESK_OF_64 : length === 32 ? DESK_OF_32 : undefined
  if (desk && desk.left.write(a) === length && desk.right.write(b) === length) {
    return timingSafeEqual(desk.views[0], desk.views[1])
  }
  const [left, right] = [utf8(a), utf8(b)]
  return left.length === right.length && timingSafeEqual(left, right)
}

/** Where digests of the usual lengths are laid for comparison: new octets each time would cost more than the rest. */
function deskOf(length: number) {
  const [left, right] = [Buffer.alloc(3 * length), Buffer.alloc(3 * length)]
  const views: [Buffer, Buffer] = [left.subarray(0, length), right.subarray(0, length)]
  return { left, right, views }
}

const [DESK_OF_32, DESK_OF_64] = [deskOf(32), deskOf(64)]

/**
 * The username under userhash: H(username:realm).
 * @returns lower-case hex
 * @see RFC 7616 clause 3.4.4
 */
export const hashUsername = (algorithm: DigestAlgorithm, username: string, realm: string): string =>
  h(algorithm, `${username}:${realm}`)

/**
 * Password of AKAv2-MD5: base64(HMAC-MD5(RES ‖ IK ‖ CK, "http-digest-akav2-password")), as text.
 * @param ik  16 octets
 * @param ck  16 octets
 * @returns 24 octets of ASCII
 * @see RFC 4169 clause 3
 */
export function akav2Password(res: Secret, ik: Secret, ck: Secret): Uint8Array {
  const key = concat(res.expose(), ik.expose(16), ck.expose(16))
  return utf8(toBase64(createHmac('md5', key).update('http-digest-akav2-password').digest()))
}

const ALGORITHM_OF_NAME: ReadonlyMap<string, DigestAlgorithm> = new Map(
  DIGEST_ALGORITHMS.map((algorithm) => [algorithm.toLowerCase(), algorithm]),
)

/** `crypto.hash` costs half of `createHash`. AKA is MD5 with another password. */
function h(algorithm: DigestAlgorithm, data: string | Uint8Array): string {
  if (algorithm.startsWith('SHA-256')) return hash('sha256', data)
  if (algorithm.startsWith('SHA-512-256')) return hash('sha512-256', data)
  return hash('md5', data)
}
