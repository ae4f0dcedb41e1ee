import { join } from 'node:path'
import { concat } from '../core/bytes.ts'
import { CLOCK_SLACK_US, microseconds, paceOf, step } from './gcra.ts'
import { bootIdOfHost, removeOtherBoots } from './host-boot.ts'
import { MIN_FREE_BYTES } from './lmdb-environment.ts'
import { entryCount, freeBytesAt, LmdbFile, makePrivateDirectory } from './lmdb-file.ts'
import { recordKey, type SealKeys } from './seal.ts'
import { sortable } from './sortable.ts'
import type { RateLimiter } from './store.ts'

export interface LmdbRateLimiterOptions {
  /** Made with mode 0700 when missing. */
  readonly directory: string
  /** Their index hashes the keys. */
  readonly keys: SealKeys
  readonly maxKeys: number
  readonly minFreeBytes?: number
  readonly freeBytes?: () => number
}

const DATABASE = 'limits'
const DROPPED_AT_ONCE = 1000

/**
 * The rates that all threads and processes of a host share; the rules are those of `memoryRateLimiter`.
 * Commits are not flushed, and a new boot of the host begins a new file: what a crash takes is minutes of debts.
 */
export function lmdbRateLimiter(options: LmdbRateLimiterOptions): RateLimiter & { close(): Promise<void> } {
  const { directory, keys, maxKeys } = options
  const { minFreeBytes = MIN_FREE_BYTES, freeBytes = () => freeBytesAt(directory) } = options
  makePrivateDirectory(directory)
  const bootId = bootIdOfHost()
  const name = bootId === undefined ? 'limits.mdb' : `limits-${bootId}.mdb`
  removeOtherBoots(directory, 'limits', name)
  const file = new LmdbFile({ path: join(directory, name), durable: bootId === undefined, minFreeBytes, freeBytes })
  const records = file.database(DATABASE) // hash of the key -> when it is free (8)
  const order = file.database('order') // when it is free (8) ‖ hash of the key -> nothing

  function drop(key: Uint8Array, freeAt: Uint8Array): void {
    records.removeSync(key)
    order.removeSync(concat(freeAt, key))
  }
  function dropEntry(entry: Uint8Array): void {
    order.removeSync(entry)
    records.removeSync(entry.subarray(8))
  }
  /** A clock may go back a little: until then a debt is not forgotten. */
  function dropFree(nowUs: number, most: number): number {
    const end = sortable(Math.max(0, nowUs - CLOCK_SLACK_US) + 1)
    const free = [...order.getKeys({ start: new Uint8Array(8), end, limit: most })]
    for (const entry of free) dropEntry(entry)
    return free.length
  }
  function keep(key: Uint8Array, before: Uint8Array | undefined, freeAtUs: number): void {
    if (before) drop(key, before)
    const freeAt = sortable(freeAtUs)
    records.putSync(key, freeAt)
    order.putSync(concat(freeAt, key), new Uint8Array(0))
    if (entryCount(records) <= maxKeys) return
    const first = [...order.getKeys({ start: new Uint8Array(8), limit: 2 })]
    const other = first.find((entry) => !key.every((octet, i) => octet === entry[8 + i]))
    if (other) dropEntry(other)
  }

  return {
    async take(text, rate, now, cost = 1) {
      const key = recordKey(keys, DATABASE, text)
      const pace = paceOf(rate)
      const look = () => {
        const record = records.get(key)
        const before = record?.length === 8 ? Uint8Array.from(record) : undefined
        const freeAt = before && new DataView(before.buffer).getFloat64(0)
        const { freeAtUs, ...taken } = step(freeAt, pace, now, cost)
        return { before, freeAtUs, changes: freeAtUs !== freeAt, taken }
      }
      // What changes nothing costs no transaction: a flood is refused by reading.
      const seen = file.read(look)
      if (!seen.changes) return seen.taken
      return file.write(() => {
        const { before, freeAtUs, changes, taken } = look()
        if (changes) keep(key, before, freeAtUs)
        dropFree(microseconds(now), 2)
        return taken
      })
    },
    async sweep(now) {
      let dropped = 0
      for (let last = DROPPED_AT_ONCE; last === DROPPED_AT_ONCE; dropped += last) {
        last = file.write(() => dropFree(microseconds(now), DROPPED_AT_ONCE))
        await new Promise((resolve) => setImmediate(resolve))
      }
      return dropped
    },
    close: () => file.close(),
  }
}
