import type { EpochMs } from '../core/bytes.ts'
import { formatAuthenticationInfo } from '../core/digest-header.ts'
import type { Uss } from '../core/guss.ts'
import type { Btid, Fqdn, Impi } from '../core/identity.ts'
import type { UaProtocolId } from '../core/naf-id.ts'
import { GbaError } from '../errors.ts'
import type { NonceLedger } from '../store/store.ts'
import type { Bia, KeySource } from '../zn/port.ts'
import type { ChallengePolicy } from './challenge.ts'
import { challengeHeaders } from './challenge.ts'
import { mintNonce, NONCE_RANDOM_OCTETS } from './nonce.ts'
import {
  authenticationInfo,
  type NoncePolicy,
  type Presented,
  readCredentials,
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
  readonly bootstrappedAt: EpochMs
  readonly expiresAt: EpochMs
  /** Value of Authentication-Info for an answer with this body; the body counts under auth-int only. */
  authenticationInfo(body: Uint8Array): string
  /** Authentication-Info covers the body, which then has to be known as a whole. */
  readonly coversBody: boolean
}

export interface NafPolicy {
  readonly challenge: ChallengePolicy
  /** GAA services whose settings the NAF asks for. */
  readonly gsids: readonly number[]
}

export interface AuthenticatorOptions {
  readonly keys: KeySource
  readonly ledger: NonceLedger
  readonly nonces: NoncePolicy
  readonly now: () => EpochMs
  readonly randomBytes: (length: number) => Uint8Array
  /** The B-TIDs whose Ua security protocol identifier is remembered, at most. */
  readonly maxRemembered: number
}

/** Credentials with the keys they could have been made with. */
export interface Examined {
  readonly presented: Presented
  readonly candidates: readonly UaProtocolId[]
  readonly gsids: readonly number[]
  /** The response covers the body: it has to be read before `verify`. */
  readonly needsBody: boolean
}

/** Ua with HTTP Digest: who made this request. @see 3GPP TS 24.109 clause 5.2 (Rel-17) */
export function authenticator(options: AuthenticatorOptions) {
  const { keys, ledger, nonces, now, randomBytes } = options
  const matched = new Map<Btid, UaProtocolId>()

  const mint = (nafFqdn: Fqdn) => mintNonce(nonces.key, nafFqdn, now(), randomBytes(NONCE_RANDOM_OCTETS))

  return {
    /** Lines of a 401; a fresh nonce each time, at no cost in state. */
    challenge: (nafFqdn: Fqdn, naf: NafPolicy, stale: boolean): string[] =>
      challengeHeaders(nafFqdn, mint(nafFqdn), naf.challenge, stale),

    /**
     * All that can be judged without the body: form, nonce, and that the BSF knows the B-TID.
     * @param uaProtocolIds  identifiers to try, in order
     */
    async examine(request: UaRequest, naf: NafPolicy, uaProtocolIds: readonly UaProtocolId[]): Promise<Examined> {
      const presented = readCredentials(request, naf.challenge, nonces, now())
      const candidates = inOrder(uaProtocolIds, matched.get(presented.btid))
      const [first] = candidates
      if (first === undefined) throw new RangeError('a NAF has at least one Ua security protocol identifier')
      await keyFor(presented, first, naf.gsids)
      return { presented, candidates, gsids: naf.gsids, needsBody: presented.qop === 'auth-int' }
    },

    /** @throws GbaError UA_RESPONSE_WRONG, UA_NONCE_AGED, UA_NONCE_FORGOTTEN, UA_NC_REUSED and those of Zn */
    async verify({ presented, candidates, gsids }: Examined, body: Uint8Array): Promise<Authenticated> {
      const { bia, uaProtocolId } = await firstRight(presented, candidates, gsids, body)
      if (now() >= presented.nonce.expiresAt) throw new GbaError('UA_NONCE_AGED', 'nonce aged')
      const use = await ledger.use(presented.nonce, presented.nc, now())
      if (use === 'reused') throw new GbaError('UA_NC_REUSED', `nc ${presented.credentials.nc} was used`)
      if (use === 'forgotten') throw new GbaError('UA_NONCE_FORGOTTEN', 'use of this nonce is no longer known')
      remember(presented.btid, uaProtocolId)
      return authenticated(presented, bia, uaProtocolId)
    },
  }

  async function keyFor({ btid, request }: Presented, uaProtocolId: UaProtocolId, gsids: readonly number[]) {
    const bia = await keys.fetch({ btid, nafFqdn: request.nafFqdn, uaProtocolId, gsids, gbaUAware: false })
    if (now() >= bia.expiresAt) throw new GbaError('UA_KEY_EXPIRED', 'the key has expired')
    return bia
  }

  async function firstRight(
    presented: Presented,
    candidates: readonly UaProtocolId[],
    gsids: readonly number[],
    body: Uint8Array,
  ) {
    for (const uaProtocolId of candidates) {
      const bia = await keyFor(presented, uaProtocolId, gsids)
      if (responseIsRight(presented, bia.ksNaf, body)) return { bia, uaProtocolId }
    }
    throw new GbaError('UA_RESPONSE_WRONG', 'no candidate key makes this response')
  }

  function authenticated(presented: Presented, bia: Bia, uaProtocolId: UaProtocolId): Authenticated {
    const { btid, nonce, request } = presented
    const aging = now() >= nonce.mintedAt + nonces.lifetimeMs * 0.75
    return {
      btid,
      ...(bia.impi && { impi: bia.impi }),
      ussList: bia.ussList,
      nafFqdn: request.nafFqdn,
      uaProtocolId,
      bootstrappedAt: bia.bootstrappedAt,
      expiresAt: bia.expiresAt,
      coversBody: presented.qop === 'auth-int',
      authenticationInfo: (body: Uint8Array) =>
        formatAuthenticationInfo(
          authenticationInfo(presented, bia.ksNaf, body, aging ? mint(request.nafFqdn) : undefined),
        ),
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

/** The identifier that worked last time comes first, if this connection allows it at all. */
function inOrder(ids: readonly UaProtocolId[], last: UaProtocolId | undefined): readonly UaProtocolId[] {
  return last !== undefined && ids.includes(last) ? [last, ...ids.filter((id) => id !== last)] : ids
}
