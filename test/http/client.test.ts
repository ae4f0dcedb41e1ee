import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { createServer, type Socket } from 'node:net'
import { afterEach, describe, test } from 'node:test'
import type { Client, ClientOptions } from '../../src/http/client.ts'
import { type Arrived, scriptedAs } from '../support/scripted-as.ts'
import { ask, asking, clientOf, type Got, invalid, Recorder, requestOf, turn, unreachable, until } from './asking.ts'

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

type Script = (socket: Socket, request: Arrived) => void

/** A server that does as the script says, and a client of it. `sockets`: on which connection each request came. */
async function pair(script: Script, options: Partial<ClientOptions> = {}) {
  const sockets: Socket[] = []
  const as = await scriptedAs((socket, request) => {
    sockets.push(socket)
    script(socket, request)
  })
  const client = clientOf(as.url, options)
  closing.push(as.close, () => client.destroy())
  return { as, client, sockets, connections: () => new Set(sockets).size }
}

const OK = 'HTTP/1.1 200 OK\r\n'
const wholeOf = (body: string) => `${OK}Content-Length: ${Buffer.byteLength(body, 'latin1')}\r\n\r\n${body}`
const targetOf = ({ head }: Arrived) => head.split(' ')[1] ?? ''
const shown = ({ head, body, isWhole }: Got) => [head.status, body.toString('latin1'), isWhole]

/** Writes parts apart, so that they are read apart. */
async function inParts(socket: Socket, parts: readonly string[]): Promise<void> {
  for (const part of parts) {
    socket.write(part, 'latin1')
    await turn()
  }
}

describe('an answer', () => {
  test('of known length comes whole, with its status and fields', async () => {
    const { client } = await pair((socket) =>
      socket.write('HTTP/1.1 404 x\r\nETag: "a"\r\nContent-Length: 2\r\n\r\nno'),
    )
    const got = await ask(client)
    assert.deepEqual(shown(got), [404, 'no', true])
    assert.deepEqual(got.head.rawHeaders, ['ETag', '"a"', 'Content-Length', '2'])
    assert.deepEqual([got.head.contentLength, got.head.isBodyless], [2, false])
  })

  test('of known length comes whole, also where it arrives in parts', async () => {
    const { client } = await pair((socket) =>
      inParts(socket, [OK.slice(0, 10), `${OK.slice(10)}Content-Length: 5\r\n\r\n`, 'he', 'llo']),
    )
    assert.deepEqual(shown(await ask(client)), [200, 'hello', true])
  })

  test('in chunks comes whole where it is all there', async () => {
    const { client } = await pair((socket) =>
      socket.write(`${OK}Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n`),
    )
    assert.deepEqual(shown(await ask(client)), [200, 'hello', true])
  })

  test('in chunks comes as it is read where it is not', async () => {
    const { client } = await pair((socket) =>
      inParts(socket, [`${OK}Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3`, '\r\nllo\r\n0\r\n', '\r\n']),
    )
    const { sink, over } = asking(client)
    assert.deepEqual(shown(await over), [200, 'hello', false])
    assert.deepEqual(sink.told, ['answer', 'data', 'data', 'end'])
    assert.equal(sink.head?.contentLength, undefined)
  })

  test('may last until the connection ends', async () => {
    const { client } = await pair(async (socket) => {
      await inParts(socket, [`${OK}\r\n`, 'he', 'llo'])
      socket.end()
    })
    assert.deepEqual(shown(await ask(client)), [200, 'hello', false])
  })

  for (const [method, text, length] of [
    ['HEAD', `${OK}Content-Length: 5\r\n\r\n`, 5],
    ['HEAD', `${OK}Transfer-Encoding: chunked\r\n\r\n`, undefined],
    ['HEAD', `${OK}\r\n`, undefined],
    ['GET', 'HTTP/1.1 204 x\r\n\r\n', undefined],
    ['GET', 'HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n', 5],
    ['PUT', `${OK}Content-Length: 0\r\n\r\n`, 0],
  ] as const) {
    test(`without a body, ${JSON.stringify(text)} to ${method}, is whole, and another may follow`, async () => {
      const { client, connections } = await pair((socket) => socket.write(text))
      for (let times = 0; times < 3; times++) {
        const got = await ask(client, requestOf(method))
        assert.deepEqual([got.body.length, got.isWhole, got.head.contentLength], [0, true, length])
      }
      assert.equal(connections(), 1)
    })
  }

  test('is not the informational ones before it', async () => {
    const { client } = await pair((socket) =>
      inParts(socket, ['HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\n', 'Link: a\r\n\r\n', wholeOf('ok')]),
    )
    assert.deepEqual(shown(await ask(client)), [200, 'ok', true])
  })

  test('is told after the request was made, whatever fails', async () => {
    const closed = await scriptedAs(() => {})
    await closed.close()
    const client = clientOf(closed.url)
    const { sink, over } = asking(client)
    assert.deepEqual(sink.told, [])
    await assert.rejects(over, unreachable)
    assert.deepEqual(sink.told, ['failed'])
  })

  for (const size of [65_536, 65_537, 3_000_000]) {
    test(`of ${size} octets comes as it was sent, ${size > 65_536 ? 'in pieces' : 'whole'}`, async () => {
      const body = randomBytes(size)
      const { client } = await pair((socket) => {
        socket.write(`${OK}Content-Length: ${size}\r\n\r\n`)
        socket.write(body)
      })
      for (let times = 0; times < 2; times++) {
        const got = await ask(client)
        assert.ok(got.body.equals(body))
        assert.equal(got.isWhole, size <= 65_536)
      }
    })

    test(`of ${size} octets in chunks comes as it was sent`, async () => {
      const body = randomBytes(size)
      const { client } = await pair((socket) => {
        socket.write(`${OK}Transfer-Encoding: chunked\r\n\r\n`)
        for (let at = 0; at < size; at += 40_000) {
          const chunk = body.subarray(at, at + 40_000)
          socket.write(`${chunk.length.toString(16)}\r\n`)
          socket.write(chunk)
          socket.write('\r\n')
        }
        socket.write('0\r\n\r\n')
      })
      assert.ok((await ask(client)).body.equals(body))
    })
  }
})

