import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { concat, utf8 } from '../../src/core/bytes.ts'
import type { Uss } from '../../src/core/guss.ts'
import type { Impi, Impu } from '../../src/core/identity.ts'
import { Secret } from '../../src/core/secret.ts'
import { decodeFetchedBia, encodeFetchedBia, type FetchedBia } from '../../src/zn/bia-record.ts'
import type { Bia } from '../../src/zn/port.ts'

/** Every member present, so that one that the record forgets shows. */
const uss: Required<Uss> = {
  gsid: 2,
  gsType: 3,
  uids: ['sip:alice@example.org' as Impu, 'tel:+15550100' as Impu],
  flags: [1, 101],
  nafGroup: 'xcap',
  keyChoice: 'ME_BASED_KEY',
  droppedUids: 1,
}
const full: Required<Bia> = {
  ksNaf: new Secret(Uint8Array.from({ length: 32 }, (_, n) => n + 1)),
  ksIntNaf: new Secret(Uint8Array.from({ length: 32 }, (_, n) => 255 - n)),
  expiresAt: 1_900_000_000_000,
  bootstrappedAt: 1_800_000_000_000,
  gbaType: '3G_GBA',
  ussList: [uss],
  impi: '001010000000001@ims.mnc001.mcc001.3gppnetwork.org' as Impi,
}
const { ksIntNaf: _, impi: __, ...plain } = full
const shown = (fetched: FetchedBia | undefined) =>
  fetched && {
    ...fetched,
    bia: {
      ...fetched.bia,
      ksNaf: Buffer.from(fetched.bia.ksNaf.expose(32)).toString('hex'),
      ...(fetched.bia.ksIntNaf && { ksIntNaf: Buffer.from(fetched.bia.ksIntNaf.expose(32)).toString('hex') }),
    },
  }

describe('the record of a fetched key', () => {
  for (const [what, bia] of [
    ['with every member', full],
    ['without Ks_int_NAF, IMPI and settings', { ...plain, ussList: [] }],
    ['with a setting that has no identities', { ...plain, ussList: [{ gsid: 0, gsType: 0, uids: [], flags: [] }] }],
  ] as const satisfies readonly [string, Bia][]) {
    test(`comes back as it went, ${what}`, () => {
      const fetched = { bia, fetchedAt: 1_850_000_000_000 }
      assert.deepEqual(shown(decodeFetchedBia(encodeFetchedBia(fetched))), shown(fetched))
    })
  }

  test('holds its keys as octets only, never as text, and is wiped by reading it', () => {
    const octets = encodeFetchedBia({ bia: full, fetchedAt: 1 })
    const text = Buffer.from(octets).toString('latin1')
    for (const key of [full.ksNaf, full.ksIntNaf].map((secret) => Buffer.from(secret.expose(32)))) {
      assert.ok(text.includes(key.toString('latin1')))
      for (const form of ['hex', 'base64'] as const) assert.equal(text.includes(key.toString(form)), false)
    }
    assert.equal(text.includes('secret'), false)
    decodeFetchedBia(octets)
    assert.ok(octets.every((octet) => octet === 0))
  })

  test('is nothing when cut anywhere, or with anything behind it', () => {
    const octets = encodeFetchedBia({ bia: full, fetchedAt: 1 })
    for (let length = 0; length < octets.length; length++) {
      assert.equal(decodeFetchedBia(octets.slice(0, length)), undefined)
    }
    assert.equal(decodeFetchedBia(concat(octets, utf8('x'))), undefined)
    assert.ok(decodeFetchedBia(octets))
  })

  test('is nothing in another version, or with a third key', () => {
    for (const [at, octet] of [
      [0, 0],
      [0, 2],
      [1, 2],
      [1, 255],
    ] as const) {
      const octets = encodeFetchedBia({ bia: full, fetchedAt: 1 })
      octets[at] = octet
      assert.equal(decodeFetchedBia(octets), undefined)
    }
  })

  const good = { expiresAt: 2, bootstrappedAt: 1, gbaType: '3G_GBA', ussList: [uss], fetchedAt: 1 }
  const ofJson = (json: unknown) =>
    decodeFetchedBia(concat(Uint8Array.of(1, 0), new Uint8Array(32), utf8(JSON.stringify(json))))
  test('this test makes records by hand', () => assert.ok(ofJson(good)))
  for (const [what, json] of [
    ['no object', [good]],
    ['a member that is not known', { ...good, revoked: true }],
    ['no end', { ...good, expiresAt: undefined }],
    ['an end that is text', { ...good, expiresAt: '2' }],
    ['an end that is no whole number', { ...good, expiresAt: 2.5 }],
    ['no age', { ...good, fetchedAt: undefined }],
    ['no beginning', { ...good, bootstrappedAt: null }],
    ['an unknown GBA type', { ...good, gbaType: '4G_GBA' }],
    ['no list of settings', { ...good, ussList: {} }],
    ['a setting with a member that is not known', { ...good, ussList: [{ ...uss, barred: true }] }],
    ['a setting without services', { ...good, ussList: [{ ...uss, gsid: undefined }] }],
    ['an identity that is none', { ...good, ussList: [{ ...uss, uids: ['alice'] }] }],
    [
      'an identity in another than its canonical form',
      { ...good, ussList: [{ ...uss, uids: ['SIP:alice@EXAMPLE.org'] }] },
    ],
    ['an identity twice', { ...good, ussList: [{ ...uss, uids: [uss.uids[0], uss.uids[0]] }] }],
    ['a flag that is none', { ...good, ussList: [{ ...uss, flags: [-1] }] }],
    ['an unknown key choice', { ...good, ussList: [{ ...uss, keyChoice: 'ANY' }] }],
    ['no count of what was dropped', { ...good, ussList: [{ ...uss, droppedUids: 0 }] }],
    ['a private identity that is none', { ...good, impi: 'alice' }],
    ['an empty private identity', { ...good, impi: '' }],
  ] as const) {
    test(`is nothing with ${what}`, () => assert.equal(ofJson(json), undefined))
  }

  test('is read without a fault whatever the octets are', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.boolean(), (octets, isOurs) => {
        const head = isOurs ? concat(Uint8Array.of(1, 0), new Uint8Array(32)) : new Uint8Array(0)
        assert.equal(decodeFetchedBia(concat(head, octets)), undefined)
      }),
    )
  })
})
