import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import { test } from 'node:test'
import Fastify from 'fastify'
import ap, { type ApOptions } from '../src/ap.ts'
import type { Place } from '../src/load.ts'
import { passes } from './support/passes.ts'

test('on the general road, too, a request whose client has gone while it waited is not begun with', async () => {
  const turns: ((place: Place, waitedMs: number) => void)[] = []
  const calls: string[] = []
  const options: Partial<ApOptions> = {
    shedding: {
      arrive: (take) => void turns.push(take),
      refusal: () => assert.fail('nobody is there to be refused'),
    },
    lane: { hold: () => assert.fail('begun with'), destroy() {} } as unknown as ApOptions['lane'],
  }
  const server = Fastify()
  await server.register(ap, options as ApOptions)
  await server.listen({ port: 0, host: '127.0.0.1' })
  const closed = new Promise((resolve) => server.server.once('connection', (socket) => socket.once('close', resolve)))
  const client = connect((server.server.address() as AddressInfo).port, '127.0.0.1')
  await once(client, 'connect')
  client.write('GET / HTTP/1.1\r\nHost: naf\r\n\r\n')
  await passes(async () => assert.equal(turns.length, 1))
  client.destroy()
  await closed
  turns[0]?.({ pause() {}, resume() {}, leave: () => void calls.push('left') }, 100)
  await passes(async () => assert.deepEqual(calls, ['left']))
  await server.close()
})
