/** What a RankedMap holds: it leaves in the order of `rank`, lowest first. */
export interface Ranked {
  readonly key: string
  readonly rank: number
}

/**
 * A map that also knows its lowest rank: lookups cost what a Map costs, leaving in order costs a binary heap's log n.
 * Deleting leaves a dead slot in the heap, which goes when it surfaces or when dead slots outnumber the living.
 */
export class RankedMap<Entry extends Ranked> {
  readonly #entries = new Map<string, Entry>()
  #heap: Entry[] = []

  get size(): number {
    return this.#entries.size
  }

  get(key: string): Entry | undefined {
    return this.#entries.get(key)
  }

  /** Takes the place of an entry with the same key. */
  set(entry: Entry): void {
    this.#entries.set(entry.key, entry)
    this.#heap.push(entry)
    siftUp(this.#heap)
    this.#compact()
  }

  delete(key: string): boolean {
    const gone = this.#entries.delete(key)
    this.#compact()
    return gone
  }

  /** The entry of the lowest rank. */
  first(): Entry | undefined {
    for (let head = this.#heap[0]; head !== undefined; head = this.#heap[0]) {
      if (this.#entries.get(head.key) === head) return head
      pop(this.#heap)
    }
    return undefined
  }

  /** Takes the entry of the lowest rank out. */
  shift(): Entry | undefined {
    const head = this.first()
    if (head === undefined) return undefined
    pop(this.#heap)
    this.#entries.delete(head.key)
    return head
  }

  #compact(): void {
    if (this.#heap.length <= 2 * this.#entries.size + 64) return
    this.#heap = [...this.#entries.values()].sort((a, b) => a.rank - b.rank)
  }
}

function siftUp(heap: Ranked[]): void {
  let at = heap.length - 1
  const entry = heap[at]
  while (entry !== undefined && at > 0) {
    const above = (at - 1) >> 1
    const parent = heap[above]
    if (parent === undefined || parent.rank <= entry.rank) return
    heap[at] = parent
    heap[above] = entry
    at = above
  }
}

function pop(heap: Ranked[]): void {
  const last = heap.pop()
  if (last === undefined || heap.length === 0) return
  let at = 0
  for (;;) {
    const left = 2 * at + 1
    const below = rankAt(heap, left + 1) < rankAt(heap, left) ? left + 1 : left
    const child = heap[below]
    if (child === undefined || child.rank >= last.rank) break
    heap[at] = child
    at = below
  }
  heap[at] = last
}

const rankAt = (heap: readonly Ranked[], at: number): number => heap[at]?.rank ?? Number.POSITIVE_INFINITY
