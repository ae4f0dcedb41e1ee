import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Uss } from '../../src/core/guss.ts'
import type { Btid, Impi, Impu } from '../../src/core/identity.ts'
import { type FaultCode, GbaError } from '../../src/errors.ts'
import {
  authorise,
  type Grant,
  isGrant,
  type Ownership,
  type RoutePolicy,
  type Subject,
} from '../../src/ut/authorise.ts'
import { parseXcapUri } from '../../src/ut/xcap-uri.ts'

const ALICE = 'sip:alice@example.com' as Impu
const NUMBER = 'tel:+15550100123' as Impu
const BOB = 'sip:bob@example.com' as Impu
const TEMPORARY = 'sip:001010123456789@ims.mnc001.mcc001.3gppnetwork.org' as Impu

const uss = (members: Partial<Uss> = {}): Uss => ({ gsid: 3, gsType: 3, uids: [ALICE, NUMBER], flags: [1], ...members })
const alice = (ussList: readonly Uss[] = [uss()]): Subject => ({
  impi: '001010123456789@ims.mnc001.mcc001.3gppnetwork.org' as Impi,
  btid: 'I1U8vpY3qJ0hiuZNrke/NQ==@bsf.example.com' as Btid,
  ussList,
})
const route = (members: Partial<RoutePolicy> = {}): RoutePolicy => ({
  appServer: 'xdms',
  gsids: [3],
  ownership: 'owner',
  ...members,
})
const treeOf = (xui: Impu, auid = 'resource-lists') => parseXcapUri(`/${auid}/users/${xui}/index`)
const GLOBAL = parseXcapUri('/resource-lists/global/index')

const refuses = (code: FaultCode, decide: () => unknown) =>
  assert.throws(decide, (error) => error instanceof GbaError && error.code === code)

