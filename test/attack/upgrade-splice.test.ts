import assert from 'node:assert/strict'
import https from 'node:https'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import { type Fqdn, parseFqdn } from '../../src/core/identity.ts'
import { LAB_NAF, LAB_SECOND_NAF } from '../../src/lab.ts'
import { ALICE, treeOf } from '../support/attacked.ts'
import { doorUe, openAllDoors, WAYS } from '../support/door-ue.ts'
import type { HandUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { rawConnect, requestOctets } from '../support/raw-client.ts'

// A stranger between a UE and the proxy asks the clear port for TLS, and gives the UE's own handshake for his. Were it
// taken, the answer to what he asked would stand before that to the first request of the UE, and so on from there.
const OWN = treeOf(ALICE)
const UPGRADE = ['Upgrade: TLS/1.2', 'Connection: Upgrade']
const ASKED = [
  'OPTIONS * HTTP/1.1',
  'GET /resource-lists/global/index HTTP/1.1',
  `GET ${OWN} HTTP/1.1`,
  `HEAD ${OWN} HTTP/1.1`,
]

/** Where UEs believe the proxy to be. */
interface Splice {
  readonly port: number
  /** What the clear port said to the stranger, by its status. */
  readonly statuses: number[]
  close(): void
}

/** Takes each connection that comes to the clear port, behind an upgrade of the stranger's own. */
async function splice(clearPort: number, line: string, host: string): Promise<Splice> {
  const statuses: number[] = []
  const open = new Set<Socket>()
  const server = createServer((near) => {
    const far = connect(clearPort, '127.0.0.1')
    for (const socket of [near, far]) {
      open.add(socket)
      socket.on('error', () => {}).once('close', () => open.delete(socket))
    }
    near.pause()
    far.once('close', () => near.destroySoon())
    near.once('close', () => far.destroy())
    far.write(requestOctets(line, [`Host: ${host}`, ...UPGRADE]))
    let head = Buffer.alloc(0)
    const onData = (part: Buffer) => {
      head = Buffer.concat([head, part])
      const end = head.indexOf('\r\n\r\n')
      if (end < 0) return
      far.off('data', onData)
      statuses.push(Number(head.toString('latin1', 9, 12)))
      near.write(head.subarray(end + 4))
      far.pipe(near)
      near.pipe(far)
    }
    far.on('data', onData)
  })
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  return {
    port: (server.address() as AddressInfo).port,
    statuses,
    close() {
      server.close()
      for (const socket of open) socket.destroy()
    },
  }
}

describe('the connection of a UE behind the upgrade of a stranger', () => {
  let lab: TestLab
  before(async () => {
    lab = await testLab({ recording: true, prepare: openAllDoors, ap: { tlsUpgrade: { port: 0 } } })
  })
  after(() => lab.close())

  /** The first thing that is said to a UE within TLS; nothing where its connection ends before. */
  async function saidTo(octets: Uint8Array, port: number, options: ConnectionOptions): Promise<string> {
    const socket = connectTls({ host: '127.0.0.1', port, ...options })
    let said = ''
    socket.on('data', (part: Buffer) => {
      said += part.toString('latin1')
      socket.destroy() // that was one answer too many
    })
    socket.on('error', () => {})
    const limit = setTimeout(() => socket.destroy(new Error('still open')), 15_000)
    const end = new Promise<Error | undefined>((resolve) => {
      socket.once('error', resolve).once('close', () => resolve(undefined))
    })
    socket.write(octets)
    const error = await end
    clearTimeout(limit)
    assert.notEqual(error?.message, 'still open')
    return said
  }

  const ALPN = { ALPNProtocols: ['http/1.1'] }
  const handshakes: Readonly<Record<string, { readonly naf: Fqdn; readonly options: ConnectionOptions }>> = {
    'with ALPN': { naf: LAB_NAF, options: ALPN },
    'with ALPN, for another name than the upgrade': { naf: LAB_SECOND_NAF, options: ALPN },
    'without ALPN, for another name than the upgrade': { naf: LAB_SECOND_NAF, options: {} },
  }
  for (const way of WAYS) {
    for (const [how, { naf, options }] of Object.entries(handshakes)) {
      // Its password is for one name.
      if (way === 'password' && naf !== LAB_NAF) continue
      test(`ends without an answer, by ${way}, ${how}, whatever the stranger asked`, async () => {
        const ue = await doorUe(lab, way, 'alice', naf)
        assert.equal((await ue.request('GET', OWN)).status, 200, 'served where nobody is in between')
        for (const line of ASKED) await assertEnded(ue, line, LAB_NAF, options)
      })
    }
  }

  for (const way of ['certificate', 'password'] as const) {
    test(`ends without an answer, by ${way}, with neither a name nor ALPN, whatever the stranger asked`, async () => {
      const ue = await doorUe(lab, way)
      const nameless = { servername: '', checkServerIdentity: () => undefined }
      for (const line of ASKED) await assertEnded(ue, line, LAB_NAF, nameless)
    })
  }

  test('is no answer to an HTTP client that keeps its connections', async () => {
    const ue = await doorUe(lab, 'certificate')
    await assertNoAnswer(ue, LAB_NAF, ALPN)
  })

  describe('of a name that is not served there', () => {
    let apart: TestLab
    before(async () => {
      const tlsUpgrade = { port: 0, nafs: [LAB_SECOND_NAF] }
      apart = await testLab({ recording: true, prepare: openAllDoors, ap: { tlsUpgrade } })
    })
    after(() => apart.close())

    for (const way of WAYS) {
      test(`ends without an answer, by ${way}, without ALPN, whatever the stranger asked`, async () => {
        const ue = await doorUe(apart, way)
        assert.equal((await ue.request('GET', OWN)).status, 200)
        for (const line of ASKED) await assertEnded(ue, line, LAB_SECOND_NAF, {}, apart)
      })
    }

    test('is none that a stranger can upgrade under that name', async () => {
      for (const line of ASKED) {
        const stranger = await splice(apart.app.addresses.tlsUpgrade?.port ?? 0, line, LAB_NAF)
        try {
          const ue = await doorUe(apart, 'certificate')
          await assert.rejects(rawConnect({ ...ue.at, port: stranger.port }))
          assert.deepEqual(stranger.statuses, [400])
        } finally {
          stranger.close()
        }
      }
    })

    test('is no answer to an HTTP client that keeps its connections, with all defaults of Node', async () => {
      await assertNoAnswer(await doorUe(apart, 'certificate'), LAB_SECOND_NAF, {}, apart)
    })
  })

  /** Behind what the stranger asked under this name, nothing is said to the UE, and nothing done. */
  async function assertEnded(ue: HandUe, line: string, host: string, options: ConnectionOptions, at = lab) {
    const octets = await ue.signed('PUT', OWN, { body: '<secret/>' })
    const stranger = await splice(at.app.addresses.tlsUpgrade?.port ?? 0, line, host)
    const [seen, decided] = [at.seen.length, at.decisions.length]
    try {
      assert.equal(await saidTo(octets, stranger.port, { ...ue.at.tls, ...options }), '', line)
      assert.deepEqual(stranger.statuses, [101], 'the stranger got as far as that')
      assert.equal(at.seen.length, seen)
      const events = at.decisions.slice(decided).map(({ event }) => event)
      assert.ok(events.includes('tls.refused'))
      assert.ok(!events.some((event) => event.startsWith('ut.')), 'a request of nobody is none')
    } finally {
      stranger.close()
    }
  }

  async function assertNoAnswer(ue: HandUe, host: string, options: ConnectionOptions, at = lab) {
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1, ...ue.at.tls, ...options })
    const ask = (port: number, method: string) =>
      new Promise<number | string>((resolve) => {
        const asked = { host: '127.0.0.1', port, method, path: OWN, agent, headers: { host: LAB_NAF } }
        const request = https.request(asked, (answer) => {
          answer.resume().once('end', () => resolve(answer.statusCode ?? 0))
        })
        request.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
        request.end(method === 'PUT' ? '<secret/>' : undefined)
      })
    const stranger = await splice(at.app.addresses.tlsUpgrade?.port ?? 0, 'OPTIONS * HTTP/1.1', host)
    const seen = at.seen.length
    try {
      for (const method of ['PUT', 'GET']) assert.equal(await ask(stranger.port, method), 'ECONNRESET')
      assert.deepEqual(stranger.statuses, [101, 101])
      assert.equal(at.seen.length, seen)
      assert.equal(await ask(ue.at.port, 'GET'), 200)
    } finally {
      agent.destroy()
      stranger.close()
    }
  }
})

