import { join } from 'node:path'
import { concat, type EpochMs } from '../core/bytes.ts'
import { corrupted, full } from './faults.ts'
import { bootIdOfHost, removeOtherBoots } from './host-boot.ts'
import { MIN_FREE_BYTES } from './lmdb-environment.ts'
import { entryCount, freeBytesAt, LmdbFile, makePrivateDirectory } from './lmdb-file.ts'
import { recordKey, type SealKeys, seal, unseal } from './seal.ts'
import { sortable } from './sortable.ts'
import type { OnceStore } from './store.ts'
import type { ValueCodec } from './value-codec.ts'

export interface LmdbOnceStoreOptions<Value> {
  /** Made with mode 0700 when missing. */
  readonly directory: string
  readonly keys: SealKeys
  readonly codec: ValueCodec<Value>
  readonly maxEntries: number
  /** Tells a full store what has expired. */
  readonly clock?: () => EpochMs
  readonly minFreeBytes?: number
  readonly freeBytes?: () => number
}

const DATABASE = 'once'
const DROPPED_AT_ONCE = 64

/**
 * Values that any thread or process of this host may put and exactly one takes; the rules are those of
 * `memoryOnceStore`. They live for seconds, so commits are not flushed, and a new boot of the host begins a new file.
 */
export function lmdbOnceStore<Value>(
  options: LmdbOnceStoreOptions<Value>,
): OnceStore<Value> & { close(): Promise<void> } {
  const { directory, keys, codec, maxEntries, clock = Date.now } = options
  const { minFreeBytes = MIN_FREE_BYTES, freeBytes = () => freeBytesAt(directory) } = options
  makePrivateDirectory(directory)
  const bootId = bootIdOfHost()
  const name = bootId === undefined ? 'challenges.mdb' : `challenges-${bootId}.mdb`
  removeOtherBoots(directory, 'challenges', name)
  const file = new LmdbFile({ path: join(directory, name), durable: bootId === undefined, minFreeBytes, freeBytes })
  const records = file.database(DATABASE) // key of the name -> expiresAt (8) ‖ sealed value
  const expiries = file.database('expiries') // expiresAt (8) ‖ key -> nothing

  function drop(key: Uint8Array, record: Uint8Array): void {
    records.removeSync(key)
    expiries.removeSync(concat(record.subarray(0, HEADER), key))
  }
  /** Expiries of damaged records stay behind until their time, and go here. */
  function dropExpired(now: EpochMs): void {
    const end = sortable(now + 1)
    for (const entry of [...expiries.getKeys({ start: new Uint8Array(8), end, limit: DROPPED_AT_ONCE })]) {
      records.removeSync(entry.subarray(HEADER))
      expiries.removeSync(entry)
    }
  }

  return {
    async put(name, value, expiresAt) {
      const key = recordKey(keys, DATABASE, name)
      const header = sortable(expiresAt)
      const plaintext = codec.encode(value)
      const sealed = seal(keys, { database: DATABASE, key, header }, plaintext)
      plaintext.fill(0)
      file.write(() => {
        const before = records.get(key)
        if (before !== undefined) drop(key, before)
        else if (entryCount(records) >= maxEntries) {
          dropExpired(clock())
          if (entryCount(records) >= maxEntries) throw full('challenge store', maxEntries)
        }
        records.putSync(key, concat(header, sealed))
        expiries.putSync(concat(header, key), new Uint8Array(0))
      })
    },
    async take(name, now) {
      const key = recordKey(keys, DATABASE, name)
      // An unknown name costs no transaction: strangers make them up.
      if (file.read(() => records.get(key)) === undefined) return undefined
      const record = file.write(() => {
        const found = records.get(key)
        const copy = found && Uint8Array.from(found)
        if (copy !== undefined) drop(key, copy)
        dropExpired(now)
        return copy
      })
      if (record === undefined) return undefined
      const header = record.subarray(0, HEADER)
      const plaintext =
        record.length < HEADER ? undefined : unseal(keys, { database: DATABASE, key, header }, record.subarray(HEADER))
      if (plaintext === undefined) throw corrupted('challenge')
      if (now >= new DataView(header.buffer, header.byteOffset).getFloat64(0)) return undefined
      const value = codec.decode(plaintext)
      if (value === undefined) throw corrupted('challenge')
      return value
    },
    close: () => file.close(),
  }
}

const HEADER = 8
