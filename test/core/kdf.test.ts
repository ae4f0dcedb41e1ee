import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { toHex, utf8 } from '../../src/core/bytes.ts'
import type { Fqdn, Impi } from '../../src/core/identity.ts'
import { deriveKs, deriveKsIntNaf, deriveKsNaf, deriveTmpi, kdf, kdfInput } from '../../src/core/kdf.ts'
import { type NafId, nafIdOf, UA_HTTP_DIGEST } from '../../src/core/naf-id.ts'
import { hex, secret, vectors } from '../support/vectors.ts'

interface Generic {
  readonly source: string
  readonly key: string
  readonly FC: string
  readonly P: readonly string[]
  readonly out: string
}

interface NafKey {
  readonly case: string
  readonly label: 'gba-me' | 'gba-u'
  readonly nafFqdn: string
  readonly uaProtocolId: string
  readonly impi: string
  readonly Ks: string
  readonly RAND: string
  readonly NAF_Id: string
  readonly S: string
  readonly out: string
}

interface NafKeys {
  readonly ksNaf: readonly NafKey[]
  readonly tmpi: { readonly bsfFqdn: string; readonly TMPI: string }
}

const { ksNaf: nafKeys, tmpi } = vectors<NafKeys>('ks-naf.json')
const [golden] = nafKeys
assert.ok(golden)
const aKs = secret(golden.Ks)
const aRand = hex(golden.RAND)
const anImpi = golden.impi as Impi
const aNafId = nafIdOf('naf1.home1.net' as Fqdn, UA_HTTP_DIGEST)

describe('kdf', () => {
  for (const [i, { source, key, FC, P, out }] of vectors<{ vectors: Generic[] }>(
    'kdf-generic.json',
  ).vectors.entries()) {
    test(`${source}, vector ${i + 1}`, () =>
      assert.equal(toHex(kdf(secret(key), Number.parseInt(FC, 16), P.map(hex))), out))
  }

  for (const { case: name, label, uaProtocolId, S, Ks, out, ...given } of nafKeys) {
    test(`its input for ${label} ${uaProtocolId} is the S of the vector: ${name}`, () => {
      const parameters = [utf8(label), hex(given.RAND), utf8(given.impi), hex(given.NAF_Id)]
      assert.equal(toHex(kdfInput(0x01, parameters)), S)
      assert.equal(createHmac('sha256', hex(Ks)).update(hex(S)).digest('hex'), out)
    })
  }

  test('two different lists of parameters never give the same input', () => {
    const octets = fc.uint8Array({ maxLength: 5, max: 3 }) // few and small octets, so that lengths can look like content
    const call = fc.tuple(fc.integer({ min: 0, max: 2 }), fc.array(octets, { maxLength: 4 }))
    fc.assert(
      fc.property(call, call, ([fcA, a], [fcB, b]) => {
        const same = fcA === fcB && a.length === b.length && a.every((p, i) => toHex(p) === toHex(b[i] ?? p))
        assert.equal(toHex(kdfInput(fcA, a)) === toHex(kdfInput(fcB, b)), same)
      }),
      { numRuns: 5000 },
    )
  })

  test('its input can be read back, last length first, for parameters of any length', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 255 }), fc.array(fc.uint8Array({ maxLength: 700 })), (code, parameters) => {
        const read = readBack(kdfInput(code, parameters), parameters.length)
        assert.deepEqual(read, { code, parameters: parameters.map(toHex) })
      }),
    )
  })

  test('writes the length of a parameter of more than 255 octets in two octets', () => {
    const input = kdfInput(0x01, [new Uint8Array(0x1234)])
    assert.deepEqual(input.subarray(-2), Uint8Array.of(0x12, 0x34))
  })

  test('takes a parameter of 65535 octets and refuses one more', () => {
    assert.equal(kdfInput(1, [new Uint8Array(65535)]).length, 1 + 65535 + 2)
    assert.throws(() => kdfInput(1, [new Uint8Array(65536)]), RangeError)
  })

  for (const code of [-1, 256, 0.5, Number.NaN]) {
    test(`refuses ${code} as FC`, () => assert.throws(() => kdf(aKs, code, []), RangeError))
  }
})

