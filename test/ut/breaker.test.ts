import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  abandoned,
  admits,
  type Breaker,
  CLOSED,
  failed,
  isSuspect,
  probing,
  reached,
  unwell,
  well,
} from '../../src/ut/breaker.ts'

const LIMITS = { failures: 3, openMs: 1000 }
const after = (breaker: Breaker, times: number, now = 0): Breaker =>
  times === 0 ? breaker : after(failed(breaker, false, LIMITS, now), times - 1, now)

describe('a breaker', () => {
  test('opens after so many failures in a row, and not one sooner', () => {
    assert.equal(admits(after(CLOSED, 2), 0), 'yes')
    assert.equal(admits(after(CLOSED, 3), 0), 'no')
  })

  test('counts from the beginning after an answer', () => {
    const answered = reached(after(CLOSED, 2), false, 0)
    assert.equal(admits(after(answered, 2), 0), 'yes')
    assert.equal(reached(CLOSED, false, 0), CLOSED)
  })

  test('lets one request try when its time is over, and no second one beside it', () => {
    const open = after(CLOSED, 3, 500)
    assert.equal(admits(open, 1499), 'no')
    assert.equal(admits(open, 1500), 'probe')
    assert.equal(admits(probing(1500), 1501), 'no')
  })

  test('closes when that one is answered, and opens anew when it fails', () => {
    const closed = reached(probing(1500), true, 1600)
    assert.deepEqual(closed, { state: 'closed', failures: 0, failedAt: -Infinity, restoredAt: 1600 })
    const open = failed(probing(1500), true, LIMITS, 1600)
    assert.deepEqual([admits(open, 2599), admits(open, 2600)], ['no', 'probe'])
  })

  test('lets the next one try when that one was given up, and when it never ends', () => {
    assert.equal(admits(abandoned(probing(1500), true, 1600), 1600), 'probe')
    assert.equal(admits(probing(1500), 61_499), 'no')
    assert.equal(admits(probing(1500), 61_500), 'probe')
  })

  test('hears nothing from requests that were sent before it opened', () => {
    const open = after(CLOSED, 3)
    for (const breaker of [open, probing(0)]) {
      assert.equal(reached(breaker, false, 10), breaker)
      assert.equal(failed(breaker, false, LIMITS, 10), breaker)
      assert.equal(abandoned(breaker, false, 10), breaker)
    }
  })

  test('is suspect for a while after a failure', () => {
    assert.equal(isSuspect(CLOSED, LIMITS, 0), false)
    assert.equal(isSuspect(after(CLOSED, 1, 5), LIMITS, 1004), true)
    assert.equal(isSuspect(after(CLOSED, 1, 5), LIMITS, 1005), false)
  })

  test('opens when the server is unwell, and closes when it is well again', () => {
    assert.equal(admits(unwell(5000), 4999), 'no')
    assert.equal(admits(unwell(5000), 5000), 'probe')
    assert.equal(admits(well(unwell(5000), 100), 100), 'yes')
  })

  test('that opened for failures is tried by a request when the server says that it is well', () => {
    assert.equal(admits(well(after(CLOSED, 3), 100), 100), 'probe')
    assert.equal(well(CLOSED, 0), CLOSED)
  })
})
