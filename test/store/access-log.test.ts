import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { openLmdb } from '../../src/store/lmdb.ts'
import { type LmdbAccessLogOptions, lmdbAccessLog } from '../../src/store/lmdb-access-log.ts'
import { memoryAccessLog } from '../../src/store/memory.ts'
import type { AccessLog, AccessLogBounds } from '../../src/store/store.ts'
import { accessLogContract, anEntry, anOwner } from '../contract/access-log.ts'
import { type Adapter, flipLastBit, isUnavailable, type Opened } from '../contract/adapter.ts'
import { aDirectory, atRest } from './directory.ts'

/** Writes behind only when told, so that a test decides what is on the disk. */
const NEVER_MS = 1_000_000

accessLogContract(
  { name: 'memory', open: async (bounds) => ({ store: memoryAccessLog(bounds), close: async () => {} }) },
  { survivesRestart: false, sealsAtRest: false, runs: 200 },
)

const inLmdb: Adapter<AccessLog, AccessLogBounds> = { name: 'LMDB', open: (bounds) => openIn(aDirectory(), bounds) }
accessLogContract(inLmdb, { survivesRestart: true, sealsAtRest: true, runs: 60 })

async function openIn(directory: string, bounds: AccessLogBounds): Promise<Opened<AccessLog>> {
  const environment = openLmdb({ directory })
  const log = lmdbAccessLog(environment, { ...bounds, writeBehindMs: NEVER_MS })
  return {
    store: log,
    close: () => environment.close(),
    reopen: async () => {
      await environment.close()
      return openIn(directory, bounds)
    },
    rest: atRest(directory, environment.file, environment.file.database('access')),
  }
}

/** A log with its environment, on a disk whose free space the test turns. */
function aLog(options: LmdbAccessLogOptions = {}) {
  const directory = aDirectory()
  const disk = { free: 1_000 }
  const environment = openLmdb({ directory, minFreeBytes: 1_000, freeBytes: () => disk.free })
  const failures: unknown[] = []
  const onFailure = (error: unknown) => failures.push(error)
  const log = lmdbAccessLog(environment, { writeBehindMs: NEVER_MS, onFailure, ...options })
  const parts = environment.file.database('access')
  const sizes = () => environment.file.read(() => [...parts.getRange({ start: new Uint8Array(1) })])
  return { directory, disk, environment, failures, log, parts: sizes, rest: atRest(directory, environment.file, parts) }
}

