import { setImmediate as nextTurn } from 'node:timers/promises'
import { concat } from '../core/bytes.ts'
import { decodeBootstrap, encodeBootstrap } from './bootstrap-record.ts'
import { corrupted, full } from './faults.ts'
import type { LmdbEnvironment } from './lmdb-environment.ts'
import { entryCount } from './lmdb-file.ts'
import { recordKey, seal, unseal } from './seal.ts'
import { sortable } from './sortable.ts'
import type { Bootstrap, BootstrapStore } from './store.ts'

/** In the clear before a bootstrap's sealed value, and bound to it: expiresAt (8) ‖ key of its TMPI, or zeros (32). */
const HEADER = 40
const NO_TMPI = new Uint8Array(32)
const AFTER_EVERY_KEY = new Uint8Array(33).fill(0xff)
/** Small enough that one transaction of a sweep holds up nobody. */
const SWEEP_BATCH = 64

/**
 * Bootstraps in LMDB: durable when `put` resolves; those of one turn share a write of the disk. When full, a new bootstrap is refused; `sweep` makes room.
 * Beside the sealed records lie an index by TMPI and one by expiry, both of keyed hashes.
 */
export function lmdbBootstrapStore(
  { file, keys, commit }: LmdbEnvironment,
  { maxEntries = 10_000_000 }: { readonly maxEntries?: number } = {},
): BootstrapStore {
  const records = file.database('bootstraps')
  const tmpis = file.database('tmpis')
  const expiries = file.database('expiries')
  const keyOf = (btid: string) => recordKey(keys, 'bootstraps', btid)
  const tmpiKeyOf = (tmpi: string) => recordKey(keys, 'tmpis', tmpi)

  function open(key: Uint8Array, record: Uint8Array): Bootstrap {
    const header = record.subarray(0, HEADER)
    const value = unseal(keys, { database: 'bootstraps', key, header }, record.subarray(HEADER))
    const bootstrap = value && decodeBootstrap(value)
    if (bootstrap === undefined) throw corrupted('bootstrap')
    return bootstrap
  }
  function drop(key: Uint8Array, record: Uint8Array): void {
    records.removeSync(key)
    if (isCut(record)) return
    const tmpiKey = record.subarray(8, HEADER)
    expiries.removeSync(concat(record.subarray(0, 8), key))
    if (isEqual(tmpis.get(tmpiKey), key)) tmpis.removeSync(tmpiKey)
  }
  function live(key: Uint8Array, now: number): Bootstrap | undefined {
    const record = records.get(key)
    if (record === undefined || (!isCut(record) && now >= expiryOf(record))) return undefined
    return open(key, record)
  }
  /** @returns how many left, and whether there may be more */
  function sweepBatch(now: number): { readonly swept: number; readonly more: boolean } {
    const end = concat(sortable(now), AFTER_EVERY_KEY)
    const due = [...expiries.getKeys({ start: new Uint8Array(8), end, limit: SWEEP_BATCH })]
    let swept = 0
    for (const entry of due) {
      const key = entry.subarray(8)
      const record = records.get(key)
      if (record !== undefined && (isCut(record) || expiryOf(record) <= now)) {
        drop(key, record)
        swept++
      }
      expiries.removeSync(entry)
    }
    return { swept, more: due.length === SWEEP_BATCH }
  }

  return {
    async put(bootstrap) {
      const key = keyOf(bootstrap.btid)
      const tmpiKey = bootstrap.tmpi === undefined ? undefined : tmpiKeyOf(bootstrap.tmpi)
      const header = concat(sortable(bootstrap.expiresAt), tmpiKey ?? NO_TMPI)
      const plaintext = encodeBootstrap(bootstrap)
      const sealed = seal(keys, { database: 'bootstraps', key, header }, plaintext)
      plaintext.fill(0)
      await commit(() => {
        const before = records.get(key)
        if (before !== undefined) drop(key, before)
        else if (entryCount(records) >= maxEntries) throw full('bootstrap store', maxEntries)
        records.putSync(key, concat(header, sealed))
        expiries.putSync(concat(header.subarray(0, 8), key), new Uint8Array(0))
        if (tmpiKey !== undefined) tmpis.putSync(tmpiKey, key)
      })
    },
    async find(btid, now) {
      const key = keyOf(btid)
      return file.read(() => live(key, now))
    },
    async findImpi(tmpi, now) {
      const tmpiKey = tmpiKeyOf(tmpi)
      const bootstrap = file.read(() => {
        const key = tmpis.get(tmpiKey)
        return key && live(key, now)
      })
      if (bootstrap !== undefined && bootstrap.tmpi !== tmpi) throw corrupted('TMPI index')
      return bootstrap?.impi
    },
    async remove(btid) {
      const key = keyOf(btid)
      file.write(() => {
        const record = records.get(key)
        if (record !== undefined) drop(key, record)
      })
    },
    async sweep(now) {
      let total = 0
      for (let more = true; more; ) {
        const batch = file.write(() => sweepBatch(now))
        total += batch.swept
        more = batch.more
        if (more) await nextTurn() // requests come between
      }
      return total
    },
  }
}

/** Damaged: its entries in the two indexes cannot be told any more, and go when their own time comes. */
const isCut = (record: Uint8Array): boolean => record.length < HEADER

const expiryOf = (record: Uint8Array): number => new DataView(record.buffer, record.byteOffset).getFloat64(0)

const isEqual = (a: Uint8Array | undefined, b: Uint8Array): boolean => a !== undefined && Buffer.compare(a, b) === 0
