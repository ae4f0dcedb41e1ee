import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { toHex } from '../../src/core/bytes.ts'
import { acceptSqn, highestSqn, nextSqn, resumeSqn, SEQ_DELTA, type UsimState, usimState } from '../../src/core/sqn.ts'
import { hex } from '../support/vectors.ts'

/** SEQ ‖ IND, written as the definition has it. */
const sqnOf = (seq: bigint | number, ind: number): Uint8Array =>
  hex(((BigInt(seq) << 5n) | BigInt(ind)).toString(16).padStart(12, '0'))
const LAST_SEQ = 2 ** 43 - 1

const ind = fc.nat(31)
const seq = fc.integer({ min: 0, max: LAST_SEQ })
const usim = fc.array(fc.tuple(fc.nat(1000), ind).map(([s, i]) => sqnOf(s, i))).map(stateAfter)

describe('nextSqn', () => {
  test('golden: one SEQ up, same IND', () => assert.equal(toHex(nextSqn(hex('ff9bb4d0b647'), 7)), 'ff9bb4d0b667'))
  test('is SEQ + 1 with the IND asked for, whatever the last one had', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: LAST_SEQ - 1 }), ind, ind, (s, was, wanted) =>
        assert.deepEqual(nextSqn(sqnOf(s, was), wanted), sqnOf(s + 1, wanted)),
      ),
    )
  })
  test('carries across all six octets', () => assert.equal(toHex(nextSqn(hex('7fffffffffff'), 0)), '800000000000'))
  test('refuses to go past the last SEQ', () => {
    assert.equal(toHex(nextSqn(hex('ffffffffffdf'), 31)), 'ffffffffffff')
    assert.throws(() => nextSqn(hex('ffffffffffe0'), 0), RangeError)
  })
  for (const wrong of [-1, 32, 1.5, Number.NaN]) {
    test(`refuses ${wrong} as IND`, () => assert.throws(() => nextSqn(new Uint8Array(6), wrong), RangeError))
  }
  test('refuses an SQN that is not six octets', () => {
    assert.throws(() => nextSqn(new Uint8Array(5), 0), RangeError)
    assert.throws(() => nextSqn(new Uint8Array(7), 0), RangeError)
  })
})

describe('acceptSqn', () => {
  test('accepts an SQN exactly once', () => {
    fc.assert(
      fc.property(usim, fc.nat(2000), ind, (state, s, i) => {
        const next = acceptSqn(state, sqnOf(s, i))
        if (next === undefined) return
        assert.equal(acceptSqn(next, sqnOf(s, i)), undefined)
        assert.ok(acceptSqn(next, sqnOf(s + 1, i)))
      }),
    )
  })

  test('never accepts a SEQ again under its IND, nor a lower one', () => {
    fc.assert(
      fc.property(fc.nat(1000), fc.nat(1000), ind, (a, b, i) => {
        const [low, high] = [Math.min(a, b), Math.max(a, b)]
        assert.equal(acceptSqn(usimState(sqnOf(high, i)), sqnOf(low, i)), undefined)
      }),
    )
  })

  test('one IND does not push another out of step', () => {
    fc.assert(
      fc.property(ind, ind, fc.integer({ min: 2, max: 1000 }), (ims, bsf, ahead) => {
        fc.pre(ims !== bsf)
        const state = acceptSqn(usimState(), sqnOf(ahead, ims))
        assert.ok(state)
        assert.ok(acceptSqn(state, sqnOf(1, bsf)), 'an older SEQ under the other IND')
        assert.equal(acceptSqn(state, sqnOf(1, ims)), undefined)
      }),
    )
  })

  test('what it refuses changes nothing, and what it accepts leaves the old state as it was', () => {
    fc.assert(
      fc.property(usim, seq, ind, (state, s, i) => {
        const before = structuredClone(state)
        acceptSqn(state, sqnOf(s, i))
        assert.deepEqual(state, before)
      }),
    )
  })

  test('goes Δ above the highest, and not one further', () => {
    const state = stateAfter([sqnOf(500, 3), sqnOf(100, 9)])
    assert.ok(acceptSqn(state, sqnOf(500 + SEQ_DELTA, 9)))
    assert.equal(acceptSqn(state, sqnOf(501 + SEQ_DELTA, 9)), undefined)
    assert.equal(SEQ_DELTA, 2 ** 28)
  })

  test('the highest of all INDs is SQN_MS', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(1000), ind), { minLength: 1 }), (pairs) => {
        const given = pairs.map(([s, i]) => sqnOf(s, i))
        const accepted: Uint8Array[] = [new Uint8Array(6)]
        given.reduce<UsimState>((state, sqn) => {
          const next = acceptSqn(state, sqn)
          if (next !== undefined) accepted.push(sqn)
          return next ?? state
        }, usimState())
        assert.equal(toHex(highestSqn(stateAfter(given))), accepted.map(toHex).sort().at(-1))
      }),
    )
  })
})

