/** When an address of an application server is left alone, and for how long. */
export interface BreakerLimits {
  /** So many failures without an answer between them open it. */
  readonly failures: number
  /** How long it stays open before one request tries the address. */
  readonly openMs: number
}

/**
 * What is thought of one address. `closed`: requests go there. `open`: none does. `half-open`: one is there, and its end
 * decides. Every instant is on the clock of the caller, in ms.
 */
export type Breaker =
  | { readonly state: 'closed'; readonly failures: number; readonly failedAt: number; readonly restoredAt: number }
  | { readonly state: 'open'; readonly until: number; readonly isByHealth: boolean }
  | { readonly state: 'half-open'; readonly since: number }

/** How an address begins: nothing is known against it. */
export const CLOSED: Breaker = { state: 'closed', failures: 0, failedAt: -Infinity, restoredAt: -Infinity }

/** Whether a request may go there: `probe`, where it is the one that tries. */
export function admits(breaker: Breaker, now: number): 'yes' | 'probe' | 'no' {
  if (breaker.state === 'closed') return 'yes'
  return now >= (breaker.state === 'open' ? breaker.until : breaker.since + LONGEST_PROBE_MS) ? 'probe' : 'no'
}

/** A request that tries for longer than that keeps no other from it. */
const LONGEST_PROBE_MS = 60_000

/** Whether a failure is so recent that what must not fail is better sent elsewhere. */
export const isSuspect = (breaker: Breaker, { openMs }: BreakerLimits, now: number): boolean =>
  breaker.state === 'closed' && breaker.failures > 0 && now - breaker.failedAt < openMs

/** The one request is on its way that tries the address. */
export const probing = (now: number): Breaker => ({ state: 'half-open', since: now })

/** The address answered. @param isProbe whether it was the one request that tries */
export function reached(breaker: Breaker, isProbe: boolean, now: number): Breaker {
  if (breaker.state === 'closed') return breaker.failures === 0 ? breaker : { ...breaker, failures: 0 }
  // What was sent before it opened says nothing of now.
  return breaker.state === 'half-open' && isProbe ? restored(now) : breaker
}

/** The address took no connection, broke it off without an answer, or did not answer in time. */
export function failed(breaker: Breaker, isProbe: boolean, { failures, openMs }: BreakerLimits, now: number): Breaker {
  if (breaker.state === 'closed') {
    if (breaker.failures + 1 < failures) return { ...breaker, failures: breaker.failures + 1, failedAt: now }
    return { state: 'open', until: now + openMs, isByHealth: false }
  }
  return breaker.state === 'half-open' && isProbe ? { state: 'open', until: now + openMs, isByHealth: false } : breaker
}

/** The request that tried was given up by whoever had sent it: the next one tries. */
export const abandoned = (breaker: Breaker, isProbe: boolean, now: number): Breaker =>
  breaker.state === 'half-open' && isProbe ? { state: 'open', until: now, isByHealth: false } : breaker

/** The server says itself that it is not well. @param until when that word is too old to count */
export const unwell = (until: number): Breaker => ({ state: 'open', until, isByHealth: true })

/**
 * The server says itself that it is well. That ends what it had said before; where requests had failed, the next one
 * tries, for a server may be well and not serve.
 */
export function well(breaker: Breaker, now: number): Breaker {
  if (breaker.state !== 'open') return breaker
  return breaker.isByHealth ? restored(now) : { ...breaker, until: Math.min(breaker.until, now) }
}

const restored = (now: number): Breaker => ({ state: 'closed', failures: 0, failedAt: -Infinity, restoredAt: now })
