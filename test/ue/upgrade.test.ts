import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import net, { type AddressInfo, type Socket } from 'node:net'
import { before, describe, type TestContext, test } from 'node:test'
import { TLSSocket, type TLSSocketOptions } from 'node:tls'
import { toBase64, utf8 } from '../../src/core/bytes.ts'
import { computeHa1, computeResponse } from '../../src/core/digest.ts'
import { formatChallenge, parseAuthorization } from '../../src/core/digest-header.ts'
import { deriveKsNaf } from '../../src/core/kdf.ts'
import { nafIdOf, uaProtocolIdOfSuite } from '../../src/core/naf-id.ts'
import { type LabPki, makeLabPki } from '../../src/tls/issue.ts'
import { createUe, type UeOptions } from '../../src/ue/flow.ts'
import { card, recorder } from './card.ts'
import { BSF, fakeBsf, NAF } from './fake-network.ts'
import { pskNaf } from './psk-naf.ts'

let pki: LabPki
before(async () => {
  pki = await makeLabPki({ names: { bsf: [BSF], naf: [NAF], znClients: [] }, now: Date.now(), validDays: 1 })
})

const SWITCH = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: TLS/1.2, HTTP/1.1\r\nConnection: Upgrade\r\n\r\n'
const EMPTY = 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'

interface ServerOptions {
  /** What is said to the OPTIONS in clear. */
  answer?: string
  /** What is said to it inside. */
  inside?: string
  tls?: TLSSocketOptions
  /** Gets the socket after the 101 in place of TLS here. */
  secure?: (raw: Socket) => void
  listener?: http.RequestListener
}

