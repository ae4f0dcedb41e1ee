import { createHmac } from 'node:crypto'
import { parseCredentials } from '../core/auth-params.ts'
import { toHex, utf8 } from '../core/bytes.ts'
import type { DigestAlgorithm } from '../core/digest.ts'
import { formatAuthenticationInfo } from '../core/digest-header.ts'
import type { Uss } from '../core/guss.ts'
import type { Fqdn } from '../core/identity.ts'
import { Secret } from '../core/secret.ts'
import type { ToleranceName } from '../core/tolerances.ts'
import { GbaError } from '../errors.ts'
import { type ApSubscriber, type ApSubscribers, type Ha1Algorithm, ussListOf } from './ap-subscribers.ts'
import type { NafPolicy } from './authenticate.ts'
import { type Attempt, type Authenticated, proven } from './authenticated.ts'
import { type ChallengeForm, isPasswordRealm, passwordChallengeHeaders } from './challenge.ts'
import { mintNonce, NONCE_RANDOM_OCTETS } from './nonce.ts'
import { nonceSpender, type SpendingOptions } from './spend-nonce.ts'
import {
  authenticationInfoOfHa1,
  type NoncePolicy,
  type PresentedDigest,
  readDigest,
  responseFitsHa1,
  type UaRequest,
} from './verify.ts'

export interface PasswordDoorOptions extends SpendingOptions {
  /** Those of now: the file may be read anew. */
  readonly subscribers: () => Pick<ApSubscribers, 'byUsername'>
  /** The same as for bootstrapped keys; nonces of this door are still its own. */
  readonly nonces: NoncePolicy
  readonly randomBytes: (length: number) => Uint8Array
}

/**
 * Whether the credentials of a request are made with a provisioned password, by their realm. It proves nothing.
 * @param authorization  every Authorization line
 * @returns false, too, where there is not exactly one line, or it is no Digest of the right form
 * @see 3GPP TS 24.623 clause 5.2.1.1 (Rel-17)
 */
export function isForPassword(authorization: readonly string[], nafFqdn: Fqdn): boolean {
  const [header, ...more] = authorization
  if (header === undefined || more.length > 0) return false
  const realm = parseCredentials(header, 'digest')?.get('realm')?.value
  return realm !== undefined && isPasswordRealm(realm, nafFqdn)
}

/**
 * Ua with HTTP Digest and a provisioned password, for networks without GAA: the AP holds the HA1 and no bootstrap.
 * @see 3GPP TS 24.623 clause 5.2.1.1 (Rel-17)
 */
