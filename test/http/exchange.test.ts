import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Exchange } from '../../src/http/exchange.ts'

test('a request whose socket is destroyed is gone, though the connection has not said so yet', () => {
  const socket = { destroyed: false }
  type Given = ConstructorParameters<typeof Exchange>
  const exchange = new Exchange({ socket } as unknown as Given[0], { method: 'GET' } as Given[1])
  assert.equal(exchange.isGone, false)
  socket.destroyed = true
  assert.equal(exchange.isGone, true)
})
