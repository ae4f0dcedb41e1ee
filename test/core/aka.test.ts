import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  akaNonce,
  checkAutn,
  generateAv,
  highestSqn,
  parseAkaNonce,
  recoverSqn,
  type UsimState,
  usimState,
} from '../../src/core/aka.ts'
import { toBase64, toHex } from '../../src/core/bytes.ts'
import { milenage } from '../../src/core/milenage.ts'
import { hex, secret, vectors } from '../support/vectors.ts'

interface MilenageSet {
  readonly set: number
  readonly K: string
  readonly OPc: string
  readonly RAND: string
  readonly SQN: string
  readonly AMF: string
  readonly f2_RES: string
  readonly f3_CK: string
  readonly f4_IK: string
  readonly derived: {
    readonly AUTN: string
    readonly AUTS_if_SQNms_equals_SQN: string
    readonly MAC_S_with_AMF_0000: string
  }
}

interface Golden {
  readonly resync: {
    readonly SQN_MS: string
    readonly AUTS: string
    readonly afterResync: Readonly<Record<'SQN' | 'RAND' | 'AUTN' | 'RES' | 'CK' | 'IK' | 'nonce', string>>
  }
}

const { sets } = vectors<{ sets: readonly MilenageSet[] }>('milenage.json')
const { resync } = vectors<Golden>('golden-flow.json')
const [first] = sets
assert.ok(first)
const algorithm = milenage(secret(first.K), secret(first.OPc))
const rand = hex(first.RAND)
const amf = hex(first.AMF)

/** A USIM that stands just below this SQN. */
const below = (sqn: string): UsimState => usimState(hex((BigInt(`0x${sqn}`) - 32n).toString(16).padStart(12, '0')))

for (const set of sets) {
  describe(`MILENAGE set ${set.set}`, () => {
    const its = milenage(secret(set.K), secret(set.OPc))
    const av = generateAv(its, hex(set.RAND), hex(set.SQN), hex(set.AMF))

    test('AUTN and the vector around it', () => {
      assert.equal(toHex(av.autn), set.derived.AUTN)
      assert.equal(toHex(av.rand), set.RAND)
      assert.equal(toHex(av.xres.expose(8)), set.f2_RES)
      assert.equal(toHex(av.ck.expose(16)), set.f3_CK)
      assert.equal(toHex(av.ik.expose(16)), set.f4_IK)
    })

    test('a USIM below the SQN answers with RES and the keys', () => {
      const answer = checkAutn(its, below(set.SQN), hex(set.RAND), av.autn)
      assert.equal(answer.outcome, 'ok')
      assert.equal(toHex(answer.sqn), set.SQN)
      assert.equal(toHex(answer.res.expose(8)), set.f2_RES)
      assert.equal(toHex(answer.ck.expose(16)), set.f3_CK)
      assert.equal(toHex(answer.ik.expose(16)), set.f4_IK)
      assert.equal(toHex(highestSqn(answer.usim)), set.SQN)
    })

    test('a USIM that stands at the SQN answers with AUTS, over AMF 0000', () => {
      const answer = checkAutn(its, usimState(hex(set.SQN)), hex(set.RAND), av.autn)
      assert.equal(answer.outcome, 'resync')
      assert.equal(toHex(answer.auts), set.derived.AUTS_if_SQNms_equals_SQN)
      assert.equal(toHex(answer.auts.slice(6)), set.derived.MAC_S_with_AMF_0000)
      const sqnMs = recoverSqn(its, hex(set.RAND), answer.auts)
      assert.ok(sqnMs)
      assert.equal(toHex(sqnMs), set.SQN)
    })
  })
}

describe('golden resynchronisation', () => {
  test('a USIM that is ahead makes the golden AUTS', () => {
    const av = generateAv(algorithm, rand, hex(first.SQN), amf)
    const answer = checkAutn(algorithm, usimState(hex(resync.SQN_MS)), rand, av.autn)
    assert.equal(answer.outcome, 'resync')
    assert.equal(toHex(answer.auts), resync.AUTS)
  })

  test('SQN_MS comes out of it', () => {
    const sqnMs = recoverSqn(algorithm, rand, hex(resync.AUTS))
    assert.ok(sqnMs)
    assert.equal(toHex(sqnMs), resync.SQN_MS)
  })

  test('the vector that follows is the golden one, and the USIM takes it', () => {
    const { SQN, RAND, AUTN, RES, CK, IK, nonce } = resync.afterResync
    const av = generateAv(algorithm, hex(RAND), hex(SQN), amf)
    assert.equal(toHex(av.autn), AUTN)
    assert.equal(toHex(av.xres.expose(8)), RES)
    assert.equal(toHex(av.ck.expose(16)), CK)
    assert.equal(toHex(av.ik.expose(16)), IK)
    assert.equal(akaNonce(av.rand, av.autn), nonce)
    assert.equal(checkAutn(algorithm, usimState(hex(resync.SQN_MS)), av.rand, av.autn).outcome, 'ok')
  })
})

