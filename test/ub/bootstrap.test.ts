import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { utf8 } from '../../src/core/bytes.ts'
import { computeHa1, computeResponse, hashBody } from '../../src/core/digest.ts'
import {
  type DigestCredentials,
  formatAuthorization,
  type OutgoingCredentials,
  parseAuthenticationInfo,
  parseAuthorization,
  parseChallenges,
} from '../../src/core/digest-header.ts'
import type { Guss } from '../../src/core/guss.ts'
import type { Fqdn, Impi } from '../../src/core/identity.ts'
import { type FaultCode, GbaError } from '../../src/errors.ts'
import {
  acceptance,
  type BsfIdentity,
  challengeHeader,
  concludeBootstrap,
  judgeAnswer,
  type Opening,
  openChallenge,
  type PendingChallenge,
  readUbRequest,
  type UbRequest,
} from '../../src/ub/bootstrap.ts'
import { hex, secret, vectors } from '../support/vectors.ts'

const golden = vectors<{
  identities: Record<'impi' | 'bsf', string>
  aka: Record<'RAND' | 'AUTN' | 'RES' | 'CK' | 'IK' | 'Ks', string>
  btid: string
  tmpi: string
  ub: Record<'request1' | 'response401' | 'request2' | 'response200' | 'response' | 'rspauth', string>
  resync: Record<'AUTS' | 'request2' | 'response', string>
}>('golden-flow.json')

const BSF = golden.identities.bsf as Fqdn
const SECOND = 'bsf.ims.mnc001.mcc001.pub.3gppnetwork.org' as Fqdn
const IMPI = golden.identities.impi as Impi
const OPAQUE = 'c2VydmVyLW9wYXF1ZS11Yi0x'
const NOON = Date.parse('2026-11-21T10:00:00Z')
const HALF_A_DAY_S = 12 * 3600
const bsf: BsfIdentity = { bsfNames: [BSF, SECOND], tmpi: true }

const { aka } = golden
const av = {
  rand: hex(aka.RAND),
  autn: hex(aka.AUTN),
  xres: secret(aka.RES),
  ck: secret(aka.CK),
  ik: secret(aka.IK),
}

/** A golden message as the state machine meets it. */
function received(message: string): UbRequest {
  const [head = '', body = ''] = message.split('\r\n\r\n', 2)
  const [requestLine = '', ...lines] = head.split('\r\n')
  const [method = '', target = ''] = requestLine.split(' ')
  const values = (name: string) =>
    lines.filter((line) => line.toLowerCase().startsWith(`${name}: `)).map((line) => line.slice(name.length + 2))
  return {
    method,
    target,
    host: values('host')[0],
    authorization: values('authorization'),
    userAgent: values('user-agent')[0],
    body: utf8(body),
  }
}

const headerOf = (message: string, name: string): string =>
  message
    .split('\r\n')
    .find((line) => line.startsWith(`${name}: `))
    ?.slice(name.length + 2) ?? ''

const message1 = received(golden.ub.request1)
const message3 = received(golden.ub.request2)

const refuses = (code: FaultCode, run: () => unknown) =>
  assert.throws(run, (error) => error instanceof GbaError && error.code === code)

function started(request: UbRequest = message1, identity: BsfIdentity = bsf): Opening {
  const message = readUbRequest(request, identity)
  assert.equal(message.step, 'start')
  return message.opening
}

function answered(request: UbRequest = message3) {
  const message = readUbRequest(request, bsf)
  assert.equal(message.step, 'answer')
  return message
}

const pendingFor = (opening: Opening = started(), guss?: Guss): PendingChallenge =>
  openChallenge(opening, IMPI, { av, ...(guss && { guss }) }, OPAQUE)

