import { join } from 'node:path'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Impu } from '../core/identity.ts'
import { bounded, inOrder, unexpired, withDefaults } from './access-entries.ts'
import { moveAccessLogs } from './access-move.ts'
import { AccessQueue, type Leaving, type Waiting } from './access-queue.ts'
import { LmdbAccessRecords, MAX_EFFORT, MAX_OCTETS, type Plan } from './lmdb-access-records.ts'
import { MIN_FREE_BYTES } from './lmdb-environment.ts'
import { freeBytesAt, LmdbFile, makePrivateDirectory } from './lmdb-file.ts'
import { OwnerKeys } from './owner-keys.ts'
import type { SealKeys } from './seal.ts'
import type { AccessEntry, AccessLog, AccessLogBounds } from './store.ts'

export interface LmdbAccessLogOptions extends AccessLogBounds {
  readonly directory: string
  readonly keys: SealKeys
  /** The store's own file, which has kept the logs of earlier programs; they are moved. */
  readonly formerFile?: LmdbFile
  /** Below this much free space the log is read-only. 16 MiB by default. */
  readonly minFreeBytes?: number
  readonly freeBytes?: () => number
  /** How long an entry may wait in memory, which is what a killed process loses. 1 s by default. */
  readonly writeBehindMs?: number
  /**
   * Entries that may wait at a time, and as many again that are being written: far more than a process serves within
   * the delay. 20,000 by default.
   */
  readonly maxWaiting?: number
  /** Told of what could not be written, once per spell of failures, and of what was dropped. */
  readonly onFailure?: (error: unknown) => void
  /** Told of each entry that is dropped. */
  readonly onDropped?: () => void
}

export interface LmdbAccessLog extends AccessLog {
  /** Whether its file takes writes; not before a restart of the process once one has failed. */
  fileState(): 'writable' | 'read-only' | 'restart-needed'
  close(): Promise<void>
}

/** Of the file in the store's directory. */
export const ACCESS_FILE = 'access.mdb'

/** A commit costs as much as dozens; what their entries take is bounded besides. */
const OWNERS_PER_TRANSACTION = MAX_EFFORT
/** So long may the log have the event loop ahead of a transaction. */
const STRETCH_MS = 1
const MOST_IN_STRETCH = 256
const HOUR_MS = 3_600_000

/**
 * Access logs in an LMDB file of their own, whose lock holds up nothing else of the store. `append` leaves the entry in
 * memory; what came in within a second is written behind. Sealing is done ahead of a transaction, and its commit on
 * another thread, so the event loop waits neither for the disk nor for another process, and requests come between.
 * Owners are written in the order of their keys: of those in one transaction, many then share pages.
 * An entry of a log that is not touched any more stays at rest, sealed and unread, for up to twice the retention.
 */
