import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { Server } from 'node:http'
import https from 'node:https'
import net, { type AddressInfo, type Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import tls from 'node:tls'
import fc from 'fast-check'
import type { Fqdn } from '../../src/core/identity.ts'
import { makeLabPki } from '../../src/tls/issue.ts'
import { cameInClear, type UpgradeOptions, upgradeListener } from '../../src/tls/upgrade.ts'

// Somebody on the path, or a client that frames oddly, gets content out of the listener without TLS, or words into TLS.
const NAF = 'xcap.example.org' as Fqdn
const HOST = `Host: ${NAF}`
const UPGRADE = ['Upgrade: TLS/1.2', 'Connection: Upgrade'] as const
const CONTENT = 'what only TLS may see'

const pki = await makeLabPki({ names: { naf: [NAF], bsf: [], znClients: [] }, now: Date.now(), validDays: 1 })

interface Sniffed {
  /** What the listener said. */
  readonly said: () => Buffer
  readonly socket: Socket
  readonly closed: Promise<unknown>
}

interface Attacked {
  /** Through a relay that listens in. */
  connect(): Promise<Sniffed>
  /** Requests that came in behind TLS: target, and whether it was known to be from before. */
  readonly inside: (readonly [url: string | undefined, inClear: boolean])[]
  close(): Promise<void>
}

async function attacked(mode: UpgradeOptions['mode']): Promise<Attacked> {
  const inside: (readonly [string | undefined, boolean])[] = []
  const secure = https.createServer({ cert: pki.ap.certificate, key: pki.ap.key }, (request, response) => {
    inside.push([request.url, cameInClear(request)])
    request.resume()
    response.end(`${CONTENT} at ${request.url}`)
  })
  secure.on('tlsClientError', () => {})
  const clear = upgradeListener(secure, {
    mode,
    nafs: (host) => host === NAF,
    limits: { headerBytes: 16_384, headersTimeoutMs: 2000, handshakeMs: 1000, connections: 100 },
    problem: (status) => JSON.stringify({ status }),
    onRefused: () => {},
  })
  const conversations = new Map<number, Buffer[]>()
  const relay = net.createServer({ allowHalfOpen: true }, (near) => {
    const far = net.connect({ host: '127.0.0.1', port: portOf(clear), noDelay: true, allowHalfOpen: true })
    const said: Buffer[] = []
    conversations.set(near.remotePort ?? 0, said)
    far.on('data', (part) => said.push(part))
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      one.pipe(other)
      one.on('error', () => {})
      one.on('close', () => other.destroySoon())
    }
  })
  for (const server of [secure, clear, relay]) {
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
  }
  return {
    inside,
    async connect() {
      const socket = net.connect({ host: '127.0.0.1', port: portOf(relay), noDelay: true, allowHalfOpen: true })
      socket.on('error', () => {})
      const closed = new Promise((resolve) => socket.once('end', resolve).once('close', resolve))
      await once(socket, 'connect')
      const { localPort = 0 } = socket
      return { socket, closed, said: () => Buffer.concat(conversations.get(localPort) ?? []) }
    },
    async close() {
      const closed = Promise.all([secure, clear, relay].map((server) => once(server, 'close')))
      for (const server of [secure, clear, relay]) server.close()
      secure.closeAllConnections()
      clear.closeAllConnections()
      await closed
    },
  }
}

const portOf = (server: Server | net.Server) => (server.address() as AddressInfo).port
const requestOf = (line: string, ...headers: string[]) => `${[line, ...headers].join('\r\n')}\r\n\r\n`

/** Sends octets, and nothing more. @returns all that was said in clear until the end */
async function conversation(attack: Attacked, octets: string | Uint8Array): Promise<Buffer> {
  const { socket, said, closed } = await attack.connect()
  socket.resume()
  socket.write(typeof octets === 'string' ? Buffer.from(octets, 'latin1') : octets)
  socket.end()
  await closed
  socket.destroy()
  return said()
}

/** The statuses of what was said; anything but a refusal in full, or a 101 with TLS records behind it, fails. */
function statusesOf(said: Buffer, allowed: readonly number[]): number[] {
  const statuses: number[] = []
  let rest = said.toString('latin1')
  while (rest !== '') {
    const end = rest.indexOf('\r\n\r\n') + 4
    const head = rest.slice(0, end)
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(head)?.[1])
    assert.ok(allowed.includes(status), `${status} in clear: ${rest.slice(0, 200)}`)
    statuses.push(status)
    if (status === 101) {
      assertRecords(Buffer.from(rest.slice(end), 'latin1'))
      return statuses
    }
    assert.match(head, /^content-type: application\/problem\+json\r$/im)
    const problem = JSON.stringify({ status })
    assert.equal(/^content-length: (\d+)\r$/im.exec(head)?.[1], String(problem.length))
    rest = rest.slice(end)
    // The answer to a HEAD has a length and no body.
    if (rest === '' || rest.startsWith('HTTP/1.1 ')) continue
    assert.ok(rest.startsWith(problem), rest)
    rest = rest.slice(problem.length)
  }
  return statuses
}

