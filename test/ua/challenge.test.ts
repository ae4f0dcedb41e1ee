import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseChallenges } from '../../src/core/digest-header.ts'
import type { Fqdn } from '../../src/core/identity.ts'
import { type ChallengePolicy, challengeHeaders, methodsOfRealm, realmOf, UA_OPAQUE } from '../../src/ua/challenge.ts'
import { vectors } from '../support/vectors.ts'

const { identities, ua } = vectors<{ identities: { naf: string }; ua: { response401: string } }>('golden-flow.json')
const NAF = identities.naf as Fqdn
const NO_TOKENS: ReadonlySet<string> = new Set()
const policyOf = (changes: Partial<ChallengePolicy> = {}): ChallengePolicy => ({
  algorithms: ['MD5'],
  qop: ['auth'],
  methods: ['gba-me'],
  realms: 'joined',
  lines: 'separate',
  ...changes,
})
const NONCE = 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYX'

describe('the challenge on Ua', () => {
  test('is the golden one, but for the opaque text, which is ours', () => {
    const [, header = ''] = /WWW-Authenticate: ([^\r]+)/.exec(ua.response401) ?? []
    const [golden] = parseChallenges([header])
    const ours = challengeHeaders(NAF, NONCE, policyOf({ qop: ['auth', 'auth-int'] }), NO_TOKENS, false)
    assert.deepEqual(parseChallenges(ours), [{ ...golden, opaque: UA_OPAQUE }])
  })

  test('has one line for each algorithm, in the order of the policy, over one nonce', () => {
    const lines = challengeHeaders(
      NAF,
      NONCE,
      policyOf({ algorithms: ['SHA-256', 'MD5-sess', 'MD5'] }),
      NO_TOKENS,
      false,
    )
    const challenges = lines.map((line) => parseChallenges([line]))
    assert.deepEqual(
      challenges.map((list) => list.map(({ algorithm }) => algorithm)),
      [['SHA-256'], ['MD5-sess'], ['MD5']],
    )
    for (const [challenge] of challenges) {
      assert.deepEqual([challenge?.nonce, challenge?.realm, challenge?.qop], [NONCE, realmOf('gba-me', NAF), ['auth']])
    }
  })

  test('says stale only when told to, and is silent otherwise', () => {
    const policy = policyOf({ algorithms: ['MD5', 'SHA-256'] })
    const staleOf = (stale: boolean) => parseChallenges(challengeHeaders(NAF, NONCE, policy, NO_TOKENS, stale))
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
    assert.doesNotMatch(`${realmOf('gba-me', NAF)}${UA_OPAQUE}`, /[,= ]/)
  })
})

describe('several methods', () => {
  const both = policyOf({ methods: ['gba-u', 'gba-me'], algorithms: ['SHA-256', 'MD5'] })
  const me = realmOf('gba-me', NAF)
  const uicc = realmOf('gba-u', NAF)
  const realmsOf = (policy: ChallengePolicy, tokens: readonly string[] = []) =>
    parseChallenges(challengeHeaders(NAF, NONCE, policy, new Set(tokens), false)).map(({ realm }) => realm)

  test('stand in the realm of one challenge, in order of preference', () => {
    assert.deepEqual(realmsOf(both), [`${uicc};${me}`, `${uicc};${me}`])
  })

  test('have a challenge each where realms are separate', () => {
    assert.deepEqual(realmsOf({ ...both, realms: 'separate' }), [uicc, uicc, me, me])
  })

  test('are those that the UE says it knows, and all of them for a UE that says nothing or something else', () => {
    assert.deepEqual(realmsOf(both, ['3gpp-gba']), [me, me])
    assert.deepEqual(realmsOf(both, ['3gpp-gba-digest', 'ua/1.0']), realmsOf(both))
  })

  test('share a header line where lines are joined, and a parser takes it apart again', () => {
    const lines = challengeHeaders(NAF, NONCE, { ...both, realms: 'separate', lines: 'joined' }, NO_TOKENS, false)
    assert.equal(lines.length, 1)
    assert.equal(parseChallenges(lines).length, 4)
  })

  test('are recognised by the realm that a UE picks or echoes, and by no other', () => {
    assert.deepEqual(methodsOfRealm(me, NAF, both), ['gba-me'])
    assert.deepEqual(methodsOfRealm(`${uicc};${me}`, NAF, both), ['gba-u', 'gba-me'])
    const digest = realmOf('gba-digest', NAF)
    for (const realm of ['', ';', `${me};`, `${me};${me}`, digest, `${me};${digest}`, me.toUpperCase()]) {
      assert.deepEqual(methodsOfRealm(realm, NAF, both), [], realm)
    }
  })
})