describe('the golden run', () => {
  test('begins with who and under which of our names', () => {
    assert.deepEqual(started(), { username: IMPI, identity: { impi: IMPI }, bsfFqdn: BSF, tmpiAware: true })
  })

  test('goes on with the golden challenge', () => {
    const ours = parseChallenges([challengeHeader(pendingFor())])
    assert.deepEqual(ours, parseChallenges([headerOf(golden.ub.response401, 'WWW-Authenticate')]))
    assert.equal(ours.length, 1)
  })

  test('accepts the golden response', () => {
    const { opening, credentials } = answered()
    assert.deepEqual(judgeAnswer(pendingFor(), opening, credentials, 'GET'), { verdict: 'right' })
  })

  test('ends with the golden B-TID, Ks, TMPI and lifetime', () => {
    const { ks, tmpi, rand, ...rest } = concludeBootstrap(pendingFor(), NOON, HALF_A_DAY_S)
    assert.ok(ks.equals(secret(aka.Ks)))
    assert.equal(tmpi, golden.tmpi)
    assert.deepEqual(rand, hex(aka.RAND))
    assert.deepEqual(rest, {
      btid: golden.btid,
      impi: IMPI,
      createdAt: NOON,
      expiresAt: Date.parse('2026-11-21T22:00:00Z'),
      gbaType: '3G_GBA',
    })
  })

  test('is answered with the golden body, octet for octet, its rspauth and its headers', () => {
    const { credentials } = answered()
    const pending = pendingFor()
    const { headers, body } = acceptance(concludeBootstrap(pending, NOON, HALF_A_DAY_S), pending, credentials)
    assert.equal(body, golden.ub.response200.split('\r\n\r\n')[1])
    const info = parseAuthenticationInfo(headers['authentication-info'] ?? '')
    assert.equal(info?.rspauth, golden.ub.rspauth)
    assert.deepEqual(info, parseAuthenticationInfo(headerOf(golden.ub.response200, 'Authentication-Info')))
    assert.equal(headers.expires, headerOf(golden.ub.response200, 'Expires'))
    assert.equal(headers['content-type'], headerOf(golden.ub.response200, 'Content-Type'))
  })
})

describe('a resynchronisation', () => {
  const resync = received(golden.resync.request2)

  test('is granted with AUTS once the response over the empty password verifies', () => {
    const { opening, credentials } = answered(resync)
    assert.deepEqual(judgeAnswer(pendingFor(), opening, credentials, 'GET'), {
      verdict: 'resync',
      auts: hex(golden.resync.AUTS),
    })
  })

  test('is refused when only the response over RES is right: AUTS was put in by another', () => {
    const { opening, credentials } = answered(resync)
    const relayed = { ...credentials, response: golden.ub.response }
    refuses('UB_RESPONSE_WRONG', () => judgeAnswer(pendingFor(), opening, relayed, 'GET'))
  })

  test('is refused to who did not see this challenge', () => {
    const { opening, credentials } = answered(resync)
    const other = { ...pendingFor(), opaque: 'YW5vdGhlcg==' }
    refuses('UB_RESPONSE_WRONG', () => judgeAnswer(other, opening, credentials, 'GET'))
  })

  test('is not had by an empty password alone', () => {
    const { opening, credentials } = answered()
    const empty = { ...credentials, response: golden.resync.response }
    refuses('UB_RESPONSE_WRONG', () => judgeAnswer(pendingFor(), opening, empty, 'GET'))
  })

  for (const [why, auts] of [
    ['13 octets', Buffer.alloc(13).toString('base64')],
    ['15 octets', Buffer.alloc(15).toString('base64')],
    ['hex', golden.resync.AUTS],
    ['nothing', ''],
  ] as const) {
    test(`is malformed with an AUTS of ${why}`, () => {
      const authorization = [formatAuthorization({ ...answered(resync).credentials, auts })]
      refuses('UB_REQUEST_MALFORMED', () => readUbRequest({ ...resync, authorization }, bsf))
    })
  }
})

