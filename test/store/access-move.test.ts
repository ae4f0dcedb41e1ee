import assert from 'node:assert/strict'
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { concat, utf8 } from '../../src/core/bytes.ts'
import { encodeEntries } from '../../src/store/access-entries.ts'
import { moveAccessLogs } from '../../src/store/access-move.ts'
import { openLmdb } from '../../src/store/lmdb.ts'
import { ACCESS_FILE, lmdbAccessLog } from '../../src/store/lmdb-access-log.ts'
import { entryCount, LmdbFile } from '../../src/store/lmdb-file.ts'
import { recordKey, seal } from '../../src/store/seal.ts'
import { sortable } from '../../src/store/sortable.ts'
import { anEntry, anOwner } from '../contract/access-log.ts'
import { isUnavailable } from '../contract/adapter.ts'
import { aDirectory } from './directory.ts'

const HOUR = 3_600_000
const number = (n: number) => Uint8Array.of(0, 0, 0, n)

/** A store as earlier programs left it: logs in its own file, of two parts each, every part under a key of its own. */
function aFormerStore(owners: number) {
  const directory = aDirectory()
  const environment = openLmdb({ directory })
  const { file, keys } = environment
  const [parts, heads, order] = ['access', 'access-owners', 'access-order'].map((name) => file.database(name))
  assert.ok(parts && heads && order)
  const write = () =>
    file.write(() => {
      for (let n = 0; n < owners; n++) {
        const key = recordKey(keys, 'access', anOwner(n))
        for (const part of [0, 1]) {
          const partKey = concat(key, number(part))
          const plaintext = encodeEntries([anEntry(HOUR + 10 * n + part)])
          parts.putSync(partKey, seal(keys, { database: 'access', key: partKey }, plaintext))
        }
        heads.putSync(key, concat(sortable(HOUR), sortable(HOUR + 10 * n), number(2), number(2)))
        order.putSync(concat(sortable(HOUR), key), new Uint8Array(0))
      }
    })
  write()
  const left = () => file.read(() => [parts, heads, order].map(entryCount))
  const failures: unknown[] = []
  const onFailure = (error: unknown) => failures.push(error)
  const options = { directory, keys, formerFile: file, writeBehindMs: 1_000_000, retentionS: 100, onFailure }
  const open = () => lmdbAccessLog(options)
  return { directory, environment, left, open, write, failures, databases: { parts, heads, order } }
}

const openAccessFile = (directory: string, freeBytes = () => 1_000) =>
  new LmdbFile({ path: join(directory, ACCESS_FILE), durable: true, minFreeBytes: 1_000, freeBytes })

/** Moves what is in a store, in small batches. @returns whether it came to its end before it was cut off */
async function isMoved({ directory, environment }: ReturnType<typeof aFormerStore>, batches: number) {
  let left = Number.POSITIVE_INFINITY
  const file = openAccessFile(directory, () => (left-- > 0 ? 1_000 : 0))
  for (const name of ['marks', 'access', 'access-owners', 'access-order']) file.database(name)
  left = batches
  try {
    moveAccessLogs(file, environment.file, { octetsAtOnce: 250 })
    return true
  } catch (error) {
    assert.ok(isUnavailable(error))
    return false
  } finally {
    await file.close()
  }
}

/** What is at rest in both files, by database. */
async function recordsIn(directory: string) {
  const file = openAccessFile(directory)
  const counts = file.read(() =>
    ['access', 'access-owners', 'access-order'].map((name) => entryCount(file.database(name))),
  )
  await file.close()
  return counts
}

const instants = async (log: ReturnType<typeof lmdbAccessLog>, owner: number) =>
  (await log.read(anOwner(owner), HOUR)).map(({ at }) => at - HOUR)

