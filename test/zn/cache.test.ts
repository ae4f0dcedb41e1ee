import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { btidOf, type Fqdn } from '../../src/core/identity.ts'
import type { UaProtocolId } from '../../src/core/naf-id.ts'
import { Secret } from '../../src/core/secret.ts'
import { type FaultCode, GbaError } from '../../src/errors.ts'
import { cachedKeySource } from '../../src/zn/cache.ts'
import type { Bia, Bir } from '../../src/zn/port.ts'

const BSF = 'bsf.example.org' as Fqdn
const START = 1_000_000
const aBir = (n = 0, changes: Partial<Bir> = {}): Bir => ({
  btid: btidOf(new Uint8Array(16).fill(n), BSF),
  nafFqdn: 'xcap.example.org' as Fqdn,
  uaProtocolId: '010001c02f' as UaProtocolId,
  gsids: [2, 3],
  gbaUAware: false,
  ...changes,
})
const aBia = (expiresAt = START + 1_000_000): Bia => ({
  ksNaf: new Secret(new Uint8Array(32)),
  expiresAt,
  bootstrappedAt: START,
  gbaType: '3G_GBA',
  ussList: [],
})

/** A cache over a BSF that counts and waits until it is told how to answer. */
function world(options: { maxEntries?: number; ussMaxAgeS?: number } = {}) {
  const clock = { now: START }
  const waiting: { bir: Bir; resolve: (bia: Bia) => void; reject: (error: unknown) => void }[] = []
  const told: (FaultCode | undefined)[] = []
  const bsf = { asked: 0, closed: 0, answer: (() => aBia()) as (() => Bia) | undefined }
  const cache = cachedKeySource(
    {
      fetch(bir) {
        bsf.asked++
        if (bsf.answer === undefined) return new Promise((resolve, reject) => waiting.push({ bir, resolve, reject }))
        return Promise.resolve(bsf.answer())
      },
      async close() {
        bsf.closed++
      },
    },
    {
      now: () => clock.now,
      ussMaxAgeS: options.ussMaxAgeS ?? 1_000,
      unknownBtidCacheS: 5,
      maxEntries: options.maxEntries ?? 10,
      onFetch: (_bir, code) => told.push(code),
    },
  )
  return { cache, clock, bsf, waiting, told }
}

const failing = (code: FaultCode) => () => {
  throw new GbaError(code, 'as the test wants it')
}
const refuses = (code: FaultCode, doing: Promise<unknown>) =>
  assert.rejects(doing, (error) => error instanceof GbaError && error.code === code)