describe('a request is refused before any vector is drawn', () => {
  const changed = (changes: Partial<OutgoingCredentials>, of: UbRequest): UbRequest => {
    const credentials = parseAuthorization(of.authorization[0] ?? '')
    assert.ok(credentials)
    return { ...of, authorization: [formatAuthorization({ ...credentials, ...changes })] }
  }
  const cases: readonly [why: string, request: UbRequest, code: FaultCode][] = [
    ['no Authorization', { ...message1, authorization: [] }, 'UB_REQUEST_MALFORMED'],
    [
      'two Authorization lines',
      { ...message1, authorization: [...message1.authorization, ...message1.authorization] },
      'UB_REQUEST_MALFORMED',
    ],
    ['another scheme', { ...message1, authorization: ['Basic YWxpY2U6c2VjcmV0'] }, 'UB_REQUEST_MALFORMED'],
    [
      'a Digest without username',
      { ...message1, authorization: ['Digest realm="r", nonce=""'] },
      'UB_REQUEST_MALFORMED',
    ],
    ['an empty Authorization', { ...message1, authorization: [''] }, 'UB_REQUEST_MALFORMED'],
    ['an empty username', changed({ username: '' }, message1), 'UB_REQUEST_MALFORMED'],
    ['a username without domain', changed({ username: '001010123456789' }, message1), 'UB_REQUEST_MALFORMED'],
    ['a public identity as username', changed({ username: 'sip:alice@a b' }, message1), 'UB_REQUEST_MALFORMED'],
    ['a username with two domains', changed({ username: 'a@b.example@c.example' }, message1), 'UB_REQUEST_MALFORMED'],
    ['a response without a nonce', changed({ response: golden.ub.response }, message1), 'UB_REQUEST_MALFORMED'],
    ['a body', { ...message1, body: utf8('x') }, 'UB_REQUEST_MALFORMED'],
    ['a body in message 3', { ...message3, body: utf8('x') }, 'UB_REQUEST_MALFORMED'],
    ['a uri that is not the target', changed({ uri: '/other' }, message3), 'UB_REQUEST_MALFORMED'],
    ['an absolute uri of another path', changed({ uri: `http://${BSF}/x` }, message3), 'UB_REQUEST_MALFORMED'],
    ['a uri with a query', changed({ uri: '/?' }, message3), 'UB_REQUEST_MALFORMED'],
    ['another path', { ...message1, target: '/bootstrap' }, 'UB_NOT_FOUND'],
    ['a query', { ...message1, target: '/?x' }, 'UB_NOT_FOUND'],
    ['two slashes', { ...message1, target: '//' }, 'UB_NOT_FOUND'],
    ['an absolute target of another path', { ...message1, target: `http://${BSF}/x` }, 'UB_NOT_FOUND'],
    ['an absolute target with user information', { ...message1, target: `http://a@${BSF}/` }, 'UB_NOT_FOUND'],
    ['an absolute target of another scheme', { ...message1, target: `ftp://${BSF}/` }, 'UB_NOT_FOUND'],
    ['an asterisk', { ...message1, method: 'OPTIONS', target: '*' }, 'UB_NOT_FOUND'],
    ['POST', { ...message1, method: 'POST' }, 'UB_METHOD_NOT_ALLOWED'],
    ['HEAD', { ...message1, method: 'HEAD' }, 'UB_METHOD_NOT_ALLOWED'],
    ['get in lower case', { ...message1, method: 'get' }, 'UB_METHOD_NOT_ALLOWED'],
  ]
  for (const [why, request, code] of cases) {
    test(`with ${why}: ${code}`, () => refuses(code, () => readUbRequest(request, bsf)))
  }

  test('whatever the Authorization is made of: either it is read, or it is refused as malformed', () => {
    const known = ['username="a@b.c"', 'realm=""', 'nonce=""', 'uri="/"', 'response=""', 'auts="x"']
    const noise = fc.string({ unit: fc.constantFrom(...'=",\\ ax\0é'), minLength: 1, maxLength: 8 })
    const params = fc.tuple(fc.shuffledSubarray(known, { minLength: 4 }), fc.option(noise, { nil: undefined }))
    const outcomes = { read: 0, refused: 0 }
    fc.assert(
      fc.property(params, ([some, more]) => {
        const authorization = [`Digest ${[...some, ...(more === undefined ? [] : [more])].join(', ')}`]
        if (parseAuthorization(authorization[0] ?? '') === undefined) {
          refuses('UB_REQUEST_MALFORMED', () => readUbRequest({ ...message1, authorization }, bsf))
          outcomes.refused++
        } else {
          assert.equal(readUbRequest({ ...message1, authorization }, bsf).opening.username, 'a@b.c')
          outcomes.read++
        }
      }),
      { numRuns: 500 },
    )
    assert.ok(outcomes.read > 0 && outcomes.refused > 0)
  })
})

