import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import https from 'node:https'
import net, { type AddressInfo, type Socket } from 'node:net'
import { after, before, describe, type TestContext, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import tls, { type ConnectionOptions, type TLSSocket } from 'node:tls'
import { btidOf, type Fqdn } from '../../src/core/identity.ts'
import { formatPskIdentity, PSK_HINT } from '../../src/core/psk-identity.ts'
import { Secret } from '../../src/core/secret.ts'
import { makeLabPki } from '../../src/tls/issue.ts'
import { admitPsk, doorOf } from '../../src/tls/psk-listener.ts'
import { cameInClear, type UpgradeOptions, upgradeListener } from '../../src/tls/upgrade.ts'
import { answerInClear } from '../../src/tls/upgrade-request.ts'

const NAF = 'xcap.example.org' as Fqdn
const OTHER = 'other.example.org' as Fqdn
const BTID = btidOf(new Uint8Array(16).fill(7), 'bsf.example.org' as Fqdn)
const KEY = Buffer.alloc(32, 5)

const pki = await makeLabPki({ names: { naf: [NAF, OTHER], bsf: [], znClients: [] }, now: Date.now(), validDays: 1 })
const ca = pki.ca.certificate

interface Served {
  readonly clear: Server
  readonly secure: https.Server
  readonly port: number
  readonly refusals: { status: number; detail: string }[]
  close(): Promise<void>
}

/** Stands for the AP: says in the body what came in, and how; and does not serve one NAF under the name of another. */
function answerInside(request: IncomingMessage, response: ServerResponse): void {
  const { servername } = request.socket as TLSSocket
  if (servername && servername !== request.headers.host) response.statusCode = 421
  let octets = 0
  request.on('data', (part: Buffer) => {
    octets += part.length
  })
  request.on('end', () => {
    const { method, url, rawHeaders } = request
    const door = doorOf(request.socket).kind
    const body = JSON.stringify({ method, url, rawHeaders, octets, door, inClear: cameInClear(request) })
    response.end(request.method === 'HEAD' ? undefined : body)
  })
}

type ServeOptions = Partial<UpgradeOptions> & { readonly psk?: boolean; readonly handshakeMs?: number }

/** Listeners for one test. */
async function serveFor(t: TestContext, options: ServeOptions = {}): Promise<Served> {
  const served = await serve(options)
  t.after(() => served.close())
  return served
}

async function serve(options: ServeOptions = {}): Promise<Served> {
  const refusals: { status: number; detail: string }[] = []
  const secure = https.createServer({ cert: pki.ap.certificate, key: pki.ap.key }, answerInside)
  secure.on('tlsClientError', () => {})
  if (options.psk) {
    admitPsk(secure, {
      hint: PSK_HINT,
      limits: { peekBytes: 65_536, handshakeMs: 5000 },
      pskFor: async (nafFqdn, btid) => {
        await delay(50)
        return nafFqdn === NAF && btid === BTID ? new Secret(KEY) : undefined
      },
    })
  }
  secure.listen(0, '127.0.0.1')
  await once(secure, 'listening')
  const clear = upgradeListener(secure, {
    mode: 'upgrade',
    nafs: (host) => host === NAF || host === OTHER,
    problem: (status, requestId) => JSON.stringify({ status, instance: requestId }),
    onRefused: (_requestId, status, detail) => refusals.push({ status, detail }),
    ...options,
    limits: {
      headerBytes: 16_384,
      headersTimeoutMs: 5000,
      handshakeMs: options.handshakeMs ?? 5000,
      connections: 100,
      ...options.limits,
    },
  })
  clear.listen(0, '127.0.0.1')
  await once(clear, 'listening')
  return {
    clear,
    secure,
    port: (clear.address() as AddressInfo).port,
    refusals,
    close: async () => {
      const open = [clear, secure].filter(({ listening }) => listening)
      const closed = Promise.all(open.map((server) => once(server, 'close')))
      for (const server of open) {
        server.close()
        server.closeAllConnections()
      }
      await closed
    },
  }
}

interface Answer {
  readonly status: number
  readonly head: string
  readonly body: string
}

/** Reads answers with a Content-Length, or in one chunk, off a stream. */
function reader(socket: Socket): { answer(method?: string): Promise<Answer>; closed: Promise<void> } {
  let text = ''
  let wake = () => {}
  let isOver = false
  socket.on('data', (part: Buffer) => {
    text += part.toString('latin1')
    wake()
  })
  const closed = new Promise<void>((resolve) => {
    for (const event of ['end', 'error', 'close']) {
      socket.on(event, () => {
        isOver = true
        wake()
        resolve()
      })
    }
  })
  return {
    closed,
    async answer(method = 'GET') {
      for (;;) {
        const end = text.indexOf('\r\n\r\n')
        const head = end < 0 ? '' : text.slice(0, end + 4)
        const length = method === 'HEAD' ? 0 : Number(/^content-length: (\d+)\r$/im.exec(head)?.[1] ?? 0)
        if (head !== '' && text.length >= head.length + length) {
          const body = text.slice(head.length, head.length + length)
          text = text.slice(head.length + length)
          return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(head)?.[1]), head, body }
        }
        if (isOver) throw new Error(`the connection ended within an answer: ${text.slice(0, 200)}`)
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    },
  }
}