export function passwordDoor(options: PasswordDoorOptions) {
  const { subscribers, now, randomBytes, tolerances } = options
  // Under a key of its own, so that neither door takes a nonce of the other.
  const nonces: NoncePolicy = {
    ...options.nonces,
    key: new Secret(derive(options.nonces.key, 'ua password nonce')),
  }
  const standIn = standInFor(derive(options.nonces.key, 'ua password stand-in'))
  const spendNonce = nonceSpender(options)

  const mint = (nafFqdn: Fqdn) =>
    mintNonce(nonces.key, nafFqdn, now(), randomBytes(NONCE_RANDOM_OCTETS), nonces.standing?.())

  return {
    /** Lines of a 401; a fresh nonce each time, at no cost in state. */
    challenge: (nafFqdn: Fqdn, challenge: ChallengeForm, stale: boolean): string[] =>
      passwordChallengeHeaders(nafFqdn, mint(nafFqdn), challenge, stale),

    /**
     * All that can be judged without the body and without the subscriber: form and nonce. No bootstrap stands behind
     * a password, so none can be too old: `verify` of the result does not ask.
     * @throws GbaError with the UA_ codes of `readDigest`, UA_REALM_WRONG. `verify` of the result throws
     *   UA_USERNAME_UNKNOWN, UA_RESPONSE_WRONG, UA_OFFERED_ELSEWHERE, UA_NONCE_AGED, UA_NONCE_FORGOTTEN, UA_NC_REUSED,
     *   UA_DEVIATION_REFUSED
     */
    async enter(request: UaRequest, { challenge, anywhere = challenge, gsids }: NafPolicy): Promise<Attempt> {
      const rules = { offered: challenge, anywhere, nonces, now: now(), tolerances }
      const presented = readDigest(request, rules, {
        realm(realm) {
          if (!isPasswordRealm(realm, request.nafFqdn)) throw new GbaError('UA_REALM_WRONG', 'realm is not this host')
        },
        user: requireUsername,
      })
      return {
        needsBody: presented.qop === 'auth-int',
        username: presented.credentials.username,
        async verify(body) {
          const { subscriber, ha1 } = prove(presented, body)
          const odd = await spendNonce(presented)
          const ussList = ussListOf(subscriber, gsids)
          return authenticated(presented, subscriber, ussList, ha1, [...presented.tolerances, ...odd])
        },
      }
    },
  }

  /** A stranger, or a subscriber without an HA1 of this kind, costs as much as a wrong response, and fails with it. */
  function prove(presented: PresentedDigest, body: Uint8Array): { subscriber: ApSubscriber; ha1: Secret } {
    const { username, realm } = presented.credentials
    const hash = hashOf(presented.algorithm)
    const subscriber = subscribers().byUsername(username, realm)
    const ha1 = hash && subscriber?.digest?.ha1.get(hash)
    const isRight = responseFitsHa1(presented, ha1 ?? standIn(hash), body)
    if (!subscriber) throw new GbaError('UA_USERNAME_UNKNOWN', 'no subscriber has this username in this realm')
    if (!ha1) throw new GbaError('UA_RESPONSE_WRONG', `the subscriber has no HA1 for ${presented.algorithm}`)
    if (!isRight) throw new GbaError('UA_RESPONSE_WRONG', 'the HA1 of the subscriber does not make this response')
    return { subscriber, ha1 }
  }

  function authenticated(
    presented: PresentedDigest,
    { impi }: ApSubscriber,
    ussList: readonly Uss[],
    ha1: Secret,
    met: readonly ToleranceName[],
  ): Authenticated {
    const { nonce, request } = presented
    const aging = now() >= nonce.mintedAt + nonces.lifetimeMs * 0.75
    const next = () => (aging ? mint(request.nafFqdn) : undefined)
    return proven({
      door: 'password',
      username: presented.credentials.username,
      ...(impi && { impi }),
      ussList,
      nafFqdn: request.nafFqdn,
      tolerances: met,
      coversBody: presented.qop === 'auth-int',
      authenticationInfo: (body: Uint8Array) =>
        formatAuthenticationInfo(authenticationInfoOfHa1(presented, ha1, body, next())),
    })
  }
}

export type PasswordDoor = ReturnType<typeof passwordDoor>

function requireUsername(username: string): void {
  if (!/^[ -~]{1,256}$/.test(username)) {
    throw new GbaError('UA_CREDENTIALS_MALFORMED', 'username is not 1 to 256 printable characters')
  }
}

/** Each serves its -sess twin too. */
const HASHES: readonly Ha1Algorithm[] = ['MD5', 'SHA-256', 'SHA-512-256']

/** @returns undefined under AKA, which has no password */
const hashOf = (algorithm: DigestAlgorithm): Ha1Algorithm | undefined =>
  HASHES.find((hash) => algorithm === hash || algorithm === `${hash}-sess`)

/** An HA1 that is nobody's, of the length that the hash has. */
function standInFor(seed: Uint8Array): (hash: Ha1Algorithm | undefined) => Secret {
  const text = utf8(toHex(seed))
  const [long, short] = [new Secret(text), new Secret(text.subarray(0, 32))]
  return (hash) => (hash === undefined || hash === 'MD5' ? short : long)
}

const derive = (key: Secret, label: string): Uint8Array => createHmac('sha256', key.expose()).update(label).digest()
