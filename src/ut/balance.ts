/** One address as a choice sees it. */
export interface Candidate {
  readonly url: string
  /** Requests under way there. */
  readonly inFlight: number
  /** Share of what comes that it is to have, above 0 and up to 1. */
  readonly weight: number
}

/**
 * The weight of an address that came back: from a tenth to the whole, in a straight line.
 * @param rampMs 0: the whole at once
 */
export function weightOf(restoredAt: number, rampMs: number, now: number): number {
  const since = now - restoredAt
  return since >= rampMs ? 1 : Math.max(LEAST_WEIGHT, since / rampMs)
}

const LEAST_WEIGHT = 0.1

/** The one with the fewest requests under way for its weight. @param turn which of equals: the next call, the next one */
export function leastLoaded<Of extends Candidate>(candidates: readonly Of[], turn: number): Of | undefined {
  let best: Of | undefined
  let least = Infinity
  for (let i = 0; i < candidates.length; i++) {
    const candidate = candidates[(i + turn) % candidates.length]
    if (candidate === undefined) continue
    const load = (candidate.inFlight + 1) / candidate.weight
    if (load >= least) continue
    least = load
    best = candidate
  }
  return best
}

/**
 * The one that a key belongs to, by rendezvous hashing: where an address goes or comes, only the keys that are its own
 * move, and while its weight grows they come one after the other.
 */
export function rendezvous<Of extends Candidate>(candidates: readonly Of[], key: string): Of | undefined {
  let best: Of | undefined
  let most = -Infinity
  for (const candidate of candidates) {
    // Between 0 and 1, neither of them.
    const drawn = (hash(`${candidate.url} ${key}`) + 0.5) / 2 ** 32
    const score = -candidate.weight / Math.log(drawn)
    if (score <= most) continue
    most = score
    best = candidate
  }
  return best
}

/** FNV-1a over UTF-16 code units, with the finaliser of MurmurHash3: quick, and even in its high bits. Nothing secret. */
function hash(text: string): number {
  let sum = 0x811c9dc5
  for (let i = 0; i < text.length; i++) sum = Math.imul(sum ^ text.charCodeAt(i), 0x01000193)
  sum = Math.imul(sum ^ (sum >>> 16), 0x85ebca6b)
  sum = Math.imul(sum ^ (sum >>> 13), 0xc2b2ae35)
  return (sum ^ (sum >>> 16)) >>> 0
}
