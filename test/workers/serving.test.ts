import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { after, before, describe, test } from 'node:test'
import tls from 'node:tls'
import { LAB_NAF } from '../../src/lab.ts'
import { handUe } from '../support/hand-ue.ts'
import { eventually, impuOfCard, type WorkersSite, workersSite } from '../support/workers.ts'

const own = (n: number) => `/resource-lists/users/${impuOfCard(n)}/index`

describe('four workers behind one port', () => {
  let site: WorkersSite
  before(async () => {
    site = await workersSite({ workers: 4 })
    await site.start()
  })
  after(() => site?.close())

  test('say once that they are up', async () => {
    assert.equal(site.stderr().match(/ up; /g)?.length, 1)
    assert.match(site.stderr(), /; 4 workers\n$/)
    await eventually('each is told of', () => site.workers().size === 4)
    assert.deepEqual([...site.workers().keys()].sort(), [1, 2, 3, 4])
  })

  test('serve a UE that opens a new connection for every request without a further 401 or vector', async () => {
    const ue = await handUe(site.reached(0), {})
    const nonce = await ue.freshNonce()
    const statuses = new Map<number, number>()
    for (let nc = 1; nc <= 200; nc++) {
      const { status } = await ue.request('GET', own(0), { nonce, nc, headers: [`X-Probe: new-${nc}`] })
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }
    assert.deepEqual([...statuses], [[200, 200]])
    const events = site.lines().map(({ event }) => event)
    assert.equal(events.filter((event) => event === 'zh.av-drawn').length, 1)
    const served = new Set(site.lines().flatMap((line) => (line.event === 'ut.forwarded' ? [line.worker] : [])))
    assert.deepEqual([...served].sort(), [1, 2, 3, 4])
    assert.ok(site.lines().every(({ tolerances }) => !JSON.stringify(tolerances ?? []).includes('nc-')))
  })

  test('accept exactly one of 20 concurrent copies of one request', async () => {
    const ue = await handUe(site.reached(1), {})
    for (const method of ['GET', 'PUT'] as const) {
      const probe = randomUUID()
      const body = method === 'PUT' ? { body: '<a/>' } : {}
      const octets = await ue.signed(method, own(1), { headers: [`X-Probe: ${probe}`], ...body })
      const answers = await Promise.all(Array.from({ length: 20 }, () => ue.send(octets, method)))
      assert.deepEqual(answers.map(({ status }) => status).sort(), [200, ...Array.from({ length: 19 }, () => 401)])
      assert.equal(site.hits.get(probe), 1)
    }
  })

  test('answer a challenge on Ub whichever of them gave it: each of 40 bootstraps takes one vector', async () => {
    const count = (name: string) => site.lines().filter(({ event }) => event === name).length
    const before = count('zh.av-drawn')
    for (let n = 0; n < 40; n++) {
      const ue = site.ue(n)
      await ue.bootstrap()
      ue.close()
    }
    await eventually('40 bootstraps are recorded', () => count('ub.bootstrapped') >= 40)
    assert.equal(count('zh.av-drawn') - before, 40)
  })

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    test(`resume a session of ${version} whichever of them began it`, async () => {
      const { ca } = site.reached(0)
      const options = {
        port: site.ap,
        host: '127.0.0.1',
        ca,
        servername: LAB_NAF,
        minVersion: version,
        maxVersion: version,
      }
      const begun = tls.connect(options)
      begun.once('secureConnect', () => begun.write(`GET / HTTP/1.1\r\nHost: ${LAB_NAF}\r\n\r\n`))
      const [session] = (await once(begun, 'session')) as [Buffer]
      assert.equal(begun.isSessionReused(), false)
      begun.destroy()
      for (let n = 0; n < 30; n++) {
        const socket = tls.connect({ ...options, session })
        await once(socket, 'secureConnect')
        assert.equal(socket.isSessionReused(), true)
        socket.destroy()
      }
    })
  }

  test('replace one that dies at once, and the others serve meanwhile', async () => {
    const ue = await handUe(site.reached(2), {})
    for (const number of [1, 3]) {
      const pid = site.workers().get(number) ?? assert.fail(`worker ${number}`)
      process.kill(pid, 'SIGKILL')
      await eventually('its end is told', () => site.workers().get(number) !== pid)
      const { status } = await ue.request('GET', own(2), {})
      assert.equal(status, 200)
      await eventually('there is another', () => site.workers().has(number))
    }
  })
})