describe('a key', () => {
  test('is fetched once, however many want it at once', async () => {
    const { cache, bsf, waiting } = world()
    bsf.answer = undefined
    const all = Array.from({ length: 20 }, () => cache.fetch(aBir()))
    const bia = aBia()
    for (const { resolve } of waiting) resolve(bia)
    assert.deepEqual(new Set(await Promise.all(all)), new Set([bia]))
    assert.equal(await cache.fetch(aBir()), bia)
    assert.equal(bsf.asked, 1)
  })

  for (const [what, changes] of [
    ['B-TID', { btid: aBir(1).btid }],
    ['NAF name', { nafFqdn: 'lists.example.org' as Fqdn }],
    ['Ua security protocol identifier', { uaProtocolId: '0100000002' as UaProtocolId }],
    ['set of services', { gsids: [23] }],
    ['awareness of GBA_U', { gbaUAware: true }],
  ] as const satisfies [string, Partial<Bir>][]) {
    test(`is another one for another ${what}, also while both are on their way`, async () => {
      const { cache, bsf, waiting } = world()
      bsf.answer = undefined
      const [one, other] = [aBia(), aBia()]
      const both = Promise.all([cache.fetch(aBir()), cache.fetch(aBir(0, changes))])
      waiting[0]?.resolve(one)
      waiting[1]?.resolve(other)
      const [first, second] = await both
      assert.ok(first === one && second === other)
      assert.equal(await cache.fetch(aBir()), one)
      assert.equal(await cache.fetch(aBir(0, changes)), other)
      assert.equal(bsf.asked, 2)
    })
  }

  test('is handed out to the last millisecond before its expiry, and asked for anew at it', async () => {
    const { cache, bsf, clock } = world()
    bsf.answer = () => aBia(START + 7_000)
    await cache.fetch(aBir())
    clock.now = START + 6_999
    await cache.fetch(aBir())
    assert.equal(bsf.asked, 1)
    clock.now = START + 7_000
    bsf.answer = () => aBia(START + 9_000)
    assert.equal((await cache.fetch(aBir())).expiresAt, START + 9_000)
    assert.equal(bsf.asked, 2)
  })

  test('that has expired when it arrives is not handed out: the B-TID is unknown', async () => {
    const { cache, bsf, told } = world()
    bsf.answer = () => aBia(START)
    await refuses('ZN_BTID_UNKNOWN', cache.fetch(aBir()))
    assert.deepEqual(told, ['ZN_BTID_UNKNOWN'])
  })

  test('is asked for anew when its settings have come of age, though it lives on', async () => {
    const { cache, bsf, clock } = world({ ussMaxAgeS: 10 })
    await cache.fetch(aBir())
    clock.now = START + 9_999
    await cache.fetch(aBir())
    assert.equal(bsf.asked, 1)
    clock.now = START + 10_000
    await cache.fetch(aBir())
    assert.equal(bsf.asked, 2)
  })

  test('gives way when there is no room, the one longest out of use first', async () => {
    const { cache, bsf } = world({ maxEntries: 2 })
    for (const n of [1, 2, 1, 3]) await cache.fetch(aBir(n))
    assert.equal(bsf.asked, 3)
    for (const n of [1, 3]) await cache.fetch(aBir(n))
    assert.equal(bsf.asked, 3)
    await cache.fetch(aBir(2))
    assert.equal(bsf.asked, 4)
  })
})

describe('a clock that is set back', () => {
  const HOURS = 2 * 3_600_000

  test('lengthens no key: the BSF is asked for what it gave by the clock before', async () => {
    const { cache, bsf, clock } = world({ ussMaxAgeS: 3_600 })
    await cache.fetch(aBir())
    clock.now = START - HOURS
    await cache.fetch(aBir())
    assert.equal(bsf.asked, 2)
    clock.now = START - HOURS + 1_000
    await cache.fetch(aBir())
    assert.equal(bsf.asked, 2, 'and once is enough')
    clock.now = START - HOURS + 3_600_000
    bsf.answer = failing('ZN_BTID_UNKNOWN')
    await refuses('ZN_BTID_UNKNOWN', cache.fetch(aBir()))
  })

  test('makes no B-TID unknown for longer than seconds', async () => {
    const { cache, bsf, clock } = world()
    bsf.answer = failing('ZN_BTID_UNKNOWN')
    await refuses('ZN_BTID_UNKNOWN', cache.fetch(aBir()))
    bsf.answer = () => aBia()
    clock.now = START - HOURS
    await cache.fetch(aBir())
    assert.equal(bsf.asked, 2)
  })

  test('by seconds has nothing asked again', async () => {
    const { cache, bsf, clock } = world()
    await cache.fetch(aBir())
    clock.now = START - 10_000
    await cache.fetch(aBir())
    assert.equal(bsf.asked, 1)
  })

  test('leaves nothing that a sweep would not take', async () => {
    const { cache, bsf, clock } = world()
    await cache.fetch(aBir())
    clock.now = START - HOURS
    cache.sweep()
    clock.now = START
    await cache.fetch(aBir())
    assert.equal(bsf.asked, 2)
  })
})

