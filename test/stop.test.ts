import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type Stopping, stopAll } from '../src/stop.ts'

/** What closes by a clock that only closing moves. */
function stoppingOf(took: Readonly<Record<string, number>> = {}) {
  const clock = { ms: 5_000 }
  const order: string[] = []
  const given: number[] = []
  const end = (name: string) => {
    order.push(name)
    clock.ms += took[name] ?? 0
  }
  const closes = (name: string) => ({ close: async () => end(name) })
  const stopping: Stopping = {
    servers: [
      ['as', closes('as')],
      ['ub', closes('ub')],
      ['ap', closes('ap')],
    ],
    admin: closes('admin'),
    keys: closes('keys'),
    proxy: { close: () => end('proxy') },
    state: closes('state'),
    traces: {
      async close(mostMs) {
        given.push(mostMs)
        end('traces')
      },
    },
    auditFile: { end: () => end('audit file') },
  }
  return { order, given, stopping, clock, stop: (its = stopping) => stopAll(its, 5_000, () => clock.ms) }
}

describe('a process that stops', () => {
  test('ends what makes something before what keeps it, and writes what it keeps before its traces', async () => {
    const { order, stop } = stoppingOf()
    await stop()
    assert.deepEqual(order, ['ub', 'ap', 'as', 'admin', 'keys', 'proxy', 'state', 'traces', 'audit file'])
  })

  for (const [ap, state, left] of [
    [0, 0, 9_000],
    [8_000, 100, 900],
    [8_500, 2_000, 0],
  ] as const) {
    test(`gives traces the ${left} ms that are left after ${ap} ms for requests and ${state} ms for its state`, async () => {
      const { given, stop } = stoppingOf({ ap, state })
      await stop()
      assert.deepEqual(given, [left])
    })
  }

  test('ends its traces and its audit also where its state does not close, and says so', async () => {
    const { order, stop, stopping } = stoppingOf()
    const failing = async () => {
      throw new Error('the disk is gone')
    }
    await assert.rejects(stop({ ...stopping, state: { close: failing } }), /the disk is gone/)
    assert.deepEqual(order.slice(-2), ['traces', 'audit file'])
  })

  test('gives up what there is where it did not get far', async () => {
    const { order, stop, stopping } = stoppingOf()
    const none = { servers: [], admin: undefined, keys: undefined, proxy: undefined, traces: undefined }
    await stop({ ...none, state: stopping.state, auditFile: undefined })
    assert.deepEqual(order, ['state'])
  })
})
