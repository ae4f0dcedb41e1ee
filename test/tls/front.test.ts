import assert from 'node:assert/strict'
import { once } from 'node:events'
import http, { type RequestListener } from 'node:http'
import https from 'node:https'
import net, { type AddressInfo, type Socket } from 'node:net'
import { after, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import tls, { type ConnectionOptions, type TLSSocket } from 'node:tls'
import { btidOf, type Fqdn } from '../../src/core/identity.ts'
import { formatPskIdentity, PSK_HINT } from '../../src/core/psk-identity.ts'
import { Secret } from '../../src/core/secret.ts'
import { addressTest, parseAddressBlock } from '../../src/tls/addresses.ts'
import { admitFront, type FrontOptions, type FrontRefusal, frontOf } from '../../src/tls/front.ts'
import { makeLabPki } from '../../src/tls/issue.ts'
import { admitPsk, doorOf } from '../../src/tls/psk-listener.ts'
import { be, IPV4_ENDS, proxyHeader, sslTlv, tcp4, tlv, withChecksum } from '../support/proxy-header.ts'

const nafFqdn = 'xcap.example.org' as Fqdn
const btid = btidOf(new Uint8Array(16).fill(7), 'bsf.example.org' as Fqdn)
const key = Buffer.alloc(32, 9)
const pki = await makeLabPki({ names: { naf: [nafFqdn], bsf: [], znClients: [] }, now: Date.now(), validDays: 1 })
const { certificate: cert, key: certKey } = pki.ap

const open = new Set<() => void>()
after(() => {
  for (const close of open) close()
})

/** Says of each request who sent it, by which door, and how long its body was. */
const answer: RequestListener = (request, response) => {
  let octets = 0
  request.on('data', (chunk: Buffer) => {
    octets += chunk.length
  })
  request.on('end', () => {
    response.end(JSON.stringify({ facts: frontOf(request.socket) ?? null, door: doorOf(request.socket).kind, octets }))
  })
}

interface Served {
  readonly port: number
  readonly server: http.Server | https.Server
  readonly refusals: FrontRefusal[]
}

const psk = {
  hint: PSK_HINT,
  limits: { peekBytes: 65_536, handshakeMs: 5000 },
  pskFor: async () => {
    await delay(20)
    return new Secret(Buffer.from(key))
  },
}

async function serve(
  kind: 'http' | 'https' | 'psk',
  options: Partial<FrontOptions> = {},
  host = '127.0.0.1',
): Promise<Served> {
  const server = kind === 'http' ? http.createServer(answer) : https.createServer({ cert, key: certKey }, answer)
  if (kind === 'psk' && server instanceof https.Server) admitPsk(server, psk)
  const refusals: FrontRefusal[] = []
  admitFront(server, {
    isFront: (address) => address === '127.0.0.1',
    tells: 'proxy-v2',
    headerMs: 5000,
    onRefused: (reason) => refusals.push(reason),
    ...options,
  })
  server.listen(0, host)
  await once(server, 'listening')
  open.add(() => {
    server.close()
    server.closeAllConnections()
  })
  return { port: (server.address() as AddressInfo).port, server, refusals }
}

const GET = `GET / HTTP/1.1\r\nHost: ${nafFqdn}\r\n\r\n`
const header = tcp4(tlv(0x02, nafFqdn), sslTlv(1, 1, tlv(0x21, 'TLSv1.2'), tlv(0x23, 'ECDHE-RSA-AES128-GCM-SHA256')))
const FACTS = {
  clientAddress: '192.0.2.7',
  clientPort: 51_234,
  serverName: nafFqdn,
  tls: { version: 'TLSv1.2', suite: 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256' },
}
const from = (port: number): Buffer =>
  proxyHeader(0x21, 0x11, IPV4_ENDS.subarray(0, 8), be(port, 2), IPV4_ENDS.subarray(10))

interface Answer {
  readonly facts: unknown
  readonly door: string
  readonly octets: number
}

async function connect(port: number, localAddress = '127.0.0.1'): Promise<Socket> {
  const socket = net.connect({ port, host: '127.0.0.1', localAddress, noDelay: true })
  await once(socket, 'connect')
  return socket
}

/** The answers to as many requests as were sent. */
async function answers(socket: Socket, count: number): Promise<Answer[]> {
  const bodies = () => [...text.matchAll(/\r\n\r\n(\{.*?\})(?=HTTP|$)/gs)].map(([, body = '']) => body)
  let text = ''
  const closed = once(socket, 'close').then(() => assert.fail(`closed after ${text}`))
  socket.on('error', () => {})
  closed.catch(() => {}) // it closes in the end
  while (bodies().length < count) {
    const [chunk] = (await Promise.race([once(socket, 'data'), closed])) as [Buffer]
    text += chunk.toString()
  }
  return bodies().map((body) => JSON.parse(body) as Answer)
}

async function ask(socket: Socket, octets: Uint8Array | string = GET): Promise<Answer> {
  const answered = answers(socket, 1)
  socket.write(octets)
  const [only] = await answered
  return only ?? assert.fail()
}

/** TLS over a connection that starts with a front's header, both in one segment where the kernel wills. */
async function secure(port: number, first: Uint8Array, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const socket = await connect(port)
  socket.cork()
  socket.write(first)
  const over = tls.connect({ socket, servername: nafFqdn, ca: pki.ca.certificate, ...options })
  socket.uncork()
  await once(over, 'secureConnect')
  return over
}

/** What comes back until the connection closes. */
async function untilClosed(socket: Socket): Promise<string> {
  let text = ''
  socket.on('data', (chunk) => {
    text += chunk
  })
  socket.on('error', () => {})
  if (!socket.closed) await once(socket, 'close')
  return text
}

describe('a server behind fronts, without TLS of its own', () => {
  test('hears from the front who the client is, for every request of the connection', async () => {
    const { port, refusals } = await serve('http')
    const socket = await connect(port)
    socket.write(header)
    const put = `PUT / HTTP/1.1\r\nHost: ${nafFqdn}\r\nContent-Length: 300000\r\n\r\n`
    assert.deepEqual(await ask(socket), { facts: FACTS, door: 'certificate', octets: 0 })
    assert.deepEqual((await ask(socket, put + 'a'.repeat(300_000))).octets, 300_000)
    assert.deepEqual((await ask(socket)).facts, FACTS)
    socket.end()
    await untilClosed(socket)
    assert.deepEqual(refusals, [])
  })

  test('takes the header and requests in one segment, and a request in two of them', async () => {
    const { port } = await serve('http')
    for (const cut of [0, 1, header.length, header.length + 1, header.length + GET.length]) {
      const socket = await connect(port)
      const octets = Buffer.concat([header, Buffer.from(GET + GET)])
      const answered = answers(socket, 2)
      socket.write(octets.subarray(0, cut))
      await delay(10)
      socket.write(octets.subarray(cut))
      for (const { facts } of await answered) assert.deepEqual(facts, FACTS)
      socket.destroy()
    }
  })

  test('takes a header octet by octet', async () => {
    const { port } = await serve('http')
    const socket = await connect(port)
    for (const octet of header) {
      socket.write(Uint8Array.of(octet))
      await delay(1)
    }
    assert.deepEqual((await ask(socket)).facts, FACTS)
    socket.destroy()
  })

  test('takes a body that comes with the header and goes on for long', async () => {
    const { port } = await serve('http')
    const socket = await connect(port)
    const put = `PUT / HTTP/1.1\r\nHost: ${nafFqdn}\r\nContent-Length: 5000000\r\n\r\n`
    const { facts, octets } = await ask(socket, Buffer.concat([header, Buffer.from(put), Buffer.alloc(5_000_000, 'a')]))
    assert.deepEqual([facts, octets], [FACTS, 5_000_000])
    socket.destroy()
  })

  test('is told nothing where a front speaks for itself, and of a client without TLS no TLS', async () => {
    const { port } = await serve('http')
    for (const [first, facts] of [
      [proxyHeader(0x20, 0x00), {}],
      [proxyHeader(0x21, 0x00), {}],
      [tcp4(sslTlv(0, 1)), { clientAddress: '192.0.2.7', clientPort: 51_234 }],
    ] as const) {
      const socket = await connect(port)
      socket.write(first)
      assert.deepEqual((await ask(socket)).facts, facts)
      socket.destroy()
    }
  })

  test('is told of TLS, but of no suite, where the front names one that nobody here knows', async () => {
    const { port } = await serve('http')
    const socket = await connect(port)
    socket.write(tcp4(sslTlv(1, 1, tlv(0x21, 'TLSv1.2'), tlv(0x23, 'GOST2012-GOST8912-GOST8912'))))
    const { facts } = await ask(socket)
    assert.deepEqual((facts as { tls: unknown }).tls, { version: 'TLSv1.2' })
    socket.destroy()
  })

  test('cuts a connection from anybody else at once, and counts it', async () => {
    const { port, refusals } = await serve('http', { headerMs: 600_000 })
    const socket = await connect(port, '127.0.0.2')
    assert.equal(await untilClosed(socket), '')
    assert.deepEqual(refusals, ['not-a-front'])
  })

  for (const [name, first, reason] of [
    ['a request without a header', GET, 'header-malformed'],
    ['version 1', `PROXY TCP4 192.0.2.7 192.0.2.1 51234 443\r\n${GET}`, 'header-malformed'],
    ['a TLS handshake', Buffer.from('1603010200010001fc0303', 'hex'), 'header-malformed'],
    ['a wrong checksum', Buffer.concat([tcp4(tlv(3, be(7, 4))), Buffer.from(GET)]), 'header-malformed'],
    ['a header of 64 KiB', proxyHeader(0x21, 0x11, IPV4_ENDS, tlv(4, Buffer.alloc(65_000))), 'header-too-large'],
  ] as const) {
    test(`answers nothing to ${name}`, async () => {
      const { port, refusals } = await serve('http', { headerMs: 600_000 })
      const socket = await connect(port)
      socket.write(first)
      assert.equal(await untilClosed(socket), '')
      assert.deepEqual(refusals, [reason])
    })
  }

  test('takes a second header for what it is: no request', async () => {
    const { port } = await serve('http')
    const socket = await connect(port)
    socket.write(Buffer.concat([header, from(1), Buffer.from(GET)]))
    assert.match(await untilClosed(socket), /^HTTP\/1\.1 400 /)
  })

  for (const [name, octets] of [
    ['silent', Buffer.alloc(0)],
    ['in the middle of its header', header.subarray(0, 30)],
  ] as const) {
    test(`cuts a front that stays ${name}`, async () => {
      const { port, refusals } = await serve('http', { headerMs: 100 })
      const socket = await connect(port)
      socket.write(octets)
      assert.equal(await untilClosed(socket), '')
      assert.deepEqual(refusals, ['header-late'])
    })
  }

  test('cuts a header that trickles in, however steadily', async () => {
    const { port, refusals } = await serve('http', { headerMs: 200 })
    const socket = await connect(port)
    const trickle = (async () => {
      for (const octet of header) {
        if (socket.destroyed) return
        socket.write(Uint8Array.of(octet))
        await delay(20)
      }
    })()
    assert.equal(await untilClosed(socket), '')
    await trickle
    assert.deepEqual(refusals, ['header-late'])
  })

  test('does not count the limit against a connection whose header came', async () => {
    const { port, refusals } = await serve('http', { headerMs: 100 })
    const socket = await connect(port)
    socket.write(header)
    await delay(300)
    assert.deepEqual((await ask(socket)).facts, FACTS)
    socket.destroy()
    assert.deepEqual(refusals, [])
  })

  test('counts a header that ends in the middle, and not a look whether somebody listens', async () => {
    const { port, refusals } = await serve('http', { headerMs: 600_000 })
    for (const octets of [header.subarray(0, 20), Buffer.alloc(0)]) {
      const socket = await connect(port)
      socket.end(octets)
      assert.equal(await untilClosed(socket), '')
    }
    assert.deepEqual(refusals, ['header-malformed'])
  })

  test('lets everybody on the list in as they are, where the requests are to tell', async () => {
    const { port, refusals } = await serve('http', { tells: 'headers' })
    const socket = await connect(port)
    assert.deepEqual(await ask(socket), { facts: null, door: 'certificate', octets: 0 })
    socket.destroy()
    assert.equal(await untilClosed(await connect(port, '127.0.0.2')), '')
    assert.deepEqual(refusals, ['not-a-front'])
  })

  test('knows a front by its IPv4 address on a socket for both', async (t) => {
    const block = parseAddressBlock('127.0.0.1/32') ?? assert.fail()
    const served = await serve('http', { isFront: addressTest([block]) }, '::').catch(() => undefined)
    if (!served) return t.skip('no IPv6 here')
    const socket = await connect(served.port)
    socket.write(header)
    assert.deepEqual((await ask(socket)).facts, FACTS)
    socket.destroy()
    assert.equal(await untilClosed(await connect(served.port, '127.0.0.2')), '')
  })

  test('is refused to whom shares the server with somebody else', () => {
    const server = http.createServer().on('connection', () => {})
    const options = { isFront: () => true, tells: 'proxy-v2', headerMs: 1 } as const
    assert.throws(() => admitFront(server, options), RangeError)
  })
})

describe('a TLS server behind fronts that pass TLS on', () => {
  const TLS12 = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const
  const TLS13 = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } as const
  const pskCallback = () => ({ psk: key, identity: formatPskIdentity(btid) })
  const byKey = { pskCallback, checkServerIdentity: () => undefined }

  for (const [name, kind, door, options] of [
    ['by certificate', 'https', 'certificate', {}],
    ['by certificate, in TLS 1.2', 'https', 'certificate', TLS12],
    ['by certificate where keys are taken too', 'psk', 'certificate', {}],
    ['by key in TLS 1.2', 'psk', 'psk', { ...TLS12, ...byKey, ciphers: 'PSK-AES128-GCM-SHA256' }],
    ['by key in TLS 1.3', 'psk', 'psk', { ...TLS13, ...byKey, ciphers: 'TLS_AES_128_GCM_SHA256' }],
  ] as const) {
    test(`hears from the front who the client is: ${name}`, async () => {
      const { port, refusals } = await serve(kind)
      const clients = await Promise.all([1, 2, 3].map((n) => secure(port, from(40_000 + n), options)))
      for (const [i, socket] of clients.entries()) {
        const facts = { clientAddress: '192.0.2.7', clientPort: 40_001 + i }
        assert.deepEqual(await ask(socket), { facts, door, octets: 0 })
        const put = `PUT / HTTP/1.1\r\nHost: ${nafFqdn}\r\nContent-Length: 300000\r\n\r\n`
        assert.equal((await ask(socket, put + 'a'.repeat(300_000))).octets, 300_000)
      }
      for (const socket of clients) socket.destroy()
      assert.deepEqual(refusals, [])
    })
  }

  test('keeps what it heard when the connection has gone, and no longer than the socket', async () => {
    const { port, server } = await serve('psk')
    const arrived = once(server, 'secureConnection') as Promise<[TLSSocket]>
    const client = await secure(port, from(40_000))
    const [socket] = await arrived
    const gone = once(socket, 'close')
    client.destroy()
    await gone
    assert.equal(frontOf(socket)?.clientPort, 40_000)
    assert.equal(frontOf({}), undefined)
  })

  for (const [name, kind, options] of [
    ['by certificate', 'https', {}],
    ['by key in TLS 1.2', 'psk', { ...TLS12, ...byKey, ciphers: 'PSK-AES128-GCM-SHA256' }],
    ['by key in TLS 1.3', 'psk', { ...TLS13, ...byKey, ciphers: 'TLS_AES_128_GCM_SHA256' }],
  ] as const) {
    test(`sees the connection below end, and with it what is kept of it: ${name}`, async () => {
      for (const end of [(client: TLSSocket) => client.destroy(), (client: TLSSocket) => client.end()]) {
        const { port, server } = await serve(kind)
        const arrived = once(server, 'connection') as Promise<[Socket]>
        const client = await secure(port, from(40_000), options)
        const [raw] = await arrived
        await ask(client)
        // An error on the way is no matter.
        const gone = new Promise((resolve) => {
          raw.once('close', resolve)
        })
        end(client)
        await gone
      }
    })
  }

  test('takes header and hello octet by octet', async () => {
    const { port } = await serve('psk')
    const socket = await connect(port)
    for (const octet of withChecksum((checksum) => tcp4(checksum))) {
      socket.write(Uint8Array.of(octet))
      await delay(1)
    }
    const over = tls.connect({ socket, servername: nafFqdn, ca: pki.ca.certificate })
    await once(over, 'secureConnect')
    assert.deepEqual((await ask(over)).facts, { clientAddress: '192.0.2.7', clientPort: 51_234 })
    over.destroy()
  })

  test('does not shake hands without a header, nor with anybody else', async () => {
    for (const kind of ['https', 'psk'] as const) {
      const { port, refusals } = await serve(kind, { headerMs: 600_000 })
      const straight = tls.connect({ port, host: '127.0.0.1', servername: nafFqdn, ca: pki.ca.certificate })
      await assert.rejects(once(straight, 'secureConnect'))
      const socket = await connect(port, '127.0.0.2')
      socket.write(header)
      assert.equal(await untilClosed(socket), '')
      assert.deepEqual(refusals, ['header-malformed', 'not-a-front'])
    }
  })
})