const requestOf = (line: string, ...headers: string[]) => `${[`${line} HTTP/1.1`, ...headers].join('\r\n')}\r\n\r\n`
const HOST = `Host: ${NAF}`
const UPGRADE = ['Upgrade: TLS/1.0', 'Connection: Upgrade'] as const

async function connected(port: number): Promise<Socket> {
  const raw = net.connect({ host: '127.0.0.1', port, noDelay: true })
  raw.on('error', () => {})
  await once(raw, 'connect')
  return raw
}

/** The handshake, on a connection that was told 101. */
function secured(raw: Socket, options: ConnectionOptions = {}): TLSSocket {
  raw.removeAllListeners('data')
  const socket = tls.connect({ socket: raw, servername: NAF, ca, ...options })
  socket.on('error', () => {})
  return socket
}

/** Asks for TLS in clear, and does the handshake. */
async function upgraded(port: number, request: string, options: ConnectionOptions = {}) {
  const raw = await connected(port)
  const clear = reader(raw)
  raw.write(request, 'latin1')
  const switching = await clear.answer()
  assert.equal(switching.status, 101, switching.body)
  const socket = secured(raw, options)
  return { raw, socket, switching, ...reader(socket), write: (text: string) => socket.write(text) }
}

const psk: ConnectionOptions = {
  pskCallback: () => ({ psk: KEY, identity: formatPskIdentity(BTID) }),
  checkServerIdentity: () => undefined,
}
const TLS12 = { maxVersion: 'TLSv1.2' } as const
const TLS13 = { minVersion: 'TLSv1.3' } as const
const PSK_SUITE = 'ECDHE-PSK-CHACHA20-POLY1305'

const WAYS: readonly (readonly [name: string, options: ConnectionOptions, door: string])[] = [
  ['TLS 1.2 and a certificate', TLS12, 'certificate'],
  ['TLS 1.3 and a certificate', TLS13, 'certificate'],
  ['TLS 1.2 and a shared key', { ...TLS12, ...psk, ciphers: PSK_SUITE }, 'psk'],
  ['TLS 1.3 and a shared key', { ...TLS13, ...psk, ciphers: 'TLS_AES_128_GCM_SHA256' }, 'psk'],
]

