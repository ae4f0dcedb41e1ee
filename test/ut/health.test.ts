import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { judged } from '../../src/ut/health.ts'

/** Verdicts of a row of checks, of which two bad ones in a row count. */
function verdicts(checks: readonly boolean[]) {
  let failures = 0
  return checks.map((isGood) => {
    const verdict = judged(failures, isGood, 2)
    failures = verdict.failures
    return [verdict.isWell, verdict.isChange]
  })
}

describe('a check of health', () => {
  test('calls an address unwell after so many bad answers in a row, and says so again with each further one', () => {
    assert.deepEqual(verdicts([false, false, false]), [
      [undefined, false],
      [false, true],
      [false, false],
    ])
  })

  test('calls it well after a good one, which is news only where it was not', () => {
    assert.deepEqual(verdicts([true, false, true]), [
      [true, false],
      [undefined, false],
      [true, false],
    ])
    assert.deepEqual(verdicts([false, false, true]).at(-1), [true, true])
  })
})
