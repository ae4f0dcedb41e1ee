import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Line } from '../src/line.ts'

/** A line whose clock and turns are moved by hand. */
function lineOf(maxWaitMs: number) {
  const clock = { ms: 1000, maxWaitMs }
  const turns: (() => void)[] = []
  const line = new Line({
    maxWaitMs: () => clock.maxWaitMs,
    now: () => clock.ms,
    nextTurn: (go) => void turns.push(go),
  })
  const served: number[] = []
  const refused: number[] = []
  const enter = (...names: number[]) => {
    for (const name of names) line.enter((_waitedMs, isLate) => void (isLate ? refused : served).push(name))
  }
  /** One request takes the rest of a long turn, and those behind it wait. */
  const fill = (...names: number[]) => {
    line.enter(() => {
      clock.ms += 50
    })
    enter(...names)
  }
  const turn = () => turns.shift()?.()
  return { line, clock, turns, served, refused, enter, fill, turn }
}

const numbers = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i)

describe('a request that comes', () => {
  test('begins at once while the turn is short', () => {
    const { enter, line, served, turn, turns } = lineOf(500)
    enter(...numbers(1, 128))
    assert.deepEqual(served, numbers(1, 128))
    assert.equal(turns.length, 1)
    turn()
    assert.equal(turns.length, 0)
    enter(129)
    assert.deepEqual([served.length, line.length], [129, 0])
  })

  test('waits where very many come in one turn', () => {
    const { enter, line, served, turn } = lineOf(500)
    enter(...numbers(1, 130))
    assert.equal(line.length, 2)
    turn()
    assert.deepEqual(served, numbers(1, 130))
  })

  test('waits when the turn is long already, and is told how long it did', () => {
    const { clock, fill, line, turn } = lineOf(500)
    const waits: number[] = []
    fill()
    line.enter((waitedMs) => void waits.push(waitedMs))
    assert.deepEqual(waits, [])
    clock.ms += 120
    turn()
    assert.deepEqual(waits, [120])
  })

  test('waits behind those that wait, of whom a few begin in each turn', () => {
    const { enter, fill, line, served, turn } = lineOf(500)
    fill(...numbers(1, 20))
    turn()
    assert.deepEqual(served, numbers(1, 16))
    enter(21)
    assert.equal(line.length, 5)
    turn()
    assert.deepEqual(served, numbers(1, 21))
    enter(22)
    assert.equal(served.at(-1), 22)
  })
})

describe('those that wait', () => {
  test('are served in the order in which they came until the first one has waited for too long', () => {
    const { clock, fill, refused, served, turn } = lineOf(500)
    fill(...numbers(1, 40))
    clock.ms += 500
    turn()
    assert.deepEqual([served, refused], [numbers(1, 16), []])
  })

  test('are served last come first from then on, until the wait is half of that', () => {
    const { clock, enter, fill, served, refused, turn } = lineOf(500)
    fill(...numbers(1, 40))
    clock.ms += 501
    enter(...numbers(41, 80))
    turn()
    turn()
    assert.deepEqual(served, numbers(49, 80).reverse())
    clock.ms -= 251
    served.length = 0
    turn()
    assert.deepEqual([served, refused], [numbers(1, 16), []])
  })

  test('are refused at three times of that, and those that came later are served', () => {
    const { clock, enter, fill, served, refused, turn } = lineOf(500)
    fill(...numbers(1, 10))
    clock.ms += 1501
    enter(...numbers(11, 40))
    turn()
    assert.deepEqual(refused, numbers(1, 10))
    assert.deepEqual(served, numbers(11, 16))
  })

  test('are refused, the first one first, where even the last one has waited for too long', () => {
    const { clock, fill, served, refused, turn } = lineOf(500)
    fill(...numbers(1, 40))
    clock.ms += 501
    turn()
    assert.deepEqual([served, refused], [[], numbers(1, 16)])
  })

  test('are not refused where they are few: it is not they who make the process late', () => {
    const { clock, fill, served, refused, turn } = lineOf(500)
    fill(...numbers(1, 15))
    clock.ms += 5000
    turn()
    assert.deepEqual([served, refused], [numbers(1, 15), []])
  })

  test('are refused only until they are few', () => {
    const { clock, fill, served, refused, turn } = lineOf(500)
    fill(...numbers(1, 16))
    clock.ms += 5000
    turn()
    assert.deepEqual([served, refused], [numbers(2, 16), [1]])
  })

  test('have their turn, too, where one of them throws', () => {
    const { enter, fill, line, served, turn } = lineOf(500)
    fill()
    line.enter(() => {
      throw new Error('it may not')
    })
    enter(1)
    assert.throws(turn)
    turn()
    assert.deepEqual(served, [1])
  })

  test('wait for any time in their order where that is wanted, also from now on', () => {
    const { clock, enter, fill, served, refused, turn } = lineOf(500)
    fill(...numbers(1, 40))
    clock.ms += 501
    enter(41)
    clock.maxWaitMs = 0
    clock.ms += 9000
    turn()
    assert.deepEqual([served, refused], [numbers(1, 16), []])
  })
})
