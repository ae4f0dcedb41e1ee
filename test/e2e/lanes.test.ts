import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import type { Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { isDeepStrictEqual } from 'node:util'
import { impuOf, LAB_NAF } from '../../src/lab.ts'
import { apOf, type HandRequest, type HandUe, handUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { type RawAnswer, rawConnect, requestOctets } from '../support/raw-client.ts'
import { type Arrived, type ScriptedAs, scriptedAs } from '../support/scripted-as.ts'

// One set of rules, two ways to carry a request: whatever goes down one lane goes down the other, and both the
// application server and the UE see the same.
const OWN = `/resource-lists/users/${impuOf('alice')}/index`
const MANY = { burst: 10_000, perMinute: 10_000 }
const LIST = '<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists"/>'

type Script = (socket: Socket, request: Arrived) => void
const says =
  (head: string, body = ''): Script =>
  (socket, { head: asked }) =>
    socket.write(`${head}\r\n\r\n${asked.startsWith('HEAD') ? '' : body}`)
const ok = says(
  'HTTP/1.1 200 OK\r\nDate: Sat, 21 Nov 2026 10:00:00 GMT\r\nETag: "1"\r\nContent-Type: application/xml\r\nContent-Length: 8',
  'recorded',
)

interface Case {
  readonly name: string
  readonly method?: string
  readonly target?: string
  readonly request?: HandRequest
  readonly script?: Script
  /** Octets in the place of a signed request. */
  readonly octets?: Buffer
}

const HEADER_CASES: readonly (readonly [name: string, headers: readonly string[]])[] = [
  ['none of its own', []],
  ['conditions', ['If-Match: "1"', 'If-None-Match: *', 'If-Modified-Since: Sat, 21 Nov 2026 10:00:00 GMT']],
  ['an intended identity', [`X-3GPP-Intended-Identity: "${impuOf('alice')}"`]],
  ['an intended identity without quotation marks', [`X-3GPP-Intended-Identity: ${impuOf('alice')}`]],
  ['an intended identity twice', [`X-3GPP-Intended-Identity: "${impuOf('alice')}"`, 'X-3GPP-Intended-Identity: "a"']],
  ["somebody else's intended identity", [`X-3GPP-Intended-Identity: "${impuOf('bob')}"`]],
  ['a malformed intended identity', ['X-3GPP-Intended-Identity: "']],
  ['an asserted identity', [`X-3GPP-Asserted-Identity: "${impuOf('alice')}"`]],
  ['a look-alike', [`X_3GPP_Asserted_Identity: "${impuOf('alice')}"`]],
  ['cookies and forwarding', ['Cookie: a=b', 'X-Forwarded-For: 192.0.2.1', 'Via: 1.1 x', 'Forwarded: for=x']],
  ['headers of its own', ['X-Of-The-UE: 1', 'Accept: */*', 'Accept-Encoding:', 'accept-language:  de , en ']],
  ['one header several times', ['X-Several: 1', 'X-Several: 2', 'Accept: a/b', 'Accept: c/d']],
  ['a repeated single header', ['Content-Type: a/b', 'Content-Type: c/d']],
  ['high octets', ['X-Latin: \u00e4\u00ff']],
  ['a private identity in a header', ['X-Note: 001010000000001@ims.mnc001.mcc001.3gppnetwork.org']],
  ['Connection: keep-alive', ['Connection: keep-alive']],
  ['Connection: close', ['Connection: close']],
  ['Connection that names a header', ['Connection: X-Named', 'X-Named: 1']],
  ['an upgrade', ['Upgrade: h2c', 'Connection: Upgrade']],
  ['expectations', ['Expect: 100-continue']],
  ['trailers wanted', ['TE: trailers']],
]

const TARGETS = [
  OWN,
  `/resource-lists/users/${impuOf('bob')}/index`,
  '/resource-lists/global/index',
  `/resource-lists/users/${impuOf('alice')}/index/~~/resource-lists/list%5B@name=%22a%22%5D?xmlns(a=b)`,
  `/resource-lists/users/${impuOf('alice')}/index/~~/resource-lists/list[@name="a"]`,
  `/resource-lists/users/${impuOf('alice')}//index`,
  `/resource-lists/users/${impuOf('alice')}/%2e%2e/index`,
  `/resource-lists/users/${impuOf('alice')}/a%2fb`,
  `/RESOURCE-LISTS/users/${impuOf('alice').toUpperCase()}/index`,
  `/resource-lists/users/sip:nobody@elsewhere.example/index`,
  '/resource-lists/users/alice/index',
  '/',
  '/nothing',
  `/internal.gba-proxy.access-log/users/${impuOf('bob')}/index`,
]

const ANSWERS: readonly (readonly [name: string, script: Script])[] = [
  ['201 without a body', says('HTTP/1.1 201 Created\r\nETag: "2"\r\nContent-Length: 0')],
  ['204', says('HTTP/1.1 204 No Content\r\nETag: "2"')],
  ['304', says('HTTP/1.1 304 Not Modified\r\nETag: "1"')],
  ['401', says('HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 2', 'no')],
  ['404', says('HTTP/1.1 404 Not Found\r\nContent-Length: 2', 'no')],
  ['407', says('HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0')],
  ['409', says('HTTP/1.1 409 Conflict\r\nContent-Type: application/xcap-error+xml\r\nContent-Length: 4', '<a/>')],
  ['412', says('HTTP/1.1 412 Precondition Failed\r\nContent-Length: 0')],
  ['500', says('HTTP/1.1 500 Internal Server Error\r\nContent-Length: 2', 'no')],
  ['503 with Retry-After', says('HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 0')],
  ['599', says('HTTP/1.1 599 Odd\r\nContent-Length: 0')],
  ['600', says('HTTP/1.1 600 Odd\r\nContent-Length: 0')],
  ['no reason', says('HTTP/1.1 200 \r\nContent-Length: 2', 'ok')],
  [
    'an interim answer first',
    says('HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2', 'ok'),
  ],
  [
    'chunks',
    says('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked', '3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nX-Trailer: 1\r\n\r\n'),
  ],
  ['an empty body in chunks', says('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked', '0\r\n\r\n')],
  [
    'headers that are not passed on',
    says(
      'HTTP/1.1 200 OK\r\nServer: x\r\nSet-Cookie: a=b\r\nX-3GPP-Asserted-Identity: "x"\r\nAuthentication-Info: a\r\n' +
        'Connection: keep-alive, X-Named\r\nX-Named: 1\r\nKeep-Alive: timeout=9\r\nX-Kept: 1\r\nX-Kept: 2\r\nContent-Length: 2',
      'ok',
    ),
  ],
  ['a body of 300,000 octets', says('HTTP/1.1 200 OK\r\nContent-Length: 300000', 'x'.repeat(300_000))],
  ['a body of 300,000 octets in chunks', says('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked', chunks(300_000))],
  ['an end instead of an answer', (socket) => void socket.end()],
  ['a reset', (socket) => void socket.resetAndDestroy()],
  ['no HTTP', says('SSH-2.0-x')],
  ['two lengths', says('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3', 'abc')],
  ['length and chunks', says('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked', '0\r\n\r\n')],
]

function chunks(length: number): string {
  let text = ''
  for (let left = length; left > 0; left -= 1000) text += `3e8\r\n${'y'.repeat(1000)}\r\n`
  return `${text}0\r\n\r\n`
}

const CASES: readonly Case[] = [
  ...(['GET', 'HEAD', 'DELETE'] as const).flatMap((method) =>
    HEADER_CASES.map(([name, headers]) => ({ name: `${method} with ${name}`, method, request: { headers } })),
  ),
  ...HEADER_CASES.map(([name, headers]) => ({
    name: `PUT with ${name}`,
    method: 'PUT',
    request: { headers: [...headers, ...(name.includes('single') ? [] : ['Content-Type: a/b'])], body: LIST },
  })),
  ...(['GET', 'PUT', 'DELETE'] as const).flatMap((method) =>
    TARGETS.map((target) => ({
      name: `${method} ${target}`,
      method,
      target,
      request: method === 'PUT' ? { body: LIST } : {},
    })),
  ),
  ...(['GET', 'HEAD', 'PUT'] as const).flatMap((method) =>
    ANSWERS.map(([name, script]) => ({
      name: `${method} answered by ${name}`,
      method,
      request: method === 'PUT' ? { body: LIST } : {},
      script,
    })),
  ),
  { name: 'PUT without a body', method: 'PUT', request: { body: '' } },
  { name: 'PUT without a length', method: 'PUT' },
  { name: 'PUT of 100,000 octets', method: 'PUT', request: { body: 'x'.repeat(100_000) } },
  { name: 'PUT of too many octets', method: 'PUT', request: { body: 'x'.repeat(1_100_000) } },
  { name: 'DELETE with a body', method: 'DELETE', request: { body: 'x' } },
  { name: 'GET with a body', request: { body: 'x' } },
  { name: 'POST', method: 'POST', request: { body: 'x' } },
  { name: 'OPTIONS', method: 'OPTIONS' },
  { name: 'PATCH', method: 'PATCH', request: { body: 'x' } },
  { name: 'auth-int', method: 'PUT', request: { body: LIST, qop: 'auth-int' } },
  { name: 'auth-int over another body', method: 'PUT', request: { body: LIST, qop: 'auth-int', signedBody: 'x' } },
  { name: 'a wrong response', request: { response: '0'.repeat(32) } },
  { name: 'another algorithm', request: { algorithm: 'SHA-256' } },
  { name: 'a realm that is not ours', request: { realm: 'x' } },
  { name: 'an invented nonce', request: { nonce: 'x'.repeat(40) } },
  { name: 'an unknown B-TID', request: { username: 'AAAAAAAAAAAAAAAAAAAAAA==@bsf.example.org' } },
  { name: 'no B-TID', request: { username: 'alice' } },
  // Within the window of the nonce, or every request after it would be a replay.
  { name: 'a count far ahead', request: { nc: '00000200' } },
  { name: 'a uri with a slash at its end', request: { uri: `${OWN}/` } },
  { name: 'a uri in absolute form', request: { uri: `https://${LAB_NAF}${OWN}` } },
  { name: 'a uri that is another', request: { uri: '/other' } },
  { name: 'another host', request: { host: 'other.example.org' } },
  { name: 'a host with a port', request: { host: `${LAB_NAF}:8443` } },
  ...[
    ['no credentials', [`GET ${OWN} HTTP/1.1`, [`Host: ${LAB_NAF}`, 'User-Agent: x 3gpp-gba']]],
    ['no credentials and a body', [`PUT ${OWN} HTTP/1.1`, [`Host: ${LAB_NAF}`, 'Content-Length: 3'], 'abc']],
    ['Basic', [`GET ${OWN} HTTP/1.1`, [`Host: ${LAB_NAF}`, 'Authorization: Basic eDp5']]],
    ['two Authorization lines', [`GET ${OWN} HTTP/1.1`, [`Host: ${LAB_NAF}`, 'Authorization: a', 'Authorization: b']]],
    ['no Host', [`GET ${OWN} HTTP/1.1`, ['Accept: */*']]],
    ['two Hosts', [`GET ${OWN} HTTP/1.1`, [`Host: ${LAB_NAF}`, `Host: ${LAB_NAF}`]]],
    ['HTTP/1.0', [`GET ${OWN} HTTP/1.0`, [`Host: ${LAB_NAF}`]]],
    ['an absolute target', [`GET https://${LAB_NAF}${OWN} HTTP/1.1`, [`Host: ${LAB_NAF}`]]],
    ['OPTIONS *', ['OPTIONS * HTTP/1.1', [`Host: ${LAB_NAF}`]]],
    ['a folded header', [`GET ${OWN} HTTP/1.1`, [`Host: ${LAB_NAF}`, 'X-A: b', ' c']]],
    ['a space before the colon', [`GET ${OWN} HTTP/1.1`, [`Host : ${LAB_NAF}`]]],
    ['a control octet', [`GET ${OWN} HTTP/1.1`, [`Host: ${LAB_NAF}`, 'X-A: \u0001']]],
    ['chunks', [`PUT ${OWN} HTTP/1.1`, [`Host: ${LAB_NAF}`, 'Transfer-Encoding: chunked'], '0\r\n\r\n']],
    [
      'chunks and a length',
      [`PUT ${OWN} HTTP/1.1`, [`Host: ${LAB_NAF}`, 'Transfer-Encoding: chunked', 'Content-Length: 5'], '0\r\n\r\n'],
    ],
    ['two lengths', [`PUT ${OWN} HTTP/1.1`, [`Host: ${LAB_NAF}`, 'Content-Length: 1', 'Content-Length: 2'], 'ab']],
    ['a signed length', [`PUT ${OWN} HTTP/1.1`, [`Host: ${LAB_NAF}`, 'Content-Length: +2'], 'ab']],
    [
      'many headers',
      [`GET ${OWN} HTTP/1.1`, [`Host: ${LAB_NAF}`, ...Array.from({ length: 120 }, (_, i) => `X-${i}: 1`)]],
    ],
    ['a large header', [`GET ${OWN} HTTP/1.1`, [`Host: ${LAB_NAF}`, `X-Large: ${'x'.repeat(20_000)}`]]],
    ['no HTTP at all', ['hello', []]],
  ].map(([name, octets]) => ({
    name: `octets: ${name}`,
    octets: requestOctets(...(octets as [string, string[], string?])),
  })),
]

describe('the two lanes', () => {
  const sides: { lab: TestLab; as: ScriptedAs; ue: HandUe }[] = []
  let script: Script
  before(async () => {
    for (const httpFront of ['strict', 'fastify']) {
      const as = await scriptedAs((socket, request) => script(socket, request))
      const lab = await testLab({
        as: null,
        ap: {
          httpFront,
          challenge: { algorithms: ['MD5'], qop: ['auth', 'auth-int'] },
          // Guesses are many here, and their number is not what is compared.
          limits: { failures: { perSource: MANY, perIdentity: MANY, perUsername: MANY } },
          appServers: [{ name: 'recorder', url: as.url }],
          routes: [{ appServer: 'recorder', methods: ['GET', 'HEAD', 'PUT', 'DELETE', 'POST', 'OPTIONS'] }],
        },
      })
      sides.push({ lab, as, ue: await handUe(lab) })
    }
  })
  after(async () => {
    for (const { lab, as } of sides) {
      await lab.close()
      await as.close()
    }
  })

  for (const { name, method = 'GET', target = OWN, request = {}, script: own = ok, octets } of CASES) {
    test(`carry ${name} alike`, async () => {
      script = own
      const seen = []
      for (const { lab, as, ue } of sides) {
        const from = { arrived: as.arrived.length, decisions: lab.decisions.length }
        const sent = octets ?? (await ue.signed(method, target, request))
        const answer = await ue.send(sent, octets ? methodOf(octets) : method).then(shown, (error: Error) => error.name)
        const decided = lab.decisions
          .slice(from.decisions)
          .filter(({ event }) => event.startsWith('ut.'))
          .map(({ event, record: { code, status, tolerances, step, door } }) => ({
            event,
            code,
            status,
            tolerances,
            step,
            door,
          }))
        const arrived = as.arrived
          .slice(from.arrived)
          .map(({ head, body }) => [withoutIds(head, ue), body.toString('latin1')])
          // Where a kept connection ends without an answer, the lane asks anew what may be asked twice.
          .filter((request, i, all) => method === 'PUT' || i === 0 || !isDeepStrictEqual(request, all[i - 1]))
        seen.push({ answer, arrived, decided })
      }
      assert.deepEqual(seen[0], seen[1])
      assert.ok(!seen.some(({ decided }) => decided.some(({ code }) => code === 'INTERNAL')))
    })
  }

  test('prove an answer under auth-int, however the UE writes that word', async () => {
    script = ok
    const h = (data: string) => createHash('md5').update(data).digest('hex')
    for (const { ue } of sides) {
      const signed = (await ue.signed('PUT', OWN, { body: LIST, qop: 'auth-int' })).toString('latin1')
      const octets = Buffer.from(signed.replace('qop=auth-int', 'qop="auth\\-int"'), 'latin1')
      assert.notEqual(octets.length, signed.length)
      const answer = await ue.send(octets, 'PUT')
      const nonce = /nonce="([^"]+)"/.exec(signed)?.[1]
      const nc = /nc=([0-9a-f]+)/.exec(signed)?.[1]
      const ha1 = h(`${ue.btid}:3GPP-bootstrapping@${ue.naf}:${ue.password}`)
      const rspauth = h(`${ha1}:${nonce}:${nc}:c0ffee:auth-int:${h(`:${OWN}:${h('recorded')}`)}`)
      assert.equal(answer.status, 200, sides.map(({ lab }) => lab.decisions.at(-1)?.record.detail).join())
      assert.ok(answer.header('authentication-info')?.includes(`rspauth="${rspauth}"`))
    }
  })

  test('are two: what is common takes the lane, and the rest of a connection that had something else does not', async () => {
    script = ok
    const [strict] = sides
    assert.ok(strict)
    const connection = await rawConnect(apOf(strict.lab))
    const isExpress = async (octets: Buffer) => {
      connection.write(octets)
      for (;;) {
        const text = connection.pending().toString('latin1')
        if (text.includes('\r\n\r\n')) {
          await connection.answer()
          // Node writes its own headers in capitals.
          return /\r\nkeep-alive: timeout=/.test(text)
        }
        await new Promise((wait) => setTimeout(wait, 5))
      }
    }
    assert.equal(await isExpress(await strict.ue.signed('GET', OWN)), true)
    assert.equal(await isExpress(await strict.ue.signed('PUT', OWN, { body: LIST })), true)
    assert.equal(await isExpress(await strict.ue.signed('GET', OWN, { headers: ['TE: trailers'] })), false)
    assert.equal(await isExpress(await strict.ue.signed('GET', OWN)), false)
    connection.close()
  })
})

