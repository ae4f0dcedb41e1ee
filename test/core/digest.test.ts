import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { utf8 } from '../../src/core/bytes.ts'
import {
  akav2Password,
  computeHa1,
  computeResponse,
  DIGEST_ALGORITHMS,
  type DigestAlgorithm,
  hashBody,
  hashUsername,
  isSessionAlgorithm,
  parseAlgorithm,
  type Qop,
  responseEquals,
  sessionHa1,
} from '../../src/core/digest.ts'
import { hex, secret, vectors } from '../support/vectors.ts'

interface Vector {
  readonly name: string
  readonly status: string
  readonly hash: 'MD5' | 'SHA-256' | 'SHA-512-256'
  readonly username: string
  readonly realm: string
  readonly password?: string
  readonly passwordHex?: string
  readonly method: string
  readonly uri: string
  readonly nonce: string
  readonly nc: string
  readonly cnonce: string
  readonly qop: Qop
  readonly body?: string
  readonly responseBody?: string
  readonly ha1: string
  readonly response: string
  readonly rspauth: string
  readonly userhash?: string
  readonly akav2?: { readonly passwordFromPrf: string }
}

const { vectors: published } = vectors<{ vectors: readonly Vector[] }>('digest.json')

describe('a published or computed digest', () => {
  for (const vector of published) {
    const { username, realm, nonce, nc, cnonce, qop, method, uri } = vector
    const algorithm = vector.akav2 ? 'AKAv2-MD5' : vector.passwordHex === undefined ? vector.hash : 'AKAv1-MD5'
    const password = vector.passwordHex === undefined ? utf8(vector.password ?? '') : hex(vector.passwordHex)
    const ha1 = computeHa1(algorithm, username, realm, password)
    const covered = (body: string | undefined) => ({ bodyHash: hashBody(algorithm, utf8(body ?? '')) })
    const input = { algorithm, ha1, nonce, nc, cnonce, qop } as const

    test(`is what we compute: ${vector.name} (${vector.status})`, () => {
      assert.equal(ha1, vector.ha1)
      assert.equal(computeResponse({ ...input, method, uri, ...covered(vector.body) }), vector.response)
      assert.equal(computeResponse({ ...input, method: '', uri, ...covered(vector.responseBody) }), vector.rspauth)
    })
    const { userhash } = vector
    if (userhash !== undefined) {
      test(`names the user by hash: ${vector.name}`, () => {
        assert.equal(hashUsername(algorithm, username, realm), userhash)
      })
    }
  }

  test('under AKAv2 has a password that binds IK and CK to RES', () => {
    const [res, ik, ck] = ['a54211d5e3ba50bf', 'f769bcd751044604127672711c6d3441', 'b40ba9a3c58b2a05bbf0d987b21bf8cb']
    const expected = published.find(({ akav2 }) => akav2)?.akav2?.passwordFromPrf
    assert.equal(Buffer.from(akav2Password(secret(res), secret(ik), secret(ck))).toString(), expected)
    assert.throws(() => akav2Password(secret(res), secret(ik), secret('00')), RangeError)
  })
})

describe('computeHa1', () => {
  test('of a -sess algorithm is bound to both nonces of the session', () => {
    const of = (nonce: string, cnonce: string) => computeHa1('MD5-sess', 'u', 'r', utf8('p'), { nonce, cnonce })
    assert.equal(new Set([of('n', 'c'), of('n', 'd'), of('m', 'c')]).size, 3)
  })

  test('of a -sess algorithm without a session is a bug of the caller', () => {
    assert.throws(() => computeHa1('SHA-256-sess', 'u', 'r', utf8('p')), RangeError)
  })

  test('of another algorithm does not depend on a session', () => {
    const session = { nonce: 'n', cnonce: 'c' }
    assert.equal(computeHa1('MD5', 'u', 'r', utf8('p'), session), computeHa1('MD5', 'u', 'r', utf8('p')))
  })

  test('takes a RES as octets, also those that are no text', () => {
    const ha1 = (password: Uint8Array) => computeHa1('AKAv1-MD5', 'u', 'r', password)
    assert.notEqual(ha1(hex('80ff')), ha1(hex('81ff')))
    assert.notEqual(ha1(hex('80ff')), ha1(utf8('80ff')))
  })
})

