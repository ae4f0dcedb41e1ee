import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  formatGussXml,
  formatUssListJson,
  formatUssListXml,
  type Guss,
  type KeyChoice,
  parseGussXml,
  parseUssListJson,
  parseUssListXml,
  type Uss,
} from '../../src/core/guss.ts'
import type { Impi, Impu } from '../../src/core/identity.ts'
import { vectors } from '../support/vectors.ts'

const golden = vectors<{ guss: string; ussList: string }>('diameter.json')
const { nbspGba } = vectors<{ nbspGba: { response: { ussList: { uss: object }[] } } }>('golden-flow.json')
const alice = 'sip:alice@ims.mnc001.mcc001.3gppnetwork.org' as Impu
const tel = 'tel:+15550100123' as Impu
const ussList: Uss[] = [{ gsid: 3, gsType: 3, uids: [alice, tel], flags: [1] }]
const guss: Guss = {
  impi: '001010123456789@ims.mnc001.mcc001.3gppnetwork.org' as Impi,
  uiccType: 'GBA',
  keyLifetimeS: 43_200,
  ussList,
}

const uint32 = fc.nat(0xffffffff)
const impu = fc.stringMatching(/^[a-zA-Z0-9]{1,12}$/).map((user) => `sip:${user}@example.com` as Impu)
const keyChoice = fc.constantFrom<KeyChoice[]>('ME_BASED_KEY', 'UICC_BASED_KEY', 'ME_UICC_BASED_KEYS')
const anUss = (minUids: number): fc.Arbitrary<Uss> =>
  fc
    .record(
      {
        ...{
          gsid: uint32,
          gsType: uint32,
          uids: fc.uniqueArray(impu, { minLength: minUids }),
          flags: fc.array(uint32),
        },
        ...{ nafGroup: fc.string({ unit: 'grapheme' }), keyChoice },
      },
      { requiredKeys: ['gsid', 'gsType', 'uids', 'flags'], noNullPrototype: true },
    )
    .map((uss) => uss as Uss)
const aGuss: fc.Arbitrary<Guss> = fc
  .record(
    {
      ...{ impi: fc.constant(guss.impi), uiccType: fc.constantFrom('GBA', 'GBA_U') },
      ...{ keyLifetimeS: fc.integer({ min: 1, max: 9_999_999_999 }), ussList: fc.array(anUss(0), { maxLength: 4 }) },
    },
    { requiredKeys: ['impi', 'uiccType', 'ussList'], noNullPrototype: true },
  )
  .map((value) => value as Guss)

