import assert from 'node:assert/strict'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { after, afterEach, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { type Fault, type FaultProxy, faultProxy } from '../support/fault-proxy.ts'
import { type RawConnection, rawConnect } from '../support/raw-client.ts'
import { eventually } from '../support/workers.ts'

// A test of the tools: what the others rely on when they say that a server was slow, or gone.

const ANSWER = '0123456789'.repeat(10)

describe('the fault proxy', () => {
  let server: Server
  let proxy: FaultProxy
  let arrived = ''
  const sockets = new Set<Socket>()
  before(async () => {
    server = createServer((socket) => {
      sockets.add(socket)
      socket
        .on('error', () => {})
        .on('data', (octets) => {
          arrived += octets
          socket.write(ANSWER)
        })
    })
    await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
    proxy = await faultProxy((server.address() as AddressInfo).port)
  })
  afterEach(async () => {
    await proxy.become({ kind: 'pass' })
    arrived = ''
  })
  after(async () => {
    await proxy.close()
    for (const socket of sockets) socket.destroy()
    server.close()
  })

  const asked = async (): Promise<RawConnection> => {
    const connection = await rawConnect({ port: proxy.port })
    connection.write('ask')
    return connection
  }
  const got = (connection: RawConnection, length: number) =>
    eventually(`${length} octets`, () => connection.pending().length >= length)

  test('passes what comes, both ways', async () => {
    const connection = await asked()
    await got(connection, ANSWER.length)
    assert.equal(connection.pending().toString(), ANSWER)
    assert.equal(arrived, 'ask')
    connection.close()
  })

  test('closed, it refuses connections and resets those that there are, and listens again at the same port', async () => {
    const connection = await asked()
    await proxy.become({ kind: 'closed' })
    await connection.closed
    await assert.rejects(rawConnect({ port: proxy.port }), { code: 'ECONNREFUSED' })
    await proxy.become({ kind: 'pass' })
    const again = await asked()
    await got(again, ANSWER.length)
    again.close()
  })

  for (const [kind, reaches] of [
    ['hang', ''],
    ['half-open', 'ask'],
  ] as const) {
    test(`at ${kind}, nothing comes back and nothing ends`, async () => {
      await proxy.become({ kind })
      const connection = await asked()
      let isClosed = false
      void connection.closed.then(() => {
        isClosed = true
      })
      if (reaches) await eventually('it arrives', () => arrived === reaches)
      for (const socket of sockets) socket.destroy()
      await delay(50)
      assert.deepEqual([connection.pending().length, isClosed, arrived], [0, false, reaches])
      connection.close()
    })
  }

  test('slow and throttled, it lets the whole answer through, later', async () => {
    const slow: Fault[] = [
      { kind: 'slow', ms: 60 },
      { kind: 'throttle', octetsPerS: 500 },
    ]
    for (const fault of slow) {
      await proxy.become(fault)
      const before = performance.now()
      const connection = await asked()
      await got(connection, ANSWER.length)
      assert.equal(connection.pending().toString(), ANSWER)
      assert.ok(performance.now() - before >= 55)
      connection.close()
    }
  })

  for (const kind of ['reset', 'cut'] as const) {
    for (const afterOctets of [0, 30]) {
      test(`at ${kind}, the end comes after ${afterOctets} octets`, async () => {
        await proxy.become({ kind, afterOctets })
        const connection = await asked()
        let error: unknown
        connection.socket.once('error', (found) => {
          error = found
        })
        await connection.closed
        assert.equal(connection.pending().toString(), ANSWER.slice(0, afterOctets))
        assert.equal(error === undefined, kind === 'cut')
        connection.close()
      })
    }
  }

  test('garbage and what has no end come in the place of an answer', async () => {
    await proxy.become({ kind: 'garbage', octets: Buffer.from('?') })
    const garbage = await asked()
    await garbage.closed
    assert.equal(garbage.pending().toString(), '?')
    garbage.close()
    await proxy.become({ kind: 'endless', head: 'a', piece: 'b', everyMs: 1 })
    const endless = await asked()
    await got(endless, 20)
    assert.match(endless.pending().toString(), /^ab+$/)
    endless.close()
    assert.equal(arrived, '')
    await eventually('nothing is left open', () => proxy.open() === 0)
  })
})
