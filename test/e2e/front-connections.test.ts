import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { impuOf } from '../../src/lab.ts'
import { doorUe, openAllDoors } from '../support/door-ue.ts'
import { testLab } from '../support/lab.ts'
import { tcp4 } from '../support/proxy-header.ts'

const OWN = `/resource-lists/users/${impuOf('alice')}/index`
const LIMIT = 5
const STRANGERS = 30

/** A connection that says its header and nothing more. */
interface Stranger {
  readonly socket: Socket
  isClosed: boolean
}

function stranger(port: number): Promise<Stranger> {
  const socket = connect(port, '127.0.0.1')
  const known: Stranger = { socket, isClosed: false }
  socket.on('error', () => {})
  socket.resume().once('close', () => {
    known.isClosed = true
  })
  socket.write(tcp4())
  return new Promise((resolve) => socket.once('connect', () => resolve(known)).once('close', () => resolve(known)))
}

async function until(holds: () => boolean): Promise<void> {
  for (let i = 0; i < 250 && !holds(); i++) await delay(20)
}

describe('the bound on connections', () => {
  test('holds for those that a front passes on, and who leaves makes room', { timeout: 60_000 }, async () => {
    const lab = await testLab({
      recording: true,
      prepare: openAllDoors,
      ap: { limits: { connections: LIMIT }, front: { port: 0, addresses: ['127.0.0.1'], tls: 'through' } },
    })
    const strangers: Stranger[] = []
    try {
      const port = lab.app.addresses.front?.port ?? 0
      const alice = await doorUe(lab, 'certificate')
      /** @returns the first line that a UE gets behind the front, or nothing */
      const served = async () => {
        const raw = connect(port, '127.0.0.1')
        raw.write(tcp4())
        const secured = connectTls({ ...alice.at.tls, socket: raw })
        const octets = await alice.signed('GET', OWN)
        const answer = new Promise<string | undefined>((resolve) => {
          secured.once('data', (chunk: Buffer) => resolve(chunk.toString('latin1').split('\r\n')[0]))
          secured.once('error', () => resolve(undefined)).once('close', () => resolve(undefined))
        })
        secured.write(octets)
        const line = await answer
        secured.destroy()
        raw.destroy()
        return line
      }
      const open = () => strangers.filter(({ isClosed }) => !isClosed).length
      for (let i = 0; i < STRANGERS; i++) strangers.push(await stranger(port))
      await until(() => open() <= LIMIT)
      assert.equal(open(), LIMIT)
      assert.equal(await served(), undefined)
      // The limit is one of each listener: who comes without the front is served meanwhile.
      assert.equal((await alice.request('GET', OWN)).status, 200)

      for (const { socket } of strangers) socket.destroy()
      let line: string | undefined
      for (let i = 0; i < 100 && line === undefined; i++) {
        line = await served()
        if (line === undefined) await delay(20)
      }
      assert.equal(line, 'HTTP/1.1 200 OK')
    } finally {
      for (const { socket } of strangers) socket.destroy()
      await lab.close()
    }
  })
})
