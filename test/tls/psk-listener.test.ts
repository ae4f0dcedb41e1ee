import assert from 'node:assert/strict'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import net, { type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import tls, { type ConnectionOptions, type TLSSocket } from 'node:tls'
import { type Btid, btidOf, type Fqdn } from '../../src/core/identity.ts'
import type { UaProtocolId } from '../../src/core/naf-id.ts'
import { formatPskIdentity, PSK_HINT } from '../../src/core/psk-identity.ts'
import { Secret } from '../../src/core/secret.ts'
import { makeLabPki } from '../../src/tls/issue.ts'
import { serverTlsOptions } from '../../src/tls/listener.ts'
import { writePki } from '../../src/tls/pki-files.ts'
import { admitPsk, type Door, doorOf, type PskRefusal, pskListener } from '../../src/tls/psk-listener.ts'

const nafFqdn = 'xcap.example.org' as Fqdn
const btid = btidOf(new Uint8Array(16).fill(7), 'bsf.example.org' as Fqdn)
const stranger = btidOf(new Uint8Array(16).fill(8), 'bsf.example.org' as Fqdn)
const LATE_MS = 150

/** Stands for Ks_NAF: another one for each NAF, bootstrap and Ua protocol. */
const keyOf = (id: string): Buffer => Buffer.from(id.padEnd(32, '.').slice(0, 32))

const directory = mkdtempSync(join(tmpdir(), 'gba-psk-'))
const pki = await makeLabPki({
  names: { naf: [nafFqdn], bsf: [], znClients: [] },
  now: Date.now(),
  validDays: 1,
})
await writePki(directory, pki)
const ca = readFileSync(join(directory, 'ca.pem'))
const certificateContext = serverTlsOptions({
  certificateFile: join(directory, 'ap.pem'),
  keyFile: join(directory, 'ap.key'),
})
after(() => rmSync(directory, { recursive: true }))

interface Lookup {
  readonly nafFqdn: Fqdn
  readonly btid: Btid
  readonly uaProtocolId: UaProtocolId
}

interface Served {
  readonly port: number
  readonly server: tls.Server
  readonly doors: Door[]
  readonly sockets: TLSSocket[]
  readonly lookups: Lookup[]
  readonly refusals: PskRefusal[]
  /** Connections that the server still has. */
  connections(): Promise<number>
  close(): Promise<void>
}

/** A listener that answers HTTP, and says in the body by which door and from where. */
async function serve(
  options: { lateMs?: number; handshakeMs?: number; peekBytes?: number; breaks?: boolean } = {},
): Promise<Served> {
  const { lateMs = LATE_MS, handshakeMs = 5000, peekBytes = 65_536, breaks = false } = options
  const doors: Door[] = []
  const sockets: TLSSocket[] = []
  const lookups: Lookup[] = []
  const refusals: PskRefusal[] = []
  const answers = http.createServer((request, response) => {
    const { remoteAddress, remotePort } = request.socket
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const octets = Buffer.concat(chunks).length
      response.end(JSON.stringify({ door: doorOf(request.socket), remoteAddress, remotePort, octets }))
    })
  })
  const server = pskListener({
    certificateContext,
    hint: PSK_HINT,
    limits: { peekBytes, handshakeMs },
    pskFor: async (fqdn, id, uaProtocolId) => {
      lookups.push({ nafFqdn: fqdn, btid: id, uaProtocolId })
      await delay(lateMs)
      if (breaks) throw new Error('the BSF is away')
      return fqdn === nafFqdn && id === btid ? new Secret(keyOf(uaProtocolId)) : undefined
    },
    onDoor: ({ socket, door }) => {
      doors.push(door)
      sockets.push(socket)
      answers.emit('connection', socket)
    },
    onRefused: (reason) => refusals.push(reason),
  })
  const raws = new Set<Socket>()
  server.on('connection', (raw: Socket) => {
    raws.add(raw)
    raw.once('close', () => raws.delete(raw))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    server,
    doors,
    sockets,
    lookups,
    refusals,
    connections: () =>
      new Promise((resolve, reject) => server.getConnections((error, n) => (error ? reject(error) : resolve(n)))),
    close: async () => {
      answers.closeAllConnections()
      for (const raw of raws) raw.destroy()
      server.close()
      await once(server, 'close')
    },
  }
}

