import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { Secret } from '../../src/core/secret.ts'
import {
  memoryBootstrapStore,
  memoryDocumentStore,
  memoryNonceLedger,
  memoryOnceStore,
  memorySqnStore,
} from '../../src/store/memory.ts'
import { type Ranked, RankedMap } from '../../src/store/ranked-map.ts'
import type { Opened } from '../contract/adapter.ts'
import { bootstrapStoreContract } from '../contract/bootstrap-store.ts'
import { documentStoreContract } from '../contract/document-store.ts'
import { nonceLedgerContract } from '../contract/nonce-ledger.ts'
import { onceStoreContract } from '../contract/once-store.ts'
import { aBootstrap } from '../contract/samples.ts'
import { sqnStoreContract } from '../contract/sqn-store.ts'

const inMemory = <Store, Bounds>(make: (bounds: Bounds) => Store) => ({
  name: 'memory',
  open: async (bounds: Bounds): Promise<Opened<Store>> => ({ store: make(bounds), close: async () => {} }),
})

bootstrapStoreContract(inMemory(memoryBootstrapStore), { survivesRestart: false, sealsAtRest: false })
onceStoreContract(
  inMemory(({ maxEntries, now }) => memoryOnceStore<string>({ maxEntries, clock: now })),
  {
    sealsAtRest: false,
  },
)
nonceLedgerContract(inMemory(memoryNonceLedger), { survivesRestart: false, checksAtRest: false })
sqnStoreContract(inMemory(memorySqnStore), { survivesRestart: false, sealsAtRest: false })
documentStoreContract(inMemory(memoryDocumentStore), { survivesRestart: false, sealsAtRest: false })

describe('memoryBootstrapStore', () => {
  test('a full store makes room for a bootstrap created when others have expired', async () => {
    const store = memoryBootstrapStore({ maxEntries: 2 })
    for (const n of [1, 2]) await store.put(aBootstrap(n))
    await store.put(aBootstrap(3, { createdAt: 5_000, expiresAt: 9_000 }))
    assert.ok(await store.find(aBootstrap(3).btid, 5_000))
  })

  test('a key is wiped when its bootstrap expires, is removed or is replaced', async (t) => {
    const store = memoryBootstrapStore({ maxEntries: 10 })
    const wipe = t.mock.method(Secret.prototype, 'wipe')
    for (const n of [1, 2, 2, 3]) await store.put(aBootstrap(n, { expiresAt: 5_000 + n }))
    assert.equal(wipe.mock.callCount(), 1)
    await store.remove(aBootstrap(3).btid)
    await store.sweep(5_001)
    assert.equal(wipe.mock.callCount(), 3)
  })
})

describe('memoryNonceLedger', () => {
  test('a ledger without room accepts nothing', async () => {
    const ledger = memoryNonceLedger({ maxNonces: 0, startedAt: 0 })
    assert.equal(await ledger.use({ nonce: 'n', mintedAt: 1, expiresAt: 9 }, 1, 2), 'forgotten')
  })
})

describe('RankedMap', () => {
  test('entries leave in the order of their rank, whatever was set, replaced and deleted before', () => {
    const change = fc.record({ key: fc.nat(20).map(String), rank: fc.nat(50), remove: fc.boolean() })
    fc.assert(
      fc.property(fc.array(change, { maxLength: 300, size: 'max' }), (changes) => {
        const map = new RankedMap<Ranked>()
        const model = new Map<string, number>()
        for (const { key, rank, remove } of changes) {
          if (remove) assert.equal(map.delete(key), model.delete(key))
          else {
            map.set({ key, rank })
            model.set(key, rank)
          }
          assert.equal(map.size, model.size)
          assert.equal(map.first()?.rank, model.size === 0 ? undefined : Math.min(...model.values()))
        }
        const left = Array.from({ length: map.size }, () => map.shift()?.rank)
        assert.deepEqual(
          left,
          [...model.values()].sort((a, b) => a - b),
        )
        assert.equal(map.shift(), undefined)
      }),
    )
  })
})
