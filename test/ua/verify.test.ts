import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { fromBase64, utf8 } from '../../src/core/bytes.ts'
import type { DigestAlgorithm, Qop } from '../../src/core/digest.ts'
import { formatAuthorization, type OutgoingCredentials, parseAuthorization } from '../../src/core/digest-header.ts'
import { type Fqdn, parseBtid } from '../../src/core/identity.ts'
import { Secret } from '../../src/core/secret.ts'
import { TOLERANCE_NAMES, type Tolerances } from '../../src/core/tolerances.ts'
import { type FaultCode, GbaError } from '../../src/errors.ts'
import { type ChallengePolicy, realmOf, UA_OPAQUE } from '../../src/ua/challenge.ts'
import type { Familiar } from '../../src/ua/familiar.ts'
import { mintNonce } from '../../src/ua/nonce.ts'
import {
  authenticationInfo,
  authenticationInfoOfHa1,
  type Presented,
  type PresentedDigest,
  readCredentials,
  readDigest,
  responseFitsHa1,
  responseIsRight,
  type UaRequest,
} from '../../src/ua/verify.ts'
import { hex, vectors } from '../support/vectors.ts'

const golden = vectors<{
  identities: { naf: string }
  btid: string
  ua: Record<'Ks_NAF' | 'request2_authorization' | 'body', string>
}>('golden-flow.json')
const NAF = golden.identities.naf as Fqdn
const NOW = 1_795_255_200_000
const LIFETIME_MS = 3_600_000

describe('the golden exchanges on Ua', () => {
  interface Exchange {
    readonly name: string
    readonly hash: DigestAlgorithm
    readonly qop: Qop
    readonly body?: string
    readonly responseBody?: string
    readonly rspauth: string
    readonly password: string
    readonly username: string
    readonly realm: string
    readonly method: string
    readonly uri: string
    readonly nonce: string
    readonly nc: string
    readonly cnonce: string
    readonly opaque: string
    readonly response: string
  }
  const { vectors: all } = vectors<{ vectors: readonly Exchange[] }>('digest.json')
  const exchanges = all.filter(({ name }) => name.startsWith('Ua '))

  function presentedIn(exchange: Exchange): Presented {
    const { hash: algorithm, method, uri: target, qop, nc, cnonce } = exchange
    const btid = parseBtid(exchange.username)
    assert.ok(btid)
    return {
      request: { method, target, nafFqdn: NAF, authorization: [] },
      btid,
      algorithm,
      qop,
      nc: Number.parseInt(nc, 16),
      methods: ['gba-me'],
      tolerances: [],
      isOfferedElsewhere: false,
      cnonce,
      credentials: { ...exchange, algorithm, userhash: false, quirks: [] },
      nonce: { nonce: exchange.nonce, mintedAt: 0, expiresAt: 1 },
    }
  }

  test('are PUT and GET under auth-int, GET without TLS, and GET with SHA-256', () => {
    assert.equal(exchanges.length, 4)
    assert.deepEqual([...new Set(exchanges.map(({ hash }) => hash))], ['MD5', 'SHA-256'])
    assert.deepEqual([...new Set(exchanges.map(({ qop }) => qop))], ['auth-int', 'auth'])
  })

  for (const exchange of exchanges) {
    const ksNaf = new Secret(fromBase64(exchange.password) ?? new Uint8Array())
    const body = utf8(exchange.body ?? '')
    const presented = presentedIn(exchange)

    describe(exchange.name, () => {
      test('the response is right, and with the key, the method or (auth-int) the body changed it is not', () => {
        assert.equal(responseIsRight(presented, ksNaf, body), true)
        const other = new Secret(ksNaf.expose().map((octet, i) => (i === 31 ? octet ^ 1 : octet)))
        assert.equal(responseIsRight(presented, other, body), false)
        const { request } = presented
        assert.equal(responseIsRight({ ...presented, request: { ...request, method: 'DELETE' } }, ksNaf, body), false)
        assert.equal(responseIsRight(presented, ksNaf, utf8(`${exchange.body ?? ''} `)), exchange.qop === 'auth')
      })

      test('every parameter that the response covers is covered', () => {
        const { credentials } = presented
        for (const changes of [
          { username: `A${credentials.username}` },
          { realm: `${credentials.realm}.` },
          { nonce: `${credentials.nonce}A` },
          { nc: '0000000f' },
          { uri: `${credentials.uri}/` },
          { response: credentials.response.replace(/^./, (digit) => (digit === '0' ? '1' : '0')) },
          { response: '' },
        ]) {
          const changed = { ...presented, credentials: { ...credentials, ...changes } }
          assert.equal(responseIsRight(changed, ksNaf, body), false, JSON.stringify(changes))
        }
        assert.equal(responseIsRight({ ...presented, cnonce: 'other' }, ksNaf, body), false)
        const qop = exchange.qop === 'auth' ? 'auth-int' : 'auth'
        assert.equal(responseIsRight({ ...presented, qop }, ksNaf, body), false)
      })

      test('the NAF proves the key with the golden rspauth', () => {
        const answer = utf8(exchange.responseBody ?? '')
        assert.deepEqual(authenticationInfo(presented, ksNaf, answer, undefined), {
          qop: exchange.qop,
          cnonce: exchange.cnonce,
          nc: exchange.nc,
          rspauth: exchange.rspauth,
        })
        assert.equal(authenticationInfo(presented, ksNaf, answer, 'next').nextnonce, 'next')
        const longer = authenticationInfo(presented, ksNaf, utf8(`${exchange.responseBody ?? ''} `), undefined)
        assert.equal(longer.rspauth === exchange.rspauth, exchange.qop === 'auth')
      })
    })
  }

  test('the key is 32 octets: any other length is a bug of ours', () => {
    const [exchange] = exchanges
    assert.ok(exchange)
    assert.throws(() => responseIsRight(presentedIn(exchange), new Secret(new Uint8Array(31)), hex('')), RangeError)
  })
})

