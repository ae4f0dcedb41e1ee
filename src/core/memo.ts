/** How much a memo may hold. */
export interface MemoBounds {
  /** Most that it knows. */
  readonly most: number
  /** Longest text that it knows; of a longer one the value is made each time. */
  readonly longest: number
}

/**
 * Remembers what was made of texts that come again and again, and be it by a stranger's will: so it is bounded in number
 * and length, and when it is full it forgets all, for what comes often is soon in it again. What cannot be made is never
 * remembered. Values are shared by all who ask, so they have to be immutable.
 */
export class Memo<Value extends NonNullable<unknown>> {
  readonly #make: (text: string) => Value
  readonly #bounds: MemoBounds
  readonly #known = new Map<string, Value>()

  /** @param make  a function of the text alone */
  constructor(make: (text: string) => Value, bounds: MemoBounds) {
    this.#make = make
    this.#bounds = bounds
  }

  /** How much it knows. */
  get size(): number {
    return this.#known.size
  }

  /** @throws what making it throws */
  of(text: string): Value {
    if (text.length > this.#bounds.longest) return this.#make(text)
    const known = this.#known.get(text)
    if (known !== undefined) return known
    const own = ownCopyOf(text)
    const made = this.#make(own)
    if (this.#known.size >= this.#bounds.most) this.#known.clear()
    this.#known.set(own, made)
    return made
  }
}

/**
 * Remembers one value for each of the objects that were asked about last, as long as the object lives: for what is made
 * of keys and settings, and has to go with them. Bounded as a memo of texts is.
 */
export class WeakMemo<Key extends object, Value extends NonNullable<unknown>> {
  readonly #most: number
  #known = new WeakMap<Key, Value>()
  #count = 0

  /** @param most  of the values that it keeps */
  constructor(most: number) {
    this.#most = most
  }

  get(key: Key): Value | undefined {
    return this.#known.get(key)
  }

  /** Takes the place of what was kept for this object. */
  keep(key: Key, value: Value): void {
    if (this.#count >= this.#most) {
      this.#known = new WeakMap()
      this.#count = 0
    }
    this.#count++
    this.#known.set(key, value)
  }
}

/** The same text, holding on to nothing else: a part of a header line keeps the whole line in memory. */
export function ownCopyOf(text: string): string {
  const copy = Buffer.from(text, 'latin1').toString('latin1')
  return copy === text ? copy : Buffer.from(text, 'utf16le').toString('utf16le')
}