describe('the name a UE bootstraps under', () => {
  for (const [what, host, expected] of [
    ['is the one of ours it addressed', SECOND, SECOND],
    ['does not count the port', `${SECOND}:8080`, SECOND],
    ['does not count an empty port', `${SECOND}:`, SECOND],
    ['does not count letter case', SECOND.toUpperCase(), SECOND],
    ['is our first for a name that is not ours', 'bsf.example.com', BSF],
    ['is our first for an address', '192.0.2.1:8080', BSF],
    ['is our first for an IPv6 address', '[2001:db8::1]:8080', BSF],
    ['is our first for a name that ours only begins', `${SECOND}.example.com`, BSF],
    ['is our first without Host', undefined, BSF],
  ] as const) {
    test(what, () => assert.equal(started({ ...message1, host }).bsfFqdn, expected))
  }

  test('enters challenge, B-TID and TMPI alike', () => {
    const pending = pendingFor(started({ ...message1, host: SECOND }))
    const bootstrap = concludeBootstrap(pending, NOON, 60)
    assert.equal(parseChallenges([challengeHeader(pending)])[0]?.realm, SECOND)
    assert.equal(bootstrap.btid, golden.btid.replace(BSF, SECOND))
    assert.notEqual(bootstrap.tmpi, golden.tmpi)
  })
})

describe('what captured UEs send', () => {
  const first = (rest: string) => ({
    ...message1,
    authorization: [`Digest username="${IMPI}", nonce="", response="", ${rest}`],
  })
  for (const [what, request] of [
    ['a realm without bsf. in message 1', first('realm="ims.mnc001.mcc001.pub.3gppnetwork.org", uri="/"')],
    [
      'an absolute uri and a dummy opaque',
      first(`realm="${BSF}", uri="http://${BSF}:8080/", opaque="6dae728da9089dab"`),
    ],
    ['qop and algorithm in message 1', first(`realm="${BSF}", uri="/", qop=auth-int, algorithm=AKAv1-MD5`)],
    ['an absolute request target', { ...message1, target: `http://${BSF}:8080/` }],
    ['an absolute request target without a path', { ...message1, target: `HTTP://${BSF}` }],
  ] as const) {
    test(`is taken: ${what}`, () => assert.equal(started(request).username, IMPI))
  }

  test('is taken: an absolute uri in message 3, which then enters the digest as it is', () => {
    const sent = { ...answered().credentials, uri: `http://${BSF}:8080/` }
    const { opening, credentials } = answered({ ...message3, authorization: [formatAuthorization(right(sent))] })
    assert.deepEqual(judgeAnswer(pendingFor(), opening, credentials, 'GET'), { verdict: 'right' })
  })

  test('is taken: a quoted algorithm, qop and nc', () => {
    const [value = ''] = message3.authorization
    const quoted = value.replace(/(algorithm|qop|nc)=([^,]+)/g, '$1="$2"')
    assert.notEqual(quoted, value)
    const { opening, credentials } = answered({ ...message3, authorization: [quoted] })
    assert.deepEqual(judgeAnswer(pendingFor(), opening, credentials, 'GET'), { verdict: 'right' })
  })
})