describe('usimState', () => {
  test('starts at zero, which it has then used', () => {
    assert.equal(acceptSqn(usimState(), sqnOf(0, 31)), undefined)
    assert.ok(acceptSqn(usimState(), sqnOf(1, 31)))
  })
  test('takes single slots that stand elsewhere', () => {
    const state = usimState(sqnOf(100, 0), [undefined, sqnOf(50, 1)])
    assert.ok(acceptSqn(state, sqnOf(51, 1)))
    assert.equal(acceptSqn(state, sqnOf(51, 2)), undefined)
    assert.deepEqual(highestSqn(state), sqnOf(100, 0))
  })
  test('refuses an SQN that is not six octets', () => {
    assert.throws(() => usimState(new Uint8Array(5)), RangeError)
    assert.throws(() => usimState(new Uint8Array(6), [new Uint8Array(7)]), RangeError)
  })
})

describe('resumeSqn', () => {
  test('after it, the USIM accepts the next SQN, under any IND', () => {
    fc.assert(
      fc.property(seq, ind, fc.integer({ min: 0, max: LAST_SEQ - 1 }), ind, ind, (he, heInd, ms, msInd, bsf) => {
        const resumed = resumeSqn(sqnOf(he, heInd), sqnOf(ms, msInd))
        fc.pre(toHex(resumed) < 'ffffffffffe0')
        assert.ok(acceptSqn(usimState(sqnOf(ms, msInd)), nextSqn(resumed, bsf)))
      }),
    )
  })
  test('keeps its own SQN when the USIM would accept the next one', () =>
    assert.deepEqual(resumeSqn(sqnOf(10, 31), sqnOf(8, 3)), sqnOf(10, 31)))
  test('keeps its own SQN when both stand at the same SEQ', () =>
    assert.deepEqual(resumeSqn(sqnOf(8, 31), sqnOf(8, 3)), sqnOf(8, 31)))
  test('takes the USIM’s when that is ahead', () =>
    assert.deepEqual(resumeSqn(sqnOf(8, 31), sqnOf(10, 3)), sqnOf(10, 3)))
  test('takes the USIM’s when its own next would be the very one that the USIM stands at', () =>
    assert.deepEqual(resumeSqn(sqnOf(9, 31), sqnOf(10, 3)), sqnOf(10, 3)))
  test('goes back only from more than Δ ahead', () => {
    assert.deepEqual(resumeSqn(sqnOf(SEQ_DELTA - 1, 31), sqnOf(0, 0)), sqnOf(SEQ_DELTA - 1, 31))
    assert.deepEqual(resumeSqn(sqnOf(SEQ_DELTA, 31), sqnOf(0, 0)), sqnOf(0, 0))
  })
  test('never goes back for a USIM less than Δ behind', () => {
    fc.assert(
      fc.property(seq, ind, fc.integer({ min: 1 - SEQ_DELTA, max: SEQ_DELTA }), ind, (he, heInd, lead, msInd) => {
        const ms = Math.min(Math.max(he + lead, 0), LAST_SEQ)
        const own = sqnOf(he, heInd)
        assert.ok(toHex(resumeSqn(own, sqnOf(ms, msInd))).slice(0, 11) >= toHex(own).slice(0, 11))
      }),
    )
  })
})

function stateAfter(sqns: readonly Uint8Array[]): UsimState {
  return sqns.reduce<UsimState>((state, sqn) => acceptSqn(state, sqn) ?? state, usimState())
}
