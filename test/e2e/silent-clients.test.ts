import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import tls from 'node:tls'
import { LAB_NAF } from '../../src/lab.ts'
import { type TestLab, testLab } from '../support/lab.ts'

/** A client gets this long to finish what it has begun, and a little more. */
const LONGEST_STOP_MS = 15_000

const plain = async (port: number | undefined): Promise<Socket> => {
  const socket = connect(port ?? 0, '127.0.0.1')
  socket.on('error', () => {})
  await once(socket, 'connect')
  return socket
}

const secure = async ({ app, ca }: TestLab): Promise<Socket> => {
  const socket = tls.connect({ port: app.addresses.ap?.port ?? 0, host: '127.0.0.1', ca, servername: LAB_NAF })
  socket.on('error', () => {})
  await once(socket, 'secureConnect')
  return socket
}

describe('a process that is asked to stop stops, although a client', { concurrency: true }, () => {
  const half = 'GET / HTTP/1.1\r\nHost: '
  for (const [name, client] of [
    ['says nothing on Ub', (lab: TestLab) => plain(lab.app.addresses.ub?.port)],
    ['stays in the middle of a request on Ub', async (lab: TestLab) => send(await plain(lab.app.addresses.ub?.port))],
    ['never begins its TLS handshake', (lab: TestLab) => plain(lab.app.addresses.ap?.port)],
    ['says nothing inside TLS', secure],
    ['stays in the middle of a request inside TLS', async (lab: TestLab) => send(await secure(lab))],
  ] as const) {
    test(name, { timeout: 60_000 }, async () => {
      const lab = await testLab()
      const socket = await client(lab)
      await delay(100) // what it sent has arrived
      const stopped = lab.close().then(() => 'stopped')
      const outcome = await Promise.race([stopped, delay(LONGEST_STOP_MS, 'still running', { ref: false })])
      socket.destroy()
      await stopped
      assert.equal(outcome, 'stopped')
    })
  }

  function send(socket: Socket): Socket {
    socket.write(half)
    return socket
  }
})
