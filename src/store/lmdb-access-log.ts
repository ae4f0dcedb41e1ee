import { setImmediate as nextTurn } from 'node:timers/promises'
import { concat, type EpochMs } from '../core/bytes.ts'
import type { Impu } from '../core/identity.ts'
import { bounded, decodeEntries, encodeEntries, inOrder, unexpired, withDefaults } from './access-entries.ts'
import { AccessQueue, type Waiting } from './access-queue.ts'
import { corrupted } from './faults.ts'
import type { LmdbEnvironment } from './lmdb-environment.ts'
import { entryCount } from './lmdb-file.ts'
import { recordKey, seal, unseal } from './seal.ts'
import { sortable } from './sortable.ts'
import type { AccessEntry, AccessLog, AccessLogBounds } from './store.ts'

export interface LmdbAccessLogOptions extends AccessLogBounds {
  /** How long an entry may wait in memory, which is what a killed process loses. 1 s by default. */
  readonly writeBehindMs?: number
  /** Entries that may wait at a time: far more than a process serves within the delay. 20,000 by default. */
  readonly maxWaiting?: number
  /** Told of what could not be written, once per spell of failures, and of what was dropped. */
  readonly onFailure?: (error: unknown) => void
  /** Told of each entry that is dropped. */
  readonly onDropped?: () => void
}

/** Owners in one transaction, small enough that it holds up nobody; a log that is rewritten counts as sixteen. */
const OWNERS_PER_TRANSACTION = 64
const EFFORT_OF_REWRITING = 16
/** Parts of one log, at most, before they are made one. */
const MAX_PARTS = 32
/** So many times what a log may hold are in its parts before they are made one: that costs far more than a part. */
const TOO_MANY = 4
const HOUR_MS = 3_600_000
const DATABASE = 'access'

/** A log's record in the clear: which hour it was touched in, and what its parts hold. */
interface Head {
  readonly hour: EpochMs
  readonly oldestAt: EpochMs
  readonly parts: number
  readonly entries: number
}

/**
 * Access logs in LMDB. `append` leaves the entry in memory; what came in within a second is written behind, one sealed
 * part per owner, for which nothing is read: to rewrite a log of 200 entries each time would be 17 kB for every touch.
 * Parts are made one when there are many, when they hold several times what the log may, or when the oldest entry has expired.
 * An entry of a log that is not touched any more stays at rest, sealed and unread, for up to twice the retention.
 */
