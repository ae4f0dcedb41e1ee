import type { EpochMs } from '../core/bytes.ts'
import type { ToleranceName, Tolerances } from '../core/tolerances.ts'
import { GbaError } from '../errors.ts'
import type { NonceLedger } from '../store/store.ts'
import { NcHabit } from './nc-habit.ts'
import { type PresentedDigest, requireTolerated } from './verify.ts'

export interface SpendingOptions {
  readonly ledger: Pick<NonceLedger, 'use'>
  readonly tolerances: Tolerances
  readonly now: () => EpochMs
  /** The nonces whose counting is remembered, at most. */
  readonly maxRemembered: number
  /** false where other processes serve the same nonces: in what order a UE counts cannot be told, and is not judged. */
  readonly seesEveryCount?: boolean
  /** How UEs count, where that is to outlive this door; default: its own. */
  readonly habit?: NcHabit
}

/**
 * Uses up the nonce count of a response that has proved right: from then on it is good for nothing.
 * @returns deviations in the count, all of them tolerated
 * @throws GbaError UA_OFFERED_ELSEWHERE, UA_NONCE_AGED, UA_NONCE_FORGOTTEN, UA_NC_REUSED, UA_DEVIATION_REFUSED
 * @see RFC 7616 clause 5.5
 */
export type SpendNonce = (presented: PresentedDigest) => Promise<ToleranceName[]>

/** @see RFC 7616 clause 5.5 */
export function nonceSpender({
  ledger,
  tolerances,
  now,
  maxRemembered,
  seesEveryCount = true,
  habit = new NcHabit(maxRemembered),
}: SpendingOptions): SpendNonce {
  return async ({ nonce, nc, credentials, isOfferedElsewhere }) => {
    if (isOfferedElsewhere) throw new GbaError('UA_OFFERED_ELSEWHERE', 'this route has another challenge')
    if (now() >= nonce.expiresAt) throw new GbaError('UA_NONCE_AGED', 'nonce aged')
    const counted = seesEveryCount ? habit.deviation(nonce.nonce, nc) : undefined
    const odd = counted === undefined ? [] : [counted]
    // What comes from below is a replay first: only the ledger tells, in a strict profile, too.
    if (counted !== 'nc-out-of-order') requireTolerated(odd, tolerances)
    const use = await ledger.use(nonce, nc, now())
    if (use === 'reused') throw new GbaError('UA_NC_REUSED', `nc ${credentials.nc} was used`)
    if (use === 'forgotten') throw new GbaError('UA_NONCE_FORGOTTEN', 'use of this nonce is no longer known')
    requireTolerated(odd, tolerances)
    if (seesEveryCount) habit.accepted(nonce.nonce, nc)
    return odd
  }
}
