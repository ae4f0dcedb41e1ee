import assert from 'node:assert/strict'
import type { Socket } from 'node:net'
import { after, afterEach, before, describe, test } from 'node:test'
import type { ApConfig, Config } from '../../src/config/schema.ts'
import { impuOf } from '../../src/lab.ts'
import { type HandUe, handUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { passes } from '../support/passes.ts'
import { assertRefusal } from '../support/refusals.ts'
import { type ScriptedAs, scriptedAs } from '../support/scripted-as.ts'

// What is known of the addresses belongs to the process: both roads share it, and a reload that leaves a server as it is
// leaves that, too.
const OWN = `/resource-lists/users/${impuOf('alice')}/index`
const ok = (socket: Socket) => void socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok')
const resets = (socket: Socket) => void socket.resetAndDestroy()
const EXPRESS = { qop: 'auth' } as const
const GENERAL = { qop: 'auth-int' } as const
const UNREACHABLE = { status: 502, code: 'UT_AS_UNREACHABLE' } as const
const SUSPENDED = { status: 503, code: 'UT_AS_SUSPENDED' } as const

describe('what is known of an application server', () => {
  let as: ScriptedAs
  let lab: TestLab
  let ue: HandUe
  let script = ok
  before(async () => {
    as = await scriptedAs((socket) => script(socket))
    lab = await testLab({
      as: null,
      ap: {
        appServers: [{ name: 'lab', url: as.url, breaker: { failures: 2, openMs: 600_000 } }],
      },
    })
    ue = await handUe(lab)
  })
  afterEach(() => {
    script = ok
    lab.app.change(lab.config)
  })
  after(async () => {
    await lab?.close()
    await as?.close()
  })

  type Change = (ap: ApConfig) => Partial<ApConfig>
  function withAp(change: Change): Config {
    const { ap } = lab.config
    if (!ap) throw new Error('a lab without an AP')
    return { ...lab.config, ap: { ...ap, ...change(ap) } }
  }
  const otherServer: Change = ({ appServers }) => ({
    appServers: appServers.map((server) => ({ ...server, slowStartMs: 1 })),
  })

  test('on one road is known on the other one, and after a reload; a server that changes begins anew', async () => {
    script = resets
    const put = (road: object) => ue.request('PUT', OWN, { ...road, body: '<a/>' })
    assertRefusal(lab, await put(EXPRESS), UNREACHABLE)
    assertRefusal(lab, await put(GENERAL), UNREACHABLE)
    script = ok
    for (const road of [EXPRESS, GENERAL]) assertRefusal(lab, await put(road), SUSPENDED)
    assert.ok(lab.app.change(withAp(({ limits }) => ({ limits: { ...limits, headerCount: 50 } }))).length > 0)
    for (const road of [EXPRESS, GENERAL]) assertRefusal(lab, await put(road), SUSPENDED)
    assert.ok(lab.app.change(withAp(otherServer)).length > 0)
    for (const road of [EXPRESS, GENERAL]) assert.equal((await put(road)).status, 200)
  })

  test('is how much the process takes on: a reload brings other limits', async () => {
    const held: Socket[] = []
    const more = [await ue.signed('GET', OWN, EXPRESS), await ue.signed('GET', OWN, GENERAL)]
    script = (socket) => void held.push(socket)
    const under = ue.request('GET', OWN, EXPRESS)
    await passes(() => assert.equal(held.length, 1))
    lab.app.change(withAp(({ limits }) => ({ limits: { ...limits, inFlight: 1 } })))
    for (const octets of more) assert.equal((await ue.send(octets)).status, 503)
    lab.app.change(lab.config)
    script = ok
    assert.equal((await ue.request('GET', OWN, EXPRESS)).status, 200)
    for (const socket of held) ok(socket)
    assert.equal((await under).status, 200)
  })
})

describe('a request that only reads', () => {
  test('is tried at a second address also when a reload has replaced the server meanwhile', async (t) => {
    const waiting: Socket[] = []
    const servers = [
      await scriptedAs((socket) => void waiting.push(socket)),
      await scriptedAs((socket) => void waiting.push(socket)),
    ]
    const [{ url } = assert.fail(), ...more] = servers
    const lab = await testLab({
      as: null,
      ap: { appServers: [{ name: 'lab', url, moreUrls: more.map((each) => each.url) }] },
    })
    t.after(async () => {
      for (const socket of waiting) socket.destroy()
      await lab.close()
      for (const each of servers) await each.close()
    })
    const ue = await handUe(lab)
    const answer = ue.request('GET', OWN, EXPRESS)
    await passes(() => assert.equal(waiting.length, 1))
    const { ap } = lab.config
    assert.ok(ap)
    const appServers = ap.appServers.map((server) => ({ ...server, slowStartMs: 1 }))
    lab.app.change({ ...lab.config, ap: { ...ap, appServers } })
    const [first] = waiting
    first?.resetAndDestroy()
    await passes(() => assert.equal(waiting.length, 2))
    for (const socket of waiting.slice(1)) ok(socket)
    assert.equal((await answer).status, 200)
    await passes(() =>
      assert.deepEqual(
        servers.map((each) => each.open()),
        [0, 0],
      ),
    )
  })
})