describe('access logs in the store’s own file', () => {
  test('are moved to theirs, go on there, and expire there', async () => {
    const { directory, environment, left, open } = aFormerStore(50)
    const log = open()
    assert.deepEqual(left(), [0, 0, 0])
    for (const n of [0, 7, 49]) assert.deepEqual(await instants(log, n), [10 * n + 1, 10 * n])
    for (let flush = 2; flush < 80; flush++) {
      await log.append(anOwner(7), anEntry(HOUR + 70 + flush))
      await log.flush()
    }
    assert.deepEqual(
      await instants(log, 7),
      Array.from({ length: 80 }, (_, n) => 149 - n),
    )
    assert.equal(await log.sweep(4 * HOUR), 50)
    await log.close()
    await environment.close()
    assert.equal(statSync(join(directory, ACCESS_FILE)).mode & 0o777, 0o600)
  })

  test('are moved once: what a killed process left behind is dropped, and not there twice', async () => {
    const { directory, environment, failures, left, open, write } = aFormerStore(3)
    const first = open()
    await first.sweep(4 * HOUR)
    await first.append(anOwner(1), anEntry(HOUR + 500))
    await first.close()
    write()
    const file = openAccessFile(directory)
    file.write(() => file.database('marks').removeSync(utf8('former-cleared'))) // it was killed before it said so
    await file.close()
    const second = open()
    assert.deepEqual(left(), [0, 0, 0])
    assert.deepEqual(await instants(second, 1), [500])
    assert.deepEqual(await instants(second, 2), [])
    await second.close()
    await environment.close()
    assert.deepEqual(failures, [])
  })

  test('that an earlier program has written since are dropped, which is reported once, with how many', async () => {
    const { environment, failures, left, open, write } = aFormerStore(3)
    await open().close()
    assert.deepEqual(failures, [])
    write()
    const log = open()
    assert.deepEqual(left(), [0, 0, 0])
    assert.ok(failures.length === 1 && failures.every(isUnavailable))
    assert.match(String(failures[0]), /\b6 entries\b/)
    assert.deepEqual(await instants(log, 1), [11, 10])
    await log.close()
    await open().close()
    assert.equal(failures.length, 1)
    await environment.close()
  })

  test('are all there once, wherever their move was cut off and begun again', async () => {
    let whole = false
    for (let batches = 1; !whole; batches++) {
      const store = aFormerStore(6)
      const { directory, environment, failures, left, open } = store
      whole = await isMoved(store, batches)
      if (!whole) assert.deepEqual(left(), [12, 6, 6])
      if (whole) assert.ok(batches > 8, `${batches} batches`)
      if (!whole && batches % 2 === 0) await isMoved(store, batches - 1)
      const log = open()
      assert.deepEqual(left(), [0, 0, 0])
      for (let n = 0; n < 6; n++) assert.deepEqual(await instants(log, n), [10 * n + 1, 10 * n])
      await log.close()
      await environment.close()
      assert.deepEqual(await recordsIn(directory), [12, 6, 6])
      assert.deepEqual(failures, [])
    }
  })

  test('are there once where an earlier program went on between a move that was cut off and the next', async () => {
    for (let batches = 1; ; batches++) {
      const store = aFormerStore(6)
      const { directory, environment, failures, open } = store
      const { file, keys } = environment
      const { parts, heads, order } = store.databases
      if (await isMoved(store, batches)) {
        assert.ok(batches > 8, `${batches} batches`)
        await environment.close()
        break
      }
      // It makes one part of two, in another hour, drops a log, and begins one.
      file.write(() => {
        for (const n of [0, 1, 2, 3, 4, 5, 6]) {
          const key = recordKey(keys, 'access', anOwner(n))
          for (const part of [0, 1]) parts.removeSync(concat(key, number(part)))
          heads.removeSync(key)
          order.removeSync(concat(sortable(HOUR), key))
          if (n === 5) continue
          const partKey = concat(key, number(0))
          const plaintext = encodeEntries([anEntry(HOUR + 10 * n), anEntry(HOUR + 10 * n + 1)])
          parts.putSync(partKey, seal(keys, { database: 'access', key: partKey }, plaintext))
          heads.putSync(key, concat(sortable(2 * HOUR), sortable(HOUR + 10 * n), number(1), number(2)))
          order.putSync(concat(sortable(2 * HOUR), key), new Uint8Array(0))
        }
      })
      const log = open()
      for (const n of [0, 1, 2, 3, 4, 6]) assert.deepEqual(await instants(log, n), [10 * n + 1, 10 * n])
      assert.deepEqual(await instants(log, 5), [])
      await log.close()
      await environment.close()
      assert.deepEqual(await recordsIn(directory), [6, 6, 6])
      assert.deepEqual(failures, [])
    }
  })

  test('are where they were when there is no room to move them', async () => {
    const { directory, environment, left, open } = aFormerStore(3)
    const { keys, file } = environment
    const space = { minFreeBytes: 1_000, freeBytes: () => 999 }
    assert.throws(() => lmdbAccessLog({ directory, keys, formerFile: file, ...space }), isUnavailable)
    assert.deepEqual(left(), [6, 3, 3])
    const log = open()
    assert.deepEqual(await instants(log, 1), [11, 10])
    await log.close()
    await environment.close()
  })

  test('are not there in a new store, whose file gets no database for them', async () => {
    const directory = aDirectory()
    const environment = openLmdb({ directory })
    const log = lmdbAccessLog({ directory, keys: environment.keys, formerFile: environment.file })
    assert.ok(existsSync(join(directory, ACCESS_FILE)))
    assert.equal(environment.file.databaseIfThere('access'), undefined)
    await log.close()
    await environment.close()
  })
})

test('a file of access logs in another format is left alone', async () => {
  const directory = aDirectory()
  const { keys, close } = openLmdb({ directory })
  const path = join(directory, ACCESS_FILE)
  const file = new LmdbFile({ path, durable: true, minFreeBytes: 0, freeBytes: () => 1 })
  const marks = file.database('marks')
  file.write(() => marks.putSync(utf8('format'), utf8('2')))
  assert.throws(() => lmdbAccessLog({ directory, keys }), isUnavailable)
  await file.close()
  await close()
})
