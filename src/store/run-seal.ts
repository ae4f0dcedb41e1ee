import { createCipheriv, createHmac, createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import { concat, toHex, utf8 } from '../core/bytes.ts'
import type { Secret } from '../core/secret.ts'
import { boundTo, deciphered, type SealKeys, type SealPlace, unseal } from './seal.ts'

const VERSION = 2
const HEAD = 5 // version, key id
const RUN = 16
const COUNTER = 4
const TAG = 16
const IV = 12

/** Octets that sealing adds to a value. */
export const RUN_SEAL_OVERHEAD = HEAD + RUN + COUNTER + TAG

/** One key takes so many values; few enough that it is soon gone where a machine is copied while it runs. */
const VALUES_PER_RUN = 2 ** 20
/** Keys kept ready to open with; each is derived again when it is not among them. */
const RUNS_READY = 256

interface Run {
  readonly keyId: number
  readonly id: Uint8Array
  readonly key: KeyObject
  used: number
}

/**
 * Seals many small values at a third of what `seal` costs, which derives a key for each.
 *
 *     version (1, = 2) ‖ key id (4) ‖ run (16) ‖ counter (4) ‖ tag (16) ‖ ciphertext
 *
 * AES-256-GCM. A run is 16 random octets that nobody has but the object that drew them; its key is
 * HMAC-SHA-256(sealing key, label ‖ run), and the IV is the counter, which this object alone counts and never sets back.
 * So no IV comes twice under one key, and neither runs nor values come near a bound at which random ones would. The
 * place is bound by the tag: version ‖ key id ‖ the place, each part with its length. What `seal` made, which begins with
 * another version, opens as well.
 */
export class RunSeal {
  readonly #keys: SealKeys
  readonly #ready = new Map<string, KeyObject>()
  readonly #iv = Buffer.alloc(IV)
  #run: Run | undefined

  constructor(keys: SealKeys) {
    this.#keys = keys
  }

  /** @param value octets, or a text that is sealed as UTF-8 */
  seal(place: SealPlace, value: Uint8Array | string): Uint8Array {
    const run = this.#next()
    const iv = this.#ivOf(run.used++)
    const cipher = createCipheriv('aes-256-gcm', run.key, iv)
    const { bound } = boundTo(VERSION, run.keyId, place)
    cipher.setAAD(bound)
    const ciphertext = typeof value === 'string' ? cipher.update(value, 'utf8') : cipher.update(value)
    cipher.final() // empty, in this mode
    const sealed = Buffer.allocUnsafe(RUN_SEAL_OVERHEAD + ciphertext.length)
    sealed.set(bound.subarray(0, HEAD))
    sealed.set(run.id, HEAD)
    sealed.set(iv.subarray(IV - COUNTER), HEAD + RUN)
    sealed.set(cipher.getAuthTag(), HEAD + RUN + COUNTER)
    sealed.set(ciphertext, RUN_SEAL_OVERHEAD)
    return sealed
  }

  /** The value, or undefined when it was not sealed for this place under one of these keys, or was changed since. */
  unseal(place: SealPlace, sealed: Uint8Array): Uint8Array | undefined {
    if (sealed[0] !== VERSION) return unseal(this.#keys, place, sealed)
    if (sealed.length < RUN_SEAL_OVERHEAD) return undefined
    const view = new DataView(sealed.buffer, sealed.byteOffset, sealed.length)
    const keyId = view.getUint32(1)
    const key = this.#keyOf(keyId, sealed.subarray(HEAD, HEAD + RUN))
    if (key === undefined) return undefined
    return deciphered(key, boundTo(VERSION, keyId, place).bound, {
      iv: this.#ivOf(view.getUint32(HEAD + RUN)),
      tag: sealed.subarray(HEAD + RUN + COUNTER, RUN_SEAL_OVERHEAD),
      ciphertext: sealed.subarray(RUN_SEAL_OVERHEAD),
    })
  }

  /** The run that is used now: another one when its values are used up, or when keys were exchanged. */
  #next(): Run {
    const { current, keys } = this.#keys
    if (this.#run?.keyId === current && this.#run.used < VALUES_PER_RUN) return this.#run
    const key = keys.get(current)
    if (key === undefined) throw new RangeError('no key has the current key id')
    const id = randomBytes(RUN)
    this.#run = { keyId: current, id, key: derived(key, id), used: 0 }
    return this.#run
  }

  /** Valid until the next: ciphers copy it. */
  #ivOf(counter: number): Uint8Array {
    this.#iv.writeUInt32BE(counter, IV - COUNTER)
    return this.#iv
  }

  #keyOf(keyId: number, id: Uint8Array): KeyObject | undefined {
    const name = `${keyId}/${toHex(id)}`
    const ready = this.#ready.get(name)
    if (ready !== undefined) return ready
    const key = this.#keys.keys.get(keyId)
    if (key === undefined) return undefined
    const made = derived(key, id)
    for (const oldest of this.#ready.keys()) {
      if (this.#ready.size < RUNS_READY) break
      this.#ready.delete(oldest)
    }
    this.#ready.set(name, made)
    return made
  }
}

/** What `seal` derives its keys from begins with the length of a database's name; no name is as long as these two say. */
const LABEL = utf8('gba-proxy run of seals\0')

const derived = (key: Secret, run: Uint8Array): KeyObject =>
  createSecretKey(createHmac('sha256', key.keyObject()).update(concat(LABEL, run)).digest())
