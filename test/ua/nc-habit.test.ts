import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { NcHabit } from '../../src/ua/nc-habit.ts'

/** The deviation of each count, all of them accepted in turn. */
function deviations(counts: readonly number[], maxNonces = 10) {
  const habit = new NcHabit(maxNonces)
  return counts.map((nc) => {
    const deviation = habit.deviation('n', nc)
    habit.accepted('n', nc)
    return deviation
  })
}

describe('the habit of a UE with its nonce counts', () => {
  test('is without deviation when it counts from 1 upwards', () => {
    assert.deepEqual(deviations([1, 2, 3, 4]), [undefined, undefined, undefined, undefined])
  })

  test('shows a count that goes on from another nonce', () => {
    assert.deepEqual(deviations([7, 8]), ['nc-not-reset', undefined])
  })

  test('shows decimal digits at the step from 9 to 10, and from 99 to 100', () => {
    assert.deepEqual(deviations([9, 0x10]), ['nc-not-reset', 'nc-decimal'])
    assert.deepEqual(deviations([0x99, 0x100]).at(-1), 'nc-decimal')
    assert.deepEqual(deviations([0xf, 0x10]).at(-1), undefined)
  })

  test('shows gaps and what comes late', () => {
    assert.deepEqual(deviations([1, 5, 3]), [undefined, 'nc-gap', 'nc-out-of-order'])
  })

  test('is remembered for as many nonces as it may be', () => {
    const habit = new NcHabit(1)
    habit.accepted('a', 1)
    habit.accepted('b', 1)
    assert.equal(habit.deviation('a', 2), 'nc-not-reset')
    assert.equal(habit.deviation('b', 2), undefined)
  })
})
