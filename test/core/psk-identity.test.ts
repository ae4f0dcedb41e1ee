import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { utf8 } from '../../src/core/bytes.ts'
import { btidOf, type Fqdn } from '../../src/core/identity.ts'
import { formatPskIdentity, parsePskIdentity } from '../../src/core/psk-identity.ts'

const bsf = 'bsf.ims.mnc001.mcc001.pub.3gppnetwork.org' as Fqdn
const btid = btidOf(new Uint8Array(16).fill(7), bsf)

describe('the identity of a bootstrapped key', () => {
  for (const separator of [';', '.', ''] as const) {
    test(`is read with ${separator === '' ? 'nothing' : separator} before the B-TID, and written so on request`, () => {
      assert.equal(formatPskIdentity(btid, separator), `3GPP-bootstrapping${separator}${btid}`)
      assert.equal(parsePskIdentity(utf8(formatPskIdentity(btid, separator))), btid)
    })
  }

  test('is written with a semicolon unless asked otherwise', () => {
    assert.equal(formatPskIdentity(btid), `3GPP-bootstrapping;${btid}`)
  })

  test('names the same B-TID whatever the letter case of its domain', () => {
    assert.equal(parsePskIdentity(utf8(`3GPP-bootstrapping;${btid.replace('bsf.ims', 'BSF.Ims')}`)), btid)
  })

  const domainOf = (octets: number) => {
    const fill = octets - `3GPP-bootstrapping;${btid}`.length
    return btidOf(new Uint8Array(16).fill(7), `${'a'.repeat(fill - 1)}.${bsf}` as Fqdn)
  }

  test('has 128 octets at most', () => {
    const longest = domainOf(128)
    assert.equal(parsePskIdentity(utf8(formatPskIdentity(longest))), longest)
    assert.equal(parsePskIdentity(utf8(`3GPP-bootstrapping;${domainOf(129)}`)), undefined)
    assert.throws(() => formatPskIdentity(domainOf(129)), RangeError)
  })

  for (const [name, text] of [
    ['empty', ''],
    ['the prefix alone', '3GPP-bootstrapping'],
    ['a B-TID alone', btid],
    ['the prefix in lower case', `3gpp-bootstrapping;${btid}`],
    ['the prefix of the key that stays in the UICC', `3GPP-bootstrapping-uicc;${btid}`],
    ['the prefix of AKMA', `3GPP-AKMA;${btid}`],
    ['two separators', `3GPP-bootstrapping;;${btid}`],
    ['another separator', `3GPP-bootstrapping:${btid}`],
    ['what is no B-TID', '3GPP-bootstrapping;alice@example.org'],
    ['NUL at the end', `3GPP-bootstrapping;${btid}\0`],
    ['NUL and more', `3GPP-bootstrapping;${btid}\0@other.example.org`],
    ['NUL for a separator', `3GPP-bootstrapping\0${btid}`],
    ['a line break at the end', `3GPP-bootstrapping;${btid}\n`],
    ['a Kelvin sign in the domain', `3GPP-bootstrapping;${btid.replace('k.org', '\u212a.org')}`],
  ] as const) {
    test(`is not ${name}`, () => assert.equal(parsePskIdentity(utf8(text)), undefined))
  }

  test('is undefined for other octets, without a throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (octets) => parsePskIdentity(octets) === undefined),
      { numRuns: 1000 },
    )
  })
})