const TLS12 = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const
const TLS13 = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } as const

const psk = (uaProtocolId: string, identity: string = formatPskIdentity(btid)): ConnectionOptions => ({
  pskCallback: () => ({ psk: keyOf(uaProtocolId), identity }),
  checkServerIdentity: () => undefined,
})

/** PSK suites of TLS 1.2 by their OpenSSL names, and the Ua protocol that each makes. */
const SUITES = [
  ['PSK-AES128-GCM-SHA256', '01000100a8'],
  ['PSK-AES256-GCM-SHA384', '01000100a9'],
  ['PSK-CHACHA20-POLY1305', '010001ccab'],
  ['DHE-PSK-AES128-GCM-SHA256', '01000100aa'],
  ['DHE-PSK-AES256-GCM-SHA384', '01000100ab'],
  ['DHE-PSK-CHACHA20-POLY1305', '010001ccad'],
  ['ECDHE-PSK-CHACHA20-POLY1305', '010001ccac'],
] as const

const plainPsk = (identity?: string): ConnectionOptions => ({
  ...TLS12,
  ...psk('01000100a8', identity),
  ciphers: 'PSK-AES128-GCM-SHA256',
})
const psk13 = (identity?: string): ConnectionOptions => ({
  ...TLS13,
  ...psk('0100000007', identity),
  ciphers: 'TLS_AES_128_GCM_SHA256',
})

function connect(port: number, options: ConnectionOptions): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({ port, host: '127.0.0.1', servername: nafFqdn, ca, ...options }, () => resolve(socket))
    socket.on('error', reject)
    socket.on('close', () => reject(new Error('closed')))
  })
}

interface Answer {
  readonly door: Door
  readonly remoteAddress: string
  readonly remotePort: number
  readonly octets: number
}

function request(socket: TLSSocket, method = 'GET', body: Buffer = Buffer.alloc(0)): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const options = { method, headers: { host: nafFqdn }, agent: agentOf(socket) }
    const sent = http.request(options, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk) => {
        text += chunk
      })
      response.on('end', () => resolve(JSON.parse(text) as Answer))
    })
    sent.on('error', reject)
    sent.end(body)
  })
}

/** One for each socket, which it keeps. */
const agents = new WeakMap<TLSSocket, http.Agent>()

function agentOf(socket: TLSSocket): http.Agent {
  const agent = agents.get(socket) ?? new http.Agent({ keepAlive: true, maxSockets: 1 })
  agent.createConnection = () => socket
  agents.set(socket, agent)
  return agent
}

async function get(port: number, options: ConnectionOptions): Promise<Answer> {
  const socket = await connect(port, options)
  try {
    return await request(socket)
  } finally {
    socket.destroy()
  }
}

const alertOf = (code: string) => (error: unknown) => error instanceof Error && 'code' in error && error.code === code

const UNKNOWN_IDENTITY = alertOf('ERR_SSL_TLSV1_ALERT_UNKNOWN_PSK_IDENTITY')

/** What comes back to who sends these octets, until the other side closes. */
async function sendRaw(port: number, chunks: readonly Uint8Array[], end = false): Promise<Buffer> {
  const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
  const answer: Buffer[] = []
  socket.on('data', (chunk: Buffer) => answer.push(chunk))
  socket.on('error', () => {})
  const closed = once(socket, 'close')
  for (const chunk of chunks) if (!socket.write(chunk)) await Promise.race([once(socket, 'drain'), closed])
  if (end) socket.end()
  await closed
  return Buffer.concat(answer)
}

