import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { utf8 } from '../../src/core/bytes.ts'
import { computeHa1, computeResponse, hashBody } from '../../src/core/digest.ts'
import {
  type DigestCredentials,
  formatAuthenticationInfo,
  formatAuthorization,
  formatChallenge,
  parseAuthenticationInfo,
  parseAuthorization,
  parseChallenges,
} from '../../src/core/digest-header.ts'
import { hex, vectors } from '../support/vectors.ts'

const { aka, ub, resync, ua } = vectors<{
  aka: { RES: string }
  ub: Record<'request1' | 'response401' | 'request2' | 'response200', string>
  resync: { request2: string; AUTS_base64: string }
  ua: Record<'response401' | 'request2_authorization' | 'response201' | 'password' | 'body', string>
}>('golden-flow.json')

function header(message: string, name: string): string {
  const line = message.split('\r\n').find((text) => text.startsWith(`${name}: `))
  assert.ok(line, `${name} in ${message}`)
  return line.slice(name.length + 2)
}

const bodyOf = (message: string): Uint8Array => utf8(message.slice(message.indexOf('\r\n\r\n') + 4))

function credentials(authorization: string): Required<Omit<DigestCredentials, 'auts'>> & { auts?: string } {
  const parsed = parseAuthorization(authorization)
  assert.ok(parsed)
  const { algorithm, qop, nc, cnonce, opaque } = parsed
  assert.ok(algorithm && qop && nc && cnonce && opaque)
  return { ...parsed, algorithm, qop, nc, cnonce, opaque }
}

function response(authorization: string, password: Uint8Array, method: string, body: Uint8Array): string {
  const { algorithm, username, realm, ...rest } = credentials(authorization)
  const ha1 = computeHa1(algorithm, username, realm, password)
  return computeResponse({ ...rest, algorithm, ha1, method, bodyHash: hashBody(algorithm, body) })
}

const NONE = new Uint8Array()

describe('every Digest header of the golden exchange is written as it was read', () => {
  for (const [name, value] of [
    ['the first request on Ub', header(ub.request1, 'Authorization')],
    ['the second request on Ub', header(ub.request2, 'Authorization')],
    ['the resynchronisation', header(resync.request2, 'Authorization')],
    ['the request on Ua', ua.request2_authorization],
  ] as const) {
    test(name, () => {
      const parsed = parseAuthorization(value)
      assert.ok(parsed)
      assert.deepEqual(parsed.quirks, [])
      assert.equal(formatAuthorization(parsed), value)
    })
  }

  for (const [name, message] of [
    ['the challenge on Ub', ub.response401],
    ['the challenge on Ua', ua.response401],
  ] as const) {
    test(name, () => {
      const value = header(message, 'WWW-Authenticate')
      assert.deepEqual(parseChallenges([value]).map(formatChallenge), [value])
    })
  }

  for (const [name, message] of [
    ['the proof of the BSF', ub.response200],
    ['the proof of the NAF', ua.response201],
  ] as const) {
    test(name, () => {
      const value = header(message, 'Authentication-Info')
      const info = parseAuthenticationInfo(value)
      assert.ok(info)
      assert.equal(formatAuthenticationInfo(info, { separator: ', ' }), value)
      assert.equal(formatAuthenticationInfo(info), value.replaceAll(', ', ','))
    })
  }
})

describe('the golden exchange', () => {
  test('begins on Ub with a name, and nothing to answer yet', () => {
    const first = parseAuthorization(header(ub.request1, 'Authorization'))
    assert.equal(first?.username, '001010123456789@ims.mnc001.mcc001.3gppnetwork.org')
    assert.deepEqual([first?.nonce, first?.response, first?.algorithm], ['', '', undefined])
  })

  test('on Ub proves RES', () => {
    const value = header(ub.request2, 'Authorization')
    assert.equal(response(value, hex(aka.RES), 'GET', NONE), credentials(value).response)
  })

  test('on Ub is answered by a proof over the body that the BSF sends', () => {
    const info = parseAuthenticationInfo(header(ub.response200, 'Authentication-Info'))
    assert.equal(
      response(header(ub.request2, 'Authorization'), hex(aka.RES), '', bodyOf(ub.response200)),
      info?.rspauth,
    )
  })

  test('resynchronises with an empty password', () => {
    const value = header(resync.request2, 'Authorization')
    assert.equal(response(value, NONE, 'GET', NONE), credentials(value).response)
    assert.equal(credentials(value).auts, resync.AUTS_base64)
  })

  test('on Ua proves Ks_NAF over the body', () => {
    const value = ua.request2_authorization
    assert.equal(response(value, utf8(ua.password), 'PUT', utf8(ua.body)), credentials(value).response)
  })

  test('on Ua is answered by the proof of the NAF', () => {
    const info = parseAuthenticationInfo(header(ua.response201, 'Authentication-Info'))
    const rspauth = response(ua.request2_authorization, utf8(ua.password), '', bodyOf(ua.response201))
    assert.equal(rspauth, info?.rspauth)
  })
})
