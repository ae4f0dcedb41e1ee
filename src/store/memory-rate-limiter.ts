import { hash, randomBytes } from 'node:crypto'
import { CLOCK_SLACK_US, microseconds, paceOf, step } from './gcra.ts'
import { type Ranked, RankedMap } from './ranked-map.ts'
import type { RateLimiter } from './store.ts'

/** Rates of one process; `rank` is when the key is free. */
export function memoryRateLimiter({ maxKeys }: { readonly maxKeys: number }): RateLimiter & { readonly size: number } {
  const debtors = new RankedMap<Ranked>()
  // Every key takes the same room, whoever chose it.
  const secret = randomBytes(32).toString('base64url')
  const nameOf = (key: string) => hash('sha256', `${secret}${key}`, 'base64url')

  /** A clock may go back a little: until then a debt is not forgotten. */
  function dropFree(nowUs: number, most: number): number {
    for (let dropped = 0; dropped < most; dropped++) {
      const head = debtors.first()
      if (head === undefined || head.rank + CLOCK_SLACK_US > nowUs) return dropped
      debtors.shift()
    }
    return most
  }

  function dropFirstBut(name: string): void {
    const first = debtors.shift()
    if (first?.key !== name) return
    debtors.shift()
    debtors.set(first)
  }

  return {
    async take(key, rate, now, cost = 1) {
      const name = nameOf(key)
      const { freeAtUs, ...taken } = step(debtors.get(name)?.rank, paceOf(rate), now, cost)
      if (freeAtUs !== debtors.get(name)?.rank) debtors.set({ key: name, rank: freeAtUs })
      dropFree(microseconds(now), 2)
      if (debtors.size > maxKeys) dropFirstBut(name)
      return taken
    },
    async sweep(now) {
      return dropFree(microseconds(now), Number.POSITIVE_INFINITY)
    },
    get size() {
      return debtors.size
    },
  }
}
