import { ownCopyOf } from '../core/memo.ts'
import { RecentMap } from '../core/recent-map.ts'
import type { ToleranceName } from '../core/tolerances.ts'

/**
 * In what order a UE counts its nonce counts, as far as this process has seen: it names the deviation and decides
 * nothing; that a count is used once is the ledger's word.
 */
export class NcHabit {
  readonly #highest: RecentMap<string, { count: number }>

  constructor(maxNonces: number) {
    this.#highest = new RecentMap(maxNonces)
  }

  /** The deviation of this count from 1, 2, 3, …; undefined when there is none. */
  deviation(nonce: string, nc: number): ToleranceName | undefined {
    const highest = this.#highest.get(nonce)?.count
    if (highest === undefined) return nc === 1 ? undefined : 'nc-not-reset'
    if (nc === highest + 1) return undefined
    if (nc <= highest) return 'nc-out-of-order'
    return nc === decimalSuccessor(highest) ? 'nc-decimal' : 'nc-gap'
  }

  /** To be told of accepted counts only. */
  accepted(nonce: string, nc: number): void {
    const highest = this.#highest.get(nonce)
    if (highest === undefined) this.#highest.set(ownCopyOf(nonce), { count: nc })
    else if (nc > highest.count) highest.count = nc
  }
}

/** What follows a count for a UE that prints it in decimal digits: 09 is followed by 10, which reads as sixteen. */
function decimalSuccessor(count: number): number | undefined {
  const digits = count.toString(16)
  return /^[0-9]+$/.test(digits) ? Number.parseInt(String(Number(digits) + 1), 16) : undefined
}
