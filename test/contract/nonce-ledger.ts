import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { NC_WINDOW, type NonceLedger, type UsedNonce } from '../../src/store/store.ts'
import { type Adapter, flipLastBit, isUnavailable, using } from './adapter.ts'

const STARTED_AT = 1_000
const NOW = 3_000
const aNonce = (n: number, mintedAt = 2_000, expiresAt = 9_000): UsedNonce => ({
  nonce: `nonce ${n}`,
  mintedAt,
  expiresAt,
})

const standingOf = (ledger: NonceLedger) => ledger.standing() ?? assert.fail('nothing was heard of the ledger')

export function nonceLedgerContract(
  adapter: Adapter<NonceLedger, { readonly maxNonces: number; readonly startedAt: number }>,
  keeps: {
    readonly survivesRestart: boolean
    readonly checksAtRest: boolean
    readonly runs?: number
    readonly isShared?: boolean
  },
): void {
  const on = (
    maxNonces: number,
    run: Parameters<typeof using<NonceLedger, { maxNonces: number; startedAt: number }>>[2],
  ) => using(adapter, { maxNonces, startedAt: STARTED_AT }, run)
  const runs = keeps.runs === undefined ? {} : { numRuns: keeps.runs }

  describe(`NonceLedger on ${adapter.name}`, () => {
    test(
      'a nonce count is accepted once',
      on(10, async (ledger) => {
        assert.equal(await ledger.use(aNonce(1), 1, NOW), 'accepted')
        assert.equal(await ledger.use(aNonce(1), 1, NOW), 'reused')
        assert.equal(await ledger.use(aNonce(1), 2, NOW), 'accepted')
        assert.equal(await ledger.use(aNonce(2), 1, NOW), 'accepted')
      }),
    )

    test(
      'exactly one of 20 racing callers is accepted',
      on(10, async (ledger) => {
        for (const nc of [1, 2, 9]) {
          const outcomes = await Promise.all(Array.from({ length: 20 }, () => ledger.use(aNonce(1), nc, NOW)))
          assert.equal(outcomes.filter((outcome) => outcome === 'accepted').length, 1)
          assert.equal(outcomes.filter((outcome) => outcome === 'reused').length, 19)
        }
      }),
    )

    test(
      'any first count will do, 0 and the highest included',
      on(10, async (ledger) => {
        for (const [n, nc] of [0, 1, 17, 0xffff_ffff].entries()) {
          assert.equal(await ledger.use(aNonce(n), nc, NOW), 'accepted')
          assert.equal(await ledger.use(aNonce(n), nc, NOW), 'reused')
        }
      }),
    )

    test(
      'counts come in any order within the window and not below it',
      on(10, async (ledger) => {
        const top = 5 * NC_WINDOW
        assert.equal(await ledger.use(aNonce(1), top, NOW), 'accepted')
        assert.equal(await ledger.use(aNonce(1), top - NC_WINDOW, NOW), 'accepted')
        assert.equal(await ledger.use(aNonce(1), top - NC_WINDOW, NOW), 'reused')
        assert.equal(await ledger.use(aNonce(1), top - NC_WINDOW - 1, NOW), 'reused')
        assert.equal(await ledger.use(aNonce(1), top + 1, NOW), 'accepted')
        assert.equal(await ledger.use(aNonce(1), top - NC_WINDOW + 1, NOW), 'accepted')
      }),
    )

    test(
      'what is not a 32-bit number is the caller’s bug',
      on(10, async (ledger) => {
        for (const nc of [-1, 1.5, 2 ** 32, Number.NaN])
          await assert.rejects(ledger.use(aNonce(1), nc, NOW), RangeError)
      }),
    )

    test(
      'a nonce minted up to the start of the ledger is forgotten, one minted after it is not',
      on(10, async (ledger) => {
        assert.equal(await ledger.use(aNonce(1, STARTED_AT - 1), 1, NOW), 'forgotten')
        assert.equal(await ledger.use(aNonce(2, STARTED_AT), 1, NOW), 'forgotten')
        assert.equal(await ledger.use(aNonce(3, STARTED_AT + 1), 1, NOW), 'accepted')
      }),
    )

    test(
      'an expired nonce is forgotten, from expiresAt on, whatever was known of it',
      on(10, async (ledger) => {
        assert.equal(await ledger.use(aNonce(1), 1, 8_999), 'accepted')
        assert.equal(await ledger.use(aNonce(1), 2, 9_000), 'forgotten')
        assert.equal(await ledger.use(aNonce(2), 1, 9_000), 'forgotten')
      }),
    )

    test(
      'when full, the oldest minted gives way, is forgotten, and so is every older one not yet used',
      on(3, async (ledger) => {
        for (const n of [3, 1, 2]) assert.equal(await ledger.use(aNonce(n, 2_000 + n), 1, NOW), 'accepted')
        assert.equal(await ledger.use(aNonce(4, 2_004), 1, NOW), 'accepted')
        assert.equal(await ledger.use(aNonce(1, 2_001), 1, NOW), 'forgotten')
        assert.equal(await ledger.use(aNonce(1, 2_001), 2, NOW), 'forgotten')
        assert.equal(await ledger.use(aNonce(9, 2_000), 1, NOW), 'forgotten')
        for (const n of [2, 3, 4]) {
          assert.equal(await ledger.use(aNonce(n, 2_000 + n), 1, NOW), 'reused')
          assert.equal(await ledger.use(aNonce(n, 2_000 + n), 2, NOW), 'accepted')
        }
      }),
    )

    test(
      'a nonce older than all that a full ledger holds throws none of them out',
      on(3, async (ledger) => {
        for (const n of [1, 2, 3]) await ledger.use(aNonce(n, 2_000 + n), 1, NOW)
        assert.equal(await ledger.use(aNonce(9, 1_999), 1, NOW), 'forgotten')
        for (const n of [1, 2, 3]) assert.equal(await ledger.use(aNonce(n, 2_000 + n), 1, NOW), 'reused')
      }),
    )

    test(
      'expired nonces make room before live ones do',
      on(3, async (ledger) => {
        for (const n of [1, 2]) await ledger.use(aNonce(n, 2_000 + n, 4_000), 1, NOW)
        await ledger.use(aNonce(3, 2_003), 1, NOW)
        for (const n of [4, 5]) assert.equal(await ledger.use(aNonce(n, 2_000 + n), 1, 4_000), 'accepted')
        assert.equal(await ledger.use(aNonce(3, 2_003), 1, 4_000), 'reused')
        assert.equal(await ledger.use(aNonce(1, 2_001, 9_000), 1, 4_000), 'forgotten')
      }),
    )

    test(
      'an expired nonce stays refused when the clock goes back or nonces are given a longer life',
      on(10, async (ledger) => {
        for (let n = 0; n < 5; n++) await ledger.use(aNonce(n, 2_000 + n, 4_000), 1, NOW)
        for (let n = 5; n < 10; n++) await ledger.use(aNonce(n, 3_000 + n, 9_000), 1, 5_000)
        for (let n = 0; n < 5; n++) {
          assert.notEqual(await ledger.use(aNonce(n, 2_000 + n, 4_000), 1, NOW), 'accepted')
          assert.notEqual(await ledger.use(aNonce(n, 2_000 + n, 9_000), 1, 5_000), 'accepted')
        }
      }),
    )

    test('every count in every order is answered as a plain set of all counts would', async () => {
      const nearEdges = fc.constantFrom(0, 1, 2, 31, 32, NC_WINDOW - 1, NC_WINDOW, NC_WINDOW + 1, 2 * NC_WINDOW)
      const step = fc.oneof(
        fc.constant(1),
        fc.integer({ min: -5, max: 5 }),
        nearEdges,
        nearEdges.map((n) => -n),
      )
      await fc.assert(
        fc.asyncProperty(
          fc.array(step, { maxLength: 120, size: 'max' }),
          fc.constantFrom(0, 5_000, 0xffff_f000),
          async (steps, from) => {
            await on(10, async (ledger) => {
              const used = new Set<number>()
              let highest = -1
              let nc: number = from
              for (const by of steps) {
                nc = Math.min(0xffff_ffff, Math.max(0, nc + by))
                const open = !used.has(nc) && nc >= highest - NC_WINDOW
                assert.equal(await ledger.use(aNonce(1), nc, NOW), open ? 'accepted' : 'reused')
                if (open) used.add(nc)
                highest = Math.max(highest, nc)
              }
            })()
          },
        ),
        runs,
      )
    })

    test('nothing is accepted twice, whatever is evicted, expires, or happens to the clock', async () => {
      const use = fc.record({
        n: fc.nat(7),
        nc: fc.integer({ min: 1, max: 4 }),
        now: fc.integer({ min: 2_000, max: 4_000 }),
        life: fc.constantFrom(500, 1_000, 2_000),
      })
      await fc.assert(
        fc.asyncProperty(
          fc.array(use, { maxLength: 150, size: 'max' }),
          fc.integer({ min: 1, max: 4 }),
          async (uses, maxNonces) => {
            await on(maxNonces, async (ledger) => {
              const accepted = new Set<string>()
              for (const { n, nc, now, life } of uses) {
                const mintedAt = 1_800 + 200 * (n % 5)
                if ((await ledger.use(aNonce(n, mintedAt, mintedAt + life), nc, now)) !== 'accepted') continue
                assert.equal(accepted.has(`${n} ${nc}`), false)
                accepted.add(`${n} ${nc}`)
              }
            })()
          },
        ),
        runs,
      )
    })

    test('under one nonce life and with room, no live nonce is ever forgotten', async () => {
      const use = fc.record({ n: fc.nat(50), wait: fc.nat(30) })
      await fc.assert(
        fc.asyncProperty(fc.array(use, { maxLength: 200, size: 'max' }), async (uses) => {
          await on(1_000, async (ledger) => {
            let now = 2_000
            for (const { n, wait } of uses) {
              now += wait
              const mintedAt = 1_500 + 100 * n
              if (mintedAt > now || mintedAt + 1_000 <= now) continue
              assert.notEqual(await ledger.use(aNonce(n, mintedAt, mintedAt + 1_000), 1, now), 'forgotten')
            }
          })()
        }),
        runs,
      )
    })

    test(
      'it stands at its start, and at what it has forgotten since, under one name',
      on(2, async (ledger) => {
        const { floor, generation } = standingOf(ledger)
        assert.equal(floor, STARTED_AT)
        for (const n of [1, 2, 3]) await ledger.use(aNonce(n, 2_000 + n), 1, NOW)
        assert.equal(await ledger.use(aNonce(1, 2_001), 2, NOW), 'forgotten')
        assert.deepEqual(standingOf(ledger), { floor: 2_001, generation })
      }),
    )

    test(
      'a nonce that was minted for another generation is forgotten, and costs no record',
      on(2, async (ledger) => {
        const { generation } = standingOf(ledger)
        for (const n of [1, 2]) assert.equal(await ledger.use({ ...aNonce(n), generation }, 1, NOW), 'accepted')
        for (const n of [1, 2, 3]) {
          assert.equal(await ledger.use({ ...aNonce(n), generation: 'another' }, 2, NOW), 'forgotten')
        }
        for (const n of [1, 2]) assert.equal(await ledger.use({ ...aNonce(n), generation }, 1, NOW), 'reused')
      }),
    )

    test(
      'by a clock that is behind the start, what is minted above the floor is accepted once',
      on(10, async (ledger) => {
        const { floor, generation } = standingOf(ledger)
        for (const n of [1, 2, 3]) {
          const ahead = { ...aNonce(n, floor + 1), generation }
          assert.equal(await ledger.use(ahead, 1, 10), 'accepted')
          for (const now of [10, 500, NOW]) assert.equal(await ledger.use(ahead, 1, now), 'reused')
          assert.equal(await ledger.use(ahead, 2, 10), 'accepted')
        }
      }),
    )

    test(
      'by a clock that is behind all that a full ledger holds, who asks anew is served, and ousts the oldest only',
      on(5, async (ledger) => {
        for (let n = 0; n < 5; n++) await ledger.use(aNonce(n, 5_000 + 100 * n), 1, 6_000)
        const standing = () => standingOf(ledger)
        const newcomers: UsedNonce[] = []
        for (let n = 10; n < 14; n++) {
          const ahead = (): UsedNonce => ({ ...aNonce(n, standing().floor + 1), generation: standing().generation })
          const first = ahead()
          const second = (await ledger.use(first, 1, 2_500)) === 'forgotten' ? ahead() : undefined
          if (second) assert.equal(await ledger.use(second, 1, 2_500), 'accepted')
          newcomers.push(second ?? first)
        }
        for (const nonce of newcomers) assert.equal(await ledger.use(nonce, 2, 2_500), 'accepted')
        assert.equal(await ledger.use(aNonce(4, 5_400), 2, 2_500), 'accepted')
        assert.equal(await ledger.use(aNonce(3, 5_300), 2, 2_500), 'forgotten')
      }),
    )

    test('whatever the clock does, no use is accepted twice, and who asks anew after `forgotten` is served', async () => {
      const step = fc.record({
        now: fc.constantFrom(10, 500, 1_000, 1_001, 2_000, 2_001, 5_000, 20_000),
        n: fc.nat(5),
        asksAnew: fc.boolean(),
      })
      await fc.assert(
        fc.asyncProperty(
          fc.array(step, { maxLength: 60, size: 'max' }),
          fc.integer({ min: 1, max: 4 }),
          async (steps, maxNonces) => {
            await on(maxNonces, async (ledger) => {
              const held = new Map<number, UsedNonce>()
              const accepted = new Set<string>()
              let minted = 0
              const mint = (now: number): UsedNonce => {
                const { floor, generation } = standingOf(ledger)
                const nonce = `minted ${minted++}`
                if (now > floor) return { nonce, mintedAt: now, expiresAt: now + 1_000 }
                return { nonce, mintedAt: floor + 1, expiresAt: floor + 1_001, generation }
              }
              const use = async (nonce: UsedNonce, now: number) => {
                const outcome = await ledger.use(nonce, 1, now)
                if (outcome !== 'accepted') return outcome
                assert.equal(accepted.has(nonce.nonce), false)
                accepted.add(nonce.nonce)
                return outcome
              }
              for (const { now, n, asksAnew } of steps) {
                const own = held.get(n)
                if (own !== undefined && !asksAnew) {
                  await use(own, now)
                  continue
                }
                let tries = 0
                let outcome: string
                do {
                  const nonce = mint(now)
                  held.set(n, nonce)
                  outcome = await use(nonce, now)
                  tries++
                } while (outcome === 'forgotten' && tries < 5)
                assert.ok(outcome === 'accepted' && tries <= 2, `${outcome} after ${tries} by ${now}`)
              }
            })()
          },
        ),
        runs,
      )
    })

    if (keeps.isShared) {
      test(
        'hosts call it by one name, and one learns what another has made it forget',
        on(2, async (ledger, { elsewhere }) => {
          assert.ok(elsewhere)
          const { generation } = standingOf(ledger)
          for (const n of [1, 2, 3]) await ledger.use(aNonce(n, 2_000 + n), 1, NOW)
          assert.equal(await elsewhere.use(aNonce(1, 2_001), 2, NOW), 'forgotten')
          assert.deepEqual(standingOf(elsewhere), { floor: 2_001, generation })
          const ahead = { ...aNonce(9, 2_010), generation }
          assert.deepEqual([await elsewhere.use(ahead, 1, 10), await ledger.use(ahead, 1, 10)], ['accepted', 'reused'])
        }),
      )

      test(
        'exactly one of 20 racing callers on two hosts is accepted',
        on(100, async (ledger, { elsewhere }) => {
          assert.ok(elsewhere)
          for (let nc = 1; nc <= 50; nc++) {
            const hosts: NonceLedger[] = Array.from({ length: 20 }, (_, n) => (n % 2 === 0 ? ledger : elsewhere))
            const outcomes = await Promise.all(hosts.map((host) => host.use(aNonce(1 + (nc % 3)), nc, NOW)))
            assert.equal(outcomes.filter((outcome) => outcome === 'accepted').length, 1)
            assert.equal(outcomes.filter((outcome) => outcome === 'reused').length, 19)
          }
        }),
      )
    }

    if (keeps.survivesRestart) {
      test(
        'a restart forgets nothing: used counts stay used, live nonces stay good',
        on(3, async (ledger, opened) => {
          for (const n of [1, 2, 3, 4]) await ledger.use(aNonce(n, 2_000 + n), 5, NOW)
          const again = await opened.reopen?.()
          assert.ok(again)
          assert.deepEqual(standingOf(again.store), { floor: 2_001, generation: standingOf(ledger).generation })
          assert.equal(await again.store.use(aNonce(4, 2_004), 5, NOW), 'reused')
          assert.equal(await again.store.use(aNonce(4, 2_004), 4, NOW), 'accepted')
          assert.equal(await again.store.use(aNonce(1, 2_001), 9, NOW), 'forgotten')
          assert.equal(await again.store.use(aNonce(9, 2_009), 1, NOW), 'accepted')
          await again.close()
        }),
      )
    }

    if (keeps.checksAtRest) {
      test(
        'a changed or moved record is refused',
        on(10, async (ledger, { rest }) => {
          await ledger.use(aNonce(1), 1, NOW)
          await ledger.use(aNonce(2), 2, NOW)
          await rest?.tamper(flipLastBit)
          await assert.rejects(ledger.use(aNonce(1), 1, NOW), isUnavailable)
          await rest?.tamper(flipLastBit)
          await rest?.swap()
          await assert.rejects(ledger.use(aNonce(1), 1, NOW), isUnavailable)
        }),
      )
    }
  })
}