/** Handshake, alert, change_cipher_spec or application_data of some TLS, and nothing between them. */
function assertRecords(octets: Buffer): void {
  for (let at = 0; at < octets.length; at += 5 + octets.readUInt16BE(at + 3)) {
    assert.ok([20, 21, 22, 23].includes(octets[at] ?? 0) && octets[at + 1] === 3, 'octets that are no TLS record')
  }
}

const REFUSALS = [400, 408, 426, 431]

describe('in clear', () => {
  let upgrading: Attacked
  let redirecting: Attacked
  before(async () => {
    upgrading = await attacked('upgrade')
    redirecting = await attacked('redirect')
  })
  after(async () => {
    await upgrading.close()
    await redirecting.close()
  })

  const line = fc
    .tuple(
      fc.constantFrom('GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'POST', 'CONNECT', 'TRACE', 'PRI', 'get'),
      fc.constantFrom('/a', '*', 'http://xcap.example.org/a', '//x', '/a#b', 'xcap.example.org:443', '/\\', '/\u00e9'),
      fc.constantFrom('HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0', 'HTTP/2.0', 'HTTP/0.9', ''),
    )
    .map((parts) => parts.join(' '))
  const header = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(HOST, ...UPGRADE) },
    {
      weight: 3,
      arbitrary: fc.constantFrom(
        'Host: evil.example.com',
        'Upgrade: h2c',
        'Upgrade: websocket',
        'Connection: close',
        'Connection: keep-alive, Upgrade',
        'Content-Length: 0',
        'Content-Length: 5',
        'Content-Length: 99999',
        'Transfer-Encoding: chunked',
        'Expect: 100-continue',
        'Expect: 200-ok',
        'Authorization: Digest username="x"',
        'Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==',
        'HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA',
        `X: ${'x'.repeat(20_000)}`,
        'X : y',
        ' folded',
        'X: a\0b',
      ),
    },
    { weight: 1, arbitrary: fc.string({ maxLength: 20 }) },
  )
  const head = fc
    .tuple(line, fc.array(header, { maxLength: 7 }))
    .map(([first, headers]) => requestOf(first, ...headers))
  const asking = fc
    .tuple(fc.constantFrom('GET /a', 'OPTIONS *', 'HEAD /', 'PUT /a'), fc.array(header, { maxLength: 2 }))
    .map(([first, headers]) => requestOf(`${first} HTTP/1.1`, HOST, ...UPGRADE, ...headers))
  const tail = fc.constantFrom('', '', 'hello', '5\r\nhello\r\n0\r\n\r\n', '\x16\x03\x01\x00\x05hello', '\r\n')
  const octets = fc
    .tuple(fc.array(fc.oneof(head, asking), { minLength: 1, maxLength: 3 }), tail)
    .map(([heads, end]) => heads.join('') + end)

  /** One for each status that there is. */
  const examples: [string][] = [
    [requestOf('GET /a HTTP/1.1', HOST)],
    [requestOf('GET /a HTTP/1.1', HOST, ...UPGRADE)],
    [requestOf('GET /a HTTP/1.1')],
    [requestOf('GET /a HTTP/1.1', HOST, `X: ${'x'.repeat(20_000)}`)],
  ]

  test('nothing but refusals and 101 is said, whatever is asked', async () => {
    const seen = new Set<number>()
    await fc.assert(
      fc.asyncProperty(octets, async (text) => {
        for (const status of statusesOf(await conversation(upgrading, text), [101, ...REFUSALS])) seen.add(status)
      }),
      { numRuns: 300, examples },
    )
    assert.deepEqual([...seen].sort(), [101, 400, 426, 431])
    assert.deepEqual(upgrading.inside, [])
  })

  test('nothing but refusals and redirects to our own name is said, where it is told to redirect', async () => {
    const seen = new Set<number>()
    await fc.assert(
      fc.asyncProperty(octets, async (text) => {
        const said = await conversation(redirecting, text)
        for (const status of statusesOf(said, [308, ...REFUSALS])) seen.add(status)
        for (const [, location = ''] of said.toString('latin1').matchAll(/^location: ?(.*)\r$/gim)) {
          assert.equal(new URL(location).origin, `https://${NAF}`)
        }
      }),
      { numRuns: 200, examples },
    )
    assert.deepEqual([...seen].sort(), [308, 400, 431])
    assert.deepEqual(redirecting.inside, [])
  })

  test('nothing is said that is not HTTP, to octets that are none', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 200 }), async (text) => {
        statusesOf(await conversation(upgrading, text), REFUSALS)
      }),
      { numRuns: 100 },
    )
  })

  const after101: Record<string, string> = {
    'a request': requestOf('GET /smuggled HTTP/1.1', HOST),
    'the start of a handshake': '\x16\x03\x01\x02\x00\x01',
    'one octet': '\r',
  }
  for (const [name, more] of Object.entries(after101)) {
    test(`${name} that comes along with an upgrade ends it before it begins`, async () => {
      const said = await conversation(upgrading, requestOf('GET /a HTTP/1.1', HOST, ...UPGRADE) + more)
      assert.deepEqual(statusesOf(said, [400]), [400])
      assert.deepEqual(upgrading.inside, [])
    })
  }

  test('an upgrade behind a request that waits for its answer is not granted', async () => {
    const octets = requestOf('GET /a HTTP/1.1', HOST) + requestOf('GET /b HTTP/1.1', HOST, ...UPGRADE)
    assert.deepEqual(statusesOf(await conversation(upgrading, octets), [426]), [426])
    assert.deepEqual(upgrading.inside, [])
  })

  test('a body is not read as the request that it looks like', async () => {
    const hidden = requestOf('GET /a HTTP/1.1', HOST, ...UPGRADE)
    const octets = requestOf('PUT /a HTTP/1.1', HOST, ...UPGRADE, `Content-Length: ${hidden.length}`) + hidden
    assert.deepEqual(statusesOf(await conversation(upgrading, octets), [426]), [426])
  })

  test('no tunnel is dug', async () => {
    const octets = requestOf(`CONNECT ${NAF}:443 HTTP/1.1`, HOST) + requestOf('GET /a HTTP/1.1', HOST)
    assert.deepEqual(statusesOf(await conversation(upgrading, octets), [400]), [400])
  })

  test('a body is not asked for', async () => {
    const octets = requestOf('PUT /a HTTP/1.1', HOST, 'Content-Length: 5', 'Expect: 100-continue')
    assert.deepEqual(statusesOf(await conversation(upgrading, octets), [426]), [426])
  })

  test('a second Host is found behind thousands of headers', async () => {
    const octets = requestOf('GET /a HTTP/1.1', HOST, ...UPGRADE, ...Array(3000).fill('a:'), 'Host: x')
    assert.ok(octets.length < 16_384)
    assert.deepEqual(statusesOf(await conversation(upgrading, octets), [400]), [400])
  })

  test('no octet of an answer is seen, by who listens to an upgrade from its first octet to its last', async () => {
    const { socket, said } = await upgrading.connect()
    socket.write(requestOf('GET /mine HTTP/1.1', HOST, ...UPGRADE))
    await once(socket, 'data')
    const inside = tls.connect({ socket, servername: NAF, ca: pki.ca.certificate })
    let text = ''
    inside.on('data', (part) => {
      text += part
      if (text.endsWith('/mine'))
        inside.write(requestOf('PUT /next HTTP/1.1', HOST, 'Content-Length: 0', 'Connection: close'))
    })
    await once(inside, 'end')
    inside.destroy()
    assert.ok(text.includes(`${CONTENT} at /mine`) && text.includes(`${CONTENT} at /next`))
    assert.deepEqual(statusesOf(said(), [101]), [101])
    assert.ok(!said().includes(CONTENT))
  })

  test('a request of a stranger in front of the handshake of a UE is known for one', async () => {
    upgrading.inside.length = 0
    const { socket } = await upgrading.connect()
    socket.write(requestOf('GET /what-a-stranger-wants HTTP/1.1', HOST, ...UPGRADE))
    await once(socket, 'data')
    // From here on the stranger passes octets on, of a UE that speaks TLS from the start.
    const inside = tls.connect({ socket, servername: NAF, ca: pki.ca.certificate })
    await once(inside, 'secureConnect')
    inside.write(requestOf('GET /mine HTTP/1.1', HOST, 'Connection: close'))
    inside.resume()
    await once(inside, 'end')
    inside.destroy()
    assert.deepEqual(upgrading.inside, [
      ['/what-a-stranger-wants', true],
      ['/mine', false],
    ])
  })
})
