import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { utf8 } from '../../src/core/bytes.ts'
import { computeResponse, hashBody, type Qop } from '../../src/core/digest.ts'
import { answerChallenge, checkProof } from '../../src/ue/answer.ts'
import { standardProfile } from '../../src/ue/profile.ts'
import { gbaChallenge } from '../../src/ue/ua.ts'
import { NAF } from './fake-network.ts'

const BODY = utf8('answer')

/** The UE's answer to a challenge, and rspauth as a server that knows the key computes it. */
function exchange(asked: Qop, proven: Qop = asked) {
  const answer = answerChallenge({
    challenge: { realm: 'r', nonce: 'n', qop: [asked], algorithm: 'SHA-256' },
    qop: asked,
    username: 'u',
    password: utf8('p'),
    nc: '00000001',
    cnonce: 'c',
    method: 'GET',
    uri: '/x',
    body: new Uint8Array(),
  })
  const rspauth = computeResponse({
    algorithm: 'SHA-256',
    ha1: answer.ha1,
    nonce: 'n',
    nc: '00000001',
    cnonce: 'c',
    qop: proven,
    method: '',
    uri: '/x',
    bodyHash: hashBody('SHA-256', BODY),
  })
  return { answer, rspauth }
}

describe('the proof of a server', () => {
  const { answer, rspauth } = exchange('auth-int')
  const outcome = (...values: string[]) =>
    checkProof(
      answer,
      values.map((value) => ['Authentication-Info', value] as const),
      BODY,
    ).outcome

  test('counts with all its parameters, or with rspauth alone', () => {
    assert.equal(outcome(`qop=auth-int,rspauth="${rspauth}",cnonce="c",nc=00000001`), 'verified')
    assert.equal(outcome(`rspauth="${rspauth}"`), 'verified')
    assert.equal(outcome(`rspauth="${rspauth.toUpperCase()}"`), 'verified')
  })

  test('covers the body', () => {
    const headers = [['authentication-info', `rspauth="${rspauth}"`]] as const
    assert.equal(checkProof(answer, headers, utf8('answer!')).outcome, 'wrong')
  })

  test('is of this exchange', () => {
    assert.equal(outcome(`rspauth="${rspauth}",nc=00000002`), 'wrong')
    assert.equal(outcome(`rspauth="${rspauth}",cnonce="d"`), 'wrong')
  })

  test('may not leave out the body when the request asked for integrity', () => {
    const weak = exchange('auth-int', 'auth')
    assert.equal(
      checkProof(weak.answer, [['authentication-info', `qop=auth,rspauth="${weak.rspauth}"`]], BODY).outcome,
      'wrong',
    )
  })

  test('may cover the body when the request did not ask for it', () => {
    const strong = exchange('auth', 'auth-int')
    const headers = [['authentication-info', `qop=auth-int,rspauth="${strong.rspauth}"`]] as const
    assert.equal(checkProof(strong.answer, headers, BODY).outcome, 'verified')
    assert.equal(checkProof(strong.answer, headers, utf8('other')).outcome, 'wrong')
  })

  test('is absent without rspauth, and wrong when nobody can read it', () => {
    assert.equal(outcome(), 'absent')
    assert.equal(outcome('nextnonce="x"'), 'absent')
    assert.equal(outcome('rspauth'), 'wrong')
    assert.equal(outcome(`rspauth="${rspauth}"`, `rspauth="${rspauth}"`), 'wrong')
  })

  test('that is wrong brings no nextnonce', () => {
    const proof = checkProof(answer, [['authentication-info', 'rspauth="00",nextnonce="evil"']], BODY)
    assert.deepEqual(proof, { outcome: 'wrong' })
  })
})

test('a challenge without a nonce is answered by nobody', () => {
  const header = ['WWW-Authenticate', `Digest realm="3GPP-bootstrapping@${NAF}", nonce="", qop="auth"`] as const
  assert.throws(() => gbaChallenge([header], NAF, standardProfile), { code: 'CHALLENGE_UNUSABLE' })
})
