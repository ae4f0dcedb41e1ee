import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { FaultCode } from '../../src/errors.ts'
import { impuOf, LAB_DOMAIN, LAB_NAF, LAB_SECOND_NAF } from '../../src/lab.ts'
import { type HandRequest, type HandUe, handUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { type RawAnswer, rawConnect, rawExchange, requestOctets } from '../support/raw-client.ts'
import { assertRefusal, assertRefused } from '../support/refusals.ts'

// What a UE can do wrong, and what it gets: status, fault code in the audit, nothing at the application server.
const OWN = `/resource-lists/users/${impuOf('alice')}/index`
const FOREIGN = `/resource-lists/users/${impuOf('bob')}/index`
const HOST = `Host: ${LAB_NAF}`

describe('bad input on Ut', () => {
  let lab: TestLab
  let ue: HandUe
  let offsetMs = 0
  before(async () => {
    lab = await testLab({
      recording: true,
      now: () => Date.now() + offsetMs,
      bsf: { names: ['bsf.mnc001.mcc001.pub.3gppnetwork.org'], keyLifetimeS: 3000, ub: { host: '127.0.0.1', port: 0 } },
      ap: {
        challenge: { nonceLifetimeS: 1000 },
        limits: {
          bodyBytes: 10_000,
          headerBytes: 12_000,
          headerCount: 30,
          headersTimeoutMs: 300,
          requestTimeoutMs: 700,
        },
      },
    })
    ue = await handUe(lab)
  })
  after(async () => {
    await lab.close()
    assert.ok(!lab.decisions.some(({ record }) => record.code === 'INTERNAL'))
  })

  const refused = (send: () => Promise<RawAnswer>, status: number, code: FaultCode, stale = false) =>
    assertRefused(lab, send, { status, code, stale })
  const raw = (octets: Uint8Array) => () => rawExchange(ue.at, octets)
  const knock = (...headers: string[]) => raw(requestOctets(`GET ${OWN} HTTP/1.1`, [HOST, ...headers]))
  const signed = (method: string, target: string, request?: HandRequest) => () => ue.request(method, target, request)

  test('a request in order is forwarded, so that what follows is refused for its fault alone', async () => {
    const { status } = await ue.request('GET', OWN)
    assert.equal(status, 200)
    assert.equal(lab.seen.length, 1)
  })

  describe('credentials that prove nothing get 401 with one fresh challenge', () => {
    const good = (over: Partial<Record<string, string>> = {}) => {
      const params: Record<string, string | undefined> = {
        username: `"${ue.btid}"`,
        realm: `"3GPP-bootstrapping@${LAB_NAF}"`,
        nonce: '"x"',
        uri: `"${OWN}"`,
        qop: 'auth',
        nc: '00000001',
        cnonce: '"c"',
        response: `"${'0'.repeat(32)}"`,
        ...over,
      }
      return `Digest ${Object.entries(params)
        .flatMap(([name, value]) => (value === undefined ? [] : [`${name}=${value}`]))
        .join(', ')}`
    }

    test('no Authorization', () => refused(knock(), 401, 'UA_CREDENTIALS_MISSING'))
    test('no Authorization, on a write with a body', () =>
      refused(
        raw(requestOctets(`PUT ${OWN} HTTP/1.1`, [HOST, 'Content-Length: 3'], '<a>')),
        401,
        'UA_CREDENTIALS_MISSING',
      ))

    const malformed: Record<string, () => string[]> = {
      'another scheme': () => ['Basic YWxpY2U6YWxpY2U='],
      'nothing but the scheme': () => ['Digest'],
      'nothing at all': () => [''],
      'an open quotation mark': () => [`${good()}, opaque="x`],
      'no response': () => [good({ response: undefined })],
      'no nonce': () => [good({ nonce: undefined })],
      'a parameter twice': () => [`${good()}, username="${ue.btid}"`],
      'a name in two forms': () => [`${good()}, username*=UTF-8''x`],
      'qop without nc': () => [good({ nc: undefined })],
      'qop without cnonce': () => [good({ cnonce: undefined })],
      'an empty cnonce': () => [good({ cnonce: '""' })],
      'a qop nobody knows': () => [good({ qop: 'auth-conf' })],
      'an algorithm nobody knows': () => [good({ algorithm: 'SHA-1' })],
      userhash: () => [good({ userhash: 'true' })],
      'two lines': () => [good(), good()],
      'two credentials in one line': () => [`${good()}, ${good()}`],
      'nine kilobytes': () => [`${good()}, x="${'y'.repeat(9000)}"`],
    }
    for (const [name, lines] of Object.entries(malformed)) {
      test(`malformed Authorization: ${name}`, () =>
        refused(() => knock(...lines().map((line) => `Authorization: ${line}`))(), 401, 'UA_CREDENTIALS_MALFORMED'))
    }
    test('malformed Authorization: an nc beyond 32 bits', () =>
      refused(signed('GET', OWN, { nc: '100000000' }), 401, 'UA_CREDENTIALS_MALFORMED'))
    test('two Authorization lines, each of which would do', async () => {
      const one = (await ue.signed('GET', OWN)).toString('latin1')
      const [line] = /^Authorization: .*$/m.exec((await ue.signed('GET', OWN)).toString('latin1')) ?? ['']
      await refused(
        raw(Buffer.from(one.replace('\r\n\r\n', `\r\n${line.trim()}\r\n\r\n`), 'latin1')),
        401,
        'UA_CREDENTIALS_MALFORMED',
      )
    })

    test('no qop', () =>
      refused(
        () => knock(`Authorization: ${good({ qop: undefined, nc: undefined, cnonce: undefined })}`)(),
        401,
        'UA_QOP_NOT_OFFERED',
      ))
    test('an algorithm that was not offered', () =>
      refused(signed('GET', OWN, { algorithm: 'SHA-256' }), 401, 'UA_ALGORITHM_NOT_OFFERED'))
    test('the realm of another NAF', () =>
      refused(signed('GET', OWN, { realm: `3GPP-bootstrapping@${LAB_SECOND_NAF}` }), 401, 'UA_REALM_WRONG'))
    test('an opaque that is not ours', () => refused(signed('GET', OWN, { opaque: 'other' }), 401, 'UA_NONCE_UNKNOWN'))
    test('the uri of another target', () => refused(signed('GET', OWN, { uri: FOREIGN }), 401, 'UA_URI_MISMATCH'))
    test('the absolute uri of another NAF', () =>
      refused(signed('GET', OWN, { uri: `https://${LAB_SECOND_NAF}${OWN}` }), 401, 'UA_URI_MISMATCH'))
    for (const username of ['alice', 'AAAA@bsf.example.com', '001010000000001@ims.mnc001.mcc001.3gppnetwork.org']) {
      test(`a username that is no B-TID: ${username}`, () =>
        refused(signed('GET', OWN, { username }), 401, 'UA_BTID_MALFORMED'))
    }
    test('an unknown B-TID', () =>
      refused(
        signed('GET', OWN, { username: `${Buffer.alloc(16, 7).toString('base64')}@bsf.example.com` }),
        401,
        'ZN_BTID_UNKNOWN',
      ))
    for (const [name, nonce] of Object.entries({
      'invented text': 'abc',
      'the right length': 'A'.repeat(40),
      nothing: '',
    })) {
      test(`a nonce that was never minted: ${name}`, () =>
        refused(signed('GET', OWN, { nonce, nc: 1 }), 401, 'UA_NONCE_UNKNOWN'))
    }
    const wrong: Record<string, HandRequest> = {
      'another password': { password: 'x' },
      'upper case': { response: 'F'.repeat(32) },
      'one digit short': { response: '0'.repeat(31) },
      empty: { response: '' },
      'of the longer hash': { response: '0'.repeat(64) },
    }
    for (const [name, request] of Object.entries(wrong)) {
      test(`a wrong response: ${name}`, () => refused(signed('GET', OWN, request), 401, 'UA_RESPONSE_WRONG'))
    }
    test('the response for another method', async () => {
      const put = (await ue.signed('GET', OWN)).toString('latin1').replace('GET', 'DELETE')
      await refused(raw(Buffer.from(put, 'latin1')), 401, 'UA_RESPONSE_WRONG')
    })
    test("the response of another subscriber's key", async () => {
      const { password } = await handUe(lab, { name: 'bob' })
      await refused(signed('GET', OWN, { password }), 401, 'UA_RESPONSE_WRONG')
    })
  })

  describe('a nonce count is good once', () => {
    test('used again', async () => {
      const nonce = await ue.freshNonce()
      assert.equal((await ue.request('GET', OWN, { nonce, nc: 1 })).status, 200)
      await refused(signed('GET', OWN, { nonce, nc: 1 }), 401, 'UA_NC_REUSED')
      await refused(signed('DELETE', OWN, { nonce, nc: 1, cnonce: 'other' }), 401, 'UA_NC_REUSED')
    })
    test('out of order', async () => {
      const nonce = await ue.freshNonce()
      for (const nc of [7, 3, 5, 2000, 4, 1500]) {
        const answer = await ue.request('GET', OWN, { nonce, nc })
        // 4 lies more than a window below 2000
        assert.equal(answer.status, nc === 4 ? 401 : 200, `nc ${nc}`)
        await refused(signed('GET', OWN, { nonce, nc }), 401, 'UA_NC_REUSED')
      }
    })
    test('in upper or lower case', async () => {
      const nonce = await ue.freshNonce()
      assert.equal((await ue.request('GET', OWN, { nonce, nc: '0000000a' })).status, 200)
      await refused(signed('GET', OWN, { nonce, nc: '0000000A' }), 401, 'UA_NC_REUSED')
    })
    test('a wrong response uses none up', async () => {
      const nonce = await ue.freshNonce()
      await refused(signed('GET', OWN, { nonce, nc: 1, password: 'x' }), 401, 'UA_RESPONSE_WRONG')
      assert.equal((await ue.request('GET', OWN, { nonce, nc: 1 })).status, 200)
    })
  })

  describe('who is not allowed gets 403', () => {
    for (const method of ['GET', 'HEAD', 'PUT', 'DELETE']) {
      test(`${method} in the tree of another`, async () => {
        const seen = lab.seen.length
        const answer = await ue.request(method, FOREIGN, method === 'PUT' ? { body: '<a/>' } : {})
        assert.equal(answer.status, 403)
        assert.equal(lab.seen.length, seen)
        if (method !== 'HEAD') assertRefusal(lab, answer, { status: 403, code: 'UT_TREE_NOT_OWNED' })
      })
    }
    test('a write in the global tree', () =>
      refused(signed('PUT', '/resource-lists/global/index', { body: '<a/>' }), 403, 'UT_GLOBAL_READ_ONLY'))

    const foreign = [
      impuOf('bob'),
      'tel:+15550100002',
      'sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org',
      `sips:alice@${LAB_DOMAIN}`,
      `sip:Alice@${LAB_DOMAIN}`,
    ]
    for (const identity of foreign) {
      test(`an intended identity that is not the subscriber's: ${identity}`, () =>
        refused(signed('GET', OWN, { headers: [`X-3GPP-Intended-Identity: "${identity}"`] }), 403, 'UT_IMPU_NOT_OWNED'))
    }
    test('an identity of the subscriber that is barred', async () => {
      const carol = await handUe(lab, { name: 'carol' })
      const own = `/resource-lists/users/${impuOf('carol')}/index`
      for (const impu of [`sip:carol.hidden@${LAB_DOMAIN}`, 'sip:001010000000003@ims.mnc001.mcc001.3gppnetwork.org']) {
        const headers = [`X-3GPP-Intended-Identity: "${impu}"`]
        await refused(() => carol.request('GET', own, { headers }), 403, 'UT_IMPU_NOT_OWNED')
        const hidden = `/resource-lists/users/${impu}/index`
        await refused(() => carol.request('GET', hidden), 403, 'UT_TREE_NOT_OWNED')
      }
    })

    const alice = impuOf('alice')
    const several: Record<string, string[]> = {
      'two in one line': [`"${alice}","${alice}"`],
      'two without quotation marks': [`${alice},${alice}`],
      'two lines': [`"${alice}"`, `"${alice}"`],
      empty: [''],
      'empty quotation marks': ['""'],
      'an open quotation mark': [`"${alice}`],
      'no URI': ['"alice"'],
      'a private identity': ['"001010000000001@ims.mnc001.mcc001.3gppnetwork.org"'],
      'white space inside': [`" ${alice}"`],
      'two kilobytes': [`"sip:${'a'.repeat(2000)}@${LAB_DOMAIN}"`],
    }
    for (const [name, values] of Object.entries(several)) {
      const headers = values.map((value) => `X-3GPP-Intended-Identity: ${value}`)
      test(`an intended identity that is not one: ${name}`, () =>
        refused(signed('GET', OWN, { headers }), 403, 'UT_IDENTITY_MALFORMED'))
    }
    for (const name of [
      'X-3GPP-Asserted-Identity',
      'x-3gpp-asserted-identity',
      'X_3GPP_Asserted_Identity',
      'X-3GPP_Asserted-Identity',
      'X.3GPP.Asserted.Identity',
      'X-3GPP-AssertedIdentity',
      "X-3GPP-Asserted-Identity'",
      'X-3GPP-Authorization-Flags',
      'X_3GPP_Authorization_Flags',
      'X-3GPP-Authorisation-Flags',
      'X-XCAP-Asserted-Identity',
      'X_XCAP_Asserted_Identity',
      'P-Asserted-Identity',
      'P_Asserted_Identity',
      'X_3GPP_Intended_Identity',
    ]) {
      test(`an identity of its own in ${name}, even its own identity`, async () => {
        for (const value of [`"${alice}"`, `"${impuOf('bob')}"`, '']) {
          await refused(signed('GET', OWN, { headers: [`${name}: ${value}`] }), 403, 'UT_IDENTITY_HEADER_FORBIDDEN')
        }
        const hidden = [`${name}: "${alice}"`, `Connection: ${name}`]
        await refused(signed('GET', OWN, { headers: hidden }), 403, 'UT_IDENTITY_HEADER_FORBIDDEN')
      })
    }
  })

  describe('a target that two parsers could read differently gets 400, whoever asks', () => {
    const ambiguous = [
      '//resource-lists/users/sip:alice@x/index',
      `/resource-lists//users/${impuOf('alice')}/index`,
      `/resource-lists/./users/${impuOf('alice')}/index`,
      `/resource-lists/users/${impuOf('bob')}/../${impuOf('alice')}/index`,
      `/resource-lists/users/${impuOf('bob')}/%2e%2e/${impuOf('alice')}/index`,
      `/resource-lists/users/${impuOf('bob')}%2f..%2f${impuOf('alice')}/index`,
      `/resource-lists/users/${impuOf('bob')}%5c..%5c${impuOf('alice')}/index`,
      `/resource-lists/users/${impuOf('alice')}\\index`,
      `/resource-lists/users/${impuOf('alice')}/index%00`,
      `/resource-lists/users/${impuOf('alice')}/%252e%252e/index`,
      `/resource-lists/users/${impuOf('alice')}/index;x=/..`,
      `/resource-lists/users/${impuOf('alice')}/..;/index`,
      `/resource-lists/users/${impuOf('alice')}/index#fragment`,
      `/resource-lists/users/${impuOf('alice')}/index?`,
      `/resource-lists/%75sers/${impuOf('alice')}/index`,
      `/resource-lists/users/${impuOf('alice')}/users/${impuOf('bob')}/index`,
      `/resource-lists/users/${impuOf('alice')}/index/%7e%7e/x`,
      `/resource-lists/users/${impuOf('alice')}/index/~~/a/~~/b`,
      `/resource-lists/users/${impuOf('alice')}/"index"`,
      `https://${LAB_NAF}${OWN}`,
      `https://other.example.com${OWN}`,
    ]
    for (const target of ambiguous) {
      test(target, async () => {
        await refused(signed('GET', target), 400, 'UT_TARGET_AMBIGUOUS')
        await refused(raw(requestOctets(`GET ${target} HTTP/1.1`, [HOST])), 400, 'UT_TARGET_AMBIGUOUS')
      })
    }
    for (const target of ['/resource-lists', '/resource-lists/users', '/a/b/c', `/resource-lists/users/alice/index`]) {
      test(`no XCAP target: ${target}`, () => refused(signed('GET', target), 400, 'UT_REQUEST_MALFORMED'))
    }
    for (const [name, target] of Object.entries({
      'an escape that is none': '/resource-lists/users/%zz/index',
      'octets beyond ASCII': '/resource-lists/users/sip:\xe9@x/index',
      'overlong UTF-8': '/resource-lists/users/sip:alice@x/%c0%af/index',
      'a scheme without a host': `http:${OWN}`,
      'a tab': '/resource-lists\t/users/x/index',
    })) {
      test(name, () => refused(raw(requestOctets(`GET ${target} HTTP/1.1`, [HOST])), 400, 'UT_REQUEST_MALFORMED'))
    }
    test('asterisk-form, but for OPTIONS, which means the whole server and tells nothing', async () => {
      await refused(raw(requestOctets('GET * HTTP/1.1', [HOST])), 400, 'UT_TARGET_AMBIGUOUS')
      const seen = lab.seen.length
      const answer = await rawExchange(ue.at, requestOctets('OPTIONS * HTTP/1.1', [HOST]))
      assert.deepEqual([answer.status, answer.body.length, lab.seen.length], [204, 0, seen])
    })
  })

  describe('a method or name that is not served', () => {
    for (const method of ['POST', 'OPTIONS', 'PATCH', 'TRACE', 'PROPFIND']) {
      test(`${method} gets 405 and is told what is allowed`, async () => {
        const answer = await ue.request(method, OWN)
        assertRefusal(lab, answer, { status: 405, code: 'UT_METHOD_NOT_ALLOWED' })
        assert.equal(answer.header('allow'), 'GET, HEAD, PUT, DELETE')
      })
    }
    test('CONNECT gets 405', () =>
      refused(raw(requestOctets(`CONNECT ${LAB_NAF}:443 HTTP/1.1`, [HOST])), 405, 'UT_METHOD_NOT_ALLOWED'))
    test('a host that is no NAF of ours gets 421', () =>
      refused(
        () =>
          rawExchange(
            { port: ue.at.port, tls: { servername: '', ca: lab.ca } },
            requestOctets(`GET ${OWN} HTTP/1.1`, ['Host: other.example.com']),
          ),
        421,
        'UA_NAF_UNKNOWN',
      ))
    test('a host that is not the one of the TLS connection gets 421', () =>
      refused(raw(requestOctets(`GET ${OWN} HTTP/1.1`, [`Host: ${LAB_SECOND_NAF}`])), 421, 'UA_SNI_MISMATCH'))
  })

  describe('what is too large', () => {
    test('a body over the limit gets 413', () =>
      refused(signed('PUT', OWN, { body: Buffer.alloc(10_001, 'x') }), 413, 'UT_BODY_TOO_LARGE'))
    test('a body over the limit gets 413 under auth-int', () =>
      refused(signed('PUT', OWN, { qop: 'auth-int', body: Buffer.alloc(10_001, 'x') }), 413, 'UT_BODY_TOO_LARGE'))
    test('a body over the limit gets 413 in chunks', async () => {
      for (const qop of ['auth', 'auth-int'] as const) {
        const head = await ue.signed('PUT', OWN, { qop, headers: ['Transfer-Encoding: chunked'] })
        const chunk = Buffer.from(`1000\r\n${'x'.repeat(0x1000)}\r\n`)
        await refused(
          raw(Buffer.concat([head, chunk, chunk, chunk, Buffer.from('0\r\n\r\n')])),
          413,
          'UT_BODY_TOO_LARGE',
        )
      }
    })
    test('a body that is announced over the limit and never comes gets 413', async () => {
      const head = await ue.signed('PUT', OWN, { headers: ['Content-Length: 99999999999'] })
      await refused(raw(head), 413, 'UT_BODY_TOO_LARGE')
    })
    test('a body at the limit passes', async () => {
      const { status } = await ue.request('PUT', OWN, { body: Buffer.alloc(10_000, 'x') })
      assert.equal(status, 200)
      assert.equal(lab.seen.at(-1)?.body.length, 10_000)
    })
    test('a header over the limit gets 431', () =>
      refused(knock(`X-Long: ${'x'.repeat(12_000)}`), 431, 'UT_HEADERS_TOO_LARGE'))
    test('a request line over the limit gets 431', () =>
      refused(raw(requestOctets(`GET /${'x'.repeat(12_100)} HTTP/1.1`, [HOST])), 431, 'UT_HEADERS_TOO_LARGE'))
    const many = (count: number) => Array.from({ length: count }, (_, i) => `X-Many-${i}: y`)
    test('more header fields than the limit get 431', () =>
      refused(signed('GET', OWN, { headers: many(30) }), 431, 'UT_HEADERS_TOO_LARGE'))
    test('a few less pass', async () => assert.equal((await ue.request('GET', OWN, { headers: many(25) })).status, 200))
  })

  describe('who is too slow is cut off', () => {
    test('with a header that does not end: 408', async () => {
      const connection = await rawConnect(ue.at)
      connection.write(`GET ${OWN} HTTP/1.1\r\n${HOST}\r\nX-Slow: `)
      const drip = setInterval(() => connection.write('x'), 50)
      const answer = await connection.answer()
      await connection.closed
      clearInterval(drip)
      assertRefusal(lab, answer, { status: 408, code: 'UT_REQUEST_TIMEOUT' })
    })
    test('with a body that does not end: 408, and none of it is forwarded', async () => {
      for (const qop of ['auth', 'auth-int'] as const) {
        const seen = lab.seen.length
        const connection = await rawConnect(ue.at)
        connection.write(await ue.signed('PUT', OWN, { qop, headers: ['Content-Length: 5000'] }))
        const drip = setInterval(() => connection.write('x'), 50)
        const answer = await connection.answer()
        await connection.closed
        clearInterval(drip)
        assertRefusal(lab, answer, { status: 408, code: 'UT_REQUEST_TIMEOUT' })
        assert.equal(lab.seen.length, seen)
      }
    })
    test('with a body that breaks off: none of it is forwarded', async () => {
      const seen = lab.seen.length
      const refusals = lab.decisions.length
      const connection = await rawConnect(ue.at)
      connection.write(await ue.signed('PUT', OWN, { headers: ['Content-Length: 10'] }))
      connection.write('<a>')
      await new Promise((resolve) => setTimeout(resolve, 50))
      connection.close()
      while (lab.decisions.length === refusals) await new Promise((resolve) => setTimeout(resolve, 10))
      assert.equal(lab.seen.length, seen)
    })
  })

  // The clock goes on here: this stays last.
  describe('as time goes by', () => {
    test('an aged nonce with a right response gets 401 stale=true, and with a wrong one 401', async () => {
      const nonce = await ue.freshNonce()
      offsetMs = 1_000_000
      await refused(signed('GET', OWN, { nonce, nc: 1 }), 401, 'UA_NONCE_AGED', true)
      await refused(signed('GET', OWN, { nonce, nc: 1, password: 'x' }), 401, 'UA_RESPONSE_WRONG')
      const username = `${Buffer.alloc(16, 9).toString('base64')}@bsf.example.com`
      await refused(signed('GET', OWN, { nonce, nc: 1, username }), 401, 'ZN_BTID_UNKNOWN')
      const fresh = await ue.freshNonce()
      assert.equal((await ue.request('GET', OWN, { nonce: fresh, nc: 1 })).status, 200)
    })
    test('an expired B-TID gets 401, though its response is right', async () => {
      offsetMs = 2_900_000
      const nonce = await ue.freshNonce()
      assert.equal((await ue.request('GET', OWN, { nonce, nc: 1 })).status, 200)
      offsetMs = 3_000_000
      await refused(signed('GET', OWN, { nonce, nc: 2 }), 401, 'ZN_BTID_UNKNOWN')
    })
  })
})
