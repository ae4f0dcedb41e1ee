import assert from 'node:assert/strict'
import { createHash, createHmac } from 'node:crypto'
import { describe, test } from 'node:test'
import { inspect } from 'node:util'
import { fromHex, utf8 } from '../../src/core/bytes.ts'
import type { Fqdn, Impi, Impu } from '../../src/core/identity.ts'
import { type UaProtocolId, uaProtocolIdOfSuite } from '../../src/core/naf-id.ts'
import {
  type ExplainInput,
  explain,
  type FindingName,
  type KeyMaterial,
  onRecord,
  recompute,
} from '../../src/ua/explain.ts'
import { secret, vectors } from '../support/vectors.ts'

interface Golden {
  identities: { impi: string; impus: string[]; naf: string }
  aka: { RAND: string; Ks: string }
  btid: string
  ua: { Ks_NAF: string; NAF_Id_hex: string; request2_authorization: string; body: string; password: string }
}
const golden = vectors<Golden>('golden-flow.json')
const { impi, naf } = golden.identities
const impus = golden.identities.impus as Impu[]
const TARGET = '/org.openmobilealliance.pres-rules/users/sip:alice@ims.mnc001.mcc001.3gppnetwork.org/pres-rules'
const SUITE_ID = '010001c02f' as UaProtocolId
const DIGEST_ID = '0100000002' as UaProtocolId
const RAND = fromHex(golden.aka.RAND)

const alice: KeyMaterial = {
  label: "alice's key",
  expected: true,
  material: { ks: secret(golden.aka.Ks), rand: RAND, impi: impi as Impi },
  impus,
}
const stale: KeyMaterial = {
  label: 'an earlier bootstrap',
  expected: false,
  material: { ks: secret('5a'.repeat(32)), rand: fromHex('77'.repeat(16)), impi: impi as Impi },
}

const input = (changes: Partial<ExplainInput> = {}): ExplainInput => ({
  method: 'PUT',
  target: TARGET,
  host: naf,
  nafFqdn: naf as Fqdn,
  authorization: [golden.ua.request2_authorization],
  body: utf8(golden.ua.body),
  keys: [alice],
  uaProtocolIds: [SUITE_ID, DIGEST_ID],
  ...changes,
})

/** What a UE puts into its response: the right things, unless told otherwise. Made with node:crypto alone. */
interface Made {
  ks?: string
  rand?: string
  uaId?: string
  nafName?: string
  identity?: string
  label?: string
  password?: (key: Buffer) => string | Buffer
  hash?: 'md5' | 'sha256'
  sess?: boolean
  realm?: string
  nc?: string
  cnonce?: string
  qop?: string | undefined
  method?: string
  uri?: string
  body?: string
}

const CNONCE = '66334873643c9869327b23c66b8b4567'
const REALM = `3GPP-bootstrapping@${naf}`
const length = (value: Buffer) => Buffer.from([value.length >> 8, value.length & 255])

function responseOf(made: Made): string {
  const { ks = golden.aka.Ks, rand = golden.aka.RAND, uaId = SUITE_ID, nafName = naf, identity = impi } = made
  const {
    hash = 'md5',
    realm = REALM,
    nc = '00000001',
    cnonce = CNONCE,
    method = 'PUT',
    uri = TARGET,
    body = '',
  } = made
  const nafId = Buffer.concat([Buffer.from(nafName), Buffer.from(uaId, 'hex')])
  const parts = [Buffer.from(made.label ?? 'gba-me'), Buffer.from(rand, 'hex'), Buffer.from(identity), nafId]
  const s = Buffer.concat([Buffer.from([1]), ...parts.flatMap((part) => [part, length(part)])])
  const key = createHmac('sha256', Buffer.from(ks, 'hex')).update(s).digest()
  const h = (data: string | Buffer) => createHash(hash).update(data).digest('hex')
  const password = made.password?.(key) ?? key.toString('base64')
  const a1 = h(Buffer.concat([Buffer.from(`${golden.btid}:${realm}:`), Buffer.from(password)]))
  const ha1 = made.sess ? h(`${a1}:nonce:${cnonce}`) : a1
  const qop = 'qop' in made ? made.qop : 'auth'
  const ha2 = h(qop === 'auth-int' ? `${method}:${uri}:${h(body)}` : `${method}:${uri}`)
  return h(qop === undefined ? `${ha1}:nonce:${ha2}` : `${ha1}:nonce:${nc}:${cnonce}:${qop}:${ha2}`)
}