describe('an unknown B-TID', () => {
  test('stays unknown for seconds, to the millisecond, without asking again', async () => {
    const { cache, bsf, clock } = world()
    bsf.answer = failing('ZN_BTID_UNKNOWN')
    await refuses('ZN_BTID_UNKNOWN', cache.fetch(aBir()))
    bsf.answer = () => aBia()
    clock.now = START + 4_999
    await refuses('ZN_BTID_UNKNOWN', cache.fetch(aBir()))
    assert.equal(bsf.asked, 1)
    clock.now = START + 5_000
    await cache.fetch(aBir())
    assert.equal(bsf.asked, 2)
    await cache.fetch(aBir())
    assert.equal(bsf.asked, 2)
  })

  test('takes the key with it that was known before', async () => {
    const { cache, bsf, clock } = world({ ussMaxAgeS: 1 })
    await cache.fetch(aBir())
    bsf.answer = failing('ZN_BTID_UNKNOWN')
    clock.now = START + 1_000
    await refuses('ZN_BTID_UNKNOWN', cache.fetch(aBir()))
    clock.now = START
    await refuses('ZN_BTID_UNKNOWN', cache.fetch(aBir()))
  })

  test('evicts no key, however many are invented', async () => {
    const { cache, bsf } = world({ maxEntries: 3 })
    for (const n of [1, 2, 3]) await cache.fetch(aBir(n))
    bsf.answer = failing('ZN_BTID_UNKNOWN')
    for (let n = 10; n < 60; n++) await refuses('ZN_BTID_UNKNOWN', cache.fetch(aBir(n)))
    assert.equal(bsf.asked, 53)
    for (const n of [1, 2, 3]) await cache.fetch(aBir(n))
    assert.equal(bsf.asked, 53)
  })

  test('gives way to newer unknown ones when there is no room', async () => {
    const { cache, bsf } = world({ maxEntries: 2 })
    bsf.answer = failing('ZN_BTID_UNKNOWN')
    for (const n of [1, 2, 3]) await refuses('ZN_BTID_UNKNOWN', cache.fetch(aBir(n)))
    assert.equal(bsf.asked, 3)
    for (const n of [2, 3]) await refuses('ZN_BTID_UNKNOWN', cache.fetch(aBir(n)))
    assert.equal(bsf.asked, 3)
    await refuses('ZN_BTID_UNKNOWN', cache.fetch(aBir(1)))
    assert.equal(bsf.asked, 4)
  })
})

describe('a refusal', () => {
  for (const code of ['ZN_BSF_UNREACHABLE', 'ZN_NOT_AUTHORISED', 'ZN_ANSWER_MALFORMED'] as const) {
    test(`of the kind ${code} is for those who wait, and is not kept`, async () => {
      const { cache, bsf } = world()
      bsf.answer = failing(code)
      await refuses(code, cache.fetch(aBir()))
      bsf.answer = () => aBia()
      await cache.fetch(aBir())
      assert.equal(bsf.asked, 2)
    })
  }

  test('reaches all that wait for it', async () => {
    const { cache, bsf, waiting } = world()
    bsf.answer = undefined
    const all = [cache.fetch(aBir()), cache.fetch(aBir()), cache.fetch(aBir())]
    for (const { reject } of waiting) reject(new GbaError('ZN_BSF_UNREACHABLE', 'gone'))
    for (const one of all) await refuses('ZN_BSF_UNREACHABLE', one)
    assert.equal(bsf.asked, 1)
  })

  test('thrown at once, without a promise, is not kept either', async () => {
    const { cache, bsf } = world()
    bsf.answer = () => {
      throw new TypeError('a bug')
    }
    await assert.rejects(cache.fetch(aBir()), TypeError)
    bsf.answer = () => aBia()
    await cache.fetch(aBir())
  })
})

test('every request that went to the BSF is told, with its fault, and none that did not', async () => {
  const { cache, bsf, told } = world()
  await cache.fetch(aBir(1))
  await cache.fetch(aBir(1))
  bsf.answer = failing('ZN_BSF_UNREACHABLE')
  await refuses('ZN_BSF_UNREACHABLE', cache.fetch(aBir(2)))
  bsf.answer = () => {
    throw new TypeError('a bug')
  }
  await assert.rejects(cache.fetch(aBir(3)), TypeError)
  assert.deepEqual(told, [undefined, 'ZN_BSF_UNREACHABLE', 'INTERNAL'])
})

test('closing the cache closes what it asks', async () => {
  const { cache, bsf } = world()
  await cache.close?.()
  assert.equal(bsf.closed, 1)
})