describe('the published exchanges with a password', () => {
  interface Exchange {
    readonly name: string
    readonly hash: DigestAlgorithm
    readonly qop: Qop
    readonly username: string
    readonly realm: string
    readonly method: string
    readonly uri: string
    readonly nonce: string
    readonly nc: string
    readonly cnonce: string
    readonly ha1: string
    readonly response: string
    readonly rspauth: string
  }
  const { vectors: all } = vectors<{ vectors: readonly Exchange[] }>('digest.json')
  const exchanges = all.filter(({ name }) => /^RFC (?:2617|7616) 3\.[59]/.test(name))

  const presentedIn = (exchange: Exchange): PresentedDigest => ({
    request: { method: exchange.method, target: exchange.uri, nafFqdn: NAF, authorization: [] },
    algorithm: exchange.hash,
    qop: exchange.qop,
    nc: Number.parseInt(exchange.nc, 16),
    tolerances: [],
    isOfferedElsewhere: false,
    cnonce: exchange.cnonce,
    credentials: { ...exchange, algorithm: exchange.hash, userhash: false, quirks: [] },
    nonce: { nonce: exchange.nonce, mintedAt: 0, expiresAt: 1 },
  })

  test('are with MD5, SHA-256 and SHA-512-256', () => {
    assert.deepEqual([...new Set(exchanges.map(({ hash }) => hash))], ['MD5', 'SHA-256', 'SHA-512-256'])
  })

  for (const exchange of exchanges) {
    const presented = presentedIn(exchange)
    const ha1 = new Secret(utf8(exchange.ha1))

    test(`are right by the stored HA1, and answered by it: ${exchange.name}`, () => {
      assert.equal(responseFitsHa1(presented, ha1, utf8('')), true)
      const other = new Secret(utf8(exchange.ha1.replace(/^./, (digit) => (digit === '0' ? '1' : '0'))))
      assert.equal(responseFitsHa1(presented, other, utf8('')), false)
      const { rspauth } = authenticationInfoOfHa1(presented, ha1, utf8(''), undefined)
      assert.equal(rspauth, exchange.rspauth)
    })

    test(`are not right in a session that was not theirs: ${exchange.name}`, () => {
      const sess = { ...presented, algorithm: `${exchange.hash}-sess` as DigestAlgorithm }
      assert.equal(responseFitsHa1(sess, ha1, utf8('')), false)
    })
  }

  test('have an HA1 as long as their hash: any other length is a bug of ours', () => {
    for (const exchange of exchanges) {
      const octets = utf8(exchange.ha1)
      for (const wrong of [octets.subarray(1), new Uint8Array([...octets, 0x30]), hex(exchange.ha1)]) {
        assert.throws(() => responseFitsHa1(presentedIn(exchange), new Secret(wrong), hex('')), RangeError)
      }
    }
  })
})

