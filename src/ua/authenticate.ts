import type { EpochMs } from '../core/bytes.ts'
import { formatAuthenticationInfo } from '../core/digest-header.ts'
import type { Uss } from '../core/guss.ts'
import type { Btid, Fqdn, Impi } from '../core/identity.ts'
import type { UaProtocolId } from '../core/naf-id.ts'
import type { Secret } from '../core/secret.ts'
import type { ToleranceName, Tolerances } from '../core/tolerances.ts'
import { GbaError } from '../errors.ts'
import type { NonceLedger } from '../store/store.ts'
import type { Bia, KeySource } from '../zn/port.ts'
import { type ChallengePolicy, challengeHeaders, type GbaMethod } from './challenge.ts'
import { NcHabit } from './nc-habit.ts'
import { mintNonce, NONCE_RANDOM_OCTETS } from './nonce.ts'
import type { ProvenBootstrap } from './rebootstrap.ts'
import {
  authenticationInfo,
  type NoncePolicy,
  type OfferedAnywhere,
  type Presented,
  readCredentials,
  requireTolerated,
  responseIsRight,
  type UaRequest,
} from './verify.ts'

declare const proof: unique symbol // not exported: only verify() below makes one

/** Proof that the UE holds the key of this B-TID and made this very request. */
export interface Authenticated {
  readonly [proof]: true
  readonly btid: Btid
  /** Only where the BSF trusts this NAF with it. */
  readonly impi?: Impi
  readonly ussList: readonly Uss[]
  readonly nafFqdn: Fqdn
  readonly uaProtocolId: UaProtocolId
  readonly method: GbaMethod
  readonly bootstrappedAt: EpochMs
  readonly expiresAt: EpochMs
  /** Deviations that were tolerated on the way. */
  readonly tolerances: readonly ToleranceName[]
  /** Value of Authentication-Info for an answer with this body; the body counts under auth-int only. */
  authenticationInfo(body: Uint8Array): string
  /** Authentication-Info covers the body, which then has to be known as a whole. */
  readonly coversBody: boolean
}

export interface NafPolicy {
  readonly challenge: ChallengePolicy
  /** What its routes offer together; by default what `challenge` does. */
  readonly anywhere?: OfferedAnywhere
  /** GAA services whose settings the NAF asks for. */
  readonly gsids: readonly number[]
}

export interface AuthenticatorOptions {
  readonly keys: KeySource
  readonly ledger: NonceLedger
  readonly nonces: NoncePolicy
  readonly now: () => EpochMs
  readonly randomBytes: (length: number) => Uint8Array
  readonly tolerances: Tolerances
  /** The B-TIDs whose Ua security protocol identifier is remembered, at most. */
  readonly maxRemembered: number
}

/** Credentials with the keys they could have been made with. */
export interface Examined {
  readonly presented: Presented
  readonly candidates: readonly UaProtocolId[]
  /** The first of the NAF's list. */
  readonly usual: UaProtocolId
  readonly gsids: readonly number[]
  /** The response covers the body: it has to be read before `verify`. */
  readonly needsBody: boolean
}

