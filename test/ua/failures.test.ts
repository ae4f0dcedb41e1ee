import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type FaultCode, GbaError } from '../../src/errors.ts'
import { memoryRateLimiter } from '../../src/store/memory-rate-limiter.ts'
import type { RateLimiter } from '../../src/store/store.ts'
import { type FailureGuard, failureCounters, failureGuard, failureMemory, isGuess } from '../../src/ua/failures.ts'

const BTID = 'AAAAAAAAAAAAAAAAAAAAAA==@bsf.example.org'
const digestOf = (username: string) => [`Digest username="${username}", realm="x", nonce="y", response="z"`]
const rate = (burst: number) => ({ burst, perMinute: 10 })
const LIMITS = { perSource: rate(20), perIdentity: rate(3), perUsername: rate(5) }
const NOW = 1_700_000_000_000

interface Guarded extends FailureGuard {
  /** Takes from the store. */
  readonly taken: () => number
  wait(ms: number): void
}

interface Making {
  readonly limiter?: RateLimiter
  readonly maxRemembered?: number
  readonly clock?: { now: number }
}

function aGuard({ limiter, maxRemembered = 1_000, clock = { now: NOW } }: Making = {}): Guarded {
  const counted = limiter ?? memoryRateLimiter({ maxKeys: 1_000 })
  let taken = 0
  const guard = failureGuard({
    limiter: {
      ...counted,
      take: (...args) => {
        taken++
        return counted.take(...args)
      },
    },
    fallback: memoryRateLimiter({ maxKeys: 1_000 }),
    limits: LIMITS,
    sourceOf: (address) => (address.startsWith('10.') ? undefined : address),
    now: () => clock.now,
    maxRemembered,
  })
  return {
    ...guard,
    get size() {
      return guard.size
    },
    taken: () => taken,
    wait(ms) {
      clock.now += ms
    },
  }
}

function admits(guard: FailureGuard, address: string, authorization: readonly string[]): boolean {
  try {
    guard.admit(address, authorization)
    return true
  } catch (error) {
    assert.ok(error instanceof GbaError && error.code === 'UA_TOO_MANY_FAILURES')
    assert.ok((error.retryAfterS ?? 0) > 0)
    return false
  }
}

/** @returns how many guesses were looked at before the first that was not, and what the last of them was answered */
async function guesses(guard: FailureGuard, address: string, username: string, most = 100, code: FaultCode = WRONG) {
  const authorization = digestOf(username)
  let tried = 0
  let answer: FaultCode = code
  for (; tried < most && admits(guard, address, authorization); tried++) {
    answer = (await guard.failed(code, address, authorization))?.code ?? code
  }
  return { tried, answer }
}
const WRONG = 'UA_RESPONSE_WRONG'

describe('what is counted of a failure on Ua', () => {
  test('of a B-TID: the source, and the B-TID from that source; nothing that stands elsewhere', () => {
    const here = failureCounters({ code: WRONG, source: 'a', username: BTID })
    const there = failureCounters({ code: WRONG, source: 'b', username: BTID })
    assert.deepEqual(Object.keys(here), ['source', 'identity'])
    assert.deepEqual(
      Object.values(here).filter((key) => Object.values(there).includes(key)),
      [],
    )
  })

  test('of a password: the username wherever it comes from as well', () => {
    const here = failureCounters({ code: WRONG, source: 'a', username: 'alice@example.org' })
    const there = failureCounters({ code: WRONG, source: undefined, username: 'alice@example.org' })
    assert.deepEqual(Object.keys(here), ['source', 'identity', 'username'])
    assert.deepEqual(there, { username: here.username })
  })

  test('of a B-TID that is nobody’s: the source alone', () => {
    assert.deepEqual(Object.keys(failureCounters({ code: 'ZN_BTID_UNKNOWN', source: 'a', username: BTID })), ['source'])
  })

  test('only what may be a guess', () => {
    const guesses = ['UA_RESPONSE_WRONG', 'UA_USERNAME_UNKNOWN', 'ZN_BTID_UNKNOWN'] as const
    for (const code of guesses) assert.equal(isGuess(code), true)
    const others = [
      'UA_CREDENTIALS_MISSING',
      'UA_NONCE_AGED',
      'UA_NC_REUSED',
      'ZN_BSF_UNREACHABLE',
      'INTERNAL',
    ] as const
    for (const code of others) assert.equal(isGuess(code), false)
  })
})

