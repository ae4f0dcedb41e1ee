/**
 * First come, first served; and who goes before its turn is taken out. It holds nobody who has left: the tables that a
 * Set leaves behind as it grows and shrinks do, until the collector goes through the whole heap.
 */
export class Queue<Item extends object> {
  /** Those who have left are undefined, for as long as somebody is behind them. */
  #items: (Item | undefined)[] = []
  /** Where the first one is. */
  #head = 0
  #size = 0

  get size(): number {
    return this.#size
  }

  get first(): Item | undefined {
    return this.#items[this.#head]
  }

  /** As it is now. */
  all(): readonly Item[] {
    return this.#items.filter((item) => item !== undefined)
  }

  add(item: Item): void {
    this.#items.push(item)
    this.#size++
  }

  delete(item: Item): void {
    const at = this.#items.at(-1) === item ? this.#items.length - 1 : this.#items.indexOf(item, this.#head)
    if (at < 0) return
    this.#items[at] = undefined
    this.#size--
    while (this.#head < this.#items.length && this.#items[this.#head] === undefined) this.#head++
    while (this.#items.length > this.#head && this.#items.at(-1) === undefined) this.#items.pop()
    if (this.#items.length - this.#size > (this.#size === 0 ? 0 : this.#size + MOST_LEFT)) this.#moveUp()
  }

  #moveUp(): void {
    this.#items = this.#items.filter((item) => item !== undefined)
    this.#head = 0
  }
}

/** Places of those who have left, beside as many as are left, before the others move up. */
const MOST_LEFT = 1024
