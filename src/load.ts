/** How much is taken on at a time. */
export interface LoadLimits {
  /** Requests under way. */
  readonly inFlight: number
  /** How long a request may wait for the process to be served; 0: it does not matter. */
  readonly maxLoopDelayMs: number
}

export type Overload = 'in-flight' | 'loop-delay'

/** What is known of the load, for metrics. */
export interface LoadState {
  readonly inFlight: number
  /** Requests that were not taken on, by why. */
  readonly refused: Readonly<Record<Overload, number>>
}

/** One request's part of the load. */
export interface Place {
  /** It waits for its client, who may be slow: that is no load. */
  pause(): void
  resume(): void
  /** It is over; any further call does nothing. */
  leave(): void
}

class Taken implements Place {
  readonly #count: (by: 1 | -1) => void
  #isCounted = true
  #isOver = false

  constructor(count: (by: 1 | -1) => void) {
    this.#count = count
  }

  pause(): void {
    if (this.#isCounted) this.#count(-1)
    this.#isCounted = false
  }

  resume(): void {
    if (this.#isCounted || this.#isOver) return
    this.#isCounted = true
    this.#count(1)
  }

  leave(): void {
    this.#isOver = true
    this.pause()
  }
}

/** What one process has taken on, and whether it takes on more. Pure: who calls tells the time. */
export class Load {
  #limits: LoadLimits
  readonly #refused: Record<Overload, number> = { 'in-flight': 0, 'loop-delay': 0 }
  #inFlight = 0
  #toldAt = -Infinity
  #untold = 0

  constructor(limits: LoadLimits) {
    this.#limits = limits
  }

  /** From now on; what is under way goes on, though it be more than that. */
  limit(limits: LoadLimits): void {
    this.#limits = limits
  }

  /** Why nothing more is taken on; undefined: something is. */
  get overload(): Overload | undefined {
    return this.#inFlight >= this.#limits.inFlight ? 'in-flight' : undefined
  }

  get maxLoopDelayMs(): number {
    return this.#limits.maxLoopDelayMs
  }

  enter(): Place {
    this.#inFlight++
    return new Taken(this.#count)
  }

  readonly #count = (by: 1 | -1): void => {
    this.#inFlight += by
  }

  /**
   * Counts a request that is not taken on.
   * @param now ms
   * @returns how many there were since one was told of, this one included; undefined: that was less than a second ago
   */
  refused(why: Overload, now: number): number | undefined {
    this.#refused[why]++
    this.#untold++
    if (now - this.#toldAt < TELL_EVERY_MS) return undefined
    const count = this.#untold
    this.#toldAt = now
    this.#untold = 0
    return count
  }

  state(): LoadState {
    return { inFlight: this.#inFlight, refused: { ...this.#refused } }
  }
}

const TELL_EVERY_MS = 1000
