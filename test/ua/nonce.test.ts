import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Fqdn } from '../../src/core/identity.ts'
import { Secret } from '../../src/core/secret.ts'
import { mintedAhead, mintedAt, mintNonce, NONCE_RANDOM_OCTETS } from '../../src/ua/nonce.ts'

const NAF = 'xcap.example.org' as Fqdn
const key = new Secret(new Uint8Array(32).fill(7))
const random = new Uint8Array(NONCE_RANDOM_OCTETS)
const NOW = 1_795_255_200_000

const keys = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((octets) => new Secret(octets))
const randoms = fc.uint8Array({ minLength: NONCE_RANDOM_OCTETS, maxLength: NONCE_RANDOM_OCTETS })
const instants = fc.integer({ min: 0, max: 2 ** 48 - 1 })
const names = fc.domain().map((name) => name as Fqdn)

describe('a nonce', () => {
  test('tells who minted it when it was minted', () => {
    fc.assert(
      fc.property(keys, names, instants, randoms, (aKey, naf, now, someRandom) => {
        assert.equal(mintedAt(aKey, naf, mintNonce(aKey, naf, now, someRandom)), now)
      }),
    )
  })

  test('is 40 characters that no UE splits at: letters, digits, hyphen, underscore', () => {
    fc.assert(
      fc.property(keys, instants, randoms, (aKey, now, someRandom) => {
        assert.match(mintNonce(aKey, NAF, now, someRandom), /^[A-Za-z0-9_-]{40}$/)
      }),
    )
  })

  test('is minted just above the floor of a ledger that the clock is behind, for that ledger alone', () => {
    fc.assert(
      fc.property(keys, instants, fc.nat(), randoms, fc.uuid(), fc.uuid(), (aKey, now, by, someRandom, its, other) => {
        fc.pre(its !== other && now + by < 2 ** 48 - 1)
        const standing = { floor: now + by, generation: its }
        const ahead = mintNonce(aKey, NAF, now, someRandom, standing)
        assert.match(ahead, /^[A-Za-z0-9_-]{40}$/)
        assert.equal(mintedAhead(aKey, NAF, ahead, standing), now + by + 1)
        assert.equal(mintedAhead(aKey, NAF, ahead, { ...standing, floor: 0 }), now + by + 1)
        assert.equal(mintedAhead(aKey, NAF, ahead, { ...standing, generation: other }), undefined)
        assert.equal(mintedAhead(aKey, 'other.example.org' as Fqdn, ahead, standing), undefined)
        assert.equal(mintedAt(aKey, NAF, ahead), undefined)
        const plain = mintNonce(aKey, NAF, now + by + 1, someRandom, standing)
        assert.equal(mintedAt(aKey, NAF, plain), now + by + 1)
        assert.equal(mintedAhead(aKey, NAF, plain, standing), undefined)
      }),
    )
  })

  test('is unknown with any one bit flipped', () => {
    const nonce = Buffer.from(mintNonce(key, NAF, NOW, random), 'base64url')
    for (let bit = 0; bit < nonce.length * 8; bit++) {
      const flipped = nonce.map((octet, i) => (i === bit >> 3 ? octet ^ (1 << (bit & 7)) : octet))
      assert.equal(mintedAt(key, NAF, Buffer.from(flipped).toString('base64url')), undefined)
    }
    assert.equal(mintedAt(key, NAF, nonce.toString('base64url')), NOW)
  })

  test('is unknown at any other NAF', () => {
    fc.assert(
      fc.property(keys, names, names, instants, randoms, (aKey, naf, other, now, someRandom) => {
        fc.pre(naf !== other)
        assert.equal(mintedAt(aKey, other, mintNonce(aKey, naf, now, someRandom)), undefined)
      }),
    )
  })

  test('is unknown under any other key', () => {
    fc.assert(
      fc.property(keys, keys, instants, randoms, (aKey, other, now, someRandom) => {
        fc.pre(!aKey.equals(other))
        assert.equal(mintedAt(other, NAF, mintNonce(aKey, NAF, now, someRandom)), undefined)
      }),
    )
  })

  test('is another one for each random value, minted at the same instant', () => {
    const nonces = Array.from({ length: 256 }, (_, n) => mintNonce(key, NAF, NOW, Uint8Array.from(random).fill(n)))
    assert.equal(new Set(nonces).size, 256)
  })

  test('takes exactly nine random octets', () => {
    for (const length of [0, 8, 10]) {
      assert.throws(() => mintNonce(key, NAF, NOW, new Uint8Array(length)), RangeError)
    }
  })
})

describe('a nonce that proved to be ours', () => {
  const other = 'lists.example.org' as Fqdn

  test('is ours again, and is still unknown at another NAF and under another key', () => {
    const nonce = mintNonce(key, NAF, NOW, random)
    for (let round = 0; round < 2; round++) {
      assert.equal(mintedAt(key, NAF, nonce), NOW)
      assert.equal(mintedAt(key, other, nonce), undefined)
      assert.equal(mintedAt(new Secret(new Uint8Array(32).fill(3)), NAF, nonce), undefined)
    }
  })

  test('helps no other text, and what was refused stays so', () => {
    const nonce = mintNonce(key, NAF, NOW, random)
    assert.equal(mintedAt(key, NAF, nonce), NOW)
    for (let at = 0; at < nonce.length; at++) {
      const spoiled = `${nonce.slice(0, at)}${nonce[at] === 'A' ? 'B' : 'A'}${nonce.slice(at + 1)}`
      for (let round = 0; round < 2; round++) assert.equal(mintedAt(key, NAF, spoiled), undefined)
    }
  })

  test('is ours however many others came since', () => {
    const nonce = mintNonce(key, NAF, NOW, random)
    const randomOf = (n: number) => Uint8Array.from([n >> 16, n >> 8, n, 0, 0, 0, 0, 0, 1])
    for (let n = 0; n < 20_000; n++)
      assert.equal(mintedAt(key, NAF, mintNonce(key, NAF, NOW + n, randomOf(n))), NOW + n)
    assert.equal(mintedAt(key, NAF, nonce), NOW)
  })
})

describe('no nonce of ours is', () => {
  const good = mintNonce(key, NAF, NOW, random)
  for (const [what, text] of [
    ['an empty text', ''],
    ['one without its last character', good.slice(0, -1)],
    ['one with a character more', `${good}A`],
    ['one with a line end', `${good}\n`],
    ['one padded', `${good.slice(0, -1)}=`],
    ['the golden nonce of the specification sheets', 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYX'],
    ['a number of zeros', 'A'.repeat(40)],
    ['something in another alphabet', 'é'.repeat(40)],
    ['one that is very long', good.repeat(10_000)],
  ] as const) {
    test(what, () => assert.equal(mintedAt(key, NAF, text), undefined))
  }
})