describe('a connection in clear that asks for TLS', () => {
  let served: Served
  before(async () => {
    served = await serve({ psk: true })
  })
  after(() => served.close())

  for (const [name, options, door] of WAYS) {
    test(`gets the answer to its GET within ${name}, and then to a PUT`, async () => {
      const { socket, switching, answer, write } = await upgraded(
        served.port,
        requestOf('GET /a', HOST, ...UPGRADE),
        options,
      )
      assert.match(switching.head, /^Upgrade: TLS\/1\.2, HTTP\/1\.1\r$/m)
      assert.match(switching.head, /^Connection: Upgrade\r$/m)
      const first = JSON.parse((await answer()).body)
      assert.deepEqual([first.method, first.url, first.door, first.inClear], ['GET', '/a', door, true])
      write(requestOf('PUT /b', HOST, 'Content-Length: 5').concat('hello'))
      const second = JSON.parse((await answer()).body)
      assert.deepEqual([second.method, second.url, second.octets, second.inClear], ['PUT', '/b', 5, false])
      socket.destroy()
    })

    test(`may send what is next along with the end of its handshake, with ${name}: the order stays`, async () => {
      const relay = await lateRelay(served.port)
      const { socket, answer, write } = await upgraded(relay.port, requestOf('GET /first', HOST, ...UPGRADE), options)
      await once(socket, 'secureConnect')
      write(requestOf('GET /second', HOST))
      const urls = [await answer(), await answer()].map(({ body }) => JSON.parse(body).url)
      assert.deepEqual(urls, ['/first', '/second'])
      socket.destroy()
      await relay.close()
    })
  }

  test('may ask by OPTIONS *, and for one of several protocols in any case', async () => {
    const { socket, answer } = await upgraded(
      served.port,
      requestOf('OPTIONS *', HOST, 'Upgrade: h2c, tls/1.2', 'Upgrade: websocket', 'connection: keep-alive, UPGRADE'),
    )
    const { method, url } = JSON.parse((await answer()).body)
    assert.deepEqual([method, url], ['OPTIONS', '*'])
    socket.destroy()
  })

  test('may ask by HEAD', async () => {
    const { socket, answer, write } = await upgraded(served.port, requestOf('HEAD /a', HOST, ...UPGRADE))
    assert.equal((await answer('HEAD')).status, 200)
    write(requestOf('GET /b', HOST))
    assert.equal(JSON.parse((await answer()).body).url, '/b')
    socket.destroy()
  })

  test('may ask once it has been told so by 426', async () => {
    const raw = await connected(served.port)
    const { answer } = reader(raw)
    raw.write(requestOf('PUT /a', HOST, 'Content-Length: 5').concat('hello'))
    const told = await answer()
    assert.equal(told.status, 426)
    assert.match(told.head, /^Upgrade: TLS\/1\.2, HTTP\/1\.1\r$/m)
    assert.match(told.head, /^Connection: Upgrade\r$/m)
    assert.match(told.head, /^Content-Type: application\/problem\+json\r$/m)
    raw.write(requestOf('GET /a', HOST, ...UPGRADE))
    assert.equal((await answer()).status, 101)
    const socket = secured(raw)
    const inside = reader(socket)
    assert.equal(JSON.parse((await inside.answer()).body).url, '/a')
    socket.destroy()
  })

  test('gets its own request answered and no other, for all connections that ask at once', async () => {
    const urls = Array.from({ length: 30 }, (_, i) => `/${i}`)
    const answered = await Promise.all(
      urls.map(async (url, i) => {
        const options = WAYS[i % WAYS.length]?.[1]
        const { socket, answer } = await upgraded(served.port, requestOf(`GET ${url}`, HOST, ...UPGRADE), options)
        const answered = JSON.parse((await answer()).body).url
        socket.destroy()
        return answered
      }),
    )
    assert.deepEqual(answered, urls)
  })

  test('takes along its header lines as they are, without its credentials and what was about the upgrade', async () => {
    const lines = [HOST, 'X-A: \u00e9"\t,', 'x-a: b', 'Content-Length: 0', 'User-Agent: 3gpp-gba']
    const { socket, answer } = await upgraded(
      served.port,
      requestOf(
        'GET /a?b=%2F',
        ...lines,
        ...UPGRADE,
        'Authorization: Digest username="x"',
        'Proxy-Authorization: Basic eDp5',
      ),
    )
    const { rawHeaders } = JSON.parse(Buffer.from((await answer()).body, 'latin1').toString())
    assert.deepEqual(
      rawHeaders,
      lines.flatMap((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 2)]),
    )
    socket.destroy()
  })

  test('and for it to be closed has it closed within TLS', async () => {
    const { answer, closed } = await upgraded(
      served.port,
      requestOf('GET /a', HOST, 'Upgrade: TLS/1.2', 'Connection: Upgrade, close'),
    )
    assert.match((await answer()).head, /^Connection: close\r$/m)
    await closed
  })

  test('of one NAF, and does the handshake with another, gets no answer', async () => {
    const { socket, answer } = await upgraded(served.port, requestOf('GET /a', HOST, ...UPGRADE), { servername: OTHER })
    await assert.rejects(answer())
    socket.destroy()
  })

  test('and then speaks no TLS is cut off', async () => {
    const raw = await connected(served.port)
    const { answer, closed } = reader(raw)
    raw.write(requestOf('GET /a', HOST, ...UPGRADE))
    assert.equal((await answer()).status, 101)
    raw.write(requestOf('GET /a', HOST))
    await closed
  })
})

