import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { makeKeyFile, readKeyFile } from '../../src/store/key-file.ts'
import { LmdbFile } from '../../src/store/lmdb-file.ts'
import { lmdbRateLimiter } from '../../src/store/lmdb-rate-limiter.ts'
import { memoryRateLimiter } from '../../src/store/memory-rate-limiter.ts'
import { readTaken, redisRateLimiter, type ScriptRunner } from '../../src/store/redis-rate-limiter.ts'
import type { SealKeys } from '../../src/store/seal.ts'
import type { RateLimiter } from '../../src/store/store.ts'
import { isUnavailable, type Opened } from '../contract/adapter.ts'
import { rateLimiterContract } from '../contract/rate-limiter.ts'
import { findProgram, peerTest } from '../support/peer.ts'
import { aDirectory, atRest } from './directory.ts'
import { aRedis } from './resp.ts'

const keys = sealKeys()

rateLimiterContract(
  {
    name: 'memory',
    open: async (bounds) => ({ store: memoryRateLimiter(bounds), close: async () => {} }),
  },
  { bounds: true },
)

rateLimiterContract(
  { name: 'LMDB', open: async (bounds) => openLmdbLimiter(aDirectory(), bounds) },
  { bounds: true, survivesRestart: true, runs: 15 },
)

function openLmdbLimiter(directory: string, bounds: { readonly maxKeys: number }): Opened<RateLimiter> {
  const limiter = lmdbRateLimiter({ directory, keys, ...bounds })
  const [name = ''] = readdirSync(directory).filter((file) => file.endsWith('.mdb'))
  const file = new LmdbFile({ path: join(directory, name), durable: false, minFreeBytes: 0, freeBytes: () => 1 })
  return {
    store: limiter,
    close: async () => {
      await file.close()
      await limiter.close()
    },
    reopen: async () => {
      await limiter.close()
      return openLmdbLimiter(directory, bounds)
    },
    rest: atRest(directory, file, file.database('limits')),
  }
}

describe('memoryRateLimiter', () => {
  test('100,000 invented keys take the room of the bound', async () => {
    const limiter = memoryRateLimiter({ maxKeys: 1_000 })
    for (let n = 0; n < 100_000; n++) await limiter.take(`${n}`, { burst: 5, perMinute: 10 }, 1_000_000 + n)
    assert.equal(limiter.size, 1_000)
  })
})

describe('lmdbRateLimiter', () => {
  test('several openers of one directory share one count', async () => {
    const directory = aDirectory()
    const limiters = [1, 2, 3, 4].map(() => lmdbRateLimiter({ directory, keys, maxKeys: 10 }))
    const rate = { burst: 7, perMinute: 1 }
    const taken = await Promise.all(
      Array.from({ length: 40 }, (_, n) => limiters[n % 4]?.take('a', rate, 1_000_000) ?? assert.fail()),
    )
    assert.equal(taken.filter(({ allowed }) => allowed).length, 7)
    await Promise.all(limiters.map((limiter) => limiter.close()))
  })

  test('a disk that is nearly full refuses to count, and says so', async () => {
    let free = 64 * 1024 * 1024
    const limiter = lmdbRateLimiter({ directory: aDirectory(), keys, maxKeys: 10, freeBytes: () => free })
    free = 0
    await assert.rejects(limiter.take('a', { burst: 1, perMinute: 1 }, 1_000_000), isUnavailable)
    await limiter.close()
  })
})

describe('redisRateLimiter', () => {
  const rate = { burst: 1, perMinute: 1 }
  const over = (evaluate: ScriptRunner['eval']) => redisRateLimiter({ redis: { eval: evaluate }, keys })

  test('a Redis that fails, or answers with something else, is a store that is not there', async () => {
    const failing = over(() => Promise.reject(new Error('no connection')))
    await assert.rejects(failing.take('a', rate, 1), isUnavailable)
    for (const reply of [null, 'OK', [], [1], [2, 0], ['x', 0], [1, -1], [1, 'x']]) {
      assert.throws(() => readTaken(reply), isUnavailable)
      await assert.rejects(over(async () => reply).take('a', rate, 1), isUnavailable)
    }
    assert.deepEqual(readTaken([1, 6]), { allowed: true, retryAfterS: 6 })
    assert.deepEqual(readTaken(['0', '6']), { allowed: false, retryAfterS: 6 })
  })

  test('it is told one hashed key, under the prefix, and whole numbers', async () => {
    const told: unknown[] = []
    const limiter = over(async (_script, names, args) => {
      told.push(names.length, /^gba:limits:[A-Za-z0-9+/]{43}=$/.test(names[0] ?? ''), args)
      return [1, 0]
    })
    await limiter.take('alice@example', { burst: 3, perMinute: 7 }, 1_700_000_000_000, 2)
    assert.deepEqual(told, [1, true, ['1700000000000000', '8571429', '25714287', '60000000', '2']])
  })
})

if (findProgram('redis-server') === undefined) {
  peerTest('the rate limiter on Redis keeps the contract', ['redis-server'], () => {})
} else {
  const redis = await aRedis()
  after(() => redis.close())
  let opened = 0
  const open = async (): Promise<Opened<RateLimiter>> => ({
    store: redisRateLimiter({ redis, keys, keyPrefix: `test ${opened++}:` }),
    close: async () => {},
    rest: {
      octets: async () => Buffer.from(JSON.stringify(await redis.command('KEYS', '*'))),
      tamper: () => assert.fail('not here'),
      swap: () => assert.fail('not here'),
    },
  })
  rateLimiterContract({ name: 'Redis', open }, { bounds: false, runs: 15 })

  describe('redisRateLimiter', () => {
    test('a key goes by itself, a minute after its debt is paid', async () => {
      const limiter = redisRateLimiter({ redis, keys, keyPrefix: 'ttl:' })
      await limiter.take('a', { burst: 3, perMinute: 10 }, 1_700_000_000_000, 2)
      const [name] = (await redis.command('KEYS', 'ttl:*')) as string[]
      const left = Number(await redis.command('PTTL', name ?? ''))
      assert.ok(left > 62_000 && left <= 72_000, `${left}`)
    })
  })
}

function sealKeys(): SealKeys {
  const path = join(aDirectory(), 'seal.key')
  makeKeyFile(path)
  return readKeyFile(path) ?? assert.fail()
}
