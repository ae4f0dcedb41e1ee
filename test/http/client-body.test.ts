import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import type { Socket } from 'node:net'
import { afterEach, describe, test } from 'node:test'
import type { ClientOptions } from '../../src/http/client.ts'
import { scriptedAs } from '../support/scripted-as.ts'
import { ask, asking, clientOf, Recorder, requestOf, tooLate, until } from './asking.ts'

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

const MIB = 1024 * 1024
const PIECE = randomBytes(MIB)

/** A server that sends 20 MiB as fast as they are taken, and a client of it. */
async function sending(
  head: string,
  options: Partial<ClientOptions> = {},
  pieces = 20,
  frame = (piece: Buffer) => [piece] as (string | Buffer)[],
) {
  let server: Socket | undefined
  let sent = 0
  const as = await scriptedAs((socket) => {
    server = socket
    socket.write(`HTTP/1.1 200 OK\r\n${head}\r\n`)
    const more = (): void => {
      for (; sent < pieces && !socket.writableNeedDrain; sent++) for (const part of frame(PIECE)) socket.write(part)
      if (sent === pieces) {
        sent++
        if (head.includes('chunked')) socket.write('0\r\n\r\n')
        if (head === '') socket.end()
      }
    }
    socket.on('drain', more)
    more()
  })
  const client = clientOf(as.url, options)
  closing.push(as.close, () => client.destroy())
  return {
    client,
    as,
    sent: () => sent,
    reset: () => {
      sent = 0
    },
    server: () => server,
  }
}

/** Takes no more than `most` at a time, and goes on when it is told to. */
class Slow extends Recorder {
  taken = 0
  isPaused = false
  most = Infinity
  readonly #hash = createHash('sha256')
  override onData(chunk: Buffer): boolean {
    this.taken += chunk.length
    this.#hash.update(chunk)
    this.isPaused = this.taken >= this.most
    return !this.isPaused
  }
  digest(): string {
    return this.#hash.digest('hex')
  }
}

const digestOf = (pieces: number): string => {
  const hash = createHash('sha256')
  for (let at = 0; at < pieces; at++) hash.update(PIECE)
  return hash.digest('hex')
}

describe('a sink that cannot keep up', () => {
  for (const [what, head, frame] of [
    ['known length', `Content-Length: ${20 * MIB}\r\n`, undefined],
    [
      'chunks',
      'Transfer-Encoding: chunked\r\n',
      (piece: Buffer) => [`${piece.length.toString(16)}\r\n`, piece, '\r\n'],
    ],
    ['until the end', '', undefined],
  ] as const) {
    test(`holds the server back, and loses nothing of 20 MiB: ${what}`, async () => {
      const { client, server, sent } = await sending(head, {}, 20, frame)
      const sink = new Slow()
      sink.most = 100_000
      const { call, over } = asking(client, requestOf(), sink)
      await until(() => sink.isPaused)
      // The kernel's buffers are full, and the server waits: what it still has, nobody here has taken.
      let before = -1
      await until(() => {
        const now = server()?.bytesWritten ?? 0
        const isStill = before === now && server()?.writableNeedDrain === true
        before = now
        return isStill
      })
      assert.ok(sink.taken < 100_000 + 2 * 65_536, `${sink.taken}`)
      assert.ok(sent() < 20, `${sent()}`)
      const memory = process.memoryUsage().arrayBuffers
      let most = memory
      for (sink.most = 0; sink.taken < 4 * MIB; ) {
        sink.isPaused = false
        call.resume()
        await until(() => sink.isPaused)
        most = Math.max(most, process.memoryUsage().arrayBuffers)
      }
      sink.most = Infinity
      call.resume()
      await over
      assert.ok(most - memory < 16 * MIB, `${most - memory}`)
      assert.deepEqual([sink.taken, sink.digest()], [20 * MIB, digestOf(20)])
    })
  }

  test('is given time: the server cannot help it', async () => {
    const { client } = await sending(`Content-Length: ${20 * MIB}\r\n`, { timeoutMs: 1000, connectTimeoutMs: 500 })
    const sink = new Slow()
    sink.most = 1
    const { call, over } = asking(client, requestOf(), sink)
    await until(() => sink.isPaused)
    await new Promise((later) => setTimeout(later, 2000))
    assert.equal(sink.error, undefined)
    sink.most = Infinity
    call.resume()
    await over
    assert.equal(sink.taken, 20 * MIB)
  })

  test('gives none to a server that stops when it goes on', async () => {
    const { client } = await sending(`Content-Length: ${20 * MIB}\r\n`, { timeoutMs: 1000 }, 1)
    const sink = new Slow()
    sink.most = 1
    const { call, over } = asking(client, requestOf(), sink)
    await until(() => sink.isPaused)
    sink.most = Infinity
    call.resume()
    await assert.rejects(over, tooLate)
  })

  test('may give up meanwhile', async () => {
    const { client, as } = await sending(`Content-Length: ${20 * MIB}\r\n`)
    const sink = new Slow()
    sink.most = 1
    const { call } = asking(client, requestOf(), sink)
    await until(() => sink.isPaused)
    call.abort()
    await until(() => as.open() === 0)
    assert.deepEqual([client.open, sink.told], [0, ['answer']])
  })

  test('and takes its last piece late leaves a connection that is read on', async () => {
    const { client, as, reset } = await sending(`Content-Length: ${MIB}\r\n`, {}, 1)
    class Last extends Recorder {
      override onData(chunk: Buffer): boolean {
        super.onData(chunk)
        setImmediate(() => call.resume())
        return false
      }
    }
    const { call, over } = asking(client, requestOf(), new Last())
    assert.ok((await over).body.equals(PIECE))
    reset()
    assert.ok((await ask(client)).body.equals(PIECE))
    assert.equal(as.open(), 1)
    await as.close()
    // It sees the end of the connection, as one that is paused would not.
    await until(() => client.open === 0)
  })
})
