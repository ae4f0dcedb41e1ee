import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Uss } from '../../src/core/guss.ts'
import type { Impi, Impu } from '../../src/core/identity.ts'
import { type FaultCode, GbaError } from '../../src/errors.ts'
import { authorise, isGrant, type RoutePolicy } from '../../src/ut/authorise.ts'
import { parseXcapUri } from '../../src/ut/xcap-uri.ts'

const ALICE = 'sip:alice@example.org' as Impu
const BOB = 'sip:bob@example.org' as Impu
const treeOf = (impu: Impu) => parseXcapUri(`/resource-lists/users/${impu}/index`)
const uss = (changes: Partial<Uss> = {}): Uss => ({ gsid: 3, gsType: 3, uids: [ALICE], flags: [1], ...changes })
const route = (changes: Partial<RoutePolicy> = {}): RoutePolicy => ({
  appServer: 'xdms',
  gsids: [3],
  ownership: 'owner',
  ...changes,
})
const refuses = (code: FaultCode, run: () => unknown) =>
  assert.throws(run, (error) => error instanceof GbaError && error.code === code)

describe('what is remembered of settings', () => {
  test('serves request after request, each with a grant of its own', () => {
    const [ussList, policy] = [[uss()], route()]
    const one = authorise({ ussList }, treeOf(ALICE), 'GET', undefined, policy)
    const other = authorise({ ussList }, treeOf(ALICE), 'DELETE', undefined, policy)
    assert.deepEqual([one.method, other.method], ['GET', 'DELETE'])
    assert.ok(isGrant(one) && isGrant(other) && one !== other)
    for (const list of [one.flags, one.identities, one.tolerances, one.assertedIdentities])
      assert.ok(Object.isFrozen(list))
    refuses('UT_TREE_NOT_OWNED', () => authorise({ ussList }, treeOf(BOB), 'GET', undefined, policy))
    refuses('UT_IMPU_NOT_OWNED', () => authorise({ ussList }, treeOf(ALICE), 'GET', BOB, policy))
  })

  test('is of these settings alone: new ones count at once', () => {
    const policy = route()
    const before = [uss({ uids: [ALICE, BOB], flags: [1, 2] })]
    authorise({ ussList: before }, treeOf(BOB), 'PUT', BOB, policy)
    const after = [uss({ flags: [7] })]
    refuses('UT_IMPU_NOT_OWNED', () => authorise({ ussList: after }, treeOf(ALICE), 'PUT', BOB, policy))
    const grant = authorise({ ussList: after }, treeOf(ALICE), 'PUT', undefined, policy)
    assert.deepEqual([grant.flags, grant.identities], [[7], [ALICE]])
  })

  test('is of this route alone, whichever was asked first', () => {
    const ussList = [uss(), uss({ gsid: 16, gsType: 16, uids: [BOB], flags: [9] })]
    const [lists, rules] = [route(), route({ gsids: [16] })]
    for (let round = 0; round < 2; round++) {
      assert.deepEqual(authorise({ ussList }, treeOf(ALICE), 'GET', undefined, lists).flags, [1])
      assert.deepEqual(authorise({ ussList }, treeOf(BOB), 'GET', undefined, rules).flags, [9])
      refuses('UT_TREE_NOT_OWNED', () => authorise({ ussList }, treeOf(BOB), 'GET', undefined, lists))
      refuses('UT_TREE_NOT_OWNED', () => authorise({ ussList }, treeOf(ALICE), 'GET', undefined, rules))
    }
  })

  test('is no refusal: without settings for a route there are none the next time either, and others are as they were', () => {
    const ussList = [uss()]
    for (let round = 0; round < 2; round++) {
      refuses('UT_USS_MISSING', () => authorise({ ussList }, treeOf(ALICE), 'GET', undefined, route({ gsids: [5] })))
      assert.ok(authorise({ ussList }, treeOf(ALICE), 'GET', undefined, route()))
    }
  })

  test('is nothing of who asks: two who share settings keep their own names', () => {
    const [ussList, policy] = [[uss()], route()]
    const subscriberOf = (impi: string | undefined) =>
      authorise({ ussList, ...(impi && { impi: impi as Impi }) }, treeOf(ALICE), 'GET', undefined, policy).subscriber
    assert.deepEqual(
      [subscriberOf('a@x.org'), subscriberOf('b@x.org'), subscriberOf(undefined)],
      ['impi a@x.org', 'impi b@x.org', `impus ${ALICE}`],
    )
  })
})
