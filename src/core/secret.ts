import { createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto'

const inspect = Symbol.for('nodejs.util.inspect.custom')

/** Key material. It shows itself to nobody by accident: `expose(` is the one word to grep for. */
export class Secret {
  readonly #octets: Uint8Array
  #key: KeyObject | undefined

  constructor(octets: Uint8Array) {
    this.#octets = Uint8Array.from(octets)
  }

  /** @param length what the caller relies on; a RangeError when the secret has another one */
  expose(length?: number): Uint8Array {
    if (length !== undefined && length !== this.#octets.length) {
      throw new RangeError(`secret has ${this.#octets.length} octets, not ${length}`)
    }
    return this.#octets
  }

  /** For MACs and ciphers, also for one alone: octets would be wrapped each time, at some 12 us more than this costs. */
  keyObject(): KeyObject {
    this.#key ??= createSecretKey(this.#octets)
    return this.#key
  }

  get length(): number {
    return this.#octets.length
  }

  /** Constant time for equal lengths; lengths are not secret. */
  equals(other: Secret): boolean {
    return this.#octets.length === other.#octets.length && timingSafeEqual(this.#octets, other.#octets)
  }

  wipe(): void {
    this.#octets.fill(0)
    this.#key = undefined
  }

  toString(): string {
    return '[secret]'
  }

  toJSON(): string {
    return '[secret]'
  }

  [inspect](): string {
    return '[secret]'
  }
}
