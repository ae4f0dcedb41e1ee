import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { concat, type EpochMs } from '../core/bytes.ts'
import { full } from './faults.ts'
import { bootIdOfHost, removeOtherBoots } from './host-boot.ts'
import { KEY_DATABASE, KEY_HEADER, openKept, sealKept } from './key-record.ts'
import { MIN_FREE_BYTES } from './lmdb-environment.ts'
import { entryCount, freeBytesAt, LmdbFile, makePrivateDirectory } from './lmdb-file.ts'
import { recordKey, type SealKeys } from './seal.ts'
import { sortable } from './sortable.ts'
import type { KeyStore } from './store.ts'

export interface LmdbKeyStoreOptions {
  /** Made with mode 0700 when missing. */
  readonly directory: string
  readonly keys: SealKeys
  readonly maxEntries: number
  readonly minFreeBytes?: number
  readonly freeBytes?: () => number
}

const DROPPED_AT_ONCE = 64

/**
 * Keys that the processes of a host share. Commits are not flushed, and a new boot of the host begins a new file. When
 * full, the key that ends soonest goes.
 */
export function lmdbKeyStore(options: LmdbKeyStoreOptions): KeyStore & { close(): Promise<void> } {
  const { directory, keys, maxEntries } = options
  const { minFreeBytes = MIN_FREE_BYTES, freeBytes = () => freeBytesAt(directory) } = options
  makePrivateDirectory(directory)
  const bootId = bootIdOfHost()
  const fileName = bootId === undefined ? 'keys.mdb' : `keys-${bootId}.mdb`
  removeOtherBoots(directory, 'keys', fileName)
  const path = join(directory, fileName)
  const file = new LmdbFile({ path, durable: bootId === undefined, minFreeBytes, freeBytes })
  const records = file.database(KEY_DATABASE) // key of the name -> until (8) ‖ sealed value
  const ends = file.database('ends') // until (8) ‖ key -> nothing
  const keyOf = (name: string) => recordKey(keys, KEY_DATABASE, name)

  function drop(key: Uint8Array, record: Uint8Array): void {
    records.removeSync(key)
    // Of a damaged record the end cannot be told; its entry there goes when its time comes.
    if (record.length >= KEY_HEADER) ends.removeSync(concat(record.subarray(0, KEY_HEADER), key))
  }
  /** @param end  before which those go that end; undefined: the soonest, whenever it ends */
  function dropFirst(end: Uint8Array | undefined, limit: number): number {
    const first = [...ends.getKeys({ start: new Uint8Array(KEY_HEADER), ...(end && { end }), limit })]
    for (const entry of first) {
      records.removeSync(entry.subarray(KEY_HEADER))
      ends.removeSync(entry)
    }
    return first.length
  }
  function makeRoom(): void {
    while (entryCount(records) >= maxEntries) {
      if (dropFirst(undefined, 1) === 0) throw full('key store', maxEntries)
    }
  }

  return {
    async find(name, now) {
      const key = keyOf(name)
      return file.read(() => {
        const record = records.get(key)
        return record && openKept(keys, key, record, now)
      })
    },
    async put(name, value, until) {
      const key = keyOf(name)
      const record = sealKept(keys, key, { value, until })
      file.write(() => {
        const before = records.get(key)
        if (before !== undefined) drop(key, Uint8Array.from(before))
        else makeRoom()
        records.putSync(key, record)
        ends.putSync(concat(record.subarray(0, KEY_HEADER), key), new Uint8Array(0))
      })
    },
    async remove(name) {
      const key = keyOf(name)
      // An unknown name costs no transaction: strangers make them up.
      if (file.read(() => records.get(key)) === undefined) return
      file.write(() => {
        const record = records.get(key)
        if (record !== undefined) drop(key, Uint8Array.from(record))
      })
    },
    async sweep(now: EpochMs) {
      const end = sortable(now + 1)
      let dropped = 0
      for (let last = DROPPED_AT_ONCE; last === DROPPED_AT_ONCE; dropped += last) {
        last = file.write(() => dropFirst(end, DROPPED_AT_ONCE))
        if (last === DROPPED_AT_ONCE) await nextTurn() // requests come between
      }
      return dropped
    },
    close: () => file.close(),
  }
}
