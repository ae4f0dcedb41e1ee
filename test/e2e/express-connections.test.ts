import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { after, before, beforeEach, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { impuOf, LAB_NAF } from '../../src/lab.ts'
import { apOf, type HandUe, handUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { rawConnect, requestOctets } from '../support/raw-client.ts'
import { type Arrived, type ScriptedAs, scriptedAs } from '../support/scripted-as.ts'

// Connections of the express lane: whose turn it is, where a request ends, and who is cut off.
const own = (document: string) => `/resource-lists/users/${impuOf('alice')}/${document}`
const targetOf = ({ head }: Arrived) => head.split(' ', 2)[1] ?? ''

describe('a connection of the express lane', () => {
  let as: ScriptedAs
  let lab: TestLab
  let ue: HandUe
  let script: (socket: Socket, request: Arrived) => void
  const echo = (socket: Socket, request: Arrived) => {
    const body = targetOf(request)
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
  }
  before(async () => {
    as = await scriptedAs((socket, request) => script(socket, request))
    lab = await testLab({
      as: null,
      ap: {
        limits: { headersTimeoutMs: 1000, requestTimeoutMs: 1500, keepAliveTimeoutMs: 2000 },
        appServers: [{ name: 'recorder', url: as.url, connections: 4 }],
        routes: [{ appServer: 'recorder' }],
      },
    })
    ue = await handUe(lab)
  })
  beforeEach(() => {
    script = echo
  })
  after(async () => {
    await lab.close()
    await as.close()
  })

  test('answers requests that come together in their order, each with its own answer', async () => {
    script = (socket, request) => void setTimeout(() => echo(socket, request), Math.random() * 20)
    const targets = Array.from({ length: 20 }, (_, i) => own(`index-${i}`))
    const requests: Buffer[] = []
    for (const target of targets) requests.push(await ue.signed('GET', target))
    const connection = await rawConnect(ue.at)
    connection.write(Buffer.concat(requests))
    for (const target of targets) assert.equal((await connection.answer()).body.toString(), target)
    connection.close()
  })

  test('goes on behind what only the general road takes, with nothing lost and nothing twice', async () => {
    const before = as.arrived.length
    const requests = [
      await ue.signed('GET', own('one')),
      await ue.signed('GET', own('two'), { headers: ['TE: trailers'] }),
      await ue.signed('PUT', own('three'), { body: 'three' }),
    ]
    const connection = await rawConnect(ue.at)
    connection.write(Buffer.concat(requests))
    for (const name of ['one', 'two', 'three']) assert.equal((await connection.answer()).body.toString(), own(name))
    assert.equal(as.arrived.length, before + 3)
    connection.close()
  })

  test('takes a request in pieces of any size', async () => {
    for (const size of [1, 7, 100, 400]) {
      const octets = await ue.signed('PUT', own('pieces'), { body: 'x'.repeat(50) })
      const connection = await rawConnect(ue.at)
      for (let at = 0; at < octets.length; at += size) {
        connection.write(octets.subarray(at, at + size))
        if (size === 100) await delay(5)
      }
      assert.equal((await connection.answer()).status, 200, `pieces of ${size}`)
      connection.close()
    }
  })

  test('reads away the body of a request that was refused before it came', async () => {
    const body = 'y'.repeat(5000)
    const refused = requestOctets(`PUT ${own('index')} HTTP/1.1`, [
      `Host: ${LAB_NAF}`,
      `Content-Length: ${body.length}`,
    ])
    const connection = await rawConnect(ue.at)
    connection.write(refused)
    assert.equal((await connection.answer()).status, 401)
    connection.write(body.slice(0, 3000))
    await delay(20)
    connection.write(Buffer.concat([Buffer.from(body.slice(3000)), await ue.signed('GET', own('after'))]))
    assert.equal((await connection.answer()).body.toString(), own('after'))
    connection.close()
  })

  test('ends with 408 when a body does not come', async () => {
    const whole = await ue.signed('PUT', own('index'), { body: 'z'.repeat(100) })
    const arrived = as.arrived.length
    const connection = await rawConnect(ue.at)
    connection.write(whole.subarray(0, whole.length - 50))
    const answer = await connection.answer()
    assert.deepEqual([answer.status, answer.header('connection')], [408, 'close'])
    await connection.closed
    assert.equal(as.arrived.length, arrived)
    assert.equal(lab.decisions.at(-1)?.record.code, 'UT_REQUEST_TIMEOUT')
  })

  test('ends when nothing comes, at first or after an answer', async () => {
    const silent = await rawConnect(ue.at)
    await silent.closed
    const kept = await rawConnect(ue.at)
    kept.write(await ue.signed('GET', own('index')))
    assert.equal((await kept.answer()).status, 200)
    await kept.closed
  })

  test('ends after the answer where the UE says so', async () => {
    const connection = await rawConnect(ue.at)
    const last = await ue.signed('GET', own('last'), { headers: ['Connection: close'] })
    connection.write(Buffer.concat([last, await ue.signed('GET', own('never'))]))
    const answer = await connection.answer()
    assert.deepEqual([answer.body.toString(), answer.header('connection')], [own('last'), 'close'])
    await connection.closed
    assert.equal(connection.pending().length, 0)
    assert.ok(!as.arrived.some((request) => targetOf(request) === own('never')))
  })

  test('is cut off when it takes nothing of a large answer, and the server behind is let go', async () => {
    let isLetGo = false
    script = (socket) => {
      socket.once('close', () => {
        isLetGo = true
      })
      socket.write('HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n')
      const piece = Buffer.alloc(65_536)
      const more = () => {
        while (!socket.destroyed && socket.write(piece));
      }
      socket.on('drain', more)
      more()
    }
    const connection = await rawConnect(apOf(lab))
    connection.write(await ue.signed('GET', own('large')))
    connection.socket.pause()
    for (let i = 0; i < 500 && !isLetGo; i++) await delay(20)
    assert.ok(isLetGo)
    connection.close()
  })

  test('cuts an answer whose body breaks off: nothing of it looks whole', async () => {
    for (const framing of ['Content-Length: 100000', 'Transfer-Encoding: chunked']) {
      script = (socket) => {
        socket.write(`HTTP/1.1 200 OK\r\n${framing}\r\n\r\n`)
        setTimeout(() => socket.write(framing.startsWith('C') ? 'abc' : '3\r\nabc\r\n'), 5)
        setTimeout(() => socket.destroy(), 40)
      }
      const connection = await rawConnect(ue.at)
      connection.write(await ue.signed('GET', own('broken')))
      await assert.rejects(connection.answer(), /ended within an answer/)
    }
  })

  test('never has an octet of an answer that is for another, whatever their sizes and however slow they are taken', async () => {
    // Sizes around every bound where memory is held, copied, handed on or used again.
    const sizes = [0, 1, 1500, 16_383, 16_384, 16_385, 20_480, 32_767, 32_768, 65_535, 65_536, 65_537, 300_000]
    const contentOf = (target: string, size: number) =>
      `${target} `.repeat(Math.ceil(size / target.length)).slice(0, size)
    script = (socket, request) => {
      const target = targetOf(request)
      const [, size = '0', kind] = /of-(\d+)-(\w+)$/.exec(target) ?? []
      const content = contentOf(target, Number(size))
      const head = 'HTTP/1.1 200 OK\r\n'
      if (kind === 'chunks') {
        const length = content.length.toString(16)
        const chunk = content === '' ? '' : `${length}\r\n${content}\r\n`
        socket.write(`${head}Transfer-Encoding: chunked\r\n\r\n${chunk}0\r\n\r\n`)
      } else if (kind === 'parts') {
        socket.write(`${head}Content-Length: ${content.length}\r\n\r\n${content.slice(0, 100)}`)
        setTimeout(() => socket.write(content.slice(100)), 2)
      } else socket.write(`${head}Content-Length: ${content.length}\r\n\r\n${content}`)
    }
    const kinds = ['whole', 'chunks', 'parts']
    const asked = sizes.flatMap((size) => kinds.map((kind) => ({ size, target: own(`of-${size}-${kind}`) })))
    await Promise.all(
      Array.from({ length: 8 }, async (_, turn) => {
        const connection = await rawConnect(ue.at)
        for (const i of asked.keys()) {
          const { size, target } = asked[(i * 5 + turn * 7) % asked.length] ?? { size: 0, target: '' }
          connection.write(await ue.signed('GET', target))
          if ((i + turn) % 3 === 0) {
            connection.socket.pause()
            await delay(5)
            connection.socket.resume()
          }
          const { status, body } = await connection.answer()
          assert.equal(status, 200)
          assert.ok(body.toString() === contentOf(target, size), `${target}: another content`)
        }
        connection.close()
      }),
    )
  })

  test('that goes away before its application server fails leaves a record of that', async () => {
    let failing: Socket | undefined
    script = (socket) => {
      failing = socket
    }
    const connection = await rawConnect(ue.at)
    connection.write(await ue.signed('PUT', own('left'), { body: 'x' }))
    for (let i = 0; i < 100 && !failing; i++) await delay(10)
    const before = lab.decisions.length
    connection.close()
    await delay(50)
    failing?.destroy()
    for (let i = 0; i < 100 && lab.decisions.length === before; i++) await delay(10)
    assert.equal(lab.decisions.at(-1)?.record.code, 'UT_AS_UNREACHABLE')
  })

  test('that goes away in the midst of it costs nobody else an answer', async () => {
    script = (socket, request) => void setTimeout(() => echo(socket, request), 30)
    await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        const target = own(`leaving-${i}`)
        const octets = await ue.signed('GET', target)
        const connection = await rawConnect(ue.at)
        connection.write(octets)
        if (i % 2 === 0) {
          await delay(10)
          connection.close()
        } else assert.equal((await connection.answer()).body.toString(), target)
        connection.close()
      }),
    )
  })
})
