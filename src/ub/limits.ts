import type { EpochMs } from '../core/bytes.ts'
import type { Impi } from '../core/identity.ts'
import { GbaError } from '../errors.ts'
import type { Rate, RateLimiter } from '../store/store.ts'

/** What may be asked for on Ub; undefined: any amount. */
export interface UbLimits {
  readonly perSource: Rate | undefined
  readonly perImpi: Rate | undefined
  /** What a wrong response costs beside its challenge. */
  readonly wrongResponseCost: number
}

/** Who wants a vector. */
export interface UbCaller {
  /** What its address is counted as; undefined: many share it. */
  readonly source: string | undefined
  readonly impi: Impi
  /** It came under a temporary identity of this subscriber. */
  readonly isTmpi: boolean
}

export interface Counter {
  readonly key: string
  readonly rate: Rate
}

/**
 * What one challenge is counted under, in this order. Ub cannot tell a UE from a stranger who knows its IMPI, which
 * travels in the clear; so that the stranger locks nobody out,
 * - one source has half of what an IMPI has: it takes two to use it up;
 * - who comes under a TMPI has a measure of its own: a stranger has seen the IMPI, but not the TMPI of the last run.
 * What waits for its answer is bounded by the same: at most what is drawn within the lifetime of a challenge.
 */
export function countersOf({ source, impi, isTmpi }: UbCaller, { perSource, perImpi }: UbLimits): readonly Counter[] {
  // An HSS may take one subscriber's identity in several spellings.
  const spelling = impi.toLowerCase().replace(/\.$/, '')
  const subscriber = `ub ${isTmpi ? 'tmpi' : 'impi'} ${spelling}`
  return [
    ...(source !== undefined && perSource ? [{ key: `ub source ${source}`, rate: perSource }] : []),
    ...(source !== undefined && perImpi ? [{ key: `${subscriber} source ${source}`, rate: half(perImpi) }] : []),
    ...(perImpi ? [{ key: subscriber, rate: perImpi }] : []),
  ]
}

/** What a wrong response is counted under: never what a UE elsewhere needs. */
export function countersOfFailure(caller: UbCaller, limits: UbLimits): readonly Counter[] {
  const counters = countersOf(caller, limits)
  return caller.source === undefined ? counters : counters.filter(({ key }) => key.endsWith(` source ${caller.source}`))
}

const half = ({ burst, perMinute }: Rate): Rate => ({
  burst: Math.ceil(burst / 2),
  perMinute: Math.ceil(perMinute / 2),
})

export interface UbLimiterOptions {
  readonly limiter: RateLimiter
  readonly limits: UbLimits
  readonly now: () => EpochMs
}

/**
 * Keeps Ub from drawing more vectors than an honest UE needs.
 * Reading: a limiter that is out of reach refuses with 503, as no vector may be drawn uncounted; UEs in possession of a
 * key are served all the same.
 */
export function ubLimiter({ limiter, limits, now }: UbLimiterOptions) {
  return {
    /** Before a vector is drawn. @throws GbaError UB_TOO_MANY_REQUESTS, STORE_UNAVAILABLE */
    async admit(caller: UbCaller): Promise<void> {
      let waitS = 0
      for (const { key, rate } of countersOf(caller, limits)) {
        const { allowed, retryAfterS } = await limiter.take(key, rate, now())
        // Those before it were taken from, and have to allow the next one as well.
        waitS = Math.max(waitS, retryAfterS)
        if (!allowed) {
          throw new GbaError('UB_TOO_MANY_REQUESTS', `more than allowed of: ${key}`, { retryAfterS: waitS })
        }
      }
    },
    /** After a response that was wrong. It is refused in any case: a limiter that fails changes nothing. */
    async failed(caller: UbCaller): Promise<void> {
      if (limits.wrongResponseCost < 1) return
      const counters = countersOfFailure(caller, limits)
      const taken = counters.map(({ key, rate }) => limiter.take(key, rate, now(), limits.wrongResponseCost))
      await Promise.allSettled(taken)
    },
  }
}

export type UbLimiter = ReturnType<typeof ubLimiter>
