import type { OwnAnswer } from './ap-stages.ts'
import { PROBLEM_JSON, problemOf } from './errors.ts'
import type { Load, Place } from './load.ts'
import type { Audit } from './observe/audit.ts'
import type { Logger } from './observe/log.ts'
import type { ApRequest } from './passage.ts'

/** The door before all others: it takes a request on, or answers at once. */
export interface Shedding {
  /** @returns undefined: it is too much now, and `refusal` is the answer */
  enter(): Place | undefined
  /** 503. What costs the least is said, and one of a second is recorded, with the number of those like it. */
  refusal(request: Pick<ApRequest, 'id' | 'method' | 'peer'>): OwnAnswer
}

/** @param log  told once a second while requests are refused */
export function shedding(load: Load, { audit, log }: { readonly audit: Audit; readonly log: Pick<Logger, 'warn'> }) {
  const door: Shedding = {
    enter: () => (load.overload === undefined ? load.enter() : undefined),
    refusal({ id, method, peer }) {
      const reason = load.overload ?? 'in-flight'
      const count = load.refused(reason, performance.now())
      if (count !== undefined) {
        audit.record('ut.refused', {
          requestId: id,
          step: 'arrive',
          method,
          code: 'AP_OVERLOADED',
          detail: reason,
          status: STATUS,
          source: peer,
        })
        log.warn({ reason, count, inFlight: load.state().inFlight }, 'ap.shedding')
      }
      const body = Buffer.from(JSON.stringify(problemOf(STATUS, id)))
      return { status: STATUS, headers: HEADERS, body }
    },
  }
  return door
}

const STATUS = 503
const HEADERS = { 'retry-after': '1', 'content-type': PROBLEM_JSON }

/** Tells the load how late this process is, until it is closed. */
export function watchLoop(load: Load): { close(): void } {
  let expectedAt = performance.now() + SAMPLE_MS
  const timer = setInterval(() => {
    const now = performance.now()
    load.late(now - expectedAt)
    expectedAt = now + SAMPLE_MS
  }, SAMPLE_MS).unref()
  return { close: () => clearInterval(timer) }
}

const SAMPLE_MS = 100
