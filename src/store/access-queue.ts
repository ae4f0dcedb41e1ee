import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises'
import type { Impu } from '../core/identity.ts'
import { GbaError } from '../errors.ts'
import { entriesIn, NO_ROWS, ownCopy, type Rows, withEntry } from './access-entries.ts'
import type { AccessEntry } from './store.ts'

/** What waits for one owner. */
export interface Waiting {
  /** From before the owner's own first: it counts only where a log has begun already. */
  readonly before: Rows
  /** The owner's own first, and what followed. */
  readonly since: Rows
}

/** How a store tells the queue what it does. */
export interface Leaving {
  /** This owner's entries are where a crash spares them. */
  readonly written: (owner: Impu) => void
  /** Between one write and the next, of so many that the whole takes: requests come between. */
  readonly pause: (writes: number) => Promise<unknown>
}

export interface AccessQueueOptions {
  readonly delayMs: number
  readonly maxWaiting: number
  /** Writes what leaves, one write at a time. Rejects with what kept an owner from being written: that one goes on waiting. */
  readonly write: (leaving: ReadonlyMap<Impu, Waiting>, told: Leaving) => Promise<void>
  readonly report: (error: unknown) => void
  /** Told of each entry that is dropped. */
  readonly onDropped?: (() => void) | undefined
}

/**
 * Entries on their way to the store. They wait together, so that a busy owner costs one write per delay; what does not
 * fit is dropped, refused tries at half the room already: their flood leaves the other half to requests that were let
 * through. What is being written is no longer among those that wait, and stays readable until it is written.
 */
export class AccessQueue {
  readonly #options: AccessQueueOptions
  #waiting = new Map<Impu, Waiting>()
  /** In the store's hands, or what it could not write. */
  #leaving = new Map<Impu, Waiting>()
  #size = 0
  #dropped = 0
  #isFailing = false
  #timer: NodeJS.Timeout | undefined
  #flushing: Promise<void> = Promise.resolve()
  /** Those for whom the queue is being written who will not wait for pauses. */
  #hurried = 0

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
    const waiting = this.#waiting.get(owner)
    const { before, since } = waiting ?? NOTHING
    const hasBegun = since.count > 0 || entry.actor === 'self'
    const more = withEntry(hasBegun ? since : before, entry)
    const name = waiting === undefined ? ownCopy(owner) : owner
    this.#waiting.set(name, hasBegun ? { before, since: more } : { before: more, since })
    this.#size++
    this.#schedule()
  }

  /** @param hasBegun whether there is a log of that owner already. @returns what has not been written of it */
  entriesOf(owner: Impu, hasBegun: boolean): AccessEntry[] {
    const entries: AccessEntry[] = []
    for (const one of [this.#leaving, this.#waiting]) {
      const { before, since } = one.get(owner) ?? NOTHING
      const counting = hasBegun || entries.length > 0 ? [before, since] : [since]
      for (const rows of counting) for (const entry of entriesIn(rows)) entries.push(entry)
    }
    return entries
  }

  /** @throws what the store says when it does not take all; the entries go on waiting */
  async flush(): Promise<void> {
    this.#hurried++
    try {
      await this.#flushInTurn()
    } finally {
      this.#hurried--
    }
  }

  async close(): Promise<void> {
    clearTimeout(this.#timer)
    await this.flush()
    clearTimeout(this.#timer)
  }

  #flushInTurn(): Promise<void> {
    const flushed = this.#flushing.then(() => this.#writeAll())
    this.#flushing = flushed.catch(() => {})
    return flushed
  }

  async #writeAll(): Promise<void> {
    // What could not be written the last time goes first.
    await this.#writeLeaving()
    // Who comes back while this runs waits for the next time: a busy owner would keep it going for ever.
    ;[this.#leaving, this.#waiting] = [this.#waiting, this.#leaving]
    this.#size = 0
    await this.#writeLeaving()
    const dropped = this.#dropped
    this.#dropped = 0
    if (dropped > 0) this.#options.report(new GbaError('STORE_UNAVAILABLE', `access log lost ${dropped} entries`))
  }

  async #writeLeaving(): Promise<void> {
    const leaving = this.#leaving
    if (leaving.size === 0) return
    const written = (owner: Impu) => {
      leaving.delete(owner)
    }
    await this.#options.write(leaving, { written, pause: (writes) => this.#pause(writes) })
    if (leaving.size > 0) throw new Error('a store has left entries unwritten and does not say why')
  }

  #pause(writes: number): Promise<unknown> {
    const pauseMs = Math.min(MAX_PAUSE_MS, Math.floor(this.#options.delayMs / SHARE_OF_PAUSES / writes))
    return this.#hurried > 0 || pauseMs < 1 ? nextTurn() : delay(pauseMs)
  }

  #schedule(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#flushInTurn().then(
        () => {
          this.#isFailing = false
        },
        (error: unknown) => {
          if (!this.#isFailing) this.#options.report(error)
          this.#isFailing = true
          this.#schedule()
        },
      )
    }, this.#options.delayMs).unref()
  }
}

const NOTHING: Waiting = { before: NO_ROWS, since: NO_ROWS }

/** Between the writes of what came in within one delay, where nobody waits for them: requests have most of the time. */
const MAX_PAUSE_MS = 20
/** All pauses together take this part of the delay at most. */
const SHARE_OF_PAUSES = 4
