import { createCipheriv, createDecipheriv, createHmac, createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import { concat } from '../core/bytes.ts'
import type { Secret } from '../core/secret.ts'

/** The keys that seal values at rest. */
export interface SealKeys {
  /** Key of the names under which records are kept, 32 octets; it outlives every rotation. */
  readonly index: Secret
  /** The key that seals; every one in `keys` opens. */
  readonly current: number
  /** By key id, an unsigned 32-bit number; 32 octets each. */
  readonly keys: ReadonlyMap<number, Secret>
}

/** Where a sealed value belongs: it opens nowhere else. */
export interface SealPlace {
  /** The database, e.g. 'bootstraps'. */
  readonly database: string
  readonly key: Uint8Array
  /** Octets kept in the clear beside the value and bound to it. */
  readonly header?: Uint8Array
}

const VERSION = 1
const HEAD = 5 // version, key id
const IV = 12
const TAG = 16

/** Octets that sealing adds to a value. */
export const SEAL_OVERHEAD = HEAD + IV + TAG

/**
 * Seals a value with AES-256-GCM: version ‖ key id (4) ‖ IV (12) ‖ tag (16) ‖ ciphertext.
 * Every place has a key of its own, derived from the sealing key, so that random IVs stay safe for any number of
 * records: the limit of 2^32 values under one key counts per record instead of per store.
 */
export function seal({ keys, current }: SealKeys, place: SealPlace, value: Uint8Array): Uint8Array {
  const key = keys.get(current)
  if (key === undefined) throw new RangeError('no key has the current key id')
  const { bound, context } = boundTo(VERSION, current, place)
  const iv = freshIv()
  const cipher = createCipheriv('aes-256-gcm', keyOf(key, context), iv)
  cipher.setAAD(bound)
  const ciphertext = cipher.update(value)
  const rest = cipher.final()
  return concat(bound.subarray(0, HEAD), iv, cipher.getAuthTag(), ciphertext, rest)
}

/** The value, or undefined when it was not sealed for this place under one of these keys, or was changed since. */
export function unseal({ keys }: SealKeys, place: SealPlace, sealed: Uint8Array): Uint8Array | undefined {
  if (sealed.length < SEAL_OVERHEAD || sealed[0] !== VERSION) return undefined
  const keyId = new DataView(sealed.buffer, sealed.byteOffset, sealed.length).getUint32(1)
  const key = keys.get(keyId)
  if (key === undefined) return undefined
  const { bound, context } = boundTo(VERSION, keyId, place)
  const parts = { iv: sealed.subarray(HEAD, HEAD + IV), tag: sealed.subarray(HEAD + IV, SEAL_OVERHEAD) }
  return deciphered(keyOf(key, context), bound, { ...parts, ciphertext: sealed.subarray(SEAL_OVERHEAD) })
}

export interface SealedParts {
  readonly iv: Uint8Array
  readonly tag: Uint8Array
  readonly ciphertext: Uint8Array
}

/** AES-256-GCM. @returns undefined when the tag is not that of this text, what is bound to it, and this key */
export function deciphered(key: KeyObject, bound: Uint8Array, parts: SealedParts): Uint8Array | undefined {
  const decipher = createDecipheriv('aes-256-gcm', key, parts.iv)
  decipher.setAAD(bound)
  decipher.setAuthTag(parts.tag)
  const value = decipher.update(parts.ciphertext)
  try {
    decipher.final()
  } catch {
    return undefined
  }
  return value
}

/**
 * The name under which a record is kept: a keyed hash of 32 octets, so that no identity lies in the clear on the disk
 * and no selector is too long for a key.
 */
export function recordKey({ index }: SealKeys, database: string, name: string): Uint8Array {
  return createHmac('sha256', index.keyObject()).update(`${database}\0${name}`).digest()
}

/**
 * What the tag covers beside the value: version ‖ key id (4), and the context, of which the key is made as well. The
 * context is unambiguous: every part comes with its length.
 */
export function boundTo(version: number, keyId: number, { database, key, header = NO_HEADER }: SealPlace) {
  const bound = Buffer.allocUnsafe(HEAD + 6 + database.length + key.length + header.length)
  bound.writeUInt8(version, 0)
  bound.writeUInt32BE(keyId, 1)
  let at = bound.writeUInt16BE(database.length, HEAD)
  // Names of databases are ours, and ASCII.
  at += bound.write(database, at, 'latin1')
  at = bound.writeUInt16BE(key.length, at)
  bound.set(key, at)
  at = bound.writeUInt16BE(header.length, at + key.length)
  bound.set(header, at)
  return { bound, context: bound.subarray(HEAD) }
}

const NO_HEADER = new Uint8Array(0)

/** Random octets come by the hundred: to ask for a few costs as much. No octet is given twice. */
function freshIv(): Uint8Array {
  if (usedIvs === IVS_AT_ONCE) {
    ivs = randomBytes(IV * IVS_AT_ONCE)
    usedIvs = 0
  }
  return ivs.subarray(IV * usedIvs, IV * ++usedIvs)
}
const IVS_AT_ONCE = 128
let ivs: Uint8Array = new Uint8Array(0)
let usedIvs = IVS_AT_ONCE

const keyOf = (key: Secret, context: Uint8Array): KeyObject =>
  createSecretKey(createHmac('sha256', key.keyObject()).update(context).digest())
