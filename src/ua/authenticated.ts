import type { Uss } from '../core/guss.ts'
import type { Btid, Fqdn, Impi, Impu } from '../core/identity.ts'
import type { UaProtocolId } from '../core/naf-id.ts'
import type { ToleranceName } from '../core/tolerances.ts'
import type { GbaMethod } from './challenge.ts'
import type { DoorName } from './door.ts'
import type { ProvenBootstrap } from './rebootstrap.ts'

declare const proof: unique symbol // not exported: `proven` makes one, and only doors call it

/** Proof that a request is this subscriber's. Only the `verify` of a door makes one. */
export interface Authenticated {
  readonly [proof]: true
  readonly door: DoorName
  /** Of the bootstrap whose key proved it; absent at doors that know no bootstrap. */
  readonly btid?: Btid
  /** Only where the BSF trusts this NAF with it, or where it is what the UE proved. */
  readonly impi?: Impi
  /** With which it came, where that is no B-TID; no more for everybody's eyes than an IMPI. */
  readonly username?: string
  readonly ussList: readonly Uss[]
  readonly nafFqdn: Fqdn
  /** That of the key. */
  readonly uaProtocolId?: UaProtocolId
  readonly method?: GbaMethod
  /** Deviations that were tolerated on the way. */
  readonly tolerances: readonly ToleranceName[]
  /** Value of Authentication-Info for an answer with this body; the body counts under auth-int only. None without Digest. */
  authenticationInfo(body: Uint8Array): string | undefined
  /** Authentication-Info covers the body, which then has to be known as a whole. */
  readonly coversBody: boolean
}

/** To be called where a proof is complete, and nowhere else: the one way to make the type. */
export const proven = (who: Omit<Authenticated, typeof proof>): Authenticated => who as Authenticated

/** What a door read of a request before its body is there. Nothing is proven yet. */
export interface Attempt {
  /** The proof covers the body: it has to be read before `verify`. */
  readonly needsBody: boolean
  /** As claimed. */
  readonly btid?: Btid
  /** As claimed, where a password proves it. */
  readonly username?: string
  /** Those that would be tried. */
  readonly uaProtocolIds?: readonly UaProtocolId[]
  /**
   * @param isTooOld  whether this bootstrap, which has just proved right, has to be renewed
   * @throws GbaError with the UA_ code, or one of Zn
   */
  verify(body: Uint8Array, isTooOld: (proven: ProvenBootstrap) => boolean): Promise<Authenticated>
}

/** Every public identity in these settings. */
export const identitiesIn = (ussList: readonly Uss[]): readonly Impu[] =>
  ussList.length === 1 ? (ussList[0]?.uids ?? []) : ussList.flatMap(({ uids }) => uids)