describe('sessionHa1', () => {
  const session = { nonce: 'n', cnonce: 'c' }

  for (const [algorithm, hash] of [
    ['MD5-sess', 'MD5'],
    ['SHA-256-sess', 'SHA-256'],
    ['SHA-512-256-sess', 'SHA-512-256'],
    ['AKAv1-MD5-sess', 'AKAv1-MD5'],
  ] as const) {
    test(`makes of the HA1 of ${hash} what ${algorithm} makes of the password`, () => {
      const ha1 = computeHa1(hash, 'u', 'r', utf8('p'))
      assert.equal(sessionHa1(algorithm, ha1, session), computeHa1(algorithm, 'u', 'r', utf8('p'), session))
    })
  }

  test('changes with every part', () => {
    const ha1 = computeHa1('MD5', 'u', 'r', utf8('p'))
    const all = [
      sessionHa1('MD5-sess', ha1, session),
      sessionHa1('MD5-sess', ha1, { ...session, nonce: 'o' }),
      sessionHa1('MD5-sess', ha1, { ...session, cnonce: 'd' }),
      sessionHa1('MD5-sess', computeHa1('MD5', 'u', 'r', utf8('q')), session),
      sessionHa1('SHA-256-sess', ha1, session),
    ]
    assert.equal(new Set(all).size, all.length)
  })

  test('of an algorithm without sessions is a bug of the caller', () => {
    assert.throws(() => sessionHa1('MD5', computeHa1('MD5', 'u', 'r', utf8('p')), session), RangeError)
  })
})

describe('computeResponse', () => {
  const ha1 = computeHa1('MD5', 'u', 'r', utf8('p'))
  const input = { algorithm: 'MD5', ha1, nonce: 'n', method: 'GET', uri: '/' } as const

  for (const [name, more] of [
    ['auth without nc', { qop: 'auth', cnonce: 'c' }],
    ['auth without cnonce', { qop: 'auth', nc: '00000001' }],
    ['auth-int without the digest of the body', { qop: 'auth-int', nc: '00000001', cnonce: 'c' }],
  ] as const) {
    test(`of ${name} is a bug of the caller`, () => {
      assert.throws(() => computeResponse({ ...input, ...more }), RangeError)
    })
  }

  test('changes with every part that it covers', () => {
    const parts = {
      algorithm: 'MD5',
      ha1,
      nonce: 'n',
      nc: '1',
      cnonce: 'c',
      qop: 'auth-int',
      method: 'M',
      uri: 'u',
    } as const
    const whole = computeResponse({ ...parts, bodyHash: 'b' })
    for (const name of ['ha1', 'nonce', 'nc', 'cnonce', 'method', 'uri', 'bodyHash'] as const) {
      assert.notEqual(computeResponse({ ...parts, bodyHash: 'b', [name]: 'x' }), whole, name)
    }
    assert.notEqual(computeResponse({ ...parts, bodyHash: 'b', qop: 'auth' }), whole)
    assert.notEqual(computeResponse({ ...parts, bodyHash: 'b', algorithm: 'SHA-256' }), whole)
  })

  test('of auth does not change with the body', () => {
    const auth = { ...input, qop: 'auth', nc: '00000001', cnonce: 'c' } as const
    assert.equal(computeResponse({ ...auth, bodyHash: 'b' }), computeResponse(auth))
  })
})

describe('parseAlgorithm', () => {
  test('knows each name in any letter case and gives it back as it is sent', () => {
    for (const name of DIGEST_ALGORITHMS) {
      assert.equal(parseAlgorithm(name.toLowerCase()), name)
      assert.equal(parseAlgorithm(name.toUpperCase()), name)
    }
  })

  for (const name of ['', 'SHA', 'SHA-512', 'AKAv3-MD5', 'AKAv1-SHA-256', 'MD5-SESSION', 'constructor']) {
    test(`knows no "${name}"`, () => assert.equal(parseAlgorithm(name), undefined))
  }

  test('and isSessionAlgorithm agree on -sess', () => {
    const sessions: DigestAlgorithm[] = ['MD5-sess', 'SHA-256-sess', 'SHA-512-256-sess', 'AKAv1-MD5-sess']
    assert.deepEqual(DIGEST_ALGORITHMS.filter(isSessionAlgorithm), sessions)
  })
})

describe('responseEquals', () => {
  test('is equality, for any two texts', () => {
    fc.assert(fc.property(fc.string(), fc.string(), (a, b) => responseEquals(a, b) === (a === b)))
    fc.assert(fc.property(fc.string(), (a) => responseEquals(a, `${a}`)))
  })

  test('does not take an empty response for a right one', () => {
    assert.equal(responseEquals('', '8309757d85d4a6888da8a40d52c1328b'), false)
  })

  test('minds the letter case', () => assert.equal(responseEquals('AB', 'ab'), false))
})