describe('a temporary identity', () => {
  const byTmpi = (username: string) =>
    started({ ...message1, authorization: [`Digest username="${username}", realm="", nonce="", uri="/", response=""`] })

  test('is told from a private one by its domain, and kept as sent for the digest', () => {
    const shouted = golden.tmpi.replace('tmpi.bsf', 'TMPI.bsf')
    assert.deepEqual(byTmpi(shouted).identity, { tmpi: golden.tmpi })
    assert.equal(byTmpi(shouted).username, shouted)
  })

  test('enters HA1 while the keys take the private one', () => {
    const opening = byTmpi(golden.tmpi)
    const pending = pendingFor(opening)
    const sent = right({ ...answered().credentials, username: golden.tmpi })
    assert.deepEqual(judgeAnswer(pending, opening, asRead(sent), 'GET'), { verdict: 'right' })
    const bootstrap = concludeBootstrap(pending, NOON, 60)
    assert.deepEqual([bootstrap.impi, bootstrap.tmpi], [IMPI, golden.tmpi])
  })

  for (const [who, request, identity] of [
    ['a UE that does not name the token', { ...message1, userAgent: 'ue-sim/1.0' }, bsf],
    ['a UE without User-Agent', { ...message1, userAgent: undefined }, bsf],
    ['a UE whose token only begins so', { ...message1, userAgent: '3gpp-gba-tmpi2' }, bsf],
    ['anybody where it is switched off', message1, { ...bsf, tmpi: false }],
  ] as const) {
    test(`is not made for ${who}`, () => {
      const bootstrap = concludeBootstrap(pendingFor(started(request, identity)), NOON, 60)
      assert.equal('tmpi' in bootstrap, false)
    })
  }

  test('is made where the token stands among semicolons, as in the 3GPP example', () => {
    const userAgent = 'Bootstrapping Client Agent; Release-6; 3gpp-gba-tmpi'
    assert.equal(started({ ...message1, userAgent }).tmpiAware, true)
  })
})

/** Credentials with the response that belongs to them. */
function right(credentials: OutgoingCredentials, password = hex(aka.RES), method = 'GET'): OutgoingCredentials {
  const { username, realm, nonce, nc = '', cnonce = '', uri } = credentials
  const qop = 'auth-int'
  const bodyHash = hashBody('AKAv1-MD5', new Uint8Array())
  const ha1 = computeHa1('AKAv1-MD5', username, realm, password)
  const response = computeResponse({ algorithm: 'AKAv1-MD5', ha1, nonce, nc, cnonce, qop, method, uri, bodyHash })
  return { ...credentials, response }
}

function asRead(credentials: OutgoingCredentials): DigestCredentials {
  const parsed = parseAuthorization(formatAuthorization(credentials))
  assert.ok(parsed)
  return parsed
}

