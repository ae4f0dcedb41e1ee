import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises'
import type { Impu } from '../core/identity.ts'
import { GbaError } from '../errors.ts'
import type { AccessEntry } from './store.ts'

/** What waits for one owner. */
export interface Waiting {
  /** From before the owner's own first: it counts only where a log has begun already. */
  readonly before: readonly AccessEntry[]
  /** The owner's own first, and what followed. */
  readonly since: readonly AccessEntry[]
}

export interface AccessQueueOptions {
  readonly delayMs: number
  readonly maxWaiting: number
  /** Writes as many owners as suit it, in their order. @returns which ones; it throws when it wrote none */
  readonly write: (waiting: ReadonlyMap<Impu, Waiting>) => readonly Impu[]
  readonly report: (error: unknown) => void
  /** Told of each entry that is dropped. */
  readonly onDropped?: (() => void) | undefined
}

/**
 * Entries on their way to the disk. They wait together, so that a busy owner costs one write per delay; what does not
 * fit is dropped, refused tries at half the room already: their flood leaves the other half to requests that were let
 * through.
 */
export class AccessQueue {
  readonly #options: AccessQueueOptions
  readonly #waiting = new Map<Impu, { readonly before: AccessEntry[]; readonly since: AccessEntry[] }>()
  #size = 0
  #dropped = 0
  #isFailing = false
  #timer: NodeJS.Timeout | undefined

  constructor(options: AccessQueueOptions) {
    this.#options = options
  }

  add(owner: Impu, entry: AccessEntry): void {
    const { maxWaiting } = this.#options
    if (this.#size >= (entry.actor === 'refused' ? maxWaiting / 2 : maxWaiting)) {
      this.#dropped++
      this.#options.onDropped?.()
      return
    }
    const waiting = this.#waiting.get(owner) ?? { before: [], since: [] }
    const hasBegun = waiting.since.length > 0 || entry.actor === 'self'
    ;(hasBegun ? waiting.since : waiting.before).push(entry)
    this.#waiting.set(owner, waiting)
    this.#size++
    this.#schedule()
  }

  waitingFor(owner: Impu): Waiting {
    return this.#waiting.get(owner) ?? { before: [], since: [] }
  }

  /** @throws what the store says when it takes nothing; the entries go on waiting */
  async flush(pauseMs = 0): Promise<void> {
    // Who comes back while this runs waits for the next time: a busy owner would keep it going for ever.
    for (let left = this.#waiting.size; left > 0 && this.#waiting.size > 0; ) {
      const written = this.#options.write(this.#waiting)
      for (const owner of written) this.#forget(owner)
      left -= Math.max(1, written.length)
      // Requests come between: each write blocks the process for as long as its disk takes.
      if (left > 0) await (pauseMs > 0 && left < MANY_OWNERS ? delay(pauseMs) : nextTurn())
    }
    const dropped = this.#dropped
    this.#dropped = 0
    if (dropped > 0) this.#options.report(new GbaError('STORE_UNAVAILABLE', `access log lost ${dropped} entries`))
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer)
    await this.flush()
  }

  #forget(owner: Impu): void {
    const { before, since } = this.waitingFor(owner)
    this.#size -= before.length + since.length
    this.#waiting.delete(owner)
  }

  #schedule(): void {
    this.#timer ??= setTimeout(() => {
      this.flush(PAUSE_MS)
        .then(
          () => {
            this.#isFailing = false
          },
          (error: unknown) => {
            if (!this.#isFailing) this.#options.report(error)
            this.#isFailing = true
          },
        )
        .finally(() => {
          this.#timer = undefined
          if (this.#size > 0) this.#schedule()
        })
    }, this.#options.delayMs).unref()
  }
}

/** Between the writes of what came in within one delay, where nobody waits for them. */
const PAUSE_MS = 20

/** As many would not be written within the delay, with pauses. */
const MANY_OWNERS = 1000