describe('deriveKs', () => {
  test('is CK and then IK', () => {
    const ks = deriveKs(secret('aa'.repeat(16)), secret('bb'.repeat(16)))
    assert.equal(toHex(ks.expose(32)), 'aa'.repeat(16) + 'bb'.repeat(16))
  })
  for (const length of [0, 15, 17, 32]) {
    test(`refuses a CK or IK of ${length} octets`, () => {
      const wrong = secret('00'.repeat(length))
      const right = secret('00'.repeat(16))
      assert.throws(() => deriveKs(wrong, right), RangeError)
      assert.throws(() => deriveKs(right, wrong), RangeError)
    })
  }
})

describe('deriveKsNaf', () => {
  for (const { case: name, label, Ks, RAND, impi, NAF_Id, out } of nafKeys) {
    const derive = label === 'gba-me' ? deriveKsNaf : deriveKsIntNaf
    test(`${derive.name}: ${name}`, () =>
      assert.equal(toHex(derive(secret(Ks), hex(RAND), impi as Impi, hex(NAF_Id) as NafId).expose(32)), out))
  }

  test('a decomposed IMPI gives the key of the composed one (NFKC)', () => {
    const composed = 'jösé@home1.net'.normalize('NFC')
    const decomposed = composed.normalize('NFD')
    assert.notEqual(composed, decomposed)
    assert.ok(
      deriveKsNaf(aKs, aRand, composed as Impi, aNafId).equals(deriveKsNaf(aKs, aRand, decomposed as Impi, aNafId)),
    )
  })

  test('letter case of the IMPI counts', () => {
    const upper = deriveKsNaf(aKs, aRand, 'User@home1.net' as Impi, aNafId)
    assert.ok(!upper.equals(deriveKsNaf(aKs, aRand, 'user@home1.net' as Impi, aNafId)))
  })

  test('a NAF_Id of more than 255 octets gets its two-octet length', () => {
    const long = new Uint8Array(300).fill(0x61) as NafId
    const expected = kdf(aKs, 0x01, [utf8('gba-me'), aRand, utf8(anImpi), long])
    assert.deepEqual(deriveKsNaf(aKs, aRand, anImpi, long).expose(), expected)
  })

  for (const [name, length] of [
    ['empty', 0],
    ['one short', 15],
    ['one long', 17],
  ] as const) {
    test(`refuses a RAND that is ${name}`, () => {
      for (const derive of [deriveKsNaf, deriveKsIntNaf]) {
        assert.throws(() => derive(aKs, new Uint8Array(length), anImpi, aNafId), RangeError)
      }
    })
  }

  for (const length of [0, 16, 31, 33]) {
    test(`refuses a Ks of ${length} octets`, () =>
      assert.throws(() => deriveKsNaf(secret('00'.repeat(length)), aRand, anImpi, aNafId), RangeError))
  }
})

describe('deriveTmpi', () => {
  test('golden TMPI', () => assert.equal(deriveTmpi(aKs, aRand, anImpi, tmpi.bsfFqdn as Fqdn), tmpi.TMPI))

  test('another BSF name gives another TMPI', () =>
    assert.notEqual(deriveTmpi(aKs, aRand, anImpi, 'bsf.home1.net' as Fqdn), tmpi.TMPI))

  test('refuses a Ks that is not 32 octets', () =>
    assert.throws(() => deriveTmpi(secret('00'), aRand, anImpi, tmpi.bsfFqdn as Fqdn), RangeError))
})

/** The reader that shows that S has one reading, given how many parameters there are. */
function readBack(input: Uint8Array, count: number): { code: number | undefined; parameters: string[] } {
  const parameters: string[] = []
  let end = input.length
  for (let i = 0; i < count; i++) {
    const length = (input[end - 2] ?? 0) * 256 + (input[end - 1] ?? 0)
    parameters.unshift(toHex(input.subarray(end - 2 - length, end - 2)))
    end -= 2 + length
  }
  assert.equal(end, 1)
  return { code: input[0], parameters }
}
