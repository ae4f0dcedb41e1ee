import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { hashA2 } from '../../src/core/digest.ts'
import { btidOf, type Fqdn } from '../../src/core/identity.ts'
import { Secret } from '../../src/core/secret.ts'
import { TOLERANCE_NAMES } from '../../src/core/tolerances.ts'
import { type ChallengePolicy, realmOf } from '../../src/ua/challenge.ts'
import type { Familiar } from '../../src/ua/familiar.ts'
import { mintNonce } from '../../src/ua/nonce.ts'
import { type Presented, readCredentials, type UaRequest } from '../../src/ua/verify.ts'

const NAF = 'xcap.example.org' as Fqdn
const TARGET = '/resource-lists/users/sip:alice@example.org/index'
const NOW = 1_000_000
const POLICY: ChallengePolicy = {
  algorithms: ['MD5', 'MD5-sess'],
  qop: ['auth', 'auth-int'],
  methods: ['gba-me'],
  realms: 'separate',
  lines: 'separate',
}
const NONCES = { key: new Secret(new Uint8Array(32).fill(9)), lifetimeMs: 3_600_000 }
const NONCE = mintNonce(NONCES.key, NAF, NOW, new Uint8Array(9))
const USER = btidOf(new Uint8Array(16).fill(1), 'bsf.example.org' as Fqdn)

const header = (nc: string, { cnonce = 'abc', response = 'f'.repeat(32), more = '' } = {}) =>
  `Digest username="${USER}", realm="${realmOf('gba-me', NAF)}", nonce="${NONCE}", uri="${TARGET}", ` +
  `qop=auth, nc=${nc}, cnonce="${cnonce}", response="${response}"${more}`

function read(authorization: string, familiar?: Familiar, now = NOW): Presented | string {
  const request: UaRequest = { method: 'GET', target: TARGET, nafFqdn: NAF, authorization: [authorization], familiar }
  try {
    return readCredentials(request, POLICY, NONCES, now, new Set(TOLERANCE_NAMES))
  } catch (error) {
    return String(error)
  }
}

/** What was read, without where it was read from. */
function plain(presented: Presented | string): unknown {
  if (typeof presented === 'string') return presented
  const { familiar: _, request, ...rest } = presented
  return { ...rest, authorization: request.authorization }
}

const wasHeldAgainst = (presented: Presented | string): boolean =>
  typeof presented !== 'string' && presented.familiar !== undefined

describe('credentials like those before them', () => {
  test('are read as they would be without', () => {
    const familiar: Familiar = { credentials: undefined }
    assert.equal(wasHeldAgainst(read(header('00000001'), familiar)), false)
    for (const next of [
      header('00000002', { response: 'a'.repeat(32) }),
      header('0000000a', { cnonce: 'x,y' }),
      header('00000003', { response: 'Z'.repeat(32) }),
    ]) {
      const found = read(next, familiar)
      assert.equal(wasHeldAgainst(found), true)
      assert.deepEqual(plain(found), plain(read(next)))
    }
  })

  test('are read in full where they differ in more, or are written otherwise', () => {
    for (const other of [
      header('2'),
      header('0000000A'),
      header('00000002', { cnonce: 'abcd' }),
      header('00000002', { cnonce: 'a\\"' }),
      header('00000002', { cnonce: 'a"x' }),
      header('00000002', { response: '' }),
      header('00000002', { more: ', opaque="other"' }),
      header('00000002').replace('alice', 'alicf'),
      header('00000002').replace(NONCE, `x${NONCE.slice(1)}`),
      header('00000002').replace('qop=auth,', 'qop=autx,'),
    ]) {
      const familiar: Familiar = { credentials: undefined }
      read(header('00000001'), familiar)
      const found = read(other, familiar)
      assert.equal(wasHeldAgainst(found), false, other)
      assert.deepEqual(plain(found), plain(read(other)))
    }
  })

  test('of the future are refused as ever, though they were read before the clock went back', () => {
    const familiar: Familiar = { credentials: undefined }
    read(header('00000001'), familiar)
    const found = read(header('00000002'), familiar, NOW - 3_600_000)
    assert.equal(typeof found, 'string')
    assert.equal(found, read(header('00000002'), undefined, NOW - 3_600_000))
  })

  test('share the digests of what they are for', () => {
    const familiar: Familiar = { credentials: undefined }
    read(header('00000001'), familiar)
    for (let times = 0; times < 2; times++) {
      assert.equal(familiar.credentials?.ha2('GET'), hashA2('MD5', 'GET', TARGET))
      assert.equal(familiar.credentials?.ha2(''), hashA2('MD5', '', TARGET))
    }
  })

  test('are the same as without, whatever octets are changed', () => {
    const before = header('00000001', { more: ', algorithm=MD5' })
    const changes = fc.array(fc.tuple(fc.nat(before.length - 1), fc.integer({ min: 0x20, max: 0x7e })), {
      maxLength: 3,
    })
    let held = 0
    fc.assert(
      fc.property(changes, fc.integer({ min: 0, max: 0xffffff }), (list, nc) => {
        const familiar: Familiar = { credentials: undefined }
        read(before, familiar)
        const octets = Buffer.from(before.replace('00000001', nc.toString(16).padStart(8, '0')))
        for (const [at, octet] of list) octets[at] = octet
        const found = read(octets.toString('latin1'), familiar)
        if (wasHeldAgainst(found)) held++
        assert.deepEqual(plain(found), plain(read(octets.toString('latin1'))))
      }),
      { numRuns: 3_000 },
    )
    assert.ok(held > 300 && held < 3_000, String(held))
  })
})
