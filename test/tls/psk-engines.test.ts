import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { once } from 'node:events'
import { type AddressInfo, createServer, type Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import tls, { type ConnectionOptions, type TLSSocket } from 'node:tls'
import { Secret } from '../../src/core/secret.ts'
import { PskEngines } from '../../src/tls/psk-engines.ts'

const keyOf = (identity: string): Buffer => hash('sha256', identity, 'buffer')

/** As many at a time as there are engines kept, and some more. */
const AT_ONCE = 80

for (const [version, ciphers] of [
  ['TLSv1.2', 'PSK-AES128-GCM-SHA256'],
  ['TLSv1.3', 'TLS_AES_128_GCM_SHA256'],
] as const) {
  describe(`engines for handshakes of ${version} on shared keys`, () => {
    const engines = new PskEngines({ minVersion: version, maxVersion: version, ciphers })
    /** Identities whose handshakes came about, and those that did not, by the port they came from. */
    const secure = new Map<number | undefined, string | undefined>()
    const failed = new Set<number | undefined>()
    let told = 0
    const server = createServer((raw: Socket) => {
      let identity: string | undefined
      const port = raw.remotePort
      raw.on('error', () => {})
      engines.begin(raw, {
        keyOf: (asked) => {
          identity = asked
          return asked === 'nobody' ? undefined : new Secret(keyOf(asked))
        },
        onSecure: (socket, asked) => {
          told++
          secure.set(port, asked ? identity : undefined)
          socket.on('error', () => {})
          socket.end(identity ?? '')
        },
        onFailed: () => {
          told++
          failed.add(port)
        },
      })
    })
    before(() => once(server.listen(0, '127.0.0.1'), 'listening'))
    after(() => server.close())

    const connect = (identity: string, key: Buffer, more: ConnectionOptions = {}) =>
      tls.connect({
        port: (server.address() as AddressInfo).port,
        host: '127.0.0.1',
        minVersion: version,
        maxVersion: version,
        ciphers,
        checkServerIdentity: () => undefined,
        pskCallback: () => ({ psk: key, identity }),
        ...more,
      })
    const greeting = async (socket: TLSSocket) => {
      let text = ''
      for await (const part of socket.setEncoding('utf8')) text += part
      return text
    }

    test('give each the key of its own identity, however many there are at a time, and again', async () => {
      for (let turn = 0; turn < 3; turn++) {
        const all = Array.from({ length: AT_ONCE }, async (_, n) => {
          const identity = `turn ${turn}, client ${n}`
          // Every third has another key than it says, and must not spoil its engine for others.
          const isRight = n % 3 !== 0
          const socket = connect(identity, keyOf(isRight ? identity : 'another'))
          if (isRight) assert.equal(await greeting(socket), identity)
          else await assert.rejects(greeting(socket))
        })
        await Promise.all(all)
      }
      assert.equal(secure.size, 3 * (AT_ONCE - Math.ceil(AT_ONCE / 3)))
      assert.equal(failed.size, 3 * Math.ceil(AT_ONCE / 3))
      assert.equal(told, secure.size + failed.size)
    })

    test('tell of a peer that leaves in the midst of it, and go on', async () => {
      const before = failed.size
      for (let n = 0; n < 3; n++) {
        const raw = connect('somebody', keyOf('somebody'))
        raw.on('error', () => {})
        raw.once('connect', () => raw.destroy())
        await once(raw, 'close')
      }
      assert.equal(await greeting(connect('after', keyOf('after'))), 'after')
      assert.ok(failed.size > before)
    })

    test('resume nothing, though the next handshake has the same engine', async () => {
      const first = connect('first', keyOf('first'))
      let session: Buffer | undefined
      first.on('session', (ticket: Buffer) => {
        session = ticket
      })
      assert.equal(await greeting(first), 'first')
      session ??= first.getSession()
      const offered = session && { session }
      // Its own key opens the next connection; the session of the other opens none.
      assert.equal(await greeting(connect('second', keyOf('second'), offered)), 'second')
      const before = told
      await assert.rejects(greeting(connect('nobody', keyOf('first'), offered)))
      assert.equal(told, before + 1)
    })
  })
}
