import assert from 'node:assert/strict'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { adminApi } from '../../src/admin/api.ts'
import { createAdmin } from '../../src/admin/server.ts'
import { supervisorDesk } from '../../src/admin/supervisor-desk.ts'
import { labConfig } from '../../src/lab.ts'
import { createLog } from '../../src/observe/log.ts'
import { ask } from '../support/admin.ts'

test('where several workers serve, routes are told, all else is 501, and each call is recorded', async () => {
  const lines: string[] = []
  const destination = { write: (line: string) => void lines.push(line) }
  const log = createLog({ level: 'info', identities: 'hashed', destination })
  const config = labConfig('/nowhere', { ub: 0, zn: 0, ap: 0, as: 0 })
  const sources = { metrics: async () => '', readiness: async () => assert.fail(), version: () => assert.fail() }
  const more = adminApi(
    supervisorDesk(() => config, log),
    false,
  )
  const admin = await createAdmin({ config: { host: '127.0.0.1' }, sources, log, more })
  await admin.listen({ host: '127.0.0.1', port: 0 })
  const { port } = admin.server.address() as AddressInfo
  const status = async (path: string) => (await ask(port, path)).status
  assert.equal(await status('/admin/routes'), 200)
  for (const url of ['/admin/bootstraps?impi=a@b', '/admin/decisions', '/admin/decisions?follow=1']) {
    assert.equal(await status(url), 501)
  }
  const records = lines.map((line) => JSON.parse(line)).filter(({ event }) => event === 'admin.called')
  assert.deepEqual(
    records.map(({ path, status }) => [path, status]),
    [
      ['/admin/routes', 200],
      ['/admin/bootstraps', 501],
      ['/admin/decisions', 501],
      ['/admin/decisions', 501],
    ],
  )
  await admin.close()
})
