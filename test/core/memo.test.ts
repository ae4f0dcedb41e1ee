import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { Memo, ownCopyOf, WeakMemo } from '../../src/core/memo.ts'

/** A memo that counts what it makes. */
function counting(bounds = { most: 3, longest: 8 }) {
  const made: string[] = []
  const memo = new Memo((text) => {
    if (text.startsWith('!')) throw new RangeError(text)
    made.push(text)
    return { text }
  }, bounds)
  return { memo, made }
}

describe('a memo', () => {
  test('makes a value once, and hands out that very one', () => {
    const { memo, made } = counting()
    assert.equal(memo.of('a'), memo.of('a'))
    assert.deepEqual(made, ['a'])
  })

  test('never takes one text for another', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary', maxLength: 10 }), { maxLength: 40 }), (texts) => {
        const { memo } = counting()
        for (const text of texts) if (!text.startsWith('!')) assert.equal(memo.of(text).text, text)
      }),
    )
  })

  test('holds as much as it may, and then forgets all', () => {
    const { memo, made } = counting()
    for (const text of ['a', 'b', 'c', 'd']) memo.of(text)
    assert.equal(memo.size, 1)
    memo.of('d')
    memo.of('a')
    assert.deepEqual(made, ['a', 'b', 'c', 'd', 'a'])
  })

  test('does not hold what is too long', () => {
    const { memo, made } = counting()
    for (const text of ['12345678', '123456789', '123456789', '12345678']) memo.of(text)
    assert.deepEqual(made, ['12345678', '123456789', '123456789'])
    assert.equal(memo.size, 1)
  })

  test('does not hold what cannot be made', () => {
    const { memo } = counting()
    for (let i = 0; i < 2; i++) assert.throws(() => memo.of('!a'), RangeError)
    assert.equal(memo.size, 0)
  })
})

test('a copy of a text has every character of it', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => assert.equal(ownCopyOf(text), text)))
  for (const text of ['', 'é', '\ud800', 'a\udc00b', '\u{1f600}']) assert.equal(ownCopyOf(text), text)
})

describe('a memo of objects', () => {
  test('knows an object by what it is, not by what is in it', () => {
    const memo = new WeakMemo<object, string>(4)
    const [one, other] = [{ a: 1 }, { a: 1 }]
    memo.keep(one, 'one')
    assert.deepEqual([memo.get(one), memo.get(other)], ['one', undefined])
    memo.keep(one, 'anew')
    assert.equal(memo.get(one), 'anew')
  })

  test('holds as much as it may, and then forgets all', () => {
    const memo = new WeakMemo<object, number>(2)
    const objects = [{}, {}, {}]
    for (const [i, object] of objects.entries()) memo.keep(object, i)
    assert.deepEqual(
      objects.map((object) => memo.get(object)),
      [undefined, undefined, 2],
    )
  })
})
