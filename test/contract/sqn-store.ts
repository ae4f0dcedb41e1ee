import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { SqnStore } from '../../src/store/store.ts'
import { type Adapter, flipLastBit, holds, isUnavailable, using } from './adapter.ts'
import { anImpi } from './samples.ts'

const sqnOf = (value: number) => Uint8Array.of(0, 0, 0, 0, value >>> 8, value)
const numberOf = (sqn: Uint8Array) => ((sqn[4] ?? 0) << 8) | (sqn[5] ?? 0)
const plusOne = (sqn: Uint8Array | undefined) => sqnOf(sqn === undefined ? 1 : numberOf(sqn) + 1)

export function sqnStoreContract(
  adapter: Adapter<SqnStore>,
  keeps: { readonly survivesRestart: boolean; readonly sealsAtRest: boolean; readonly isShared?: boolean },
): void {
  const on = (run: Parameters<typeof using<SqnStore, void>>[2]) => using(adapter, undefined, run)
  const read = async (store: SqnStore, n: number) => {
    let seen: Uint8Array | undefined
    await store.update(anImpi(n), (sqn) => {
      seen = sqn
      return sqn ?? sqnOf(0)
    })
    return seen && numberOf(seen)
  }

  describe(`SqnStore on ${adapter.name}`, () => {
    test(
      'a subscriber has no SQN at first, and then the last one stored',
      on(async (store) => {
        assert.deepEqual(numberOf(await store.update(anImpi(1), plusOne)), 1)
        assert.deepEqual(numberOf(await store.update(anImpi(1), plusOne)), 2)
        assert.equal(await read(store, 1), 2)
        assert.equal(await read(store, 2), undefined)
      }),
    )

    test(
      'reading an SQN changes nothing',
      on(async (store) => {
        assert.equal(await store.find(anImpi(1)), undefined)
        await store.update(anImpi(1), () => sqnOf(7))
        const found = await store.find(anImpi(1))
        assert.equal(found && numberOf(found), 7)
        found?.fill(0xff)
        assert.equal(await read(store, 1), 7)
        assert.equal(await store.find(anImpi(2)), undefined)
      }),
    )

    test(
      '20 racing callers get 20 different SQNs',
      on(async (store) => {
        const all = await Promise.all(Array.from({ length: 20 }, () => store.update(anImpi(1), plusOne)))
        assert.deepEqual(
          all.map(numberOf).sort((a, b) => a - b),
          Array.from({ length: 20 }, (_, n) => n + 1),
        )
      }),
    )

    test(
      'an error of the caller passes through and changes nothing',
      on(async (store) => {
        const mine = new Error('MAC-S is wrong')
        const failing = () => {
          throw mine
        }
        await assert.rejects(store.update(anImpi(1), failing), (error) => error === mine)
        assert.equal(await read(store, 1), undefined)
        await store.update(anImpi(1), () => sqnOf(7))
        await assert.rejects(store.update(anImpi(1), failing), (error) => error === mine)
        assert.equal(await read(store, 1), 7)
      }),
    )

    test(
      'an SQN that is not 6 octets is the caller’s bug and changes nothing',
      on(async (store) => {
        await store.update(anImpi(1), () => sqnOf(7))
        await assert.rejects(
          store.update(anImpi(1), () => new Uint8Array(5)),
          RangeError,
        )
        assert.equal(await read(store, 1), 7)
      }),
    )

    test(
      'what a caller does to its octets afterwards changes nothing',
      on(async (store) => {
        const mine = sqnOf(7)
        const got = await store.update(anImpi(1), () => mine)
        mine.fill(0xff)
        got.fill(0xff)
        await store.update(anImpi(1), (sqn) => {
          const copy = Uint8Array.from(sqn ?? [])
          sqn?.fill(0xff)
          return copy
        })
        assert.equal(await read(store, 1), 7)
      }),
    )

    if (keeps.isShared) {
      test(
        '20 racing callers on two hosts get 20 different SQNs',
        on(async (store, { elsewhere }) => {
          assert.ok(elsewhere)
          const hosts: SqnStore[] = Array.from({ length: 20 }, (_, n) => (n % 2 === 0 ? store : elsewhere))
          const all = await Promise.all(hosts.map((host) => host.update(anImpi(1), plusOne)))
          assert.deepEqual(
            all.map(numberOf).sort((a, b) => a - b),
            Array.from({ length: 20 }, (_, n) => n + 1),
          )
        }),
      )
    }

    if (keeps.survivesRestart) {
      test(
        'SQN survives a restart',
        on(async (store, opened) => {
          await store.update(anImpi(1), () => sqnOf(7))
          const again = await opened.reopen?.()
          assert.ok(again)
          assert.equal(await read(again.store, 1), 7)
          await again.close()
        }),
      )
    }

    if (keeps.sealsAtRest) {
      test(
        'no IMPI lies in the clear',
        on(async (store, { rest }) => {
          await store.update(anImpi(1), () => sqnOf(7))
          const octets = await rest?.octets()
          assert.ok(octets && octets.length > 0)
          assert.equal(holds(octets, Buffer.from(anImpi(1))), false)
          assert.equal(holds(octets, Buffer.from(anImpi(1).slice(0, 15))), false)
        }),
      )

      test(
        'a changed or moved record is refused, and never taken for a first SQN',
        on(async (store, { rest }) => {
          await store.update(anImpi(1), () => sqnOf(7))
          await store.update(anImpi(2), () => sqnOf(8))
          await rest?.swap()
          await assert.rejects(store.update(anImpi(1), plusOne), isUnavailable)
          await assert.rejects(store.find(anImpi(1)), isUnavailable)
          await rest?.swap()
          await rest?.tamper(flipLastBit)
          await assert.rejects(store.update(anImpi(1), plusOne), isUnavailable)
          await rest?.tamper(flipLastBit)
          assert.equal(await read(store, 1), 7)
        }),
      )
    }
  })
}
