export interface LineOptions {
  /** Longest wait of those that are served, ms, as it is now; 0: any. */
  readonly maxWaitMs: () => number
  /** ms */
  readonly now: () => number
  /** Calls back once everything else that is ready was looked at. */
  readonly nextTurn: (go: () => void) => void
}

/** Told how long it has waited, when its turn comes, and whether it is too late for it. */
export type Waiter = (waitedMs: number, isLate: boolean) => void

interface Waiting {
  readonly waiter: Waiter
  readonly since: number
}

/**
 * Requests that wait for the process. As long as a turn of the event loop is short, all that come in it begin at once. The
 * rest wait in here until everything else that is ready was looked at, and a few of them begin in each turn: so no answer
 * of an application server is behind hundreds of requests that nobody has begun with, and it is known how long they wait.
 *
 * First come, first served, until the first one has waited for longer than it may. Then there is more to do than can be
 * done: the last one is served, until the wait is half of that, and the first ones are refused. So who is served has
 * hardly waited, where each would have waited for too long. They are not refused sooner than needed: a refusal is work as
 * well, some quarter of a request, and its client comes back with the next one.
 */
export class Line {
  readonly #options: LineOptions
  /** In the order in which they came. */
  readonly #waiting: Waiting[] = []
  #isLastFirst = false
  /** Whether a turn is under way, since when, and how many began in it at once. */
  #isBusy = false
  #since = 0
  #begun = 0

  constructor(options: LineOptions) {
    this.#options = options
  }

  /** Those that wait. */
  get length(): number {
    return this.#waiting.length
  }

  /** Calls it back when it is its turn, now or later. It must not throw. */
  enter(waiter: Waiter): void {
    const { nextTurn, now } = this.#options
    const at = now()
    if (!this.#isBusy) {
      this.#isBusy = true
      this.#since = at
      this.#begun = 0
      nextTurn(this.#turn)
    }
    if (this.length > 0 || this.#begun >= AT_ONCE || at - this.#since >= LONG_TURN_MS) {
      this.#waiting.push({ waiter, since: at })
      return
    }
    this.#begun++
    waiter(0, false)
  }

  readonly #turn = (): void => {
    try {
      for (let i = 0; i < OF_A_TURN && this.length > 0; i++) this.#next()
    } finally {
      // Where one throws all the same, the others are not to wait for ever.
      this.#isBusy = this.length > 0
      if (this.#isBusy) this.#options.nextTurn(this.#turn)
    }
  }

  #next(): void {
    const { maxWaitMs, now } = this.#options
    const [first] = this.#waiting
    if (!first) return
    const at = now()
    const mostMs = this.length < LEAST ? 0 : maxWaitMs()
    const waitedMs = at - first.since
    this.#isLastFirst = mostMs > 0 && waitedMs > (this.#isLastFirst ? mostMs / 2 : mostMs)
    const candidate = this.#isLastFirst ? (this.#waiting.at(-1) ?? first) : first
    const isLate = mostMs > 0 && (waitedMs > REFUSED_AFTER * mostMs || at - candidate.since > mostMs)
    const next = isLate || !this.#isLastFirst ? this.#waiting.shift() : this.#waiting.pop()
    next?.waiter(at - next.since, isLate)
  }
}

/** What is ready at one time is more than that only where it is too much, or the process has a share of a CPU only. */
const LONG_TURN_MS = 50
const AT_ONCE = 128

/** Requests that begin in a turn where some wait: a millisecond or two of work. */
const OF_A_TURN = 16

/** In longest waits of those that are served. */
const REFUSED_AFTER = 3

/** Where fewer wait it is something else that takes long, and to refuse them would not help. */
const LEAST = 16
