import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Btid, Impu } from '../../src/core/identity.ts'
import { DemandRefused } from '../../src/ua/add-demand.ts'
import { NO_DEMANDS } from '../../src/ua/rebootstrap.ts'
import { standingDemands } from '../../src/ua/standing-demands.ts'

const ALICE = { impu: 'sip:alice@example.org' as Impu }
const ONE = { btid: 'b' as Btid }
const ALL = { all: true } as const
const HOUR = 3_600_000

describe('demands that are kept in memory', () => {
  test('are nothing to what a file says where there are none, and join it where there are', () => {
    const standing = standingDemands()
    const ofFile = { all: [1], impus: new Map([[ALICE.impu, [2]]]), btids: new Map() }
    assert.equal(standing.with(ofFile), ofFile)
    for (const whom of [ALICE, ONE, ALL]) standing.add({ whom, since: 5 }, 5)
    const joined = standing.with(ofFile)
    assert.deepEqual(joined, { all: [1, 5], impus: new Map([[ALICE.impu, [2, 5]]]), btids: new Map([[ONE.btid, [5]]]) })
    assert.equal(standing.with(ofFile), joined)
    assert.notEqual(standing.with(NO_DEMANDS), joined)
    standing.add({ whom: ALL, since: 6 }, 6)
    assert.deepEqual(standing.with(ofFile).all, [1, 5, 6])
  })

  test('go from one to the next as they are', () => {
    const standing = standingDemands()
    standing.add({ whom: ALICE, since: 5 }, 5)
    const next = standingDemands(JSON.parse(JSON.stringify(standing.list())))
    assert.deepEqual(next.with(NO_DEMANDS), standing.with(NO_DEMANDS))
  })

  test('go when a later one has long ruled the same bootstraps, or all, and not before', () => {
    const standing = standingDemands()
    standing.add({ whom: ALICE, since: 1 }, 1)
    standing.add({ whom: ONE, since: 2 }, 2)
    standing.add({ whom: ALICE, since: 3 }, 3)
    standing.add({ whom: ALICE, since: 9 * HOUR }, 4)
    assert.equal(standing.list().length, 4)
    standing.add({ whom: ALICE, since: HOUR }, HOUR)
    assert.deepEqual(
      standing.list().map(({ since }) => since),
      [2, 3, 9 * HOUR, HOUR],
    )
    standing.add({ whom: ALL, since: HOUR + 1 }, HOUR + 1)
    standing.add({ whom: ONE, since: 3 * HOUR }, 3 * HOUR)
    assert.deepEqual(
      standing.list().map(({ since }) => since),
      [9 * HOUR, HOUR + 1, 3 * HOUR],
    )
  })

  test('are bounded, and one that is there already takes no room', () => {
    const standing = standingDemands([], 1)
    standing.add({ whom: ALICE, since: 1 }, 1)
    standing.add({ whom: ALICE, since: 1 }, 1)
    assert.throws(() => standing.add({ whom: ALICE, since: 2 }, 2), DemandRefused)
    assert.equal(standing.list().length, 1)
  })
})
