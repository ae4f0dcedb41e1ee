import { concat, type EpochMs } from '../core/bytes.ts'
import { corrupted } from './faults.ts'
import { type SealKeys, seal, unseal } from './seal.ts'
import { sortable } from './sortable.ts'
import type { Kept } from './store.ts'

/** Part of every hashed name and of every seal. */
export const KEY_DATABASE = 'keys'

/** Length of what lies in the clear before the sealed value, and is bound to it: the end. */
export const KEY_HEADER = 8

/** The record of a KeyStore: until (8) ‖ sealed value. @param key  as `recordKey` makes it of the name */
export function sealKept(keys: SealKeys, key: Uint8Array, { value, until }: Kept): Uint8Array {
  const header = sortable(until)
  return concat(header, seal(keys, { database: KEY_DATABASE, key, header }, value))
}

/**
 * @returns undefined when it is over
 * @throws GbaError STORE_UNAVAILABLE for what `sealKept` did not write under this very key
 */
export function openKept(keys: SealKeys, key: Uint8Array, record: Uint8Array, now: EpochMs): Kept | undefined {
  const header = record.subarray(0, KEY_HEADER)
  const value =
    record.length < KEY_HEADER
      ? undefined
      : unseal(keys, { database: KEY_DATABASE, key, header }, record.subarray(KEY_HEADER))
  if (value === undefined) throw corrupted('key')
  const until = new DataView(header.buffer, header.byteOffset).getFloat64(0)
  if (now < until) return { value, until }
  value.fill(0)
  return undefined
}