describe('authorise', () => {
  test('grants exactly the target and method that were asked for', () => {
    const uri = treeOf(ALICE)
    const grant = authorise(alice(), uri, 'PUT', undefined, route())
    assert.equal(grant.target, '/resource-lists/users/sip:alice@example.com/index')
    assert.equal(grant.uri, uri)
    assert.equal(grant.method, 'PUT')
    assert.equal(grant.appServer, 'xdms')
    assert.deepEqual(grant.tolerances, [])
  })

  describe('asserts', () => {
    const cases: readonly (readonly [
      name: string,
      xui: Impu | 'global',
      intended: Impu | undefined,
      policy: Partial<RoutePolicy>,
      expected: readonly Impu[],
    ])[] = [
      ['the XUI when the UE names no identity', ALICE, undefined, {}, [ALICE]],
      ['the XUI even when another identity comes first', NUMBER, undefined, {}, [NUMBER]],
      ['the first identity in the global tree', 'global', undefined, {}, [ALICE]],
      ['the first identity in the tree of somebody else', BOB, undefined, { ownership: 'as-decides' }, [ALICE]],
      ['the intended identity alone', ALICE, ALICE, {}, [ALICE]],
      ['the intended identity though the tree has another one of the subscriber', ALICE, NUMBER, {}, [NUMBER]],
      ['the intended identity alone though all are to be asserted', ALICE, NUMBER, { assert: 'all' }, [NUMBER]],
      ['the first identity where that is the default', NUMBER, undefined, { defaultIdentity: 'first' }, [ALICE]],
      ['the intended identity whatever the default', ALICE, NUMBER, { defaultIdentity: 'first' }, [NUMBER]],
      [
        'all identities, the default first',
        NUMBER,
        undefined,
        { defaultIdentity: 'first', assert: 'all' },
        [ALICE, NUMBER],
      ],
      ['all identities, the XUI first', NUMBER, undefined, { assert: 'all' }, [NUMBER, ALICE]],
      ['all identities in the order of the USS', 'global', undefined, { assert: 'all' }, [ALICE, NUMBER]],
    ]
    for (const [name, xui, intended, policy, expected] of cases) {
      test(name, () => {
        const uri = xui === 'global' ? GLOBAL : treeOf(xui)
        assert.deepEqual(authorise(alice(), uri, 'GET', intended, route(policy)).assertedIdentities, expected)
      })
    }
  })

  describe('ownership', () => {
    const SELF = [ALICE, 'own tree'] as const
    const OTHER = [BOB, 'tree of somebody else'] as const
    const EVERYBODY = ['global', 'global tree'] as const
    const cases: readonly (readonly [Ownership, readonly [Impu | 'global', string], string, FaultCode | 'granted'])[] =
      [
        ['owner', SELF, 'GET', 'granted'],
        ['owner', SELF, 'PUT', 'granted'],
        ['owner', SELF, 'DELETE', 'granted'],
        ['owner', OTHER, 'GET', 'UT_TREE_NOT_OWNED'],
        ['owner', OTHER, 'HEAD', 'UT_TREE_NOT_OWNED'],
        ['owner', OTHER, 'PUT', 'UT_TREE_NOT_OWNED'],
        ['owner', OTHER, 'DELETE', 'UT_TREE_NOT_OWNED'],
        ['owner', EVERYBODY, 'GET', 'granted'],
        ['owner', EVERYBODY, 'HEAD', 'granted'],
        ['owner', EVERYBODY, 'PUT', 'UT_GLOBAL_READ_ONLY'],
        ['owner', EVERYBODY, 'POST', 'UT_GLOBAL_READ_ONLY'],
        ['owner', EVERYBODY, 'get', 'UT_GLOBAL_READ_ONLY'],
        ['owner-write', SELF, 'PUT', 'granted'],
        ['owner-write', OTHER, 'GET', 'granted'],
        ['owner-write', OTHER, 'HEAD', 'granted'],
        ['owner-write', OTHER, 'PUT', 'UT_TREE_NOT_OWNED'],
        ['owner-write', OTHER, 'PATCH', 'UT_TREE_NOT_OWNED'],
        ['owner-write', EVERYBODY, 'GET', 'granted'],
        ['owner-write', EVERYBODY, 'DELETE', 'UT_GLOBAL_READ_ONLY'],
        ['as-decides', OTHER, 'GET', 'granted'],
        ['as-decides', OTHER, 'PUT', 'granted'],
        ['as-decides', EVERYBODY, 'PUT', 'granted'],
      ]
    for (const [ownership, [xui, where], method, outcome] of cases) {
      test(`${ownership}: ${method} in the ${where} is ${outcome}`, () => {
        const uri = xui === 'global' ? GLOBAL : treeOf(xui)
        const decide = () => authorise(alice(), uri, method, undefined, route({ ownership }))
        if (outcome === 'granted') assert.ok(isGrant(decide()))
        else refuses(outcome, decide)
      })
    }

    test('an exception for one AUID holds for it alone', () => {
      const policy = route({ ownershipByAuid: { 'org.openmobilealliance.groups': 'as-decides' } })
      assert.ok(authorise(alice(), treeOf(BOB, 'org.openmobilealliance.groups'), 'GET', undefined, policy))
      refuses('UT_TREE_NOT_OWNED', () => authorise(alice(), treeOf(BOB), 'GET', undefined, policy))
    })
    test('a stricter exception holds whatever the letter case of the AUID', () => {
      for (const key of ['pres-rules', 'Pres-Rules']) {
        const policy = route({ ownership: 'as-decides', ownershipByAuid: { [key]: 'owner' } })
        for (const auid of ['pres-rules', 'PRES-RULES']) {
          refuses('UT_TREE_NOT_OWNED', () => authorise(alice(), treeOf(BOB, auid), 'GET', undefined, policy))
        }
      }
    })
    test('an AUID named like a member of every object has no exception', () => {
      const policy = route({ ownershipByAuid: {} })
      for (const auid of ['constructor', 'toString', 'hasOwnProperty']) {
        refuses('UT_TREE_NOT_OWNED', () => authorise(alice(), treeOf(BOB, auid), 'GET', undefined, policy))
      }
    })
  })

  describe('user security settings', () => {
    test('none at all: refused', () =>
      refuses('UT_USS_MISSING', () => authorise(alice([]), treeOf(ALICE), 'GET', undefined, route())))
    test('none for the services of the route: refused', () =>
      refuses('UT_USS_MISSING', () => authorise(alice([uss({ gsid: 2 })]), treeOf(ALICE), 'GET', undefined, route())))
    test('none asked for: nobody has access', () =>
      refuses('UT_USS_MISSING', () => authorise(alice(), treeOf(ALICE), 'GET', undefined, route({ gsids: [] }))))
    test('one without identities: refused, also where the application server decides', () =>
      refuses('UT_USS_MISSING', () =>
        authorise(alice([uss({ uids: [] })]), GLOBAL, 'GET', undefined, route({ ownership: 'as-decides' })),
      ))
    test('identities of a service that the route does not name are not allowed', () => {
      const ussList = [uss(), uss({ gsid: 4, uids: [BOB], flags: [9] })]
      refuses('UT_TREE_NOT_OWNED', () => authorise(alice(ussList), treeOf(BOB), 'GET', undefined, route()))
      assert.deepEqual(authorise(alice(ussList), treeOf(ALICE), 'GET', undefined, route()).flags, [1])
    })
    test('several are joined in the order of the route', () => {
      const ussList = [uss({ gsid: 2, uids: [BOB, ALICE], flags: [1, 2] }), uss()]
      const policy = route({ gsids: [3, 2], assert: 'all' })
      const grant = authorise(alice(ussList), GLOBAL, 'GET', undefined, policy)
      assert.deepEqual(grant.assertedIdentities, [ALICE, NUMBER, BOB])
      assert.deepEqual(grant.flags, [1, 2])
    })
    test('an id that is the type counts where no id matches and the route says so, and is named', () => {
      const subject = alice([uss({ gsid: 3, gsType: 3 })])
      const policy = route({ gsids: [1003] })
      refuses('UT_USS_MISSING', () => authorise(subject, treeOf(ALICE), 'GET', undefined, policy))
      const grant = authorise(subject, treeOf(ALICE), 'GET', undefined, { ...policy, gsTypes: [3] })
      assert.deepEqual(grant.tolerances, ['uss-id-is-type'])
      const other = alice([uss({ gsid: 1004, gsType: 3 })])
      refuses('UT_USS_MISSING', () => authorise(other, treeOf(ALICE), 'GET', undefined, { ...policy, gsTypes: [3] }))
    })
  })

  describe('wildcarded identities', () => {
    const ROOMS = 'sip:room!%5B0-9%5D+!@example.com' as Impu
    const ROOM = 'sip:room42@example.com' as Impu
    const subject = alice([uss({ uids: [ROOMS, ALICE] })])
    test('open the trees of those that match, and the one that was named is asserted', () => {
      const grant = authorise(subject, treeOf(ROOM), 'PUT', undefined, route())
      assert.deepEqual([grant.assertedIdentities, grant.ownTree], [[ROOM], true])
      assert.deepEqual(authorise(subject, treeOf(ALICE), 'GET', ROOM, route()).assertedIdentities, [ROOM])
    })
    test('are never asserted themselves, neither by default nor among all', () => {
      for (const assertion of ['one', 'all'] as const) {
        const policy = route({ assert: assertion, defaultIdentity: 'first' })
        assert.deepEqual(authorise(subject, GLOBAL, 'GET', undefined, policy).assertedIdentities, [ALICE])
      }
      const all = authorise(subject, treeOf(ROOM), 'GET', undefined, route({ assert: 'all' }))
      assert.deepEqual(all.assertedIdentities, [ROOM, ALICE])
      refuses('UT_IMPU_NOT_OWNED', () => authorise(subject, GLOBAL, 'GET', ROOMS, route()))
      refuses('UT_TREE_NOT_OWNED', () =>
        authorise(subject, treeOf('sip:room!1!@example.com' as Impu), 'GET', undefined, route()),
      )
    })
    test('alone are enough for who names one of theirs, and for nobody else', () => {
      const lone = alice([uss({ uids: [ROOMS] })])
      for (const defaultIdentity of ['xui', 'first'] as const) {
        const policy = route({ defaultIdentity })
        assert.deepEqual(authorise(lone, treeOf(ROOM), 'GET', undefined, policy).assertedIdentities, [ROOM])
        assert.deepEqual(authorise(lone, GLOBAL, 'GET', ROOM, policy).assertedIdentities, [ROOM])
        refuses('UT_USS_MISSING', () => authorise(lone, GLOBAL, 'GET', undefined, policy))
      }
    })
    test('open nothing that does not match', () => {
      for (const xui of [
        'sip:room@example.com',
        'sip:rooma@example.com',
        'sip:room1@example.org',
        'sips:room1@example.com',
      ]) {
        refuses('UT_TREE_NOT_OWNED', () => authorise(subject, treeOf(xui as Impu), 'GET', undefined, route()))
        refuses('UT_IMPU_NOT_OWNED', () => authorise(subject, GLOBAL, 'GET', xui as Impu, route()))
      }
    })
    test('open no temporary identity', () => {
      const wide = alice([uss({ uids: ['sip:!.*!@ims.mnc001.mcc001.3gppnetwork.org' as Impu] })])
      assert.ok(authorise(wide, treeOf('sip:x@ims.mnc001.mcc001.3gppnetwork.org' as Impu), 'GET', undefined, route()))
      refuses('UT_TREE_NOT_OWNED', () => authorise(wide, treeOf(TEMPORARY), 'GET', undefined, route()))
      refuses('UT_IMPU_NOT_OWNED', () => authorise(wide, GLOBAL, 'GET', TEMPORARY, route()))
    })
    test('count only where they are provisioned as such', () => {
      const plain = alice([uss({ uids: ['sip:room.*@example.com' as Impu] })])
      refuses('UT_TREE_NOT_OWNED', () => authorise(plain, treeOf(ROOM), 'GET', undefined, route()))
    })
  })

  describe('identities that are not the subscriber’s', () => {
    test('a foreign intended identity is refused, in the own tree and with any ownership', () => {
      for (const ownership of ['owner', 'owner-write', 'as-decides'] as const) {
        refuses('UT_IMPU_NOT_OWNED', () => authorise(alice(), treeOf(ALICE), 'GET', BOB, route({ ownership })))
      }
    })
    test('an own intended identity opens no foreign tree', () =>
      refuses('UT_TREE_NOT_OWNED', () => authorise(alice(), treeOf(BOB), 'GET', ALICE, route())))
    test('a temporary identity is neither asserted nor an owner, though the USS lists it', () => {
      const subject = alice([uss({ uids: [TEMPORARY, ALICE] })])
      assert.deepEqual(authorise(subject, GLOBAL, 'GET', undefined, route({ assert: 'all' })).assertedIdentities, [
        ALICE,
      ])
      refuses('UT_IMPU_NOT_OWNED', () => authorise(subject, GLOBAL, 'GET', TEMPORARY, route()))
      refuses('UT_TREE_NOT_OWNED', () => authorise(subject, treeOf(TEMPORARY), 'GET', undefined, route()))
      refuses('UT_USS_MISSING', () => authorise(alice([uss({ uids: [TEMPORARY] })]), GLOBAL, 'GET', undefined, route()))
    })
    test('whatever is asked, only identities of the USS are asserted, and a foreign tree stays shut', () => {
      const identity = fc.constantFrom(ALICE, NUMBER, BOB, TEMPORARY, 'sips:alice@example.com' as Impu)
      fc.assert(
        fc.property(
          fc.uniqueArray(identity),
          fc.option(identity, { nil: undefined }),
          fc.option(identity, { nil: undefined }),
          fc.constantFrom('GET', 'PUT', 'DELETE'),
          fc.constantFrom('one', 'all') as fc.Arbitrary<'one' | 'all'>,
          (uids, xui, intended, method, assertion) => {
            const uri = xui === undefined ? GLOBAL : treeOf(xui)
            let grant: Grant
            try {
              grant = authorise(alice([uss({ uids })]), uri, method, intended, route({ assert: assertion }))
            } catch (error) {
              assert.ok(error instanceof GbaError)
              return
            }
            assert.ok(grant.assertedIdentities.length > 0)
            for (const impu of grant.assertedIdentities) assert.ok(uids.includes(impu) && impu !== TEMPORARY)
            if (xui !== undefined) assert.ok(uids.includes(xui))
            if (intended !== undefined) assert.deepEqual(grant.assertedIdentities, [intended])
            if (xui === undefined) assert.equal(method, 'GET')
          },
        ),
        { numRuns: 2000 },
      )
    })
  })
})