describe('failureGuard', () => {
  test('as many guesses as the burst has are looked at, and the next one is not', async () => {
    const guard = aGuard()
    assert.deepEqual(await guesses(guard, 'a', BTID), { tried: 3, answer: WRONG })
    guard.wait(5_999)
    assert.equal(admits(guard, 'a', digestOf(BTID)), false)
    guard.wait(1)
    assert.equal((await guesses(guard, 'a', BTID)).tried, 1)
  })

  test('a stranger locks no UE out that comes from elsewhere, or beside it with another B-TID', async () => {
    const guard = aGuard()
    await guesses(guard, 'a', BTID)
    assert.equal(admits(guard, 'b', digestOf(BTID)), true)
    assert.equal(admits(guard, 'a', digestOf(`B${BTID.slice(1)}`)), true)
    assert.equal(admits(guard, 'a', []), true)
  })

  test('another letter case makes no other B-TID', async () => {
    const guard = aGuard()
    await guesses(guard, 'a', BTID)
    assert.equal(admits(guard, 'a', digestOf(BTID.replace('bsf', 'BSF'))), false)
  })

  test('nobody learns from the limit which usernames there are', async () => {
    const [known, unknown] = [aGuard(), aGuard()]
    for (const address of ['a', 'b', 'c']) {
      const ofKnown = await guesses(known, address, 'alice')
      assert.equal((await guesses(unknown, address, 'alice', 100, 'UA_USERNAME_UNKNOWN')).tried, ofKnown.tried)
    }
  })

  test('a password is guessed from many places no oftener than from one', async () => {
    const guard = aGuard()
    const tried = []
    for (const address of ['a', 'b', 'c', '10.0.0.1']) tried.push((await guesses(guard, address, 'alice')).tried)
    assert.deepEqual(tried, [3, 2, 0, 0])
    assert.equal(admits(guard, 'z', digestOf('bob')), true)
  })

  test('and its owner gets in from where it got in before', async () => {
    const guard = aGuard()
    guard.succeeded('home', 'alice')
    for (const address of ['a', 'b']) await guesses(guard, address, 'alice')
    assert.equal(admits(guard, 'away', digestOf('alice')), false)
    assert.equal(admits(guard, 'home', digestOf('alice')), true)
    // where it answers for its own failures
    assert.equal((await guesses(guard, 'home', 'alice')).tried, 3)
  })

  test('a source is held back whatever it names, but for whom it has proved to be there', async () => {
    const guard = aGuard()
    guard.succeeded('a', BTID)
    let tried = 0
    for (; tried < 50; tried++) {
      const { tried: one } = await guesses(
        guard,
        'a',
        `${'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[tried % 26]}x@bsf.example.org`,
        1,
        'ZN_BTID_UNKNOWN',
      )
      if (one === 0) break
    }
    assert.equal(tried, 20)
    assert.equal(admits(guard, 'a', digestOf('carol')), false)
    assert.equal(admits(guard, 'a', digestOf(BTID)), true)
    assert.equal(admits(guard, 'b', digestOf('carol')), true)
  })

  test('behind an address that many share, only passwords are counted', async () => {
    const guard = aGuard()
    assert.equal((await guesses(guard, '10.0.0.1', BTID)).tried, 100)
    assert.equal((await guesses(guard, '10.0.0.1', 'alice')).tried, 5)
  })

  test('whoever succeeds asks the store nothing, and nor does who is held back', async () => {
    const guard = aGuard()
    await guesses(guard, 'a', BTID)
    const taken = guard.taken()
    for (let n = 0; n < 100; n++) {
      admits(guard, 'b', digestOf(BTID))
      guard.succeeded('b', BTID)
      admits(guard, 'a', digestOf(BTID))
    }
    assert.equal(guard.taken(), taken)
  })

  test('two processes that share a store let one guess more be tried, and answer it with 429', async () => {
    const clock = { now: NOW }
    const limiter = memoryRateLimiter({ maxKeys: 1_000 })
    const [one, two] = [aGuard({ limiter, clock }), aGuard({ limiter, clock })]
    assert.equal((await guesses(one, 'a', BTID)).tried, 3)
    assert.deepEqual(await guesses(two, 'a', BTID), { tried: 1, answer: 'UA_TOO_MANY_FAILURES' })
  })

  test('without its store it counts for itself', async () => {
    const limiter: RateLimiter = {
      take: () => Promise.reject(new GbaError('STORE_UNAVAILABLE', 'gone')),
      sweep: async () => 0,
    }
    assert.equal((await guesses(aGuard({ limiter }), 'a', BTID)).tried, 3)
  })

  test('what cannot be read, or comes twice, names nobody', async () => {
    const guard = aGuard()
    for (const lines of [['Basic x'], [''], [...digestOf(BTID), ...digestOf(BTID)]]) {
      for (let n = 0; n < 5; n++) assert.equal(await guard.failed(WRONG, '10.0.0.1', lines), undefined)
      assert.equal(admits(guard, '10.0.0.1', lines), true)
    }
  })

  test('100,000 who fail and 100,000 who succeed take the room of the bounds', async () => {
    const guard = aGuard({ maxRemembered: 100 })
    for (let n = 0; n < 20_000; n++) {
      for (let guess = 0; guess < 5; guess++) await guard.failed(WRONG, `${n}`, digestOf(`user ${n}`))
    }
    for (let n = 0; n < 100_000; n++) guard.succeeded(`${n}`, BTID)
    assert.ok(guard.size <= 300)
    assert.ok(guard.size > 100)
  })
})

describe('a guard that takes the place of another', () => {
  test('holds back whom that one held back, and knows who has succeeded there', async () => {
    const memory = failureMemory()
    const limiter = memoryRateLimiter({ maxKeys: 1_000 })
    const of = (limits: typeof LIMITS) =>
      failureGuard({
        limiter,
        fallback: limiter,
        limits,
        sourceOf: (address) => address,
        now: () => NOW,
        maxRemembered: 10,
        memory,
      })
    const before = of(LIMITS)
    before.succeeded('192.0.2.2', 'bob')
    assert.equal((await guesses(before, '192.0.2.1', BTID)).tried, LIMITS.perIdentity.burst)
    const next = of({ ...LIMITS, perIdentity: rate(50) })
    assert.equal(admits(next, '192.0.2.1', digestOf(BTID)), false)
    assert.equal(admits(next, '192.0.2.2', digestOf('bob')), true)
    assert.equal(next.size, before.size)
  })
})
