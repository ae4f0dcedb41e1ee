import assert from 'node:assert/strict'
import { createServer, type Socket } from 'node:net'
import { afterEach, describe, test } from 'node:test'
import type { ClientOptions } from '../../src/http/client.ts'
import { type Arrived, scriptedAs } from '../support/scripted-as.ts'
import { ask, asking, clientOf, invalid, Recorder, requestOf, tooLate, turn, unreachable, until } from './asking.ts'

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

async function pair(script: (socket: Socket, request: Arrived) => void, options: Partial<ClientOptions> = {}) {
  const as = await scriptedAs(script)
  const client = clientOf(as.url, options)
  closing.push(as.close, () => client.destroy())
  return { as, client }
}

const OK = 'HTTP/1.1 200 OK\r\n'
const FINE = `${OK}Content-Length: 2\r\n\r\nok`
const LENGTH = `${OK}Content-Length: 9\r\n`
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`
const LARGE = `${OK}Content-Length: 900000\r\n\r\nabc`

describe('a server', () => {
  test('that is not there is unreachable', async () => {
    const closed = await scriptedAs(() => {})
    await closed.close()
    const client = clientOf(closed.url)
    await assert.rejects(ask(client), unreachable)
    assert.equal(client.open, 0)
  })

  test('whose name is nobody’s is unreachable', async () => {
    await assert.rejects(ask(clientOf('http://nobody.invalid')), unreachable)
  })

  test('that takes connections and never speaks TLS on them is unreachable', async () => {
    const silent = createServer((socket) => closing.push(() => socket.on('error', () => {}).destroy()))
    await new Promise<void>((listening) => silent.listen(0, '127.0.0.1', listening))
    const { port } = silent.address() as { port: number }
    closing.push(() => silent.close())
    await assert.rejects(ask(clientOf(`https://127.0.0.1:${port}`, { connectTimeoutMs: 100 })), unreachable)
  })

  const broken: readonly (readonly [string, string, (error: unknown) => boolean, told: readonly string[]])[] = [
    ['before the answer', '', unreachable, ['failed']],
    ['after an informational answer', 'HTTP/1.1 100 Continue\r\n\r\n', unreachable, ['failed']],
    ['within the head', 'HTTP/1.1 200', unreachable, ['failed']],
    ['before the body', `${LENGTH}\r\n`, unreachable, ['failed']],
    ['within the body', `${LENGTH}\r\nabc`, unreachable, ['failed']],
    ['within the last body', `${LENGTH}Connection: close\r\n\r\nabc`, invalid, ['failed']],
    ['within a large body', LARGE, unreachable, ['answer', 'data', 'failed']],
    ['within chunks', `${CHUNKED}5\r\nab`, unreachable, ['answer', 'data', 'failed']],
    ['before the last chunk', `${CHUNKED}2\r\nab\r\n`, unreachable, ['answer', 'data', 'failed']],
    ['within the trailers', `${CHUNKED}2\r\nab\r\n0\r\n`, unreachable, ['answer', 'data', 'failed']],
  ]
  for (const [what, text, code, told] of broken) {
    test(`that ends the connection ${what} fails the request`, async () => {
      const { client } = await pair((socket) => socket.end(text))
      const { sink, over } = asking(client)
      await assert.rejects(over, code)
      assert.deepEqual([sink.told, client.open], [told, 0])
    })
  }

  for (const [what, text, told] of [
    ['before the answer', '', ['failed']],
    ['within a body that lasts until the end', `${OK}\r\nabc`, ['answer', 'data', 'failed']],
    ['within a large body', LARGE, ['answer', 'data', 'failed']],
  ] as const) {
    test(`that resets the connection ${what} is unreachable`, async () => {
      const { client } = await pair(async (socket) => {
        if (text !== '') socket.write(text)
        await turn()
        socket.resetAndDestroy()
      })
      const { sink, over } = asking(client)
      await assert.rejects(over, unreachable)
      assert.deepEqual(sink.told, told)
    })
  }

  for (const [what, text, told] of [
    ['something else', 'SSH-2.0-OpenSSH\r\n', ['failed']],
    ['a status that is none', 'HTTP/1.1 600 Beyond\r\nContent-Length: 0\r\n\r\n', ['failed']],
    ['a protocol to switch to', 'HTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n', ['failed']],
    ['a head that never ends', `${OK}A: ${'b'.repeat(100_000)}`, ['failed']],
    ['informational answers only', 'HTTP/1.1 102 x\r\n\r\n'.repeat(9), ['failed']],
    ['a chunk that is none', `${CHUNKED}2\r\nab\r\nx`, ['failed']],
  ] as const) {
    test(`that answers with ${what} is invalid`, async () => {
      const { client } = await pair((socket) => socket.write(text))
      const { sink, over } = asking(client)
      await assert.rejects(over, invalid)
      assert.deepEqual([sink.told, client.open], [told, 0])
    })
  }

  test('that goes on with a chunk that is none is invalid, after what was good of it', async () => {
    const { client } = await pair(async (socket) => {
      socket.write(`${CHUNKED}2\r\nab\r\n`)
      await turn()
      socket.write('x')
    })
    const { sink, over } = asking(client)
    await assert.rejects(over, invalid)
    assert.deepEqual(sink.told, ['answer', 'data', 'failed'])
  })
})

