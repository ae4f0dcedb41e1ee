import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { after, afterEach, describe, test } from 'node:test'
import { impuOf } from '../../src/lab.ts'
import { type HandUe, handUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { passes } from '../support/passes.ts'
import { assertRefusal } from '../support/refusals.ts'
import { type Arrived, type ScriptedAs, scriptedAs } from '../support/scripted-as.ts'

// The promise: where one of two addresses is gone, who only reads does not notice; what has a side effect is sent once,
// and soon nowhere but where it is served; and where all are gone, that is said at once. On both roads alike.
const own = (document: string, name: 'alice' | 'bob' = 'alice') => `/resource-lists/users/${impuOf(name)}/${document}`
type Script = (socket: Socket, request: Arrived) => void
const ok: Script = (socket, { head }) =>
  void socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n${head.startsWith('HEAD') ? '' : 'ok'}`)
const resets: Script = (socket) => void socket.resetAndDestroy()
const PUT = { body: '<a/>' }

for (const httpFront of ['strict', 'fastify'] as const) {
  describe(`addresses of an application server, with httpFront ${httpFront}`, () => {
    const servers: ScriptedAs[] = []
    const labs: TestLab[] = []
    const scripts: Script[] = []
    afterEach(() => scripts.fill(ok))
    after(async () => {
      for (const lab of labs) {
        assert.ok(!lab.decisions.some(({ record }) => record.code === 'INTERNAL'))
        await lab.close()
      }
      for (const as of servers) await as.close()
    })

    /** A lab with two addresses, and a UE in it. */
    async function site(appServer: object = {}) {
      const pair: ScriptedAs[] = []
      for (const at of [0, 1]) {
        scripts[at] = ok
        pair.push(await scriptedAs((socket, request) => scripts[at]?.(socket, request)))
      }
      servers.push(...pair)
      const [{ url } = assert.fail(), ...more] = pair
      const lab = await testLab({
        as: null,
        ap: {
          httpFront,
          appServers: [{ name: 'lab', url, moreUrls: more.map((each) => each.url), slowStartMs: 0, ...appServer }],
        },
      })
      labs.push(lab)
      const arrivals = (method: string) => pair.map(({ arrived }) => countOf(arrived, method))
      return { lab, ue: await handUe(lab), pair, arrivals }
    }
    const countOf = (arrived: readonly Arrived[], method: string) =>
      arrived.filter(({ head }) => head.startsWith(`${method} `)).length

    async function statuses(ue: HandUe, times: number, method: 'GET' | 'HEAD' | 'PUT') {
      const found: number[] = []
      for (let i = 0; i < times; i++) {
        const { status } = await ue.request(method, own(`document-${i}`), method === 'PUT' ? PUT : {})
        found.push(status)
      }
      return found
    }

    test('share the requests', async () => {
      const { ue, arrivals } = await site()
      await statuses(ue, 6, 'PUT')
      assert.deepEqual(arrivals('PUT'), [3, 3])
    })

    test('one of which is closed: every GET and HEAD is served, and one PUT at most is not', async () => {
      const { ue, pair, lab } = await site()
      await pair[0]?.close()
      const refused = (await statuses(ue, 6, 'PUT')).filter((status) => status !== 200)
      assert.ok(refused.length <= 1, `${refused}`)
      assert.deepEqual(new Set(await statuses(ue, 8, 'GET')), new Set([200]))
      assert.deepEqual(new Set(await statuses(ue, 2, 'HEAD')), new Set([200]))
      assert.ok(lab.decisions.every(({ record }) => record.code !== 'UT_AS_SUSPENDED'))
    })

    test('one of which breaks connections off: a PUT is sent once, whatever becomes of it', async () => {
      const { ue, arrivals } = await site({ breaker: { failures: 2, openMs: 60_000 } })
      scripts[0] = resets
      const found = await statuses(ue, 8, 'PUT')
      const [broken = 0, served = 0] = arrivals('PUT')
      assert.equal(broken + served, 8)
      assert.equal(found.filter((status) => status === 200).length, served)
      assert.ok(broken <= 1, `${broken}`)
    })

    test('both of which break connections off: a GET is sent twice at most, and a PUT once', async () => {
      const { ue, arrivals } = await site({ breaker: { failures: 100, openMs: 60_000 } })
      await statuses(ue, 4, 'GET') // connections that are kept
      const before = arrivals('GET').reduce((sum, count) => sum + count)
      scripts.fill(resets)
      for (const status of await statuses(ue, 4, 'GET')) assert.equal(status, 502)
      const [one = 0, other = 0] = arrivals('GET')
      assert.ok(one + other - before <= 8, `${one + other - before}`)
      await statuses(ue, 4, 'PUT')
      assert.deepEqual(
        arrivals('PUT').reduce((sum, count) => sum + count),
        4,
      )
    })

    test('that all fail are left alone: 503 at once, and one request tries when the time is over', async () => {
      const { ue, lab, pair, arrivals } = await site({ breaker: { failures: 1, openMs: 1000 } })
      const logged = (event: string) =>
        lab
          .logged()
          .split('\n')
          .filter((line) => line.includes(`"${event}"`))
          .map((line) => JSON.parse(line))
      scripts.fill(resets)
      for (let i = 0; i < 2; i++) await ue.request('PUT', own('index'), PUT)
      const sent = arrivals('PUT')
      const answer = await ue.request('PUT', own('index'), PUT)
      assertRefusal(lab, answer, { status: 503, code: 'UT_AS_SUSPENDED' })
      assert.equal(answer.header('retry-after'), '1')
      assert.deepEqual(arrivals('PUT'), sent)
      const suspended = logged('ap.app-server-suspended')
      assert.deepEqual(
        suspended.map(({ appServer, address, by }) => [appServer, address, by]).toSorted(),
        pair.map(({ url }) => ['lab', url, 'requests']).toSorted(),
      )
      assert.deepEqual(logged('ap.app-server-restored'), [])
      scripts.fill(ok)
      await passes(async () => assert.equal((await ue.request('GET', own('index'))).status, 200))
      await passes(() => assert.ok(logged('ap.app-server-restored').length > 0))
      assert.ok(suspended.every(({ level }) => level === 'warn' || level === 40))
    })

    test('by hash serve each user in one place', async () => {
      const { ue, lab, arrivals } = await site({ balance: 'hash' })
      await statuses(ue, 6, 'GET')
      assert.deepEqual(arrivals('GET').toSorted(), [0, 6])
      const bob = await handUe(lab, { name: 'bob' })
      for (let i = 0; i < 4; i++) await bob.request('PUT', own(`document-${i}`, 'bob'), PUT)
      assert.deepEqual(arrivals('PUT').toSorted(), [0, 4])
    })

    test('that say that they are not well are left alone until they say that they are', async () => {
      const sick: Script = (socket, { head }) =>
        head.startsWith('GET /health ')
          ? void socket.write('HTTP/1.1 503 Draining\r\nContent-Length: 0\r\n\r\n')
          : ok(socket, { head, body: Buffer.alloc(0) })
      const health = { path: '/health', intervalMs: 100, timeoutMs: 1000, failures: 1 }
      const { ue, pair, arrivals } = await site({ health })
      await passes(async () => assert.ok(pair.every(({ arrived }) => countOf(arrived, 'GET') > 0)))
      scripts[0] = sick
      const [first = assert.fail()] = pair
      const from = first.arrived.length
      await passes(async () => assert.ok(first.arrived.length > from + 2))
      const before = arrivals('PUT')[0]
      assert.deepEqual(new Set(await statuses(ue, 4, 'PUT')), new Set([200]))
      assert.equal(arrivals('PUT')[0], before)
      scripts[0] = ok
      await passes(async () => {
        await statuses(ue, 2, 'PUT')
        assert.ok((arrivals('PUT')[0] ?? 0) > 0)
      })
      const asked = first.arrived.filter(({ head }) => head.startsWith('GET /health '))
      assert.ok(asked.every(({ head }) => !/asserted-identity|authorization/i.test(head)))
    })
  })
}
