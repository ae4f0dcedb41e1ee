import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseChallenges } from '../../src/core/digest-header.ts'
import type { Fqdn } from '../../src/core/identity.ts'
import { challengeHeaders, realmOf, UA_OPAQUE } from '../../src/ua/challenge.ts'
import { vectors } from '../support/vectors.ts'

const { identities, ua } = vectors<{ identities: { naf: string }; ua: { response401: string } }>('golden-flow.json')
const NAF = identities.naf as Fqdn
const NONCE = 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYX'

describe('the challenge on Ua', () => {
  test('is the golden one, but for the opaque text, which is ours', () => {
    const [, header = ''] = /WWW-Authenticate: ([^\r]+)/.exec(ua.response401) ?? []
    const [golden] = parseChallenges([header])
    const ours = challengeHeaders(NAF, NONCE, { algorithms: ['MD5'], qop: ['auth', 'auth-int'] }, false)
    assert.deepEqual(parseChallenges(ours), [{ ...golden, opaque: UA_OPAQUE }])
  })

  test('has one line for each algorithm, in the order of the policy, over one nonce', () => {
    const lines = challengeHeaders(NAF, NONCE, { algorithms: ['SHA-256', 'MD5-sess', 'MD5'], qop: ['auth'] }, false)
    const challenges = lines.map((line) => parseChallenges([line]))
    assert.deepEqual(
      challenges.map((list) => list.map(({ algorithm }) => algorithm)),
      [['SHA-256'], ['MD5-sess'], ['MD5']],
    )
    for (const [challenge] of challenges) {
      assert.deepEqual([challenge?.nonce, challenge?.realm, challenge?.qop], [NONCE, realmOf(NAF), ['auth']])
    }
  })

  test('says stale only when told to, and is silent otherwise', () => {
    const policy = { algorithms: ['MD5', 'SHA-256'], qop: ['auth'] } as const
    const staleOf = (stale: boolean) => parseChallenges(challengeHeaders(NAF, NONCE, policy, stale))
    assert.deepEqual(
      staleOf(true).map(({ stale }) => stale),
      [true, true],
    )
    assert.deepEqual(
      staleOf(false).map((challenge) => 'stale' in challenge),
      [false, false],
    )
  })

  test('has no comma or equals sign inside nonce, realm and opaque: some UEs split there', () => {
    assert.doesNotMatch(`${realmOf(NAF)}${UA_OPAQUE}`, /[,= ]/)
  })
})
