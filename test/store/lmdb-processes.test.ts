import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setTimeout as wait } from 'node:timers/promises'
import { lmdbBootstrapStore, openLmdb } from '../../src/store/lmdb.ts'
import { lmdbNonceLedger } from '../../src/store/lmdb-nonce-ledger.ts'
import { aBootstrap, shown } from '../contract/samples.ts'
import { aChild } from './child.ts'
import { aDirectory } from './directory.ts'

const shared = { nonce: 'shared', mintedAt: 2_000, expiresAt: 9_000 }

describe('LMDB among processes', () => {
  test('two processes that start at once on an empty directory agree on keys and see each other’s bootstraps', async () => {
    const directory = aDirectory()
    const [one, two] = await Promise.all([aChild(directory), aChild(directory)])
    await one.ask({ do: 'put', n: 1 })
    assert.equal(await two.ask({ do: 'find', n: 1 }), true)
    assert.equal(await two.ask({ do: 'find', n: 2 }), false)
    await two.ask({ do: 'put', n: 2 })
    assert.equal(await one.ask({ do: 'find', n: 2 }), true)
    await Promise.all([one.kill(), two.kill()])
  })

  test('four processes that count one SQN up never give the same one twice', async () => {
    const directory = aDirectory()
    const children = await Promise.all([1, 2, 3, 4].map(() => aChild(directory)))
    const given = await Promise.all(children.map((child) => child.ask({ do: 'count-up', times: 25 })))
    assert.deepEqual(
      given.flat().sort((a, b) => Number(a) - Number(b)),
      Array.from({ length: 100 }, (_, n) => n + 1),
    )
    await Promise.all(children.map((child) => child.kill()))
  })

  for (const atOnce of [1, 20]) {
    test(`four processes that use the same 200 nonce counts, ${atOnce} at a time, accept each exactly once`, async () => {
      const directory = aDirectory()
      const children = await Promise.all([1, 2, 3, 4].map(() => aChild(directory)))
      const ncs = Array.from({ length: 200 }, (_, n) => n)
      const accepted = await Promise.all(children.map((child) => child.ask({ do: 'use', ncs, atOnce })))
      assert.deepEqual(
        accepted.flat().sort((a, b) => Number(a) - Number(b)),
        ncs,
      )
      await Promise.all(children.map((child) => child.kill()))
    })
  }

  for (const killAfterMs of [20, 90, 200]) {
    test(`all that a process acknowledged is there after it was killed ${killAfterMs} ms into its writing`, async () => {
      const directory = aDirectory()
      const child = await aChild(directory)
      const acknowledged: unknown[] = []
      child.on('message', (n) => acknowledged.push(n))
      await child.ask({ do: 'write-for-ever' })
      await wait(killAfterMs)
      await child.kill()

      const environment = openLmdb({ directory })
      const bootstraps = lmdbBootstrapStore(environment)
      const ledger = lmdbNonceLedger({ directory, maxNonces: 1_000, startedAt: 2_500 })
      assert.ok(acknowledged.length > 1)
      for (const n of acknowledged.map(Number)) {
        const bootstrap = aBootstrap(n)
        assert.deepEqual(shown(await bootstraps.find(bootstrap.btid, 1_000)), shown(bootstrap))
        assert.equal(await ledger.use(shared, n, 3_000), 'reused')
      }
      assert.equal(await ledger.use(shared, 100_000, 3_000), 'accepted')
      await bootstraps.put(aBootstrap(100_000))
      await ledger.close()
      await environment.close()
    })
  }
})