describe('parseGussXml', () => {
  test('reads the golden document', () => assert.deepEqual(parseGussXml(golden.guss), guss))

  test('reads back whatever was written', () => {
    fc.assert(fc.property(aGuss, (value) => assert.deepEqual(parseGussXml(formatGussXml(value)), value)))
  })

  const short = `<guss id="${guss.impi}">`
  for (const [name, text, expected] of [
    ['with no namespace', golden.guss.replace(/ xmlns="[^"]*"/, ''), guss],
    ['with the namespace of another release', golden.guss.replace('R9:2010-02', 'R7:2007-01'), guss],
    ['with prefixed names', golden.guss.replace(/<(\/?)(?=[a-z])/g, '<$1p:').replace(' xmlns=', ' xmlns:p='), guss],
    ['laid out in lines', golden.guss.replace(/(?<=>)(?=<)|(?<=<uid>)|(?=<\/uid>)/g, '\n  '), guss],
    ['with elements of a later release', golden.guss.replace(/<(uid|flag|uss)s?(List)?>/g, '<new>x</new>$&'), guss],
    ['without bsfInfo', `${short}<ussList/></guss>`, { impi: guss.impi, uiccType: 'GBA', ussList: [] }],
    ['without ussList', `${short}<bsfInfo/></guss>`, { impi: guss.impi, uiccType: 'GBA', ussList: [] }],
    ['of a GBA_U card', golden.guss.replace('>GBA<', '>GBA_U<'), { ...guss, uiccType: 'GBA_U' }],
  ] as const) {
    test(`reads a document ${name}`, () => {
      assert.notEqual(text, golden.guss)
      assert.deepEqual(parseGussXml(text), expected)
    })
  }

  for (const [name, from, to] of [
    ['of another name', /guss(?=[ >])/g, 'gus'],
    ['without IMPI', / id="0[^"]*"/, ''],
    ['with an IMPI that is none', / id="0[^"]*"/, ' id="alice"'],
    ['with a lifetime that is no number', '43200', '12h'],
    ['with a lifetime of zero', '43200', '0'],
    ['with a negative lifetime', '43200', '-1'],
    ['with a lifetime without end', '43200', '9'.repeat(11)],
    ['with two lifetimes', /(<lifeTime>.*<\/lifeTime>)/, '$1$1'],
    ['with a kind of card that it does not know', '>GBA<', '>gba<'],
    ['with two bsfInfos', '<ussList>', '<bsfInfo/><ussList>'],
    ['with two ussLists', '</guss>', '<ussList/></guss>'],
    ['with a USS that has no id', ' id="3"', ''],
    ['with a USS whose id is no number', ' id="3"', ' id="presence"'],
    ['with a USS whose id is beyond 32 bits', ' id="3"', ' id="4294967296"'],
    ['with a USS that has no type', ' type="3"', ''],
    ['with a USS whose type is no number', ' type="3"', ' type="0x3"'],
    ['with two lists of identities in a USS', '<uids>', '<uids/><uids>'],
    ['with two lists of flags in a USS', '<flags>', '<flags/><flags>'],
    ['with a flag that is no number', '<flag>1', '<flag>one'],
    ['with an empty flag', '<flag>1', '<flag>'],
    ['with elements in an identity', 'sip:alice', 'sip:<b/>alice'],
    ['with a key choice that it does not know', '<uids>', '<keyChoice>ANY</keyChoice><uids>'],
    ['with a DOCTYPE', '<guss', '<!DOCTYPE guss><guss'],
    ['that is cut off', '</guss>', ''],
    ['over 256 KiB', '<guss', `<!--${' '.repeat(256 * 1024)}--><guss`],
  ] as const) {
    test(`refuses a document ${name}`, () => {
      const text = golden.guss.replace(from, to)
      assert.notEqual(text, golden.guss)
      assert.equal(parseGussXml(text), undefined)
    })
  }
})

describe('the identities of a USS', () => {
  const read = (...uids: string[]) =>
    parseUssListXml(
      `<ussList><uss id="1" type="2"><uids>${uids.map((uid) => `<uid>${uid}</uid>`).join('')}</uids></uss></ussList>`,
    )?.[0]

  test('are brought to the form in which identities are compared', () => {
    assert.deepEqual(read('SIP:Alice@Example.COM')?.uids, ['sip:Alice@example.com'])
  })

  test('keep their order, each once', () => {
    assert.deepEqual(read(tel, alice, tel, alice.replace('ims', 'IMS'))?.uids, [tel, alice])
  })

  test('leave out what is none, and count it', () => {
    const uss = read('alice', alice, '', 'mailto:alice@example.com')
    assert.deepEqual([uss?.uids, uss?.droppedUids], [[alice], 3])
    assert.equal(read(alice)?.droppedUids, undefined)
  })

  test('keep a wildcarded one as an identity that equals only itself', () => {
    assert.deepEqual(read('sip:chatlist!.*!@example.com')?.uids, ['sip:chatlist!.*!@example.com'])
  })

  test('may be missing', () => {
    assert.deepEqual(parseUssListXml('<ussList><uss id="1" type="2"/></ussList>'), [
      { gsid: 1, gsType: 2, uids: [], flags: [] },
    ])
  })
})

describe('parseUssListXml', () => {
  test('reads the golden list', () => assert.deepEqual(parseUssListXml(golden.ussList), ussList))
  test('refuses a GUSS, which is another document', () => assert.equal(parseUssListXml(golden.guss), undefined))

  test('reads back whatever was written', () => {
    const list = fc.array(anUss(0), { maxLength: 4 })
    fc.assert(fc.property(list, (value) => assert.deepEqual(parseUssListXml(formatUssListXml(value)), value)))
  })

  test('keeps two USSs of one GSID apart, as NAF groups need them', () => {
    const list = '<ussList><uss id="3" type="3" nafGroup="a"/><uss id="3" type="3" nafGroup="b"/></ussList>'
    assert.deepEqual(
      parseUssListXml(list)?.map(({ nafGroup }) => nafGroup),
      ['a', 'b'],
    )
  })

  test('reads a key choice in the spellings of XML and JSON alike', () => {
    const of = (text: string) =>
      parseUssListXml(`<ussList><uss id="3" type="3"><keyChoice>${text}</keyChoice></uss></ussList>`)?.[0]?.keyChoice
    assert.equal(of('ME_UICC_BASED_KEYS'), 'ME_UICC_BASED_KEYS')
    assert.equal(of('UICC-based key'), 'UICC_BASED_KEY')
  })
})

describe('formatGussXml and formatUssListXml', () => {
  test('write the golden documents octet for octet', () => {
    assert.equal(formatGussXml(guss), golden.guss)
    assert.equal(formatUssListXml(ussList), golden.ussList)
  })
})

describe('parseUssListJson', () => {
  const { ussList: json } = nbspGba.response

  test('reads the golden list', () => assert.deepEqual(parseUssListJson(json), ussList))
  test('reads an empty list', () => assert.deepEqual(parseUssListJson([]), []))

  test('reads back whatever was written', () => {
    const list = fc.array(anUss(1), { maxLength: 4 })
    const sent = (value: readonly Uss[]): unknown => JSON.parse(JSON.stringify(formatUssListJson(value)))
    fc.assert(fc.property(list, (value) => assert.deepEqual(parseUssListJson(sent(value)), value)))
  })

  test('ignores members that it does not know', () => {
    assert.deepEqual(parseUssListJson([{ uss: { ...json[0]?.uss, new: 1 }, newer: 2 }]), ussList)
  })

  for (const [name, change] of [
    ['no gsId', { gsId: undefined }],
    ['a gsId in text', { gsId: '3' }],
    ['a negative gsId', { gsId: -1 }],
    ['a gsId with a fraction', { gsId: 3.5 }],
    ['a gsId beyond 32 bits', { gsId: 2 ** 32 }],
    ['a gsType that is no number', { gsType: null }],
    ['no ueIds', { ueIds: undefined }],
    ['ueIds that are no list', { ueIds: { ueId: alice } }],
    ['a ueId without its object', { ueIds: [alice] }],
    ['a ueId that is no text', { ueIds: [{ ueId: 1 }] }],
    ['flags that are no list', { flags: { flag: 1 } }],
    ['a flag in text', { flags: [{ flag: '1' }] }],
    ['a nafGroup that is no text', { nafGroup: 1 }],
    ['a keyChoice that it does not know', { keyChoice: 'ANY' }],
    ['a keyChoice named as a property of every object', { keyChoice: 'toString' }],
  ] as const) {
    test(`refuses a USS with ${name}`, () => {
      assert.equal(parseUssListJson([{ uss: { ...json[0]?.uss, ...change } }]), undefined)
    })
  }

  for (const value of [undefined, null, {}, 'x', [null], [{}], [{ uss: null }], [[]], [...json, 1], json[0]]) {
    test(`refuses ${JSON.stringify(value)}`, () => assert.equal(parseUssListJson(value), undefined))
  }

  test('never throws, whatever it is given', () => {
    fc.assert(fc.property(fc.jsonValue(), (value) => parseUssListJson(value) !== null))
  })
})

describe('formatUssListJson', () => {
  test('writes the golden list', () => assert.deepEqual(formatUssListJson(ussList), nbspGba.response.ussList))

  test('leaves out empty lists and USSs without identities, which the schema has not', () => {
    const [bare, none] = [
      { gsid: 1, gsType: 2, uids: [alice], flags: [] },
      { gsid: 4, gsType: 4, uids: [], flags: [1] },
    ]
    assert.deepEqual(formatUssListJson([bare, none]), [{ uss: { gsId: 1, gsType: 2, ueIds: [{ ueId: alice }] } }])
  })
})
