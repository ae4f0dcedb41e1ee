import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { toHex } from '../../src/core/bytes.ts'
import type { Uss } from '../../src/core/guss.ts'
import { btidOf, type Fqdn, type Impi, type Impu, parseFqdn } from '../../src/core/identity.ts'
import type { UaProtocolId } from '../../src/core/naf-id.ts'
import { Secret } from '../../src/core/secret.ts'
import { formatBia, formatBir, parseBia, parseBir } from '../../src/zn/nbsp-gba.ts'
import type { Bia, Bir } from '../../src/zn/port.ts'
import { vectors } from '../support/vectors.ts'

type Json = Record<string, unknown>
const { nbspGba } = vectors<{ nbspGba: Record<'request' | 'response', Json> }>('golden-flow.json')
const NOW = Date.parse('2026-11-21T12:00:00Z')

const overTheWire = (value: unknown): unknown => JSON.parse(JSON.stringify(value))
/** A BIA with its keys in the open, for assert.deepEqual. */
const shown = (bia: Bia | undefined) =>
  bia && { ...bia, ksNaf: toHex(bia.ksNaf.expose()), ksIntNaf: bia.ksIntNaf && toHex(bia.ksIntNaf.expose()) }

describe('the golden exchange', () => {
  test('begins with the golden request, written and read', () => {
    const bir = parseBir(nbspGba.request)
    assert.ok(bir)
    assert.deepEqual(overTheWire(formatBir(bir)), nbspGba.request)
  })

  test('ends with the golden response, read', () => {
    assert.deepEqual(shown(parseBia(nbspGba.response, NOW, 1)), {
      ksNaf: '1b1864e473732e8d221187a496a2104870043ab3014cc669fd55cb9eccc21f46',
      ksIntNaf: undefined,
      expiresAt: Date.parse('2026-11-21T22:00:00Z'),
      bootstrappedAt: Date.parse('2026-11-21T10:00:00Z'),
      gbaType: '3G_GBA',
      ussList: [
        { gsid: 3, gsType: 3, uids: ['sip:alice@ims.mnc001.mcc001.3gppnetwork.org', 'tel:+15550100123'], flags: [1] },
      ],
      impi: '001010123456789@ims.mnc001.mcc001.3gppnetwork.org',
    })
  })

  test('ends with the golden response, written: instants apart, octet for octet', () => {
    const bia = parseBia(nbspGba.response, NOW, 1)
    assert.ok(bia)
    const written = overTheWire(formatBia(bia)) as Json
    const instants = ['keyExpiryTime', 'bootstrappingInfoCreationTime']
    for (const name of instants)
      assert.equal(Date.parse(String(written[name])), Date.parse(String(nbspGba.response[name])))
    const rest = (value: Json) => Object.entries(value).filter(([name]) => !instants.includes(name))
    assert.deepEqual(rest(written), rest(nbspGba.response))
  })
})

const octets = (length: number) => fc.uint8Array({ minLength: length, maxLength: length })
const fqdns = fc.domain().map((name) => parseFqdn(name) ?? ('a.example.org' as Fqdn))
const uint32 = fc.nat(0xffff_ffff)
const instants = fc.date({ min: new Date(0), max: new Date('9999-12-31T23:59:59.999Z'), noInvalidDate: true })

