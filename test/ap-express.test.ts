import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ExpressOptions, expressLane } from '../src/ap-express.ts'
import type { Exchange } from '../src/http/front.ts'

test('a request that is too much, where not even that can be recorded, is cut off and takes nobody along', () => {
  const logged: unknown[] = []
  const options: Partial<ExpressOptions> = {
    shedding: {
      arrive: (_take, refuse) => refuse('in-flight'),
      refusal() {
        throw new Error('the audit file takes nothing')
      },
    },
    log: { error: (fields: unknown) => void logged.push(fields) },
  }
  const seen: string[] = []
  const exchange = {
    head: { method: 'GET' },
    socket: {},
    send: () => seen.push('answered'),
    cut: () => seen.push('cut'),
  }
  expressLane(options as ExpressOptions)(exchange as unknown as Exchange)
  assert.deepEqual(seen, ['cut'])
  assert.equal(logged.length, 1)
})

test('a request whose client has gone while it waited is not begun with, and leaves its place', () => {
  const calls: string[] = []
  const place = { pause() {}, resume() {}, leave: () => void calls.push('left') }
  const options: Partial<ExpressOptions> = {
    shedding: {
      arrive: (take) => take(place, 100),
      refusal: () => assert.fail('nobody is there to be refused'),
    },
  }
  // Nothing else of the options is there to be used.
  expressLane(options as ExpressOptions)({ isGone: true } as Exchange)
  assert.deepEqual(calls, ['left'])
})
