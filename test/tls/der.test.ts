import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { readDer, readDerInside, readDerTime, SEQUENCE } from '../../src/tls/der.ts'

/** One element, written by hand. */
function der(tag: number, content: Uint8Array): Buffer {
  const { length } = content
  const octets = Buffer.from(length.toString(16).padStart(length > 0xff ? 4 : 2, '0'), 'hex')
  const head = length < 0x80 ? [tag, length] : [tag, 0x80 + octets.length, ...octets]
  return Buffer.concat([Buffer.from(head), content])
}

const contents = fc.array(fc.tuple(fc.integer({ min: 0, max: 30 }), fc.uint8Array({ maxLength: 400 })), {
  maxLength: 6,
})

describe('readDer', () => {
  test('gives back every element that was written', () => {
    fc.assert(
      fc.property(contents, (elements) => {
        const octets = Buffer.concat(elements.map(([tag, content]) => der(tag, content)))
        const read = readDer(octets)
        assert.deepEqual(
          read?.map(({ tag, content }) => [tag, Buffer.from(content)]),
          elements.map(([tag, content]) => [tag, Buffer.from(content)]),
        )
        assert.deepEqual(Buffer.concat(read?.map(({ whole }) => whole) ?? []), octets)
      }),
    )
  })

  test('reads nothing that was cut short', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(), (content, at) => {
        const whole = der(SEQUENCE, content)
        const length = 1 + (at % (whole.length - 1))
        assert.equal(readDer(whole.subarray(0, length)), undefined)
      }),
    )
  })

  test('never throws, and never reads on what it was not given', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (octets) => {
        const length = readDer(octets)?.reduce((sum, { whole }) => sum + whole.length, 0)
        assert.ok(length === undefined || length === octets.length)
      }),
      { numRuns: 2000 },
    )
  })

  for (const [name, hex] of [
    ['a length that is not known', '3080'],
    ['a length of five octets', '30850000000001'],
    ['a tag of more than one octet', '1f8101'],
  ] as const) {
    test(`does not read ${name}`, () => assert.equal(readDer(Buffer.from(hex, 'hex')), undefined))
  }

  test('looks inside the element of the right tag only', () => {
    const [element] = readDer(der(SEQUENCE, der(2, Buffer.of(5)))) ?? []
    assert.equal(readDerInside(element)?.[0]?.content[0], 5)
    assert.equal(readDerInside(element, 0x31), undefined)
    assert.equal(readDerInside(undefined), undefined)
  })
})

describe('readDerTime', () => {
  const time = (tag: number, text: string) => readDerTime(readDer(der(tag, Buffer.from(text)))?.[0])

  test('reads both forms', () => {
    assert.equal(time(0x17, '260228235959Z'), Date.UTC(2026, 1, 28, 23, 59, 59))
    assert.equal(time(0x17, '500101000000Z'), Date.UTC(1950, 0, 1))
    assert.equal(time(0x18, '20500101000000Z'), Date.UTC(2050, 0, 1))
  })

  for (const [name, tag, text] of [
    ['a zone', 0x17, '2602282359590100'],
    ['a fraction', 0x18, '20500101000000.5Z'],
    ['no seconds', 0x17, '2602282359Z'],
    ['a day that does not exist', 0x17, '260230000000Z'],
    ['an hour that does not exist', 0x17, '260228240000Z'],
    ['another type', 0x0c, '260228235959Z'],
  ] as const) {
    test(`does not read ${name}`, () => assert.equal(time(tag, text), undefined))
  }
})
