import { formatAuthenticationInfo } from '../core/digest-header.ts'
import type { Btid, Fqdn } from '../core/identity.ts'
import { ownCopyOf } from '../core/memo.ts'
import type { UaProtocolId } from '../core/naf-id.ts'
import type { Secret } from '../core/secret.ts'
import type { ToleranceName } from '../core/tolerances.ts'
import { GbaError } from '../errors.ts'
import type { Bia, Bir, KeySource } from '../zn/port.ts'
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
  /** The identifiers that worked last, where that is to outlive this door; default: its own. */
  readonly matched?: Map<Btid, UaProtocolId>
}

/** Ua with HTTP Digest: who made this request. @see 3GPP TS 24.109 clause 5.2 (Rel-17) */
export function authenticator(options: AuthenticatorOptions) {
  const { keys, nonces, now, randomBytes, tolerances, matched = new Map<Btid, UaProtocolId>() } = options
  const spendNonce = nonceSpender(options)

  const mint = (nafFqdn: Fqdn) =>
    mintNonce(nonces.key, nafFqdn, now(), randomBytes(NONCE_RANDOM_OCTETS), nonces.standing?.())

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
      const first = candidates[0]
      if (first === undefined) throw new RangeError('a NAF has at least one Ua security protocol identifier')
      const bir = birOf(presented, first, naf.gsids)
      // What is at hand is not waited for: that would cost more than to look it up.
      const atHand = cachedBia(bir) ?? (await biaFor(bir, request))
      const needsBody = presented.qop === 'auth-int'
      return {
        needsBody,
        btid: presented.btid,
        uaProtocolIds: candidates,
        async verify(body, isTooOld) {
          for (const uaProtocolId of candidates) {
            const its = uaProtocolId === first ? bir : birOf(presented, uaProtocolId, naf.gsids)
            // A body takes its time, and the key may be gone by then.
            const known = uaProtocolId === first && !needsBody ? alive(atHand) : cachedBia(its)
            const right = rightOf(presented, known ?? (await biaFor(its, request)), uaProtocolId, body)
            if (!right) continue
            requireFresh(presented, right.bia, isTooOld)
            const odd = await spendNonce(presented)
            remember(presented.btid, uaProtocolId)
            const isUsual = uaProtocolId === (uaProtocolIds[0] ?? first)
            const met = together(presented.tolerances, odd, isUsual ? NOTHING : AS_CANDIDATE)
            return authenticated(presented, right, met)
          }
          throw new GbaError('UA_RESPONSE_WRONG', 'no candidate key makes this response')
        },
      }
    },
  }

  function cachedBia(bir: Bir): Bia | undefined {
    const bia = keys.cached?.(bir)
    return bia && alive(bia)
  }

  async function biaFor(bir: Bir, { asker, trace }: UaRequest): Promise<Bia> {
    return alive(await keys.fetch(bir, asker, trace))
  }

  function alive(bia: Bia): Bia {
    if (now() >= bia.expiresAt) throw new GbaError('UA_KEY_EXPIRED', 'the key has expired')
    return bia
  }

  function authenticated(presented: Presented, right: Right, met: readonly ToleranceName[]): Authenticated {
    const { bia, uaProtocolId, method, key } = right
    const { btid, nonce, request } = presented
    const { impi, ussList } = bia
    const { nafFqdn } = request
    const aging = now() >= nonce.mintedAt + nonces.lifetimeMs * 0.75
    const coversBody = presented.qop === 'auth-int'
    const info = (body: Uint8Array) =>
      formatAuthenticationInfo(authenticationInfo(presented, key, body, aging ? mint(nafFqdn) : undefined))
    const who = { door: 'digest' as const, btid, ussList, nafFqdn, uaProtocolId, method, tolerances: met, coversBody }
    return proven(impi ? { ...who, impi, authenticationInfo: info } : { ...who, authenticationInfo: info })
  }

  function remember(btid: Btid, uaProtocolId: UaProtocolId): void {
    if (matched.get(btid) === uaProtocolId) return
    matched.delete(btid)
    if (matched.size >= options.maxRemembered) {
      const oldest = matched.keys().next().value
      if (oldest !== undefined) matched.delete(oldest)
    }
    // As it came it would keep the whole header alive that it is a part of.
    matched.set(ownCopyOf(btid) as Btid, uaProtocolId)
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

/** The key of this answer that made the response, if one did. */
function rightOf(presented: Presented, bia: Bia, uaProtocolId: UaProtocolId, body: Uint8Array): Right | undefined {
  for (const { method, key } of keysFor(presented.methods, bia)) {
    if (responseIsRight(presented, key, body)) return { bia, uaProtocolId, method, key }
  }
  return undefined
}

/**
 * Before the nonce is looked at: a stale one would cost the UE a second 401 in the same transaction.
 * @throws GbaError UA_REBOOTSTRAP_DEMANDED
 */
function requireFresh({ btid }: Presented, bia: Bia, isTooOld: (proven: ProvenBootstrap) => boolean): void {
  const { bootstrappedAt, ussList } = bia
  if (isTooOld({ bootstrappedAt, btid, impus: () => identitiesIn(ussList) })) {
    throw new GbaError('UA_REBOOTSTRAP_DEMANDED', 'the bootstrap is older than the policy lets it be')
  }
}

function birOf({ btid, request, methods }: Presented, uaProtocolId: UaProtocolId, gsids: readonly number[]): Bir {
  return { btid, nafFqdn: request.nafFqdn, uaProtocolId, gsids, gbaUAware: methods.includes('gba-u') }
}

const NOTHING: readonly ToleranceName[] = []
const AS_CANDIDATE: readonly ToleranceName[] = ['ua-id-candidate']

/** Most requests deviate in nothing. */
const together = (...lists: readonly (readonly ToleranceName[])[]): readonly ToleranceName[] =>
  lists.every((list) => list.length === 0) ? NOTHING : lists.flat()

/** The identifier that worked last time comes first, if this connection allows it at all. */
function inOrder(ids: readonly UaProtocolId[], last: UaProtocolId | undefined): readonly UaProtocolId[] {
  if (last === undefined || last === ids[0]) return ids
  return ids.includes(last) ? [last, ...ids.filter((id) => id !== last)] : ids
}
