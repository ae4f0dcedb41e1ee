import { test } from 'node:test'
import { LAB_NAF } from '../../src/lab.ts'
import { ALICE, BOB, throughEveryDoor, treeOf } from '../support/attacked.ts'

// A dot at the end is nothing to a resolver or a file system, and something to whoever compares texts.
const [, HOST = ''] = ALICE.split('@')
const DOTS = ['.', '..', '...', '%2e', '%2E%2e', '.%2e', '%20.', '.%20', '%EF%BC%8E']
const REFUSALS = ['UT_TREE_NOT_OWNED', 'UT_TARGET_AMBIGUOUS', 'UT_REQUEST_MALFORMED'] as const

throughEveryDoor('dots at the end', (attack) => {
  for (const dots of DOTS) {
    test(`${dots} behind an identity in the path: refused`, async () => {
      for (const xui of [`${BOB}${dots}`, `${ALICE}${dots}`, `sip:alice${dots}@${HOST}`, `sip:${dots}alice@${HOST}`]) {
        await attack.refuses(REFUSALS, 'GET', treeOf(xui))
      }
    })
    test(`${dots} behind a document, an AUID or a tree: refused`, async () => {
      for (const target of [
        `${treeOf(ALICE)}${dots}`,
        treeOf(ALICE, `resource-lists${dots}`),
        treeOf(BOB).replace('/users/', `/users${dots}/`),
        `/resource-lists/global${dots}/index`,
        `${treeOf(ALICE)}/${dots}`,
        `/resource-lists/users/${ALICE}/${dots}/${BOB}/index`,
      ]) {
        await attack.refuses(REFUSALS, 'GET', target)
      }
    })
  }
  test('behind an intended identity: refused', async () => {
    for (const value of [
      `${ALICE}.`,
      `${ALICE}..`,
      `${BOB}.`,
      `sip:alice.@${HOST}`,
      `sip:alice@.${HOST}`,
      `sip:.alice@${HOST}`,
    ]) {
      for (const written of [`"${value}"`, `<${value}>`, value]) {
        await attack.refuses(['UT_IDENTITY_MALFORMED', 'UT_IMPU_NOT_OWNED'], 'GET', treeOf(ALICE), {
          headers: [`X-3GPP-Intended-Identity: ${written}`],
        })
      }
    }
  })
  test('behind the host: it is another name, or the same in everything that follows from it', () =>
    attack.refuses(['UA_NAF_UNKNOWN', 'UA_SNI_MISMATCH', 'UT_REQUEST_MALFORMED'], 'GET', treeOf(BOB), {
      host: `${LAB_NAF}..`,
    }))
})
