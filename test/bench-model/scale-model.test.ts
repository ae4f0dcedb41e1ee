import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  type Costs,
  chanceToWait,
  coresOf,
  hostsFor,
  lmdbHostUse,
  ratesOf,
  redisCoresOf,
  redisOctetsOf,
  shardSkew,
  slotOf,
  waitOf,
} from '../bench/scale/capacity.ts'
import { BEHAVIOUR, type Behaviour, diurnal, type Minute, seeded, simulateDay } from '../bench/scale/model.ts'
import { reportOf } from '../bench/scale/report.ts'
import { type Storm, simulateStorm } from '../bench/scale/storm.ts'

// The model behind deploy/README.md: what must hold of it whatever the figures are.

const UNBOUNDED = Number.POSITIVE_INFINITY
const day = (changes: Partial<Behaviour> = {}, ...rest: [Parameters<typeof simulateDay>[2]?]): Minute[] =>
  simulateDay({ ...BEHAVIOUR, subscribers: 1e6, maxNonces: UNBOUNDED, ...changes }, seeded(1), ...rest)
const sum = (minutes: readonly Minute[], name: keyof Minute) =>
  minutes.reduce((total, minute) => total + minute[name], 0)
const isNear = (a: number, b: number, share: number) => Math.abs(a - b) <= share * Math.max(Math.abs(a), Math.abs(b))

describe('the simulated day', () => {
  const someBehaviour = fc.record({
    subscribers: fc.integer({ min: 1000, max: 50_000_000 }),
    sessionsPerDay: fc.double({ min: 0.5, max: 20, noNaN: true }),
    keyLifetimeMin: fc.integer({ min: 30, max: 1500 }),
    maxNonces: fc.constantFrom(10_000, 1_000_000, UNBOUNDED),
    anyStatus401: fc.double({ min: 0, max: 1, noNaN: true }),
  })

  test('loses no subscriber: each has a key or has none, in every minute', () => {
    fc.assert(
      fc.property(someBehaviour, (behaviour) => {
        const minutes = simulateDay({ ...BEHAVIOUR, ...behaviour }, seeded(7), [
          { kind: 'region returns', at: 300, minutes: 5, share: 0.2 },
          { kind: 'nonces forgotten', at: 600 },
        ])
        for (const { liveKeys, withoutKey, liveNonces } of minutes) {
          assert.ok(isNear(liveKeys + withoutKey, behaviour.subscribers, 1e-6))
          assert.ok(withoutKey >= -1e-3 && liveKeys >= -1e-3)
          assert.ok(liveNonces <= behaviour.maxNonces * (1 + 1e-9))
        }
      }),
      { numRuns: 4 },
    )
  })

  test('has as many keys at a time as come in, times how long they stay: the law of Little', () => {
    for (const keyLifetimeMin of [60, 240, 720]) {
      const minutes = day({ keyLifetimeMin, nonceLifetimeMin: keyLifetimeMin, burst: 0 })
      const held = sum(minutes, 'liveKeys') / minutes.length
      const stay = keyLifetimeMin + 3 // a cohort of five minutes ends when the last of them does
      assert.ok(isNear(held, (sum(minutes, 'bootstraps') / minutes.length) * stay, 0.005), `${keyLifetimeMin} min`)
      assert.ok(isNear(sum(minutes, 'liveNonces'), sum(minutes, 'liveKeys'), 0.001))
    }
  })

  test('grows in proportion to the subscribers', () => {
    const [one, ten] = [day({ burst: 0 }), day({ burst: 0, subscribers: 1e7 })]
    for (const name of ['requests', 'bootstraps', 'vectors', 'liveKeys'] as const) {
      assert.ok(isNear(10 * sum(one, name), sum(ten, name), 0.005), name)
    }
  })

  test('needs fewer vectors the longer a key lives, and never more than a session each', () => {
    const vectors = [60, 240, 720, 1440].map((keyLifetimeMin) => sum(day({ keyLifetimeMin }), 'bootstraps'))
    assert.deepEqual(
      vectors,
      vectors.toSorted((a, b) => b - a),
    )
    assert.ok((vectors[0] ?? 0) < sum(day(), 'sessions'))
  })

  test('has no stale nonce while the ledger holds them all, and more of them the fewer it holds', () => {
    assert.equal(sum(day(), 'stale'), 0)
    const stale = [1e6, 1e5, 1e4].map((maxNonces) => sum(day({ maxNonces }), 'stale'))
    assert.ok(0 < (stale[1] ?? 0) && (stale[1] ?? 0) < (stale[2] ?? 0), String(stale))
    // With nearly none held, all sessions but those that bootstrap find theirs gone.
    const none = day({ maxNonces: 1, anyStatus401: 0 })
    assert.ok(isNear(sum(none, 'stale'), sum(none, 'sessions') - sum(none, 'bootstraps'), 0.05))
  })

  test('pays once for each live nonce at most when they are forgotten, and is over it within a key lifetime', () => {
    const minutes = day({ burst: 0 }, [{ kind: 'nonces forgotten', at: 600 }])
    const held = minutes[599]?.liveNonces ?? 0
    assert.equal(sum(minutes.slice(0, 600), 'stale'), 0)
    assert.ok(sum(minutes, 'stale') > 0.2 * held && sum(minutes, 'stale') <= held)
    assert.ok(sum(minutes.slice(600 + 725), 'stale') < 1)
  })

  test('brings back the share of a region that it is told to', () => {
    const storm = day({ burst: 0 }, [{ kind: 'region returns', at: 600, minutes: 5, share: 0.2 }])
    const usual = day({ burst: 0 })
    const more = sum(storm.slice(600, 605), 'bootstraps') - sum(usual.slice(600, 605), 'bootstraps')
    assert.ok(isNear(more, 200_000, 0.01), String(more))
  })

  test('is the same for the same seed, and another for another', () => {
    const of = (seed: number) => simulateDay({ ...BEHAVIOUR, subscribers: 1e6 }, seeded(seed))
    assert.deepEqual(of(3), of(3))
    assert.notDeepEqual(of(3), of(4))
  })

  test('has its busiest hour in the morning or in the evening, and keeps its mean', () => {
    const curve = Array.from({ length: 1440 }, (_, minute) => diurnal(minute))
    assert.ok(
      isNear(
        curve.reduce((total, each) => total + each, 0),
        1440,
        1e-9,
      ),
    )
    assert.ok(Math.min(...curve) > 0 && Math.max(...curve) > 1.5 && (curve[180] ?? 0) < 0.5)
  })
})