/** A TCP relay that a test can get at. */
async function relay(port: number, between: (client: Socket, server: Socket) => void): Promise<net.Server> {
  const server = net.createServer({ noDelay: true }, (client) => {
    const upstream = net.connect({ port, host: '127.0.0.1', noDelay: true })
    for (const socket of [client, upstream]) socket.on('error', () => {})
    client.on('close', () => upstream.destroy())
    upstream.on('close', () => client.destroy())
    upstream.on('data', (chunk) => client.write(chunk))
    between(client, upstream)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

const portOf = (server: net.Server) => (server.address() as AddressInfo).port

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const giveUpAt = Date.now() + 5000
  while (!(await condition())) {
    if (Date.now() > giveUpAt) assert.fail('it never came about')
    await delay(10)
  }
}

const unhandled: unknown[] = []
const note = (error: unknown) => void unhandled.push(error)
before(() => {
  process.on('unhandledRejection', note)
})
after(() => {
  process.removeListener('unhandledRejection', note)
  assert.deepEqual(unhandled, [])
})

describe('a listener for certificates and bootstrapped keys', () => {
  let served: Served
  before(async () => {
    served = await serve()
  })
  after(() => served.close())

  for (const [suite, uaProtocolId] of SUITES) {
    test(`lets a UE in by ${suite} while the key comes late, for GET and then PUT`, async () => {
      const socket = await connect(served.port, { ...TLS12, ...psk(uaProtocolId), ciphers: suite })
      assert.equal(socket.getCipher().name, suite)
      const answer = await request(socket)
      assert.deepEqual(answer.door, { kind: 'psk', btid, uaProtocolId, nafFqdn })
      const { remoteAddress, remotePort } = answer
      assert.deepEqual([remoteAddress, remotePort], ['127.0.0.1', socket.localPort])
      assert.equal((await request(socket, 'PUT', Buffer.alloc(300_000))).octets, 300_000)
      socket.destroy()
      assert.deepEqual(served.lookups.at(-1), { nafFqdn, btid, uaProtocolId })
    })
  }

  for (const suite of ['TLS_AES_128_GCM_SHA256', 'TLS_CHACHA20_POLY1305_SHA256']) {
    test(`lets a UE in by an external key and ${suite}, for GET and then PUT`, async () => {
      const socket = await connect(served.port, { ...psk13(), ciphers: suite })
      assert.equal(socket.getCipher().name, suite)
      const { door, remotePort } = await request(socket)
      assert.deepEqual(door, { kind: 'psk', btid, uaProtocolId: '0100000007', nafFqdn })
      assert.equal(remotePort, socket.localPort)
      assert.equal((await request(socket, 'PUT', Buffer.alloc(300_000))).octets, 300_000)
      assert.equal(served.sockets.at(-1)?.servername, nafFqdn)
      socket.destroy()
    })
  }

  test('tries again with a key share that it can use, and the key still counts', async () => {
    const { door } = await get(served.port, { ...psk13(), ecdhCurve: 'P-521:P-256' })
    assert.equal(door.kind, 'psk')
  })

  test('says whose keys it knows', async () => {
    const hints: (string | null)[] = []
    const pskCallback = (hint: string | null) => {
      hints.push(hint)
      return { psk: keyOf('01000100a8'), identity: formatPskIdentity(btid) }
    }
    await get(served.port, { ...plainPsk(), pskCallback })
    assert.deepEqual(hints, ['3GPP-bootstrapping'])
  })

  for (const separator of ['.', ''] as const) {
    for (const [version, options] of [
      ['1.2', plainPsk],
      ['1.3', psk13],
    ] as const) {
      test(`takes an identity joined by ${separator === '' ? 'nothing' : separator} in TLS ${version}`, async () => {
        const { door } = await get(served.port, options(formatPskIdentity(btid, separator)))
        assert.equal(door.kind === 'psk' && door.btid, btid)
      })
    }
  }

  for (const [version, options] of [
    ['1.2', TLS12],
    ['1.3', TLS13],
  ] as const) {
    test(`speaks TLS ${version} with a certificate, asks for no key and resumes`, async () => {
      const before = served.lookups.length
      const socket = await connect(served.port, options)
      assert.equal(socket.authorized, true)
      let session: Buffer | undefined = socket.getSession()
      socket.on('session', (ticket: Buffer) => {
        session = ticket
      })
      assert.deepEqual((await request(socket)).door, { kind: 'certificate' })
      socket.destroy()
      const resumable = { ...options, ...(session && { session }), rejectUnauthorized: false }
      const again = await connect(served.port, resumable)
      assert.equal(again.isSessionReused(), true)
      assert.deepEqual((await request(again)).door, { kind: 'certificate' })
      again.destroy()
      assert.equal(served.lookups.length, before)
    })
  }

  test('chooses its own favourite among the suites of the UE, and asks for the key of that one', async () => {
    const ciphers = SUITES.map(([suite]) => suite).join(':')
    const { door } = await get(served.port, { ...TLS12, ...psk('010001ccac'), ciphers })
    assert.equal(door.kind === 'psk' && door.uaProtocolId, '010001ccac')
  })

  test('prefers the key where a UE of TLS 1.2 offers both', async () => {
    const ciphers = 'ECDHE-ECDSA-AES128-GCM-SHA256:PSK-AES128-GCM-SHA256'
    assert.equal((await get(served.port, { ...plainPsk(), ciphers })).door.kind, 'psk')
  })

  test('refuses suites with CBC', async () => {
    await assert.rejects(
      get(served.port, { ...plainPsk(), ciphers: 'PSK-AES128-CBC-SHA256' }),
      /alert handshake failure/,
    )
  })

  describe('when the identity does not name a bootstrap', () => {
    const long = btidOf(new Uint8Array(16).fill(7), `${'a'.repeat(60)}.bsf.example.org` as Fqdn)
    for (const [name, identity] of [
      ['a bootstrap that nobody knows', formatPskIdentity(stranger)],
      ['another prefix', `3GPP-bootstrapping-uicc;${btid}`],
      ['what is no B-TID', '3GPP-bootstrapping;alice'],
      ['more than 128 octets', `3GPP-bootstrapping;${long}${'a'.repeat(20)}`],
    ] as const) {
      test(`TLS 1.2 ends with alert 115: ${name}`, async () => {
        await assert.rejects(get(served.port, plainPsk(identity)), UNKNOWN_IDENTITY)
        assert.equal(served.refusals.at(-1), 'identity-unknown')
      })

      test(`TLS 1.3 goes on with a certificate, which proves nothing of the UE: ${name}`, async () => {
        assert.deepEqual((await get(served.port, psk13(identity))).door, { kind: 'certificate' })
      })
    }

    test('TLS 1.3 counts the bootstrap that nobody knows', async () => {
      const before = served.refusals.length
      await get(served.port, psk13(formatPskIdentity(stranger)))
      assert.deepEqual(served.refusals.slice(before), ['identity-unknown'])
    })
  })

  test('knows no key for a NAF that was not named, or is not ours', async () => {
    const elsewhere = { servername: 'other.example.org' }
    await assert.rejects(get(served.port, { ...plainPsk(), ...elsewhere }), UNKNOWN_IDENTITY)
    await assert.rejects(get(served.port, { ...plainPsk(), servername: '' }), UNKNOWN_IDENTITY)
    const { door } = await get(served.port, { ...psk13(), ...elsewhere, rejectUnauthorized: false })
    assert.equal(door.kind, 'certificate')
  })

  const wrong = { pskCallback: () => ({ psk: Buffer.alloc(32), identity: formatPskIdentity(btid) }) }
  for (const [version, options] of [
    ['1.2', plainPsk()],
    ['1.3', psk13()],
  ] as const) {
    test(`refuses a wrong key in TLS ${version}`, async () => {
      const before = served.doors.length
      await assert.rejects(get(served.port, { ...options, ...wrong }), /alert (?:decrypt error|bad record mac)/)
      assert.equal(served.refusals.at(-1), 'handshake-failed')
      assert.equal(served.doors.length, before)
    })
  }

  test('a key of TLS 1.2 opens nothing under another suite', async () => {
    const { pskCallback } = psk('01000100a8')
    const dhe = { ...plainPsk(), ...(pskCallback && { pskCallback }), ciphers: 'DHE-PSK-AES128-GCM-SHA256' }
    await assert.rejects(get(served.port, dhe), /alert/)
  })

  test('who offers a key but gets a certificate has proved nothing', async () => {
    // external keys go with SHA-256 only, so that this handshake stands on the certificate
    const socket = await connect(served.port, { ...psk13(), ciphers: 'TLS_AES_256_GCM_SHA384' })
    assert.deepEqual([socket.isSessionReused(), socket.authorized], [false, true])
    assert.deepEqual((await request(socket)).door, { kind: 'certificate' })
    socket.destroy()
  })

  test('a resumed certificate session beside an identity is one of a certificate', async () => {
    const socket = await connect(served.port, TLS13)
    const [session] = (await once(socket, 'session')) as [Buffer]
    socket.destroy()
    const again = await connect(served.port, {
      ...psk13(formatPskIdentity(stranger)),
      session,
      rejectUnauthorized: false,
    })
    assert.deepEqual((await request(again)).door, { kind: 'certificate' })
    again.destroy()
  })

  for (const [version, options] of [
    ['1.2', plainPsk()],
    ['1.3', psk13()],
  ] as const) {
    test(`resumes nothing that a key opened in TLS ${version}`, async () => {
      const socket = await connect(served.port, options)
      let session: Buffer | undefined = socket.getSession()
      socket.on('session', (ticket: Buffer) => {
        session = ticket
      })
      await request(socket)
      socket.destroy()
      const { pskCallback: _, ...keyless } = options
      const again = await connect(served.port, {
        ...keyless,
        ciphers: `${options.ciphers}:ECDHE-ECDSA-AES128-GCM-SHA256`,
        ...(session && { session }),
        rejectUnauthorized: false,
      })
      assert.equal(again.isSessionReused(), false)
      assert.deepEqual((await request(again)).door, { kind: 'certificate' })
      again.destroy()
    })

    test(`a TLS ${version} connection that breaks after its handshake is closed`, async () => {
      let upstream: Socket | undefined
      const between = await relay(served.port, (client, server) => {
        upstream = server
        client.on('data', (chunk) => server.write(chunk))
      })
      const socket = await connect(portOf(between), options)
      await request(socket)
      const closed = new Promise((resolve) => served.sockets.at(-1)?.once('close', resolve))
      upstream?.write(Buffer.concat([Buffer.from([23, 3, 3, 0, 40]), Buffer.alloc(40)]))
      await closed
      socket.destroy()
      between.close()
    })

    test(`the end of either side ends the other in TLS ${version}`, async () => {
      const socket = await connect(served.port, options)
      await request(socket)
      const theirs = served.sockets.at(-1) as TLSSocket
      const closed = once(theirs, 'close')
      socket.destroy()
      await closed
      const second = await connect(served.port, options)
      await request(second)
      const gone = once(second, 'close')
      served.sockets.at(-1)?.destroy()
      await gone
      await until(async () => (await served.connections()) === 0)
    })

    test(`takes a TLS ${version} hello that comes octet by octet`, async () => {
      const between = await relay(served.port, (client, server) => {
        let last = Promise.resolve()
        client.on('data', (chunk) => {
          last = last.then(async () => {
            for (const octet of chunk) {
              server.write(Buffer.from([octet]))
              await delay(0)
            }
          })
        })
      })
      const socket = await connect(portOf(between), options)
      assert.equal((await request(socket)).door.kind, 'psk')
      socket.destroy()
      between.close()
    })
  }

  test('who has no TLS, or none that can be read, is answered as any TLS server does', async () => {
    const plain = await sendRaw(served.port, [Buffer.from('GET / HTTP/1.1\r\nHost: xcap.example.org\r\n\r\n')])
    assert.equal(plain.includes('HTTP'), false)
    const broken = await sendRaw(served.port, [Buffer.from('16030100050100000101', 'hex')])
    assert.equal(broken[0], 21)
  })

  test('slow keys hold up nobody else', async () => {
    const slow = await serve({ lateMs: 1000 })
    try {
      const started = Date.now()
      const waiting = Array.from({ length: 50 }, (_, i) => get(slow.port, i % 2 ? plainPsk() : psk13()))
      await until(() => slow.lookups.length === 50)
      const asked = Date.now()
      const others = await Promise.all(Array.from({ length: 10 }, () => get(slow.port, {})))
      const took = Date.now() - asked
      assert.deepEqual(new Set(others.map(({ door }) => door.kind)), new Set(['certificate']))
      assert.equal(slow.doors.filter(({ kind }) => kind === 'psk').length, 0, `${took} ms: a key came first`)
      const came = await Promise.all(waiting)
      assert.equal(came.filter(({ door }) => door.kind === 'psk').length, 50)
      assert.ok(Date.now() - started < 5000)
    } finally {
      await slow.close()
    }
  })
})

describe('an identity that no library would send', () => {
  const be16 = (n: number) => Buffer.from([n >> 8, n & 255])
  const handshake = (type: number, body: Uint8Array): Buffer => {
    const message = Buffer.concat([Buffer.from([type, 0]), be16(body.length), body])
    return Buffer.concat([Buffer.from([22, 3, 3]), be16(message.length), message])
  }
  const name = Buffer.from(nafFqdn)
  const sni = Buffer.concat([be16(name.length + 3), Buffer.from([0]), be16(name.length), name])
  const hello = handshake(
    1,
    Buffer.concat([
      Buffer.from([3, 3]),
      Buffer.alloc(32, 5),
      Buffer.from([0, 0, 2, 0, 0xa8, 1, 0]),
      be16(sni.length + 4),
      be16(0),
      be16(sni.length),
      sni,
    ]),
  )
  const exchange = (identity: Buffer) => handshake(16, Buffer.concat([be16(identity.length), identity]))

  let served: Served
  before(async () => {
    served = await serve({ lateMs: 1 })
  })
  after(() => served.close())

  /** The level and description of the alert, once the ServerHello has come. */
  async function alertFor(second: Buffer): Promise<number[]> {
    const socket = net.connect({ port: served.port, host: '127.0.0.1' })
    socket.on('error', () => {})
    const answer: Buffer[] = []
    socket.write(hello)
    const [first] = (await once(socket, 'data')) as [Buffer]
    assert.equal(first[0], 22)
    socket.on('data', (chunk: Buffer) => answer.push(chunk))
    socket.write(second)
    await once(socket, 'close')
    return [...Buffer.concat(answer).subarray(-2)]
  }

  for (const [what, identity] of [
    ['with NUL and more behind it', Buffer.from(`${formatPskIdentity(btid)}\0x`)],
    ['with NUL at its end', Buffer.from(`${formatPskIdentity(btid)}\0`)],
    ['of 129 octets', Buffer.alloc(129, 'a')],
    ['that is empty', Buffer.alloc(0)],
  ] as const) {
    test(`is unknown: one ${what}`, async () => {
      const before = served.lookups.length
      assert.deepEqual(await alertFor(exchange(identity)), [2, 115])
      assert.equal(served.lookups.length, before)
      assert.equal(served.refusals.at(-1), 'identity-unknown')
    })
  }

  test('is never asked for where another message comes in its place', async () => {
    const before = served.lookups.length
    const [level, description] = await alertFor(handshake(20, Buffer.alloc(12)))
    assert.equal(level, 2)
    assert.notEqual(description, 115)
    assert.equal(served.lookups.length, before)
  })

  test('opens nothing when it comes before anybody asked', async () => {
    const before = served.lookups.length
    await sendRaw(served.port, [Buffer.concat([hello, exchange(Buffer.from(formatPskIdentity(btid)))])])
    assert.equal(served.refusals.at(-1), 'identity-unknown')
    assert.equal(served.lookups.length, before)
  })
})

describe('a listener with limits', () => {
  test('cuts off a hello that says it is longer than 64 KiB', async () => {
    const served = await serve()
    assert.equal(
      (await sendRaw(served.port, [Buffer.from('160301400001010001', 'hex'), Buffer.alloc(20_000)])).length,
      0,
    )
    assert.deepEqual(served.refusals, ['hello-too-large'])
    await served.close()
  })

  test('cuts off a hello that needs more octets than allowed', async () => {
    const served = await serve({ peekBytes: 4096 })
    assert.equal((await sendRaw(served.port, [Buffer.from('160301200001001ffc', 'hex')])).length, 0)
    assert.deepEqual(served.refusals, ['hello-too-large'])
    await served.close()
  })

  for (const [name, octets] of [
    ['nothing', ''],
    ['half a hello', '1603010200010001fc0303'],
  ] as const) {
    test(`cuts off who sends ${name} and waits`, async () => {
      const served = await serve({ handshakeMs: 200 })
      const started = Date.now()
      assert.equal((await sendRaw(served.port, [Buffer.from(octets, 'hex')])).length, 0)
      assert.ok(Date.now() - started >= 190)
      assert.deepEqual(served.refusals, ['handshake-late'])
      await served.close()
    })
  }

  for (const [version, options] of [
    ['1.2', plainPsk()],
    ['1.3', psk13()],
  ] as const) {
    test(`cuts off a TLS ${version} handshake whose key comes too late`, async () => {
      const served = await serve({ handshakeMs: 100, lateMs: 300 })
      await assert.rejects(get(served.port, options))
      assert.deepEqual(served.refusals, ['handshake-late'])
      await delay(300)
      assert.deepEqual(served.doors, [])
      await served.close()
    })

    test(`tells a UE of TLS ${version} that the fault is ours when its key cannot be asked for`, async () => {
      const served = await serve({ breaks: true })
      await assert.rejects(get(served.port, options), alertOf('ERR_SSL_TLSV1_ALERT_INTERNAL_ERROR'))
      assert.deepEqual(served.refusals, ['lookup-failed'])
      await until(async () => (await served.connections()) === 0)
      await served.close()
    })

    test(`gets over a UE of TLS ${version} that goes away while its key is asked for`, async () => {
      const served = await serve()
      for (const way of ['destroy', 'resetAndDestroy'] as const) {
        const raw = net.connect(served.port, '127.0.0.1')
        await once(raw, 'connect')
        const before = served.lookups.length
        const client = tls.connect({ ...options, socket: raw, servername: nafFqdn, ca })
        client.on('error', () => {})
        await until(() => served.lookups.length > before)
        raw[way]()
        await until(async () => (await served.connections()) === 0)
      }
      await delay(LATE_MS)
      assert.deepEqual(served.doors, [])
      await served.close()
    })
  }
})

describe('an HTTPS server that admits keys', () => {
  test('serves both from one port, and nothing of it changes for certificates', async () => {
    const server = https.createServer(certificateContext, (incoming, response) => {
      response.end(JSON.stringify({ door: doorOf(incoming.socket) }))
    })
    admitPsk(server, {
      hint: PSK_HINT,
      limits: { peekBytes: 65_536, handshakeMs: 5000 },
      pskFor: async (_nafFqdn, _btid, uaProtocolId) => new Secret(keyOf(uaProtocolId)),
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const kinds: string[] = []
    for (const options of [{}, plainPsk(), psk13()]) kinds.push((await get(portOf(server), options)).door.kind)
    assert.deepEqual(kinds, ['certificate', 'psk', 'psk'])
    server.close()
    await once(server, 'close')
  })

  test('has no other listener for its connections', () => {
    const server = https.createServer(certificateContext)
    server.on('connection', () => {})
    const limits = { peekBytes: 65_536, handshakeMs: 5000 }
    assert.throws(() => admitPsk(server, { hint: PSK_HINT, limits, pskFor: async () => undefined }), RangeError)
  })
})