describe('lmdbAccessLog', () => {
  test('what is appended is at rest after the delay without anybody’s doing', async () => {
    const { directory, environment, log } = aLog({ writeBehindMs: 20 })
    await log.append(anOwner(1), anEntry(1))
    const other = openLmdb({ directory })
    for (let left = 100; left > 0; left--) {
      await wait(10)
      if ((await lmdbAccessLog(other).read(anOwner(1), 1)).length === 1) break
    }
    assert.deepEqual(await lmdbAccessLog(other).read(anOwner(1), 1), [anEntry(1)])
    await other.close()
    await log.close()
    await environment.close()
  })

  test('closing flushes', async () => {
    const { directory, environment, log } = aLog()
    await log.append(anOwner(1), anEntry(1))
    await log.close()
    await environment.close()
    const again = openLmdb({ directory })
    assert.deepEqual(await lmdbAccessLog(again).read(anOwner(1), 1), [anEntry(1)])
    await again.close()
  })

  test('two processes write into one log, and each reads all of it', async () => {
    const { directory, environment, log } = aLog({ entriesPerOwner: 10 })
    const elsewhere = openLmdb({ directory })
    const other = lmdbAccessLog(elsewhere, { entriesPerOwner: 10, writeBehindMs: NEVER_MS })
    for (let at = 1; at < 60; at += 2) {
      await log.append(anOwner(1), anEntry(at))
      await other.append(anOwner(1), anEntry(at + 1, 'refused'))
      await log.flush()
      await other.flush()
    }
    const all = [60, 59, 58, 57, 56, 55, 54, 53, 52, 51]
    for (const one of [log, other]) {
      assert.deepEqual(
        (await one.read(anOwner(1), 60)).map(({ at }) => at),
        all,
      )
    }
    await elsewhere.close()
    await environment.close()
  })

  test('a killed process loses nothing that had waited longer than the delay and one write', async () => {
    const directory = aDirectory()
    const child = fork(join(import.meta.dirname, 'access-log-child.ts'), [directory], { stdio: 'inherit' })
    const appended: { n: number; at: number }[] = []
    child.on('message', (message) => appended.push(message as { n: number; at: number }))
    while (appended.length < 600) await once(child, 'message')
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
    const environment = openLmdb({ directory })
    const log = lmdbAccessLog(environment, { entriesPerOwner: 100_000 })
    const kept = new Set((await log.read(anOwner(1), 1_000)).map(({ at }) => at))
    const last = appended.at(-1)?.at ?? 0
    // The delay is 50 ms; the rest is grace for a busy machine.
    const due = appended.filter(({ at }) => at < last - 400)
    assert.ok(due.length > 0)
    assert.deepEqual(
      due.filter(({ n }) => !kept.has(n)),
      [],
    )
    await environment.close()
  })

  test('what is at rest of one log stays bounded, in parts and in entries', async () => {
    const { environment, log, parts } = aLog({ entriesPerOwner: 20 })
    for (let at = 1; at <= 70; at++) {
      await log.append(anOwner(1), anEntry(at))
      await log.flush()
      assert.ok(parts().length <= 33)
    }
    const few = parts().reduce((sum, { value }) => sum + value.length, 0)
    for (let at = 71; at <= 2_000; at++) {
      await log.append(anOwner(1), anEntry(at, 'refused'))
      if (at % 30 === 0) await log.flush()
    }
    assert.ok(parts().reduce((sum, { value }) => sum + value.length, 0) < 5 * few)
    await environment.close()
  })

  test('a log that goes on leaves nothing expired at rest', async () => {
    const { environment, log, parts } = aLog({ retentionS: 1 })
    for (let at = 1; at <= 20; at++) {
      await log.append(anOwner(1), anEntry(at * 100))
      await log.flush()
    }
    const before = parts().length
    assert.ok(before <= 11, `${before} parts of 100 ms in a second`)
    await log.append(anOwner(1), anEntry(9_000))
    await log.flush()
    assert.equal(parts().length, 1)
    await environment.close()
  })

  test('a sweep leaves nothing of a dropped log at rest', async () => {
    const { environment, log, parts } = aLog({ retentionS: 1 })
    for (const at of [1, 2, 3]) {
      await log.append(anOwner(1), anEntry(at))
      await log.flush()
    }
    assert.equal(await log.sweep(10_000_000), 1)
    assert.equal(parts().length, 0)
    await environment.close()
  })

  test('a damaged part is reported and left behind once the log is rewritten, and the rest goes on', async () => {
    const { environment, failures, log, rest } = aLog({ entriesPerOwner: 10 })
    await log.append(anOwner(1), anEntry(1))
    await log.flush()
    await rest.tamper(flipLastBit)
    for (let at = 2; at <= 41; at++) {
      await log.append(anOwner(1), anEntry(at))
      if (at % 5 === 0) await log.flush()
    }
    await log.flush()
    assert.ok(failures.length === 1 && failures.every(isUnavailable))
    assert.equal((await log.read(anOwner(1), 41)).length, 10)
    await environment.close()
  })

  test('on a full disk requests go on, the log is read from memory, and is written once there is room', async () => {
    const { disk, environment, failures, log, parts } = aLog({ writeBehindMs: 5 })
    disk.free = 0
    for (const at of [1, 2]) await log.append(anOwner(1), anEntry(at))
    await wait(100)
    assert.equal(failures.length, 1)
    assert.ok(isUnavailable(failures[0]))
    assert.deepEqual(
      (await log.read(anOwner(1), 2)).map(({ at }) => at),
      [2, 1],
    )
    disk.free = 1_000
    await log.flush()
    assert.equal(parts().length, 1)
    await log.close()
    await environment.close()
  })

  test('while nothing can be written, a flood of tries leaves room for others, and the loss is reported', async () => {
    let dropped = 0
    const onDropped = () => {
      dropped++
    }
    const { disk, environment, failures, log } = aLog({ maxWaiting: 100, onDropped })
    disk.free = 0
    for (let n = 0; n < 120; n++) await log.append(anOwner(n), anEntry(1, 'refused'))
    await log.append(anOwner('self'), anEntry(2))
    assert.deepEqual(await log.read(anOwner('self'), 2), [anEntry(2)])
    assert.equal(dropped, 70) // tries have half the room
    for (let n = 0; n < 120; n++) await log.append(anOwner(n), anEntry(3))
    assert.equal(dropped, 141)
    disk.free = 1_000
    await log.flush()
    assert.ok(failures.length === 1 && failures.every(isUnavailable))
    assert.deepEqual(await log.read(anOwner('self'), 2), [anEntry(2)])
    await environment.close()
  })
})
