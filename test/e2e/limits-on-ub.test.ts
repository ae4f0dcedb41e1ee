import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Fqdn, Impi } from '../../src/core/identity.ts'
import { deriveKs, deriveTmpi } from '../../src/core/kdf.ts'
import { milenage } from '../../src/core/milenage.ts'
import { BSF_NAMES, type TestBsf, type TestBsfOptions, testBsf } from '../support/bsf.ts'
import { challengeOf, type HandCard, handUb } from '../support/hand-ub.ts'
import type { RawAnswer } from '../support/raw-client.ts'
import { assertRefusal } from '../support/refusals.ts'

// What a stranger who knows an IMPI can have of the vectors of its subscriber, and of everybody else's.

interface Flooded extends TestBsf {
  /** The clock stands still unless a test moves it. */
  wait(ms: number): void
}

async function withBsf(limits: object, run: (bsf: Flooded) => Promise<void>, options: TestBsfOptions = {}) {
  let at = Date.now()
  const bsf = await testBsf({ ...options, bsf: { ub: { port: 0, limits } }, now: () => at })
  try {
    await run(
      Object.assign(bsf, {
        wait(ms: number) {
          at += ms
        },
      }),
    )
  } finally {
    await bsf.close()
  }
}

const from = (bsf: TestBsf, card: HandCard, address = '127.0.0.1') => handUb({ ...bsf.at, from: address }, card)

/** @returns how many challenges came, and the last refusal */
async function flood(bsf: TestBsf, times: number, card: HandCard, address?: string) {
  const ub = from(bsf, card, address)
  let challenges = 0
  let last: RawAnswer | undefined
  for (let n = 0; n < times; n++) {
    const answer = await ub.hello()
    if (answer.status === 401) challenges++
    else last = assertTooMany(bsf, answer)
  }
  return { challenges, retryAfterMs: Number(last?.header('retry-after') ?? 0) * 1000 }
}

function assertTooMany(bsf: TestBsf, answer: RawAnswer): RawAnswer {
  assertRefusal(bsf, answer, { status: 429, code: 'UB_TOO_MANY_REQUESTS' })
  assert.match(answer.header('retry-after') ?? '', /^[1-9]\d*$/)
  return answer
}

async function bootstraps(bsf: TestBsf, card: HandCard, address?: string): Promise<number> {
  const ub = from(bsf, card, address)
  const answer = await ub.hello()
  if (answer.status !== 401) return answer.status
  return (await ub.send(ub.answerTo(challengeOf(answer)))).status
}

for (const durable of [false, true]) {
  describe(`limits on Ub, ${durable ? 'in LMDB' : 'in memory'}`, () => {
    test('200 openings for one IMPI draw what one IMPI may have; others go on', () =>
      withBsf(
        {},
        async (bsf) => {
          const [flooded, other] = bsf.cards
          assert.equal((await flood(bsf, 200, flooded)).challenges, 10)
          assert.equal(bsf.count('zh.av-drawn'), 10)
          assert.equal(await bootstraps(bsf, other), 200)
          assert.equal(bsf.count('zh.av-drawn'), 11)
        },
        { durable },
      ))
  })
}

describe('limits on Ub', () => {
  test('who waits as long as it is told gets in, and not before', () =>
    withBsf({}, async (bsf) => {
      const [card] = bsf.cards
      const { retryAfterMs } = await flood(bsf, 20, card)
      assert.equal(retryAfterMs, 6_000)
      bsf.wait(retryAfterMs - 1)
      assert.equal(await bootstraps(bsf, card), 429)
      bsf.wait(1)
      assert.equal(await bootstraps(bsf, card), 200)
    }))

  test('an honest UE may bootstrap with a resynchronisation, and again, without a wait', () =>
    withBsf({ trustedSources: [] }, async (bsf) => {
      const [card] = bsf.cards
      const ub = from(bsf, card)
      for (let run = 0; run < 2; run++) {
        const first = challengeOf(await ub.hello())
        const auts = ub.autsFor(first, ub.sqnOf(first) + 32)
        const second = challengeOf(await ub.send(ub.answerTo(first, { auts, password: new Uint8Array() })))
        assert.equal((await ub.send(ub.answerTo(second))).status, 200)
      }
    }))

  test('one source cannot use up what an IMPI has: the UE gets in from elsewhere', () =>
    withBsf({ trustedSources: [] }, async (bsf) => {
      const [card] = bsf.cards
      assert.equal((await flood(bsf, 50, card, '127.0.0.2')).challenges, 5)
      assert.equal(await bootstraps(bsf, card, '127.0.0.3'), 200)
    }))

  test('nor can many sources keep out a UE that comes under its TMPI', () =>
    withBsf({ trustedSources: [] }, async (bsf) => {
      const [card] = bsf.cards
      const ub = from(bsf, card)
      const answered = challengeOf(await ub.hello())
      assert.equal((await ub.send(ub.answerTo(answered))).status, 200)
      const { ck, ik } = milenage(card.k, card.opc).f2345(answered.rand)
      const tmpi = deriveTmpi(deriveKs(ck, ik), answered.rand, card.impi as Impi, BSF_NAMES[0] as Fqdn)
      for (let n = 2; n < 10; n++) await flood(bsf, 10, card, `127.0.0.${n}`)
      assert.equal(bsf.count('zh.av-drawn'), 10)
      assert.equal(await bootstraps(bsf, card), 429)
      const challenge = challengeOf(await ub.hello({ username: tmpi }))
      assert.equal((await ub.send(ub.answerTo(challenge, { username: tmpi }))).status, 200)
    }))

  test('one source has what a source may have, whatever IMPIs it names, unless many share it', async () => {
    const perSource = { burst: 3, perMinute: 60 }
    await withBsf({ trustedSources: [], perSource }, async (bsf) => {
      const challenged = []
      for (const card of [...bsf.cards, ...bsf.cards]) challenged.push((await flood(bsf, 1, card)).challenges)
      assert.deepEqual(challenged, [1, 1, 1, 0, 0, 0])
      assert.equal((await flood(bsf, 1, bsf.cards[0], '127.0.0.2')).challenges, 1)
    })
    await withBsf({ trustedSources: ['127.0.0.1'], perSource }, async (bsf) => {
      for (const card of [...bsf.cards, ...bsf.cards]) assert.equal((await flood(bsf, 1, card)).challenges, 1)
    })
  })

  test('who answers wrong is held back sooner, and nobody elsewhere for it', () =>
    withBsf({ trustedSources: [], wrongResponseCost: 3 }, async (bsf) => {
      const [card] = bsf.cards
      const ub = from(bsf, card, '127.0.0.2')
      const wrong = ub.answerTo(challengeOf(await ub.hello()), { password: new Uint8Array(8) })
      assertRefusal(bsf, await ub.send(wrong), { status: 403, code: 'UB_RESPONSE_WRONG' })
      assert.equal((await flood(bsf, 10, card, '127.0.0.2')).challenges, 1)
      assert.equal((await flood(bsf, 10, card, '127.0.0.3')).challenges, 5)
    }))

  test('one IMPI fills no store of challenges', () =>
    withBsf({}, async (bsf) => {
      const [flooded, other] = bsf.cards
      // a challenge waits for a minute
      for (let second = 0; second < 90; second++) {
        await flood(bsf, 2, flooded)
        bsf.wait(1_000)
      }
      assert.ok(bsf.count('zh.av-drawn') <= 10 + 15)
      assert.equal(await bootstraps(bsf, other), 200)
    }))
})
