import assert from 'node:assert/strict'
import { once } from 'node:events'
import http from 'node:http'
import https from 'node:https'
import net, { type AddressInfo, type Socket } from 'node:net'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import tls, { type ConnectionOptions, type TLSSocket } from 'node:tls'
import { btidOf, type Fqdn } from '../../src/core/identity.ts'
import { formatPskIdentity, PSK_HINT } from '../../src/core/psk-identity.ts'
import { Secret } from '../../src/core/secret.ts'
import { admitFront, type FrontFacts, type FrontRefusal, frontOf } from '../../src/tls/front.ts'
import { readFrontHeaders, withoutFrontHeaders } from '../../src/tls/front-headers.ts'
import { makeLabPki } from '../../src/tls/issue.ts'
import { admitPsk, doorOf } from '../../src/tls/psk-listener.ts'
import { haproxy } from '../support/haproxy.ts'
import { peerTest } from '../support/peer.ts'
import { run } from '../support/programs.ts'

const nafFqdn = 'xcap.example.org' as Fqdn
const other = 'simservs.example.org' as Fqdn
const btid = btidOf(new Uint8Array(16).fill(7), 'bsf.example.org' as Fqdn)
const key = Buffer.alloc(32, 9)
const pki = await makeLabPki({
  names: { naf: [nafFqdn, other], bsf: [], znClients: [] },
  now: Date.now(),
  validDays: 1,
})
const pem = pki.ap.certificate + pki.ap.key
/** Another than the front's, so that the two can be told apart. */
const UE = '127.0.0.3'
const HEADERS = { client: 'X-Forwarded-For', sni: 'X-SSL-SNI', suite: 'X-SSL-Cipher' }

interface Answer {
  readonly facts: FrontFacts | 'malformed' | null
  readonly door: string
  /** Of the connection from the front. */
  readonly remotePort: number
  readonly headers: readonly string[]
}

interface Served {
  readonly port: number
  readonly refusals: FrontRefusal[]
  /** What was told for each request so far. */
  readonly told: (FrontFacts | 'malformed' | undefined)[]
}

/** Says of each request what the front told of it. */
async function serve(t: TestContext, kind: 'http' | 'https' | 'psk', tells: 'proxy-v2' | 'headers'): Promise<Served> {
  const told: Served['told'] = []
  const answer: http.RequestListener = (request, response) => {
    const { remotePort } = request.socket
    const facts = tells === 'headers' ? readFrontHeaders(request.rawHeaders, HEADERS) : frontOf(request.socket)
    told.push(facts)
    const headers = withoutFrontHeaders(request.rawHeaders, HEADERS)
    response.end(JSON.stringify({ facts: facts ?? null, door: doorOf(request.socket).kind, remotePort, headers }))
    request.resume()
  }
  const { certificate: cert, key: certKey } = pki.ap
  const server = kind === 'http' ? http.createServer(answer) : https.createServer({ cert, key: certKey }, answer)
  if (kind === 'psk' && server instanceof https.Server) {
    admitPsk(server, {
      hint: PSK_HINT,
      limits: { peekBytes: 65_536, handshakeMs: 5000 },
      pskFor: async () => {
        await delay(100)
        return new Secret(Buffer.from(key))
      },
    })
  }
  const refusals: FrontRefusal[] = []
  const isFront = (address: string) => address === '127.0.0.1'
  admitFront(server, { isFront, tells, headerMs: 5000, onRefused: (reason) => refusals.push(reason) })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.close()
    server.closeAllConnections()
  })
  return { port: (server.address() as AddressInfo).port, refusals, told }
}

async function connect(t: TestContext, port: number, options: ConnectionOptions = {}): Promise<TLSSocket> {
  const raw = net.connect({ port, host: '127.0.0.1', localAddress: UE })
  const socket = tls.connect({ socket: raw, servername: nafFqdn, ca: pki.ca.certificate, ...options })
  t.after(() => raw.destroy())
  await once(socket, 'secureConnect')
  return socket
}

/** One request over a connection that stays. */
async function ask(socket: Socket, headers: readonly string[] = []): Promise<Answer> {
  const lines = [`GET / HTTP/1.1`, `Host: ${nafFqdn}`, ...headers, '', '']
  socket.write(lines.join('\r\n'))
  let text = ''
  while (!/\r\n\r\n\{.*\}$/s.test(text)) {
    const closed = once(socket, 'close').then(() => assert.fail(`closed after ${text}`))
    closed.catch(() => {})
    const [chunk] = (await Promise.race([once(socket, 'data'), closed])) as [Buffer]
    text += chunk.toString()
    assert.match(text, /^HTTP\/1\.1 200 /)
  }
  return JSON.parse(text.slice(text.indexOf('\r\n\r\n'))) as Answer
}

