import type { EpochMs } from '../core/bytes.ts'
import type { Rate, Taken } from './store.ts'

/** A rate in microseconds, so that all that is reckoned with are whole numbers. */
export interface Pace {
  /** From one unit to the next; rounded up, so that a minute never holds more than it may. */
  readonly intervalUs: number
  /** How far a key may be in debt. */
  readonly depthUs: number
}

/** @throws RangeError unless both are whole numbers from 1 to a million */
export function paceOf({ burst, perMinute }: Rate): Pace {
  const isFine = (count: number) => Number.isInteger(count) && count >= 1 && count <= 1_000_000
  if (!isFine(burst) || !isFine(perMinute)) throw new RangeError(`no rate: ${burst} at once, ${perMinute} per minute`)
  const intervalUs = Math.ceil(60_000_000 / perMinute)
  return { intervalUs, depthUs: burst * intervalUs }
}

/** How far clocks may differ, and go back, without a debt being cut. */
export const CLOCK_SLACK_US = 60_000_000

/**
 * One step of the generic cell rate algorithm, which keeps one instant per key: when the key will be free of debt.
 * A clock that goes back gives nothing away, since that instant only grows; where it lies further ahead than a full debt
 * and `CLOCK_SLACK_US`, the clock was set, and the key is in full debt and no deeper.
 * @param freeAtUs  what was kept of the key; undefined or past: no debt
 * @param cost      what an allowed step adds to the debt, as far as there is room for it
 * @returns what to answer, and what to keep of the key
 */
export function step(
  freeAtUs: number | undefined,
  { intervalUs, depthUs }: Pace,
  now: EpochMs,
  cost: number,
): Taken & { readonly freeAtUs: number } {
  if (!Number.isInteger(cost) || cost < 1) throw new RangeError(`no cost: ${cost}`)
  const nowUs = microseconds(now)
  const fullUs = nowUs + depthUs
  const known = Math.max(freeAtUs ?? 0, nowUs)
  const before = known > fullUs + CLOCK_SLACK_US ? fullUs : known
  const allowed = before + intervalUs <= fullUs
  const after = allowed ? Math.min(before + cost * intervalUs, fullUs) : before
  return { allowed, retryAfterS: Math.ceil(Math.max(0, after + intervalUs - fullUs) / 1_000_000), freeAtUs: after }
}

export const microseconds = (instant: EpochMs): number => Math.floor(instant) * 1000
