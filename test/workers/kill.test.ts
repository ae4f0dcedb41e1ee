import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { siege } from '../support/siege.ts'
import { type WorkersSite, workersSite } from '../support/workers.ts'

describe('a host whose processes are killed', () => {
  let site: WorkersSite
  after(() => site?.close())

  test('loses no acknowledged B-TID, accepts no nonce count twice, and never takes SQN back', {
    timeout: 110_000,
  }, async () => {
    site = await workersSite({ workers: 2 })
    await site.start()
    const { acknowledged, accepted } = await siege(site, { bootstraps: 60, requests: 600, kills: 3 })
    assert.ok(acknowledged >= 60)
    assert.ok(accepted >= 600)
  })
})
