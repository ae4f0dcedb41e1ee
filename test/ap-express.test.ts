import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ExpressOptions, expressLane } from '../src/ap-express.ts'
import type { Exchange } from '../src/http/front.ts'

test('a request that is too much, where not even that can be recorded, is cut off and takes nobody along', () => {
  const logged: unknown[] = []
  const options: Partial<ExpressOptions> = {
    shedding: {
      enter: () => undefined,
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
