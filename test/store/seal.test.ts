import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { fromHex, fromUtf8, toHex, utf8 } from '../../src/core/bytes.ts'
import { Secret } from '../../src/core/secret.ts'
import { SEAL_OVERHEAD, seal, unseal } from '../../src/store/seal.ts'

const octets = (length: number, value: number) => new Uint8Array(length).fill(value)
const keys = {
  index: new Secret(octets(32, 1)),
  current: 7,
  keys: new Map([[7, new Secret(octets(32, 2))]]),
}
const place = { database: 'bootstraps', key: octets(32, 3), header: octets(40, 4) }
const text = 'what was sealed before'

describe('a sealed value', () => {
  test('of the first releases still opens', () => {
    const sealed =
      '0100000007f9fc4554bfebc26a5f9dcf86b349887d9660c729d0ac0077cb5994392b8ebb4c9296627dcb7d5742a89c8b2c84d085121911'
    assert.equal(fromUtf8(unseal(keys, place, fromHex(sealed) ?? octets(0, 0)) ?? octets(0, 0)), text)
  })

  test('has an IV of its own, however many are made', () => {
    const ivs = new Set<string>()
    for (let n = 0; n < 1_000; n++) ivs.add(toHex(seal(keys, place, utf8(text)).subarray(5, 17)))
    assert.equal(ivs.size, 1_000)
  })

  test('opens at its place only, and whole', () => {
    const sealed = seal(keys, place, utf8(text))
    assert.equal(sealed.length, text.length + SEAL_OVERHEAD)
    assert.equal(fromUtf8(unseal(keys, place, sealed) ?? octets(0, 0)), text)
    for (const elsewhere of [
      { ...place, database: 'sqns' },
      { ...place, key: octets(32, 5) },
      { ...place, key: octets(31, 3), header: octets(41, 4) },
      { database: place.database, key: place.key },
    ]) {
      assert.equal(unseal(keys, elsewhere, sealed), undefined)
    }
    for (let at = 0; at < sealed.length; at++) {
      const changed = Uint8Array.from(sealed)
      changed[at] = (changed[at] ?? 0) ^ 1
      assert.equal(unseal(keys, place, changed), undefined)
    }
  })
})
