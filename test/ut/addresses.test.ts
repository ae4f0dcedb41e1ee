import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { GbaError } from '../../src/errors.ts'
import { type AddressOptions, AppServerAddresses } from '../../src/ut/addresses.ts'

const [A, B] = ['http://10.0.0.1:80', 'http://10.0.0.2:80']
const READ = { key: 'sip:alice@example.org', isSafe: true }
const WRITE = { ...READ, isSafe: false }
const BREAKER = { failures: 2, openMs: 1000, gatewayStatuses: false }

const server = (options: Partial<AddressOptions> = {}) =>
  new AppServerAddresses({ name: 'as', url: A, breaker: BREAKER, ...options })
const two = (options: Partial<AddressOptions> = {}) => server({ moreUrls: [B], ...options })

/** Fails once at each address that is chosen, until that is `url`. */
function failAt(of: AppServerAddresses, url: string, now: number): void {
  for (let i = 0; i < 10; i++) {
    const lease = of.choose(READ, now)
    if (lease.url === url) lease.failed('UT_AS_UNREACHABLE', now)
    else lease.answered(200, now)
    lease.release()
    if (lease.url === url) return
  }
  assert.fail(`${url} was never chosen`)
}
const suspended = (retryAfterS: number) => (error: unknown) =>
  error instanceof GbaError && error.code === 'UT_AS_SUSPENDED' && error.retryAfterS === retryAfterS
const states = (of: AppServerAddresses) => of.states(0).map(({ state }) => state)

test('an address that begins to be left alone is told once, and once that it is trusted again', () => {
  const told: unknown[] = []
  const of = new AppServerAddresses({ name: 'as', url: A, breaker: BREAKER }, (change) => told.push(change))
  const change = (isLeftAlone: boolean, by: string) => ({ appServer: 'as', address: A, isLeftAlone, by })
  failAt(of, A, 0)
  assert.deepEqual(told, [])
  failAt(of, A, 0)
  // a try that fails is no news
  failAt(of, A, 1000)
  assert.deepEqual(told, [change(true, 'requests')])
  const probe = of.choose(READ, 2000)
  probe.answered(200, 2000)
  probe.release()
  of.checked(A, false, 5000, 3000)
  of.checked(A, false, 6000, 4000)
  of.checked(A, true, 0, 4500)
  assert.deepEqual(told.slice(1), [change(false, 'requests'), change(true, 'health'), change(false, 'health')])
})

describe('one address', () => {
  test('is refused at once when it failed too often, says when to come again, and is then tried by one', () => {
    const of = server()
    for (let i = 0; i < 2; i++) failAt(of, A, 0)
    assert.throws(() => of.choose(READ, 1), suspended(1))
    assert.deepEqual(
      [999, 1000].map((now) => of.states(now)[0]?.isLeftAlone),
      [true, false],
    )
    const probe = of.choose(WRITE, 1000)
    const half = { name: 'as', url: A, state: 'half-open', isLeftAlone: false, inFlight: 1 }
    assert.deepEqual(of.states(1000), [half])
    assert.throws(() => of.choose(READ, 1001), suspended(1))
    probe.answered(201, 1002)
    probe.release()
    assert.equal(of.choose(READ, 1003).url, A)
  })

  test('fails by no connection and no answer in time, and by nothing that it answers', () => {
    for (const [code, state] of [
      ['UT_AS_UNREACHABLE', 'open'],
      ['UT_AS_TIMEOUT', 'open'],
      ['UT_AS_ANSWER_INVALID', 'closed'],
      ['UT_AS_OVERLOADED', 'closed'],
    ] as const) {
      const of = server()
      for (let i = 0; i < 2; i++) of.choose(READ, 0).failed(code, 0)
      assert.deepEqual(states(of), [state], code)
    }
    const of = server()
    for (const status of [500, 502, 503, 504]) of.choose(READ, 0).answered(status, 0)
    assert.deepEqual(states(of), ['closed'])
  })

  test('fails by 502, 503 and 504 where that is wanted, and not by 500', () => {
    for (const [status, state] of [
      [500, 'closed'],
      [502, 'open'],
      [503, 'open'],
      [504, 'open'],
    ] as const) {
      const of = server({ breaker: { ...BREAKER, gatewayStatuses: true } })
      for (let i = 0; i < 2; i++) of.choose(READ, 0).answered(status, 0)
      assert.deepEqual(states(of), [state], String(status))
    }
  })

  test('counts what is under way once, however often its end is told', () => {
    const of = server()
    const lease = of.choose(READ, 0)
    assert.equal(of.states(0)[0]?.inFlight, 1)
    for (let i = 0; i < 2; i++) lease.release()
    for (let i = 0; i < 5; i++) lease.failed('UT_AS_TIMEOUT', 0)
    assert.deepEqual([of.states(0)[0]?.inFlight, states(of)], [0, ['closed']])
  })

  test('is tried by the next one when the one that tried was given up', () => {
    const of = server()
    for (let i = 0; i < 2; i++) failAt(of, A, 0)
    of.choose(READ, 1000).abandoned(1001)
    assert.equal(of.choose(READ, 1001).url, A)
  })
})