describe('for all keys, challenges and sequence numbers', () => {
  const octets = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
  const subscriber = fc.tuple(octets(16), octets(16)).map(([k, opc]) => milenage(secret(toHex(k)), secret(toHex(opc))))

  test('AUTN gives back the SQN, or AUTS gives back SQN_MS: never neither', () => {
    fc.assert(
      fc.property(subscriber, octets(16), octets(6), octets(2), octets(6), (its, aRand, sqn, anAmf, sqnMs) => {
        const av = generateAv(its, aRand, sqn, anAmf)
        const answer = checkAutn(its, usimState(sqnMs), aRand, av.autn)
        assert.notEqual(answer.outcome, 'mac-failure')
        if (answer.outcome === 'ok') {
          assert.deepEqual(answer.sqn, sqn)
          assert.ok(answer.res.equals(av.xres) && answer.ck.equals(av.ck) && answer.ik.equals(av.ik))
        }
        if (answer.outcome === 'resync') assert.deepEqual(recoverSqn(its, aRand, answer.auts), sqnMs)
      }),
    )
  })

  test('one flipped bit anywhere in AUTN is a MAC failure', () => {
    fc.assert(
      fc.property(subscriber, octets(16), octets(6), fc.nat(127), (its, aRand, sqn, bit) => {
        const { autn } = generateAv(its, aRand, sqn, amf)
        assert.equal(checkAutn(its, usimState(), aRand, flip(autn, bit)).outcome, 'mac-failure')
      }),
    )
  })

  test('one flipped bit anywhere in AUTS, or another RAND, recovers nothing', () => {
    fc.assert(
      fc.property(subscriber, octets(16), octets(6), fc.nat(111), fc.nat(127), (its, aRand, sqnMs, bit, randBit) => {
        const answer = checkAutn(its, usimState(sqnMs), aRand, generateAv(its, aRand, sqnMs, amf).autn)
        assert.equal(answer.outcome, 'resync')
        assert.equal(recoverSqn(its, aRand, flip(answer.auts, bit)), undefined)
        assert.equal(recoverSqn(its, flip(aRand, randBit), answer.auts), undefined)
      }),
    )
  })

  test('a nonce gives back RAND and AUTN, with or without server data', () => {
    fc.assert(
      fc.property(octets(16), octets(16), fc.uint8Array({ maxLength: 40 }), (aRand, autn, data) => {
        assert.deepEqual(parseAkaNonce(akaNonce(aRand, autn)), { rand: aRand, autn })
        assert.deepEqual(parseAkaNonce(toBase64(Uint8Array.of(...aRand, ...autn, ...data))), { rand: aRand, autn })
      }),
    )
  })
})

describe('a recovered SQN_MS', () => {
  test('is refused when MAC-S was made with the AMF of the challenge', () => {
    const real = algorithm.f1Star(rand, hex(resync.SQN_MS), amf)
    assert.equal(recoverSqn(algorithm, rand, Uint8Array.of(...hex(resync.AUTS).slice(0, 6), ...real)), undefined)
  })
  for (const length of [0, 13, 15]) {
    test(`is not looked for in an AUTS of ${length} octets`, () =>
      assert.throws(() => recoverSqn(algorithm, rand, new Uint8Array(length)), RangeError))
  }
})

describe('lengths are the caller’s contract', () => {
  test('AUTN of 15 or 17 octets', () => {
    for (const length of [15, 17]) {
      assert.throws(() => checkAutn(algorithm, usimState(), rand, new Uint8Array(length)), RangeError)
    }
  })
  test('RAND, SQN and AMF of a vector', () => {
    assert.throws(() => generateAv(algorithm, rand.slice(1), hex(first.SQN), amf), RangeError)
    assert.throws(() => generateAv(algorithm, rand, hex(first.SQN).slice(1), amf), RangeError)
    assert.throws(() => generateAv(algorithm, rand, hex(first.SQN), amf.slice(1)), RangeError)
  })
  test('the vector keeps its RAND when the caller’s buffer changes', () => {
    const mine = Uint8Array.from(rand)
    const av = generateAv(algorithm, mine, hex(first.SQN), amf)
    mine.fill(0)
    assert.equal(toHex(av.rand), first.RAND)
  })
})

describe('parseAkaNonce refuses', () => {
  const good = akaNonce(rand, hex(first.derived.AUTN))
  for (const [why, text] of [
    ['nothing', ''],
    ['31 octets', toBase64(new Uint8Array(31))],
    ['a missing pad', good.replace('=', '')],
    ['the URL alphabet', good.replaceAll('/', '_').replaceAll('+', '-')],
    ['a line end', `${good}\n`],
    ['hex', '00'.repeat(32).concat('zz')],
  ] as const) {
    test(why, () => assert.equal(parseAkaNonce(text), undefined))
  }
})

function flip(octets: Uint8Array, bit: number): Uint8Array {
  return octets.map((octet, i) => (i === bit >> 3 ? octet ^ (0x80 >> (bit & 7)) : octet))
}
