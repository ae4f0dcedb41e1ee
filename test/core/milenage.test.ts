import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { toHex } from '../../src/core/bytes.ts'
import { deriveOpc, milenage } from '../../src/core/milenage.ts'
import { hex, secret, vectors } from '../support/vectors.ts'

interface MilenageSet {
  readonly set: number
  readonly K: string
  readonly RAND: string
  readonly SQN: string
  readonly AMF: string
  readonly OP: string
  readonly OPc: string
  readonly f1_MAC_A: string
  readonly f1star_MAC_S: string
  readonly f2_RES: string
  readonly f3_CK: string
  readonly f4_IK: string
  readonly f5_AK: string
  readonly f5star_AK: string
}

const { sets, source } = vectors<{ source: string; sets: readonly MilenageSet[] }>('milenage.json')

for (const set of sets) {
  describe(`${source}, set ${set.set}`, () => {
    const algorithm = milenage(secret(set.K), secret(set.OPc))
    const rand = hex(set.RAND)

    test('OPc comes out of OP', () => assert.equal(toHex(deriveOpc(secret(set.K), secret(set.OP)).expose(16)), set.OPc))

    test('f1 and f1*', () => {
      assert.equal(toHex(algorithm.f1(rand, hex(set.SQN), hex(set.AMF))), set.f1_MAC_A)
      assert.equal(toHex(algorithm.f1Star(rand, hex(set.SQN), hex(set.AMF))), set.f1star_MAC_S)
    })

    test('f2 to f5', () => {
      const { res, ck, ik, ak } = algorithm.f2345(rand)
      assert.equal(toHex(res.expose(8)), set.f2_RES)
      assert.equal(toHex(ck.expose(16)), set.f3_CK)
      assert.equal(toHex(ik.expose(16)), set.f4_IK)
      assert.equal(toHex(ak.expose(6)), set.f5_AK)
    })

    test('f5*', () => assert.equal(toHex(algorithm.f5Star(rand).expose(6)), set.f5star_AK))

    test('the same object gives the same answers again', () => {
      const [first, second] = [algorithm.f2345(rand), algorithm.f2345(rand)]
      assert.ok(first.ck.equals(second.ck) && first.res.equals(second.res))
      assert.equal(toHex(algorithm.f1(rand, hex(set.SQN), hex(set.AMF))), set.f1_MAC_A)
    })
  })
}

describe('milenage refuses', () => {
  const zeros = (octets: number) => new Uint8Array(octets)
  const key = secret('00'.repeat(16))
  const algorithm = milenage(key, key)

  for (const length of [0, 15, 17, 32]) {
    test(`a K, OP or OPc of ${length} octets`, () => {
      const wrong = secret('00'.repeat(length))
      assert.throws(() => milenage(wrong, key), RangeError)
      assert.throws(() => milenage(key, wrong), RangeError)
      assert.throws(() => deriveOpc(wrong, key), RangeError)
      assert.throws(() => deriveOpc(key, wrong), RangeError)
    })
    test(`a RAND of ${length} octets`, () => {
      assert.throws(() => algorithm.f1(zeros(length), zeros(6), zeros(2)), RangeError)
      assert.throws(() => algorithm.f1Star(zeros(length), zeros(6), zeros(2)), RangeError)
      assert.throws(() => algorithm.f2345(zeros(length)), RangeError)
      assert.throws(() => algorithm.f5Star(zeros(length)), RangeError)
    })
  }

  test('an SQN or AMF of the wrong length', () => {
    assert.throws(() => algorithm.f1(zeros(16), zeros(5), zeros(2)), RangeError)
    assert.throws(() => algorithm.f1(zeros(16), zeros(6), zeros(3)), RangeError)
  })
})