/** Ua with HTTP Digest: who made this request. @see 3GPP TS 24.109 clause 5.2 (Rel-17) */
export function authenticator(options: AuthenticatorOptions) {
  const { keys, ledger, nonces, now, randomBytes, tolerances } = options
  const habit = new NcHabit(options.maxRemembered)
  const matched = new Map<Btid, UaProtocolId>()

  const mint = (nafFqdn: Fqdn) => mintNonce(nonces.key, nafFqdn, now(), randomBytes(NONCE_RANDOM_OCTETS))

  return {
    /** Lines of a 401; a fresh nonce each time, at no cost in state. */
    challenge: (nafFqdn: Fqdn, challenge: ChallengePolicy, tokens: ReadonlySet<string>, stale: boolean): string[] =>
      challengeHeaders(nafFqdn, mint(nafFqdn), challenge, tokens, stale),

    /**
     * All that can be judged without the body: form, nonce, and that the BSF knows the B-TID.
     * @param uaProtocolIds  identifiers to try, in order
     */
    async examine(request: UaRequest, naf: NafPolicy, uaProtocolIds: readonly UaProtocolId[]): Promise<Examined> {
      const presented = readCredentials(request, naf.challenge, nonces, now(), tolerances, naf.anywhere)
      // Strict: the first identifier is the one of the specification, and no other is tried.
      const accepted = tolerances.has('ua-id-candidate') ? uaProtocolIds : uaProtocolIds.slice(0, 1)
      const candidates = inOrder(accepted, matched.get(presented.btid))
      const [first] = candidates
      if (first === undefined) throw new RangeError('a NAF has at least one Ua security protocol identifier')
      await biaFor(presented, first, naf.gsids)
      const usual = uaProtocolIds[0] ?? first
      return { presented, candidates, usual, gsids: naf.gsids, needsBody: presented.qop === 'auth-int' }
    },

    /**
     * @param isTooOld  whether this bootstrap, which has just proved right, has to be renewed
     * @throws GbaError UA_RESPONSE_WRONG, UA_REBOOTSTRAP_DEMANDED, UA_NONCE_AGED, UA_NONCE_FORGOTTEN, UA_NC_REUSED and
     *   those of Zn
     */
    async verify(
      { presented, candidates, usual, gsids }: Examined,
      body: Uint8Array,
      isTooOld: (proven: ProvenBootstrap) => boolean = () => false,
    ): Promise<Authenticated> {
      const right = await firstRight(presented, candidates, gsids, body)
      const { bootstrappedAt, ussList } = right.bia
      // Before the nonce is looked at: a stale one would cost the UE a second 401 in the same transaction.
      if (isTooOld({ bootstrappedAt, btid: presented.btid, impus: ussList.flatMap(({ uids }) => uids) })) {
        throw new GbaError('UA_REBOOTSTRAP_DEMANDED', 'the bootstrap is older than the policy lets it be')
      }
      if (presented.isOfferedElsewhere) throw new GbaError('UA_OFFERED_ELSEWHERE', 'this route has another challenge')
      if (now() >= presented.nonce.expiresAt) throw new GbaError('UA_NONCE_AGED', 'nonce aged')
      const counted = habit.deviation(presented.nonce.nonce, presented.nc)
      const odd = counted === undefined ? [] : [counted]
      // What comes from below is a replay first: only the ledger tells, in a strict profile, too.
      if (counted !== 'nc-out-of-order') requireTolerated(odd, tolerances)
      const use = await ledger.use(presented.nonce, presented.nc, now())
      if (use === 'reused') throw new GbaError('UA_NC_REUSED', `nc ${presented.credentials.nc} was used`)
      if (use === 'forgotten') throw new GbaError('UA_NONCE_FORGOTTEN', 'use of this nonce is no longer known')
      requireTolerated(odd, tolerances)
      habit.accepted(presented.nonce.nonce, presented.nc)
      remember(presented.btid, right.uaProtocolId)
      const met: ToleranceName[] = [
        ...presented.tolerances,
        ...odd,
        ...(right.uaProtocolId === usual ? [] : (['ua-id-candidate'] as const)),
      ]
      return authenticated(presented, right, met)
    },
  }

  async function biaFor({ btid, request, methods }: Presented, uaProtocolId: UaProtocolId, gsids: readonly number[]) {
    const gbaUAware = methods.includes('gba-u')
    const bia = await keys.fetch({ btid, nafFqdn: request.nafFqdn, uaProtocolId, gsids, gbaUAware })
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
    return {
      btid,
      ...(bia.impi && { impi: bia.impi }),
      ussList: bia.ussList,
      nafFqdn: request.nafFqdn,
      uaProtocolId,
      method,
      tolerances: met,
      bootstrappedAt: bia.bootstrappedAt,
      expiresAt: bia.expiresAt,
      coversBody: presented.qop === 'auth-int',
      authenticationInfo: (body: Uint8Array) =>
        formatAuthenticationInfo(authenticationInfo(presented, key, body, aging ? mint(request.nafFqdn) : undefined)),
    } as Authenticated
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

/**
 * The keys that a UE may have used under these methods. A key choice in the settings leaves one of two; the BSF says
 * whether the run was GBA_Digest.
 * @throws GbaError UA_KEY_CHOICE_REFUSED when the settings want a key that the method does not have
 */
function keysFor(methods: readonly GbaMethod[], bia: Bia): { method: GbaMethod; key: Secret }[] {
  const choices = new Set(bia.ussList.map(({ keyChoice }) => keyChoice))
  const uiccOnly = choices.has('UICC_BASED_KEY')
  const meOnly = choices.has('ME_BASED_KEY')
  const digest = bia.gbaType === 'GBA_DIGEST'
  const keys = methods.flatMap((method): { method: GbaMethod; key: Secret }[] => {
    if (method === 'gba-u') return bia.ksIntNaf && !meOnly ? [{ method, key: bia.ksIntNaf }] : []
    if (uiccOnly || digest !== (method === 'gba-digest')) return []
    return [{ method, key: bia.ksNaf }]
  })
  if (keys.length === 0) throw new GbaError('UA_KEY_CHOICE_REFUSED', `no key for ${methods.join(', ')}`)
  return keys
}

/** The identifier that worked last time comes first, if this connection allows it at all. */
function inOrder(ids: readonly UaProtocolId[], last: UaProtocolId | undefined): readonly UaProtocolId[] {
  return last !== undefined && ids.includes(last) ? [last, ...ids.filter((id) => id !== last)] : ids
}
