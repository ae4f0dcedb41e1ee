import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { openLmdb } from '../../src/store/lmdb.ts'
import { ACCESS_FILE, lmdbAccessLog } from '../../src/store/lmdb-access-log.ts'
import type { AccessEntry, AccessLogBounds } from '../../src/store/store.ts'
import { anEntry, anOwner } from '../contract/access-log.ts'
import { aDirectory } from './directory.ts'

const MIB = 1024 * 1024
/** What a transaction takes, and the pages of trees and of free pages beside. */
const MOST = 5 * MIB

/** A log whose file is measured at each transaction: free space is asked for at the beginning of each. */
function measured(bounds: AccessLogBounds & { readonly maxWaiting?: number }) {
  const directory = aDirectory()
  const sizes: number[] = []
  const size = () => statSync(join(directory, ACCESS_FILE), { throwIfNoEntry: false })?.size ?? 0
  const freeBytes = () => {
    sizes.push(size())
    return 1_000
  }
  const { keys, close } = openLmdb({ directory })
  const log = lmdbAccessLog({ directory, keys, writeBehindMs: 1_000_000, minFreeBytes: 1_000, freeBytes, ...bounds })
  const largest = () => {
    const all = [...sizes, size()]
    return Math.max(...all.map((after, n) => after - (all[n - 1] ?? after)))
  }
  return { log, largest, close: () => log.close().then(close) }
}

const aLongEntry = (at: number, documentSelector = 'x'.repeat(512)): AccessEntry => ({
  ...anEntry(at),
  documentSelector,
})

describe('one transaction of access logs', () => {
  test('is no larger than a part of what stays free, however long the entries of many logs are', async () => {
    const { log, largest, close } = measured({ entriesPerOwner: 10_000 })
    for (let at = 0; at < 140; at++) for (let n = 0; n < 140; n++) await log.append(anOwner(n), aLongEntry(at))
    await log.flush()
    assert.equal((await log.read(anOwner(139), 140)).length, 140)
    assert.ok(largest() < MOST, `${largest()} octets`)
    await close()
  })

  test('is no larger where long logs are rewritten', async () => {
    const { log, largest, close } = measured({ entriesPerOwner: 1_000, maxWaiting: 100_000 })
    for (let round = 0; round < 5; round++) {
      for (let at = 0; at < 1_000; at++) {
        for (let n = 0; n < 24; n++) await log.append(anOwner(n), aLongEntry(1_000 * round + at))
      }
      await log.flush()
    }
    assert.equal((await log.read(anOwner(23), 5_000)).length, 1_000)
    assert.ok(largest() < MOST, `${largest()} octets`)
    await close()
  })

  test('takes half of what stays free at most for one log, whose oldest entries go then', async () => {
    const { log, largest, close } = measured({ entriesPerOwner: 10_000 })
    for (let at = 0; at < 10_000; at++) await log.append(anOwner(1), aLongEntry(at, '€'.repeat(512)))
    await log.flush()
    const kept = (await log.read(anOwner(1), 10_000)).map(({ at }) => at)
    assert.ok(kept.length > 4_000, `${kept.length} entries`)
    assert.deepEqual(
      kept,
      kept.map((_, n) => 9_999 - n),
    )
    assert.ok(largest() < 9 * MIB, `${largest()} octets`)
    await close()
  })

  test('never meets a full disk: long logs on a small tmpfs end in want of room, and go on with it', (t) => {
    const mount = 'mount -t tmpfs -o size=120m none "$1" && exec "$2" "$3" "$1"'
    const unshare = ['--mount', ...(process.getuid?.() === 0 ? [] : ['--map-root-user'])]
    const script = join(import.meta.dirname, 'full-disk-access.ts')
    const argv = [...unshare, 'sh', '-c', mount, 'sh', aDirectory(), process.execPath, script]
    if (spawnSync('unshare', [...unshare, 'true']).status !== 0) return t.skip('no mount namespaces here')
    const { status, stdout, stderr } = spawnSync('unshare', argv, { encoding: 'utf8' })
    assert.equal(status, 0, stderr)
    assert.equal(stdout.trim(), 'ok')
  })
})
