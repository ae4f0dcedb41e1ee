import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { marker } from '../../src/core/mark.ts'

describe('a mark', () => {
  const marks = marker<string>()
  const object = Object.freeze(marks.mark({ a: 1 }, 'ours'))

  test('is on the object that was marked, and shows in nothing', () => {
    assert.equal(marks.markOf(object), 'ours')
    assert.deepEqual(object, { a: 1 })
    assert.deepEqual(Reflect.ownKeys(object), ['a'])
    assert.equal(Object.getPrototypeOf(object), Object.prototype)
  })

  for (const [what, copy] of [
    ['a spread', { ...object }],
    ['what inherits from it', Object.create(object)],
    ['a proxy', new Proxy(object, {})],
    ['a clone', structuredClone(object)],
    ['another object', {}],
  ] as const) {
    test(`is not on ${what}`, () => assert.equal(marks.markOf(copy), undefined))
  }

  test('of another marker is another mark', () => {
    const others = marker<string>()
    assert.equal(others.markOf(object), undefined)
    const both = others.mark(marks.mark({}, 'ours'), 'theirs')
    assert.deepEqual([marks.markOf(both), others.markOf(both)], ['ours', 'theirs'])
  })

  test('is put on once', () => {
    const marked = marks.mark({}, 'ours')
    assert.throws(() => marks.mark(marked, 'anew'), TypeError)
    assert.equal(marks.markOf(marked), 'ours')
  })
})
