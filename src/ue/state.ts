import { type UsimState, usimState } from '../core/aka.ts'
import type { EpochMs } from '../core/bytes.ts'
import type { DigestChallenge } from '../core/digest-header.ts'
import type { Btid, Tmpi } from '../core/identity.ts'
import type { Secret } from '../core/secret.ts'
import type { Sim } from './sim.ts'

/** One bootstrapping run, as the UE keeps it. */
export interface HeldBootstrap {
  readonly btid: Btid
  /** 16 octets. */
  readonly rand: Uint8Array
  readonly ks: Secret
  readonly expiresAt: EpochMs
}

/** A NAF's challenge, good for more than one request. */
export interface HeldNonce {
  readonly challenge: DigestChallenge
  /** The last count sent; 0 before the first. */
  readonly count: number
  /** One client nonce per nonce: under -sess algorithms HA1 would otherwise mean two things. */
  readonly cnonce: string
  /** Under which bootstrap it went out; under another one the NAF is asked for a nonce first. */
  readonly btid?: Btid
}

/** All that a UE remembers; a value that is replaced, never changed. */
export interface UeState {
  readonly usim: UsimState
  readonly bootstrap?: HeldBootstrap
  readonly tmpi?: Tmpi
  /** By origin, `scheme://host:port`. */
  readonly nonces: ReadonlyMap<string, HeldNonce>
}

export interface StateStore {
  read(): UeState
  /** Atomic: nobody else's change falls between what `change` sees and what it leaves. @returns the new state */
  update(change: (state: UeState) => UeState): UeState
}

/** A card that has never been used, as the SIM file describes it. */
export const freshState = ({ sqn, ind }: Sim): UeState => ({ usim: usimState(sqn, ind), nonces: new Map() })

/** Lives as long as the process. */
export function memoryState(start: UeState): StateStore {
  let state = start
  return {
    read: () => state,
    update(change) {
      state = change(state)
      return state
    },
  }
}
