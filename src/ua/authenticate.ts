import { formatAuthenticationInfo } from '../core/digest-header.ts'
import type { Btid, Fqdn } from '../core/identity.ts'
import type { UaProtocolId } from '../core/naf-id.ts'
import type { Secret } from '../core/secret.ts'
import type { ToleranceName } from '../core/tolerances.ts'
import { GbaError } from '../errors.ts'
import type { Bia, KeySource } from '../zn/port.ts'
import { type Attempt, type Authenticated, identitiesIn, proven } from './authenticated.ts'
import { type ChallengePolicy, challengeHeaders, type GbaMethod } from './challenge.ts'
import { keysFor } from './keys.ts'
import { mintNonce, NONCE_RANDOM_OCTETS } from './nonce.ts'
import type { ProvenBootstrap } from './rebootstrap.ts'
import { nonceSpender, type SpendingOptions } from './spend-nonce.ts'
import {
  authenticationInfo,
  type NoncePolicy,
  type OfferedAnywhere,
  type Presented,
  readCredentials,
  responseIsRight,
  type UaRequest,
} from './verify.ts'

export interface NafPolicy {
  readonly challenge: ChallengePolicy
  /** What its routes offer together; by default what `challenge` does. */
  readonly anywhere?: OfferedAnywhere
  /** GAA services whose settings the NAF asks for. */
  readonly gsids: readonly number[]
}

export interface AuthenticatorOptions extends SpendingOptions {
  readonly keys: KeySource
  readonly nonces: NoncePolicy
  readonly randomBytes: (length: number) => Uint8Array
  /** The B-TIDs whose identifier, and the nonces whose counting, is remembered, at most. */
  readonly maxRemembered: number
}

/** Ua with HTTP Digest: who made this request. @see 3GPP TS 24.109 clause 5.2 (Rel-17) */
export function authenticator(options: AuthenticatorOptions) {
  const { keys, nonces, now, randomBytes, tolerances } = options
  const spendNonce = nonceSpender(options)
  const matched = new Map<Btid, UaProtocolId>()

  const mint = (nafFqdn: Fqdn) => mintNonce(nonces.key, nafFqdn, now(), randomBytes(NONCE_RANDOM_OCTETS))

  return {
    /** Lines of a 401; a fresh nonce each time, at no cost in state. */
    challenge: (nafFqdn: Fqdn, challenge: ChallengePolicy, tokens: ReadonlySet<string>, stale: boolean): string[] =>
      challengeHeaders(nafFqdn, mint(nafFqdn), challenge, tokens, stale),

    /**
     * All that can be judged without the body: form, nonce, and that the BSF knows the B-TID.
     * @param uaProtocolIds  identifiers to try, in order
     * @throws GbaError with the UA_ codes of `readCredentials`, and those of Zn. `verify` of the result throws
     *   UA_RESPONSE_WRONG, UA_REBOOTSTRAP_DEMANDED, UA_NONCE_AGED, UA_NONCE_FORGOTTEN, UA_NC_REUSED and those of Zn
     */
    async enter(request: UaRequest, naf: NafPolicy, uaProtocolIds: readonly UaProtocolId[]): Promise<Attempt> {
      const presented = readCredentials(request, naf.challenge, nonces, now(), tolerances, naf.anywhere)
      // Strict: the first identifier is the one of the specification, and no other is tried.
      const accepted = tolerances.has('ua-id-candidate') ? uaProtocolIds : uaProtocolIds.slice(0, 1)
      const candidates = inOrder(accepted, matched.get(presented.btid))
      const [first] = candidates
      if (first === undefined) throw new RangeError('a NAF has at least one Ua security protocol identifier')
      await biaFor(presented, first, naf.gsids)
      return {
        needsBody: presented.qop === 'auth-int',
        btid: presented.btid,
        uaProtocolIds: candidates,
        async verify(body, isTooOld) {
          const right = await firstRight(presented, candidates, naf.gsids, body)
          return verify(presented, right, uaProtocolIds[0] ?? first, isTooOld)
        },
      }
    },
  }

  async function verify(
    presented: Presented,
    right: Right,
    usual: UaProtocolId,
    isTooOld: (proven: ProvenBootstrap) => boolean,
  ): Promise<Authenticated> {
    const { bootstrappedAt, ussList } = right.bia
    // Before the nonce is looked at: a stale one would cost the UE a second 401 in the same transaction.
    if (isTooOld({ bootstrappedAt, btid: presented.btid, impus: identitiesIn(ussList) })) {
      throw new GbaError('UA_REBOOTSTRAP_DEMANDED', 'the bootstrap is older than the policy lets it be')
    }
    const odd = await spendNonce(presented)
    remember(presented.btid, right.uaProtocolId)
    const met: ToleranceName[] = [
      ...presented.tolerances,
      ...odd,
      ...(right.uaProtocolId === usual ? [] : (['ua-id-candidate'] as const)),
    ]
    return authenticated(presented, right, met)
  }

  async function biaFor({ btid, request, methods }: Presented, uaProtocolId: UaProtocolId, gsids: readonly number[]) {
    const gbaUAware = methods.includes('gba-u')
    const bia = await keys.fetch({ btid, nafFqdn: request.nafFqdn, uaProtocolId, gsids, gbaUAware }, request.asker)
    if (now() >= bia.expiresAt) throw new GbaError('UA_KEY_EXPIRED', 'the key has expired')
    return bia
  }

  async function firstRight(
    presented: Presented,
    candidates: readonly UaProtocolId[],
    gsids: readonly number[],
    body: Uint8Array,
  ): Promise<Right> {
    for (const uaProtocolId of candidates) {
      const bia = await biaFor(presented, uaProtocolId, gsids)
      for (const { method, key } of keysFor(presented.methods, bia)) {
        if (responseIsRight(presented, key, body)) return { bia, uaProtocolId, method, key }
      }
    }
    throw new GbaError('UA_RESPONSE_WRONG', 'no candidate key makes this response')
  }

  function authenticated(presented: Presented, right: Right, met: readonly ToleranceName[]): Authenticated {
    const { bia, uaProtocolId, method, key } = right
    const { btid, nonce, request } = presented
    const aging = now() >= nonce.mintedAt + nonces.lifetimeMs * 0.75
    return proven({
      door: 'digest',
      btid,
      ...(bia.impi && { impi: bia.impi }),
      ussList: bia.ussList,
      nafFqdn: request.nafFqdn,
      uaProtocolId,
      method,
      tolerances: met,
      coversBody: presented.qop === 'auth-int',
      authenticationInfo: (body: Uint8Array) =>
        formatAuthenticationInfo(authenticationInfo(presented, key, body, aging ? mint(request.nafFqdn) : undefined)),
    })
  }

  function remember(btid: Btid, uaProtocolId: UaProtocolId): void {
    if (matched.get(btid) === uaProtocolId) return
    matched.delete(btid)
    if (matched.size >= options.maxRemembered) {
      const oldest = matched.keys().next().value
      if (oldest !== undefined) matched.delete(oldest)
    }
    matched.set(btid, uaProtocolId)
  }
}

export type Authenticator = ReturnType<typeof authenticator>

/** The key that made a response, and what it came with. */
interface Right {
  readonly bia: Bia
  readonly uaProtocolId: UaProtocolId
  readonly method: GbaMethod
  readonly key: Secret
}

/** The identifier that worked last time comes first, if this connection allows it at all. */
function inOrder(ids: readonly UaProtocolId[], last: UaProtocolId | undefined): readonly UaProtocolId[] {
  return last !== undefined && ids.includes(last) ? [last, ...ids.filter((id) => id !== last)] : ids
}