export function lmdbAccessLog(options: LmdbAccessLogOptions): LmdbAccessLog {
  const { keys } = options
  const bounds = withDefaults(options)
  const { entriesPerOwner, retentionS } = bounds
  const file = openFile(options)
  const records = new LmdbAccessRecords(file, keys, bounds)
  const ownerKeys = new OwnerKeys(keys, 'access')
  const report = options.onFailure ?? (() => {})
  const queue = new AccessQueue({
    delayMs: options.writeBehindMs ?? 1000,
    maxWaiting: options.maxWaiting ?? 20_000,
    write,
    report: (error) => {
      if (!(restartCause !== undefined && error instanceof Error && error.cause === restartCause)) report(error)
    },
    onDropped: options.onDropped,
  })
  /** Why a restart was asked for already. */
  let restartCause: unknown
  /** Whose entries may be at rest before the queue knows that they are. */
  let underWay: { readonly owners: ReadonlySet<Impu>; readonly done: Promise<unknown> } | undefined

  async function write(leaving: ReadonlyMap<Impu, Waiting>, told: Leaving): Promise<void> {
    const owners = await inOrderOfKeys(leaving)
    // A log that goes on is touched before the one touched least recently goes for a new one.
    const beginning: Owner[] = []
    await writeInTurn(owners, told, (one) => records.planToGoOn(one.key, one.waiting) ?? void beginning.push(one))
    await writeInTurn(beginning, told, ({ key, waiting }) => records.plan(key, waiting))
  }
  /** Also in a spell of failures of which the queue has told: that the disk is full, people mend without a restart. */
  function tellToRestart(error: unknown): void {
    if (restartCause !== undefined || !file.needsRestart() || !(error instanceof Error)) return
    restartCause = error.cause
    report(error)
  }
  async function writeInTurn(owners: readonly Owner[], { written, pause }: Leaving, planOf: PlanOf): Promise<void> {
    const expected = Math.ceil(owners.length / OWNERS_PER_TRANSACTION)
    for (let at = 0, turn = 0; at < owners.length; turn++) {
      if (turn > 0) await pause(Math.max(expected, turn))
      let { plans, done } = await planned(owners.slice(at, at + OWNERS_PER_TRANSACTION), planOf)
      at += done
      while (plans.length > 0) {
        plans = await performed(plans, written)
      }
    }
  }
  async function inOrderOfKeys(leaving: ReadonlyMap<Impu, Waiting>): Promise<readonly Owner[]> {
    const byFirstOctet: Owner[][] = Array.from({ length: 256 }, () => [])
    await inStretches([...leaving], ([owner, waiting]) => {
      const key = ownerKeys.of(owner)
      byFirstOctet[key[0] ?? 0]?.push({ owner, waiting, key })
      return true
    })
    return byFirstOctet.flat()
  }
  /** Plans for as many as one transaction takes: what is sealed of more is not held in memory. */
  async function planned(owners: readonly Owner[], planOf: PlanOf) {
    const plans: Planned[] = []
    let octets = 0
    const add = (one: Owner) => {
      const plan = planOf(one)
      if (plan !== undefined) plans.push({ owner: one.owner, plan })
      octets += plan?.changes?.octets ?? 0
      return octets < MAX_OCTETS
    }
    const done = await inStretches(owners, add, (stretch) => file.read(stretch))
    return { plans: plans as readonly Planned[], done }
  }
  /** @returns those that are left for another transaction */
  async function performed(plans: readonly Planned[], written: (owner: Impu) => void): Promise<readonly Planned[]> {
    const told = (done: number) => {
      for (const { owner } of plans.slice(0, done)) written(owner)
      return plans.slice(done)
    }
    if (plans.every(({ plan }) => plan.changes === undefined)) return told(plans.length)
    const commit = file.writeAsync(() => {
      underWay = { owners: new Set(plans.map(({ owner }) => owner)), done: commit.catch(() => {}) }
      const writer = records.writer()
      let done = 0
      for (const { plan } of plans) {
        if (!writer.perform(plan)) break
        done++
      }
      return { done, damages: writer.damages }
    })
    try {
      const { done, damages } = await commit
      for (const damage of damages) report(damage) // what is left of that log goes on
      return told(done) // before anybody can read what is at rest now
    } catch (error) {
      tellToRestart(error)
      throw error
    } finally {
      underWay = undefined
    }
  }
  async function read(owner: Impu, now: number): Promise<AccessEntry[]> {
    while (underWay?.owners.has(owner)) {
      await underWay.done
      await nextTurn()
    }
    const atRest = file.read(() => records.entriesOf(ownerKeys.of(owner)))
    const all = [...atRest, ...queue.entriesOf(owner, atRest.length > 0)]
    return bounded(unexpired(inOrder(all), now, retentionS), entriesPerOwner).toReversed()
  }

  return {
    async append(owner, entry) {
      queue.add(owner, entry)
    },
    read,
    flush: () => queue.flush(),
    fileState() {
      if (file.needsRestart()) return 'restart-needed'
      return file.isWritable() ? 'writable' : 'read-only'
    },
    async sweep(now) {
      const until = now - HOUR_MS - retentionS * 1000
      let total = 0
      while (file.read(() => records.isAnyTouchedUntil(until))) {
        total += await file.writeAsync(() => records.dropTouchedUntil(until, DROPPED_AT_ONCE))
      }
      return total
    },
    async close() {
      try {
        await queue.close()
      } finally {
        await file.close()
      }
    },
  }
}

interface Owner {
  readonly owner: Impu
  readonly waiting: Waiting
  readonly key: Uint8Array
}

interface Planned {
  readonly owner: Impu
  readonly plan: Plan
}

/** @returns undefined where nothing is to be written now */
type PlanOf = (one: Owner) => Plan | undefined

/** Logs; of as many with many parts, some are left for the next transaction. */
const DROPPED_AT_ONCE = 256

/**
 * @param act  whether to go on
 * @param within  does a stretch of it, which is its argument
 * @returns how many were done
 */
async function inStretches<Item>(
  items: readonly Item[],
  act: (item: Item) => boolean,
  within: (stretch: () => void) => void = (stretch) => stretch(),
): Promise<number> {
  let at = 0
  let goesOn = true
  const stretch = () => {
    const until = performance.now() + STRETCH_MS
    for (const item of items.slice(at, at + MOST_IN_STRETCH)) {
      goesOn = act(item)
      at++
      if (!goesOn || performance.now() >= until) return
    }
  }
  while (goesOn && at < items.length) {
    within(stretch)
    if (goesOn && at < items.length) await nextTurn()
  }
  return at
}

function openFile({ directory, formerFile, ...options }: LmdbAccessLogOptions): LmdbFile {
  const { minFreeBytes = MIN_FREE_BYTES, freeBytes = () => freeBytesAt(directory) } = options
  makePrivateDirectory(directory)
  const file = new LmdbFile({ path: join(directory, ACCESS_FILE), durable: true, minFreeBytes, freeBytes })
  try {
    moveAccessLogs(file, formerFile, { report: options.onFailure })
  } catch (error) {
    void file.close()
    throw error
  }
  return file
}
