interface Slot<Value> {
  value: Value
  /** How many had been added when it was last put behind all others. */
  placedAt: number
}

/**
 * A map of bounded size: for a new entry, the one longest out of use goes. An entry that is used moves behind all others
 * only once an eighth of the bound was added since it last did: where little is new, a hit costs a lookup and no more.
 * So the one that goes was not used for longer than others, or for less than that many new entries longer than they.
 */
export class RecentMap<Key, Value> {
  readonly #most: number
  readonly #slots = new Map<Key, Slot<Value>>()
  #added = 0

  constructor(most: number) {
    this.#most = most
  }

  get size(): number {
    return this.#slots.size
  }

  /** The value, which thereby is in use. */
  get(key: Key): Value | undefined {
    const slot = this.#slots.get(key)
    if (slot === undefined) return undefined
    if (this.#added - slot.placedAt >= this.#most >> 3) this.#place(key, slot)
    return slot.value
  }

  /** Takes the place of what has that key. */
  set(key: Key, value: Value): void {
    const slot = this.#slots.get(key)
    if (slot !== undefined) {
      slot.value = value
      this.#place(key, slot)
      return
    }
    if (this.#slots.size >= this.#most) {
      const oldest = this.#slots.keys().next()
      if (!oldest.done) this.#slots.delete(oldest.value)
    }
    this.#added++
    this.#slots.set(key, { value, placedAt: this.#added })
  }

  delete(key: Key): void {
    this.#slots.delete(key)
  }

  /** Lets go of every entry that is over. */
  sweep(isOver: (value: Value, key: Key) => boolean): void {
    for (const [key, { value }] of this.#slots) if (isOver(value, key)) this.#slots.delete(key)
  }

  #place(key: Key, slot: Slot<Value>): void {
    slot.placedAt = this.#added
    this.#slots.delete(key)
    this.#slots.set(key, slot)
  }
}