const policy: ChallengePolicy = {
  algorithms: ['SHA-256', 'MD5'],
  qop: ['auth', 'auth-int'],
  methods: ['gba-me'],
  realms: 'joined',
  lines: 'separate',
}
const EVERY: Tolerances = new Set(TOLERANCE_NAMES)
const NONE: Tolerances = new Set()
const nonces = { key: new Secret(new Uint8Array(32).fill(3)), lifetimeMs: LIFETIME_MS }
const mint = (mintedAt = NOW, naf = NAF, key = nonces.key) => mintNonce(key, naf, mintedAt, new Uint8Array(9))
const HOUR_MS = 3_600_000
const TARGET = '/resource-lists/users/sip:alice@example.org/index?xmlns(a=b)'

const good: OutgoingCredentials = {
  username: golden.btid,
  realm: realmOf('gba-me', NAF),
  nonce: mint(),
  uri: TARGET,
  qop: 'auth',
  nc: '00000001',
  cnonce: 'c',
  response: '0'.repeat(32),
  opaque: UA_OPAQUE,
  algorithm: 'MD5',
}
const sending = (authorization: readonly string[], target = TARGET): UaRequest => ({
  method: 'GET',
  target,
  nafFqdn: NAF,
  authorization,
})
type Changes = { readonly [Name in keyof OutgoingCredentials]?: OutgoingCredentials[Name] | undefined }
/** The good credentials with some changed; undefined leaves one out. */
function withChanges(changes: Changes): OutgoingCredentials {
  const entries = Object.entries({ ...good, ...changes }).filter(([, value]) => value !== undefined)
  return Object.fromEntries(entries) as unknown as OutgoingCredentials
}
const read = (request: UaRequest, now = NOW) => readCredentials(request, policy, nonces, now, EVERY)
const readWith = (changes: Changes, now = NOW) => read(sending([formatAuthorization(withChanges(changes))]), now)
const refuses = (code: FaultCode, run: () => unknown) =>
  assert.throws(run, (error) => error instanceof GbaError && error.code === code)

describe('credentials of the right form', () => {
  test('are read, over a nonce of ours, without any key', () => {
    const presented = readWith({})
    assert.equal(presented.btid, golden.btid)
    assert.deepEqual([presented.algorithm, presented.qop, presented.nc, presented.cnonce], ['MD5', 'auth', 1, 'c'])
    assert.deepEqual(presented.nonce, { nonce: good.nonce, mintedAt: NOW, expiresAt: NOW + LIFETIME_MS })
  })

  test('are read from the golden Authorization, but for its nonce and opaque, which are not ours', () => {
    const sent = parseAuthorization(golden.ua.request2_authorization)
    assert.ok(sent)
    const request = { method: 'PUT', target: sent.uri, nafFqdn: NAF, authorization: [golden.ua.request2_authorization] }
    refuses('UA_NONCE_UNKNOWN', () => read(request))
    const ours = formatAuthorization({ ...sent, nonce: mint(), opaque: UA_OPAQUE })
    const presented = read({ ...request, authorization: [ours] })
    assert.deepEqual([presented.btid, presented.qop, presented.nc], [golden.btid, 'auth-int', 1])
  })

  for (const [what, changes] of [
    ['without algorithm, which means MD5', { algorithm: undefined }],
    ['without opaque', { opaque: undefined }],
    ['with the absolute form of the target', { uri: `https://${NAF}${TARGET}` }],
    [
      'with the absolute form, a port, and the host in upper case',
      { uri: `HTTPS://${NAF.toUpperCase()}:8443${TARGET}` },
    ],
    ['over a nonce minted a minute ahead of this clock', { nonce: mint(NOW + 60_000) }],
    ['over a nonce that has aged: whether the response is right comes first', { nonce: mint(NOW - 10 * LIFETIME_MS) }],
    ['with the B-TID domain in upper case', { username: golden.btid.replace(/@.*/, (domain) => domain.toUpperCase()) }],
  ] as const satisfies [string, Changes][]) {
    test(`are read ${what}`, () => assert.equal(readWith(changes).btid, golden.btid))
  }

  test('count in hexadecimal, in either case, over all 32 bits', () => {
    for (const [nc, count] of [
      ['00000000', 0],
      ['00000010', 16],
      ['0000abCD', 0xabcd],
      ['ffffffff', 0xffff_ffff],
    ] as const) {
      assert.equal(readWith({ nc }).nc, count)
    }
  })
})

