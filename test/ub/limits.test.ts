import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Impi } from '../../src/core/identity.ts'
import { GbaError } from '../../src/errors.ts'
import { memoryRateLimiter } from '../../src/store/memory-rate-limiter.ts'
import type { RateLimiter } from '../../src/store/store.ts'
import { countersOf, countersOfFailure, type UbCaller, type UbLimits, ubLimiter } from '../../src/ub/limits.ts'

const NOW = 1_700_000_000_000
const limits: UbLimits = {
  perSource: { burst: 100, perMinute: 120 },
  perImpi: { burst: 7, perMinute: 10 },
  wrongResponseCost: 3,
}
const caller: UbCaller = { source: '192.0.2.7', impi: 'alice@example.org' as Impi, isTmpi: false }
const keysOf = (counters: readonly { readonly key: string }[]) => counters.map(({ key }) => key)

async function refusalOf(promise: Promise<void>): Promise<GbaError | undefined> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  assert.ok(error === undefined || error instanceof GbaError)
  return error
}

describe('what is counted on Ub', () => {
  test('the source, the subscriber from there with half of its measure, and the subscriber', () => {
    const [source, share, whole] = countersOf(caller, limits)
    assert.deepEqual(source?.rate, limits.perSource)
    assert.deepEqual(share?.rate, { burst: 4, perMinute: 5 })
    assert.deepEqual(whole?.rate, limits.perImpi)
    assert.equal(new Set(keysOf(countersOf(caller, limits))).size, 3)
  })

  test('the subscriber alone, where many share the source; nothing, where limits are lifted', () => {
    assert.equal(countersOf({ ...caller, source: undefined }, limits).length, 1)
    assert.equal(countersOf(caller, { ...limits, perSource: undefined }).length, 2)
    assert.equal(countersOf(caller, { ...limits, perImpi: undefined }).length, 1)
    assert.deepEqual(countersOf(caller, { ...limits, perImpi: undefined, perSource: undefined }), [])
  })

  test('who comes under a TMPI apart from who comes under the IMPI', () => {
    const [, ...byImpi] = keysOf(countersOf(caller, limits))
    const [, ...byTmpi] = keysOf(countersOf({ ...caller, isTmpi: true }, limits))
    assert.deepEqual(
      byImpi.filter((key) => byTmpi.includes(key)),
      [],
    )
  })

  test('one subscriber in whatever spelling', () => {
    const spelt = keysOf(countersOf({ ...caller, impi: 'ALICE@Example.org.' as Impi }, limits))
    assert.deepEqual(spelt, keysOf(countersOf(caller, limits)))
  })

  test('a wrong response where it came from, and never the subscriber as a whole', () => {
    assert.deepEqual(countersOfFailure(caller, limits), countersOf(caller, limits).slice(0, 2))
    const shared = { ...caller, source: undefined }
    assert.deepEqual(countersOfFailure(shared, limits), countersOf(shared, limits))
  })
})

describe('ubLimiter', () => {
  test('says a wait that is honest, whichever measures were taken from on the way', async () => {
    let now = NOW
    const limiter = ubLimiter({ limiter: memoryRateLimiter({ maxKeys: 100 }), limits, now: () => now })
    for (let n = 0; n < 4; n++) {
      await limiter.admit(caller)
      await limiter.admit({ ...caller, source: '192.0.2.8' }).catch(() => {})
    }
    for (let tries = 0; tries < 20; tries++) {
      const refusal = await refusalOf(limiter.admit(caller))
      if (!refusal) continue
      assert.equal(refusal.code, 'UB_TOO_MANY_REQUESTS')
      now += (refusal.retryAfterS ?? assert.fail()) * 1000
      assert.equal(await refusalOf(limiter.admit(caller)), undefined)
    }
  })

  test('a limiter that is out of reach admits nobody, and leaves a wrong response what it is', async () => {
    const unavailable = new GbaError('STORE_UNAVAILABLE', 'gone')
    const failing: RateLimiter = { take: () => Promise.reject(unavailable), sweep: async () => 0 }
    const limiter = ubLimiter({ limiter: failing, limits, now: () => NOW })
    assert.equal((await refusalOf(limiter.admit(caller)))?.code, 'STORE_UNAVAILABLE')
    assert.equal(await refusalOf(limiter.failed(caller)), undefined)
  })

  test('100,000 invented sources and subscribers take the room of the bound', async () => {
    const store = memoryRateLimiter({ maxKeys: 1_000 })
    const limiter = ubLimiter({ limiter: store, limits, now: () => NOW })
    for (let n = 0; n < 100_000; n++) {
      await limiter.admit({
        source: `2001:db8:${n >> 16}:${n & 0xffff}::/64`,
        impi: `${n}@x.org` as Impi,
        isTmpi: false,
      })
    }
    assert.equal(store.size, 1_000)
  })
})