const methodOf = (octets: Buffer) => octets.toString('latin1', 0, octets.indexOf(' '))

/** What differs between any two exchanges, and what each lane says of the connection in its own way. */
function shown({ status, headers, values, body }: RawAnswer) {
  for (const name of ['date', 'server', 'connection', 'content-length', 'transfer-encoding']) {
    assert.ok(values(name).length <= 1, `${name} ${values(name).length} times`)
  }
  assert.ok(values('content-length').length === 0 || values('transfer-encoding').length === 0)
  const fields = headers
    .filter(([name]) => !['date', 'keep-alive', 'transfer-encoding', 'content-length'].includes(name))
    .map(([name, value]) => [
      name,
      name === 'www-authenticate' ? value.replace(/nonce="[^"]+"/, '') : withoutProof(value.replace(UUID, 'ID')),
    ])
    .sort()
  return { status, fields, body: body.toString('latin1').replace(UUID, 'ID') }
}

const UUID = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g
const withoutProof = (value: string) => value.replace(/rspauth="[^"]*"/, '').replace(/nc=[0-9a-f]+/, '')
const withoutIds = (head: string, { at }: HandUe) =>
  head
    .replace(UUID, 'ID')
    .replaceAll(String(at.port), 'PORT')
    .replace(/127\.0\.0\.1:\d+/g, 'AS')
    .split('\r\n')
    .filter((line) => !/^connection: (?:keep-alive|close)$/.test(line))
    .sort()