export function lmdbAccessLog(
  { file, keys }: LmdbEnvironment,
  options: LmdbAccessLogOptions = {},
): AccessLog & { close(): Promise<void> } {
  const { entriesPerOwner, maxOwners, retentionS } = withDefaults(options)
  const parts = file.database(DATABASE) // key of the owner (32) ‖ number (4) -> sealed entries
  const owners = file.database('access-owners') // key of the owner -> Head
  const order = file.database('access-order') // hour (8) ‖ key of the owner -> nothing
  const report = options.onFailure ?? (() => {})
  const queue = new AccessQueue({
    delayMs: options.writeBehindMs ?? 1000,
    maxWaiting: options.maxWaiting ?? 20_000,
    write,
    report,
    onDropped: options.onDropped,
  })

  /** All that is at rest of one log. @param damaged what to do about a part that does not open */
  function stored(key: Uint8Array, damaged: (error: unknown) => void): AccessEntry[] {
    const entries: AccessEntry[] = []
    for (const { key: partKey, value } of parts.getRange({ start: partOf(key, 0), end: partOf(key, 0xffff_ffff) })) {
      const plaintext = unseal(keys, { database: DATABASE, key: partKey }, value)
      if (plaintext === undefined) damaged(corrupted('access log'))
      else entries.push(...decodeEntries(plaintext))
    }
    return entries
  }
  function putPart(key: Uint8Array, number: number, entries: readonly AccessEntry[]): void {
    const partKey = partOf(key, number)
    parts.putSync(partKey, seal(keys, { database: DATABASE, key: partKey }, encodeEntries(entries)))
  }
  function dropParts(key: Uint8Array): void {
    const range = { start: partOf(key, 0), end: partOf(key, 0xffff_ffff) }
    for (const partKey of [...parts.getKeys(range)]) parts.removeSync(partKey)
  }
  /** @returns the logs touched up to that hour, least recently first, as they stand in `order` */
  const touchedUntil = (hour: EpochMs, limit: number): Uint8Array[] => [
    ...order.getKeys({ start: new Uint8Array(8), end: sortable(Math.max(0, hour + 1)), limit }),
  ]
  function drop(place: Uint8Array): void {
    const key = place.subarray(8)
    order.removeSync(place)
    owners.removeSync(key)
    dropParts(key)
  }
  function makeRoom(): void {
    const excess = Math.min(OWNERS_PER_TRANSACTION, entryCount(owners) + 1 - maxOwners)
    if (excess <= 0) return
    for (const place of touchedUntil(Number.MAX_SAFE_INTEGER, excess)) drop(place)
  }
  /** @returns how much work it was, in owners */
  function writeOne(owner: Impu, { before, since }: Waiting, damages: unknown[]): number {
    const key = recordKey(keys, DATABASE, owner)
    const head = decodeHead(owners.get(key))
    const fresh = head === undefined ? since : [...before, ...since]
    const last = inOrder(fresh).at(-1)
    if (last === undefined) return 1
    if (head === undefined) makeRoom()
    const isRewritten = head !== undefined && isDue(head, fresh.length, last.at)
    const rewritten = isRewritten ? stored(key, (damage) => damages.push(damage)) : []
    const next = head === undefined || isRewritten ? rewrite(key, rewritten, fresh, last.at) : addPart(key, head, fresh)
    const hour = Math.max(head?.hour ?? 0, last.at - (last.at % HOUR_MS))
    owners.putSync(key, encodeHead({ ...next, hour }))
    if (hour !== head?.hour) {
      if (head !== undefined) order.removeSync(concat(sortable(head.hour), key))
      order.putSync(concat(sortable(hour), key), NOTHING)
    }
    return isRewritten ? EFFORT_OF_REWRITING : 1
  }
  const isDue = ({ oldestAt, ...head }: Head, more: number, now: EpochMs): boolean =>
    head.parts >= MAX_PARTS || head.entries + more > TOO_MANY * entriesPerOwner || now >= oldestAt + retentionS * 1000
  function addPart(key: Uint8Array, head: Head, fresh: readonly AccessEntry[]) {
    putPart(key, head.parts, fresh)
    const oldestAt = Math.min(head.oldestAt, ...fresh.map(({ at }) => at))
    return { oldestAt, parts: head.parts + 1, entries: head.entries + fresh.length }
  }
  function rewrite(key: Uint8Array, before: readonly AccessEntry[], fresh: readonly AccessEntry[], now: EpochMs) {
    const entries = bounded(unexpired(inOrder([...before, ...fresh]), now, retentionS), entriesPerOwner)
    dropParts(key)
    putPart(key, 0, entries)
    return { oldestAt: entries[0]?.at ?? now, parts: 1, entries: entries.length }
  }
  function write(queued: ReadonlyMap<Impu, Waiting>): readonly Impu[] {
    const written: Impu[] = []
    const damages: unknown[] = []
    file.write(() => {
      let effort = 0
      for (const [owner, waiting] of queued) {
        effort += writeOne(owner, waiting, damages)
        written.push(owner)
        if (effort >= OWNERS_PER_TRANSACTION) break
      }
    })
    for (const damage of damages) report(damage) // what is left of that log goes on
    return written
  }

  return {
    async append(owner, entry) {
      queue.add(owner, { ...entry })
    },
    async read(owner, now) {
      const key = recordKey(keys, DATABASE, owner)
      const atRest = file.read(() =>
        stored(key, (damage) => {
          throw damage
        }),
      )
      const { before, since } = queue.waitingFor(owner)
      const all = [...atRest, ...(atRest.length > 0 ? before : []), ...since]
      const entries = bounded(unexpired(inOrder(all), now, retentionS), entriesPerOwner)
      return entries.map((entry) => ({ ...entry })).reverse()
    },
    flush: () => queue.flush(),
    async sweep(now) {
      let total = 0
      for (let more = true; more; ) {
        const due = file.write(() => {
          const places = touchedUntil(now - HOUR_MS - retentionS * 1000, OWNERS_PER_TRANSACTION)
          for (const place of places) drop(place)
          return places.length
        })
        total += due
        more = due === OWNERS_PER_TRANSACTION
        if (more) await nextTurn() // requests come between
      }
      return total
    },
    close: () => queue.close(),
  }
}

const NOTHING = new Uint8Array(0)

function partOf(key: Uint8Array, number: number): Uint8Array {
  const octets = new Uint8Array(4)
  new DataView(octets.buffer).setUint32(0, number)
  return concat(key, octets)
}

function encodeHead({ hour, oldestAt, parts, entries }: Head): Uint8Array {
  const octets = new Uint8Array(24)
  const view = new DataView(octets.buffer)
  view.setFloat64(0, hour)
  view.setFloat64(8, oldestAt)
  view.setUint32(16, parts)
  view.setUint32(20, entries)
  return octets
}

/** @returns undefined for no record, and for one that is damaged: the log then begins anew */
function decodeHead(octets: Uint8Array | undefined): Head | undefined {
  if (octets?.length !== 24) return undefined
  const view = new DataView(octets.buffer, octets.byteOffset, octets.length)
  return {
    hour: view.getFloat64(0),
    oldestAt: view.getFloat64(8),
    parts: view.getUint32(16),
    entries: view.getUint32(20),
  }
}