describe('a server is too late', () => {
  test('that stops, wherever it does', async () => {
    const cases = [
      ['before the answer', '', ['failed']],
      ['after an informational answer', 'HTTP/1.1 102 x\r\n\r\n', ['failed']],
      ['within the head', 'HTTP/1.1 200 OK\r\nA: ', ['failed']],
      ['within a body that is held', `${LENGTH}\r\nabc`, ['failed']],
      ['within a large body', LARGE, ['answer', 'data', 'failed']],
      ['within chunks', `${CHUNKED}5\r\nab`, ['answer', 'data', 'failed']],
      ['within a body until the end', `${OK}\r\nab`, ['answer', 'data', 'failed']],
    ] as const
    const all = cases.map(async ([where, text, told]) => {
      const { client, as } = await pair((socket) => socket.write(text), { timeoutMs: 1000 })
      const { sink, over } = asking(client)
      await assert.rejects(over, tooLate, where)
      assert.deepEqual([sink.told, client.open], [told, 0], where)
      await until(() => as.open() === 0)
    })
    await Promise.all(all)
  })

  test('for who waits for a connection that others have, though no answer was asked for yet', async () => {
    const { client, as } = await pair(() => {}, { timeoutMs: 300, connectTimeoutMs: 1500, connections: 1 })
    await Promise.all(Array.from({ length: 16 }, () => assert.rejects(ask(client), tooLate)))
    assert.ok(as.arrived.length < 16)
    assert.equal(client.waiting, 0)
  })

  test('only between two pieces of a body, not for all of it', async () => {
    const { client } = await pair(
      async (socket) => {
        socket.write(CHUNKED)
        for (let times = 0; times < 6; times++) {
          await new Promise((later) => setTimeout(later, 400))
          socket.write('1\r\nx\r\n')
        }
        socket.write('0\r\n\r\n')
      },
      { timeoutMs: 1500, connectTimeoutMs: 500 },
    )
    assert.equal((await ask(client)).body.toString(), 'xxxxxx')
  })
})

describe('a kept connection that the server closes as a request comes', () => {
  /** Answers the first request on each connection, and hangs up on the next. */
  async function pairOfHangingUp(hangUp: (socket: Socket) => void, again = FINE) {
    const seen = new Map<Socket, number>()
    return pair((socket) => {
      const times = (seen.get(socket) ?? 0) + 1
      seen.set(socket, times)
      if (times > 1) hangUp(socket)
      else if (seen.size === 1) socket.write(FINE)
      else if (again !== '') socket.write(again)
      else socket.destroy()
    })
  }
  const ways = [
    ['ends', (socket: Socket) => void socket.end()],
    ['resets', (socket: Socket) => void socket.resetAndDestroy()],
  ] as const

  for (const [how, hangUp] of ways) {
    for (const method of ['GET', 'HEAD']) {
      test(`is no fault for ${method} where it ${how}: it is sent again on a new one`, async () => {
        const answer = method === 'HEAD' ? `${OK}Content-Length: 2\r\n\r\n` : FINE
        const { client, as } = await pairOfHangingUp(hangUp, answer)
        await ask(client)
        const { head } = await ask(client, requestOf(method, '/second'))
        assert.equal(head.status, 200)
        assert.deepEqual(
          as.arrived.map((arrived) => arrived.head.split(' ', 2).join(' ')),
          ['GET /', `${method} /second`, `${method} /second`],
        )
      })
    }

    test(`fails GET where it ${how}, if it was sent before by somebody else: twice is enough`, async () => {
      const { client, as } = await pairOfHangingUp(hangUp)
      await ask(client)
      await assert.rejects(ask(client, { ...requestOf('GET', '/second'), timesSent: 1 }), unreachable)
      assert.equal(as.arrived.length, 2)
    })

    for (const method of ['PUT', 'DELETE', 'POST', 'get', 'OPTIONS']) {
      test(`fails ${method} where it ${how}: what may have been done is not done twice`, async () => {
        const { client, as } = await pairOfHangingUp(hangUp)
        await ask(client)
        await assert.rejects(ask(client, requestOf(method, '/second', Buffer.from('x'))), unreachable)
        assert.equal(as.arrived.length, 2)
        await ask(client)
        assert.equal(as.arrived.length, 3)
      })
    }
  }

  test('is tried once more, not twice', async () => {
    const { client, as } = await pairOfHangingUp((socket) => socket.end(), '')
    await ask(client)
    await assert.rejects(ask(client, requestOf('GET', '/second')), unreachable)
    assert.equal(as.arrived.length, 3)
  })

  test('fails where any of an answer has come', async () => {
    const { client, as } = await pairOfHangingUp((socket) => socket.end('H'))
    await ask(client)
    await assert.rejects(ask(client, requestOf('GET', '/second')), unreachable)
    assert.equal(as.arrived.length, 2)
  })

  test('fails where the server is gone altogether', async () => {
    const { client, as } = await pairOfHangingUp((socket) => {
      void as.close()
      socket.end()
    })
    await ask(client)
    await assert.rejects(ask(client, requestOf('GET', '/second')), unreachable)
    assert.equal(client.open, 0)
  })

  test('is nothing where it was the first on its connection: a server that hangs up on a request is at fault', async () => {
    const { client, as } = await pair((socket) => socket.end())
    await assert.rejects(ask(client), unreachable)
    assert.equal(as.arrived.length, 1)
  })

  test('is nothing where it came before: the request takes a new one', async () => {
    const { client, as } = await pair((socket) => socket.write(FINE))
    await ask(client)
    await as.close()
    await until(() => client.open === 0)
  })
})

