import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { parseBootstrappingInfo } from '../../src/core/bootstrapping-info.ts'
import { toBase64 } from '../../src/core/bytes.ts'
import type { Fqdn, Impi } from '../../src/core/identity.ts'
import { deriveKs, deriveTmpi } from '../../src/core/kdf.ts'
import { milenage } from '../../src/core/milenage.ts'
import { BSF_NAMES, type TestBsf, testBsf } from '../support/bsf.ts'
import { challengeOf, type HandUb, handUb } from '../support/hand-ub.ts'
import { type RawAnswer, requestOctets } from '../support/raw-client.ts'
import { problemIdOf } from '../support/refusals.ts'

// Ub over the wire, one message at a time.
const STEP = 32 // SQN = SEQ ‖ IND, 5 bits of IND

describe('bootstrapping', () => {
  let bsf: TestBsf
  let ub: HandUb
  let offsetMs = 0
  before(async () => {
    bsf = await testBsf({ now: () => Date.now() + offsetMs, bsf: { keyLifetimeS: 5000, challengeLifetimeS: 60 } })
    ub = handUb(bsf.at, bsf.cards[0])
  })
  after(async () => {
    await bsf.close()
    assert.ok(!bsf.decisions.some(({ record }) => record.code === 'INTERNAL'))
  })
  const challenged = async (options?: Parameters<HandUb['hello']>[0]) => challengeOf(await ub.hello(options))
  const drawn = () => bsf.count('zh.av-drawn')
  const refusal = (answer: RawAnswer) => {
    const requestId = problemIdOf(answer)
    return bsf.decisions.find(({ event, record }) => event === 'ub.refused' && record.requestId === requestId)?.record
  }

  test('takes two round trips and one vector, and proves both sides to each other', async () => {
    const before = drawn()
    const hello = await ub.hello()
    assert.match(hello.header('server') ?? '', /(^| )3gpp-gba-tmpi( |$)/)
    assert.match(
      hello.header('www-authenticate') ?? '',
      /^Digest realm="bsf\.mnc001[^"]*", nonce="[A-Za-z0-9+/]{43}=", algorithm=AKAv1-MD5, qop="auth-int", opaque="[^"]+"$/,
    )
    problemIdOf(hello)
    const challenge = challengeOf(hello)
    const sentAt = Date.now()
    const answer = await ub.send(ub.answerTo(challenge))
    assert.equal(answer.status, 200)
    assert.equal(answer.header('content-type'), 'application/vnd.3gpp.bsf+xml')
    assert.match(answer.header('server') ?? '', /(^| )3gpp-gba-tmpi( |$)/)
    const info = /^qop=auth-int,rspauth="([0-9a-f]{32})",cnonce="6b8b4567327b23c6",nc=00000001$/.exec(
      answer.header('authentication-info') ?? '',
    )
    assert.equal(info?.[1], ub.rspauthOf(challenge, answer.body))
    const { btid, expiresAt } = parseBootstrappingInfo(answer.body.toString()) ?? {}
    assert.equal(btid, `${toBase64(challenge.rand)}@${BSF_NAMES[0]}`)
    assert.equal(Date.parse(answer.header('expires') ?? ''), expiresAt)
    assert.ok(expiresAt !== undefined && expiresAt % 1000 === 0)
    assert.ok(expiresAt <= Date.now() + 5_000_000 && expiresAt > sentAt + 4_998_000)
    assert.equal(drawn(), before + 1)
    assert.equal(bsf.count('ub.bootstrapped'), 1)
  })
  test('keeps to the key lifetime that a subscriber has of its own', async () => {
    const other = handUb(bsf.at, bsf.cards[1])
    const answer = await other.send(other.answerTo(challengeOf(await other.hello())))
    const expires = Date.parse(answer.header('expires') ?? '')
    assert.ok(Math.abs(expires - Date.now() - 600_000) < 2500, answer.header('expires'))
    assert.equal(parseBootstrappingInfo(answer.body.toString())?.expiresAt, expires)
  })
  test('draws each vector with the next sequence number, under the IND of the BSF', async () => {
    const sqns: number[] = []
    for (let i = 0; i < 3; i++) sqns.push(ub.sqnOf(await challenged()))
    assert.deepEqual(
      sqns.map((sqn) => sqn - (sqns[0] ?? 0)),
      [0, STEP, 2 * STEP],
    )
    assert.ok(sqns.every((sqn) => sqn % STEP === 31))
  })

  describe('an answer is good once', () => {
    test('replayed, it gets a fresh challenge and no second bootstrap', async () => {
      const challenge = await challenged()
      const octets = ub.answerTo(challenge)
      assert.equal((await ub.send(octets)).status, 200)
      const bootstrapped = bsf.count('ub.bootstrapped')
      const again = challengeOf(await ub.send(octets))
      assert.notEqual(again.nonce, challenge.nonce)
      assert.ok(ub.sqnOf(again) > ub.sqnOf(challenge))
      assert.equal(bsf.count('ub.bootstrapped'), bootstrapped)
    })
    test('one of twenty that race wins', async () => {
      const octets = ub.answerTo(await challenged())
      const before = bsf.count('ub.bootstrapped')
      const answers = await Promise.all(Array.from({ length: 20 }, () => ub.send(octets)))
      assert.equal(answers.filter(({ status }) => status === 200).length, 1)
      assert.equal(answers.filter(({ status }) => status === 401).length, 19)
      assert.equal(bsf.count('ub.bootstrapped'), before + 1)
      assert.equal(new Set(answers.flatMap((a) => (a.status === 401 ? [challengeOf(a).nonce] : []))).size, 19)
    })
    test('too late, it gets a fresh challenge', async () => {
      const challenge = await challenged()
      offsetMs += 60_000
      const fresh = challengeOf(await ub.send(ub.answerTo(challenge)))
      assert.notEqual(fresh.nonce, challenge.nonce)
      assert.equal((await ub.send(ub.answerTo(fresh))).status, 200)
    })
    test('wrong, it gets 403, and the challenge is spent', async () => {
      const challenge = await challenged()
      const before = { drawn: drawn(), bootstrapped: bsf.count('ub.bootstrapped') }
      const wrong = await ub.send(ub.answerTo(challenge, { password: new Uint8Array(8) }))
      assert.equal(wrong.status, 403)
      assert.equal(refusal(wrong)?.code, 'UB_RESPONSE_WRONG')
      assert.equal(drawn(), before.drawn)
      assert.equal((await ub.send(ub.answerTo(challenge))).status, 401)
      assert.equal(bsf.count('ub.bootstrapped'), before.bootstrapped)
    })
    const altered = {
      'another realm': { realm: BSF_NAMES[1] },
      'another opaque': { opaque: 'x' },
      'a nonce count that is not the first': { nc: '00000002' },
      'qop auth': { qop: 'auth' },
      'plain MD5': { algorithm: 'MD5' },
      AKAv2: { algorithm: 'AKAv2-MD5' },
      'an empty cnonce': { cnonce: '' },
      'another subscriber': { username: '001010000000002@ims.mnc001.mcc001.3gppnetwork.org' },
      'another name of the BSF': { host: BSF_NAMES[1] },
    }
    for (const [name, given] of Object.entries(altered)) {
      test(`with ${name}, it gets 403, though its response fits`, async () => {
        const before = bsf.count('ub.bootstrapped')
        const challenge = await challenged()
        const answer = await ub.send(ub.answerTo(challenge, { host: challenge.realm, ...given }))
        assert.equal(answer.status, 403)
        assert.equal(refusal(answer)?.code, 'UB_RESPONSE_WRONG')
        assert.equal(bsf.count('ub.bootstrapped'), before)
      })
    }
    test('to the challenge of another subscriber, it gets 403', async () => {
      const other = handUb(bsf.at, bsf.cards[2])
      const challenge = challengeOf(await other.hello())
      const answer = await ub.send(ub.answerTo(challenge))
      assert.equal(answer.status, 403)
      assert.equal(refusal(answer)?.code, 'UB_RESPONSE_WRONG')
    })
  })

  describe('a sequence number out of range', () => {
    test('is recovered in one round: AUTS over the empty password moves it past SQN_MS, with one vector', async () => {
      const challenge = await challenged()
      const before = drawn()
      const sqnMs = ub.sqnOf(challenge) + 1000 * STEP
      const auts = ub.autsFor(challenge, sqnMs)
      const again = challengeOf(await ub.send(ub.answerTo(challenge, { auts, password: new Uint8Array() })))
      assert.equal(drawn(), before + 1)
      assert.equal(bsf.count('ub.resynchronised'), 1)
      const sqn = ub.sqnOf(again)
      assert.ok(sqn > sqnMs && sqn <= sqnMs + 2 * STEP && sqn % STEP === 31)
      assert.equal((await ub.send(ub.answerTo(again))).status, 200)
    })
    const refused = {
      'a wrong response': { password: new Uint8Array(8) },
      'RES in the response': {},
    }
    for (const [name, given] of Object.entries(refused)) {
      test(`is not believed with ${name}: 403, no vector, and the next one continues`, async () => {
        const challenge = await challenged()
        const before = drawn()
        const resynchronised = bsf.count('ub.resynchronised')
        const auts = ub.autsFor(challenge, ub.sqnOf(challenge) + 5000 * STEP)
        const answer = await ub.send(ub.answerTo(challenge, { auts, ...given }))
        assert.equal(answer.status, 403)
        assert.equal(refusal(answer)?.code, 'UB_RESPONSE_WRONG')
        assert.equal(drawn(), before)
        assert.equal(bsf.count('ub.resynchronised'), resynchronised)
        assert.equal(ub.sqnOf(await challenged()), ub.sqnOf(challenge) + STEP)
      })
    }
    test('is not believed from a stranger, who can compute the response but not MAC-S: 403, no vector', async () => {
      const challenge = await challenged()
      const before = drawn()
      const resynchronised = bsf.count('ub.resynchronised')
      for (const auts of [
        toBase64(new Uint8Array(14)),
        ub.autsFor({ ...challenge, rand: new Uint8Array(16) }, 1 << 20),
      ]) {
        const fresh = await challenged()
        const answer = await ub.send(ub.answerTo(fresh, { auts, password: new Uint8Array() }))
        assert.equal(answer.status, 403)
        assert.equal(refusal(answer)?.code, 'ZH_RESYNC_REFUSED')
      }
      assert.equal(drawn(), before + 2, 'the two challenges themselves')
      assert.equal(bsf.count('ub.resynchronised'), resynchronised)
      assert.equal(ub.sqnOf(await challenged()), ub.sqnOf(challenge) + 3 * STEP)
    })
    test('is recovered once per challenge: the same AUTS again is answered by a plain challenge', async () => {
      const challenge = await challenged()
      const octets = ub.answerTo(challenge, {
        auts: ub.autsFor(challenge, ub.sqnOf(challenge) + 100 * STEP),
        password: new Uint8Array(),
      })
      const resynchronised = bsf.count('ub.resynchronised')
      const answers = await Promise.all([1, 2, 3, 4, 5].map(() => ub.send(octets)))
      assert.ok(answers.every(({ status }) => status === 401))
      assert.equal(bsf.count('ub.resynchronised'), resynchronised + 1)
    })
  })

  describe('a temporary identity', () => {
    const tmpiOf = (rand: Uint8Array, fqdn: string) => {
      const { impi, k, opc } = bsf.cards[0]
      const { ck, ik } = milenage(k, opc).f2345(rand)
      return deriveTmpi(deriveKs(ck, ik), rand, impi as Impi, fqdn as Fqdn)
    }
    test('stands for the private one in the next run, and every run makes a new one', async () => {
      const first = await challenged()
      assert.equal((await ub.send(ub.answerTo(first))).status, 200)
      const tmpi = tmpiOf(first.rand, BSF_NAMES[0])
      const second = await challenged({ username: tmpi })
      const answer = await ub.send(ub.answerTo(second, { username: tmpi }))
      assert.equal(answer.status, 200)
      assert.match(answer.header('authentication-info') ?? '', new RegExp(ub.rspauthOf(second, answer.body, tmpi)))
      assert.equal(bsf.decisions.at(-1)?.record.impi, bsf.cards[0].impi)
      const next = tmpiOf(second.rand, BSF_NAMES[0])
      assert.notEqual(next, tmpi)
      const third = await challenged({ username: next })
      assert.equal((await ub.send(ub.answerTo(third, { username: next }))).status, 200)
    })
    test('is not known for a run whose UE did not ask for it', async () => {
      const userAgent = 'hand 3gpp-gba'
      const challenge = await challenged({ userAgent })
      assert.equal((await ub.send(ub.answerTo(challenge, { userAgent }))).status, 200)
      const before = drawn()
      const answer = await ub.hello({ username: tmpiOf(challenge.rand, BSF_NAMES[0]) })
      assert.equal(refusal(answer)?.code, 'UB_TMPI_UNKNOWN')
      assert.equal(answer.status, 403)
      assert.equal(drawn(), before)
    })
    test('ends with the bootstrap that it belongs to', async () => {
      const challenge = await challenged()
      assert.equal((await ub.send(ub.answerTo(challenge))).status, 200)
      offsetMs += 5_000_000
      const before = drawn()
      const answer = await ub.hello({ username: tmpiOf(challenge.rand, BSF_NAMES[0]) })
      assert.equal(refusal(answer)?.code, 'UB_TMPI_UNKNOWN')
      assert.equal(drawn(), before)
    })
  })

  describe('a BSF of several names', () => {
    for (const [host, name] of [
      [BSF_NAMES[0], BSF_NAMES[0]],
      [BSF_NAMES[1], BSF_NAMES[1]],
      [`${BSF_NAMES[1]}:8080`, BSF_NAMES[1]],
      [BSF_NAMES[1].toUpperCase(), BSF_NAMES[1]],
      ['127.0.0.1:8080', BSF_NAMES[0]],
      ['other.example.com', BSF_NAMES[0]],
    ] as const) {
      test(`addressed as ${host} is ${name}, in the realm and in the B-TID`, async () => {
        const challenge = await challenged({ host })
        assert.equal(challenge.realm, name)
        const answer = await ub.send(ub.answerTo(challenge, { host }))
        assert.equal(answer.status, 200)
        assert.equal(parseBootstrappingInfo(answer.body.toString())?.btid, `${toBase64(challenge.rand)}@${name}`)
      })
    }
  })

  test('the absolute form of captured UEs is taken, on the request line and in uri', async () => {
    const { impi } = bsf.cards[0]
    const absolute = `http://${BSF_NAMES[0]}:8080/`
    const hello = await ub.send(
      requestOctets(`GET ${absolute} HTTP/1.1`, [
        `Host: ${BSF_NAMES[0]}:8080`,
        'User-Agent: Bootstrapping Client Agent; Release-6; 3gpp-gba-tmpi',
        `Authorization: Digest username="${impi}", realm="ims.mnc001.mcc001.pub.3gppnetwork.org", nonce="", uri="${absolute}", response="", opaque="x"`,
      ]),
    )
    const challenge = challengeOf(hello)
    const octets = ub.answerTo(challenge, { uri: absolute }).toString('latin1').replace('GET / ', `GET ${absolute} `)
    assert.equal((await ub.send(Buffer.from(octets, 'latin1'))).status, 200)
  })
})

describe('sequence numbers', () => {
  test('go on after a restart with LMDB, also from where a resynchronisation put them', async () => {
    let bsf = await testBsf({ durable: true })
    const sqns: number[] = []
    try {
      let ub = handUb(bsf.at, bsf.cards[0])
      for (let i = 0; i < 2; i++) sqns.push(ub.sqnOf(challengeOf(await ub.hello())))
      bsf = await bsf.restart()
      ub = handUb(bsf.at, bsf.cards[0])
      const challenge = challengeOf(await ub.hello())
      sqns.push(ub.sqnOf(challenge))
      assert.deepEqual(
        sqns.map((sqn) => (sqn - (sqns[0] ?? 0)) / STEP),
        [0, 1, 2],
      )
      const auts = ub.autsFor(challenge, ub.sqnOf(challenge) + 1_000_000 * STEP)
      const moved = challengeOf(await ub.send(ub.answerTo(challenge, { auts, password: new Uint8Array() })))
      bsf = await bsf.restart()
      ub = handUb(bsf.at, bsf.cards[0])
      assert.equal(ub.sqnOf(challengeOf(await ub.hello())), ub.sqnOf(moved) + STEP)
    } finally {
      await bsf.close()
    }
  })
})