test('a sweep lets go of every key whose time is over, and of no other', async () => {
  const { cache, bsf, clock } = world({ ussMaxAgeS: 10 })
  await cache.fetch(aBir(1))
  clock.now += 5_000
  await cache.fetch(aBir(2))
  clock.now += 5_000
  cache.sweep()
  clock.now -= 5_000 // a clock that goes back shows what was kept
  await cache.fetch(aBir(2))
  assert.equal(bsf.asked, 2)
  await cache.fetch(aBir(1))
  assert.equal(bsf.asked, 3)
})

describe('what is at hand without asking', () => {
  test('is the very key that was fetched, to the last millisecond of its life, and asks nobody', async () => {
    const { cache, bsf, clock } = world()
    const bia = aBia(START + 7_000)
    bsf.answer = () => bia
    assert.equal(cache.cached(aBir()), undefined)
    await cache.fetch(aBir())
    clock.now = START + 6_999
    assert.equal(cache.cached(aBir()), bia)
    clock.now = START + 7_000
    assert.equal(cache.cached(aBir()), undefined)
    assert.equal(bsf.asked, 1)
  })

  test('is no key whose settings have come of age', async () => {
    const { cache, clock } = world({ ussMaxAgeS: 10 })
    await cache.fetch(aBir())
    clock.now = START + 10_000
    assert.equal(cache.cached(aBir()), undefined)
  })

  test('is the one that was fetched last', async () => {
    const { cache, bsf, clock } = world({ ussMaxAgeS: 1 })
    await cache.fetch(aBir())
    const renewed = aBia()
    bsf.answer = () => renewed
    clock.now = START + 1_000
    await cache.fetch(aBir())
    assert.equal(cache.cached(aBir()), renewed)
  })

  test('is nobody else’s: not of another B-TID, NAF, identifier, set of services or awareness', async () => {
    const { cache } = world()
    await cache.fetch(aBir())
    for (const changes of [
      { btid: aBir(1).btid },
      { nafFqdn: 'lists.example.org' as Fqdn },
      { uaProtocolId: '0100000002' as UaProtocolId },
      { gsids: [23] },
      { gbaUAware: true },
    ]) {
      assert.equal(cache.cached(aBir(0, changes)), undefined)
      assert.ok(cache.cached(aBir()))
    }
  })

  test('is that a B-TID is unknown, as long as that is believed', async () => {
    const { cache, bsf, clock } = world()
    bsf.answer = failing('ZN_BTID_UNKNOWN')
    await refuses('ZN_BTID_UNKNOWN', cache.fetch(aBir()))
    const unknown = (error: unknown) => error instanceof GbaError && error.code === 'ZN_BTID_UNKNOWN'
    assert.throws(() => cache.cached(aBir()), unknown)
    clock.now = START + 5_000
    assert.equal(cache.cached(aBir()), undefined)
    assert.equal(bsf.asked, 1)
  })
})

describe('keys that are to be forgotten', () => {
  test('are those of one bootstrap, for every NAF', async () => {
    const { bsf, cache } = world()
    const other = { nafFqdn: 'presence.example.org' as Fqdn }
    for (const bir of [aBir(1), aBir(1, other), aBir(2)]) await cache.fetch(bir)
    assert.equal(cache.forget(aBir(1).btid), 2)
    assert.deepEqual([cache.forget(aBir(1).btid), cache.cached(aBir(1)), cache.counts().known], [0, undefined, 1])
    assert.ok(cache.cached(aBir(2)))
    await cache.fetch(aBir(1))
    assert.equal(bsf.asked, 4)
  })

  test('are neither kept nor given to anybody where they were on their way: the BSF is asked anew', async () => {
    const { bsf, cache, waiting } = world()
    bsf.answer = undefined
    const asked = cache.fetch(aBir())
    cache.forget(aBir().btid)
    const [before, after] = [aBia(), aBia()]
    bsf.answer = () => after
    waiting[0]?.resolve(before)
    assert.equal(await asked, after)
    assert.equal(cache.cached(aBir()), after)
    assert.equal(bsf.asked, 2)
  })
})
