import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseBtid } from '../../src/core/identity.ts'
import { Secret } from '../../src/core/secret.ts'
import type { BootstrapStore } from '../../src/store/store.ts'
import { type Adapter, flipLastBit, holds, isUnavailable, tracesOf, using } from './adapter.ts'
import { aBootstrap, aKs, anImpi, aTmpi, shown } from './samples.ts'

export function bootstrapStoreContract(
  adapter: Adapter<BootstrapStore, { readonly maxEntries: number }>,
  keeps: {
    readonly survivesRestart: boolean
    readonly sealsAtRest: boolean
    /** false where entries go by themselves, and octets are bounded instead of entries. */
    readonly sweeps?: boolean
    readonly isShared?: boolean
  },
): void {
  const sweeps = keeps.sweeps ?? true
  const swept = (count: number) => (sweeps ? count : 0)
  const on = (maxEntries: number, run: Parameters<typeof using<BootstrapStore, { maxEntries: number }>>[2]) =>
    using(adapter, { maxEntries }, run)

  describe(`BootstrapStore on ${adapter.name}`, () => {
    test(
      'a bootstrap is found, whole, once put has resolved',
      on(10, async (store) => {
        await store.put(aBootstrap(1))
        await store.put(aBootstrap(2))
        assert.deepEqual(shown(await store.find(aBootstrap(1).btid, 1_000)), shown(aBootstrap(1)))
      }),
    )

    test(
      'a bootstrap without TMPI and GUSS comes back without them',
      on(10, async (store) => {
        const { tmpi: _, guss: __, ...plain } = aBootstrap(1)
        await store.put(plain)
        assert.deepEqual(shown(await store.find(plain.btid, 1_000)), shown(plain))
      }),
    )

    test(
      'an unknown B-TID is not found',
      on(10, async (store) => {
        await store.put(aBootstrap(1))
        assert.equal(await store.find(aBootstrap(2).btid, 1_000), undefined)
      }),
    )

    test(
      'the same RAND under another BSF name is another bootstrap',
      on(10, async (store) => {
        const [left] = aBootstrap(1).btid.split('@')
        const other = parseBtid(`${left}@bsf2.example.org`)
        assert.ok(other)
        await store.put(aBootstrap(1))
        assert.equal(await store.find(other, 1_000), undefined)
      }),
    )

    test(
      'a bootstrap is live to the last millisecond before expiresAt and gone at it',
      on(10, async (store) => {
        await store.put(aBootstrap(1))
        assert.ok(await store.find(aBootstrap(1).btid, 4_999))
        assert.equal(await store.find(aBootstrap(1).btid, 5_000), undefined)
      }),
    )

    test(
      'a TMPI names its IMPI while the bootstrap is live',
      on(10, async (store) => {
        await store.put(aBootstrap(1))
        assert.equal(await store.findImpi(aTmpi(1), 4_999), anImpi(1))
        assert.equal(await store.findImpi(aTmpi(1), 5_000), undefined)
        assert.equal(await store.findImpi(aTmpi(2), 1_000), undefined)
      }),
    )

    test(
      'a removed bootstrap is gone, and its TMPI with it',
      on(10, async (store) => {
        await store.put(aBootstrap(1))
        await store.remove(aBootstrap(1).btid)
        await store.remove(aBootstrap(2).btid)
        assert.equal(await store.find(aBootstrap(1).btid, 1_000), undefined)
        assert.equal(await store.findImpi(aTmpi(1), 1_000), undefined)
      }),
    )

    test(
      'a bootstrap put again takes the place of the first',
      on(10, async (store) => {
        await store.put(aBootstrap(1))
        await store.put(aBootstrap(1, { tmpi: aTmpi(9), expiresAt: 9_000 }))
        assert.equal(await store.findImpi(aTmpi(1), 1_000), undefined)
        assert.equal(await store.findImpi(aTmpi(9), 8_999), anImpi(1))
        assert.equal(await store.sweep(5_000), 0)
        assert.equal(await store.sweep(9_000), swept(1))
      }),
    )

    test(
      'a TMPI that moved to a newer bootstrap survives the older one',
      on(10, async (store) => {
        await store.put(aBootstrap(1))
        await store.put(aBootstrap(2, { tmpi: aTmpi(1) }))
        await store.remove(aBootstrap(1).btid)
        assert.equal(await store.findImpi(aTmpi(1), 1_000), anImpi(2))
      }),
    )

    if (sweeps) {
      test(
        'a sweep drops exactly what has expired and says how many',
        on(1_000, async (store) => {
          for (let n = 0; n < 200; n++) await store.put(aBootstrap(n, { expiresAt: 2_000 + n }))
          assert.equal(await store.sweep(1_999), 0)
          assert.equal(await store.sweep(2_149), 150)
          assert.equal(await store.sweep(2_149), 0)
          assert.equal(await store.find(aBootstrap(149).btid, 1_000), undefined)
          assert.equal(await store.findImpi(aTmpi(149), 1_000), undefined)
          assert.ok(await store.find(aBootstrap(150).btid, 1_000))
          assert.equal(await store.findImpi(aTmpi(150), 1_000), anImpi(150))
        }),
      )

      test(
        'a full store refuses a new bootstrap and keeps those it has',
        on(3, async (store) => {
          for (const n of [1, 2, 3]) await store.put(aBootstrap(n))
          await assert.rejects(store.put(aBootstrap(4)), isUnavailable)
          for (const n of [1, 2, 3]) assert.ok(await store.find(aBootstrap(n).btid, 4_999))
          assert.equal(await store.find(aBootstrap(4).btid, 1_000), undefined)
          await store.put(aBootstrap(2, { expiresAt: 6_000 }))
          assert.equal(await store.sweep(5_000), 2)
          await store.put(aBootstrap(4))
          assert.ok(await store.find(aBootstrap(4).btid, 1_000))
        }),
      )
    }

    test(
      'what a caller does to its own octets and keys afterwards changes nothing',
      on(10, async (store) => {
        const mine = aBootstrap(1)
        await store.put(mine)
        mine.ks.wipe()
        mine.rand.fill(0)
        const found = await store.find(mine.btid, 1_000)
        assert.deepEqual(shown(found), shown(aBootstrap(1)))
        found?.ks.wipe()
        found?.rand.fill(0)
        assert.deepEqual(shown(await store.find(mine.btid, 1_000)), shown(aBootstrap(1)))
      }),
    )

    test(
      'a key handed out still works after the store dropped its own',
      on(10, async (store) => {
        await store.put(aBootstrap(1))
        const found = await store.find(aBootstrap(1).btid, 1_000)
        await store.remove(aBootstrap(1).btid)
        assert.ok(found?.ks.equals(new Secret(aKs(1))))
      }),
    )

    if (keeps.isShared) {
      test(
        'what one host puts or removes, the other finds or misses at once',
        on(10, async (store, { elsewhere }) => {
          assert.ok(elsewhere)
          for (let n = 0; n < 20; n++) {
            await store.put(aBootstrap(n))
            assert.deepEqual(shown(await elsewhere.find(aBootstrap(n).btid, 1_000)), shown(aBootstrap(n)))
            assert.equal(await elsewhere.findImpi(aTmpi(n), 1_000), anImpi(n))
            await elsewhere.remove(aBootstrap(n).btid)
            assert.equal(await store.find(aBootstrap(n).btid, 1_000), undefined)
          }
        }),
      )
    }

    if (keeps.survivesRestart) {
      test(
        'a bootstrap survives a restart, with its TMPI and its expiry',
        on(10, async (store, opened) => {
          await store.put(aBootstrap(1))
          const again = await opened.reopen?.()
          assert.ok(again)
          assert.deepEqual(shown(await again.store.find(aBootstrap(1).btid, 1_000)), shown(aBootstrap(1)))
          assert.equal(await again.store.findImpi(aTmpi(1), 1_000), anImpi(1))
          assert.equal(await again.store.sweep(5_000), swept(1))
          await again.close()
        }),
      )
    }

    if (keeps.sealsAtRest) {
      test(
        'neither key nor identity lies in the clear',
        on(10, async (store, { rest }) => {
          const { btid, impi, rand } = aBootstrap(1)
          const needles = [
            ...tracesOf(aKs(1)),
            ...tracesOf(rand),
            ...[btid, impi, aTmpi(1), 'alice'].map((text) => Buffer.from(text)),
          ]
          await store.put(aBootstrap(1))
          const octets = await rest?.octets()
          assert.ok(octets && octets.length > 0)
          assert.deepEqual(
            needles.filter((needle) => holds(octets, needle)),
            [],
          )
        }),
      )

      test(
        'a record with one bit changed is refused',
        on(10, async (store, { rest }) => {
          await store.put(aBootstrap(1))
          await rest?.tamper(flipLastBit)
          await assert.rejects(store.find(aBootstrap(1).btid, 1_000), isUnavailable)
          await assert.rejects(store.findImpi(aTmpi(1), 1_000), isUnavailable)
        }),
      )

      test(
        'a record whose expiry was changed is not found live',
        on(10, async (store, { rest }) => {
          await store.put(aBootstrap(1))
          for (let at = 0; at < 8; at++) {
            for (const bit of [1, 0x80]) {
              const flip = (value: Uint8Array) => value.map((octet, i) => (i === at ? octet ^ bit : octet))
              await rest?.tamper(flip)
              const found = await store
                .find(aBootstrap(1).btid, 6_000)
                .catch((error) => assert.ok(isUnavailable(error)))
              assert.equal(found, undefined)
              await rest?.tamper(flip)
            }
          }
          assert.ok(await store.find(aBootstrap(1).btid, 4_999))
        }),
      )

      test(
        'a record cut short is refused, can be put anew and be swept',
        on(10, async (store, { rest }) => {
          for (const length of [0, 7, 39, 40, 60]) {
            await store.put(aBootstrap(1))
            await rest?.tamper((value) => value.subarray(0, length))
            await assert.rejects(store.find(aBootstrap(1).btid, 1_000), isUnavailable)
          }
          await store.put(aBootstrap(1))
          assert.ok(await store.find(aBootstrap(1).btid, 1_000))
          await rest?.tamper((value) => value.subarray(0, 3))
          assert.equal(await store.sweep(5_000), swept(1))
          if (sweeps) assert.equal(await store.find(aBootstrap(1).btid, 1_000), undefined)
        }),
      )

      test(
        'a record moved to another key is refused',
        on(10, async (store, { rest }) => {
          await store.put(aBootstrap(1))
          await store.put(aBootstrap(2))
          await rest?.swap()
          await assert.rejects(store.find(aBootstrap(1).btid, 1_000), isUnavailable)
          await assert.rejects(store.find(aBootstrap(2).btid, 1_000), isUnavailable)
        }),
      )
    }
  })
}
