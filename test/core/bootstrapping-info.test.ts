import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { formatBootstrappingInfo, parseBootstrappingInfo } from '../../src/core/bootstrapping-info.ts'
import { btidOf, parseBtid, parseFqdn } from '../../src/core/identity.ts'
import { vectors } from '../support/vectors.ts'

const golden = vectors<{ btid: string; ub: { response200: string } }>('golden-flow.json')
const document = golden.ub.response200.slice(golden.ub.response200.indexOf('\r\n\r\n') + 4)
const btid = parseBtid(golden.btid)
const bsf = parseFqdn('bsf.mnc001.mcc001.pub.3gppnetwork.org')
assert.ok(btid && bsf)
const expiresAt = Date.UTC(2026, 10, 21, 22)

describe('formatBootstrappingInfo', () => {
  test('writes the golden document octet for octet', () => {
    assert.equal(formatBootstrappingInfo({ btid, expiresAt }), document)
  })

  test('never promises a key for longer than it lives', () => {
    assert.equal(formatBootstrappingInfo({ btid, expiresAt: expiresAt + 999 }), document)
  })
})

describe('parseBootstrappingInfo', () => {
  test('reads the golden document', () => assert.deepEqual(parseBootstrappingInfo(document), { btid, expiresAt }))

  test('reads back whatever was written, to the second', () => {
    const rand = fc.uint8Array({ minLength: 16, maxLength: 16 })
    fc.assert(
      fc.property(rand, fc.integer({ min: 0, max: Date.UTC(2999, 0) }), (octets, instant) => {
        const written = { btid: btidOf(octets, bsf), expiresAt: instant }
        const cut = instant - (instant % 1000)
        assert.deepEqual(parseBootstrappingInfo(formatBootstrappingInfo(written)), { ...written, expiresAt: cut })
      }),
    )
  })

  test('accepts fractions of a second', () => {
    const fraction = (text: string) => parseBootstrappingInfo(document.replace('00:00Z', `00:00.${text}Z`))?.expiresAt
    assert.equal(fraction('559'), expiresAt + 559)
    assert.equal(fraction('5'), expiresAt + 500)
    assert.equal(fraction('559999'), expiresAt + 559)
  })

  test('reads the current time of the BSF out of the extension', () => {
    const extension = '<Extension><x/><currenttime>2026-11-21T10:00:00Z</currenttime></Extension></Boot'
    const { currentTime } = parseBootstrappingInfo(document.replace('</Boot', extension)) ?? {}
    assert.equal(currentTime, Date.UTC(2026, 10, 21, 10))
  })

  for (const [name, from, to] of [
    ['an element that it does not know', '<btid>', '<new>x</new><btid>'],
    ['an element of the same name in another namespace', '<btid>', '<btid xmlns="urn:x">y</btid><btid>'],
    ['an attribute that it does not know', '<btid>', '<btid x="y">'],
    ['white space around the values', /(?<=<btid>|<lifetime>)|(?=<\/btid>|<\/lifetime>)/g, '\r\n '],
    ['an extension without a time', '</Boot', '<Extension/></Boot'],
    ['an extension with an unreadable time', '</Boot', '<Extension><currenttime>now</currenttime></Extension></Boot'],
  ] as const) {
    test(`is not disturbed by ${name}`, () => {
      const text = document.replace(from, to)
      assert.notEqual(text, document)
      assert.deepEqual(parseBootstrappingInfo(text), { btid, expiresAt })
    })
  }

  test('is not disturbed by a prefix for the namespace', () => {
    const text = document.replace(/<(\/?)(?=[a-zA-Z])/g, '<$1g:').replace(' xmlns=', ' xmlns:g=')
    assert.deepEqual(parseBootstrappingInfo(text), { btid, expiresAt })
  })

  for (const [name, from, to] of [
    ['of another name', /BootstrappingInfo/g, 'Bootstrapping'],
    ['of another namespace', 'uri:3gpp-gba', 'uri:3gpp-gba2'],
    ['of no namespace', ' xmlns="uri:3gpp-gba"', ''],
    ['without B-TID', /<btid>.*<\/btid>/, ''],
    ['with two B-TIDs', /(<btid>.*<\/btid>)/, '$1$1'],
    ['with a B-TID that is none', /<btid>.*@/, '<btid>x@'],
    ['with a B-TID that is cut by an element', '@bsf', '<x/>@bsf'],
    ['without lifetime', /<lifetime>.*<\/lifetime>/, ''],
    ['with two lifetimes', /(<lifetime>.*<\/lifetime>)/, '$1$1'],
    ['with a lifetime in no time zone', '00Z', '00'],
    ['with a lifetime in another time zone', '00Z', '00+01:00'],
    ['with a lifetime in seconds', '2026-11-21T22:00:00Z', '43200'],
    ['with a day that no calendar has', '2026-11-21', '2026-11-31'],
    ['with a month that no calendar has', '2026-11-21', '2026-13-21'],
    ['with an hour that no clock has', 'T22', 'T24'],
    ['with a DOCTYPE', '<Boot', '<!DOCTYPE BootstrappingInfo><Boot'],
    ['that is cut off', '</BootstrappingInfo>', ''],
    ['over 16 KiB', '<Boot', `<!--${' '.repeat(16_384)}--><Boot`],
  ] as const) {
    test(`refuses a document ${name}`, () => {
      const text = document.replace(from, to)
      assert.notEqual(text, document)
      assert.equal(parseBootstrappingInfo(text), undefined)
    })
  }
})
