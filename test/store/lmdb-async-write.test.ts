import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises'
import { utf8 } from '../../src/core/bytes.ts'
import { LmdbFile } from '../../src/store/lmdb-file.ts'
import { isUnavailable } from '../contract/adapter.ts'
import { aDirectory } from './directory.ts'

const KEY = utf8('key')
const CHILD = join(import.meta.dirname, 'lmdb-async-child.ts')

function aFile(directory = aDirectory()) {
  const disk = { free: 1_000 }
  const path = join(directory, 'one.mdb')
  const file = new LmdbFile({ path, durable: true, minFreeBytes: 1_000, freeBytes: () => disk.free })
  const database = file.database('data')
  const found = () => file.read(() => database.get(KEY)?.[0])
  const put = (octet: number) => file.writeAsync(() => database.putSync(KEY, Uint8Array.of(octet)))
  return { disk, file, database, found, put }
}

describe('an asynchronous write', () => {
  test('runs in a later turn, and has committed when it resolves', async () => {
    const { file, database, found } = aFile()
    const written = file.writeAsync(() => {
      database.putSync(KEY, Uint8Array.of(1))
      return 'what it did'
    })
    assert.equal(found(), undefined)
    assert.equal(await written, 'what it did')
    assert.equal(found(), 1)
    await file.close()
  })

  test('changes nothing when it throws, and the next one goes on', async () => {
    const { file, database, found, put } = aFile()
    const failing = file.writeAsync(() => {
      database.putSync(KEY, Uint8Array.of(1))
      throw new RangeError('mine')
    })
    await assert.rejects(failing, RangeError)
    assert.equal(found(), undefined)
    await put(2)
    assert.equal(found(), 2)
    await file.close()
  })

  test('follows the one before, and closing waits for all', async () => {
    const directory = aDirectory()
    const { file, database, put } = aFile(directory)
    const seen: (number | undefined)[] = []
    const all = [1, 2, 3].map((n) =>
      file.writeAsync(() => {
        seen.push(database.get(KEY)?.[0])
        database.putSync(KEY, Uint8Array.of(n))
      }),
    )
    const closed = file.close()
    await Promise.all(all)
    await closed
    assert.deepEqual(seen, [undefined, 1, 2])
    await assert.rejects(put(4), isUnavailable)
    const again = aFile(directory)
    assert.equal(again.found(), 3)
    await again.file.close()
  })

  test('is refused while the disk is nearly full, and is not when there is room again', async () => {
    const { disk, file, found, put } = aFile()
    disk.free = 999
    await assert.rejects(put(1), isUnavailable)
    assert.equal(file.isWritable(), false)
    disk.free = 1_000
    await put(2)
    assert.equal(found(), 2)
    await file.close()
  })

  test('is refused when the disk fills up before its turn comes', async () => {
    const { disk, file, found, put } = aFile()
    const written = [put(1), put(2)]
    await written[0]
    disk.free = 999
    await assert.rejects(written[1] ?? Promise.resolve(), isUnavailable)
    assert.equal(found(), 1)
    await file.close()
  })

  test('is not mixed with a synchronous one', async () => {
    const { file, database, put } = aFile()
    const written = put(1)
    assert.throws(() => file.write(() => database.putSync(KEY, Uint8Array.of(2))), RangeError)
    await written
    file.write(() => database.putSync(KEY, Uint8Array.of(3)))
    await file.close()
  })

  test('holds up nobody in this process while another process has the file', async () => {
    const directory = aDirectory()
    const { file, found, put } = aFile(directory)
    const child = spawn(process.execPath, [CHILD, 'hold', directory], { stdio: ['ignore', 'pipe', 'inherit'] })
    await once(child.stdout, 'data')
    let done = false
    const written = put(1).then(() => {
      done = true
    })
    // Its event loop would stand still here until somebody else ends the child.
    for (let turn = 0; turn < 100; turn++) {
      await nextTurn()
      assert.equal(found(), undefined)
    }
    await delay(50)
    assert.equal(done, false)
    writeFileSync(join(directory, 'enough'), '')
    await written
    assert.equal(found(), 1)
    await file.close()
  })

  test('that meets an error of the disk before its commit leaves the file read-only, as a synchronous one does', async () => {
    const fail = () => {
      throw Object.assign(new Error('Input/output error'), { code: 5 })
    }
    for (const write of [async (file: LmdbFile) => file.writeAsync(fail), async (file: LmdbFile) => file.write(fail)]) {
      const { file, put } = aFile()
      await put(1)
      assert.equal(file.needsRestart(), false)
      await assert.rejects(write(file), isUnavailable)
      assert.deepEqual([file.needsRestart(), file.isWritable()], [true, false])
      await assert.rejects(put(2), isUnavailable)
      await file.close()
    }
  })

  test('that fails in its commit leaves the file read-only, and the process alive', async () => {
    const directory = aDirectory()
    // Files may grow to 2 MB; to write beyond that is an error, as on a disk that fails.
    const script = `trap '' XFSZ; ulimit -f 4096; exec "$0" "$1" fail "$2"`
    const child = spawn('bash', ['-c', script, process.execPath, CHILD, directory], {
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    child.stderr.resume()
    const told: string[] = []
    child.stdout.on('data', (chunk) => told.push(String(chunk)))
    const [code] = await once(child, 'close')
    assert.deepEqual([code, told.join('')], [0, 'ok\n'])
    const { file, database } = aFile(directory)
    assert.ok(file.read(() => [...database.getKeys({ start: new Uint8Array(1) })].length) > 0)
    await file.close()
  })
})