/** A server that changes to TLS on the same connection. */
async function upgrading(options: ServerOptions = {}) {
  const { answer = SWITCH, inside = EMPTY, secure, listener = (_, response) => response.end('content') } = options
  const cleartext: string[] = []
  const sockets = new Set<Socket>()
  const http1 = http.createServer(listener)
  const server = net.createServer((raw) => {
    sockets.add(raw)
    raw.on('error', () => {})
    raw.once('data', (chunk) => {
      cleartext.push(chunk.toString('latin1'))
      raw.pause()
      raw.write(answer)
      if (answer !== SWITCH) return raw.end()
      if (secure) return secure(raw)
      const { certificate: cert, key } = pki.ap
      const socket = new TLSSocket(raw, { isServer: true, cert, key, ...options.tls })
      socket.on('error', () => {})
      socket.once('secure', () => {
        socket.write(inside)
        http1.emit('connection', socket)
      })
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    /** All that ever came outside TLS, by connection. */
    cleartext,
    async close() {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

type Sessions = Awaited<ReturnType<typeof fakeBsf>>['sessions']

async function lab(t: TestContext, network: (sessions: Sessions) => ServerOptions, options: UeOptions = {}) {
  const bsf = await fakeBsf()
  const server = await upgrading(network(bsf.sessions))
  const { seen, observer } = recorder()
  const sim = card({ bsf: bsf.port, naf: server.port })
  const ue = createUe(sim, { upgrade: true, ca: pki.ca.certificate, observer, ...options })
  t.after(async () => {
    ue.close()
    await Promise.all([bsf.close(), server.close()])
  })
  return { bsf, server, ue, seen }
}

const URL_ = `http://${NAF}/secret/path`

const refused = (code: string) => (error: unknown) => {
  assert.equal((error as { code?: string }).code, code)
  return true
}

/** Digest with qop auth, as a NAF behind TLS checks it. */
function digestListener(sessions: Sessions): http.RequestListener {
  return (request, response) => {
    const credentials = parseAuthorization(request.headers.authorization ?? '')
    const session = sessions.get(credentials?.username ?? '')
    const suite = request.socket instanceof TLSSocket ? request.socket.getCipher().standardName : ''
    const id = uaProtocolIdOfSuite(suite)
    if (credentials && session && id) {
      const { username, realm, nonce, nc, cnonce, qop, uri } = credentials
      const ksNaf = deriveKsNaf(session.ks, session.rand, session.impi, nafIdOf(NAF, id))
      const ha1 = computeHa1('SHA-256', username, realm, utf8(toBase64(ksNaf.expose(32))))
      const method = request.method ?? ''
      const right = computeResponse({ algorithm: 'SHA-256', ha1, nonce, nc, cnonce, qop, uri, method })
      if (right === credentials.response) return response.end(`${method} is good`)
    }
    const challenge = { realm: `3GPP-bootstrapping@${NAF}`, nonce: 'n', algorithm: 'SHA-256', qop: ['auth'] } as const
    response.writeHead(401, { 'www-authenticate': formatChallenge(challenge) })
    response.end()
  }
}

describe('a UE that changes a plain connection to TLS', () => {
  for (const version of ['1.2', '1.3'] as const) {
    test(`does GET and PUT with Digest on the one connection, in TLS ${version}`, async (t) => {
      const { ue, server, bsf } = await lab(t, (sessions) => ({ listener: digestListener(sessions) }), { tls: version })
      const got = await ue.request('GET', URL_)
      const put = await ue.request('PUT', URL_, { body: 'xyz' })
      assert.deepEqual([got.text(), put.text()], ['GET is good', 'PUT is good'])
      assert.deepEqual([put.connection.tls?.version, bsf.drawn()], [`TLSv${version}`, 1])
      assert.deepEqual(server.cleartext, [
        `OPTIONS * HTTP/1.1\r\nHost: ${NAF}\r\nUpgrade: TLS/1.2\r\nConnection: Upgrade\r\n\r\n`,
      ])
    })
  }

  test('shows the change to its observer', async (t) => {
    const { ue, seen } = await lab(t, () => ({ inside: 'HTTP/1.1 204 No Content\r\n\r\n' }))
    await ue.request('GET', URL_)
    assert.deepEqual(
      seen.map(({ request, response, connection }) => [request.method, response.status, connection.tls !== undefined]),
      [
        ['OPTIONS', 101, false],
        ['OPTIONS', 204, true],
        ['GET', 200, true],
      ],
    )
  })

  for (const [what, inside] of [
    ['any status', 'HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 3\r\n\r\nno!'],
    ['chunks', 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n'],
    ['an answer before the answer', `HTTP/1.1 103 Early Hints\r\n\r\n${EMPTY}`],
  ] as const) {
    test(`takes ${what} for the answer inside`, async (t) => {
      const { ue } = await lab(t, () => ({ inside }))
      for (const method of ['GET', 'PUT']) assert.equal((await ue.request(method, URL_)).text(), 'content')
    })
  }

  test('comes with its bootstrapped key when it is told to', async (t) => {
    const bsf = await fakeBsf()
    const naf = await pskNaf({ sessions: bsf.sessions, credential: pki.ap })
    // what is behind the 101 goes to a listener that knows keys; the answer inside is its answer to nothing
    const server = await upgrading({
      secure: (raw) => {
        const behind = net.connect(naf.port, '127.0.0.1')
        behind.on('error', () => {})
        raw.pipe(behind).pipe(raw)
        behind.once('close', () => raw.destroy())
        raw.once('close', () => behind.destroy())
      },
    })
    const ue = createUe(card({ bsf: bsf.port, naf: server.port }), { upgrade: true, psk: true })
    t.after(async () => {
      ue.close()
      await Promise.all([bsf.close(), naf.close(), server.close()])
    })
    const pending = ue.request('GET', URL_)
    while (naf.sockets.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
    naf.sockets[0]?.write(EMPTY)
    const { connection } = await pending
    assert.equal(connection.tls?.psk, true)
    assert.deepEqual(
      naf.requests.map(({ method, door }) => [method, door.kind]),
      [['GET', 'psk']],
    )
    assert.equal(server.cleartext.length, 1)
  })

  test('leaves https as it is', async (t) => {
    const { ue, server } = await lab(t, () => ({}))
    await assert.rejects(ue.request('GET', `https://${NAF}/`), refused('TLS_FAILED'))
    assert.ok(!server.cleartext[0]?.startsWith('OPTIONS'))
  })

  for (const [what, answer] of [
    ['426', 'HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n'],
    ['200', EMPTY],
    ['401', 'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Digest realm="x", nonce="n"\r\n\r\n'],
    ['a 101 that names nothing', 'HTTP/1.1 101 Switching Protocols\r\n\r\n'],
    ['a 101 to something else', SWITCH.replace('TLS/1.2, HTTP/1.1', 'websocket')],
    ['a 101 with more behind it', `${SWITCH}HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n`],
    ['something that is not HTTP', 'SSH-2.0-OpenSSH\r\n'],
    ['nothing', ''],
  ] as const) {
    test(`says nothing more where the server answers ${what}`, async (t) => {
      const { ue, server, bsf } = await lab(t, () => ({ answer }))
      await assert.rejects(ue.request('PUT', URL_, { body: 'xyz' }), (error) => {
        assert.equal((error as Error).message.includes(what), /^\d+$/.test(what))
        return refused('UPGRADE_REFUSED')(error)
      })
      assert.equal(bsf.drawn(), 0)
      assert.equal(server.cleartext.length, 1)
      assert.doesNotMatch(server.cleartext.join(''), /secret|PUT|xyz|Authorization/)
    })
  }

  test('checks the certificate against the name in the URL', async (t) => {
    const other = await makeLabPki({ names: { bsf: [], naf: [], znClients: [] }, now: Date.now(), validDays: 1 })
    const named = await lab(t, () => ({ tls: { cert: other.ap.certificate, key: other.ap.key } }), {
      ca: other.ca.certificate,
    })
    await assert.rejects(named.ue.request('GET', URL_), refused('CERTIFICATE_REFUSED'))
    const foreign = await lab(t, () => ({}), { ca: other.ca.certificate })
    await assert.rejects(foreign.ue.request('GET', URL_), refused('CERTIFICATE_REFUSED'))
  })

  test('does not read an endless answer inside', async (t) => {
    const inside = `HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n${'a'.repeat(2000)}`
    const { ue } = await lab(t, () => ({ inside }), { maxBodyBytes: 1000 })
    await assert.rejects(ue.request('GET', URL_), refused('ANSWER_TOO_LARGE'))
  })

  test('notices when the server goes away instead of answering inside', async (t) => {
    const { ue } = await lab(t, () => ({ secure: (raw) => raw.destroy() }))
    await assert.rejects(ue.request('GET', URL_), refused('TLS_FAILED'))
    const cut = await lab(t, () => ({ inside: 'HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc', listener: () => {} }))
    const pending = cut.ue.request('GET', URL_)
    setTimeout(() => void cut.server.close(), 100)
    await assert.rejects(pending, refused('UPGRADE_REFUSED'))
  })
})
