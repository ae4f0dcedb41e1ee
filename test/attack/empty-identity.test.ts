import { test } from 'node:test'
import { ALICE, BOB, throughEveryDoor, treeOf } from '../support/attacked.ts'

// An identity that is there and says nothing, so that a check may take it for absent and a server for anybody.
throughEveryDoor('an empty identity', (attack) => {
  const own = treeOf(ALICE)
  const EMPTY = [
    '',
    ' ',
    '""',
    '" "',
    '<>',
    "''",
    ',',
    '"",""',
    'sip:',
    '"sip:"',
    '"sip:@"',
    '"tel:"',
    '"tel:+"',
    '<sip:>',
  ]

  for (const value of EMPTY) {
    test(`as intended identity: ${JSON.stringify(value)}: refused`, async () => {
      for (const target of [own, treeOf(BOB)]) {
        for (const method of ['GET', 'PUT']) {
          await attack.refuses(['UT_IDENTITY_MALFORMED'], method, target, {
            headers: [`X-3GPP-Intended-Identity: ${value}`],
            ...(method === 'PUT' && { body: '<a/>' }),
          })
        }
      }
    })
    test(`as asserted identity: ${JSON.stringify(value)}: refused`, () =>
      attack.refuses(['UT_IDENTITY_HEADER_FORBIDDEN'], 'GET', own, { headers: [`X-3GPP-Asserted-Identity: ${value}`] }))
  }

  test('as XUI: refused', async () => {
    for (const xui of ['', '%20', 'sip:', 'sip:@', 'sip%3A', 'tel:', 'tel:+', '%22%22', '-', '*']) {
      await attack.refuses(['UT_TARGET_AMBIGUOUS', 'UT_REQUEST_MALFORMED', 'UT_TREE_NOT_OWNED'], 'GET', treeOf(xui))
    }
  })

  if (attack.signs) {
    test('as username: refused', async () => {
      for (const username of ['', ' ', '@', `@${attack.alice.btid.split('@')[1]}`]) {
        const codes = ['UA_BTID_MALFORMED', 'UA_CREDENTIALS_MALFORMED', 'UA_USERNAME_UNKNOWN'] as const
        await attack.refuses(codes, 'GET', own, { username })
      }
    })
  }
})