describe('the listener', () => {
  test('cuts off who asks for TLS and does no handshake', async (t) => {
    const served = await serveFor(t, { handshakeMs: 100 })
    for (const octets of ['', '\x16\x03\x01']) {
      const raw = await connected(served.port)
      const { answer, closed } = reader(raw)
      raw.write(requestOf('GET /a', HOST, ...UPGRADE))
      assert.equal((await answer()).status, 101)
      raw.write(octets)
      await closed
    }
    assert.deepEqual(
      served.refusals.map(({ status }) => status),
      [101, 101],
    )
  })

  test('lets go of who leaves in the midst of the handshake', { timeout: 20_000 }, async (t) => {
    const served = await serveFor(t, { handshakeMs: 120_000 })
    const raw = await connected(served.port)
    const { answer, closed } = reader(raw)
    raw.write(requestOf('GET /a', HOST, ...UPGRADE))
    assert.equal((await answer()).status, 101)
    raw.end('\x16\x03\x01')
    await closed
    const over = once(served.clear, 'close')
    served.clear.close()
    await over
  })

  test('leaves a connection alone once its handshake is done', async (t) => {
    const served = await serveFor(t, { handshakeMs: 300 })
    const { socket, answer, write } = await upgraded(served.port, requestOf('GET /a', HOST, ...UPGRADE))
    await answer()
    await delay(600)
    write(requestOf('GET /b', HOST))
    assert.equal(JSON.parse((await answer()).body).url, '/b')
    assert.deepEqual(served.refusals, [])
    socket.destroy()
  })

  test('closes with a handshake under way, and keeps what has become a connection of the TLS server', {
    timeout: 20_000,
  }, async (t) => {
    const served = await serveFor(t, { handshakeMs: 120_000 })
    const { answer, write, closed } = await upgraded(served.port, requestOf('GET /a', HOST, ...UPGRADE))
    await answer()
    const waiting = await connected(served.port)
    const told = reader(waiting)
    waiting.write(requestOf('GET /a', HOST, ...UPGRADE))
    await told.answer()
    const idle = reader(await connected(served.port))
    const over = once(served.clear, 'close')
    served.clear.close()
    served.clear.closeAllConnections()
    await Promise.all([told.closed, idle.closed])
    write(requestOf('GET /b', HOST))
    assert.equal(JSON.parse((await answer()).body).url, '/b')
    served.secure.close()
    served.secure.closeAllConnections()
    await Promise.all([over, closed])
    assert.equal(served.secure.listenerCount('request'), 1)
  })

  test('counts connections that went over to TLS', async (t) => {
    const limits = { headerBytes: 16_384, headersTimeoutMs: 5000, handshakeMs: 5000, connections: 1 }
    const served = await serveFor(t, { limits })
    const { socket, answer } = await upgraded(served.port, requestOf('GET /a', HOST, ...UPGRADE))
    await answer()
    const second = await connected(served.port)
    await reader(second).closed
    socket.destroy()
  })

  test('cuts off who is slow to send a head, or a body that nobody waits for', async (t) => {
    const limits = { headerBytes: 16_384, headersTimeoutMs: 200, handshakeMs: 5000, connections: 10 }
    const served = await serveFor(t, { limits })
    const slow = await connected(served.port)
    const head = reader(slow)
    slow.write('GET /a HTT')
    assert.equal((await head.answer()).status, 408)
    await head.closed
    const late = await connected(served.port)
    const body = reader(late)
    late.write(requestOf('PUT /a', HOST, 'Content-Length: 5'))
    assert.equal((await body.answer()).status, 426)
    await body.closed
    await assert.rejects(body.answer())
  })

  test('takes a few requests on one connection, and no more', async (t) => {
    const served = await serveFor(t)
    const raw = await connected(served.port)
    const { answer, closed } = reader(raw)
    let asked = 0
    for (let last = false; !last; asked += 1) {
      raw.write(requestOf('GET /a', HOST))
      const { status, head } = await answer()
      assert.equal(status, 426)
      last = /^Connection: Upgrade, close\r$/m.test(head)
    }
    assert.equal(asked, 8)
    await closed
  })

  test('sends clients to https, where it is told to redirect', async (t) => {
    const served = await serveFor(t, { mode: 'redirect', httpsPort: 8443 })
    const raw = await connected(served.port)
    const { answer } = reader(raw)
    raw.write(requestOf('PUT /a/~~/b%5B1%5D?c', HOST, ...UPGRADE, 'Content-Length: 2').concat('hi'))
    const { status, head } = await answer()
    assert.equal(status, 308)
    assert.match(head, /^Location: https:\/\/xcap\.example\.org:8443\/a\/~~\/b%5B1%5D\?c\r$/m)
    assert.deepEqual(
      served.refusals.map(({ status }) => status),
      [308],
    )
    raw.destroy()
  })
})