describe('what is written is read as it was', () => {
  const birs: fc.Arbitrary<Bir> = fc.record(
    {
      btid: fc.tuple(octets(16), fqdns).map(([rand, bsf]) => btidOf(rand, bsf)),
      nafFqdn: fqdns,
      uaProtocolId: octets(5).map((id) => toHex(id) as UaProtocolId),
      gsids: fc.array(uint32, { maxLength: 64 }),
      gbaUAware: fc.boolean(),
    },
    { noNullPrototype: true },
  )
  const usses: fc.Arbitrary<Uss> = fc.record(
    {
      gsid: uint32,
      gsType: uint32,
      uids: fc.uniqueArray(
        fc.nat(999).map((n) => `sip:user${n}@example.org` as Impu),
        { minLength: 1, maxLength: 5 },
      ),
      flags: fc.array(uint32, { maxLength: 5 }),
      nafGroup: fc.string(),
      keyChoice: fc.constantFrom('ME_BASED_KEY', 'UICC_BASED_KEY', 'ME_UICC_BASED_KEYS'),
    },
    { requiredKeys: ['gsid', 'gsType', 'uids', 'flags'], noNullPrototype: true },
  )
  const bias: fc.Arbitrary<Bia> = fc.record(
    {
      ksNaf: octets(32).map((key) => new Secret(key)),
      ksIntNaf: octets(32).map((key) => new Secret(key)),
      expiresAt: instants.map((date) => date.getTime()),
      bootstrappedAt: instants.map((date) => date.getTime()),
      gbaType: fc.constantFrom('3G_GBA', '2G_GBA', 'GBA_DIGEST'),
      ussList: fc.array(usses, { maxLength: 4 }),
      impi: fc.nat(999).map((n) => `${n}@ims.example.org` as Impi),
    },
    { requiredKeys: ['ksNaf', 'expiresAt', 'bootstrappedAt', 'gbaType', 'ussList'], noNullPrototype: true },
  )

  test('in requests', () => {
    fc.assert(fc.property(birs, (bir) => assert.deepEqual(parseBir(overTheWire(formatBir(bir))), bir)))
  })

  test('in answers', () => {
    fc.assert(
      fc.property(bias, (bia) => {
        assert.deepEqual(shown(parseBia(overTheWire(formatBia(bia)), NOW, 1)), shown({ ...bia }))
      }),
    )
  })

  test('but for a setting without identities, which the schema has no form for', () => {
    const bia = parseBia(nbspGba.response, NOW, 1)
    assert.ok(bia)
    const none: Uss = { gsid: 3, gsType: 3, uids: [], flags: [] }
    assert.equal('ussList' in formatBia({ ...bia, ussList: [none] }), false)
    assert.deepEqual(formatBia({ ...bia, ussList: [none, ...bia.ussList] }), formatBia(bia))
  })
})

test('any JSON at all is read or refused, and never throws', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      assert.equal(parseBir(value), undefined)
      assert.equal(parseBia(value, NOW, 1), undefined)
    }),
  )
})

describe('a request is malformed', () => {
  const nafId = nbspGba.request.nafId as Json
  for (const [why, value] of [
    ['that is no object', [nbspGba.request]],
    ['that is null', null],
    ['without btId', { ...nbspGba.request, btId: undefined }],
    ['with a btId that is a number', { ...nbspGba.request, btId: 1 }],
    ['with a btId that is no B-TID', { ...nbspGba.request, btId: 'alice@example.org' }],
    ['without nafId', { ...nbspGba.request, nafId: undefined }],
    ['with a nafId that is a list', { ...nbspGba.request, nafId: [] }],
    ['without nafFqdn', { ...nbspGba.request, nafId: { uaSecProtId: nafId.uaSecProtId } }],
    ['with a nafFqdn that is no name', { ...nbspGba.request, nafId: { ...nafId, nafFqdn: 'a b' } }],
    ['without uaSecProtId', { ...nbspGba.request, nafId: { nafFqdn: nafId.nafFqdn } }],
    ['with a uaSecProtId of 4 octets', { ...nbspGba.request, nafId: { ...nafId, uaSecProtId: '01000100' } }],
    ['with a uaSecProtId that is no hex', { ...nbspGba.request, nafId: { ...nafId, uaSecProtId: '010001c02g' } }],
    ['with gsIds that is empty', { ...nbspGba.request, gsIds: [] }],
    ['with gsIds that is a number', { ...nbspGba.request, gsIds: 3 }],
    ['with gsIds that is null', { ...nbspGba.request, gsIds: null }],
    ['with a GSID that is text', { ...nbspGba.request, gsIds: ['3'] }],
    ['with a GSID below 0', { ...nbspGba.request, gsIds: [-1] }],
    ['with a GSID over 32 bits', { ...nbspGba.request, gsIds: [2 ** 32] }],
    ['with a GSID between numbers', { ...nbspGba.request, gsIds: [1.5] }],
    ['with more GSIDs than anybody needs', { ...nbspGba.request, gsIds: Array.from({ length: 65 }, (_, n) => n) }],
    ['with gbaUAware that is text', { ...nbspGba.request, gbaUAware: 'true' }],
  ] as const) {
    test(why, () => assert.equal(parseBir(value), undefined))
  }

  test('not by a member that we do not know', () => {
    assert.deepEqual(parseBir({ ...nbspGba.request, supportedFeatures: '0' }), parseBir(nbspGba.request))
  })

  test('not without gsIds and gbaUAware, which then are none and false', () => {
    const { gsIds: _, gbaUAware: __, ...rest } = nbspGba.request
    const bir = parseBir(rest)
    assert.deepEqual([bir?.gsids, bir?.gbaUAware], [[], false])
  })
})

