import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { btidOf, type Fqdn } from '../../src/core/identity.ts'
import type { UaProtocolId } from '../../src/core/naf-id.ts'
import { Secret } from '../../src/core/secret.ts'
import { type FaultCode, GbaError } from '../../src/errors.ts'
import type { Kept, KeyStore } from '../../src/store/store.ts'
import { cachedKeySource } from '../../src/zn/cache.ts'
import type { Bia, Bir } from '../../src/zn/port.ts'
import { sharedKeys } from '../../src/zn/shared-keys.ts'

const START = 1_000_000
const aBir = (n = 0): Bir => ({
  btid: btidOf(new Uint8Array(16).fill(n), 'bsf.example.org' as Fqdn),
  nafFqdn: 'xcap.example.org' as Fqdn,
  uaProtocolId: '010001c02f' as UaProtocolId,
  gsids: [2, 3],
  gbaUAware: false,
})
const aBia = (expiresAt: number): Bia => ({
  ksNaf: new Secret(new Uint8Array(32).fill(7)),
  expiresAt,
  bootstrappedAt: START,
  gbaType: '3G_GBA',
  ussList: [],
})
const unavailable = () => new GbaError('STORE_UNAVAILABLE', 'as the test wants it')
const refuses = (code: FaultCode, doing: Promise<unknown>) =>
  assert.rejects(doing, (error) => error instanceof GbaError && error.code === code)

/** A store of one map, that fails or hangs when it is told to. */
function aStore() {
  const kept = new Map<string, Kept>()
  const world = { kept, gate: undefined as (() => Promise<void>) | undefined, removed: [] as string[] }
  const store: KeyStore = {
    async find(name, now) {
      await world.gate?.()
      const found = kept.get(name)
      return found && now < found.until ? { ...found, value: Uint8Array.from(found.value) } : undefined
    },
    async put(name, value, until) {
      await world.gate?.()
      kept.set(name, { value: Uint8Array.from(value), until })
    },
    async remove(name) {
      await world.gate?.()
      world.removed.push(name)
      kept.delete(name)
    },
    sweep: async () => 0,
  }
  return { store, world }
}

/** APs over one store and one BSF. */
function site(options: { ussMaxAgeS?: readonly number[]; maxPerAsker?: number; lifetimeMs?: number } = {}) {
  const clock = { now: START }
  const { store, world } = aStore()
  const bsf = {
    asked: 0,
    waiting: undefined as Promise<void> | undefined,
    answer: () => aBia(START + (options.lifetimeMs ?? 1_000_000_000)),
  }
  const aps = [0, 1].map((i) => {
    const ussMaxAgeS = options.ussMaxAgeS?.[i] ?? 1_000
    const failures: unknown[] = []
    const now = () => clock.now
    const onFailure = (error: unknown) => failures.push(error)
    const shared = sharedKeys({ store, now, ussMaxAgeS, patienceMs: 20, onFailure })
    const source = {
      async fetch() {
        bsf.asked++
        await bsf.waiting
        return bsf.answer()
      },
    }
    const { maxPerAsker = 100 } = options
    const cache = cachedKeySource(source, {
      now,
      ussMaxAgeS,
      unknownBtidCacheS: 5,
      maxEntries: 10,
      maxPerAsker,
      shared,
    })
    return { cache, shared, failures }
  })
  const [one, two] = aps
  assert.ok(one && two)
  return { one, two, clock, bsf, world }
}