describe('message 3 is refused', () => {
  const { opening, credentials } = answered()
  const judge = (changes: Partial<Record<keyof DigestCredentials, unknown>>, respond: boolean) => {
    const changed = { ...credentials, ...changes } as DigestCredentials
    const sent = respond ? ({ ...changed, ...right(changed) } as DigestCredentials) : changed
    return () => judgeAnswer(pendingFor(), opening, sent, 'GET')
  }

  test('the helper of these tests makes the golden response', () => {
    assert.equal(right(credentials).response, golden.ub.response)
  })

  for (const [name, value] of [
    ['username', `2${IMPI}`],
    ['realm', SECOND],
    ['nonce', golden.resync.AUTS],
    ['nc', '00000002'],
    ['nc', '0000000001'],
    ['cnonce', ''],
    ['cnonce', undefined],
    ['qop', 'auth'],
    ['qop', undefined],
    ['opaque', 'b3RoZXI='],
    ['opaque', undefined],
    ['algorithm', 'MD5'],
    ['algorithm', 'AKAv1-MD5-sess'],
    ['algorithm', 'AKAv2-MD5'],
    ['algorithm', undefined],
  ] as const) {
    test(`with ${name} ${value === undefined ? 'left out' : `"${value}"`}, even with a response to match`, () => {
      refuses('UB_RESPONSE_WRONG', judge({ [name]: value }, true))
      refuses('UB_RESPONSE_WRONG', judge({ [name]: value }, false))
    })
  }

  for (const [name, value] of [
    ['uri', `http://${BSF}/`],
    ['cnonce', 'another'],
  ] as const) {
    test(`with another ${name} than the response was made with`, () => {
      refuses('UB_RESPONSE_WRONG', judge({ [name]: value }, false))
      assert.deepEqual(judge({ [name]: value }, true)(), { verdict: 'right' })
    })
  }

  for (const [why, response] of [
    ['of another key', right(credentials, hex('00'.repeat(8))).response],
    ['of a key in hex', right(credentials, utf8(aka.RES)).response],
    ['of another method', right(credentials, hex(aka.RES), 'POST').response],
    ['that is the rspauth', right(credentials, hex(aka.RES), '').response],
    ['in upper case', golden.ub.response.toUpperCase()],
    ['cut short', golden.ub.response.slice(1)],
    ['that is empty', ''],
  ] as const) {
    test(`with a response ${why}`, () => refuses('UB_RESPONSE_WRONG', judge({ response }, false)))
  }

  test('under another of our names than the challenge', () => {
    const moved = answered({ ...message3, host: SECOND }).opening
    refuses('UB_RESPONSE_WRONG', () => judgeAnswer(pendingFor(), moved, credentials, 'GET'))
  })

  test('with any one bit of the response changed', () => {
    fc.assert(
      fc.property(fc.nat(31), fc.integer({ min: 1, max: 15 }), (at, by) => {
        const digit = (Number.parseInt(golden.ub.response[at] ?? '', 16) ^ by).toString(16)
        const response = golden.ub.response.slice(0, at) + digit + golden.ub.response.slice(at + 1)
        refuses('UB_RESPONSE_WRONG', judge({ response }, false))
      }),
    )
  })
})

describe('the life of a key', () => {
  const guss = { impi: IMPI, uiccType: 'GBA', ussList: [] } as const satisfies Guss
  const lived = (now: number, of?: Guss) => concludeBootstrap(pendingFor(started(), of), now, HALF_A_DAY_S)

  test('is the BSF’s own where the subscriber has no settings, or settings without one', () => {
    assert.equal(lived(NOON).expiresAt, NOON + HALF_A_DAY_S * 1000)
    assert.equal(lived(NOON, guss).expiresAt, NOON + HALF_A_DAY_S * 1000)
  })

  test('is the subscriber’s where the settings name one, and the settings stay with the bootstrap', () => {
    const bootstrap = lived(NOON, { ...guss, keyLifetimeS: 60 })
    assert.equal(bootstrap.expiresAt, NOON + 60_000)
    assert.deepEqual(bootstrap.guss, { ...guss, keyLifetimeS: 60 })
  })

  test('ends on a full second, as late as the UE is told and never later', () => {
    for (const ms of [0, 1, 500, 999]) {
      const pending = pendingFor()
      const bootstrap = concludeBootstrap(pending, NOON + ms, HALF_A_DAY_S)
      assert.equal(bootstrap.createdAt, NOON + ms)
      assert.equal(bootstrap.expiresAt, NOON + HALF_A_DAY_S * 1000)
      const { headers, body } = acceptance(bootstrap, pending, answered().credentials)
      assert.equal(Date.parse(headers.expires ?? ''), bootstrap.expiresAt)
      assert.match(body, /<lifetime>2026-11-21T22:00:00Z<\/lifetime>/)
    }
  })
})
