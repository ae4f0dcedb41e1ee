import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { GbaError } from '../../src/errors.ts'
import { lmdbBootstrapStore, lmdbSqnStore, openLmdb } from '../../src/store/lmdb.ts'
import { aBootstrap, anImpi, shown } from '../contract/samples.ts'
import { aDirectory } from './directory.ts'

const sqnOf = (n: number) => Uint8Array.of(0, 0, 0, 0, 0, n)
const isFull = (reason: unknown) => reason instanceof GbaError && reason.code === 'STORE_UNAVAILABLE'

describe('what comes to an LMDB store within one turn', () => {
  test('is in one transaction, bootstraps and sequence numbers alike, and survives the process', async (t) => {
    const directory = aDirectory()
    const environment = openLmdb({ directory })
    const [bootstraps, sqns] = [lmdbBootstrapStore(environment), lmdbSqnStore(environment)]
    const write = t.mock.method(environment.file, 'write')
    const all = [1, 2, 3].flatMap((n) => [
      bootstraps.put(aBootstrap(n)),
      sqns.update(anImpi(n), (before) => {
        assert.equal(before, undefined)
        return sqnOf(n)
      }),
    ])
    assert.equal(await bootstraps.find(aBootstrap(1).btid, 1_000), undefined, 'nothing is there before it is durable')
    await Promise.all(all)
    assert.equal(write.mock.callCount(), 1)
    await environment.close()

    const again = openLmdb({ directory })
    for (const n of [1, 2, 3]) {
      const bootstrap = aBootstrap(n)
      assert.deepEqual(shown(await lmdbBootstrapStore(again).find(bootstrap.btid, 1_000)), shown(bootstrap))
      await lmdbSqnStore(again).update(anImpi(n), (before) => {
        assert.deepEqual(before, sqnOf(n))
        return sqnOf(n + 1)
      })
    }
    await again.close()
  })

  test('is refused by itself where it is wrong, and all else is written once', async () => {
    const environment = openLmdb({ directory: aDirectory() })
    const [bootstraps, sqns] = [lmdbBootstrapStore(environment), lmdbSqnStore(environment)]
    const mistake = new Error('no such SQN')
    const [first, wrong, second, put] = await Promise.allSettled([
      sqns.update(anImpi(1), (before) => sqnOf((before?.[5] ?? 0) + 1)),
      sqns.update(anImpi(1), () => {
        throw mistake
      }),
      sqns.update(anImpi(1), (before) => sqnOf((before?.[5] ?? 0) + 1)),
      bootstraps.put(aBootstrap(1)),
    ])
    assert.deepEqual(first, { status: 'fulfilled', value: sqnOf(1) })
    assert.deepEqual(wrong, { status: 'rejected', reason: mistake })
    assert.deepEqual(second, { status: 'fulfilled', value: sqnOf(2) })
    assert.equal(put?.status, 'fulfilled')
    await environment.close()
  })

  test('counts towards the bound of the store', async () => {
    const environment = openLmdb({ directory: aDirectory() })
    const bootstraps = lmdbBootstrapStore(environment, { maxEntries: 3 })
    const numbers = [1, 2, 3, 4, 5]
    const all = await Promise.allSettled(numbers.map((n) => bootstraps.put(aBootstrap(n))))
    assert.deepEqual(
      all.map(({ status }) => status),
      ['fulfilled', 'fulfilled', 'fulfilled', 'rejected', 'rejected'],
    )
    for (const each of all) if (each.status === 'rejected') assert.ok(isFull(each.reason))
    for (const n of numbers) {
      assert.equal((await bootstraps.find(aBootstrap(n).btid, 1_000)) !== undefined, n <= 3)
    }
    await environment.close()
  })

  test('is written before the store closes', async () => {
    const directory = aDirectory()
    const environment = openLmdb({ directory })
    const put = lmdbBootstrapStore(environment).put(aBootstrap(1))
    await environment.close()
    await put
    const again = openLmdb({ directory })
    assert.ok(await lmdbBootstrapStore(again).find(aBootstrap(1).btid, 1_000))
    await again.close()
  })
})
