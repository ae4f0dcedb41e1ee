import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { OnceStore } from '../../src/store/store.ts'
import { type Adapter, flipLastBit, holds, isUnavailable, tracesOf, using } from './adapter.ts'

/** `now` drives the adapter's clock, where it has one. */
export function onceStoreContract(
  adapter: Adapter<OnceStore<string>, { readonly maxEntries: number; readonly now: () => number }>,
  keeps: { readonly sealsAtRest: boolean; readonly isShared?: boolean },
): void {
  describe(`OnceStore on ${adapter.name}`, () => {
    let now = 1_000
    const on = (maxEntries: number, run: Parameters<typeof using<OnceStore<string>, unknown>>[2]) =>
      using(adapter, { maxEntries, now: () => now }, (store, opened) => {
        now = 1_000
        return run(store, opened)
      })

    test(
      'a value is taken once',
      on(10, async (store) => {
        await store.put('nonce', 'challenge', 2_000)
        assert.equal(await store.take('nonce', 1_000), 'challenge')
        assert.equal(await store.take('nonce', 1_000), undefined)
      }),
    )

    test(
      'exactly one of 20 racing callers gets the value',
      on(10, async (store) => {
        await store.put('nonce', 'challenge', 2_000)
        const taken = await Promise.all(Array.from({ length: 20 }, () => store.take('nonce', 1_000)))
        assert.deepEqual(
          taken.filter((value) => value !== undefined),
          ['challenge'],
        )
      }),
    )

    test(
      'an unknown key takes nothing and disturbs nothing',
      on(10, async (store) => {
        await store.put('nonce', 'challenge', 2_000)
        assert.equal(await store.take('other', 1_000), undefined)
        assert.equal(await store.take('nonce', 1_000), 'challenge')
      }),
    )

    test(
      'a value is live to the last millisecond before expiresAt and gone at it',
      on(10, async (store) => {
        await store.put('a', '1', 2_000)
        await store.put('b', '2', 2_000)
        assert.equal(await store.take('a', 1_999), '1')
        assert.equal(await store.take('b', 2_000), undefined)
        assert.equal(await store.take('b', 1_999), undefined)
      }),
    )

    test(
      'a flood is refused at the bound and throws out no live value',
      on(100, async (store) => {
        await store.put('honest', 'challenge', 2_000)
        const outcomes = await Promise.allSettled(
          Array.from({ length: 1_000 }, (_, n) => store.put(`flood ${n}`, 'challenge', 3_000)),
        )
        const refused = outcomes.filter((outcome) => outcome.status === 'rejected')
        assert.equal(refused.length, 901)
        assert.ok(refused.every(({ reason }) => isUnavailable(reason)))
        assert.equal(await store.take('honest', 1_000), 'challenge')
      }),
    )

    test(
      'a full store takes new values again as soon as some have expired',
      on(10, async (store) => {
        for (let n = 0; n < 10; n++) await store.put(`${n}`, 'old', n < 4 ? 2_000 : 3_000)
        await assert.rejects(store.put('x', 'new', 4_000), isUnavailable)
        now = 2_000
        for (const key of ['a', 'b', 'c', 'd']) await store.put(key, 'new', 4_000)
        await assert.rejects(store.put('x', 'new', 4_000), isUnavailable)
        assert.equal(await store.take('5', 2_000), 'old')
        assert.equal(await store.take('a', 2_000), 'new')
      }),
    )

    test(
      'a taken value makes room at once',
      on(1, async (store) => {
        for (let n = 0; n < 1_000; n++) {
          await store.put(`${n}`, 'challenge', 2_000)
          assert.equal(await store.take(`${n}`, 1_000), 'challenge')
        }
      }),
    )

    if (keeps.isShared) {
      test(
        'exactly one of 20 racing callers on two hosts gets the value',
        on(100, async (store, { elsewhere }) => {
          assert.ok(elsewhere)
          for (let n = 0; n < 20; n++) {
            await store.put(`${n}`, 'challenge', 2_000)
            const hosts: OnceStore<string>[] = Array.from({ length: 20 }, (_, at) => (at % 2 === 0 ? store : elsewhere))
            const taken = await Promise.all(hosts.map((host) => host.take(`${n}`, 1_000)))
            assert.deepEqual(
              taken.filter((value) => value !== undefined),
              ['challenge'],
            )
          }
        }),
      )
    }

    if (keeps.sealsAtRest) {
      test(
        'neither name nor value lies in the clear',
        on(10, async (store, { rest }) => {
          await store.put('nonce of alice', 'challenge of alice', 2_000)
          const octets = await rest?.octets()
          assert.ok(octets && octets.length > 0)
          for (const text of ['nonce of alice', 'challenge of alice']) {
            assert.ok(tracesOf(Buffer.from(text)).every((trace) => !holds(octets, trace)))
          }
        }),
      )

      test(
        'a changed, cut or moved record is refused, and gone',
        on(10, async (store, { rest }) => {
          const put = () => Promise.all(['a', 'b'].map((key) => store.put(key, 'challenge', 2_000)))
          const cut = (value: Uint8Array) => value.subarray(0, 5)
          for (const spoil of [() => rest?.swap(), () => rest?.tamper(flipLastBit), () => rest?.tamper(cut)]) {
            await put()
            await spoil()
            await assert.rejects(store.take('a', 1_000), isUnavailable)
            assert.equal(await store.take('a', 1_000), undefined)
            await assert.rejects(store.take('b', 1_000), isUnavailable)
          }
          await put()
          assert.equal(await store.take('a', 1_000), 'challenge')
        }),
      )
    }
  })
}