describe('a request', () => {
  for (const size of [0, 5, 20_000, 2_000_000]) {
    test(`with a body of ${size} octets arrives as it was made`, async () => {
      const body = randomBytes(size)
      const { as, client } = await pair((socket) => socket.write(wholeOf('ok')))
      await ask(client, requestOf('PUT', '/\xe9', body))
      const [arrived] = as.arrived
      assert.equal(arrived?.head, `PUT /\xe9 HTTP/1.1\r\nHost: as\r\nContent-Length: ${size}`)
      assert.ok(arrived?.body.equals(body))
    })
  }

  test('follows another one on the same connection', async () => {
    const { client, connections, as } = await pair((socket, request) => socket.write(wholeOf(targetOf(request))))
    for (const target of ['/a', '/b', '/c', '/d'])
      assert.equal((await ask(client, requestOf('GET', target))).body.toString(), target)
    assert.deepEqual([connections(), as.open(), client.open], [1, 1, 1])
  })

  test('among many gets its own answer, and never has company on its connection', async () => {
    const busy = new Set<Socket>()
    const { client, connections } = await pair(
      async (socket, request) => {
        assert.ok(!busy.has(socket))
        busy.add(socket)
        await turn()
        busy.delete(socket)
        socket.write(wholeOf(targetOf(request)))
      },
      { maxWaiting: 100 },
    )
    const targets = Array.from({ length: 60 }, (_, at) => `/${at}`)
    const all = await Promise.all(targets.map((target) => ask(client, requestOf('GET', target))))
    assert.deepEqual(
      all.map(({ body }) => body.toString()),
      targets,
    )
    assert.equal(connections(), 4)
  })

  test('may be made as another one is answered', async () => {
    const { client, connections } = await pair((socket, request) => socket.write(wholeOf(targetOf(request))))
    const second = Promise.withResolvers<Got>()
    class Again extends Recorder {
      override onAnswer(...answer: Parameters<Recorder['onAnswer']>): void {
        super.onAnswer(...answer)
        ask(client, requestOf('GET', '/second')).then(second.resolve, second.reject)
      }
    }
    await asking(client, requestOf('GET', '/first'), new Again()).over
    assert.equal((await second.promise).body.toString(), '/second')
    assert.equal(connections(), 1)
  })
})