/** The Authorization of a UE that says the right things, or `sent`, and made its response as `made` says. */
function authorization(made: Made, sent: Record<string, string> = {}): string {
  const params = {
    username: golden.btid,
    realm: REALM,
    nonce: 'nonce',
    uri: TARGET,
    cnonce: CNONCE,
    response: responseOf(made),
    ...sent,
  }
  const { qop = 'auth', nc = '00000001', algorithm = 'MD5', ...quoted } = params as Record<string, string>
  const list = Object.entries(quoted).map(([name, value]) => `${name}="${value}"`)
  return `Digest ${[...list, `qop=${qop}`, `nc=${nc}`, `algorithm=${algorithm}`].join(', ')}`
}

const found = (changes: Partial<ExplainInput>): FindingName[] => explain(input(changes)).map(({ name }) => name)
const shown = (made: Made, sent?: Record<string, string>, changes: Partial<ExplainInput> = {}) =>
  found({ authorization: [authorization(made, sent)], ...changes })

describe('explain', () => {
  test('finds the golden request right, under the identifier of its suite', () => {
    const [finding, ...more] = explain(input())
    assert.deepEqual([finding?.name, finding?.certainty, more], ['right', 'certain', []])
    assert.ok(finding?.says.includes('TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256'))
    assert.equal(uaProtocolIdOfSuite('TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256'), SUITE_ID)
  })

  test('recomputes every intermediate for each identifier that the NAF takes', () => {
    const candidates = recompute(input())
    assert.deepEqual(
      candidates.map(({ uaProtocolId, fits }) => [uaProtocolId, fits]),
      [
        [SUITE_ID, true],
        [DIGEST_ID, false],
      ],
    )
    const [first] = candidates
    assert.equal(Buffer.from(first?.nafId ?? []).toString('hex'), golden.ua.NAF_Id_hex)
    assert.ok(first?.ksNaf.equals(secret(golden.ua.Ks_NAF)))
    const ha1 = createHash('md5').update(`${golden.btid}:${REALM}:${golden.ua.password}`).digest('hex')
    assert.equal(first?.ha1, ha1)
    assert.equal(first?.response, '2c9ff5cc2152a1447ffe932e23a78b32')
  })

  const causes: [
    what: string,
    name: FindingName,
    made: Made,
    sent?: Record<string, string>,
    changes?: Partial<ExplainInput>,
  ][] = [
    [
      'the key of an earlier bootstrap',
      'key-wrong',
      { ks: '5a'.repeat(32), rand: '77'.repeat(16) },
      {},
      { keys: [alice, stale] },
    ],
    ['a key that nobody knows', 'key-wrong', { ks: '01'.repeat(32) }],
    ['Ks_int_NAF', 'key-wrong', { label: 'gba-u' }],
    ['zeros for the identifier', 'ua-id-wrong', { uaId: '0000000000' }],
    ['0100000000 for the identifier', 'ua-id-wrong', { uaId: '0100000000' }],
    ['the identifier of another suite', 'ua-id-wrong', { uaId: '0100011301' }],
    ['0100000002 where only the suite is taken', 'ua-id-wrong', { uaId: DIGEST_ID }, {}, { uaProtocolIds: [SUITE_ID] }],
    ['a realm with the port', 'realm-wrong', { realm: `${REALM}:8443` }, {}, { host: `${naf}:8443` }],
    ['the bare host for the realm', 'realm-wrong', { realm: naf }],
    ['a realm without pub', 'realm-wrong', { realm: REALM.replace('.pub.', '.') }],
    [
      'the realm of another NAF',
      'realm-wrong',
      { realm: '3GPP-bootstrapping@b.example' },
      {},
      { otherNames: ['b.example'] },
    ],
    ['the NAF name with its port in the NAF_Id', 'naf-name-wrong', { nafName: `${naf}:443` }],
    ['an IMPU in the KDF', 'identity-in-key', { identity: impus[0] ?? '' }],
    ['the IMSI alone in the KDF', 'identity-in-key', { identity: impi.split('@')[0] ?? '' }],
    ['hex for the password', 'password-form', { password: (key) => key.toString('hex') }],
    ['raw octets for the password', 'password-form', { password: (key) => key }],
    ['a trailing slash in the digest', 'uri-mismatch', { uri: `${TARGET}/` }],
    ['the absolute uri in the digest', 'uri-mismatch', { uri: `https://${naf}${TARGET}` }],
    ['MD5 under the name of MD5-sess', 'algorithm', {}, { algorithm: 'MD5-sess' }],
    ['MD5-sess under the name of MD5', 'algorithm', { sess: true }],
    ['SHA-256 under the name of MD5', 'algorithm', { hash: 'sha256' }],
    ['MD5 under the name of SHA-256', 'algorithm', {}, { algorithm: 'SHA-256' }],
    ['another method', 'method', { method: 'GET' }],
    ['nc without its zeros', 'form', { nc: '1' }],
    ['nc in hexadecimal where decimal is sent', 'form', { nc: '0000000a' }, { nc: '00000010' }],
    ['quotation marks around cnonce', 'form', { cnonce: `"${CNONCE}"` }],
    ['qop as in RFC 2069', 'form', { qop: undefined }],
    ['an empty body under auth-int', 'body-altered', { qop: 'auth-int' }, { qop: 'auth-int' }],
    [
      'other line ends under auth-int',
      'body-altered',
      { qop: 'auth-int', body: 'a\r\nb' },
      { qop: 'auth-int' },
      { body: utf8('a\nb') },
    ],
    [
      'a body altered on the way, the sent one at hand',
      'body-altered',
      { qop: 'auth-int', body: golden.ua.body },
      { qop: 'auth-int' },
      { body: utf8('<evil/>'), sentBody: utf8(golden.ua.body) },
    ],
  ]
  for (const [what, name, made, sent, changes] of causes) {
    test(`finds ${name}: ${what}`, () => assert.deepEqual(shown(made, sent, changes), [name]))
  }

  test('finds two deviations at once', () => {
    const names = shown({ uaId: '0100000000', password: (key) => key.toString('hex') })
    assert.deepEqual(names.toSorted(), ['password-form', 'ua-id-wrong'])
  })

  test('is certain only of what it has recomputed', () => {
    const certainty = (made: Made, sent?: Record<string, string>, changes: Partial<ExplainInput> = {}) =>
      explain(input({ authorization: [authorization(made, sent)], ...changes })).map(
        (each) => `${each.name} ${each.certainty}`,
      )
    assert.deepEqual(certainty({ ks: '5a'.repeat(32), rand: '77'.repeat(16) }, {}, { keys: [alice, stale] }), [
      'key-wrong certain',
    ])
    assert.deepEqual(certainty({ ks: '01'.repeat(32) }), ['key-wrong likely'])
    const covered = { qop: 'auth-int' }
    assert.deepEqual(certainty({ ...covered, body: 'another' }, covered), ['body-altered likely', 'key-wrong possible'])
  })

  describe('without recomputing', () => {
    const sent: [what: string, name: FindingName, made: Made, sent: Record<string, string>][] = [
      ['a realm with a port', 'realm-wrong', { realm: `${REALM}:443` }, { realm: `${REALM}:443` }],
      ['a realm in upper case', 'realm-wrong', { realm: REALM.toUpperCase() }, { realm: REALM.toUpperCase() }],
      ['a trailing slash', 'uri-mismatch', { uri: `${TARGET}/` }, { uri: `${TARGET}/` }],
      ['the absolute form', 'uri-mismatch', { uri: `https://${naf}${TARGET}` }, { uri: `https://${naf}${TARGET}` }],
      ['a username that is no B-TID', 'btid-wrong', {}, { username: impi }],
    ]
    for (const [what, name, made, params] of sent) {
      test(`finds ${name}: ${what}`, () => {
        assert.equal(shown(made, params)[0], name)
        assert.equal(found({ authorization: [authorization(made, params)], keys: [] })[0], name)
      })
    }

    test('takes an element of a list of realms for the right one', () => {
      const realm = `3GPP-bootstrapping-uicc@${naf};${REALM}`
      assert.deepEqual(found({ authorization: [authorization({}, { realm })], keys: [] }), ['right'])
    })

    test('finds credentials that are missing or malformed', () => {
      assert.deepEqual(found({ authorization: [] }), ['credentials-missing'])
      const header = golden.ua.request2_authorization
      for (const lines of [
        [header, header],
        ['Basic eDp5'],
        [header.replace(/, nc=\d+/, '')],
        [header.replace('realm', 'relm')],
        [header.replace('qop=auth-int', 'qop=auth-conf')],
      ]) {
        assert.deepEqual(found({ authorization: lines }), ['credentials-malformed'], lines[0])
      }
      const [first] = explain(input({ authorization: [header.replace(/, nc=\d+/, '')] }))
      assert.match(first?.says ?? '', /\bnc\b/)
    })
  })

  describe('about the subscriber and the record', () => {
    const bob = 'sip:bob@ims.mnc001.mcc001.3gppnetwork.org' as Impu
    test("finds impu-foreign: an intended identity, or a tree, that is not the subscriber's", () => {
      assert.deepEqual(found({ intended: bob }), ['impu-foreign'])
      assert.deepEqual(found({ xui: bob }), ['impu-foreign'])
      for (const impu of impus) assert.deepEqual(found({ intended: impu, xui: impu }), ['right'])
    })

    test('looks at the identities of whoever made the response', () => {
      const other: KeyMaterial = { ...stale, expected: true, impus: [bob] }
      assert.deepEqual(found({ keys: [other, alice], intended: bob }), ['impu-foreign'])
    })

    test('finds key-expired, by the clock and by the record', () => {
      const keys = [{ ...alice, expiresAt: 1000 }]
      assert.deepEqual(found({ keys, at: 999 }), ['right'])
      assert.deepEqual(found({ keys, at: 1000 }), ['key-expired'])
      assert.deepEqual(found({ code: 'UA_KEY_EXPIRED' }), ['key-expired'])
    })

    test('finds nc-reused by the record, which a response cannot show', () => {
      assert.deepEqual(found({ code: 'UA_NC_REUSED' }), ['nc-reused'])
      assert.deepEqual(
        onRecord('UA_NC_REUSED').map(({ name }) => name),
        ['nc-reused'],
      )
      assert.deepEqual(onRecord('UT_AS_TIMEOUT'), [])
    })
  })

  test('works from Ks_NAF alone', () => {
    const keys = [{ label: 'this Ks_NAF', expected: true, material: { ksNaf: secret(golden.ua.Ks_NAF) } }]
    assert.deepEqual(found({ keys }), ['right'])
    assert.deepEqual(shown({ password: (key) => key.toString('hex') }, {}, { keys }), ['password-form'])
    assert.equal(recompute(input({ keys })).length, 1)
  })

  test('takes no more than seconds for a request that nothing explains', () => {
    const begin = performance.now()
    assert.deepEqual(shown({ ks: '01'.repeat(32) }, {}, { keys: [alice, stale] }), ['key-wrong'])
    assert.ok(performance.now() - begin < 10_000)
  })

  test('says no key', () => {
    const all = explain(input({ authorization: [authorization({ uaId: '0000000000' })] }))
    const text = JSON.stringify(all) + inspect(recompute(input()), { depth: 9 })
    for (const key of [golden.aka.Ks, golden.ua.Ks_NAF, golden.ua.password]) assert.ok(!text.includes(key))
  })
})
