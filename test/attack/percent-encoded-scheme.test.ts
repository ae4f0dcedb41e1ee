import { test } from 'node:test'
import { ALICE, BOB, throughEveryDoor, treeOf } from '../support/attacked.ts'

// A scheme in escapes: one program decodes before it compares, the other does not.
const REFUSALS = ['UT_TREE_NOT_OWNED', 'UT_TARGET_AMBIGUOUS', 'UT_REQUEST_MALFORMED'] as const
const [, BOBS = ''] = BOB.split(':')
const [, ALICES = ''] = ALICE.split(':')

throughEveryDoor('a percent-encoded scheme', (attack) => {
  for (const scheme of [
    ...['%73ip:', 's%69p:', 'si%70:', '%73%69%70:', '%53IP:', 'sip%3A', 'sip%3a', '%73ip%3A', 'sip%253A', '%2573ip:'],
    ...[
      'sips:',
      '%73ips:',
      'sip%3Asip:',
      'sip:sip%3A',
      'tel%3A',
      '%74el:',
      'im:',
      'pres:',
      'mailto%3A',
      'http%3A%2F%2F',
    ],
  ]) {
    test(`${scheme} in front of bob, in the path: refused`, async () => {
      for (const method of ['GET', 'PUT']) {
        const body = method === 'PUT' ? { body: '<a/>' } : {}
        await attack.refuses(REFUSALS, method, treeOf(`${scheme}${BOBS}`), body)
        await attack.refuses(REFUSALS, method, treeOf(`${scheme}${BOBS.replace('@', '%40')}`), body)
      }
    })
    test(`${scheme} in front of bob, as intended identity: refused`, async () => {
      for (const value of [`"${scheme}${BOBS}"`, `<${scheme}${BOBS}>`, `${scheme}${BOBS}`]) {
        await attack.refuses(['UT_IDENTITY_MALFORMED', 'UT_IMPU_NOT_OWNED'], 'GET', treeOf(ALICE), {
          headers: [`X-3GPP-Intended-Identity: ${value}`],
        })
      }
    })
  }

  test('of the own tree, with its delimiters in escapes: it is the own tree, octet for octet, and alice is asserted', async () => {
    for (const xui of [`sip%3A${ALICES}`, `sip%3a${ALICES.replace('@', '%40')}`, `sip:${ALICES.replace('@', '%40')}`]) {
      await attack.letsThroughAsAlice('GET', treeOf(xui))
    }
  })
  test('of the own tree, with a letter in escapes: refused, for nobody needs that', async () => {
    for (const xui of [`%73ip:${ALICES}`, `sip:%61${ALICES.slice(1)}`]) {
      await attack.refuses(['UT_TARGET_AMBIGUOUS'], 'GET', treeOf(xui))
    }
  })
})
