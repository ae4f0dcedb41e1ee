import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { readingsOf } from '../../src/ut/readings.ts'

const NEEDLE = '001010123456789'
const finds = (text: string) => [...(readingsOf(text) ?? [])].some((reading) => reading.includes(NEEDLE))

const ENCODINGS: Readonly<Record<string, (text: string) => string>> = {
  'percent-encoding': (text) =>
    [...Buffer.from(text)].map((octet) => `%${octet.toString(16).padStart(2, '0')}`).join(''),
  'percent-encoding of delimiters': encodeURIComponent,
  base64: (text) => Buffer.from(text).toString('base64'),
  'base64 without padding': (text) => Buffer.from(text).toString('base64').replaceAll('=', ''),
  base64url: (text) => Buffer.from(text).toString('base64url'),
  hexadecimal: (text) => Buffer.from(text).toString('hex'),
  'hexadecimal in upper case': (text) => Buffer.from(text).toString('hex').toUpperCase(),
}

describe('readingsOf', () => {
  test('has the text itself first', () => assert.equal([...(readingsOf('a%20b') ?? [])][0], 'a%20b'))
  test('undoes what is there in part', () => assert.ok([...(readingsOf('a%20b%2') ?? [])].includes('a b%2')))

  for (const [name, encode] of Object.entries(ENCODINGS)) {
    test(`finds what is hidden by ${name}, wherever in a text it begins`, () => {
      fc.assert(
        fc.property(fc.string(), fc.string(), fc.string(), fc.string(), (a, b, c, d) => {
          assert.ok(finds(`${a}${encode(`${b}${NEEDLE}${c}`)}${d}`))
        }),
        {
          numRuns: 500,
          examples: [
            ['a', 'b', 'c', 'd'],
            ['abc', '', '', ''],
            ['/', '', '', '/'],
            ['', 'é', 'é', '='],
          ],
        },
      )
    })
  }
  test('finds what is hidden by three encodings inside one another', () => {
    const encoding = fc.constantFrom(...Object.values(ENCODINGS))
    fc.assert(
      fc.property(fc.array(encoding, { maxLength: 3 }), (encodings) => {
        assert.ok(finds(encodings.reduce((text, encode) => encode(text), `imsi-${NEEDLE}@example.com`)))
      }),
    )
  })
  test('gives up on a text that is built of encodings, and soon', () => {
    const before = performance.now()
    for (const unit of ['MzMz', '3333', '2530', '%25', 'NDE0MTQx', '4d7a4d7a', 'JTI1', 'QUFB']) {
      for (const length of [100, 16_384]) readingsOf(unit.repeat(length / unit.length))
    }
    let nested = 'x'.repeat(2000)
    for (let i = 0; i < 5; i++) nested = Buffer.from(nested).toString(i % 2 ? 'base64' : 'hex')
    readingsOf(nested.slice(0, 16_384))
    assert.ok(performance.now() - before < 2_000, `${performance.now() - before} ms`)
  })
})
