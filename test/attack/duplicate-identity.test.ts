import { test } from 'node:test'
import { ALICE, BOB, throughEveryDoor, treeOf } from '../support/attacked.ts'

// A header is sent twice, in the hope that the proxy checks one of them and the server believes the other.
throughEveryDoor('an identity that is there twice', (attack) => {
  const own = treeOf(ALICE)
  const intended = 'X-3GPP-Intended-Identity'

  for (const [name, headers] of Object.entries({
    'the own one first': [`${intended}: "${ALICE}"`, `${intended}: "${BOB}"`],
    'the own one last': [`${intended}: "${BOB}"`, `${intended}: "${ALICE}"`],
    'both the own': [`${intended}: "${ALICE}"`, `${intended}: "${ALICE}"`],
    'in two letter cases': [`${intended}: "${ALICE}"`, `${intended.toLowerCase()}: "${BOB}"`],
    'one of them empty': [`${intended}: "${ALICE}"`, `${intended}:`],
    'with others in between': [`${intended}: "${ALICE}"`, 'Accept: */*', `${intended}: "${BOB}"`],
    'in one line': [`${intended}: "${ALICE}", "${BOB}"`],
    'in one line, without quotation marks': [`${intended}: ${ALICE},${BOB}`],
    'in one line, in brackets': [`${intended}: <${ALICE}>, <${BOB}>`],
    'in one line, behind a semicolon': [`${intended}: "${ALICE}";"${BOB}"`],
  })) {
    test(`as intended identity, ${name}: refused`, () =>
      attack.refuses(['UT_IDENTITY_MALFORMED'], 'GET', own, { headers }))
  }

  for (const name of ['X-3GPP-Asserted-Identity', 'X-XCAP-Asserted-Identity', 'P-Asserted-Identity']) {
    test(`as ${name} beside the one that the proxy would write: refused`, async () => {
      for (const headers of [
        [`${name}: "${BOB}"`],
        [`${name}: "${ALICE}"`, `${name}: "${BOB}"`],
        [`${intended}: "${ALICE}"`, `${name}: "${BOB}"`],
      ]) {
        await attack.refuses(['UT_IDENTITY_HEADER_FORBIDDEN'], 'PUT', own, { headers, body: '<a/>' })
      }
    })
  }

  test('as a trailer behind the body: it goes no further than the proxy', async () => {
    const head = await attack.alice.signed('PUT', own, {
      headers: ['Transfer-Encoding: chunked', 'Trailer: X-3GPP-Asserted-Identity'],
    })
    const octets = Buffer.concat([head, Buffer.from(`4\r\n<a/>\r\n0\r\nX-3GPP-Asserted-Identity: "${BOB}"\r\n\r\n`)])
    await attack.letsThroughOctetsAsAlice('PUT', own, octets)
  })

  test('as a second Host, or Authorization: refused', async () => {
    await attack.refuses(['UT_REQUEST_MALFORMED', 'UA_NAF_UNKNOWN', 'UA_SNI_MISMATCH'], 'GET', own, {
      headers: ['Host: other.example.com'],
    })
    const headers = ['Authorization: Digest username="x"']
    // Who came in by the connection needs none, and is nobody else for it.
    if (attack.signs) await attack.refuses(['UA_CREDENTIALS_MALFORMED'], 'GET', own, { headers })
    else await attack.letsThroughAsAlice('GET', own, { headers })
  })
})
