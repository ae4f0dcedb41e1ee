import type { OwnAnswer } from './ap-stages.ts'
import { PROBLEM_JSON, problemOf } from './errors.ts'
import { Line } from './line.ts'
import type { Load, Overload, Place } from './load.ts'
import type { Audit } from './observe/audit.ts'
import type { Logger } from './observe/log.ts'
import type { ApRequest } from './passage.ts'

/** The door before all others: it takes a request on when it is its turn, or says why not. */
export interface Shedding {
  /** Calls one of them, now or when the process comes to it; neither may throw. */
  arrive(take: (place: Place, waitedMs: number) => void, refuse: (why: Overload) => void): void
  /** 503. What costs the least is said, and one of a second is recorded, with the number of those like it. */
  refusal(why: Overload, request: Pick<ApRequest, 'id' | 'method' | 'peer'>): OwnAnswer
}

/** @param log  told once a second while requests are refused */
export function shedding(load: Load, { audit, log }: { readonly audit: Audit; readonly log: Pick<Logger, 'warn'> }) {
  const now = () => performance.now()
  const line = new Line({ maxWaitMs: () => load.maxLoopDelayMs, now, nextTurn: setImmediate })
  const door: Shedding = {
    arrive(take, refuse) {
      if (load.overload) refuse(load.overload)
      else {
        line.enter((waitedMs, isLate) => {
          const why = isLate ? 'loop-delay' : load.overload
          if (why) refuse(why)
          else take(load.enter(), waitedMs)
        })
      }
    },
    refusal(why, { id, method, peer }) {
      const count = load.refused(why, now())
      if (count !== undefined) {
        audit.record('ut.refused', {
          requestId: id,
          step: 'arrive',
          method,
          code: 'AP_OVERLOADED',
          detail: why,
          status: STATUS,
          source: peer,
        })
        log.warn({ reason: why, count, inFlight: load.state().inFlight, waiting: line.length }, 'ap.shedding')
      }
      const body = Buffer.from(JSON.stringify(problemOf(STATUS, id)))
      return { status: STATUS, headers: HEADERS, body }
    },
  }
  return door
}

const STATUS = 503
const HEADERS = { 'retry-after': '1', 'content-type': PROBLEM_JSON }
