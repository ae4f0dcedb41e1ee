import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { impuOf, LAB_DOMAIN, LAB_NAF } from '../../src/lab.ts'
import { type HandRequest, type HandUe, handUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { rawConnect } from '../support/raw-client.ts'
import { type Arrived, type ScriptedAs, scriptedAs } from '../support/scripted-as.ts'

// What an application server sees, octet for octet, of requests in order; and what the UE sees of its answers.
const OWN = `/resource-lists/users/${impuOf('alice')}/index`
const IMSI = '001010000000001'
const ALICE = `"${impuOf('alice')}"`

describe('an application server behind the proxy', () => {
  let as: ScriptedAs
  let lab: TestLab
  let ue: HandUe
  let script: (socket: Socket, request: Arrived) => void
  const plain = (socket: Socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nrecorded')
  before(async () => {
    script = plain
    as = await scriptedAs((socket, request) => script(socket, request))
    lab = await testLab({
      as: null,
      ap: {
        challenge: { algorithms: ['MD5', 'SHA-256'] },
        appServers: [{ name: 'recorder', url: as.url }],
        routes: [{ appServer: 'recorder', methods: ['GET', 'HEAD', 'PUT', 'DELETE', 'POST', 'OPTIONS'] }],
      },
    })
    ue = await handUe(lab)
  })
  after(async () => {
    await lab.close()
    await as.close()
    // over all that was sent in this file
    for (const arrived of as.arrived) assertNothingPrivate(arrived)
    assert.ok(as.arrived.length > 150, `${as.arrived.length} requests`)
    assert.ok(!lab.decisions.some(({ record }) => record.code === 'INTERNAL'))
  })

  /** The one request that arrives while `send` runs. */
  async function arrivalOf(send: () => Promise<unknown>): Promise<Arrived> {
    const before = as.arrived.length
    await send()
    assert.equal(as.arrived.length, before + 1)
    const arrived = as.arrived[before]
    assert.ok(arrived)
    return arrived
  }
  const fieldsOf = ({ head }: Arrived): [name: string, value: string][] =>
    head
      .split('\r\n')
      .slice(1)
      .map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()])
  const valuesOf = (arrived: Arrived, name: string) =>
    fieldsOf(arrived).flatMap(([field, value]) => (field === name ? [value] : []))

  function assertNothingPrivate({ head }: Arrived): void {
    const { btid, password } = ue
    const [rand = ''] = btid.split('@')
    let text = head
    for (let i = 0; i < 3; i++) {
      for (const secret of [IMSI, btid, rand, password, 'c0ffee']) assert.ok(!text.includes(secret), head)
      assert.doesNotMatch(text, /authorization:|digest |response=/i)
      text = text.replace(/%([0-9a-f]{2})/gi, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)))
    }
  }

  function assertOurs(arrived: Arrived, asserted = ALICE): void {
    assertNothingPrivate(arrived)
    const claims = fieldsOf(arrived).filter(([name]) => /assert|intended|flags|3gpp|xcap/i.test(name))
    assert.deepEqual(claims.sort(), [
      ['x-3gpp-asserted-identity', asserted],
      ['x-3gpp-authorization-flags', '"1"'],
    ])
    assert.deepEqual(valuesOf(arrived, 'host'), [LAB_NAF])
    for (const name of ['expect', 'transfer-encoding', 'te', 'trailer', 'upgrade', 'keep-alive', 'cookie', 'via']) {
      assert.deepEqual(valuesOf(arrived, name), [], name)
    }
    assert.ok(valuesOf(arrived, 'content-length').length <= 1)
    assert.match(valuesOf(arrived, 'x-request-id').join(), /^[0-9a-f-]{36}$/)
  }

  describe('gets the request that the UE made', () => {
    const bodies: Record<string, string | Buffer | undefined> = {
      'no body': undefined,
      'an empty body': '',
      'a document': '<?xml version="1.0"?>\r\n<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists"/>\n',
      'random octets': randomBytes(3000),
      '64 KiB': randomBytes(65_536),
    }
    for (const algorithm of ['MD5', 'SHA-256']) {
      for (const qop of ['auth', 'auth-int'] as const) {
        for (const method of ['GET', 'HEAD', 'DELETE', 'OPTIONS']) {
          test(`${method}, ${algorithm}, ${qop}`, async () => {
            const arrived = await arrivalOf(() => ue.request(method, OWN, { algorithm, qop }))
            assertOurs(arrived)
            assert.equal(arrived.head.split('\r\n')[0], `${method} ${OWN} HTTP/1.1`)
            assert.deepEqual(valuesOf(arrived, 'content-length'), [])
          })
        }
        for (const [name, body] of Object.entries(bodies)) {
          for (const method of ['PUT', 'POST']) {
            test(`${method} with ${name}, ${algorithm}, ${qop}`, async () => {
              const headers = ['Content-Type: application/resource-lists+xml']
              const request: HandRequest = { algorithm, qop, headers, ...(body !== undefined && { body }) }
              const arrived = await arrivalOf(() => ue.request(method, OWN, request))
              assertOurs(arrived)
              assert.equal(arrived.head.split('\r\n')[0], `${method} ${OWN} HTTP/1.1`)
              assert.deepEqual(valuesOf(arrived, 'content-length'), [String(body?.length ?? 0)])
              assert.deepEqual(valuesOf(arrived, 'content-type'), ['application/resource-lists+xml'])
              assert.ok(arrived.body.equals(Buffer.from(body ?? '')))
            })
          }
        }
      }
    }
    for (const qop of ['auth', 'auth-int'] as const) {
      test(`an upload in chunks arrives with its length, ${qop}`, async () => {
        const signedBody = randomBytes(5000)
        const headers = ['Transfer-Encoding: chunked', 'Trailer: X-Trailer', 'TE: trailers']
        const head = await ue.signed('PUT', OWN, { qop, signedBody, headers })
        const chunks = [signedBody.subarray(0, 1), signedBody.subarray(1, 4097), signedBody.subarray(4097)]
        const octets = Buffer.concat([
          head,
          ...chunks.flatMap((chunk) => [
            Buffer.from(`${chunk.length.toString(16)};x="y"\r\n`),
            chunk,
            Buffer.from('\r\n'),
          ]),
          Buffer.from('0\r\nX-Trailer: z\r\nX-3GPP-Asserted-Identity: "sip:bob@example.com"\r\n\r\n'),
        ])
        const arrived = await arrivalOf(() => ue.send(octets))
        assertOurs(arrived)
        assert.deepEqual(valuesOf(arrived, 'content-length'), ['5000'])
        assert.ok(arrived.body.equals(signedBody))
      })
    }
    test('a UE that waits for 100 Continue gets it, and the server hears nothing of it', async () => {
      const head = await ue.signed('PUT', OWN, { headers: ['Expect: 100-continue', 'Content-Length: 4'] })
      const arrived = await arrivalOf(async () => {
        const connection = await rawConnect(ue.at)
        connection.write(head)
        while (!connection.pending().includes('100 Continue')) await delay(5)
        connection.write('<a/>')
        assert.equal((await connection.answer()).status, 200)
        connection.close()
      })
      assertOurs(arrived)
      assert.equal(arrived.body.toString(), '<a/>')
    })
    test('another expectation is dropped, too', async () => {
      assertOurs(await arrivalOf(() => ue.request('GET', OWN, { headers: ['Expect: the-unexpected'] })))
    })
    test('of an HTTP/1.0 client, too', async () => {
      const octets = (await ue.signed('GET', OWN)).toString('latin1').replace('HTTP/1.1', 'HTTP/1.0')
      const arrived = await arrivalOf(() => ue.send(Buffer.from(octets, 'latin1')))
      assertOurs(arrived)
      assert.equal(arrived.head.split('\r\n')[0], `GET ${OWN} HTTP/1.1`)
    })
    test('a Content-Type that only its author understands passes as it is', async () => {
      for (const type of [
        'a/b;x',
        'application/json',
        'text/xml;charset="utf-8";x=";,"',
        'multipart/mixed; boundary=x',
      ]) {
        const headers = [`Content-Type: ${type}`]
        const arrived = await arrivalOf(() => ue.request('PUT', OWN, { headers, body: '{"a":1}' }))
        assert.deepEqual(valuesOf(arrived, 'content-type'), [type])
        assert.equal(arrived.body.toString(), '{"a":1}')
      }
    })
  })

  describe('gets the target octet for octet', () => {
    const tree = `/resource-lists/users/${impuOf('alice')}`
    const targets: Record<string, string> = {
      [`/resource-lists/users/sip%3Aalice%40${LAB_DOMAIN}/index`]: ALICE,
      [`/resource-lists/users/sip%3aalice@${LAB_DOMAIN}/index`]: ALICE,
      [`/resource-lists/users/sip:alice@${LAB_DOMAIN.toUpperCase()}/index`]: ALICE,
      '/resource-lists/users/tel:+15550100001/index': '"tel:+15550100001"',
      '/resource-lists/users/tel:%2B15550100001/index': '"tel:+15550100001"',
      '/resource-lists/users/tel:+1-555-010-0001/index': '"tel:+15550100001"',
      '/resource-lists/global/index': ALICE,
      '/xcap-caps/global/index': ALICE,
      [`${tree}/index/~~/resource-lists/list%5B@name=%22friends%22%5D/entry%5B@uri=%22sip:bob@example.com%22%5D`]:
        ALICE,
      [`${tree}/index/~~/resource-lists/list%5b@name=%22friends%22%5d/@name`]: ALICE,
      [`${tree}/index/~~/resource-lists/list[2]/entry[1][@uri=%22sip:bob@example.com%22]`]: ALICE,
      [`${tree}/index/~~/resource-lists/list%5B2%5D/namespace::*`]: ALICE,
      [`${tree}/index/~~/a:resource-lists/a:list?xmlns(a=urn:ietf:params:xml:ns:resource-lists)`]: ALICE,
      [`${tree}/index/~~/a:b/c:d?xmlns(a=urn:x:y)xmlns(c=http://example.com/%7Ec?d=e)`]: ALICE,
      '/simservs.ngn.etsi.org/users/tel:+15550100001/simservs.xml/~~/ss:simservs/ss:communication-diversion?xmlns(ss=http://uri.etsi.org/ngn/params/xml/simservs/xcap)':
        '"tel:+15550100001"',
      [`/org.openmobilealliance.pres-rules/users/${impuOf('alice')}/pres-rules`]: ALICE,
      [`${tree}/folder/a%20b%C3%A9!$&'()*+,=:@c.xml`]: ALICE,
      [`${tree}/a..b/c.d/e-f_g~h`]: ALICE,
      [`${tree}/%E4%BD%A0%E5%A5%BD`]: ALICE,
      [`${tree}/index?a=b&c=%26&d=/e/?f`]: ALICE,
      [`${tree}/${'x'.repeat(3000)}`]: ALICE,
    }
    for (const [target, asserted] of Object.entries(targets)) {
      test(target.slice(0, 150), async () => {
        for (const qop of ['auth', 'auth-int'] as const) {
          const arrived = await arrivalOf(async () => {
            const answer = await ue.request('GET', target, { qop })
            assert.equal(answer.status, 200)
          })
          assert.equal(arrived.head.split('\r\n')[0], `GET ${target} HTTP/1.1`)
          assertOurs(arrived, asserted)
        }
      })
    }
    test('also where the digest names it in absolute form', async () => {
      for (const port of ['', ':443', `:${ue.at.port}`]) {
        const arrived = await arrivalOf(() => ue.request('GET', OWN, { uri: `https://${LAB_NAF}${port}${OWN}` }))
        assert.equal(arrived.head.split('\r\n')[0], `GET ${OWN} HTTP/1.1`)
      }
    })
  })

  describe('is told who asks, by us alone', () => {
    const withHeaders = (...headers: string[]) => arrivalOf(() => ue.request('GET', OWN, { headers }))

    test('the intended identity, in whatever form the UE writes it', async () => {
      for (const [written, asserted] of [
        [ALICE, ALICE],
        [impuOf('alice'), ALICE],
        [`<${impuOf('alice')}>`, ALICE],
        ['"tel:+15550100001"', '"tel:+15550100001"'],
        ['tel:+1-555-010-0001', '"tel:+15550100001"'],
        [`"sip:alice@${LAB_DOMAIN.toUpperCase()}"`, ALICE],
      ] as const) {
        assertOurs(await withHeaders(`X-3GPP-Intended-Identity: ${written}`), asserted)
      }
    })
    test('Connection does not take away what we write', async () => {
      const names = 'X-3GPP-Asserted-Identity, X-3GPP-Authorization-Flags, Host, Content-Length, X-Request-ID'
      assertOurs(await withHeaders(`Connection: ${names}`, `Connection: close, ${names.toLowerCase()}`))
    })
    test('hop-by-hop headers, and what Connection names, end at the proxy', async () => {
      const arrived = await withHeaders(
        'Connection: X-Hop,keep-alive',
        'X-Hop: 1',
        'Keep-Alive: timeout=5',
        'TE: trailers',
        'Proxy-Connection: keep-alive',
        'Proxy-Authorization: Basic x',
        'Upgrade: h2c',
        'HTTP2-Settings: x',
        'X-End: 2',
      )
      assertOurs(arrived)
      const names = new Set(fieldsOf(arrived).map(([name]) => name))
      for (const name of ['x-hop', 'proxy-connection', 'proxy-authorization', 'http2-settings'])
        assert.ok(!names.has(name))
      assert.deepEqual(valuesOf(arrived, 'x-end'), ['2'])
    })
    test('what would tell it another user, address or path is dropped', async () => {
      const lies = [
        'From',
        'Forwarded',
        'X-Forwarded-For',
        'X-Forwarded-User',
        'X-Real-IP',
        'X-Original-URL',
        'X-Remote-User',
      ]
      const more = [
        'X-Rewrite-URL',
        'X-HTTP-Method-Override',
        'P-Preferred-Identity',
        'X-MSISDN',
        'Cookie',
        'X-Request-ID',
      ]
      const arrived = await withHeaders(...[...lies, ...more].map((name) => `${name}: bob`))
      assertOurs(arrived)
      assert.doesNotMatch(arrived.head, /bob/)
    })
    test('what holds the private identity or the B-TID is dropped, however it is written', async () => {
      const { btid } = ue
      const impi = `${IMSI}@${LAB_DOMAIN}`
      const forms = [btid, btid.split('@')[0] ?? '', impi, IMSI, `imsi-${IMSI}`].flatMap((text) => [
        text,
        encodeURIComponent(text),
        encodeURIComponent(encodeURIComponent(text)),
      ])
      for (const form of forms) {
        const arrived = await withHeaders(`X-Vendor: ${form}`, `Referer: https://x/?a=${form}`, 'X-End: 2')
        assertOurs(arrived)
        assert.deepEqual(valuesOf(arrived, 'x-vendor'), [])
        assert.deepEqual(valuesOf(arrived, 'referer'), [])
        assert.deepEqual(valuesOf(arrived, 'x-end'), ['2'])
      }
    })
    test('conditions and content headers pass as they are', async () => {
      const lines = [
        'If-Match: "a", W/"b"',
        'If-None-Match: *',
        'If-Modified-Since: Sat, 29 Oct 1994 19:43:31 GMT',
        'Accept: application/xcap-el+xml;q=0.5, */*',
        'Accept-Encoding:',
        'Content-Type: application/xcap-el+xml; charset="utf-8"',
        'X-Vendor-Thing: 1;2,3',
      ]
      const arrived = await withHeaders(...lines)
      for (const line of lines) {
        const [name = '', value = ''] = line.split(/: ?(.*)/)
        assert.deepEqual(valuesOf(arrived, name.toLowerCase()), [value])
      }
    })
  })

  describe('is heard by the UE as it speaks', () => {
    const errors: [status: number, type: string, body: string][] = [
      [
        409,
        'application/xcap-error+xml',
        '<xcap-error xmlns="urn:ietf:params:xml:ns:xcap-error"><no-parent/></xcap-error>',
      ],
      [412, 'text/plain', 'no\r\n'],
      [415, 'text/html;charset=latin1', '\xff\xfe'],
      [404, 'application/problem+json', '{"type":"urn:theirs"}'],
      [500, 'text/plain', 'ours is the kingdom'],
      [503, 'text/plain', 'later'],
      [403, 'text/plain', 'not you'],
      [200, 'application/resource-lists+xml', '<a/>'],
      [201, 'text/plain', ''],
    ]
    for (const qop of ['auth', 'auth-int'] as const) {
      for (const [status, type, body] of errors) {
        test(`${status} with its ETag and body, ${qop}`, async () => {
          script = (socket) =>
            socket.write(
              `HTTP/1.1 ${status} As It Is\r\nContent-Type: ${type}\r\nETag: W/"x,y"\r\nX-Own: 1\r\nX-Own: 2\r\n` +
                `Content-Length: ${body.length}\r\n\r\n${body}`,
              'latin1',
            )
          const answer = await ue.request('PUT', OWN, { qop, body: '<a/>' })
          script = plain
          assert.equal(answer.status, status)
          assert.equal(answer.body.toString('latin1'), body)
          assert.deepEqual(answer.values('etag'), ['W/"x,y"'])
          assert.deepEqual(answer.values('content-type'), [type])
          assert.deepEqual(answer.values('x-own'), ['1', '2'])
          assert.equal(answer.values('authentication-info').length, 1)
        })
      }
      test(`304 and the answer to HEAD keep their length and have no body, ${qop}`, async () => {
        script = (socket) => socket.write('HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\n')
        const unchanged = await ue.request('GET', OWN, { qop, headers: ['If-None-Match: "1"'] })
        assert.equal(unchanged.status, 304)
        assert.equal(unchanged.header('etag'), '"1"')
        script = (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n')
        const head = await ue.request('HEAD', OWN, { qop })
        assert.equal(head.status, 200)
        assert.equal(head.header('content-length'), '1234')
        script = (socket) => socket.write('HTTP/1.1 204 No Content\r\n\r\n')
        assert.equal((await ue.request('DELETE', OWN, { qop })).status, 204)
        script = plain
      })
      test(`and what is between proxies, or is the proxy's to say, is not passed on, ${qop}`, async () => {
        script = (socket) =>
          socket.write(
            [
              'HTTP/1.1 200 OK',
              'Connection: X-Hop, close',
              'X-Hop: 1',
              'Keep-Alive: timeout=1',
              'Proxy-Authenticate: Basic',
              'WWW-Authenticate: Basic realm="theirs"',
              'Authentication-Info: nextnonce="theirs"',
              'Server: theirs 3gpp-gba-uicc',
              'Set-Cookie: a=b',
              'X-3GPP-Asserted-Identity: "sip:bob@example.com"',
              'X_3GPP_Asserted_Identity: "sip:bob@example.com"',
              'P-Asserted-Identity: <sip:bob@example.com>',
              'Via: 1.1 theirs',
              'Alt-Svc: h3=":443"',
              'Upgrade: h2c',
              'Trailer: X-T',
              'X-End: 2',
              'Transfer-Encoding: chunked',
              '',
              '2\r\nok\r\n0\r\nX-T: 1\r\n\r\n',
            ].join('\r\n'),
          )
        const answer = await ue.request('GET', OWN, { qop })
        script = plain
        assert.equal(answer.body.toString(), 'ok')
        const ours = ['authentication-info', 'connection', 'date', 'keep-alive', 'server', 'x-end', 'x-request-id']
        // It came whole, and goes on as a whole.
        assert.deepEqual(answer.headers.map(([name]) => name).sort(), [...ours, 'content-length'].sort())
        assert.equal(answer.header('server'), 'gba-proxy 3gpp-gba')
        assert.match(answer.header('authentication-info') ?? '', /rspauth="[0-9a-f]{32}"/)
        assert.equal(answer.header('connection'), 'keep-alive')
      })
    }
    test('its compressed content stays compressed', async () => {
      const octets = Buffer.from('1f8b0800000000000003', 'hex')
      script = (socket) => {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: ${octets.length}\r\n\r\n`)
        socket.write(octets)
      }
      const answer = await ue.request('GET', OWN, { qop: 'auth-int' })
      script = plain
      assert.equal(answer.header('content-encoding'), 'gzip')
      assert.ok(answer.body.equals(octets))
    })
    test('the emulator finds every rspauth right, also on refusals, and for HEAD', async () => {
      const emulator = await lab.ue('alice', { rspauth: 'require' })
      const foreign = `/resource-lists/users/${impuOf('bob')}/index`
      for (const qop of ['auth', 'auth-int'] as const) {
        for (const [method, path, status] of [
          ['GET', OWN, 200],
          ['HEAD', OWN, 200],
          ['PUT', OWN, 200],
          ['GET', foreign, 403],
          ['HEAD', foreign, 403],
          ['PUT', foreign, 403],
        ] as const) {
          if (method === 'HEAD') script = (socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n')
          const answer = await emulator.request(method, lab.url(path), {
            qop,
            ...(method === 'PUT' && { body: '<a/>' }),
          })
          script = plain
          assert.deepEqual([answer.status, answer.rspauth], [status, 'verified'])
        }
      }
    })
  })
})