describe('a key that one AP has fetched', () => {
  test('is had by the other without a question', async () => {
    const { one, two, bsf } = site()
    const bia = await one.cache.fetch(aBir())
    assert.deepEqual({ ...(await two.cache.fetch(aBir())), ksNaf: undefined }, { ...bia, ksNaf: undefined })
    assert.ok((await two.cache.fetch(aBir())).ksNaf.equals(bia.ksNaf))
    assert.equal(bsf.asked, 1)
    await two.cache.fetch(aBir(1))
    assert.equal(bsf.asked, 2)
    assert.deepEqual(two.shared.counts, { hits: 1, misses: 1, failures: 0 })
  })

  test('is used by no AP at or after its expiry', async () => {
    const { one, two, clock, bsf } = site({ lifetimeMs: 7_000 })
    await one.cache.fetch(aBir())
    clock.now = START + 6_999
    await two.cache.fetch(aBir())
    assert.equal(bsf.asked, 1)
    clock.now = START + 7_000
    for (const { cache } of [two, one]) await refuses('ZN_BTID_UNKNOWN', cache.fetch(aBir()))
    assert.equal(bsf.asked, 3)
  })

  test('inherits its age, from whomever it is copied', async () => {
    const { one, two, clock, bsf } = site({ ussMaxAgeS: [10, 10] })
    await one.cache.fetch(aBir())
    clock.now = START + 9_999
    await two.cache.fetch(aBir())
    assert.equal(bsf.asked, 1)
    clock.now = START + 10_000
    await two.cache.fetch(aBir())
    assert.equal(bsf.asked, 2)
    await one.cache.fetch(aBir())
    assert.equal(bsf.asked, 2, 'the fresh one is shared again')
  })

  test('is too old for an AP that lets settings age less, by its own measure', async () => {
    const { one, two, clock, bsf } = site({ ussMaxAgeS: [100, 10] })
    await one.cache.fetch(aBir())
    clock.now = START + 9_999
    await two.cache.fetch(aBir())
    assert.equal(bsf.asked, 1)
    clock.now = START + 10_000
    await two.cache.fetch(aBir())
    assert.equal(bsf.asked, 2)
  })

  test('from a clock far ahead is none: nobody knows its age', async () => {
    const { one, two, clock, bsf } = site()
    clock.now = START + 60_000
    await one.cache.fetch(aBir())
    clock.now = START
    await two.cache.fetch(aBir())
    assert.equal(bsf.asked, 2)
  })

  test('is gone for all when one is told to forget it that never had it, and has had others of that NAF', async () => {
    const { one, two, bsf, world } = site()
    await one.cache.fetch(aBir())
    await two.cache.fetch(aBir(1))
    assert.equal(two.cache.forget(aBir().btid), 0)
    await Promise.resolve()
    assert.equal(world.kept.size, 1)
    assert.equal(one.cache.forget(aBir().btid), 1)
    await two.cache.fetch(aBir())
    assert.equal(bsf.asked, 3)
  })

  test('is gone for all when the BSF says that it does not know it any more', async () => {
    const { one, two, clock, bsf, world } = site({ ussMaxAgeS: [100, 10] })
    await one.cache.fetch(aBir())
    bsf.answer = () => {
      throw new GbaError('ZN_BTID_UNKNOWN', 'revoked')
    }
    clock.now = START + 10_000
    await refuses('ZN_BTID_UNKNOWN', two.cache.fetch(aBir()))
    assert.equal(world.kept.size, 0)
  })
})

describe('what is not shared:', () => {
  for (const code of ['ZN_BTID_UNKNOWN', 'ZN_NOT_AUTHORISED', 'ZN_BSF_UNREACHABLE'] as const) {
    test(`a refusal of the kind ${code}`, async () => {
      const { one, two, bsf, world } = site()
      bsf.answer = () => {
        throw new GbaError(code, 'as the test wants it')
      }
      await refuses(code, one.cache.fetch(aBir()))
      assert.equal(world.kept.size, 0)
      await refuses(code, two.cache.fetch(aBir()))
      assert.equal(bsf.asked, 2)
    })
  }

  test('a key that had expired when it came', async () => {
    const { one, world } = site({ lifetimeMs: 0 })
    await refuses('ZN_BTID_UNKNOWN', one.cache.fetch(aBir()))
    assert.equal(world.kept.size, 0)
  })
})

