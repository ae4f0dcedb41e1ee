import { setTimeout as delay } from 'node:timers/promises'

/** What became of requests that were due at fixed instants. */
export interface Paced {
  /** How many had each outcome. */
  readonly outcomes: Readonly<Record<string, number>>
  /** From when each was due, by outcome: a client that had to wait for its turn waited, too. */
  readonly latenciesMs: Readonly<Record<string, readonly number[]>>
}

export interface PaceOptions {
  readonly perS: number
  readonly seconds: number
  /** The nth request. @returns its outcome */
  readonly send: (n: number) => Promise<string>
  /** Told of each. */
  readonly onOutcome?: (outcome: string) => void
}

/** Sends at a rate, whatever the answers do: a server that is slow is not asked less. */
export async function paced({ perS, seconds, send, onOutcome }: PaceOptions): Promise<Paced> {
  const outcomes: Record<string, number> = {}
  const latenciesMs: Record<string, number[]> = {}
  const begin = performance.now()
  const total = Math.round(perS * seconds)
  const underWay = new Set<Promise<void>>()
  for (let n = 0; n < total; ) {
    const dueMs = begin + (n * 1000) / perS
    const waitMs = dueMs - performance.now()
    // Always: answers are to be heard in between.
    await delay(Math.max(1, waitMs))
    // All that are due: a timer may be late.
    for (const until = performance.now(); n < total && begin + (n * 1000) / perS <= until; n++) {
      const dueAt = begin + (n * 1000) / perS
      const one = send(n).then((outcome) => {
        outcomes[outcome] = (outcomes[outcome] ?? 0) + 1
        const latencies = latenciesMs[outcome] ?? []
        latenciesMs[outcome] = latencies
        latencies.push(performance.now() - dueAt)
        onOutcome?.(outcome)
      })
      underWay.add(one)
      void one.finally(() => underWay.delete(one))
    }
  }
  await Promise.all(underWay)
  return { outcomes, latenciesMs }
}

/** @param part  0.99 for p99 */
export function quantile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN
}

export const median = (values: readonly number[]): number => quantile(values, 0.5)

/** Hands out what is idle, to who asked first. */
export function idlePool<Item>(items: readonly Item[]) {
  const idle = [...items]
  const waiting: ((item: Item) => void)[] = []
  return {
    async use<Result>(work: (item: Item) => Promise<Result>): Promise<Result> {
      const item = idle.pop() ?? (await new Promise<Item>((resolve) => waiting.push(resolve)))
      try {
        return await work(item)
      } finally {
        const next = waiting.shift()
        if (next) next(item)
        else idle.unshift(item)
      }
    },
  }
}
