import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { inspect } from 'node:util'
import { toBase64, utf8 } from '../../src/core/bytes.ts'
import { computeHa1, computeResponse } from '../../src/core/digest.ts'
import { formatAuthorization } from '../../src/core/digest-header.ts'
import { btidOf, type Fqdn } from '../../src/core/identity.ts'
import { Secret } from '../../src/core/secret.ts'
import { TOLERANCE_NAMES } from '../../src/core/tolerances.ts'
import { type ChallengePolicy, realmOf } from '../../src/ua/challenge.ts'
import { ha1OfKey, keepHa1 } from '../../src/ua/ha1.ts'
import { mintNonce } from '../../src/ua/nonce.ts'
import { authenticationInfo, type Presented, readCredentials, responseIsRight } from '../../src/ua/verify.ts'

const NAF = 'xcap.example.org' as Fqdn
const TARGET = '/resource-lists/users/sip:alice@example.org/index'
const NOW = 1_000_000
const NO_BODY = new Uint8Array()
const policy: ChallengePolicy = {
  algorithms: ['SHA-256', 'MD5', 'MD5-sess'],
  qop: ['auth'],
  methods: ['gba-me', 'gba-u'],
  realms: 'separate',
  lines: 'separate',
}
const nonces = { key: new Secret(new Uint8Array(32).fill(9)), lifetimeMs: 3_600_000 }
const keyOf = (n: number) => new Secret(new Uint8Array(32).fill(n))
const btid = (n: number) => btidOf(new Uint8Array(16).fill(n), 'bsf.example.org' as Fqdn)
type Algorithm = 'SHA-256' | 'MD5' | 'MD5-sess'

/** A request over this key, as a UE makes it. */
function presentedWith(
  key: Secret,
  { user = btid(1), algorithm = 'MD5' as Algorithm, cnonce = 'c', method = 'gba-me' as const } = {},
): Presented {
  const nonce = mintNonce(nonces.key, NAF, NOW, new Uint8Array(9))
  const realm = realmOf(method, NAF)
  const ha1 = computeHa1(algorithm, user, realm, utf8(toBase64(key.expose())), { nonce, cnonce })
  const signed = { algorithm, nonce, nc: '00000001', cnonce, qop: 'auth', uri: TARGET } as const
  const response = computeResponse({ ...signed, ha1, method: 'GET' })
  const authorization = [formatAuthorization({ ...signed, username: user, realm, response })]
  const request = { method: 'GET', target: TARGET, nafFqdn: NAF, authorization }
  return readCredentials(request, policy, nonces, NOW, new Set(TOLERANCE_NAMES))
}

describe('the HA1 of a key', () => {
  test('is what it is, whatever was remembered of the key before', () => {
    const key = keyOf(1)
    const fresh = () => keyOf(1)
    for (const algorithm of ['MD5', 'SHA-256', 'MD5', 'SHA-256'] as const) {
      for (const username of ['a', 'b', 'a']) {
        for (const realm of ['r', 's']) {
          const expected = ha1OfKey(fresh(), algorithm, { username, realm })
          assert.equal(ha1OfKey(key, algorithm, { username, realm }), expected)
          keepHa1(key, algorithm, { username, realm }, expected)
          assert.equal(ha1OfKey(key, algorithm, { username, realm }), expected)
        }
      }
    }
  })

  test('goes with the key: an equal one has its own, and so has the one that follows', () => {
    const names = { username: 'a', realm: 'r' }
    const key = keyOf(1)
    keepHa1(key, 'MD5', names, 'marked')
    assert.equal(ha1OfKey(key, 'MD5', names), 'marked')
    for (const other of [keyOf(1), keyOf(2)]) assert.notEqual(ha1OfKey(other, 'MD5', names), 'marked')
  })

  test('is of a key of 32 octets', () => {
    assert.throws(() => ha1OfKey(new Secret(new Uint8Array(16)), 'MD5', { username: 'a', realm: 'r' }), RangeError)
  })
})

describe('responses over one key', () => {
  for (const algorithm of ['MD5', 'SHA-256', 'MD5-sess'] as const) {
    test(`are judged alike the first time and later: ${algorithm}`, () => {
      const key = keyOf(3)
      for (const cnonce of ['c', 'c', 'd']) {
        const presented = presentedWith(key, { algorithm, cnonce })
        assert.ok(responseIsRight(presented, key, NO_BODY))
        assert.ok(!responseIsRight(presented, keyOf(4), NO_BODY))
        const { rspauth } = authenticationInfo(presented, key, NO_BODY, undefined)
        assert.equal(rspauth, authenticationInfo(presented, keyOf(3), NO_BODY, undefined).rspauth)
      }
      assert.ok(!responseIsRight(presentedWith(keyOf(4), { algorithm }), key, NO_BODY))
      assert.ok(responseIsRight(presentedWith(key, { algorithm }), key, NO_BODY))
    })
  }

  test('that are wrong leave nothing behind', () => {
    const key = keyOf(5)
    const wrong = presentedWith(keyOf(6))
    assert.ok(!responseIsRight(wrong, key, NO_BODY))
    // Had the HA1 of the wrong one been kept, this would be answered from it; it is made of the names that were sent.
    for (const user of [btid(1), btid(2), btid(1).replace('bsf', 'BSF')]) {
      assert.ok(responseIsRight(presentedWith(key, { user: user as ReturnType<typeof btid> }), key, NO_BODY))
      assert.ok(!responseIsRight(wrong, key, NO_BODY))
    }
  })

  test('count for the algorithm that made them', () => {
    const key = keyOf(7)
    for (const algorithm of ['MD5', 'SHA-256', 'MD5-sess', 'SHA-256', 'MD5'] as const) {
      assert.ok(responseIsRight(presentedWith(key, { algorithm }), key, NO_BODY), algorithm)
    }
  })

  test('show nothing of what is remembered', () => {
    const key = keyOf(8)
    const presented = presentedWith(key)
    assert.ok(responseIsRight(presented, key, NO_BODY))
    const { username, realm } = presented.credentials
    assert.ok(!inspect(key, { showHidden: true, depth: 9 }).includes(ha1OfKey(key, 'MD5', { username, realm })))
  })
})
