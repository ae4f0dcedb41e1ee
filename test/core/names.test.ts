import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type Impi, isTemporaryImpu, parseImpi, parseImpu } from '../../src/core/identity.ts'
import { bsfFqdnOfImpi, bsfFqdnOfImsi, impiOfImsi, temporaryImpuOf, xcapFqdnOfImpi } from '../../src/core/names.ts'
import { vectors } from '../support/vectors.ts'

interface Names {
  readonly kind: 'USIM' | 'ISIM' | 'SNPN'
  readonly imsi?: string
  readonly mncDigits?: 2 | 3
  readonly nid?: string
  readonly mcc?: string
  readonly mnc?: string
  readonly impi?: string
  readonly bsf?: string
  readonly xcapRoot?: string
  readonly temporaryImpu?: string
}

for (const vector of vectors<{ vectors: readonly Names[] }>('identities.json').vectors) {
  const { kind, nid, mcc, mnc, bsf, xcapRoot, temporaryImpu } = vector
  const imsi = vector.imsi ?? (mcc && mnc && `${mcc}${mnc}0123456789`)
  const mncDigits = vector.mncDigits ?? 2

  describe(`${kind} ${imsi ?? vector.impi}`, () => {
    const impi = kind === 'ISIM' || imsi === undefined ? (vector.impi as Impi) : impiOfImsi(imsi, mncDigits, nid)

    if (vector.impi !== undefined) {
      test(`private identity ${vector.impi}`, () => {
        assert.equal(impi, vector.impi)
        assert.equal(parseImpi(impi), impi)
      })
    }
    if (bsf !== undefined) {
      test(`bootstraps at ${bsf}`, () =>
        assert.equal(kind === 'USIM' && imsi ? bsfFqdnOfImsi(imsi, mncDigits) : bsfFqdnOfImpi(impi), bsf))
    }
    if (xcapRoot !== undefined) test(`XCAP root ${xcapRoot}`, () => assert.equal(xcapFqdnOfImpi(impi), xcapRoot))
    if (temporaryImpu !== undefined) {
      test(`temporary identity ${temporaryImpu}`, () =>
        assert.equal(imsi && temporaryImpuOf(imsi, mncDigits), temporaryImpu))
      test('which is in canonical form and known as temporary', () => {
        const impu = parseImpu(temporaryImpu)
        assert.ok(impu && isTemporaryImpu(impu))
        assert.equal(impu, temporaryImpu)
      })
    }
  })
}

describe('home domains', () => {
  for (const [impi, bsf] of [
    ['a@3gppnetwork.org', 'bsf.pub.3gppnetwork.org'],
    ['a@my3gppnetwork.org', 'bsf.my3gppnetwork.org'],
    ['a@ims.mnc001.mcc001.pub.3gppnetwork.org', 'bsf.ims.mnc001.mcc001.pub.3gppnetwork.org'],
    ['a@IMS.mnc001.mcc001.3GPPnetwork.org', 'bsf.ims.mnc001.mcc001.pub.3gppnetwork.org'],
    ['a@3gppnetwork.org.example', 'bsf.3gppnetwork.org.example'],
    ['a@epub.3gppnetwork.org', 'bsf.epub.pub.3gppnetwork.org'],
  ] as const) {
    test(`${impi} bootstraps at ${bsf}`, () => assert.equal(bsfFqdnOfImpi(impi as Impi), bsf))
  }

  test('a domain that leaves no room for the label is refused', () => {
    const long = `a@${`${'x'.repeat(49)}.`.repeat(5)}com` as Impi
    assert.ok(parseImpi(long))
    assert.throws(() => bsfFqdnOfImpi(long), RangeError)
    assert.throws(() => xcapFqdnOfImpi(long), RangeError)
  })
})

describe('what is not an IMSI is refused', () => {
  for (const imsi of ['', '00101', '0010101234567890', '00101x123456789', ' 01010123456789', '٠٠١٠١٠١٢٣٤٥٦٧٨٩']) {
    test(JSON.stringify(imsi), () => {
      assert.throws(() => bsfFqdnOfImsi(imsi, 2), RangeError)
      assert.throws(() => impiOfImsi(imsi, 2), RangeError)
      assert.throws(() => temporaryImpuOf(imsi, 2), RangeError)
    })
  }
  test('nor what is not a NID', () => assert.throws(() => impiOfImsi('001010123456789', 2, '7ed9d5'), RangeError))
})