describe('credentials are refused', () => {
  const twice = formatAuthorization(good)
  for (const [why, authorization, code] of [
    ['that are not there', [], 'UA_CREDENTIALS_MISSING'],
    ['on two lines', [twice, twice], 'UA_CREDENTIALS_MALFORMED'],
    ['of another scheme', ['Basic YWxpY2U6c2VjcmV0'], 'UA_CREDENTIALS_MALFORMED'],
    ['that are empty', [''], 'UA_CREDENTIALS_MALFORMED'],
    ['with a parameter twice', [`${twice}, nc=00000002`], 'UA_CREDENTIALS_MALFORMED'],
    ['that are too long', [`${twice}, x="${'a'.repeat(9_000)}"`], 'UA_CREDENTIALS_MALFORMED'],
  ] as const) {
    test(`${why}: ${code}`, () => refuses(code, () => read(sending(authorization))))
  }

  for (const [why, changes, code] of [
    ['for the realm of another NAF', { realm: realmOf('gba-me', 'xcap.example.org' as Fqdn) }, 'UA_REALM_WRONG'],
    ['for the realm in upper case', { realm: realmOf('gba-me', NAF).toUpperCase() }, 'UA_REALM_WRONG'],
    ['for the realm of the UICC', { realm: `3GPP-bootstrapping-uicc@${NAF}` }, 'UA_REALM_WRONG'],
    ['under an algorithm that was not offered', { algorithm: 'SHA-512-256' }, 'UA_ALGORITHM_NOT_OFFERED'],
    ['under AKA', { algorithm: 'AKAv1-MD5' }, 'UA_ALGORITHM_NOT_OFFERED'],
    ['without qop', { qop: undefined, nc: undefined, cnonce: undefined }, 'UA_QOP_NOT_OFFERED'],
    ['with an empty cnonce', { cnonce: '' }, 'UA_CREDENTIALS_MALFORMED'],
    ['with a hashed username', { userhash: true }, 'UA_CREDENTIALS_MALFORMED'],
    ['for another target', { uri: '/' }, 'UA_URI_MISMATCH'],
    ['for the target without its query', { uri: TARGET.replace(/\?.*/, '') }, 'UA_URI_MISMATCH'],
    ['for the target with other escapes', { uri: TARGET.replace(':', '%3A') }, 'UA_URI_MISMATCH'],
    ['for the target at another host', { uri: `https://xcap.example.org${TARGET}` }, 'UA_URI_MISMATCH'],
    ['for the target over plain HTTP', { uri: `http://${NAF}${TARGET}` }, 'UA_URI_MISMATCH'],
    ['for a target with user information', { uri: `https://a@${NAF}${TARGET}` }, 'UA_URI_MISMATCH'],
    ['for an absolute form with another path', { uri: `https://${NAF}/${TARGET}` }, 'UA_URI_MISMATCH'],
    ['over an invented nonce', { nonce: 'A'.repeat(40) }, 'UA_NONCE_UNKNOWN'],
    ['over no nonce', { nonce: '' }, 'UA_NONCE_UNKNOWN'],
    ['over a nonce of another NAF', { nonce: mint(NOW, 'xcap.example.org' as Fqdn) }, 'UA_NONCE_UNKNOWN'],
    ['over a nonce of another key', { nonce: mint(NOW, NAF, new Secret(new Uint8Array(32))) }, 'UA_NONCE_UNKNOWN'],
    ['over a nonce of the far future', { nonce: mint(NOW + 60_001) }, 'UA_NONCE_UNKNOWN'],
    ['with an opaque that is not ours', { opaque: 'b3RoZXI=' }, 'UA_NONCE_UNKNOWN'],
    ['for an IMPI', { username: 'alice@example.org' }, 'UA_BTID_MALFORMED'],
    ['for a B-TID without domain', { username: 'I1U8vpY3qJ0hiuZNrke/NQ==' }, 'UA_BTID_MALFORMED'],
    ['for a B-TID of 15 octets', { username: `${Buffer.alloc(15).toString('base64')}@bsf.org` }, 'UA_BTID_MALFORMED'],
    ['with nc beyond 32 bits', { nc: '100000000' }, 'UA_CREDENTIALS_MALFORMED'],
    ['with nc that is no number', { nc: '0000000g' }, 'UA_CREDENTIALS_MALFORMED'],
  ] as const satisfies [string, Changes, FaultCode][]) {
    test(`${why}: ${code}`, () => refuses(code, () => readWith(changes)))
  }

  test('over a nonce minted ahead of a clock that was behind, from when it is not any more: UA_NONCE_UNKNOWN', () => {
    const standing = { floor: NOW, generation: 'one' }
    const policyAt = (its: typeof standing | undefined) => ({ ...nonces, standing: () => its })
    const ahead = mintNonce(nonces.key, NAF, NOW - HOUR_MS, new Uint8Array(9), standing)
    const request = sending([formatAuthorization(withChanges({ nonce: ahead }))])
    const readAt = (now: number, its: typeof standing | undefined) =>
      readCredentials(request, policy, policyAt(its), now, EVERY)
    for (const now of [0, NOW - HOUR_MS, NOW]) {
      const { generation, mintedAt } = readAt(now, standing).nonce
      assert.deepEqual([generation, mintedAt], ['one', NOW + 1])
      refuses('UA_NONCE_UNKNOWN', () => readAt(now, { ...standing, generation: 'two' }))
      refuses('UA_NONCE_UNKNOWN', () => readAt(now, undefined))
    }
    refuses('UA_NONCE_UNKNOWN', () => readAt(NOW + 1, standing))
    const familiar: Familiar = { credentials: undefined }
    readCredentials({ ...request, familiar }, policy, policyAt(standing), NOW, EVERY)
    assert.equal(familiar.credentials, undefined)
  })

  test('with a qop that the policy does not have', () => {
    const authOnly = { ...policy, qop: ['auth'] } as const
    const request = sending([formatAuthorization(withChanges({ qop: 'auth-int' }))])
    refuses('UA_QOP_NOT_OFFERED', () => readCredentials(request, authOnly, nonces, NOW, EVERY))
  })

  test('for the first of several reasons, in this order', () => {
    const faults: readonly [Changes, FaultCode][] = [
      [{ realm: 'other' }, 'UA_REALM_WRONG'],
      [{ algorithm: 'SHA-512-256' }, 'UA_ALGORITHM_NOT_OFFERED'],
      [{ uri: '/other' }, 'UA_URI_MISMATCH'],
      [{ nonce: 'A'.repeat(40) }, 'UA_NONCE_UNKNOWN'],
      [{ username: 'alice@example.org' }, 'UA_BTID_MALFORMED'],
      [{ nc: '100000000' }, 'UA_CREDENTIALS_MALFORMED'],
    ]
    fc.assert(
      fc.property(fc.subarray([...faults], { minLength: 1 }), (some) => {
        const [first] = some
        const all: Changes = Object.assign({}, ...some.map(([changes]) => changes))
        refuses(first?.[1] ?? 'INTERNAL', () => readWith(all))
      }),
    )
  })
})

