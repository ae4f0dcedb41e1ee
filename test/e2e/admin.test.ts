import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { createServer, request as httpRequest } from 'node:http'
import { request as httpsRequest } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { createAdmin } from '../../src/admin/server.ts'
import { adminPlaceOf, startAdmin, versionReporter } from '../../src/admin/start.ts'
import { startApp } from '../../src/app.ts'
import { freePorts, impuOf, LAB_ZN_CLIENT, labConfig } from '../../src/lab.ts'
import { createLog } from '../../src/observe/log.ts'
import { ask } from '../support/admin.ts'
import { handUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { scriptedAs } from '../support/scripted-as.ts'
import { eventually } from '../support/workers.ts'

const OWN = `/resource-lists/users/${impuOf('alice')}/index`
const silent = () => createLog({ level: 'silent', identities: 'hashed' })

describe('the admin listener', () => {
  let lab: TestLab
  let port: number
  before(async () => {
    lab = await testLab({ admin: { port: 0 } })
    port = lab.app.addresses.admin?.port ?? 0
  })
  after(() => lab.close())

  test('says that the process lives, and what it is', async () => {
    assert.deepEqual(await ask(port, '/live'), { status: 200, text: '{"live":true}' })
    const { status, text } = await ask(port, '/version')
    const { name, version, node, roles, workers } = JSON.parse(text)
    assert.equal(status, 200)
    assert.deepEqual([name, node, roles, workers], ['gba-proxy', process.version, ['ap', 'bsf', 'hss', 'as'], 1])
    const manifest = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'))
    assert.equal(version, manifest.version)
  })

  test('says that it is ready, with each dependency as last seen', async () => {
    const { status, text } = await ask(port, '/ready')
    const { ready, reasons, store, bsf, hss, appServers, certificates } = JSON.parse(text)
    assert.deepEqual([status, ready, reasons], [200, true, []])
    assert.deepEqual([store.kind, bsf.state, hss.state, appServers.lab.state], ['memory', 'local', 'local', 'unknown'])
    assert.ok(certificates.some(({ file }: { file: string }) => file.endsWith('ap.pem')))
    const ue = await handUe(lab)
    assert.equal((await ue.request('GET', OWN)).status, 404)
    assert.equal(JSON.parse((await ask(port, '/ready')).text).appServers.lab.state, 'up')
  })

  test('answers HEAD for probes, and nothing else', async () => {
    assert.deepEqual(await ask(port, '/ready', { method: 'HEAD' }), { status: 200, text: '' })
    assert.equal((await ask(port, '/metrics', { method: 'POST' })).status, 404)
    assert.equal((await ask(port, '/')).status, 404)
  })

  for (const [host, status] of [
    ['localhost:9464', 200],
    ['127.0.0.1', 200],
    ['[::1]:9464', 200],
    ['rebound.example.org:9464', 421],
    ['rebound.example.org', 421],
  ] as const) {
    test(`answers ${status} to who calls it ${host}`, async () => {
      const answered = await new Promise((resolve, reject) => {
        const request = httpRequest({ host: '127.0.0.1', port, path: '/live', headers: { host } }, (response) => {
          response.resume()
          resolve(response.statusCode)
        })
        request.once('error', reject).end()
      })
      assert.equal(answered, status)
    })
  }
})

test('while it drains, a process is not ready and still tells so; then the listener is gone', async () => {
  const slow = await scriptedAs((socket) =>
    setTimeout(() => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'), 1_200),
  )
  const lab = await testLab({
    as: null,
    admin: { port: 0 },
    ap: { appServers: [{ name: 'slow', url: slow.url }], routes: [{ appServer: 'slow' }] },
  })
  const port = lab.app.addresses.admin?.port ?? 0
  const ue = await handUe(lab)
  const answer = ue.request('GET', OWN)
  await eventually('the request is at the application server', () => slow.arrived.length === 1)
  const closed = lab.close()
  const { status, text } = await ask(port, '/ready')
  assert.deepEqual([status, JSON.parse(text).reasons], [503, ['draining']])
  assert.equal((await ask(port, '/live')).status, 200)
  assert.match((await ask(port, '/metrics')).text, /^gba_proxy_draining 1$/m)
  assert.equal((await answer).status, 200)
  await closed
  await assert.rejects(ask(port, '/live'))
  await slow.close()
})

describe('where the admin listener is', () => {
  const config = (admin?: object) => labConfig('/nowhere', { ub: 0, zn: 0, ap: 0, as: 0 }, admin ? { admin } : {})

  test('is where the configuration says, or nowhere', () => {
    assert.deepEqual(adminPlaceOf(config({ port: 1 }), true)?.config.port, 1)
    assert.equal(adminPlaceOf(config({ port: 1 }), false)?.anyPort, false)
    assert.equal(adminPlaceOf(config({ enabled: false }), true), undefined)
  })

  test('is 127.0.0.1:9464 where it says nothing and somebody wants one', () => {
    assert.deepEqual(adminPlaceOf(config(), true), { config: { host: '127.0.0.1', port: 9464 }, anyPort: true })
    assert.equal(adminPlaceOf(config(), false), undefined)
  })

  test('is any free port, with a warning, where one that nobody named is taken; one that was named is not replaced', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await new Promise((listening) => other.once('listening', listening))
    const taken = (other.address() as AddressInfo).port
    const place = { host: '127.0.0.1', port: taken }
    const lines: string[] = []
    const log = createLog({
      level: 'warn',
      identities: 'hashed',
      destination: { write: (line) => void lines.push(line) },
    })
    const sources = {
      metrics: async () => '',
      readiness: async () => assert.fail(),
      version: versionReporter(config()),
    }
    try {
      await assert.rejects(startAdmin({ config: place, anyPort: false }, { sources, log }), { code: 'EADDRINUSE' })
      const admin = await startAdmin({ config: place, anyPort: true }, { sources, log })
      assert.notEqual(admin.address.port, taken)
      assert.equal((await ask(admin.address.port, '/live')).status, 200)
      assert.ok(lines.some((line) => JSON.parse(line).event === 'admin.port-taken'))
      await admin.close()
    } finally {
      other.close()
    }
  })

  test('a port of the configuration that is taken fails the start, and takes the rest down again', async () => {
    const lab = await testLab({ admin: { port: 0 } })
    const free = await freePorts()
    try {
      const again = labConfig(lab.directory, free, {
        store: { kind: 'memory' },
        admin: { port: lab.app.addresses.admin?.port },
      })
      await assert.rejects(startApp(again, { log: silent() }), { code: 'EADDRINUSE' })
      const later = await startApp(labConfig(lab.directory, free, { store: { kind: 'memory' } }), { log: silent() })
      assert.equal(later.addresses.admin, undefined)
      await later.close()
    } finally {
      await lab.close()
    }
  })
})

describe('an admin listener with TLS', () => {
  let lab: TestLab
  let certs: string
  let admin: Awaited<ReturnType<typeof createAdmin>>
  before(async () => {
    lab = await testLab()
    certs = join(lab.directory, 'certs')
    const tls = {
      certificateFile: join(certs, 'bsf.pem'),
      keyFile: join(certs, 'bsf.key'),
      clientCaFile: join(certs, 'ca.pem'),
    }
    const sources = {
      metrics: async () => '',
      readiness: async () => lab.app.readiness(),
      version: versionReporter(labConfig(lab.directory, { ub: 0, zn: 0, ap: 0, as: 0 })),
    }
    admin = await createAdmin({ config: { host: '0.0.0.0', tls }, sources, log: silent() })
    await admin.listen({ host: '127.0.0.1', port: 0 })
  })
  after(async () => {
    await admin.close()
    await lab.close()
  })

  const status = (client: object) =>
    new Promise<number | undefined>((resolve, reject) => {
      const { port } = admin.server.address() as AddressInfo
      const to = { host: '127.0.0.1', port, path: '/live', ca: lab.ca, servername: 'bsf', agent: false }
      httpsRequest({ ...to, checkServerIdentity: () => undefined, ...client }, (response) => {
        response.resume()
        resolve(response.statusCode)
      })
        .once('error', reject)
        .end()
    })

  test('serves who shows a certificate of its CA, and nobody else', async () => {
    const [cert, key] = await Promise.all(
      ['pem', 'key'].map((kind) => readFile(join(certs, `zn-${LAB_ZN_CLIENT}.${kind}`))),
    )
    assert.equal(await status({ cert, key }), 200)
    await assert.rejects(status({}))
  })
})