describe('the storm', () => {
  const storm: Storm = {
    ...{ arrivals: new Array<number>(300).fill(100), perSecond: 50, patienceS: 10, retryS: 30, retryMaxS: 960 },
    ...{ policy: 'shed', shedBeyondS: 2, shedCost: 0.05, giveUpAfterS: 7200 },
  }

  test('has served, in line or away everyone who came', () => {
    const some = fc.record({
      perSecond: fc.integer({ min: 1, max: 200 }),
      retryMaxS: fc.constantFrom(30, 960),
      policy: fc.constantFrom('queue' as const, 'shed' as const),
      giveUpAfterS: fc.integer({ min: 300, max: 3000 }),
    })
    fc.assert(
      fc.property(some, (changes) => {
        const { arrived, served, waiting, away } = simulateStorm({ ...storm, ...changes })
        assert.ok(isNear(arrived, served + waiting + away, 1e-6))
        assert.ok(served >= 0 && waiting >= -1e-6 && away >= -1e-6)
      }),
      { numRuns: 40 },
    )
  })

  test('is over as soon as it ends where all can be served, without a wait or a vector too many', () => {
    const outcome = simulateStorm({ ...storm, perSecond: 100 })
    assert.deepEqual([outcome.overAfterS, outcome.turnedAway, outcome.longestWaitS], [300, 0, 0])
    assert.equal(outcome.vectorsPerLogin, 1)
  })

  test('lasts longer the less can be served', () => {
    const lasts = [100, 75, 50, 25].map((perSecond) => simulateStorm({ ...storm, perSecond }).overAfterS ?? UNBOUNDED)
    assert.deepEqual(
      lasts,
      lasts.toSorted((a, b) => a - b),
    )
  })

  test('wastes vectors where everybody waits, and hardly any where who cannot be served is told so', () => {
    const [queue, shed] = (['queue', 'shed'] as const).map((policy) => simulateStorm({ ...storm, policy }))
    assert.ok((queue?.vectorsPerLogin ?? 0) > 2)
    assert.ok((shed?.vectorsPerLogin ?? 9) < 1.1)
    assert.ok((queue?.pendingChallenges ?? 0) > (shed?.pendingChallenges ?? UNBOUNDED))
  })
})

const costs: Costs = {
  ...{ request: 1000, challenge: 500, handshake: 2000, bootstrap: 1500, zn: 60 },
  redis: { request: 50, bootstrap: 150, zn: 20 },
  lmdb: { request: 1000, challenge: 500, bootstrap: 2000, nonceWriteUs: 80, bootstrapWriteUs: 4000 },
  octets: {
    redis: { bootstrap: 1000, nonce: 200, challenge: 900, accessLog: 20_000 },
    lmdb: { bootstrap: 1400, nonce: 150, challenge: 1000, accessLog: 20_000 },
  },
}

