import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { afterEach, describe, test } from 'node:test'
import type { ClientOptions } from '../../src/http/client.ts'
import { scriptedAs } from '../support/scripted-as.ts'
import { ask, asking, clientOf, overloaded, refusedAs, requestOf, unreachable, until } from './asking.ts'

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

/** A server that answers when it is told to. `held`: the requests that it has not answered, in the order they came. */
async function holding(options: Partial<ClientOptions> = {}) {
  const held: { readonly target: string; readonly answer: () => void }[] = []
  const sockets = new Set<Socket>()
  const as = await scriptedAs((socket, { head }) => {
    sockets.add(socket)
    const target = head.split(' ')[1] ?? ''
    const answer = () => void socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${target.length}\r\n\r\n${target}`)
    held.push({ target, answer })
  })
  const client = clientOf(as.url, options)
  closing.push(as.close, () => client.destroy())
  return { as, client, held, connections: () => sockets.size }
}

const get = (target: string) => requestOf('GET', target)

describe('requests for which there is no connection', () => {
  test('wait, and are sent in the order in which they came', async () => {
    const { client, held, as } = await holding({ connections: 2 })
    const targets = ['/a', '/b', '/c', '/d', '/e', '/f']
    const all = targets.map((target) => ask(client, get(target)))
    await until(() => held.length === 2)
    assert.deepEqual([client.open, client.waiting], [2, 4])
    for (let answered = 0; answered < targets.length; answered++) {
      held[answered]?.answer()
      await until(() => held.length === Math.min(targets.length, answered + 3))
    }
    await Promise.all(all)
    assert.deepEqual(
      held
        .slice(0, 2)
        .map(({ target }) => target)
        .sort(),
      ['/a', '/b'],
    )
    assert.deepEqual(
      held.slice(2).map(({ target }) => target),
      ['/c', '/d', '/e', '/f'],
    )
    assert.deepEqual([client.open, client.waiting, as.open()], [2, 0, 2])
  })

  test('are refused at once where more wait than may, and those that wait are served', async () => {
    const { client, held } = await holding({ connections: 2, maxWaiting: 3 })
    const all = ['/1', '/2', '/3', '/4', '/5'].map((target) => ask(client, get(target)))
    const refused = asking(client, get('/6'))
    assert.deepEqual(refused.sink.told, [])
    await assert.rejects(refused.over, overloaded)
    assert.equal(client.waiting, 3)
    for (let answered = 0; answered < all.length; answered++) {
      await until(() => held.length > answered)
      held[answered]?.answer()
    }
    await Promise.all(all)
    const again = ask(client, get('/7'))
    await until(() => held.length === 6)
    held[5]?.answer()
    await again
    assert.ok(!held.some(({ target }) => target === '/6'))
  })

  test('are refused where all are busy for longer than they may wait, and those on their way are served', async () => {
    const { client, held } = await holding({ connections: 1, maxWaitMs: 100 })
    const first = ask(client, get('/1'))
    await until(() => held.length === 1)
    await assert.rejects(ask(client, get('/2')), overloaded)
    held[0]?.answer()
    await first
    assert.deepEqual(
      held.map(({ target }) => target),
      ['/1'],
    )
  })

  test('are refused sooner where they have waited before', async () => {
    const { client, held } = await holding({ connections: 1, maxWaitMs: 600_000 })
    const first = ask(client, get('/1'))
    await until(() => held.length === 1)
    const other = ask(client, get('/2'))
    await assert.rejects(ask(client, { ...get('/3'), waitedMs: 600_000 }), overloaded)
    held[0]?.answer()
    await until(() => held.length === 2)
    held[1]?.answer()
    await Promise.all([first, other])
    assert.equal(held[1]?.target, '/2')
  })

  test('are refused as overload, which is 503 and no fault of the UE', async () => {
    const { client } = await holding({ connections: 1, maxWaiting: 0 })
    ask(client).catch(() => {})
    const error = await ask(client).catch((fault: unknown) => fault)
    assert.ok(refusedAs('UT_AS_OVERLOADED')(error))
    assert.deepEqual((error as { fault: unknown }).fault, { by: 'peer', ut: 503, ub: null, zn: null })
  })

  test('wait for none where one is free or may be opened', async () => {
    const { client, held } = await holding({ connections: 2, maxWaiting: 0 })
    const first = ask(client)
    await until(() => held.length === 1)
    held[0]?.answer()
    await first
    const both = [ask(client), ask(client)]
    await until(() => held.length === 3)
    await assert.rejects(ask(client), overloaded)
    held[1]?.answer()
    held[2]?.answer()
    await Promise.all(both)
  })

  test('take the next one that is free, while others are opened', async () => {
    const { client, held, connections } = await holding({ connections: 8 })
    const first = ask(client)
    await until(() => held.length === 1)
    held[0]?.answer()
    await first
    const second = ask(client, get('/second'))
    await until(() => held.length === 2)
    assert.equal(connections(), 1)
    held[1]?.answer()
    await second
  })

  test('fail one by one where none can be opened', async () => {
    const closed = await scriptedAs(() => {})
    await closed.close()
    const client = clientOf(closed.url, { connections: 2, maxWaiting: 100 })
    const all = Array.from({ length: 20 }, () => assert.rejects(ask(client), unreachable))
    await Promise.all(all)
    assert.deepEqual([client.open, client.waiting], [0, 0])
  })
})

describe('a connection', () => {
  test('that was not used for some time is closed', async () => {
    const { client, held, as } = await holding({ idleMs: 150 })
    const first = ask(client)
    await until(() => held.length === 1)
    held[0]?.answer()
    await first
    assert.equal(client.open, 1)
    await until(() => client.open === 0 && as.open() === 0)
  })

  test('is not kept where none is to be kept', async () => {
    const { client, held } = await holding({ idleMs: 0 })
    const first = ask(client)
    await until(() => held.length === 1)
    held[0]?.answer()
    await first
    assert.equal(client.open, 0)
  })

  test('that was used last is used next, so that those which are not needed can go', async () => {
    const { client, held, connections } = await holding({ connections: 4 })
    const four = ['/1', '/2', '/3', '/4'].map((target) => ask(client, get(target)))
    await until(() => held.length === 4)
    for (const { answer } of held) answer()
    await Promise.all(four)
    const sockets = connections()
    for (let at = 4; at < 8; at++) {
      const next = ask(client)
      await until(() => held.length === at + 1)
      held[at]?.answer()
      await next
    }
    assert.deepEqual([sockets, connections()], [4, 4])
  })
})

describe('close', () => {
  test('lets what was asked be answered, also what waits, and takes no more', async () => {
    const { client, held, as } = await holding({ connections: 1 })
    const both = [ask(client, get('/first')), ask(client, get('/second'))]
    await until(() => held.length === 1)
    let isClosed = false
    const closed = client.close().then(() => {
      isClosed = true
    })
    await assert.rejects(ask(client, get('/third')), unreachable)
    held[0]?.answer()
    await until(() => held.length === 2)
    assert.equal(isClosed, false)
    held[1]?.answer()
    const got = await Promise.all(both)
    assert.deepEqual(
      got.map(({ body }) => body.toString()),
      ['/first', '/second'],
    )
    await closed
    assert.equal(client.open, 0)
    await until(() => as.open() === 0)
    await client.close()
  })

  test('is done at once where nothing is open', async () => {
    const { client } = await holding()
    await client.close()
    await assert.rejects(ask(client), unreachable)
  })
})

describe('destroy', () => {
  test('fails what is on its way and what waits, and ends all connections', async () => {
    const { client, held, as } = await holding({ connections: 2 })
    const all = ['/1', '/2', '/3', '/4'].map((target) => asking(client, get(target)))
    await until(() => held.length === 2)
    client.destroy()
    for (const { over, sink } of all) {
      await assert.rejects(over, unreachable)
      assert.deepEqual(sink.told, ['failed'])
    }
    assert.deepEqual([client.open, client.waiting], [0, 0])
    await client.close()
    await until(() => as.open() === 0)
    await assert.rejects(ask(client), unreachable)
  })

  test('fails requests whose connections are being opened', async () => {
    const { client, as } = await holding()
    const { over } = asking(client)
    await new Promise((later) => setImmediate(later))
    assert.equal(client.open, 1)
    client.destroy()
    await assert.rejects(over, unreachable)
    await client.close()
    assert.equal(as.arrived.length, 0)
  })
})
