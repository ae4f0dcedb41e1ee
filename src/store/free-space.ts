export interface FreeSpaceOptions {
  /** Octets free to this user, as the system says now. */
  readonly ask: () => number
  /** What must stay free. */
  readonly minFreeBytes: number
  /** Milliseconds of a clock that never goes back. */
  readonly clock?: () => number
}

/**
 * How much of a file system is free. The system is asked each time when little is, and ten times a second while there is
 * so much that nobody fills it in between.
 */
export class FreeSpace {
  readonly #options: FreeSpaceOptions
  readonly #clock: () => number
  readonly #plenty: number
  #last = 0
  #askedAt = Number.NEGATIVE_INFINITY

  constructor(options: FreeSpaceOptions) {
    this.#options = options
    this.#clock = options.clock ?? (() => performance.now())
    this.#plenty = Math.max(PLENTY, PLENTY_TIMES * options.minFreeBytes)
  }

  /** Octets; true of now, or of less than `STALE_MS` ago. */
  bytes(): number {
    const now = this.#clock()
    if (this.#last >= this.#plenty && now - this.#askedAt < STALE_MS) return this.#last
    this.#last = this.#options.ask()
    this.#askedAt = now
    return this.#last
  }
}

const STALE_MS = 100
/** Ten gigabytes a second would have to be written to use it up unseen. */
const PLENTY = 1024 ** 3
const PLENTY_TIMES = 4
