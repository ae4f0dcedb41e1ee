import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Rate, RateLimiter } from '../../src/store/store.ts'
import { type Adapter, holds, tracesOf, using } from './adapter.ts'

const NOW = 1_700_000_000_000
/** One in six seconds. */
const RATE: Rate = { burst: 3, perMinute: 10 }
const MINUTE = 60_000

export function rateLimiterContract(
  adapter: Adapter<RateLimiter, { readonly maxKeys: number }>,
  keeps: { readonly bounds: boolean; readonly survivesRestart?: boolean; readonly runs?: number },
): void {
  const on = (maxKeys: number, run: Parameters<typeof using<RateLimiter, { maxKeys: number }>>[2]) =>
    using(adapter, { maxKeys }, run)
  const runs = keeps.runs === undefined ? {} : { numRuns: keeps.runs }
  const empty = async (limiter: RateLimiter, key: string, now = NOW) => {
    for (let i = 0; i < RATE.burst; i++) assert.equal((await limiter.take(key, RATE, now)).allowed, true)
  }

  describe(`RateLimiter on ${adapter.name}`, () => {
    test(
      'the burst is allowed at once, and no more; each allowance says when the next one is due',
      on(10, async (limiter) => {
        const taken = []
        for (let i = 0; i < 5; i++) taken.push(await limiter.take('a', RATE, NOW))
        assert.deepEqual(taken, [
          { allowed: true, retryAfterS: 0 },
          { allowed: true, retryAfterS: 0 },
          { allowed: true, retryAfterS: 6 },
          { allowed: false, retryAfterS: 6 },
          { allowed: false, retryAfterS: 6 },
        ])
      }),
    )

    test(
      'the next one is allowed to the millisecond, and not one before',
      on(10, async (limiter) => {
        await empty(limiter, 'a')
        assert.deepEqual(await limiter.take('a', RATE, NOW + 5_999), { allowed: false, retryAfterS: 1 })
        assert.deepEqual(await limiter.take('a', RATE, NOW + 6_000), { allowed: true, retryAfterS: 6 })
        assert.equal((await limiter.take('a', RATE, NOW + 6_000)).allowed, false)
        assert.equal((await limiter.take('a', RATE, NOW + 11_999)).allowed, false)
        assert.equal((await limiter.take('a', RATE, NOW + 12_000)).allowed, true)
      }),
    )

    test(
      'a debt that is paid is forgotten: the whole burst is there again, and not more than that',
      on(10, async (limiter) => {
        await empty(limiter, 'a')
        await empty(limiter, 'a', NOW + 18_000)
        assert.equal((await limiter.take('a', RATE, NOW + 18_000)).allowed, false)
        await empty(limiter, 'a', NOW + 60 * MINUTE)
        assert.equal((await limiter.take('a', RATE, NOW + 60 * MINUTE)).allowed, false)
      }),
    )

    test(
      'keys know nothing of one another',
      on(10, async (limiter) => {
        await empty(limiter, 'a')
        await empty(limiter, 'b')
        assert.equal((await limiter.take('a', RATE, NOW)).allowed, false)
        assert.equal((await limiter.take('', RATE, NOW)).allowed, true)
        assert.equal((await limiter.take('x'.repeat(5_000), RATE, NOW)).allowed, true)
      }),
    )

    test(
      'a cost is taken where one is allowed, as far as there is room',
      on(10, async (limiter) => {
        assert.deepEqual(await limiter.take('a', RATE, NOW, 2), { allowed: true, retryAfterS: 0 })
        assert.deepEqual(await limiter.take('a', RATE, NOW, 100), { allowed: true, retryAfterS: 6 })
        assert.deepEqual(await limiter.take('a', RATE, NOW, 100), { allowed: false, retryAfterS: 6 })
        assert.equal((await limiter.take('a', RATE, NOW + 6_000)).allowed, true)
      }),
    )

    test(
      'of 20 racing callers as many are allowed as the burst has',
      on(10, async (limiter) => {
        for (const key of ['a', 'b']) {
          const taken = await Promise.all(Array.from({ length: 20 }, () => limiter.take(key, RATE, NOW)))
          assert.equal(taken.filter(({ allowed }) => allowed).length, RATE.burst)
        }
      }),
    )

    test(
      'a clock that goes back gives nothing away, and locks nobody out for longer than it went back, or a full debt',
      on(10, async (limiter) => {
        await empty(limiter, 'a')
        assert.deepEqual(await limiter.take('a', RATE, NOW - 10_000), { allowed: false, retryAfterS: 16 })
        assert.equal((await limiter.take('a', RATE, NOW + 5_999)).allowed, false)
        // set back by a day
        const then = NOW - 24 * 60 * MINUTE
        assert.deepEqual(await limiter.take('a', RATE, then), { allowed: false, retryAfterS: 6 })
        assert.equal((await limiter.take('a', RATE, then + 6_000)).allowed, true)
      }),
    )

    test(
      'what is no rate, or no cost, is the caller’s bug',
      on(10, async (limiter) => {
        for (const broken of [0, -1, 1.5, Number.NaN, 1_000_001]) {
          await assert.rejects(limiter.take('a', { ...RATE, burst: broken }, NOW), RangeError)
          await assert.rejects(limiter.take('a', { ...RATE, perMinute: broken }, NOW), RangeError)
        }
        for (const cost of [0, -1, 0.5]) await assert.rejects(limiter.take('a', RATE, NOW, cost), RangeError)
      }),
    )

    test('whatever comes when: as many are allowed as a plain count of tokens would allow', async () => {
      const take = fc.record({ key: fc.nat(2).map(String), waitMs: fc.integer({ min: -3_000, max: 9_000 }) })
      const rate = fc.record({ burst: fc.integer({ min: 1, max: 5 }), perMinute: fc.integer({ min: 1, max: 90 }) })
      await fc.assert(
        fc.asyncProperty(rate, fc.array(take, { maxLength: 60, size: 'max' }), async (limit, takes) => {
          await on(100, async (limiter) => {
            // In ticks of which a minute has `perMinute` intervals of whole microseconds.
            const interval = Math.ceil(60_000_000 / limit.perMinute)
            const spent = new Map<string, { left: number; at: number }>()
            let now = NOW
            let latest = NOW
            for (const { key, waitMs } of takes) {
              now = Math.max(now + waitMs, latest - 50_000)
              latest = Math.max(now, latest)
              const bucket = spent.get(key) ?? { left: limit.burst * interval, at: now }
              const passedUs = Math.max(0, now - bucket.at) * 1000
              const left = Math.min(limit.burst * interval, bucket.left + passedUs)
              const at = Math.max(now, bucket.at)
              const behindUs = (at - now) * 1000
              const allowed = left - behindUs >= interval
              const rest = allowed ? left - interval : left
              const waitUs = Math.max(0, interval - rest + behindUs)
              const taken = await limiter.take(key, limit, now)
              assert.deepEqual(taken, { allowed, retryAfterS: Math.ceil(waitUs / 1_000_000) })
              spent.set(key, { left: rest, at })
            }
          })()
        }),
        runs,
      )
    })

    test('who waits as long as it is told is let in, whatever the rate', async () => {
      const rate = fc.record({ burst: fc.integer({ min: 1, max: 9 }), perMinute: fc.integer({ min: 1, max: 1_000 }) })
      await fc.assert(
        fc.asyncProperty(rate, fc.nat(5_000), async (limit, afterMs) => {
          await on(100, async (limiter) => {
            for (let i = 0; i < limit.burst; i++) await limiter.take('a', limit, NOW)
            const { allowed, retryAfterS } = await limiter.take('a', limit, NOW + afterMs)
            if (allowed) return
            assert.ok(retryAfterS >= 1)
            assert.equal((await limiter.take('a', limit, NOW + afterMs + retryAfterS * 1000)).allowed, true)
          })()
        }),
        runs,
      )
    })

    if (keeps.bounds) {
      test(
        'a flood of invented keys lets no debtor go and locks no newcomer out',
        on(50, async (limiter) => {
          for (let n = 0; n < 20; n++) await empty(limiter, `debtor ${n}`)
          for (let n = 0; n < 1_000; n++) {
            assert.equal((await limiter.take(`invented ${n}`, RATE, NOW + n)).allowed, true)
          }
          await empty(limiter, 'newcomer', NOW + 1_000)
          assert.equal((await limiter.take('newcomer', RATE, NOW + 1_000)).allowed, false)
          for (let n = 0; n < 20; n++) assert.equal((await limiter.take(`debtor ${n}`, RATE, NOW)).allowed, false)
        }),
      )

      test(
        'too many keys of one debt: as many as the bound says stay in debt, and no more',
        on(10, async (limiter) => {
          for (let n = 0; n < 100; n++) await empty(limiter, `${n}`)
          const taken = await Promise.all(Array.from({ length: 100 }, (_, n) => limiter.take(`${n}`, RATE, NOW)))
          const refused = taken.filter(({ allowed }) => !allowed).length
          assert.ok(refused >= 9 && refused <= 10, `${refused}`)
        }),
      )

      test(
        'the sweep takes what is out of debt, once a clock cannot bring it back, and nothing else',
        on(5_000, async (limiter) => {
          for (let n = 0; n < 2_500; n++) await limiter.take(`${n}`, RATE, NOW)
          await empty(limiter, 'debtor', NOW + MINUTE)
          assert.equal(await limiter.sweep(NOW + MINUTE), 0)
          // what comes in takes two out
          assert.ok((await limiter.sweep(NOW + 6_000 + MINUTE)) >= 2_490)
          assert.equal((await limiter.take('debtor', RATE, NOW + MINUTE)).allowed, false)
          assert.equal(await limiter.sweep(NOW + 18_000 + 2 * MINUTE), 1)
        }),
      )
    }

    if (keeps.survivesRestart) {
      test(
        'the next process finds the debts',
        on(10, async (limiter, opened) => {
          await empty(limiter, 'a')
          const again = await opened.reopen?.()
          assert.ok(again)
          assert.equal((await again.store.take('a', RATE, NOW)).allowed, false)
          await again.close()
        }),
      )
    }

    test(
      'no key lies in the clear where others could read it',
      on(10, async (limiter, { rest }) => {
        if (rest === undefined) return
        await limiter.take('001010000000001@ims.example', RATE, NOW)
        const octets = await rest.octets()
        assert.ok(octets.length > 0)
        for (const trace of tracesOf(Buffer.from('001010000000001@ims'))) assert.equal(holds(octets, trace), false)
      }),
    )
  })
}
