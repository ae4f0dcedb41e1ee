import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Impu } from '../../src/core/identity.ts'
import type { AccessEntry, AccessLog, AccessLogBounds } from '../../src/store/store.ts'
import { type Adapter, flipLastBit, holds, isUnavailable, using } from './adapter.ts'

export const anOwner = (n: number | string) => `sip:owner${n}@example.org` as Impu
const bob = 'sip:bob@example.org' as Impu
const carol = 'tel:+15550100' as Impu
const HOUR = 3_600_000

/** The instant tells entries apart. */
export const anEntry = (at: number, actor: AccessEntry['actor'] = 'self'): AccessEntry => ({
  at,
  actor,
  method: 'PUT',
  documentSelector: 'resource-lists/users/sip:owner@example.org/index',
  outcome: 201,
})

const instants = (entries: readonly AccessEntry[]) => entries.map(({ at }) => at)
const ofActor = (entries: readonly AccessEntry[], actor: AccessEntry['actor']) =>
  entries.filter((entry) => entry.actor === actor)

export function accessLogContract(
  adapter: Adapter<AccessLog, AccessLogBounds>,
  keeps: {
    readonly survivesRestart: boolean
    readonly sealsAtRest: boolean
    readonly runs: number
    readonly isShared?: boolean
  },
): void {
  const on = (bounds: AccessLogBounds, run: Parameters<typeof using<AccessLog, AccessLogBounds>>[2]) =>
    using(adapter, { entriesPerOwner: 10, maxOwners: 5, retentionS: 3_600, ...bounds }, run)

  describe(`AccessLog on ${adapter.name}`, () => {
    test(
      'entries are read at once, whole, newest first, and the same once they are flushed',
      on({}, async (log) => {
        const all = [anEntry(1), { ...anEntry(2, bob), method: 'GET', outcome: 404 }, anEntry(3, 'refused')]
        for (const entry of all) await log.append(anOwner(1), entry)
        assert.deepEqual(await log.read(anOwner(1), 4), all.toReversed())
        await log.flush()
        assert.deepEqual(await log.read(anOwner(1), 4), all.toReversed())
        await log.append(anOwner(1), anEntry(4))
        assert.deepEqual(instants(await log.read(anOwner(1), 4)), [4, 3, 2, 1])
      }),
    )

    test(
      'an entry that comes late stands where it belongs',
      on({}, async (log) => {
        for (const at of [1, 4, 2]) await log.append(anOwner(1), anEntry(at))
        await log.flush()
        await log.append(anOwner(1), anEntry(3))
        assert.deepEqual(instants(await log.read(anOwner(1), 4)), [4, 3, 2, 1])
      }),
    )

    test(
      'an owner reads nothing of another’s log',
      on({}, async (log) => {
        await log.append(anOwner(1), anEntry(1))
        await log.append(anOwner(2), anEntry(2))
        await log.flush()
        assert.deepEqual(instants(await log.read(anOwner(1), 3)), [1])
        assert.deepEqual(instants(await log.read(anOwner(2), 3)), [2])
        assert.deepEqual(await log.read(anOwner(3), 3), [])
      }),
    )

    test(
      'an entry is there to the last millisecond of the retention and gone at its end',
      on({ retentionS: 10 }, async (log) => {
        for (const at of [1_000, 2_000]) await log.append(anOwner(1), anEntry(at))
        assert.deepEqual(instants(await log.read(anOwner(1), 10_999)), [2_000, 1_000])
        await log.flush()
        assert.deepEqual(instants(await log.read(anOwner(1), 10_999)), [2_000, 1_000])
        assert.deepEqual(instants(await log.read(anOwner(1), 11_000)), [2_000])
        assert.deepEqual(await log.read(anOwner(1), 12_000), [])
      }),
    )

    for (const [actor, who] of [
      ['refused', 'a refused try'],
      [bob, 'another subscriber'],
    ] as const) {
      test(
        `${who} begins no log, and is in it from the owner’s first entry on`,
        on({}, async (log) => {
          await log.append(anOwner(1), anEntry(1, actor))
          assert.deepEqual(await log.read(anOwner(1), 1), [])
          await log.flush()
          await log.append(anOwner(1), anEntry(2, actor))
          await log.append(anOwner(1), anEntry(3))
          await log.append(anOwner(1), anEntry(4, actor))
          assert.deepEqual(instants(await log.read(anOwner(1), 4)), [4, 3])
          await log.flush()
          assert.deepEqual(instants(await log.read(anOwner(1), 4)), [4, 3])
        }),
      )
    }

    test(
      'of more entries than fit the newest stay',
      on({ entriesPerOwner: 10 }, async (log) => {
        for (let at = 1; at <= 95; at++) {
          await log.append(anOwner(1), anEntry(at))
          if (at % 7 === 0) await log.flush()
        }
        assert.deepEqual(instants(await log.read(anOwner(1), 95)), [95, 94, 93, 92, 91, 90, 89, 88, 87, 86])
      }),
    )

    test(
      'refused tries take half of the log, however many and however empty it is',
      on({ entriesPerOwner: 10 }, async (log) => {
        for (const at of [1, 2, 3]) await log.append(anOwner(1), anEntry(at))
        for (let at = 4; at <= 500; at++) {
          await log.append(anOwner(1), anEntry(at, 'refused'))
          if (at % 50 === 0) await log.flush()
        }
        assert.deepEqual(instants(await log.read(anOwner(1), 500)), [500, 499, 498, 497, 496, 3, 2, 1])
      }),
    )

    test(
      'a subscriber who reads all the time pushes out neither the owner nor the refused',
      on({ entriesPerOwner: 9 }, async (log) => {
        for (const at of [1, 2, 3]) await log.append(anOwner(1), anEntry(at))
        for (const at of [4, 5, 6]) await log.append(anOwner(1), anEntry(at, 'refused'))
        for (let at = 7; at <= 500; at++) {
          await log.append(anOwner(1), anEntry(at, bob))
          if (at % 50 === 0) await log.flush()
        }
        assert.deepEqual(instants(await log.read(anOwner(1), 500)), [500, 499, 498, 6, 5, 4, 3, 2, 1])
      }),
    )

    test(
      'whatever happens, a log keeps its bounds, and each of k actors its newest entries up to a k-th of the log',
      on({ entriesPerOwner: 10, maxOwners: 1_000 }, async (log) => {
        const act = fc.record({
          actor: fc.constantFrom<AccessEntry['actor']>('self', 'refused', 'refused', bob, carol),
          times: fc.integer({ min: 1, max: 25 }),
          flush: fc.boolean(),
        })
        let runs = 0
        await fc.assert(
          fc.asyncProperty(fc.array(act, { maxLength: 20, size: 'max' }), async (acts) => {
            const owner = anOwner(++runs)
            const history: AccessEntry[] = []
            for (const { actor, times, flush } of acts) {
              for (let left = times; left > 0; left--) {
                const entry = anEntry(history.length + 1, actor)
                history.push(entry)
                await log.append(owner, entry)
              }
              if (flush) await log.flush()
            }
            const begun = history.findIndex(({ actor }) => actor === 'self')
            const newest = (begun < 0 ? [] : history.slice(begun)).reverse()
            const kept = await log.read(owner, history.length)
            assert.ok(kept.length <= 10)
            assert.ok(ofActor(kept, 'refused').length <= 5)
            const actors = new Set(newest.map(({ actor }) => actor))
            for (const actor of actors) {
              const mine = ofActor(kept, actor)
              const all = ofActor(newest, actor)
              assert.deepEqual(mine, all.slice(0, mine.length))
              assert.ok(mine.length >= Math.min(all.length, Math.floor(10 / actors.size), actor === 'refused' ? 5 : 10))
            }
            assert.deepEqual(
              instants(kept),
              instants(kept).sort((a, b) => b - a),
            )
            assert.equal(kept.filter(({ actor }) => !actors.has(actor)).length, 0)
          }),
          { numRuns: keeps.runs },
        )
      }),
    )

    test(
      'whatever owners strangers invent, no log goes and none comes',
      on({ maxOwners: 3 }, async (log) => {
        for (const n of [1, 2, 3]) await log.append(anOwner(n), anEntry(n))
        await log.flush()
        for (let n = 4; n < 100; n++) {
          await log.append(anOwner(n), anEntry(n * HOUR, n % 2 === 0 ? 'refused' : bob))
          if (n % 10 === 0) await log.flush()
        }
        await log.flush()
        for (const n of [1, 2, 3]) assert.deepEqual(instants(await log.read(anOwner(n), 10)), [n])
        for (let n = 4; n < 100; n++) assert.deepEqual(await log.read(anOwner(n), n * HOUR), [])
      }),
    )

    test(
      'one owner too many takes the place of the one touched least recently',
      on({ maxOwners: 3, retentionS: 360_000 }, async (log) => {
        for (const n of [1, 2, 3]) await log.append(anOwner(n), anEntry(n * HOUR))
        await log.flush()
        await log.append(anOwner(1), anEntry(4 * HOUR, bob))
        await log.append(anOwner(4), anEntry(5 * HOUR))
        await log.flush()
        const now = 6 * HOUR
        assert.deepEqual(await log.read(anOwner(2), now), [])
        for (const n of [1, 3, 4]) assert.ok((await log.read(anOwner(n), now)).length > 0)
      }),
    )

    test(
      'owners that come together keep the bound, too',
      on({ maxOwners: 3 }, async (log) => {
        for (let n = 1; n <= 20; n++) await log.append(anOwner(n), anEntry(n))
        await log.flush()
        const left = await Promise.all(Array.from({ length: 20 }, (_, n) => log.read(anOwner(n + 1), 20)))
        assert.equal(left.filter((entries) => entries.length > 0).length, 3)
      }),
    )

    test(
      'a sweep drops the logs whose last entry has expired, at most an hour late, and says how many',
      on({ maxOwners: 1_000, retentionS: 10 }, async (log) => {
        for (let n = 1; n <= 100; n++) await log.append(anOwner(n), anEntry(n))
        await log.append(anOwner(1), anEntry(5 * HOUR))
        await log.flush()
        assert.equal(await log.sweep(10_000), 0)
        assert.equal(await log.sweep(10_100 + HOUR), 99)
        assert.equal(await log.sweep(10_100 + HOUR), 0)
        assert.deepEqual(instants(await log.read(anOwner(1), 5 * HOUR)), [5 * HOUR])
        assert.deepEqual(await log.read(anOwner(2), 100), [])
      }),
    )

    test(
      'what a caller does to its entries afterwards changes nothing',
      on({}, async (log) => {
        const mine = { ...anEntry(1) }
        await log.append(anOwner(1), mine)
        mine.outcome = 500
        for (const entry of await log.read(anOwner(1), 1)) Object.assign(entry, { outcome: 500 })
        assert.deepEqual(await log.read(anOwner(1), 1), [anEntry(1)])
      }),
    )

    if (keeps.isShared) {
      test(
        'what two hosts write at once is all in the one log',
        on({ entriesPerOwner: 100 }, async (log, { elsewhere }) => {
          assert.ok(elsewhere)
          for (let at = 1; at <= 40; at++) {
            const host: AccessLog = at % 2 === 0 ? log : elsewhere
            await host.append(anOwner(1), anEntry(at))
            if (at % 4 === 0) await Promise.all([log.flush(), elsewhere.flush()])
          }
          const all = Array.from({ length: 40 }, (_, n) => 40 - n)
          assert.deepEqual(instants(await log.read(anOwner(1), 40)), all)
          assert.deepEqual(instants(await elsewhere.read(anOwner(1), 40)), all)
        }),
      )
    }

    if (keeps.survivesRestart) {
      test(
        'what was flushed survives a restart, and the log goes on',
        on({}, async (log, opened) => {
          await log.append(anOwner(1), anEntry(1))
          await log.append(anOwner(1), anEntry(2, bob))
          await log.flush()
          const again = await opened.reopen?.()
          assert.ok(again)
          await again.store.append(anOwner(1), anEntry(3, 'refused'))
          assert.deepEqual(await again.store.read(anOwner(1), 3), [anEntry(3, 'refused'), anEntry(2, bob), anEntry(1)])
          await again.close()
        }),
      )
    }

    if (keeps.sealsAtRest) {
      test(
        'neither owner, actor nor document lies in the clear',
        on({}, async (log, { rest }) => {
          await log.append(anOwner(1), anEntry(1))
          await log.append(anOwner(1), anEntry(2, bob))
          await log.flush()
          const octets = await rest?.octets()
          assert.ok(octets && octets.length > 0)
          for (const text of [anOwner(1), 'owner1', bob, 'sip:', 'resource-lists']) {
            assert.equal(holds(octets, Buffer.from(text)), false, text)
          }
        }),
      )

      test(
        'a log that was changed or moved at rest is refused',
        on({}, async (log, { rest }) => {
          for (const n of [1, 2]) await log.append(anOwner(n), anEntry(n))
          await log.flush()
          await rest?.swap()
          await assert.rejects(log.read(anOwner(1), 2), isUnavailable)
          await rest?.swap()
          assert.deepEqual(instants(await log.read(anOwner(1), 2)), [1])
          await rest?.tamper(flipLastBit)
          await assert.rejects(log.read(anOwner(1), 2), isUnavailable)
        }),
      )
    }
  })
}