describe('the names of a door', () => {
  const rules = { offered: policy, anywhere: policy, nonces, now: NOW, tolerances: EVERY }
  const refused = new GbaError('UA_REALM_WRONG', 'as the test wants it')

  test('are asked for its realm and username, and handed on as what they are to it', () => {
    const presented = readDigest(sending([formatAuthorization(good)]), rules, {
      realm: (realm) => realm.length,
      user: (username) => [username],
    })
    assert.deepEqual([presented.realm, presented.user], [realmOf('gba-me', NAF).length, [golden.btid]])
    assert.deepEqual([presented.algorithm, presented.qop, presented.nc], ['MD5', 'auth', 1])
  })

  test('are asked in that order: the realm before all else, the username once the nonce is ours', () => {
    const asked: string[] = []
    const names = { realm: () => asked.push('realm'), user: () => asked.push('user') }
    const invented = sending([formatAuthorization(withChanges({ nonce: 'A'.repeat(40) }))])
    refuses('UA_NONCE_UNKNOWN', () => readDigest(invented, rules, names))
    assert.deepEqual(asked.splice(0), ['realm'])
    readDigest(sending([formatAuthorization(good)]), rules, names)
    assert.deepEqual(asked, ['realm', 'user'])
  })

  test('refuse what is none of them', () => {
    const no = () => {
      throw refused
    }
    const request = sending([formatAuthorization(good)])
    assert.throws(() => readDigest(request, rules, { realm: no, user: () => undefined }), refused)
    assert.throws(() => readDigest(request, rules, { realm: () => undefined, user: no }), refused)
  })
})

