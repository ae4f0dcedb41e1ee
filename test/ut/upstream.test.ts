import assert from 'node:assert/strict'
import { createServer as createHttp } from 'node:http'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { afterEach, describe, test } from 'node:test'
import type { Dispatcher } from 'undici'
import type { Btid, Impu } from '../../src/core/identity.ts'
import { GbaError } from '../../src/errors.ts'
import { authorise, type Grant, isGrant } from '../../src/ut/authorise.ts'
import { type OutgoingHeaders, prepare } from '../../src/ut/headers.ts'
import { FORWARDING, type Forwarding, type Upstream, upstreams } from '../../src/ut/upstream.ts'
import { parseXcapUri } from '../../src/ut/xcap-uri.ts'

const ALICE = 'sip:alice@example.org' as Impu
const TARGET = '/resource-lists/users/sip:alice@example.org/index/~~/a%5B@b=%22c%22%5D?xmlns(a=b)'

function grantFor(method = 'GET', target = TARGET, appServer = 'xdms'): Grant {
  const ussList = [{ gsid: 3, gsType: 3, uids: [ALICE], flags: [] }]
  const btid = 'I1U8vpY3qJ0hiuZNrke/NQ==@bsf.example.org' as Btid
  const policy = { appServer, gsids: [3], ownership: 'owner' } as const
  return authorise({ btid, ussList }, parseXcapUri(target), method, undefined, policy)
}

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

