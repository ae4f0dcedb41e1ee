import { test } from 'node:test'
import { ALICE, BOB, throughEveryDoor, treeOf } from '../support/attacked.ts'

// An octet at which one program ends a text, or begins a header of its own, and another reads on.
const CONTROLS = [0, 1, 7, 8, 9, 10, 11, 12, 13, 0x1b, 0x1f, 0x7f]
const nameOf = (octet: number) => `0x${octet.toString(16).padStart(2, '0')}`
const escaped = (octet: number) => `%${octet.toString(16).padStart(2, '0')}`

throughEveryDoor('a control character', (attack) => {
  const own = treeOf(ALICE)

  for (const octet of CONTROLS) {
    const sign = String.fromCharCode(octet)
    test(`${nameOf(octet)} in an intended identity: refused`, async () => {
      for (const value of [
        `"${ALICE}${sign}"`,
        `"${ALICE}${sign}${BOB}"`,
        `"${ALICE}"${sign}"${BOB}"`,
        `"sip:${sign}alice"`,
      ]) {
        await attack.refuses(['UT_IDENTITY_MALFORMED', 'UT_REQUEST_MALFORMED'], 'GET', own, {
          headers: [`X-3GPP-Intended-Identity: ${value}`],
        })
      }
    })
    test(`${nameOf(octet)} in a target, raw or escaped: refused`, async () => {
      for (const text of [sign, escaped(octet), escaped(octet).toUpperCase()]) {
        for (const target of [
          treeOf(`${ALICE}${text}`),
          treeOf(`${BOB}${text}${ALICE}`),
          `${own}${text}`,
          `${own}?x=${text}`,
        ]) {
          const octets = Buffer.from(
            (await attack.alice.signed('GET', 'TARGET')).toString('latin1').replace('GET TARGET', `GET ${target}`),
            'latin1',
          )
          await attack.refusesOctets(['UT_TARGET_AMBIGUOUS', 'UT_REQUEST_MALFORMED'], octets)
        }
      }
    })
    test(`${nameOf(octet)} in any other header: refused or left out, and no header comes out of it`, async () => {
      const value = `a${sign}X-3GPP-Asserted-Identity: "${BOB}"`
      const headers = [`X-Vendor: ${value}`]
      if (octet === 9) {
        // A tab is white space: the value passes as a value.
        await attack.refuses(['UT_IDENTITY_HEADER_FORBIDDEN'], 'GET', own, {
          headers: [`X-Vendor: a`, `X-3GPP-Asserted-Identity:${sign}"${BOB}"`],
        })
        return
      }
      await attack.refuses(['UT_REQUEST_MALFORMED', 'UT_IDENTITY_HEADER_FORBIDDEN'], 'GET', own, { headers })
    })
  }

  test('a line end in the middle of a header begins a header, which is refused like any other', () =>
    attack.refuses(['UT_IDENTITY_HEADER_FORBIDDEN'], 'GET', own, {
      headers: [`X-Vendor: a\r\nX-3GPP-Asserted-Identity: "${BOB}"`],
    }))
  test('a folded line is refused', async () => {
    for (const fold of ['\r\n ', '\r\n\t']) {
      await attack.refuses(['UT_REQUEST_MALFORMED', 'UT_IDENTITY_MALFORMED'], 'GET', own, {
        headers: [`X-3GPP-Intended-Identity: "${ALICE}"${fold}"${BOB}"`],
      })
    }
  })
})
