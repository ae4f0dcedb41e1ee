import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { type Fqdn, parseImpu } from '../../src/core/identity.ts'
import { Secret } from '../../src/core/secret.ts'
import { pairwisePseudonym } from '../../src/ut/pseudonym.ts'

const KEY = new Secret(new Uint8Array(32).fill(7))
const DOMAIN = 'pseudonym.invalid' as Fqdn
const named = (subscriber = 'impi alice@example.com', appServer = 'xdms', key = KEY, domain = DOMAIN) =>
  pairwisePseudonym(key, subscriber, appServer, domain)

/** RFC 4648 clause 6, bit by bit. */
function base32(octets: Uint8Array): string {
  const bits = [...octets].map((octet) => octet.toString(2).padStart(8, '0')).join('')
  return bits.replace(/.{5}/g, (five) => 'abcdefghijklmnopqrstuvwxyz234567'.charAt(Number.parseInt(five, 2)))
}

describe('pairwisePseudonym', () => {
  test('is the first 160 bits of an HMAC in base32', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), fc.string(), (key, subscriber) => {
        const text = `pairwise pseudonym\0xdms\0${subscriber}`
        const mac = createHmac('sha256', key).update(text).digest().subarray(0, 20)
        assert.equal(named(subscriber, 'xdms', new Secret(key)), `sip:${base32(mac)}@pseudonym.invalid`)
      }),
    )
  })
  test('is a public identity in canonical form', () => {
    assert.equal(parseImpu(named()), named())
    assert.match(named(), /^sip:[a-z2-7]{32}@pseudonym\.invalid$/)
  })
  test('is the same each time, and another for each subscriber, server and key', () => {
    const all = [
      named(),
      named('impi bob@example.com'),
      named(undefined, 'rls'),
      named(undefined, undefined, new Secret(new Uint8Array(32).fill(8))),
    ]
    assert.equal(named(), named())
    assert.equal(new Set(all).size, all.length)
  })
  test('keeps server and subscriber apart', () => assert.notEqual(named('c', 'ab'), named('bc', 'a')))
  test('wants a key of 32 octets and a domain', () => {
    assert.throws(() => named(undefined, undefined, new Secret(new Uint8Array(16))), RangeError)
    assert.throws(() => named(undefined, undefined, KEY, 'no domain' as Fqdn), RangeError)
  })
})
