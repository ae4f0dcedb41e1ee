import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'
import Fastify from 'fastify'
import ap, { type ApOptions } from '../src/ap.ts'
import type { Place } from '../src/load.ts'
import { passes } from './support/passes.ts'

/** A request waits, its client goes, and then it is its turn. @param gone  waits until so much of that has happened */
async function turnAfter(gone: (socket: Socket) => Promise<unknown>): Promise<void> {
  const turns: ((place: Place, waitedMs: number) => void)[] = []
  const calls: string[] = []
  const hold = () => {
    calls.push('begun with')
    throw new Error('there are no rules')
  }
  const options: Partial<ApOptions> = {
    shedding: {
      arrive: (take) => void turns.push(take),
      refusal: () => assert.fail('nobody is there to be refused'),
    },
    lane: { hold, destroy() {} } as unknown as ApOptions['lane'],
  }
  const server = Fastify()
  await server.register(ap, options as ApOptions)
  await server.listen({ port: 0, host: '127.0.0.1' })
  const accepted = once(server.server, 'connection')
  const client = connect((server.server.address() as AddressInfo).port, '127.0.0.1')
  client.on('error', () => {})
  try {
    client.write('GET / HTTP/1.1\r\nHost: naf\r\n\r\n')
    const [socket] = (await accepted) as [Socket]
    await passes(async () => assert.equal(turns.length, 1))
    await gone(socket)
    turns[0]?.({ pause() {}, resume() {}, leave: () => void calls.push('left') }, 100)
    await passes(async () => assert.deepEqual(calls, ['left']))
  } finally {
    client.destroy()
    server.server.closeAllConnections()
    await server.close()
  }
}

test('on the general road, too, a request whose client has gone while it waited is not begun with', () =>
  turnAfter((socket) => {
    const closed = once(socket, 'close')
    socket.destroy()
    return closed
  }))

test('nor in the turn in which its socket is destroyed and has told nobody yet', () =>
  turnAfter(async (socket) => void socket.destroy()))