describe('two addresses', () => {
  test('share what comes, by what is under way', () => {
    const of = two()
    const urls = Array.from({ length: 6 }, () => of.choose(WRITE, 0).url)
    assert.deepEqual(urls.toSorted(), [A, A, A, B, B, B])
  })

  test('stand in for one another, and nothing is suspended before both have failed', () => {
    const of = two()
    for (let i = 0; i < 2; i++) failAt(of, A, 0)
    for (let i = 0; i < 4; i++) assert.equal(of.choose(WRITE, 1).url, B)
    for (let i = 0; i < 2; i++) failAt(of, B, 500)
    assert.throws(() => of.choose(READ, 600), suspended(1))
  })

  test('spare what must not fail: after one failure it goes to the other, and it tries nothing', () => {
    const of = two()
    failAt(of, A, 0)
    for (let i = 0; i < 6; i++) assert.equal(of.choose(WRITE, 1).url, B)
    failAt(of, A, 2)
    assert.deepEqual(states(of), ['open', 'closed'])
    for (let i = 0; i < 6; i++) assert.equal(of.choose(WRITE, 5000).url, B)
    assert.equal(of.choose(READ, 5000).url, A)
    assert.deepEqual(states(of), ['half-open', 'closed'])
  })

  test('take what failed at the other, and there is no third', () => {
    const of = two()
    const lease = of.chooseOther({ ...READ, except: A }, 0)
    assert.equal(lease?.url, B)
    lease?.release()
    for (let i = 0; i < 2; i++) failAt(of, B, 0)
    assert.equal(of.chooseOther({ ...READ, except: A }, 1), undefined)
    assert.equal(server().chooseOther({ ...READ, except: A }, 1), undefined)
  })

  test('by hash each belong to their users, who find the other one meanwhile, and come back', () => {
    const of = two({ balance: 'hash' })
    const keys = Array.from({ length: 40 }, (_, i) => `sip:user${i}@example.org`)
    const where = (now: number) => keys.map((key) => of.choose({ key, isSafe: false }, now).url)
    const before = where(0)
    assert.deepEqual(new Set(before), new Set([A, B]))
    assert.deepEqual(where(0), before)
    of.checked(A, false, 10_000, 1)
    assert.deepEqual(new Set(where(2)), new Set([B]))
    of.checked(A, true, 0, 3)
    assert.deepEqual(where(4), before)
  })

  test('give the one that came back a small share first', () => {
    const of = two({ slowStartMs: 10_000 })
    of.checked(A, false, 10_000, 0)
    of.checked(A, true, 0, 0)
    const shareOfA = (now: number) => {
      const leases = Array.from({ length: 100 }, () => of.choose(WRITE, now))
      for (const lease of leases) lease.release()
      return leases.filter(({ url }) => url === A).length
    }
    const [at0, at5, at10] = [shareOfA(0), shareOfA(5000), shareOfA(10_000)]
    assert.ok(at0 > 4 && at0 < 15 && at5 > 25 && at5 < 40 && at10 === 50, `${[at0, at5, at10]}`)
  })
})
