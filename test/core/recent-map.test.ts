import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { RecentMap } from '../../src/core/recent-map.ts'

const filled = (most: number, keys: readonly string[]) => {
  const map = new RecentMap<string, string>(most)
  for (const key of keys) map.set(key, key)
  return map
}

describe('a map of recent entries', () => {
  test('lets the one longest out of use go, exactly so while it is small', () => {
    const operations = fc.array(fc.tuple(fc.boolean(), fc.integer({ min: 0, max: 9 })), { maxLength: 100 })
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 7 }), operations, (most, list) => {
        const map = new RecentMap<number, number>(most)
        let model: number[] = []
        for (const [sets, key] of list) {
          assert.equal(sets ? undefined : map.get(key), sets || !model.includes(key) ? undefined : key)
          if (sets) map.set(key, key)
          if (!sets && !model.includes(key)) continue
          model = [...model.filter((other) => other !== key), key].slice(-most)
        }
        assert.equal(map.size, model.length)
        for (const key of model) assert.equal(map.get(key), key)
      }),
    )
  })

  test('keeps what was used since an eighth of its bound was new, however large it is', () => {
    const map = filled(
      800,
      Array.from({ length: 800 }, (_, i) => `old ${i}`),
    )
    map.get('old 0')
    for (let i = 0; i < 799; i++) map.set(`new ${i}`, '')
    assert.equal(map.get('old 0'), 'old 0')
    assert.equal(map.get('old 1'), undefined)
    assert.equal(map.size, 800)
  })

  test('has the newest value of a key, which is no further entry', () => {
    const map = filled(2, ['a', 'b'])
    map.set('a', 'anew')
    map.set('c', 'c')
    assert.deepEqual([map.get('a'), map.get('b'), map.get('c')], ['anew', undefined, 'c'])
  })

  test('lets go of what is deleted, and of what is over', () => {
    const map = filled(9, ['a', 'b', 'c'])
    map.delete('a')
    map.sweep((value) => value === 'b')
    assert.deepEqual([map.size, map.get('c')], [1, 'c'])
  })
})
