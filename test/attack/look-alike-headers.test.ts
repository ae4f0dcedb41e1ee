import { test } from 'node:test'
import { ALICE, BOB, throughEveryDoor, treeOf } from '../support/attacked.ts'

// A header whose name a CGI-like server takes for the identity header, because it turns every sign into `_`.
const NAMES = [
  'X-3GPP-Asserted-Identity',
  'X-XCAP-Asserted-Identity',
  'P-Asserted-Identity',
  'X-3GPP-Authorization-Flags',
]
const SPELLINGS: Readonly<Record<string, (name: string) => string>> = {
  'with underscores': (name) => name.replaceAll('-', '_'),
  'with one underscore': (name) => name.replace('-', '_'),
  'with the last one an underscore': (name) => name.replace(/-(?=[^-]*$)/, '_'),
  'with dots': (name) => name.replaceAll('-', '.'),
  'with nothing in between': (name) => name.replaceAll('-', ''),
  'with two hyphens': (name) => name.replaceAll('-', '--'),
  'with a sign at the end': (name) => `${name}_`,
  'with a sign at the start': (name) => `-${name}`,
  'with plus signs and tildes': (name) => name.replaceAll('-', '+').replace('+', '~'),
}

throughEveryDoor('a header that looks like an identity header', (attack) => {
  const own = treeOf(ALICE)
  for (const [what, spell] of Object.entries(SPELLINGS)) {
    test(`${what}: refused, whatever it says and in whatever letter case`, async () => {
      for (const name of [...NAMES, 'X-3GPP-Intended-Identity'].map(spell)) {
        for (const value of [`"${BOB}"`, `"${ALICE}"`, '']) {
          for (const spelt of [name, name.toUpperCase(), name.toLowerCase()]) {
            await attack.refuses(['UT_IDENTITY_HEADER_FORBIDDEN'], 'GET', own, { headers: [`${spelt}: ${value}`] })
          }
        }
      }
    })
  }

  test('with white space before its colon: no header at all, and refused', async () => {
    for (const name of NAMES) {
      for (const space of [' ', '\t', '  ']) {
        await attack.refuses(['UT_REQUEST_MALFORMED'], 'GET', own, { headers: [`${name}${space}: "${BOB}"`] })
      }
    }
  })

  test('and tells another user in other ways: left out', async () => {
    const headers = [
      'X-3GPP-Asserted-Identity-2',
      'X-3GPP-Asserted',
      'X_3GPP_Foo',
      'X-XCAP-User',
      'P-Preferred-Identity',
      'Remote-User',
      'X-Remote-User',
      'X_Forwarded_User',
      'X-MSISDN',
      'X-IMSI',
      'Forwarded',
      'HTTP_X_3GPP_ASSERTED_IDENTITY',
    ].map((name) => `${name}: "${BOB}"`)
    await attack.letsThroughAsAlice('GET', own, { headers })
  })
})
