import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setImmediate as nextTurn, setTimeout as wait } from 'node:timers/promises'
import { openLmdb } from '../../src/store/lmdb.ts'
import { ACCESS_FILE, type LmdbAccessLogOptions, lmdbAccessLog } from '../../src/store/lmdb-access-log.ts'
import { LmdbFile } from '../../src/store/lmdb-file.ts'
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

/** The log of a store that is there, as another process opens it. */
function openedIn(directory: string, options: Partial<LmdbAccessLogOptions> = {}) {
  const environment = openLmdb({ directory })
  const log = lmdbAccessLog({ directory, keys: environment.keys, writeBehindMs: NEVER_MS, ...options })
  const close = async () => {
    await log.close()
    await environment.close()
  }
  return { log, close }
}

/** The parts of the logs in a directory. */
function partsIn(directory: string) {
  const path = join(directory, ACCESS_FILE)
  const file = new LmdbFile({ path, durable: true, minFreeBytes: 0, freeBytes: () => 1 })
  const database = file.database('access')
  const rest = atRest(directory, file, database)
  return { rest, parts: () => file.read(() => [...database.getRange({ start: new Uint8Array(1) })]) }
}

async function openIn(directory: string, bounds: AccessLogBounds): Promise<Opened<AccessLog>> {
  const { log, close } = openedIn(directory, bounds)
  return {
    store: log,
    close,
    reopen: async () => {
      await close()
      return openIn(directory, bounds)
    },
    rest: partsIn(directory).rest,
  }
}

/** A log on a disk whose free space the test turns. */
function aLog(options: Partial<LmdbAccessLogOptions> = {}) {
  const directory = aDirectory()
  const disk = { free: 1_000 }
  const failures: unknown[] = []
  const onFailure = (error: unknown) => failures.push(error)
  const space = { minFreeBytes: 1_000, freeBytes: () => disk.free }
  return {
    directory,
    disk,
    failures,
    ...openedIn(directory, { ...space, onFailure, ...options }),
    ...partsIn(directory),
  }
}

describe('lmdbAccessLog', () => {
  test('what is appended is at rest after the delay without anybody’s doing', async () => {
    const { directory, close, log } = aLog({ writeBehindMs: 20 })
    const other = openedIn(directory)
    await log.append(anOwner(1), anEntry(1))
    for (let left = 100; left > 0; left--) {
      await wait(10)
      if ((await other.log.read(anOwner(1), 1)).length === 1) break
    }
    assert.deepEqual(await other.log.read(anOwner(1), 1), [anEntry(1)])
    await other.close()
    await close()
  })

  test('closing flushes', async () => {
    const { directory, close, log } = aLog()
    await log.append(anOwner(1), anEntry(1))
    await close()
    const again = openedIn(directory)
    assert.deepEqual(await again.log.read(anOwner(1), 1), [anEntry(1)])
    await again.close()
  })

  test('two processes write into one log, and each reads all of it', async () => {
    const { directory, close, log } = aLog({ entriesPerOwner: 10 })
    const elsewhere = openedIn(directory, { entriesPerOwner: 10 })
    const other = elsewhere.log
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
    await close()
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
    const { log, close } = openedIn(directory, { entriesPerOwner: 100_000 })
    const kept = new Set((await log.read(anOwner(1), 1_000)).map(({ at }) => at))
    const last = appended.at(-1)?.at ?? 0
    // The delay is 50 ms; the rest is grace for a busy machine.
    const due = appended.filter(({ at }) => at < last - 400)
    assert.ok(due.length > 0)
    assert.deepEqual(
      due.filter(({ n }) => !kept.has(n)),
      [],
    )
    await close()
  })

  test('what is at rest of one log stays bounded, in parts and in entries', async () => {
    const { close, log, parts } = aLog({ entriesPerOwner: 20 })
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
    await close()
  })

  test('a log that goes on leaves nothing expired at rest', async () => {
    const { close, log, parts } = aLog({ retentionS: 1 })
    for (let at = 1; at <= 20; at++) {
      await log.append(anOwner(1), anEntry(at * 100))
      await log.flush()
    }
    const before = parts().length
    assert.ok(before <= 11, `${before} parts of 100 ms in a second`)
    await log.append(anOwner(1), anEntry(9_000))
    await log.flush()
    assert.equal(parts().length, 1)
    await close()
  })

  test('a sweep leaves nothing of a dropped log at rest', async () => {
    const { close, log, parts } = aLog({ retentionS: 1 })
    for (const at of [1, 2, 3]) {
      await log.append(anOwner(1), anEntry(at))
      await log.flush()
    }
    assert.equal(await log.sweep(10_000_000), 1)
    assert.equal(parts().length, 0)
    await close()
  })

  test('a damaged part is reported and left behind once the log is rewritten, and the rest goes on', async () => {
    const { close, failures, log, rest } = aLog({ entriesPerOwner: 10 })
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
    await close()
  })

  test('on a full disk requests go on, the log is read from memory, and is written once there is room', async () => {
    const { disk, close, failures, log, parts } = aLog({ writeBehindMs: 5 })
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
    await close()
  })

  test('while nothing can be written, a flood of tries leaves room for others, and the loss is reported', async () => {
    let dropped = 0
    const onDropped = () => {
      dropped++
    }
    const { disk, close, failures, log } = aLog({ maxWaiting: 100, onDropped })
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
    await close()
  })

  test('whoever reads while entries are being written sees each of them once', async () => {
    const { close, log } = aLog()
    for (let round = 0; round < 5; round++) {
      for (let n = 0; n < 400; n++) await log.append(anOwner(n), anEntry(round + 1))
      let isFlushed = false
      const flushed = log.flush().then(() => {
        isFlushed = true
      })
      while (!isFlushed) {
        for (const n of [0, 200, 399]) assert.equal((await log.read(anOwner(n), 9)).length, round + 1)
        await nextTurn()
      }
      await flushed
    }
    await close()
  })

  test('a flush is for what was appended before it, also while another one is under way', async () => {
    const { close, directory, log } = aLog()
    const other = openedIn(directory)
    const flushes: Promise<void>[] = []
    for (let n = 1; n <= 5; n++) {
      await log.append(anOwner(1), anEntry(n))
      flushes.push(log.flush())
    }
    for (const [n, flush] of flushes.entries()) {
      await flush
      assert.ok((await other.log.read(anOwner(1), 9)).length > n)
    }
    await other.close()
    await close()
  })

  test('requests come between however much there is to write', async () => {
    const { close, log, parts } = aLog({ maxWaiting: 10_000 })
    for (let n = 0; n < 3_000; n++) await log.append(anOwner(n), anEntry(1))
    let turns = 0
    let isFlushed = false
    const flushed = log.flush().finally(() => {
      isFlushed = true
    })
    for (; !isFlushed; turns++) await nextTurn()
    await flushed
    assert.ok(turns >= 10, `${turns} turns`)
    assert.equal(parts().length, 3_000)
    await close()
  })
})