describe('an aborted request', () => {
  test('that waits is never sent', async () => {
    const answers: (() => void)[] = []
    const { client, as } = await pair((socket) => answers.push(() => socket.write(FINE)), { connections: 1 })
    const first = asking(client)
    await until(() => answers.length === 1)
    const second = asking(client, requestOf('GET', '/aborted'))
    const third = asking(client, requestOf('GET', '/third'))
    assert.equal(client.waiting, 2)
    second.call.abort()
    assert.equal(client.waiting, 1)
    answers[0]?.()
    await first.over
    await until(() => answers.length === 2)
    answers[1]?.()
    await third.over
    assert.deepEqual(second.sink.told, [])
    assert.ok(!as.arrived.some(({ head }) => head.includes('/aborted')))
  })

  test('that was sent ends its connection, and hears nothing', async () => {
    const { client, as } = await pair((socket, { head }) => head.includes('/slow') || socket.write(FINE))
    const { call, sink } = asking(client, requestOf('GET', '/slow'))
    await until(() => as.arrived.length === 1)
    call.abort()
    assert.equal(client.open, 0)
    await until(() => as.open() === 0)
    call.abort()
    call.resume()
    await ask(client)
    assert.deepEqual(sink.told, [])
  })

  test('whose connection is being opened leaves it to others', async () => {
    const { client, as } = await pair((socket) => socket.write(FINE), { connections: 1 })
    const first = asking(client, requestOf('GET', '/aborted'))
    await new Promise((later) => setImmediate(later))
    first.call.abort()
    await ask(client, requestOf('GET', '/next'))
    assert.deepEqual(first.sink.told, [])
    assert.deepEqual(
      as.arrived.map(({ head }) => head.split(' ')[1]),
      ['/next'],
    )
  })

  for (const [what, text] of [
    ['as its answer begins', CHUNKED],
    ['as its answer begins with a piece of the body', `${CHUNKED}5\r\nab`],
  ] as const) {
    test(`${what} ends its connection, and hears no more`, async () => {
      const { client, as } = await pair((socket) => socket.write(text))
      class Aborting extends Recorder {
        override onAnswer(...answer: Parameters<Recorder['onAnswer']>): void {
          super.onAnswer(...answer)
          call.abort()
        }
      }
      const { call, sink } = asking(client, requestOf(), new Aborting())
      await until(() => sink.told.length > 0 && as.open() === 0)
      assert.deepEqual([sink.told, client.open], [['answer'], 0])
    })
  }

  test('with its last data hears no end, and its connection is kept', async () => {
    const { client, as } = await pair(async (socket) => {
      socket.write(`${CHUNKED}2\r\nab\r\n`)
      await turn()
      socket.write('1\r\nc\r\n0\r\n\r\n')
    })
    class Aborting extends Recorder {
      override onData(chunk: Buffer): boolean {
        if (chunk.toString() === 'c') call.abort()
        return super.onData(chunk)
      }
    }
    const { call, sink } = asking(client, requestOf(), new Aborting())
    await until(() => sink.told.length === 3)
    await new Promise((later) => setTimeout(later, 20))
    assert.deepEqual([sink.told, client.open, as.open()], [['answer', 'data', 'data'], 1, 1])
  })

  test('that is over changes nothing', async () => {
    const { client, as } = await pair((socket) => socket.write(FINE))
    const first = asking(client)
    await first.over
    first.call.abort()
    await ask(client)
    assert.deepEqual([first.sink.told, as.open()], [['whole'], 1])
  })

  test('that is being sent again is sent to nobody', async () => {
    let times = 0
    const { client, as } = await pair((socket) => {
      if (++times === 1) socket.write(FINE)
      else {
        socket.destroy()
        setImmediate(() => second?.call.abort())
      }
    })
    await ask(client)
    const second = asking(client, requestOf('GET', '/aborted'))
    await new Promise((later) => setTimeout(later, 50))
    assert.deepEqual(second.sink.told, [])
    assert.ok(as.arrived.length <= 3)
  })
})
