import { concat, type EpochMs } from '../core/bytes.ts'
import {
  bounded,
  decodeEntries,
  encodeRows,
  encodeWithin,
  entriesIn,
  inOrder,
  joined,
  type Rows,
  unexpired,
} from './access-entries.ts'
import { decodeHead, encodeHead, type Head } from './access-head.ts'
import type { Waiting } from './access-queue.ts'
import { corrupted } from './faults.ts'
import { entryCount, type LmdbDatabase, type LmdbFile } from './lmdb-file.ts'
import { RunSeal } from './run-seal.ts'
import type { SealKeys } from './seal.ts'
import { sortable } from './sortable.ts'
import type { AccessEntry, AccessLogBounds } from './store.ts'

/** The databases of access logs, by their names. */
export const ACCESS_DATABASES = ['access', 'access-owners', 'access-order'] as const
const [PARTS, OWNERS, ORDER] = ACCESS_DATABASES

/** Parts of one log, at most, before they are made one. */
const MAX_PARTS = 32
/** What one transaction does on the event loop at most, in logs that get one more part: a millisecond. */
export const MAX_EFFORT = 128
/** Of all parts of a log, and of opening and sealing them as well. */
const EFFORT_OF_REMOVING = 8
const EFFORT_OF_REWRITING = 64
/**
 * By so many octets one transaction makes the file grow, or by those of one log: a quarter of what stays free on the disk,
 * which the engine must never fill.
 */
export const MAX_OCTETS = 4 * 1024 * 1024
/** Of what is sealed of one log at a time: half of what stays free. 10,000 entries of 800 octets. */
const MAX_OCTETS_OF_A_LOG = 8 * 1024 * 1024
/** In one transaction, or those of one log more: a millisecond. */
const MAX_PARTS_DROPPED = 512
/** So many times what a log may hold are in its parts before they are made one: that costs far more than a part. */
const TOO_MANY = 4
const HOUR_MS = 3_600_000

/** What is to be written of one log, made outside a transaction as far as that is possible. */
export interface Plan {
  readonly key: Uint8Array
  readonly waiting: Waiting
  /** The log's record when the plan was made: the plan holds while it is the same. */
  readonly seen: Uint8Array | undefined
  readonly changes: Changes | undefined
}

export interface AccessWriter {
  /** @returns false when the transaction has taken enough: the plan is for another one. The first is always taken. */
  readonly perform: (plan: Plan) => boolean
  /** What was left behind, since it does not open. */
  readonly damages: readonly unknown[]
}

interface Changes {
  readonly before: Head | undefined
  readonly head: Head
  readonly partKey: Uint8Array
  readonly sealed: Uint8Array
  /** Keys of parts that this one takes the place of. */
  readonly removed: readonly Uint8Array[]
  /** What all this takes of the file. */
  readonly octets: number
  /** Parts that were left behind, since they do not open. */
  readonly damages: readonly unknown[]
}

/**
 * The records of access logs in an LMDB file. Of each log there are sealed parts, one record in the clear, and one place
 * in the order of hours. What has come in is one more part, for which nothing is opened: to rewrite a log of 200
 * entries each time would be 17 kB for every touch. Parts are made one when there are many, when they hold several times
 * what the log may, or when the oldest entry has expired.
 */
export class LmdbAccessRecords {
  readonly #bounds: Required<AccessLogBounds>
  readonly #seal: RunSeal
  readonly #parts: LmdbDatabase // key of the owner (32) ‖ number (4) -> sealed entries
  readonly #owners: LmdbDatabase // key of the owner -> Head
  readonly #order: LmdbDatabase // hour (8) ‖ key of the owner -> nothing

  constructor(file: LmdbFile, keys: SealKeys, bounds: Required<AccessLogBounds>) {
    this.#bounds = bounds
    this.#seal = new RunSeal(keys)
    this.#parts = file.database(PARTS)
    this.#owners = file.database(OWNERS)
    this.#order = file.database(ORDER)
  }