const TLS12 = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const
const TLS13 = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } as const
const SUITES = [
  ['TLSv1.2', 'ECDHE-ECDSA-AES128-GCM-SHA256', 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256'],
  ['TLSv1.2', 'ECDHE-ECDSA-AES256-GCM-SHA384', 'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384'],
  ['TLSv1.2', 'ECDHE-ECDSA-CHACHA20-POLY1305', 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256'],
  ['TLSv1.2', 'ECDHE-ECDSA-AES128-SHA', 'TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA'],
  ['TLSv1.3', 'TLS_AES_128_GCM_SHA256', 'TLS_AES_128_GCM_SHA256'],
  ['TLSv1.3', 'TLS_CHACHA20_POLY1305_SHA256', 'TLS_CHACHA20_POLY1305_SHA256'],
] as const
const pinned = (version: string, ciphers: string): ConnectionOptions => ({
  ...(version === 'TLSv1.2' ? TLS12 : TLS13),
  ciphers,
})

const PROXY_V2 = 'send-proxy-v2-ssl proxy-v2-options ssl,cert-cn,ssl-cipher,cert-sig,cert-key,authority,crc32c'

/** HAProxy ends TLS, and reuses connections to the server as this says. */
const ending = (t: TestContext, server: number, reuse: string) =>
  haproxy(
    t,
    pem,
    ['ues', 'plain'],
    ({ ues, plain }, place) => `listen ues
  bind 127.0.0.1:${ues} ssl crt ${place}
  bind 127.0.0.1:${plain}
  http-reuse ${reuse}
  server ap 127.0.0.1:${server} ${PROXY_V2}
`,
  )

peerTest('haproxy tells address, SNI, version and suite of the TLS that ends there', ['haproxy'], async (t) => {
  const { port, refusals } = await serve(t, 'http', 'proxy-v2')
  const { ports } = await ending(t, port, 'never')
  for (const [version, ciphers, suite] of SUITES) {
    for (const servername of [nafFqdn, other]) {
      const socket = await connect(t, ports.ues, { ...pinned(version, ciphers), servername })
      const facts = {
        clientAddress: UE,
        clientPort: socket.localPort,
        serverName: servername,
        tls: { version, suite },
      }
      const first = await ask(socket)
      assert.deepEqual(first.facts, facts)
      const again = await ask(socket)
      assert.deepEqual([again.facts, again.remotePort], [facts, first.remotePort])
      socket.destroy()
    }
  }
  assert.deepEqual(refusals, [])
})

peerTest('haproxy tells no name of a client without SNI, and no TLS of one without TLS', ['haproxy'], async (t) => {
  const { port, refusals } = await serve(t, 'http', 'proxy-v2')
  const { ports } = await ending(t, port, 'never')
  const nameless = await connect(t, ports.ues, { servername: '', ...TLS13, checkServerIdentity: () => undefined })
  const { facts } = await ask(nameless)
  assert.deepEqual(Object.keys(facts ?? {}), ['clientAddress', 'clientPort', 'tls'])
  const plain = net.connect({ port: ports.plain, host: '127.0.0.1', localAddress: UE })
  t.after(() => plain.destroy())
  await once(plain, 'connect')
  assert.deepEqual((await ask(plain)).facts, { clientAddress: UE, clientPort: plain.localPort })
  assert.deepEqual(refusals, [])
})

peerTest('haproxy tells the same of openssl s_client', ['haproxy', 'openssl'], async (t) => {
  const { port } = await serve(t, 'http', 'proxy-v2')
  const { ports } = await ending(t, port, 'never')
  for (const [version, ciphers, suite] of SUITES) {
    const only = version === 'TLSv1.2' ? ['-tls1_2', '-cipher', ciphers] : ['-tls1_3', '-ciphersuites', ciphers]
    const to = ['-connect', `127.0.0.1:${ports.ues}`, '-servername', other]
    const stdin = `GET / HTTP/1.1\r\nHost: ${other}\r\nConnection: close\r\n\r\n`
    const { stdout } = await run('openssl', ['s_client', '-quiet', '-ign_eof', ...only, ...to], { stdin })
    const { facts } = JSON.parse(stdout.slice(stdout.indexOf('{'))) as Answer
    assert.ok(facts && facts !== 'malformed')
    assert.deepEqual([facts.serverName, facts.tls], [other, { version, suite }])
  }
})

for (const reuse of ['never', 'safe', 'always']) {
  peerTest(`haproxy mixes no clients up with http-reuse ${reuse}`, ['haproxy'], async (t) => {
    const { port } = await serve(t, 'http', 'proxy-v2')
    const { ports } = await ending(t, port, reuse)
    for (let round = 0; round < 3; round++) {
      const clients = await Promise.all(
        SUITES.flatMap(([version, ciphers]) =>
          [nafFqdn, other].map((servername) => connect(t, ports.ues, { ...pinned(version, ciphers), servername })),
        ),
      )
      for (let turn = 0; turn < 3; turn++) {
        const told = await Promise.all(clients.map((socket) => ask(socket)))
        for (const [i, { facts }] of told.entries()) {
          const socket = clients[i] ?? assert.fail()
          assert.ok(facts && facts !== 'malformed')
          const { clientPort, serverName, tls } = facts
          const { standardName } = socket.getCipher()
          assert.deepEqual([clientPort, tls?.suite], [socket.localPort, standardName])
          assert.equal(serverName, i % 2 === 0 ? nafFqdn : other)
        }
      }
      for (const socket of clients) socket.destroy()
    }
  })
}

peerTest('haproxy tells the address of a client with IPv6', ['haproxy'], async (t) => {
  const { port } = await serve(t, 'http', 'proxy-v2')
  const { ports } = await haproxy(
    t,
    pem,
    ['ues'],
    ({ ues }) => `listen ues
  bind :::${ues} v4v6
  server ap 127.0.0.1:${port} send-proxy-v2
`,
  )
  for (const [host, clientAddress] of [
    ['::1', '::1'],
    ['127.0.0.1', '127.0.0.1'],
  ] as const) {
    const plain = net.connect({ port: ports.ues, host })
    t.after(() => plain.destroy())
    await once(plain, 'connect')
    assert.deepEqual((await ask(plain)).facts, { clientAddress, clientPort: plain.localPort })
  }
})

peerTest('haproxy tells nothing when it asks for itself, and counts as no refusal', ['haproxy'], async (t) => {
  for (const check of ['option httpchk GET /', '']) {
    const { port, refusals, told } = await serve(t, 'http', 'proxy-v2')
    const { ports } = await haproxy(
      t,
      pem,
      ['ues'],
      ({ ues }) => `listen ues
  bind 127.0.0.1:${ues}
  ${check}
  server ap 127.0.0.1:${port} ${PROXY_V2} check inter 50ms
`,
    )
    await delay(500)
    assert.equal(told.length > 1, check !== '')
    assert.deepEqual(
      told.filter((facts) => Object.keys(facts ?? { none: true }).length > 0),
      [],
    )
    assert.deepEqual(refusals, [])
    // It still is in service.
    const response = await fetch(`http://127.0.0.1:${ports.ues}/`)
    assert.equal(response.status, 200)
    await response.text()
  }
})

for (const [name, how, reason] of [
  ['at an address that is not listed', 'send-proxy-v2 source 127.0.0.2', 'not-a-front'],
  ['that tells by version 1', 'send-proxy', 'header-malformed'],
  ['that tells nothing', '', 'header-malformed'],
] as const) {
  peerTest(`no request gets through a haproxy ${name}`, ['haproxy'], async (t) => {
    const { port, refusals, told } = await serve(t, 'http', 'proxy-v2')
    const { ports } = await haproxy(
      t,
      pem,
      ['ues'],
      ({ ues }) => `listen ues
  bind 127.0.0.1:${ues}
  retries 0
  server ap 127.0.0.1:${port} ${how}
`,
    )
    const response = await fetch(`http://127.0.0.1:${ports.ues}/`)
    assert.ok([502, 503].includes(response.status), `${response.status}`)
    await response.text()
    assert.deepEqual([told, refusals[0]], [[], reason])
  })
}

/** HAProxy passes TLS on. */
const passing = (t: TestContext, server: number) =>
  haproxy(
    t,
    pem,
    ['ues'],
    ({ ues }) => `listen ues
  mode tcp
  bind 127.0.0.1:${ues}
  server ap 127.0.0.1:${server} send-proxy-v2 proxy-v2-options crc32c check inter 100ms
`,
  )

peerTest('haproxy tells the address of a client whose TLS it passes on', ['haproxy'], async (t) => {
  const { port, refusals } = await serve(t, 'https', 'proxy-v2')
  const { ports } = await passing(t, port)
  for (const options of [TLS12, TLS13]) {
    const socket = await connect(t, ports.ues, options)
    const { facts } = await ask(socket)
    assert.deepEqual(facts, { clientAddress: UE, clientPort: socket.localPort })
  }
  assert.deepEqual(refusals, [])
})

peerTest('haproxy passes shared-key TLS on beside certificates, and each keeps its address', ['haproxy'], async (t) => {
  const { port, refusals } = await serve(t, 'psk', 'proxy-v2')
  const { ports } = await passing(t, port)
  const pskCallback = () => ({ psk: key, identity: formatPskIdentity(btid) })
  const byKey = { pskCallback, checkServerIdentity: () => undefined }
  const ways = [
    ['psk', { ...TLS12, ...byKey, ciphers: 'DHE-PSK-AES128-GCM-SHA256' }],
    ['psk', { ...TLS12, ...byKey, ciphers: 'PSK-AES128-GCM-SHA256' }],
    ['psk', { ...TLS13, ...byKey, ciphers: 'TLS_AES_128_GCM_SHA256' }],
    ['certificate', TLS12],
    ['certificate', TLS13],
  ] as const
  const clients = await Promise.all(ways.map(([, options]) => connect(t, ports.ues, options)))
  for (const [i, socket] of clients.entries()) {
    for (const { facts, door } of [await ask(socket), await ask(socket)]) {
      assert.equal(door, ways[i]?.[0])
      assert.deepEqual(facts, { clientAddress: UE, clientPort: socket.localPort })
    }
  }
  assert.deepEqual(refusals, [])
})

peerTest('haproxy tells of the TLS that ends there though it speaks TLS to us as well', ['haproxy'], async (t) => {
  const { port } = await serve(t, 'https', 'proxy-v2')
  const { ports } = await haproxy(
    t,
    pem,
    ['ues'],
    ({ ues }, place) => `listen ues
  bind 127.0.0.1:${ues} ssl crt ${place}
  http-reuse always
  server ap 127.0.0.1:${port} ssl verify none ${PROXY_V2}
`,
  )
  for (const [version, ciphers, suite] of SUITES) {
    const socket = await connect(t, ports.ues, { ...pinned(version, ciphers), servername: other })
    const { facts } = await ask(socket)
    const { localPort: clientPort } = socket
    assert.deepEqual(facts, { clientAddress: UE, clientPort, serverName: other, tls: { version, suite } })
  }
})

/** HAProxy ends TLS and writes headers. */
const writing = (t: TestContext, server: number, forwardedFor: string) =>
  haproxy(
    t,
    pem,
    ['ues', 'plain'],
    ({ ues, plain }, place) => `listen ues
  bind 127.0.0.1:${ues} ssl crt ${place}
  bind 127.0.0.1:${plain}
  http-reuse always
  http-request set-header X-SSL-SNI %[ssl_fc_sni]
  http-request set-header X-SSL-Cipher %[ssl_fc_cipher]
  ${forwardedFor}
  server ap 127.0.0.1:${server}
`,
  )

const FORGED = ['X-SSL-SNI: evil.example.org', 'x-ssl-cipher: AES128-SHA', 'X-Forwarded-For: 203.0.113.9']

peerTest('haproxy tells by headers, whatever the client wrote into them', ['haproxy'], async (t) => {
  const { port } = await serve(t, 'http', 'headers')
  const { ports } = await writing(t, port, 'http-request set-header X-Forwarded-For %[src]')
  for (const [version, ciphers, suite] of SUITES) {
    const socket = await connect(t, ports.ues, { ...pinned(version, ciphers), servername: other })
    for (const forged of [[], FORGED, [...FORGED, ...FORGED]]) {
      const { facts, headers } = await ask(socket, forged)
      assert.deepEqual(facts, { clientAddress: UE, serverName: other, tls: { suite } })
      assert.deepEqual(headers, ['host', nafFqdn])
    }
    socket.destroy()
  }
})

peerTest('haproxy tells nothing of TLS by headers where there is none', ['haproxy'], async (t) => {
  const { port } = await serve(t, 'http', 'headers')
  const { ports } = await writing(t, port, 'http-request set-header X-Forwarded-For %[src]')
  const plain = net.connect({ port: ports.plain, host: '127.0.0.1', localAddress: UE })
  t.after(() => plain.destroy())
  await once(plain, 'connect')
  assert.deepEqual((await ask(plain, FORGED)).facts, { clientAddress: UE })
})

peerTest(
  'haproxy adds a second X-Forwarded-For with option forwardfor, and that is not believed',
  ['haproxy'],
  async (t) => {
    const { port } = await serve(t, 'http', 'headers')
    const { ports } = await writing(t, port, 'option forwardfor')
    const socket = await connect(t, ports.ues)
    assert.equal((await ask(socket, FORGED)).facts, 'malformed')
    const { facts } = await ask(socket)
    assert.ok(facts && facts !== 'malformed')
    assert.equal(facts.clientAddress, UE)
  },
)
