import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { type AddressInfo, createServer as createTcpServer } from 'node:net'
import { join } from 'node:path'
import { after, before, describe, type TestContext, test } from 'node:test'
import { stringify } from 'yaml'
import { impuOf } from '../../src/lab.ts'
import { handUe } from '../support/hand-ue.ts'
import { inProcess } from '../support/in-process.ts'
import { type TestLab, testLab } from '../support/lab.ts'

describe('gba-proxy admin', () => {
  let lab: TestLab
  let url: string
  before(async () => {
    lab = await testLab({ admin: { port: 0 } })
    url = `http://127.0.0.1:${lab.app.addresses.admin?.port}`
  })
  after(() => lab.close())
  const admin = (...args: string[]) => inProcess(['admin', ...args, '--url', url])

  test('shows and drops a bootstrap, and says with 3 that it is gone', async () => {
    const { btid } = await handUe(lab)
    const shown = await admin('bootstrap', btid, '--json')
    assert.deepEqual([shown.code, JSON.parse(shown.stdout).bootstrap.btid], [0, btid])
    assert.match((await admin('drop', btid)).stdout, /^bsf: true$/m)
    assert.equal((await admin('drop', btid)).code, 3)
  })

  test('shows routes and refusals', async () => {
    const ue = await handUe(lab)
    await ue.request('GET', `/resource-lists/users/${impuOf('bob')}/index`)
    assert.match((await admin('routes')).stdout, /appServer=lab/)
    assert.match((await admin('refusals', '--code', 'UT_TREE_NOT_OWNED')).stdout, /^refusals: 1$/m)
  })

  test('says why it was refused', async () => {
    const { code, stderr } = await admin('rebootstrap', '--impu', 'alice')
    assert.equal(code, 1)
    assert.match(stderr, /400 .*impu/)
  })

  test('demands new bootstraps, and says where that is kept', async () => {
    assert.match((await admin('rebootstrap', '--all')).stdout, /^keptIn: memory$/m)
  })

  test('says that nobody answers', async () => {
    assert.equal((await inProcess(['admin', 'routes', '--url', 'http://127.0.0.1:1'])).code, 1)
  })

  /** A listener that says nothing once it was asked. */
  async function silent(t: TestContext, onAsked: () => void): Promise<string> {
    const server = createServer(onAsked)
    await new Promise<void>((up) => server.listen(0, '127.0.0.1', up))
    t.after(() => server.close().closeAllConnections())
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  test('says that nobody has answered in time', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] })
    const url = await silent(t, () => t.mock.timers.tick(10_000))
    const { code, stderr } = await inProcess(['admin', 'routes', '--url', url])
    assert.deepEqual([code, stderr], [1, `gba-proxy admin: ${url} did not answer within 10 s\n`])
  })

  for (const [args, expected, said] of [
    [['tail'], 0, /^$/],
    [['routes'], 130, /^$/],
    [['drop', 'x'], 130, /may be done all the same/],
  ] as const) {
    test(`is ${expected} where it is broken off: ${args.join(' ')}`, async (t) => {
      const stop = new AbortController()
      const url = await silent(t, () => stop.abort())
      const { code, stderr } = await inProcess(['admin', ...args, '--url', url], '', stop.signal)
      assert.equal(code, expected)
      assert.match(stderr, said)
    })
  }

  for (const option of ['--cert', '--key', '--cacert']) {
    test(`is 2 for a file of ${option} that is not there, and names it`, async () => {
      const { code, stderr } = await admin('routes', option, '/nowhere/at-all.pem')
      assert.equal(code, 2)
      assert.match(stderr, new RegExp(`${option}: /nowhere/at-all.pem cannot be read \\(ENOENT\\)`))
    })
  }

  test('asks by TLS where the configuration says so, and says that it needs a certificate', async (t) => {
    const certs = join(lab.directory, 'certs')
    const first: number[] = []
    const server = createTcpServer((socket) =>
      socket.once('data', (octets) => {
        first.push(octets[0] ?? 0)
        socket.destroy()
      }),
    )
    await new Promise<void>((up) => server.listen(0, '127.0.0.1', up))
    t.after(() => server.close())
    const file = join(lab.directory, 'by-tls.yaml')
    const { port } = server.address() as AddressInfo
    const tls = {
      certificateFile: join(certs, 'bsf.pem'),
      keyFile: join(certs, 'bsf.key'),
      clientCaFile: join(certs, 'ca.pem'),
    }
    writeFileSync(file, stringify({ ...JSON.parse(JSON.stringify(lab.config)), admin: { port, tls } }))
    const { code, stderr } = await inProcess(['admin', 'routes', '--config', file])
    assert.equal(code, 1)
    assert.match(stderr, /https:\/\/127\.0\.0\.1:\d+ does not answer \(\w+\); it needs a certificate: --cert and --key/)
    // a handshake, not a request
    assert.deepEqual(first, [0x16])
  })

  for (const args of [
    [],
    ['drop'],
    ['routes', 'x'],
    ['what'],
    ['rebootstrap'],
    ['rebootstrap', '--all', '--btid', 'x'],
  ]) {
    test(`is 2 for a command line that is wrong: ${args.join(' ')}`, async () => {
      assert.equal((await admin(...args)).code, 2)
    })
  }
})