describe('Grant', () => {
  const grant = authorise(alice(), treeOf(ALICE), 'GET', undefined, route())

  test('is frozen all through', () => {
    assert.ok(Object.isFrozen(grant) && Object.isFrozen(grant.uri))
    assert.ok(Object.isFrozen(grant.assertedIdentities) && Object.isFrozen(grant.flags))
  })
  test('cannot be written by hand: it does not compile', () => {
    // @ts-expect-error the proof is missing, and nobody outside can name it
    const forged: Grant = {
      appServer: 'xdms',
      method: 'GET',
      target: '/',
      uri: GLOBAL,
      assertedIdentities: [BOB],
      flags: [],
      btid: alice().btid,
      tolerances: [],
    }
    assert.equal(isGrant(forged), false)
  })
  test('cannot be altered by copying: the copy is no grant', () => {
    const altered: Grant = { ...grant, assertedIdentities: [BOB] }
    assert.equal(isGrant(altered), false)
    assert.equal(isGrant(structuredClone({ ...grant })), false)
    assert.equal(isGrant(Object.create(grant)), false)
    assert.equal(isGrant(grant), true)
  })
  for (const value of [undefined, null, {}, 'grant', 1]) {
    test(`is not ${JSON.stringify(value)}`, () => assert.equal(isGrant(value), false))
  }
})
