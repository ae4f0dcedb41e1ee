import assert from 'node:assert/strict'
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { openLmdb } from '../../src/store/lmdb.ts'
import { lmdbAccessLog } from '../../src/store/lmdb-access-log.ts'
import { anOwner } from '../contract/access-log.ts'
import { aDirectory } from './directory.ts'

const MANY = 1_000_000

/** Everything in the logs of these owners. */
async function readAll(directory: string, owners: readonly string[]) {
  const environment = openLmdb({ directory })
  const log = lmdbAccessLog({ directory, keys: environment.keys, entriesPerOwner: MANY })
  const all = await Promise.all(owners.map((owner) => log.read(anOwner(owner), 2 * MANY)))
  await log.close()
  await environment.close()
  return all.map((entries) => entries.map(({ at }) => at).sort((a, b) => a - b))
}

const aWriter = (...args: readonly string[]): ChildProcess =>
  fork(join(import.meta.dirname, 'access-log-writer.ts'), args, { stdio: 'inherit' })

describe('access logs of several processes', () => {
  test('have everything in them that each wrote into the same ones at once', async () => {
    const directory = aDirectory()
    const writers = [0, 1, 2].map((n) => aWriter(directory, String(n), '400'))
    await Promise.all(writers.map((writer) => once(writer, 'message'))) // each has opened it
    for (const writer of writers) writer.send('begin')
    const codes = await Promise.all(writers.map((writer) => once(writer, 'exit')))
    assert.deepEqual(
      codes.map(([code]) => code),
      [0, 0, 0],
    )
    const expected = Array.from({ length: 1_200 }, (_, at) => at + 1)
    assert.deepEqual(await readAll(directory, ['a', 'b']), [expected, expected])
  })

  test('are readable and go on after a process was killed at any moment, and keep what was flushed', async () => {
    const directory = aDirectory()
    const flushed = new Set<number>()
    for (let round = 0; round < 6; round++) {
      const writer = aWriter(directory, String(round), 'forever')
      writer.on('message', (message) => {
        if (Array.isArray(message)) for (const at of message) flushed.add(at)
      })
      await once(writer, 'message')
      writer.send('begin')
      while (flushed.size < 40 * (round + 1)) await once(writer, 'message')
      const gone = once(writer, 'exit')
      writer.kill('SIGKILL')
      await gone
      for (const kept of await readAll(directory, ['a', 'b'])) {
        const there = new Set(kept)
        assert.equal(there.size, kept.length)
        assert.deepEqual(
          [...flushed].filter((at) => !there.has(at)),
          [],
        )
      }
    }
  })
})