describe('a store that fails', () => {
  test('is a miss, reported once until it is well again, and counted each time', async () => {
    const { one, bsf, world } = site()
    const failing = async () => {
      throw unavailable()
    }
    for (const spell of [1, 2]) {
      world.gate = failing
      for (let n = 0; n < 3; n++) await one.cache.fetch(aBir(10 * spell + n))
      // Of each spell, the first question and the first write.
      assert.equal(one.failures.length, 2 * spell)
      world.gate = undefined
      await one.cache.fetch(aBir(10 * spell + 5))
    }
    assert.equal(bsf.asked, 8)
    assert.deepEqual(one.shared.counts, { hits: 0, misses: 2, failures: 12 })
  })

  test('by never answering is waited for no longer than the AP can spare', async () => {
    const { one, bsf, world } = site()
    world.gate = () => new Promise(() => {})
    const from = performance.now()
    await one.cache.fetch(aBir())
    assert.ok(performance.now() - from < 2_000)
    assert.equal(bsf.asked, 1)
    assert.equal(one.failures.length, 1)
  })

  test('late, after it was given up, fails unheard', async () => {
    const { one, world } = site()
    let fail = (_: unknown) => {}
    world.gate = () => new Promise((_, reject) => (fail = reject))
    const asked = one.shared.find('a')
    assert.equal(await asked, undefined)
    fail(unavailable())
    await new Promise((resolve) => setImmediate(resolve))
    assert.equal(one.failures.length, 1)
  })

  test('by holding what cannot be read costs a question, and is put right by its answer', async () => {
    const { one, two, bsf, world } = site()
    await one.cache.fetch(aBir())
    for (const [name, kept] of world.kept) world.kept.set(name, { ...kept, value: new Uint8Array(100) })
    await two.cache.fetch(aBir())
    assert.equal(bsf.asked, 2)
    assert.equal(two.failures.length, 1)
    assert.ok([...world.kept.values()].every(({ value }) => value.some((octet) => octet !== 0)))
  })
})

describe('an asker', () => {
  test('who may ask no more at a time still has what others have fetched', async () => {
    const { one, two, bsf } = site({ maxPerAsker: 1 })
    await one.cache.fetch(aBir(1))
    let answer = () => {}
    bsf.waiting = new Promise((resolve) => (answer = resolve))
    const asking = two.cache.fetch(aBir(2), 'stranger')
    while (bsf.asked < 2) await new Promise((resolve) => setImmediate(resolve))
    await refuses('ZN_TOO_MANY_QUESTIONS', two.cache.fetch(aBir(3), 'stranger'))
    await two.cache.fetch(aBir(1), 'stranger')
    answer()
    await asking
    assert.equal(bsf.asked, 2)
  })

  test('who is refused takes nobody along that waited for the same key', async () => {
    const { two, bsf, world } = site({ maxPerAsker: 1 })
    let answer = () => {}
    bsf.waiting = new Promise((resolve) => (answer = resolve))
    const asking = two.cache.fetch(aBir(2), 'stranger')
    while (bsf.asked < 1) await new Promise((resolve) => setImmediate(resolve))
    let open = () => {}
    const opened = new Promise<void>((resolve) => (open = resolve))
    world.gate = () => opened
    const refused = refuses('ZN_TOO_MANY_QUESTIONS', two.cache.fetch(aBir(3), 'stranger'))
    const served = two.cache.fetch(aBir(3), 'subscriber')
    world.gate = undefined
    open()
    await refused
    answer()
    await served
    await asking
    assert.equal(bsf.asked, 2)
  })
})

test('twenty who want one key at once look once and ask once', async () => {
  const { one, bsf } = site()
  await Promise.all(Array.from({ length: 20 }, () => one.cache.fetch(aBir())))
  assert.deepEqual([bsf.asked, one.shared.counts], [1, { hits: 0, misses: 1, failures: 0 }])
})
