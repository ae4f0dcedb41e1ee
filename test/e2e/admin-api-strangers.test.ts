import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { networkInterfaces } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { adminApi } from '../../src/admin/api.ts'
import { createAdmin } from '../../src/admin/server.ts'
import { LAB_ZN_CLIENT } from '../../src/lab.ts'
import { createLog } from '../../src/observe/log.ts'
import { testLab } from '../support/lab.ts'
import { eventually } from '../support/workers.ts'

const log = createLog({ level: 'silent', identities: 'hashed' })
const sources = { metrics: async () => '', readiness: async () => assert.fail(), version: () => assert.fail() }
const elsewhere = Object.values(networkInterfaces())
  .flat()
  .find((one) => one?.family === 'IPv4' && !one.internal)?.address

test('without TLS, whoever comes by another address than loopback is refused', {
  skip: elsewhere === undefined && 'this host has no other address',
}, async () => {
  const lab = await testLab()
  const admin = await createAdmin({ config: { host: '0.0.0.0' }, sources, log, more: adminApi(lab.app.desk, false) })
  await admin.listen({ host: '0.0.0.0', port: 0 })
  const { port } = admin.server.address() as AddressInfo
  const status = async (host: string, path: string) => (await fetch(`http://${host}:${port}${path}`)).status
  assert.equal(await status(elsewhere ?? '', '/live'), 200)
  assert.equal(await status(elsewhere ?? '', '/admin/routes'), 403)
  assert.equal(await status('127.0.0.1', '/admin/routes'), 200)
  await admin.close()
  await lab.close()
})

test('with TLS, the subject of the certificate is recorded', async () => {
  const lab = await testLab()
  const certs = join(lab.directory, 'certs')
  const tls = {
    certificateFile: join(certs, 'bsf.pem'),
    keyFile: join(certs, 'bsf.key'),
    clientCaFile: join(certs, 'ca.pem'),
  }
  const admin = await createAdmin({
    config: { host: '0.0.0.0', tls },
    sources,
    log,
    more: adminApi(lab.app.desk, true),
  })
  await admin.listen({ host: '127.0.0.1', port: 0 })
  const { port } = admin.server.address() as AddressInfo
  const client = {
    cert: readFileSync(join(certs, `zn-${LAB_ZN_CLIENT}.pem`)),
    key: readFileSync(join(certs, `zn-${LAB_ZN_CLIENT}.key`)),
  }
  const status = await new Promise((resolve, reject) => {
    const to = { host: '127.0.0.1', port, path: '/admin/routes', ca: lab.ca, agent: false, ...client }
    request({ ...to, checkServerIdentity: () => undefined }, (response) => {
      response.resume()
      resolve(response.statusCode)
    })
      .once('error', reject)
      .end()
  })
  assert.equal(status, 200)
  const called = () => lab.decisions.find(({ event }) => event === 'admin.called')
  await eventually('it is recorded', () => called() !== undefined)
  assert.match(called()?.record.subject ?? '', /CN=/)
  await admin.close()
  await lab.close()
})