describe('what a load needs', () => {
  const busy = (subscribers: number) =>
    day({ subscribers, burst: 0 }).reduce((top, each) => (each.requests > top.requests ? each : top))

  test('is more for more subscribers, in every part', () => {
    const needs = [1e6, 5e6, 1e7, 5e7].map((subscribers) => {
      const rates = ratesOf(busy(subscribers), 'each', 16)
      const { ap, bsf } = coresOf(rates, costs)
      const held = { keys: subscribers, nonces: subscribers, challenges: 0, owners: 0 }
      const limits = { cores: 8, maxBootstraps: 1e7, maxNonces: 1e6 }
      const lmdb = Object.values(lmdbHostUse(rates, held, costs, limits))
      return [ap, bsf, redisCoresOf(rates, costs), redisOctetsOf(held, costs), ...lmdb]
    })
    for (const [at, larger] of needs.slice(1).entries()) {
      for (const [part, need] of larger.entries()) assert.ok(need > (needs[at]?.[part] ?? 0), `part ${part}`)
    }
  })

  test('is more where each request has a connection of its own', () => {
    const [kept, each] = (['kept', 'each'] as const).map((connections) => ratesOf(busy(1e6), connections, 16))
    assert.ok(kept && each && each.handshakes > 3 * kept.handshakes && each.znFetches > kept.znFetches)
    assert.equal(each.requests, kept.requests)
  })

  test('never takes fewer hosts for more, and fits on those that it is given, one of them lost as well', () => {
    fc.assert(
      fc.property(
        fc.double({ min: 0.01, max: 1000, noNaN: true }),
        fc.integer({ min: 1, max: 64 }),
        (cores, perHost) => {
          const hosts = hostsFor(cores, perHost)
          assert.ok(hostsFor(cores * 2, perHost) >= hosts)
          assert.ok(cores <= 0.6 * hosts * perHost + 1e-9 && cores <= 0.9 * (hosts - 1) * perHost + 1e-9)
        },
      ),
    )
  })
})

describe('waiting', () => {
  test('with one server is what M/M/1 says', () => {
    for (const utilisation of [0.1, 0.5, 0.9]) {
      assert.ok(isNear(chanceToWait(1, utilisation), utilisation, 1e-9))
      assert.ok(isNear(waitOf(1, utilisation, 2).mean, (2 * utilisation) / (1 - utilisation), 1e-9))
    }
  })

  test('with three servers that two would fill is the 4/9 of the textbooks', () => {
    assert.ok(isNear(chanceToWait(3, 2), 4 / 9, 1e-9))
  })

  test('grows with the load, has no bound at the limit, and is shorter with more servers', () => {
    const means = [0.5, 0.7, 0.9, 0.99, 1].map((utilisation) => waitOf(8, utilisation, 1).mean)
    assert.deepEqual(
      means,
      means.toSorted((a, b) => a - b),
    )
    assert.equal(means.at(-1), UNBOUNDED)
    assert.ok(waitOf(64, 0.9, 1).mean < waitOf(8, 0.9, 1).mean)
  })
})

describe('shards', () => {
  test('have the slots that a Redis cluster gives to a tag', () => {
    assert.equal(slotOf('123456789'), 0x31c3) // the check value of CRC-16/XMODEM, below 16,384
    assert.equal(slotOf('foo'), 12_182) // CLUSTER KEYSLOT foo
  })

  test('share evenly where there is one, and never better than evenly', () => {
    assert.equal(shardSkew(1, 64, 'nonces'), 1)
    for (const shards of [2, 3, 6, 16]) assert.ok(shardSkew(shards, 64, 'nonces') >= 1)
  })
})

test('the report has a row for each number of subscribers, and no figure that is none', () => {
  const figure = { perSecond: 1000, wallUs: 100, cpuUs: 50 }
  const operations = {
    ...{ 'use, one nonce': figure, 'use, each another nonce': figure, 'bootstrap put': figure },
    ...{ 'bootstrap find': figure, 'challenge put and take': figure },
  }
  const lab = {
    bootstrap: 1500,
    first: 1,
    kept: 1000,
    fresh: 3000,
    challenge: 500,
    znAtBsf: 800,
    znAtAp: 700,
    atRedis: {},
  }
  const text = reportOf(
    {
      ...{ costs, p256Handshake: 900, fullAccessLog: { here: 1000, redis: 200 } },
      operations: { LMDB: operations, Redis: operations },
      labs: { LMDB: lab, Redis: lab, 'memory, P-256': lab },
    },
    { subscribers: [1, 2], seed: 1 },
  )
  assert.doesNotMatch(text, /NaN|undefined|Infinity/)
  for (const million of ['1 M', '2 M'])
    assert.ok(text.split('\n').filter((line) => line.startsWith(`| ${million} |`)).length >= 4)
})