describe('an answer is malformed', () => {
  const key = String(nbspGba.response.meKeyMaterial)
  for (const [why, changes] of [
    ['without a key', { meKeyMaterial: undefined }],
    ['with half a key', { meKeyMaterial: key.slice(32) }],
    ['with a key and a half', { meKeyMaterial: key + key }],
    ['with a key that is no hex', { meKeyMaterial: `${key.slice(1)}g` }],
    ['with a key with a line end', { meKeyMaterial: `${key}\n` }],
    ['with half a UICC key', { uiccKeyMaterial: key.slice(32) }],
    ['with a UICC key that is null', { uiccKeyMaterial: null }],
    ['with an expiry that is a number', { keyExpiryTime: 1_795_298_400_000 }],
    ['with an expiry without zone', { keyExpiryTime: '2026-11-21T22:00:00' }],
    ['with an expiry that is a day', { keyExpiryTime: '2026-11-21' }],
    ['with an expiry of a zone that is none', { keyExpiryTime: '2026-11-21T22:00:00+99:99' }],
    ['with an expiry in no month', { keyExpiryTime: '2026-13-21T22:00:00Z' }],
    ['with an expiry on a day that no calendar has', { keyExpiryTime: '2026-02-31T22:00:00Z' }],
    ['with an expiry that is null', { keyExpiryTime: null }],
    ['with a creation time that is none', { bootstrappingInfoCreationTime: 'yesterday' }],
    ['with settings that are no list', { ussList: {} }],
    ['with settings of another shape', { ussList: [{ gsId: 3 }] }],
    ['with a private identity that is none', { impi: 'alice' }],
    ['with a private identity that is a number', { impi: 1 }],
    ['with a GBA type that we do not know', { gbaType: 'GBA_PUSH' }],
    ['with a GBA type that is null', { gbaType: null }],
  ] as const) {
    test(why, () => assert.equal(parseBia({ ...nbspGba.response, ...changes }, NOW, 1), undefined))
  }

  test('not by a member that we do not know', () => {
    const value = { ...nbspGba.response, supportedFeatures: '0' }
    assert.deepEqual(shown(parseBia(value, NOW, 1)), shown(parseBia(nbspGba.response, NOW, 1)))
  })

  test('not with a key alone: its life is then the one we assume', () => {
    const bia = parseBia({ meKeyMaterial: key.toUpperCase() }, NOW, 60_000)
    assert.deepEqual(shown(bia), {
      ksNaf: key,
      ksIntNaf: undefined,
      expiresAt: NOW + 60_000,
      bootstrappedAt: NOW,
      gbaType: '3G_GBA',
      ussList: [],
    })
  })

  for (const [text, instant] of [
    ['2026-11-21T23:00:00+01:00', '2026-11-21T22:00:00Z'],
    ['2026-11-21T22:00:00.5Z', '2026-11-21T22:00:00.500Z'],
    ['2028-02-29T00:30:00+01:00', '2028-02-28T23:30:00Z'],
  ] as const) {
    test(`not with an instant like ${text}`, () => {
      const bia = parseBia({ ...nbspGba.response, keyExpiryTime: text }, NOW, 1)
      assert.equal(bia?.expiresAt, Date.parse(instant))
    })
  }
})
