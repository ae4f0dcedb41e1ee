import { test } from 'node:test'
import { ALICE, BOB, throughEveryDoor, treeOf } from '../support/attacked.ts'

// Letters that look like others, or become them when a program normalises, folds or drops what it does not know.
const [, HOST = ''] = ALICE.split('@')
const TRICKS: Readonly<Record<string, readonly string[]>> = {
  'Cyrillic letters': [`sip:\u0430lice@${HOST}`, `sip:b\u043eb@${HOST}`, `sip:alice@${HOST.replace('o', '\u043e')}`],
  'fullwidth letters': [`sip:\uff41lice@${HOST}`, `sip:\uff42ob@${HOST}`, `\uff53ip:bob@${HOST}`],
  'fullwidth delimiters': [`sip:bob\uff20${HOST}`, `sip\uff1abob@${HOST}`, `sip:alice@x\uff0f..\uff0f${BOB}`],
  'a dotless i and a long s': [`sip:al\u0131ce@${HOST}`, `\u017fip:bob@${HOST}`, `sip:al\u0130ce@${HOST}`],
  'a Kelvin sign': [`sip:bob@${HOST.replace('k', '\u212a')}`],
  'combining marks': [`sip:a\u0300lice@${HOST}`, `sip:bob\u0307@${HOST}`],
  'invisible letters': [
    `sip:ali\u00adce@${HOST}`,
    `sip:b\u200bob@${HOST}`,
    `sip:\ufeffbob@${HOST}`,
    `sip:bob\u2060@${HOST}`,
  ],
  'a change of direction': [`sip:\u202ebob@${HOST}`, `sip:bob\u200f@${HOST}`],
  'ideographic dots': [`sip:alice@ims\u3002mnc001.mcc001.3gppnetwork.org`, `sip:bob@${HOST.replaceAll('.', '\uff0e')}`],
  'digits of other scripts': ['tel:+1555010000\u0662', 'tel:+1555010000\uff12', 'tel:\uff0b15550100002'],
  'octets that are no UTF-8': ['sip:bob\xff', '\xc0\xaesip:bob', 'sip:b\xc1\xafb'],
}
const REFUSALS = ['UT_TREE_NOT_OWNED', 'UT_TARGET_AMBIGUOUS', 'UT_REQUEST_MALFORMED'] as const

throughEveryDoor('letters that look like others', (attack) => {
  const own = treeOf(ALICE)
  const octetsOf = (trick: string, text: string) =>
    trick === 'octets that are no UTF-8' ? Buffer.from(text, 'latin1') : Buffer.from(text)

  for (const [trick, texts] of Object.entries(TRICKS)) {
    test(`${trick}, escaped in the path: refused`, async () => {
      for (const text of texts) {
        const escaped = [...octetsOf(trick, text)]
          .map((octet) => (octet < 0x80 ? String.fromCharCode(octet) : `%${octet.toString(16)}`))
          .join('')
        await attack.refuses(REFUSALS, 'GET', treeOf(escaped))
        await attack.refuses(REFUSALS, 'PUT', treeOf(escaped.toUpperCase().replace('SIP', 'sip')), { body: '<a/>' })
      }
    })
    test(`${trick}, raw in the path: refused`, async () => {
      for (const text of texts) {
        const signed = await attack.alice.signed('GET', 'TARGET')
        const head = signed
          .toString('latin1')
          .replace('GET TARGET', `GET ${treeOf(octetsOf(trick, text).toString('latin1'))}`)
        await attack.refusesOctets(REFUSALS, Buffer.from(head, 'latin1'))
      }
    })
    test(`${trick}, as intended identity: refused`, async () => {
      for (const text of texts) {
        const value = octetsOf(trick, text).toString('latin1')
        for (const written of [`"${value}"`, `<${value}>`, value]) {
          await attack.refuses(['UT_IDENTITY_MALFORMED', 'UT_IMPU_NOT_OWNED'], 'GET', own, {
            headers: [`X-3GPP-Intended-Identity: ${written}`],
          })
        }
      }
    })
  }

  test('in a header name: no header, and refused', async () => {
    for (const name of [
      'X-3GPP-Asserted-\u0406dentity',
      'X\u20103GPP-Asserted-Identity',
      'X-3GPP-Asserted-Identity\u200b',
    ]) {
      const octets = Buffer.from(name).toString('latin1')
      await attack.refuses(['UT_REQUEST_MALFORMED'], 'GET', own, { headers: [`${octets}: "${BOB}"`] })
    }
  })
  test('in quotation marks that are none: refused', () =>
    attack.refuses(['UT_IDENTITY_MALFORMED', 'UT_IMPU_NOT_OWNED'], 'GET', own, {
      headers: [`X-3GPP-Intended-Identity: ${Buffer.from(`\u201c${ALICE}\u201d`).toString('latin1')}`],
    }))
})