describe('a deviation', () => {
  const path = TARGET.slice(0, TARGET.indexOf('?'))
  const trailing = { uri: `${path}/` }
  for (const [name, line, target = TARGET] of [
    ['nc-form', formatAuthorization(withChanges({ nc: '1' }))],
    ['nc-form', formatAuthorization(withChanges({ nc: '0000000A' }))],
    ['quoted-token', formatAuthorization(good).replace('qop=auth', 'qop="auth"')],
    ['quoted-token', formatAuthorization(good).replace('algorithm=MD5', 'algorithm="MD5"')],
    ['unquoted-text', formatAuthorization(good).replace('cnonce="c"', 'cnonce=c')],
    ['uri-trailing-slash', formatAuthorization(withChanges(trailing)), path],
    ['uri-absolute', formatAuthorization(withChanges({ uri: `https://${NAF}${TARGET}` }))],
    ['md5-sess', formatAuthorization(withChanges({ algorithm: 'MD5-sess' }))],
  ] as const) {
    test(`${name} is accepted and named where it is tolerated: ${line.slice(-90)}`, () => {
      const request = sending([line], target)
      assert.deepEqual(readCredentials(request, policy, nonces, NOW, new Set([name])).tolerances, [name])
      refuses('UA_DEVIATION_REFUSED', () => readCredentials(request, policy, nonces, NOW, NONE))
    })
  }

  test('is not met in what the specification says', () => {
    assert.deepEqual(readCredentials(sending([formatAuthorization(good)]), policy, nonces, NOW, NONE).tolerances, [])
  })

  test('of the scheme is none on a connection without TLS', () => {
    const request = {
      ...sending([formatAuthorization(withChanges({ uri: `http://${NAF}${TARGET}` }))]),
      scheme: 'http',
    } as const
    assert.deepEqual(readCredentials(request, policy, nonces, NOW, EVERY).tolerances, ['uri-absolute'])
  })
})

describe('what another route of the NAF offers', () => {
  const anywhere = { algorithms: ['SHA-256', 'MD5', 'SHA-512-256'], qop: ['auth', 'auth-int'] } as const
  const narrow: ChallengePolicy = { ...policy, algorithms: ['SHA-256'], qop: ['auth-int'] }

  test('is read, and marked: it opens this route no door', () => {
    const request = sending([formatAuthorization(withChanges({ algorithm: 'MD5', qop: 'auth' }))])
    assert.equal(readCredentials(request, narrow, nonces, NOW, EVERY, anywhere).isOfferedElsewhere, true)
    refuses('UA_ALGORITHM_NOT_OFFERED', () => readCredentials(request, narrow, nonces, NOW, EVERY))
  })

  test('is not what this route offers itself', () => {
    const request = sending([formatAuthorization(withChanges({ algorithm: 'SHA-256', qop: 'auth-int' }))])
    assert.equal(readCredentials(request, narrow, nonces, NOW, EVERY, anywhere).isOfferedElsewhere, false)
  })
})
