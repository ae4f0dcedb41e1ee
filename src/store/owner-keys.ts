import type { Impu } from '../core/identity.ts'
import { ownCopy } from './access-entries.ts'
import { recordKey, type SealKeys } from './seal.ts'

const OCTETS = 32
/** Of an owner that is remembered: few are longer, and strangers may name any. */
const LONGEST = 128

interface Generation {
  readonly places: Map<Impu, number>
  readonly keys: Uint8Array
}

/**
 * The keys under which owners' records are kept, remembered for those who came lately: to compute one costs half as much
 * as to seal an entry. Of two generations the older one goes when the younger is full.
 */
export class OwnerKeys {
  readonly #keys: SealKeys
  readonly #database: string
  readonly #most: number
  #young: Generation
  #old: Generation | undefined

  /** @param most  owners of one generation; each takes 300 octets at most. 65,536 by default */
  constructor(keys: SealKeys, database: string, most = 65_536) {
    this.#keys = keys
    this.#database = database
    this.#most = most
    this.#young = this.#generation()
  }

  /** 32 octets, which are not to be changed. */
  of(owner: Impu): Uint8Array {
    const young = keyIn(this.#young, owner)
    if (young !== undefined) return young
    const key = (this.#old && keyIn(this.#old, owner)) ?? recordKey(this.#keys, this.#database, owner)
    if (owner.length > LONGEST) return key
    if (this.#young.places.size >= this.#most) {
      this.#old = this.#young
      this.#young = this.#generation()
    }
    const { places, keys } = this.#young
    keys.set(key, OCTETS * places.size)
    places.set(ownCopy(owner), places.size)
    return key
  }

  #generation(): Generation {
    return { places: new Map(), keys: new Uint8Array(OCTETS * this.#most) }
  }
}

function keyIn({ places, keys }: Generation, owner: Impu): Uint8Array | undefined {
  const place = places.get(owner)
  return place === undefined ? undefined : keys.subarray(OCTETS * place, OCTETS * (place + 1))
}