/** Listens, and counts who connects. */
async function listening(server: Server): Promise<{ url: string; connections: () => number }> {
  const sockets = new Set<Socket>()
  let connections = 0
  server.on('connection', (socket) => {
    connections++
    sockets.add(socket)
    socket.on('error', () => {})
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  closing.push(() => {
    for (const socket of sockets) socket.destroy()
    return new Promise((closed) => server.close(closed))
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, connections: () => connections }
}

function wayTo(url: string, options: Partial<Upstream> = {}) {
  const upstream = { name: 'xdms', url, timeoutMs: 2_000, connectTimeoutMs: 2_000, connections: 4, ...options }
  const way = upstreams([upstream])
  closing.push(() => way.destroy())
  return way
}
type Way = ReturnType<typeof wayTo>

const POLICY = {
  identityHeader: [],
  identityQuoted: true,
  authorisationFlags: false,
  hostHeader: 'preserve',
  authority: 'xdms.internal',
} as const

const headersOf = (grant: Grant, received: readonly string[] = [], contentLength?: number): OutgoingHeaders =>
  prepare(grant, POLICY, received, { host: 'xcap.example.org', requestId: 'r1', contentLength }).headers

const forwarding = (changes: Partial<Forwarding> = {}): Forwarding => {
  const grant = changes.grant ?? grantFor()
  return { grant, headers: headersOf(isGrant(grant) ? grant : grantFor()), body: undefined, ...changes }
}

/** What reply-from does: it hands over a URL of its own making, and our headers among others. */
function send(way: Way, what: Forwarding): Promise<Dispatcher.ResponseData> {
  return new Promise((resolve, reject) => {
    way.request({ headers: { [FORWARDING]: what } }, (error, data) => (data ? resolve(data) : reject(error)))
  })
}

describe('without a grant nothing is sent, and no connection is opened', () => {
  const forged = { ...grantFor() } as Grant
  for (const [why, headers] of [
    ['no headers', undefined],
    ['headers of somebody else', { authorization: 'Digest', host: 'xcap.example.org' }],
    ['no forwarding', { [FORWARDING]: undefined }],
    ['a forwarding without a grant', { [FORWARDING]: { ...forwarding(), grant: undefined } }],
    ['a grant that only looks like one', { [FORWARDING]: forwarding({ grant: forged }) }],
    ['a grant out of JSON', { [FORWARDING]: forwarding({ grant: JSON.parse(JSON.stringify(grantFor())) }) }],
    ['headers that nobody prepared', { [FORWARDING]: forwarding({ headers: { ...headersOf(grantFor()) } }) }],
    ['headers prepared for another grant', { [FORWARDING]: forwarding({ headers: headersOf(grantFor('PUT')) }) }],
    ['a grant that inherits from one', { [FORWARDING]: forwarding({ grant: Object.create(grantFor()) }) }],
    [
      'a grant for a server that is none of ours',
      { [FORWARDING]: forwarding({ grant: grantFor('GET', TARGET, 'other') }) },
    ],
  ] as const) {
    test(`with ${why}`, async () => {
      const as = await listening(createServer())
      const way = wayTo(as.url)
      const answered: unknown[] = []
      const other = { path: TARGET, method: 'GET', origin: as.url }
      assert.throws(
        () => way.request({ ...other, headers } as { headers?: unknown }, (...all) => answered.push(all)),
        TypeError,
      )
      await new Promise((later) => setTimeout(later, 50))
      assert.deepEqual([as.connections(), answered], [0, []])
    })
  }

  test('while the same way with a grant does connect', async () => {
    const as = await listening(createHttp((_request, response) => response.end('ok')))
    await (await send(wayTo(as.url), forwarding())).body.dump()
    assert.equal(as.connections(), 1)
  })
})

describe('with a grant', () => {
  test('the very target, method, headers and body that were checked go out, and nothing else counts', async () => {
    const seen: unknown[] = []
    const as = await listening(
      createHttp(async (request, response) => {
        const parts: Buffer[] = []
        for await (const part of request) parts.push(part as Buffer)
        seen.push([request.method, request.url, request.headers['x-a'], Buffer.concat(parts).toString()])
        response.end()
      }),
    )
    const way = wayTo(as.url)
    const grant = grantFor('PUT')
    const what = forwarding({ grant, headers: headersOf(grant, ['X-A', 'b'], 4), body: Buffer.from('<a/>') })
    const theirs = { path: '/elsewhere', method: 'DELETE', body: 'evil', origin: 'http://192.0.2.1' }
    await new Promise<void>((resolve, reject) => {
      way.request(
        { ...theirs, headers: { [FORWARDING]: what, authorization: 'x' } } as { headers?: unknown },
        (error) => (error ? reject(error) : resolve()),
      )
    })
    assert.deepEqual(seen, [['PUT', TARGET, 'b', '<a/>']])
  })

  const refuses = (code: string, doing: Promise<unknown>) =>
    assert.rejects(doing, (error) => error instanceof GbaError && error.code === code)

  test('a server that is not there is unreachable', async () => {
    const server = createServer()
    const { url } = await listening(server)
    await new Promise((closed) => server.close(closed))
    await refuses('UT_AS_UNREACHABLE', send(wayTo(url), forwarding()))
  })

  test('a server that hangs up is unreachable', async () => {
    const { url } = await listening(createServer((socket) => socket.once('data', () => socket.destroy())))
    await refuses('UT_AS_UNREACHABLE', send(wayTo(url), forwarding()))
  })

  test('a server that does not answer in time is too late', async () => {
    const { url } = await listening(createServer((socket) => socket.resume()))
    await refuses('UT_AS_TIMEOUT', send(wayTo(url, { timeoutMs: 100 }), forwarding()))
  })

  test('a server that keeps all its connections busy is too late, also for who waits in the queue', async () => {
    const { url, connections } = await listening(createServer((socket) => socket.resume()))
    const way = wayTo(url, { timeoutMs: 200, connectTimeoutMs: 100, connections: 1 })
    const before = performance.now()
    const all = Array.from({ length: 5 }, () => refuses('UT_AS_TIMEOUT', send(way, forwarding())))
    await Promise.all(all)
    assert.ok(performance.now() - before < 1_500)
    assert.ok(connections() >= 1)
  })

  for (const [what, answer] of [
    ['a status that is none', 'HTTP/1.1 600 Beyond\r\nContent-Length: 0\r\n\r\n'],
    ['no HTTP', 'SSH-2.0-OpenSSH\r\n\r\n'],
    ['a broken header', 'HTTP/1.1 200 OK\r\nA\x00b: c\r\n\r\n'],
    ['two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n'],
    ['more headers than anybody needs', `HTTP/1.1 200 OK\r\nA: ${'b'.repeat(100_000)}\r\n\r\n`],
  ] as const) {
    test(`a server that answers with ${what} is invalid`, async () => {
      const { url } = await listening(createServer((socket) => socket.once('data', () => socket.write(answer))))
      await refuses('UT_AS_ANSWER_INVALID', send(wayTo(url), forwarding()))
    })
  }

  test('each server has connections of its own, and no more than it may have', async () => {
    const servers = await Promise.all(
      [1, 2].map(() => listening(createHttp((_request, response) => setTimeout(() => response.end(), 20)))),
    )
    const [one, two] = servers
    assert.ok(one && two)
    const common = { timeoutMs: 2_000, connectTimeoutMs: 2_000, connections: 2 }
    const way = upstreams([
      { name: 'one', url: one.url, ...common },
      { name: 'two', url: two.url, ...common },
    ])
    closing.push(() => way.destroy())
    const toOne = forwarding({ grant: grantFor('GET', TARGET, 'one') })
    await Promise.all(Array.from({ length: 6 }, async () => (await send(way, toOne)).body.dump()))
    assert.deepEqual([one.connections(), two.connections()], [2, 0])
  })
})