const EVIL = `${OK}Content-Length: 4\r\n\r\nevil`

describe('a connection takes no other request', () => {
  /** The first request is answered with this, all others in an orderly way. */
  async function after(
    first: Script,
    request = requestOf(),
  ): Promise<{ client: Client; connections: () => number; first: Promise<Got> }> {
    let isFirst = true
    const { client, connections } = await pair((socket, arrived) => {
      if (!isFirst) socket.write(wholeOf(targetOf(arrived)))
      else first(socket, arrived)
      isFirst = false
    })
    return { client, connections, first: ask(client, request) }
  }
  for (const [what, answer] of [
    ['after Connection: close', `${OK}Connection: close\r\nContent-Length: 2\r\n\r\nok`],
    ['after HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok'],
    ['after octets behind an answer', `${wholeOf('ok')}x`],
    ['after a second answer', `${wholeOf('ok')}${EVIL}`],
    ['after octets behind chunks', `${OK}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n\r\n`],
    [
      'that the server keeps for no longer than we need to use it',
      `${OK}Keep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nok`,
    ],
  ] as const) {
    test(what, async () => {
      const { client, connections, first } = await after((socket) => socket.write(answer))
      assert.deepEqual(shown(await first), [200, 'ok', true])
      assert.equal((await ask(client, requestOf('GET', '/next'))).body.toString(), '/next')
      assert.equal(connections(), 2)
    })
  }

  for (const [what, answer] of [
    ['behind 204', 'HTTP/1.1 204 x\r\nContent-Length: 4\r\n\r\n'],
    ['behind the answer to HEAD', `${OK}Content-Length: 4\r\n\r\n`],
  ] as const) {
    test(`after a body ${what}`, async () => {
      const request = requestOf(what.endsWith('HEAD') ? 'HEAD' : 'GET')
      const { client, connections, first } = await after((socket) => socket.write(`${answer}evil`), request)
      assert.equal((await first).body.length, 0)
      assert.equal((await ask(client, requestOf('GET', '/next'))).body.toString(), '/next')
      assert.equal(connections(), 2)
    })
  }

  test('after an answer that is none', async () => {
    const { client, connections, first } = await after((socket) => socket.write('HTTP/1.1 999 x\r\n\r\n'))
    await assert.rejects(first, invalid)
    assert.equal((await ask(client, requestOf('GET', '/next'))).body.toString(), '/next')
    assert.equal(connections(), 2)
  })

  test('when octets came that nobody asked for', async () => {
    const { client, connections, first } = await after(async (socket) => {
      socket.write(wholeOf('ok'))
      await turn()
      socket.write(EVIL)
    })
    await first
    await until(() => client.open === 0)
    assert.equal((await ask(client, requestOf('GET', '/next'))).body.toString(), '/next')
    assert.equal(connections(), 2)
  })

  test('when octets came that nobody asked for, and the next request comes in the same turn', async () => {
    const written = Promise.withResolvers<void>()
    const { client, connections, first } = await after(async (socket) => {
      socket.write(wholeOf('ok'))
      await turn()
      socket.write(EVIL, () => written.resolve())
    })
    await first
    await written.promise
    // The octets lie in the buffer of our socket now; both are ours to see to within one turn of the event loop.
    const busyUntil = performance.now() + 20
    while (performance.now() < busyUntil);
    assert.equal((await ask(client, requestOf('GET', '/next'))).body.toString(), '/next')
    assert.equal(connections(), 2)
  })

  test('when it was answered before all of it was sent', async () => {
    const early = createServer((socket) => {
      closing.push(() => socket.destroy())
      socket.on('error', () => {})
      socket.once('data', () => {
        socket.pause()
        socket.write(wholeOf('early'))
      })
    })
    await new Promise<void>((listening) => early.listen(0, '127.0.0.1', listening))
    const { port } = early.address() as { port: number }
    const client = clientOf(`http://127.0.0.1:${port}`)
    closing.push(
      () => early.close(),
      () => client.destroy(),
    )
    const { over } = asking(client, requestOf('PUT', '/', Buffer.alloc(30_000_000)))
    assert.deepEqual(shown(await over), [200, 'early', true])
    assert.equal(client.open, 0)
  })
})
