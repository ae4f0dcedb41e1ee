/** One number, under the labels that make it out among those of its metric. */
export interface Sample {
  readonly labels?: Readonly<Record<string, string>>
  readonly value: number
  /** Of a histogram: the part of it that this is. */
  readonly metricName?: string
}

/**
 * Counts by one key. Counting one more costs a look into a map: no label is built until somebody asks.
 * Bounded, whatever comes: keys past the first so many count together as `other`.
 */
export class Tally {
  readonly #counts = new Map<string, { n: number }>()
  readonly #maxKeys: number

  constructor(maxKeys = MAX_KEYS) {
    this.#maxKeys = maxKeys
  }

  add(key: string): void {
    const count = this.#counts.get(key)
    if (count) count.n++
    else if (this.#counts.size < this.#maxKeys || key === OTHER) this.#counts.set(key, { n: 1 })
    else this.add(OTHER)
  }

  count(key: string): number {
    return this.#counts.get(key)?.n ?? 0
  }

  /** @param label  under which the key is told */
  samples(label: string, labels?: Sample['labels']): Sample[] {
    return [...this.#counts].map(([key, { n }]) => ({ labels: { ...labels, [label]: key }, value: n }))
  }
}

/** More than any closed set here has; what a configuration names may be more, and then does not matter so much. */
const MAX_KEYS = 500
const OTHER = 'other'

/** Upper ends, in milliseconds. */
const BUCKETS_MS = [1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000] as const

/** How long something took, as a histogram. */
export class Durations {
  /** How many fell between one end and the next; the last are those past all ends. */
  readonly #counts = new Float64Array(BUCKETS_MS.length + 1)
  #sumMs = 0

  add(ms: number): void {
    let at = 0
    while (at < BUCKETS_MS.length && ms > (BUCKETS_MS[at] ?? 0)) at++
    this.#counts[at] = (this.#counts[at] ?? 0) + 1
    this.#sumMs += ms
  }

  /** In seconds, as Prometheus has it: each bucket holds what is in those before it. */
  samples(name: string, labels: Readonly<Record<string, string>> = {}): Sample[] {
    let count = 0
    const buckets = [...this.#counts].map((n, at): Sample => {
      count += n
      const end = BUCKETS_MS[at]
      const le = end === undefined ? '+Inf' : String(end / 1000)
      return { metricName: `${name}_bucket`, labels: { ...labels, le }, value: count }
    })
    return [
      ...buckets,
      { metricName: `${name}_sum`, labels, value: this.#sumMs / 1000 },
      { metricName: `${name}_count`, labels, value: count },
    ]
  }
}

/** The value of a key, made when it is first asked for. */
export function cellOf<Cell>(cells: Map<string, Cell>, key: string, make: () => Cell): Cell {
  const there = cells.get(key)
  if (there !== undefined) return there
  const made = make()
  cells.set(key, made)
  return made
}
