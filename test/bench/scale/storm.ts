/** More bootstraps at once than the BSFs can serve. */
export interface Storm {
  /** UEs that want a bootstrap, in each second. */
  readonly arrivals: readonly number[]
  /** Bootstraps that all BSFs together finish in a second. */
  readonly perSecond: number
  /** Seconds after which a UE gives up on an answer. */
  readonly patienceS: number
  /** A UE that got none, or 503, tries again after so long, and up to twice as long. */
  readonly retryS: number
  /** It doubles with each try, up to this; equal to `retryS`: it does not. */
  readonly retryMaxS: number
  /**
   * queue: everybody waits, and what has waited too long costs its vector for nobody. shed: beyond `shedBeyondS` of
   * work a UE is turned away at once, for `shedCost` of a bootstrap and without a vector.
   */
  readonly policy: 'queue' | 'shed'
  readonly shedBeyondS: number
  readonly shedCost: number
  readonly giveUpAfterS: number
}

export interface StormOutcome {
  /** Seconds from the start until nobody waits any more; undefined: not within `giveUpAfterS`. */
  readonly overAfterS: number | undefined
  readonly arrived: number
  readonly served: number
  readonly waiting: number
  /** To try again. */
  readonly away: number
  readonly turnedAway: number
  readonly wastedVectors: number
  readonly vectorsPerLogin: number
  /** The longest that one who was served waited in line. */
  readonly longestWaitS: number
  /** Challenges that nobody will answer, at most at a time. */
  readonly pendingChallenges: number
}

/** How long the BSF keeps a challenge. */
const CHALLENGE_S = 60

/** Second by second; first come, first served. */
export function simulateStorm(storm: Storm): StormOutcome {
  const { arrivals, perSecond, patienceS, policy, giveUpAfterS } = storm
  const pauses = pausesOf(storm)
  /** By how often they have tried, and by the second in which they try again. */
  const returning = pauses.map(() => new Float64Array(giveUpAfterS + 2 * storm.retryMaxS + 2))
  const abandoned = new Float64Array(giveUpAfterS + 1)
  const line: { readonly since: number; readonly tries: number; count: number }[] = []
  let head = 0
  let [waiting, away, served, arrived, turnedAway, wasted] = [0, 0, 0, 0, 0, 0]
  let [longestWaitS, pending, pendingChallenges] = [0, 0, 0]
  let overAfterS: number | undefined
  const comeAgain = (second: number, count: number, tries: number) => {
    const level = Math.min(tries, pauses.length - 1)
    const [pause = 1, into] = [pauses[level], returning[level]]
    away += count
    for (let at = second + pause + 1; into && at <= second + 2 * pause; at++) into[at] = (into[at] ?? 0) + count / pause
  }
  for (let second = 0; second < giveUpAfterS; second++) {
    const again = returning.map((seconds, tries) => ({ tries: tries + 1, count: seconds[second] ?? 0 }))
    const coming = [{ tries: 0, count: arrivals[second] ?? 0 }, ...again].filter(({ count }) => count > 0)
    const all = coming.reduce((total, { count }) => total + count, 0)
    arrived += arrivals[second] ?? 0
    away -= all - (arrivals[second] ?? 0)
    const room = policy === 'shed' ? Math.max(0, perSecond * (1 + storm.shedBeyondS) - waiting) : all
    const letIn = all > room ? room / all : 1
    let budget = Math.max(0, perSecond - all * (1 - letIn) * storm.shedCost)
    for (const { tries, count } of coming) {
      if (letIn > 0) line.push({ since: second, tries, count: count * letIn })
      waiting += count * letIn
      if (letIn < 1) comeAgain(second, count * (1 - letIn), tries)
    }
    turnedAway += all * (1 - letIn)
    let late = 0
    for (let first = line[head]; first !== undefined && budget > 1e-9; first = line[head]) {
      const taken = Math.min(first.count, budget)
      first.count -= taken
      waiting -= taken
      budget -= taken
      if (second - first.since > patienceS) {
        late += taken
        comeAgain(second, taken, first.tries)
      } else {
        served += taken
        longestWaitS = Math.max(longestWaitS, second - first.since)
      }
      if (first.count <= 1e-9) {
        waiting -= first.count
        head++
      }
    }
    // It gave up when its patience ended; its next try is counted from when that is found out.
    wasted += late
    abandoned[second] = late
    pending += late - (abandoned[second - CHALLENGE_S] ?? 0)
    pendingChallenges = Math.max(pendingChallenges, pending)
    const isOver = second >= arrivals.length && waiting + away < Math.max(1, arrived * 1e-6)
    if (isOver) {
      overAfterS = second
      break
    }
  }
  return {
    ...{ overAfterS, arrived, served, waiting, away, turnedAway, longestWaitS, pendingChallenges },
    wastedVectors: wasted,
    vectorsPerLogin: served > 0 ? (served + wasted) / served : 0,
  }
}

function pausesOf({ retryS, retryMaxS }: Storm): number[] {
  const pauses = [retryS]
  for (let pause = 2 * retryS; pause <= retryMaxS; pause *= 2) pauses.push(pause)
  return pauses
}
