import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { leastLoaded, rendezvous, weightOf } from '../../src/ut/balance.ts'

const at = (url: string, inFlight = 0, weight = 1) => ({ url, inFlight, weight })
const KEYS = Array.from({ length: 3000 }, (_, i) => `sip:user${i}@example.org`)
const URLS = ['http://10.0.0.1:8080', 'http://10.0.0.2:8080', 'http://10.0.0.3:8080']

describe('the least loaded', () => {
  test('has the fewest requests under way', () => {
    assert.equal(leastLoaded([at('a', 2), at('b', 1), at('c', 3)], 0)?.url, 'b')
    assert.equal(leastLoaded([], 0), undefined)
  })

  test('of equals is another one with each turn', () => {
    const chosen = [0, 1, 2, 3].map((turn) => leastLoaded([at('a'), at('b'), at('c')], turn)?.url)
    assert.deepEqual(chosen, ['a', 'b', 'c', 'a'])
  })

  test('has fewer for less weight', () => {
    assert.equal(leastLoaded([at('a', 8), at('b', 0, 0.1)], 0)?.url, 'a')
    assert.equal(leastLoaded([at('a', 10), at('b', 0, 0.1)], 0)?.url, 'b')
  })
})

describe('rendezvous', () => {
  const own = (urls: readonly string[], key: string) =>
    rendezvous(
      urls.map((url) => at(url)),
      key,
    )?.url ?? ''

  test('gives each address a like share of the keys', () => {
    for (const url of URLS) {
      const share = KEYS.filter((key) => own(URLS, key) === url).length
      assert.ok(share > 850 && share < 1150, `${url} has ${share}`)
    }
  })

  test('moves no key but those of the address that went', () => {
    const [gone, ...left] = URLS
    for (const key of KEYS) {
      const before = own(URLS, key)
      if (before !== gone) assert.equal(own(left, key), before)
    }
  })

  test('brings the keys back one after the other while the weight grows', () => {
    const [back = '', ...others] = URLS
    const owned = (weight: number) =>
      KEYS.filter((key) => rendezvous([at(back, 0, weight), ...others.map((url) => at(url))], key)?.url === back)
    const [few, some, all] = [owned(0.1), owned(0.5), owned(1)]
    assert.ok(few.length < some.length && some.length < all.length)
    assert.ok(few.every((key) => some.includes(key)) && some.every((key) => all.includes(key)))
  })
})

test('the weight of an address that came back grows in a straight line, from a tenth to one', () => {
  const weights = [0, 500, 2500, 5000, 6000].map((since) => weightOf(1000, 5000, 1000 + since))
  assert.deepEqual(weights, [0.1, 0.1, 0.5, 1, 1])
  assert.equal(weightOf(1000, 0, 1000), 1)
  assert.equal(weightOf(-Infinity, 5000, 0), 1)
})