describe('a UE that asked for the upgrade itself', () => {
  let lab: TestLab
  before(async () => {
    lab = await testLab({ recording: true, prepare: openAllDoors, ap: { tlsUpgrade: { port: 0 } } })
  })
  after(() => lab.close())

  for (const way of WAYS) {
    test(`is served by ${way}, however it writes the name in Host`, async () => {
      const ue = await doorUe(lab, way)
      for (const host of [LAB_NAF, `${LAB_NAF}:80`, LAB_NAF.toUpperCase()]) {
        assert.equal(parseFqdn(host.replace(':80', '')), LAB_NAF)
        const own = await splice(lab.app.addresses.tlsUpgrade?.port ?? 0, 'OPTIONS * HTTP/1.1', host)
        const { tls } = ue.at
        const connection = await rawConnect({ port: own.port, ...(tls && { tls }) })
        try {
          assert.equal((await connection.answer('OPTIONS')).status, 204, host)
          for (const [method, body] of [['GET'], ['PUT', '<a/>']] as const) {
            connection.write(await ue.signed(method, OWN, body === undefined ? {} : { body }))
            const answer = await connection.answer(method)
            assert.deepEqual([answer.status, answer.body.toString()], [200, 'recorded'])
            assert.equal(lab.seen.at(-1)?.method, method)
          }
        } finally {
          connection.close()
          own.close()
        }
      }
    })
  }
})
