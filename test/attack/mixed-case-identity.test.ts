import { test } from 'node:test'
import { ALICE, BOB, throughEveryDoor, treeOf } from '../support/attacked.ts'

// Schemes and hosts have no letter case, users have one: who gets that wrong confuses two subscribers, or locks one out.
const [, ALICES = ''] = ALICE.split(':')
const [, HOST = ''] = ALICE.split('@')
const shouted = (name: string) => name.toUpperCase()
const mixed = (text: string) => [...text].map((c, i) => (i % 2 ? c.toUpperCase() : c.toLowerCase())).join('')

throughEveryDoor('letter case', (attack) => {
  for (const xui of [`SIP:${ALICES}`, `Sip:alice@${shouted(HOST)}`, `sIp:alice@${mixed(HOST)}`]) {
    test(`of scheme and host makes no other identity: ${xui}`, async () => {
      await attack.letsThroughAsAlice('GET', treeOf(xui))
    })
  }
  test('of a scheme makes nobody of another number', () =>
    attack.refuses(['UT_TREE_NOT_OWNED'], 'GET', treeOf('TEL:+15550100002')))
  for (const user of ['Alice', 'ALICE', 'aLICE', 'alicE']) {
    test(`of the user makes another one: ${user}`, async () => {
      await attack.refuses(['UT_TREE_NOT_OWNED'], 'GET', treeOf(`sip:${user}@${HOST}`))
      await attack.refuses(['UT_IMPU_NOT_OWNED'], 'GET', treeOf(ALICE), {
        headers: [`X-3GPP-Intended-Identity: "sip:${user}@${HOST}"`],
      })
    })
  }
  for (const xui of [shouted(BOB), mixed(BOB), `SIP:bob@${HOST}`, `sip:bob@${shouted(HOST)}`, `sip:BOB@${HOST}`]) {
    test(`makes nobody of bob: ${xui}`, async () => {
      await attack.refuses(['UT_TREE_NOT_OWNED'], 'GET', treeOf(xui))
      await attack.refuses(['UT_IMPU_NOT_OWNED'], 'GET', treeOf(ALICE), {
        headers: [`X-3GPP-Intended-Identity: "${xui}"`],
      })
    })
  }
  for (const [what, target] of Object.entries({
    'the tree': treeOf(BOB).replace('/users/', '/Users/'),
    'the tree, shouted': treeOf(BOB).replace('/users/', '/USERS/'),
    'the global tree': '/resource-lists/Global/index',
    'the AUID': treeOf(BOB, 'Resource-Lists'),
  })) {
    test(`of ${what}: refused`, () =>
      attack.refuses(['UT_REQUEST_MALFORMED', 'UT_TARGET_AMBIGUOUS', 'UT_TREE_NOT_OWNED'], 'PUT', target, {
        body: '<a/>',
      }))
  }
  for (const name of ['x-3gpp-asserted-identity', 'X-3GPP-ASSERTED-IDENTITY', 'x-3GpP-aSsErTeD-iDeNtItY']) {
    test(`of a header name: ${name} is refused`, () =>
      attack.refuses(['UT_IDENTITY_HEADER_FORBIDDEN'], 'GET', treeOf(ALICE), { headers: [`${name}: "${BOB}"`] }))
  }
  test('of an intended identity: the canonical one is asserted', async () => {
    await attack.letsThroughAsAlice('GET', treeOf(ALICE), {
      headers: [`x-3gpp-INTENDED-identity: "SIP:alice@${shouted(HOST)}"`],
    })
  })
})
