import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { fromUtf8, utf8 } from '../../src/core/bytes.ts'
import type { KeyStore } from '../../src/store/store.ts'
import { type Adapter, type AtRest, flipLastBit, holds, isUnavailable, tracesOf, using } from './adapter.ts'

const textOf = async (store: KeyStore, name: string, now = 1_000) => {
  const kept = await store.find(name, now)
  return kept && fromUtf8(kept.value)
}

export function keyStoreContract(
  adapter: Adapter<KeyStore, { readonly maxEntries: number }>,
  keeps: {
    /** false where octets are bounded instead of entries. */
    readonly countsEntries?: boolean
    /** false where entries go by themselves. */
    readonly sweeps?: boolean
  } = {},
): void {
  const { countsEntries = true, sweeps = true } = keeps
  const on = (maxEntries: number, run: Parameters<typeof using<KeyStore, { maxEntries: number }>>[2]) =>
    using(adapter, { maxEntries }, run)

  describe(`KeyStore on ${adapter.name}`, () => {
    test(
      'a value is found with its end, as often as it is asked for, and by nobody who asks for another',
      on(10, async (store) => {
        await store.put('a', utf8('key a'), 2_000)
        await store.put('b', utf8('key b'), 3_000)
        for (let n = 0; n < 3; n++) {
          assert.deepEqual(await store.find('a', 1_000), { value: Buffer.from('key a'), until: 2_000 })
        }
        assert.equal(await textOf(store, 'b'), 'key b')
        assert.equal(await store.find('c', 1_000), undefined)
      }),
    )

    test(
      'a value is live to the last millisecond before its end and gone at it',
      on(10, async (store) => {
        await store.put('a', utf8('key'), 2_000)
        assert.equal(await textOf(store, 'a', 1_999), 'key')
        assert.equal(await textOf(store, 'a', 2_000), undefined)
      }),
    )

    test(
      'a value takes the place of that before it, and so does its end, be it earlier or later',
      on(10, async (store) => {
        for (const [text, until] of [
          ['one', 3_000],
          ['two', 2_000],
          ['three', 4_000],
        ] as const) {
          await store.put('a', utf8(text), until)
          assert.equal(await textOf(store, 'a', until - 1), text)
          assert.equal(await textOf(store, 'a', until), undefined)
        }
      }),
    )

    test(
      'a removed value is gone, and its name may be used again',
      on(10, async (store) => {
        await store.put('a', utf8('one'), 2_000)
        await store.put('b', utf8('other'), 2_000)
        await store.remove('a')
        await store.remove('never there')
        assert.equal(await textOf(store, 'a'), undefined)
        assert.equal(await textOf(store, 'b'), 'other')
        await store.put('a', utf8('two'), 2_000)
        assert.equal(await textOf(store, 'a'), 'two')
      }),
    )

    test(
      'a value is a copy: what the caller does to its octets changes nothing',
      on(10, async (store) => {
        const octets = utf8('key')
        const putting = store.put('a', octets, 2_000)
        await putting
        octets.fill(0)
        const found = await store.find('a', 1_000)
        found?.value.fill(0)
        assert.equal(await textOf(store, 'a'), 'key')
      }),
    )

    test(
      'another process or host finds what was put, and misses what was removed',
      on(10, async (store, { elsewhere }) => {
        assert.ok(elsewhere)
        await store.put('a', utf8('one'), 2_000)
        assert.equal(await textOf(elsewhere, 'a'), 'one')
        await elsewhere.put('a', utf8('two'), 2_000)
        assert.equal(await textOf(store, 'a'), 'two')
        await elsewhere.remove('a')
        assert.equal(await textOf(store, 'a'), undefined)
      }),
    )

    if (countsEntries) {
      test(
        'a full store lets go of what ends soonest, and of nothing else',
        on(10, async (store) => {
          const expected: number[] = []
          for (let n = 0; n < 30; n++) {
            const until = 2_000 + ((n * 7) % 30)
            if (expected.length === 10) expected.sort().shift()
            expected.push(until)
            await store.put(`${until}`, utf8('key'), until)
          }
          const found: number[] = []
          for (let until = 2_000; until < 2_030; until++) if (await store.find(`${until}`, 1_000)) found.push(until)
          assert.deepEqual(found, expected.sort())
        }),
      )

      test(
        'putting a name anew needs no room',
        on(2, async (store) => {
          await store.put('a', utf8('one'), 2_000)
          await store.put('b', utf8('one'), 3_000)
          for (let n = 0; n < 5; n++) await store.put('b', utf8('two'), 3_000 + n)
          assert.equal(await textOf(store, 'a'), 'one')
        }),
      )
    }

    if (sweeps) {
      test(
        'a sweep drops what is over, and nothing else',
        on(1_000, async (store) => {
          for (let n = 0; n < 200; n++) await store.put(`${n}`, utf8('key'), n < 150 ? 2_000 : 2_001)
          assert.equal(await store.sweep(1_999), 0)
          assert.equal(await store.sweep(2_000), 150)
          assert.equal(await store.sweep(2_000), 0)
          for (const n of [150, 199]) assert.equal(await textOf(store, `${n}`, 2_000), 'key')
        }),
      )
    }

    test(
      'neither name nor value lies in the clear',
      on(10, async (store, { rest }) => {
        await store.put('name of alice', utf8('the key of alice'), 2_000)
        const octets = await rest?.octets()
        assert.ok(octets && octets.length > 0)
        for (const text of ['name of alice', 'the key of alice']) {
          assert.ok(tracesOf(Buffer.from(text)).every((trace) => !holds(octets, trace)))
        }
      }),
    )

    const cut = (value: Uint8Array) => value.subarray(0, 5)
    const longer = (value: Uint8Array) => {
      const changed = Uint8Array.from(value)
      new DataView(changed.buffer).setFloat64(0, 2 * new DataView(changed.buffer).getFloat64(0))
      return changed
    }
    for (const [what, spoil] of [
      ['changed', (rest) => rest?.tamper(flipLastBit)],
      ['cut', (rest) => rest?.tamper(cut)],
      ['moved', (rest) => rest?.swap()],
      ['lengthened in its life', (rest) => rest?.tamper(longer)],
    ] as const satisfies readonly [string, (rest: AtRest | undefined) => unknown][]) {
      test(
        `a record that was ${what} is refused, until it is put anew`,
        on(10, async (store, { rest }) => {
          for (const name of ['a', 'b']) await store.put(name, utf8(`key ${name}`), 2_000)
          await spoil(rest)
          for (const name of ['a', 'b']) await assert.rejects(store.find(name, 1_000), isUnavailable)
          await store.put('a', utf8('anew'), 2_000)
          assert.equal(await textOf(store, 'a'), 'anew')
          await store.remove('b')
          assert.equal(await textOf(store, 'b'), undefined)
        }),
      )
    }
  })
}
