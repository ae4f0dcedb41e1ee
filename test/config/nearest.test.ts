import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { nearest } from '../../src/config/nearest.ts'

describe('the nearest known word', () => {
  const known = ['check', 'certs', 'serve', 'listen', 'requestTimeoutMs']
  for (const [word, expected] of [
    ['chek', 'check'],
    ['cehck', 'check'],
    ['checkk', 'check'],
    ['CHECK', 'check'],
    ['requestTimeout', 'requestTimeoutMs'],
    ['requestTimeuotms', 'requestTimeoutMs'],
    ['', undefined],
    ['abcdef', undefined],
    ['x'.repeat(100_000), undefined],
  ] as const) {
    test(`to '${word.slice(0, 20)}' is ${expected}`, () => assert.equal(nearest(word, known), expected))
  }

  test('to a known word is that word', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.stringMatching(/^[a-z]{1,20}$/), { minLength: 1 }), (words) =>
        words.every((word) => nearest(word, words) === word),
      ),
    )
  })

  test('to a word with two neighbours swapped is found', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z]{4,20}$/), fc.nat(18), (word, at) => {
        const i = at % (word.length - 1)
        const swapped = word.slice(0, i) + (word[i + 1] ?? '') + (word[i] ?? '') + word.slice(i + 2)
        return nearest(swapped, [word]) === word
      }),
    )
  })
})