  /** To be called within a read; seals what is to be written. */
  plan(key: Uint8Array, waiting: Waiting): Plan {
    const seen = this.#owners.get(key)
    return { key, waiting, seen, changes: this.#changesOf(key, seen, waiting) }
  }

  /** As `plan`, but undefined where there is no log. */
  planToGoOn(key: Uint8Array, waiting: Waiting): Plan | undefined {
    const seen = this.#owners.get(key)
    return seen && { key, waiting, seen, changes: this.#changesOf(key, seen, waiting) }
  }

  /**
   * Carries out plans, within one write. One that has been overtaken by another process is made anew: what that one
   * wrote is kept. A log that is written has another number of parts or other bounds, so its record is not what it was.
   */
  writer(): AccessWriter {
    const damages: unknown[] = []
    let effort = 0
    let octets = 0
    let count: number | undefined // of logs; to ask for it costs more than to write one
    const perform = ({ key, waiting, seen, changes: planned }: Plan): boolean => {
      if (effort >= MAX_EFFORT) return false
      const current = this.#owners.get(key)
      const isOvertaken = !isSame(seen, current)
      const changes = isOvertaken ? this.#changesOf(key, current, waiting) : planned
      if (octets > 0 && octets + (changes?.octets ?? 0) > MAX_OCTETS) return false
      effort += isOvertaken ? EFFORT_OF_REWRITING : 1
      if (changes === undefined) return true
      octets += changes.octets
      if (current === undefined) {
        count ??= entryCount(this.#owners)
        const dropped = this.#makeRoom(count)
        count += 1 - dropped.logs
        effort += dropped.logs * EFFORT_OF_REMOVING
        octets += dropped.logs * OCTETS_OF_PAGES + dropped.parts * OCTETS_IN_A_PAGE
      }
      this.#put(key, changes)
      if (changes.removed.length > 0) effort += EFFORT_OF_REMOVING
      for (const damage of changes.damages) damages.push(damage)
      return true
    }
    return { perform, damages }
  }

  /**
   * All that is at rest of one log.
   * @throws GbaError STORE_UNAVAILABLE for a part that does not open
   */
  entriesOf(key: Uint8Array): AccessEntry[] {
    const { entries, damages } = this.#opened(this.#partsOf(key))
    if (damages.length > 0) throw damages[0]
    return entries
  }

  /** Whether there are logs that were last touched in this hour or before. */
  isAnyTouchedUntil(hour: EpochMs): boolean {
    return this.#touchedUntil(hour, 1).length > 0
  }

  /** Drops the logs that were touched least recently, in this hour or before. @returns how many, `limit` at most */
  dropTouchedUntil(hour: EpochMs, limit: number): number {
    return this.#drop(hour, limit).logs
  }

  #drop(hour: EpochMs, limit: number): Dropped {
    let logs = 0
    let parts = 0
    for (const place of this.#touchedUntil(hour, limit)) {
      const key = place.subarray(8)
      this.#order.removeSync(place)
      this.#owners.removeSync(key)
      for (const part of [...this.#parts.getKeys(rangeOf(key))]) {
        this.#parts.removeSync(part)
        parts++
      }
      logs++
      if (parts >= MAX_PARTS_DROPPED) break
    }
    return { logs, parts }
  }

  /** As they stand in the order. */
  #touchedUntil(hour: EpochMs, limit: number): Uint8Array[] {
    const end = sortable(Math.max(0, hour + 1))
    return [...this.#order.getKeys({ start: new Uint8Array(8), end, limit })]
  }

  /** The logs touched least recently go for a new one. */
  #makeRoom(count: number): Dropped {
    const excess = Math.min(MOST_DROPPED_FOR_ONE, count + 1 - this.#bounds.maxOwners)
    return excess <= 0 ? { logs: 0, parts: 0 } : this.#drop(Number.MAX_SAFE_INTEGER, excess)
  }

  #put(key: Uint8Array, { before, head, partKey, sealed, removed }: Changes): void {
    for (const part of removed) this.#parts.removeSync(part)
    this.#parts.putSync(partKey, sealed)
    this.#owners.putSync(key, encodeHead(head))
    if (before?.hour === head.hour) return
    if (before !== undefined) this.#order.removeSync(concat(sortable(before.hour), key))
    this.#order.putSync(concat(sortable(head.hour), key), NOTHING)
  }

  #changesOf(key: Uint8Array, record: Uint8Array | undefined, { before, since }: Waiting): Changes | undefined {
    const head = decodeHead(record)
    const fresh = head === undefined ? since : joined(before, since)
    if (fresh.count === 0) return undefined
    const hour = Math.max(head?.hour ?? 0, fresh.newestAt - (fresh.newestAt % HOUR_MS))
    if (this.#isDue(head, fresh)) return this.#rewritten(key, head, hour, fresh)
    // A record that is damaged is none, and its parts go.
    const old = head === undefined && record !== undefined ? this.#partsOf(key) : []
    const { oldestAt, parts, entries } = head ?? NO_PARTS
    const next = {
      hour,
      oldestAt: Math.min(oldestAt, fresh.oldestAt),
      parts: parts + 1,
      entries: entries + fresh.count,
    }
    const partKey = partOf(key, parts)
    const sealed = this.#seal.seal({ database: PARTS, key: partKey }, encodeRows(fresh))
    return { before: head, head: next, partKey, sealed, ...inPlaceOf(old, sealed), damages: [] }
  }

  #isDue(head: Head | undefined, fresh: Rows): boolean {
    const { entriesPerOwner, retentionS } = this.#bounds
    const { parts, entries, oldestAt } = head ?? NO_PARTS
    const most = head === undefined ? entriesPerOwner : TOO_MANY * entriesPerOwner
    const oldest = Math.min(oldestAt, fresh.oldestAt)
    if (parts >= MAX_PARTS || entries + fresh.count > most) return true
    return fresh.newestAt >= oldest + retentionS * 1000 || fresh.text.length * UTF8_OF_A_UNIT > MAX_OCTETS_OF_A_LOG
  }

  #rewritten(key: Uint8Array, before: Head | undefined, hour: EpochMs, fresh: Rows): Changes {
    const { entriesPerOwner, retentionS } = this.#bounds
    const parts = this.#partsOf(key)
    // Parts without a record are of none.
    const old = this.#opened(before === undefined ? [] : parts)
    const all = inOrder([...old.entries, ...entriesIn(fresh)])
    const wanted = bounded(unexpired(all, fresh.newestAt, retentionS), entriesPerOwner)
    const { kept, encoded } = encodeWithin(wanted, MAX_OCTETS_OF_A_LOG)
    const partKey = partOf(key, 0)
    const sealed = this.#seal.seal({ database: PARTS, key: partKey }, encoded)
    return {
      before,
      head: { hour, oldestAt: kept[0]?.at ?? fresh.newestAt, parts: 1, entries: kept.length },
      partKey,
      sealed,
      ...inPlaceOf(parts, sealed),
      damages: old.damages,
    }
  }

