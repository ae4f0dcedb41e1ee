import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, test } from 'node:test'
import { createServer, type TLSSocket, type TlsOptions } from 'node:tls'
import type { Fqdn } from '../../src/core/identity.ts'
import type { ClientOptions } from '../../src/http/client.ts'
import { makeLabPki } from '../../src/tls/issue.ts'
import { scriptedAs } from '../support/scripted-as.ts'
import { ask, asking, clientOf, Recorder, requestOf, unreachable, until } from './asking.ts'

const names = {
  naf: ['xdms.example.org' as Fqdn],
  bsf: ['other.example.org' as Fqdn],
  znClients: [{ name: 'ap' as Fqdn }],
}
const pki = await makeLabPki({ names, now: Date.now(), validDays: 1 })
const stranger = await makeLabPki({ names, now: Date.now(), validDays: 1 })
const AP = { cert: pki.znClients.ap?.certificate ?? '', key: pki.znClients.ap?.key ?? '' }
const TRUST = { ca: pki.ca.certificate, servername: 'xdms.example.org' }
const BODY = randomBytes(3_000_000)

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

interface Seen {
  readonly servername: string | false | null
  readonly client: string | undefined
  readonly resumed: boolean
}

/** Answers by the target: `/last` closes, `/large` sends much, `/extra` sends more than one answer. */
async function serve({ certificate, key } = pki.ap, more: TlsOptions = {}) {
  const seen: Seen[] = []
  const sockets = new Set<TLSSocket>()
  const options = { cert: certificate, key, ca: pki.ca.certificate, ...more }
  const server = createServer(options, (socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('data', (octets) => {
      const [, target] = octets.toString('latin1').split(' ')
      const client = socket.getPeerCertificate().subject?.CN
      seen.push({ servername: socket.servername, client: client && String(client), resumed: socket.isSessionReused() })
      if (target === '/large') {
        socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${BODY.length}\r\n\r\n`)
        socket.write(BODY)
      } else {
        const connection = target === '/last' ? 'Connection: close\r\n' : ''
        socket.write(`HTTP/1.1 200 OK\r\n${connection}Content-Length: 2\r\n\r\nok`)
        if (target === '/extra') socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil')
      }
    })
  })
  server.on('tlsClientError', () => {})
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  closing.push(() => {
    for (const socket of sockets) socket.destroy()
    return new Promise((closed) => server.close(closed))
  })
  const { port } = server.address() as AddressInfo
  return { url: `https://127.0.0.1:${port}`, port, seen, connections: () => sockets.size }
}

function clientAt(url: string, tls: NonNullable<ClientOptions['tls']>, options: Partial<ClientOptions> = {}) {
  const client = clientOf(url, { tls, connections: 1, ...options })
  closing.push(() => client.destroy())
  return client
}
const get = (target: string) => requestOf('GET', target)

describe('TLS towards a server', () => {
  test('asks for the name that is configured, verifies it, and keeps the connection', async () => {
    const { url, seen, connections } = await serve()
    const client = clientAt(url, TRUST)
    for (let times = 0; times < 3; times++) assert.equal((await ask(client)).body.toString(), 'ok')
    assert.deepEqual([connections(), seen.length], [1, 3])
    assert.deepEqual(seen[0], { servername: 'xdms.example.org', client: undefined, resumed: false })
  })

  test('asks for the name in the URL where none is configured, and tries all addresses of it', async () => {
    const { port, seen } = await serve()
    for (const tls of [{ ca: pki.ca.certificate }, TRUST]) await ask(clientAt(`https://localhost:${port}`, tls))
    assert.deepEqual(
      seen.map(({ servername }) => servername),
      ['localhost', 'xdms.example.org'],
    )
  })

  test('shows the certificate of the client', async () => {
    const { url, seen } = await serve(pki.ap, { requestCert: true, rejectUnauthorized: true })
    assert.equal((await ask(clientAt(url, { ...TRUST, ...AP }))).head.status, 200)
    assert.equal(seen[0]?.client, 'gba-proxy lab client ap')
  })

  test('brings large answers as they were sent', async () => {
    const { url } = await serve()
    const client = clientAt(url, TRUST)
    for (let times = 0; times < 2; times++) assert.ok((await ask(client, get('/large'))).body.equals(BODY))
  })

  test('is held back by a sink that cannot keep up, and loses nothing', async () => {
    const { url } = await serve()
    class Slow extends Recorder {
      override onData(chunk: Buffer): boolean {
        super.onData(chunk)
        setTimeout(() => call.resume(), 1)
        return false
      }
    }
    const { call, over } = asking(clientAt(url, TRUST), get('/large'), new Slow())
    assert.ok((await over).body.equals(BODY))
  })

  test('takes a second answer for none, in a record of its own too', async () => {
    const { url, connections } = await serve()
    const client = clientAt(url, TRUST)
    assert.equal((await ask(client, get('/extra'))).body.toString(), 'ok')
    await until(() => client.open === 0)
    assert.equal((await ask(client)).body.toString(), 'ok')
    assert.equal(connections(), 2)
  })

  test('is of a server known by its address verified for that, and asks for no name', async () => {
    const { url, seen } = await serve()
    assert.equal((await ask(clientAt(url, { ca: pki.ca.certificate }))).head.status, 200)
    assert.equal(seen[0]?.servername, false)
  })
})

describe('no request goes to a server', () => {
  const refuses = async (tls: NonNullable<ClientOptions['tls']>, identity = pki.ap, more: TlsOptions = {}) => {
    const { url, seen } = await serve(identity, more)
    const client = clientAt(url, tls)
    for (const method of ['GET', 'PUT']) await assert.rejects(ask(client, requestOf(method)), unreachable)
    assert.deepEqual([seen, client.open], [[], 0])
  }
  test('with the certificate of another CA', () => refuses(TRUST, stranger.ap))
  test('with the certificate of another name', () => refuses(TRUST, pki.bsf))
  test('with a certificate of no CA that Node trusts, where no other is named', () =>
    refuses({ servername: 'xdms.example.org' }))
  test('that wants a certificate and gets none', () =>
    refuses(TRUST, pki.ap, { requestCert: true, rejectUnauthorized: true }))
  test('that is not verified because a setting says so', () =>
    refuses({ ...TRUST, rejectUnauthorized: false, checkServerIdentity: () => undefined }, stranger.ap))
  test('of another name, though a setting would take it', () =>
    refuses({ ...TRUST, rejectUnauthorized: false, checkServerIdentity: () => undefined }, pki.bsf))
  test('that speaks no TLS', async () => {
    const as = await scriptedAs((socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'))
    closing.push(as.close)
    await assert.rejects(
      ask(clientAt(as.url.replace('http:', 'https:'), TRUST, { connectTimeoutMs: 300 })),
      unreachable,
    )
    assert.equal(as.arrived.length, 0)
  })
  test('that is not verified because the environment says so', async () => {
    const before = process.env.NODE_TLS_REJECT_UNAUTHORIZED
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
    try {
      await refuses(TRUST, stranger.ap)
    } finally {
      if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED
      else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before
    }
  })
})

describe('TLS sessions', () => {
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    test(`are resumed on the next connection: ${version}`, async () => {
      const { url, seen } = await serve(pki.ap, { minVersion: version, maxVersion: version })
      const client = clientAt(url, TRUST)
      for (let times = 0; times < 3; times++) await ask(client, get('/last'))
      assert.deepEqual(
        seen.map(({ resumed }) => resumed),
        [false, true, true],
      )
    })
  }

  test('are no other client’s, even of the same server', async () => {
    const { url, seen } = await serve()
    for (let times = 0; times < 2; times++) await ask(clientAt(url, TRUST), get('/last'))
    assert.deepEqual(
      seen.map(({ resumed }) => resumed),
      [false, false],
    )
  })
})

test('a certificate or a URL that is none is refused when the client is made', () => {
  assert.throws(() => clientOf('https://127.0.0.1:1', { tls: { cert: 'none', key: 'none' } }))
  assert.throws(() => clientOf('ftp://127.0.0.1'), TypeError)
  assert.throws(() => clientOf('nowhere'), TypeError)
})

test('a server in clear is found by a name with several addresses', async () => {
  const as = await scriptedAs((socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'))
  closing.push(as.close)
  assert.equal((await ask(clientAt(`http://localhost:${as.port}`, {}))).head.status, 200)
})