describe('the answer in clear', () => {
  const policy = { mode: 'upgrade', nafs: (host: string) => host === NAF } as const
  const judge = (line: string, headers: readonly string[], { mode = 'upgrade' as const, httpsPort = 443 } = {}) => {
    const [method = '', target = '', version = 'HTTP/1.1'] = line.split(' ')
    const rawHeaders = headers.flatMap((header) => header.split(/: ?(.*)/s).slice(0, 2))
    return answerInClear({ method, target, httpVersion: version.slice(5), rawHeaders }, { ...policy, mode, httpsPort })
  }

  const refused: Record<string, readonly [status: number, line: string, headers: readonly string[]]> = {
    'no upgrade': [426, 'GET /', [HOST]],
    websocket: [426, 'GET /', [HOST, 'Upgrade: websocket', 'Connection: Upgrade']],
    h2c: [426, 'GET /', [HOST, 'Upgrade: h2c', 'Connection: Upgrade, HTTP2-Settings', 'HTTP2-Settings: AAMA']],
    'TLS without a version': [426, 'GET /', [HOST, 'Upgrade: TLS', 'Connection: Upgrade']],
    'a TLS that is not known': [426, 'GET /', [HOST, 'Upgrade: TLS/1.4', 'Connection: Upgrade']],
    SSL: [426, 'GET /', [HOST, 'Upgrade: SSL/3.0', 'Connection: Upgrade']],
    'TLS as a part of a word': [426, 'GET /', [HOST, 'Upgrade: xTLS/1.2', 'Connection: Upgrade']],
    'an upgrade that the connection does not name': [426, 'GET /', [HOST, 'Upgrade: TLS/1.2']],
    'a connection that names something alike': [426, 'GET /', [HOST, 'Upgrade: TLS/1.2', 'Connection: Upgrades']],
    'HTTP/1.0': [426, 'GET / HTTP/1.0', [HOST, ...UPGRADE]],
    'PUT without a body': [426, 'PUT /', [HOST, ...UPGRADE]],
    DELETE: [426, 'DELETE /', [HOST, ...UPGRADE]],
    'a lower-case method': [426, 'get /', [HOST, ...UPGRADE]],
    'a body': [426, 'GET /', [HOST, ...UPGRADE, 'Content-Length: 1']],
    'a length that is none': [426, 'GET /', [HOST, ...UPGRADE, 'Content-Length: 0x0']],
    'two lengths': [426, 'GET /', [HOST, ...UPGRADE, 'Content-Length: 0', 'Content-Length: 0']],
    chunks: [426, 'OPTIONS *', [HOST, ...UPGRADE, 'Transfer-Encoding: chunked']],
    'an expectation': [426, 'GET /', [HOST, ...UPGRADE, 'Expect: 100-continue']],
    'no Host': [400, 'GET /', [...UPGRADE]],
    'two Hosts': [400, 'GET /', [HOST, HOST, ...UPGRADE]],
    'an empty Host': [400, 'GET /', ['Host: ', ...UPGRADE]],
    'the Host of somebody else': [400, 'GET /', ['Host: www.example.org', ...UPGRADE]],
    'a Host that is a list': [400, 'GET /', [`Host: ${NAF}, ${NAF}`, ...UPGRADE]],
    'a Host with a user': [400, 'GET /', [`Host: x@${NAF}`, ...UPGRADE]],
    'another HTTP': [400, 'GET / HTTP/2.0', [HOST, ...UPGRADE]],
  }
  for (const [name, [status, line, headers]] of Object.entries(refused)) {
    test(`to ${name} is ${status}`, () => assert.equal(judge(line, headers).status, status))
  }

  for (const version of ['TLS/1.0', 'TLS/1.1', 'TLS/1.2', 'tls/1.3', ' , TLS/1.2 ,HTTP/1.1']) {
    test(`to an upgrade to "${version}" is 101`, () => {
      const headers = [`Host: ${NAF.toUpperCase()}:8080`, `Upgrade: ${version}`, 'Connection: keep-alive,upgrade']
      const answer = judge('GET /a', headers)
      assert.equal(answer.status, 101)
      const replay = answer.status === 101 ? answer.replay.toString('latin1') : ''
      assert.equal(replay, `GET /a HTTP/1.1\r\nHost: ${NAF.toUpperCase()}:8080\r\nConnection: keep-alive\r\n\r\n`)
    })
  }

  for (const [name, isLast, line, headers] of [
    ['a request without a body', false, 'GET /', [HOST]],
    ['a small body', false, 'PUT /', [HOST, 'Content-Length: 65536']],
    ['a large body', true, 'PUT /', [HOST, 'Content-Length: 65537']],
    ['chunks', true, 'PUT /', [HOST, 'Transfer-Encoding: chunked']],
    ['HTTP/1.0', true, 'GET / HTTP/1.0', [HOST, 'Connection: keep-alive']],
    ['a client that wants so', true, 'GET /', [HOST, 'Connection: Close']],
  ] as const) {
    test(`to ${name} ${isLast ? 'ends' : 'keeps'} the connection`, () => {
      const answer = judge(line, headers)
      assert.deepEqual([answer.status, answer.status === 426 && answer.isLast], [426, isLast])
    })
  }

  for (const target of ['*', 'http://xcap.example.org/', '/a\\b', '/a#b', '/\u00e9', '/a b', '']) {
    test(`is no redirect for the target "${target}"`, () => {
      const head = { method: 'GET', target, httpVersion: '1.1', rawHeaders: ['Host', NAF] }
      assert.equal(answerInClear(head, { ...policy, mode: 'redirect' }).status, 400)
    })
  }

  test('leads to our own name only, whatever the target looks like', () => {
    for (const [httpsPort, start] of [
      [undefined, 'https://xcap.example.org//evil.example.com/..'],
      [443, 'https://xcap.example.org//'],
    ] as const) {
      const head = {
        method: 'GET',
        target: '//evil.example.com/../x',
        httpVersion: '1.1',
        rawHeaders: ['Host', 'XCAP.example.org:80'],
      }
      const answer = answerInClear(head, { ...policy, mode: 'redirect', httpsPort })
      assert.ok(answer.status === 308 && answer.location.startsWith(start))
      assert.equal(new URL(answer.location).host, NAF)
    }
  })
})

/** Passes octets of the client on when it has said no more for a while, all at once. */
async function lateRelay(to: number): Promise<{ port: number; close(): Promise<void> }> {
  const relay = net.createServer((near) => {
    const far = net.connect({ host: '127.0.0.1', port: to, noDelay: true })
    let held: Buffer[] = []
    let timer: NodeJS.Timeout | undefined
    near.on('data', (part: Buffer) => {
      held.push(part)
      clearTimeout(timer)
      timer = setTimeout(() => {
        far.write(Buffer.concat(held))
        held = []
      }, 60)
    })
    far.on('data', (part) => near.write(part))
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      one.on('error', () => {})
      one.on('close', () => other.destroy())
    }
  })
  relay.listen(0, '127.0.0.1')
  await once(relay, 'listening')
  return {
    port: (relay.address() as AddressInfo).port,
    close: async () => {
      relay.close()
      await once(relay, 'close')
    },
  }
}