  #opened(parts: readonly Part[]): { readonly entries: AccessEntry[]; readonly damages: readonly unknown[] } {
    const entries: AccessEntry[] = []
    const damages: unknown[] = []
    for (const { key, value } of parts) {
      const plaintext = this.#seal.unseal({ database: PARTS, key }, value)
      if (plaintext === undefined) damages.push(corrupted('access log'))
      else for (const entry of decodeEntries(plaintext)) entries.push(entry)
    }
    return { entries, damages }
  }

  #partsOf(key: Uint8Array): Part[] {
    return [...this.#parts.getRange(rangeOf(key))]
  }
}

interface Part {
  readonly key: Uint8Array
  readonly value: Uint8Array
}

interface Dropped {
  readonly logs: number
  readonly parts: number
}

/** A write of one log changes four pages in four places of the trees, however little it puts there. */
const OCTETS_OF_PAGES = 4 * 4096
/** Longer values have pages of their own, which are given back without being written. */
const OCTETS_IN_A_PAGE = 2048
/** Of UTF-16, at most. */
const UTF8_OF_A_UNIT = 3

const inPlaceOf = (parts: readonly Part[], sealed: Uint8Array) => ({
  removed: parts.map(({ key }) => key),
  octets: parts.reduce((sum, { value }) => sum + value.length, OCTETS_OF_PAGES + sealed.length),
})

/** Where the bound was made smaller, the rest goes bit by bit. */
const MOST_DROPPED_FOR_ONE = 16
const NOTHING = new Uint8Array(0)
const NO_PARTS = { oldestAt: Number.POSITIVE_INFINITY, parts: 0, entries: 0 }

const isSame = (one: Uint8Array | undefined, other: Uint8Array | undefined): boolean =>
  one === undefined || other === undefined ? one === other : Buffer.compare(one, other) === 0

const rangeOf = (key: Uint8Array) => ({ start: partOf(key, 0), end: partOf(key, 0xffff_ffff) })

function partOf(key: Uint8Array, number: number): Uint8Array {
  const octets = Buffer.allocUnsafe(key.length + 4)
  octets.set(key)
  octets.writeUInt32BE(number, key.length)
  return octets
}
