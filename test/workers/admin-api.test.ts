import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { parse, stringify } from 'yaml'
import { LAB_NAF } from '../../src/lab.ts'
import { adminPortIn, followDecisions } from '../support/admin.ts'
import { type HandUe, handUe } from '../support/hand-ue.ts'
import { inProcess } from '../support/in-process.ts'
import { rawConnect, requestOctets } from '../support/raw-client.ts'
import { eventually, impuOfCard, type WorkersSite, workersSite } from '../support/workers.ts'

const own = (n: number) => `/resource-lists/users/${impuOfCard(n)}/index`
const at = (btid: string) => `/admin/bootstraps/${encodeURIComponent(btid)}`
const UNKNOWN_BTID = 'I1U8vpY3qJ0hiuZNrke/NQ==@bsf.example.org'
const BOTH = { answered: [1, 2], missing: {} }

describe('the admin API of a host of two workers', () => {
  let site: WorkersSite
  let port: number
  before(async () => {
    site = await workersSite({
      workers: 2,
      overrides: { admin: { port: 0 }, log: { level: 'info', identities: 'hashed' } },
    })
    await site.start()
    port = adminPortIn(site.stderr())
  })
  after(() => site?.close())

  // what is read of it differs from test to test
  // biome-ignore lint/suspicious/noExplicitAny: JSON
  async function call(method: string, path: string, body?: unknown): Promise<{ status: number; json: any }> {
    const headers = { 'x-requested-with': 'test', ...(body !== undefined && { 'content-type': 'application/json' }) }
    const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
      method,
      headers,
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    return { status: answer.status, json: JSON.parse(await answer.text()) }
  }
  const admin = (...args: string[]) => inProcess(['admin', ...args, '--url', `http://127.0.0.1:${port}`])
  const ofEvent = (event: string) => site.lines().filter((line) => line.event === event)
  /** Which worker wrote lines, by their field of that name. */
  const workersOf = (lines: readonly Record<string, unknown>[]) => new Set(lines.map(({ worker }) => worker))
  /** Asks again, each time on a connection of its own, until both workers have done it. */
  async function byBoth(what: string, act: () => Promise<unknown>, isSo: (line: Record<string, unknown>) => boolean) {
    const before = site.lines().length
    for (let i = 0; i < 200; i++) {
      await act()
      await delay(5)
      if (workersOf(site.lines().slice(before).filter(isSo)).size === 2) return
    }
    assert.fail(`never by both: ${what}`)
  }
  const statusOf = async (ue: HandUe, path: string) => (await ue.request('GET', path)).status
  /** With a bootstrap whose key both workers have. @param n of the card */
  async function knownToBoth(n: number): Promise<HandUe> {
    const ue = await handUe(site.reached(n), {})
    await byBoth(
      'the key is fetched',
      async () => assert.equal(await statusOf(ue, own(n)), 200),
      ({ event }) => event === 'zn.fetched',
    )
    return ue
  }
  async function stopped<Result>(number: number, act: () => Promise<Result>): Promise<Result> {
    const pid = site.workers().get(number) ?? 0
    // What it has begun to write in the store keeps others from writing.
    await delay(300)
    process.kill(pid, 'SIGSTOP')
    try {
      return await act()
    } finally {
      process.kill(pid, 'SIGCONT')
    }
  }

  const follow = (query: string) => followDecisions(port, query)
  /** Refusals, one after the other on each of some connections. */
  async function strangers(connections: number, each: number): Promise<void> {
    const at = { port: site.ap, tls: { servername: LAB_NAF, ca: site.reached(0).ca } }
    const octets = requestOctets('GET /resource-lists/global/index HTTP/1.1', [
      `Host: ${LAB_NAF}`,
      'User-Agent: 3gpp-gba',
    ])
    await Promise.all(
      Array.from({ length: connections }, async () => {
        const connection = await rawConnect(at)
        for (let i = 0; i < each; i++) {
          connection.write(octets)
          assert.equal((await connection.answer()).status, 401)
        }
        connection.close()
      }),
    )
  }

  test('shows a subscriber with what both workers have seen, each thing once', async () => {
    const { impi } = site.card(0)
    const [first, second] = [await knownToBoth(0), await handUe(site.reached(0), {})]
    await byBoth(
      'it is refused',
      async () => assert.equal(await statusOf(first, own(1)), 403),
      ({ code }) => code === 'UT_TREE_NOT_OWNED',
    )
    const { json, status } = await call('GET', `/admin/subscribers/${impi}`)
    assert.deepEqual([status, json.workers], [200, BOTH])
    assert.match(json.sqn, /^[0-9a-f]{12}$/)
    assert.equal(json.bootstraps.length, 2)
    assert.ok(json.bootstraps[0].createdAt >= json.bootstraps[1].createdAt)
    assert.deepEqual(json.bootstraps[1].nafs, [LAB_NAF])
    const refusals = ofEvent('ut.refused').filter(({ code }) => code === 'UT_TREE_NOT_OWNED')
    assert.equal(workersOf(refusals).size, 2)
    assert.deepEqual(
      json.refusals.map(({ requestId }: { requestId: string }) => requestId).sort(),
      refusals.map(({ requestId }) => requestId).sort(),
    )
    const times = json.refusals.map(({ time }: { time: string }) => time)
    assert.deepEqual(times, times.toSorted().reverse())

    const list = await call('GET', `/admin/bootstraps?impi=${encodeURIComponent(impi)}`)
    assert.deepEqual([list.json.bootstraps, list.json.workers], [json.bootstraps, BOTH])
    const byName = await call('GET', at(first.btid))
    assert.deepEqual([byName.json.bootstrap.btid, byName.json.bootstrap.nafs], [first.btid, [LAB_NAF]])
    // one worker alone has made that bootstrap; its pseudonym is known to both all the same
    const pseudonym = json.bootstraps[0].btid
    assert.match(pseudonym, /^[0-9a-f]{12}$/)
    assert.equal((await call('GET', at(pseudonym))).json.bootstrap.btid, pseudonym)
    assert.equal((await call('GET', `/admin/subscribers/${byName.json.bootstrap.impi}`)).json.bootstraps.length, 2)
    assert.equal((await call('DELETE', at(pseudonym))).status, 200)
    assert.equal((await call('GET', at(second.btid))).status, 404)
    assert.equal((await call('GET', '/admin/decisions?code=UT_TREE_NOT_OWNED')).json.refusals.length, refusals.length)
  })

  test('judges what it is asked as one process does', async () => {
    for (const [path, status] of [
      [at(UNKNOWN_BTID), 404],
      [at('0123456789ab'), 404],
      ['/admin/subscribers/nobody@example.org', 404],
      ['/admin/bootstraps', 400],
      ['/admin/decisions?code=X', 400],
    ] as const) {
      assert.deepEqual([path, (await call('GET', path)).status], [path, status])
    }
    assert.equal((await call('POST', '/admin/rebootstrap', { impu: 'alice' })).status, 400)
    const bare = await fetch(`http://127.0.0.1:${port}${at(UNKNOWN_BTID)}`, { method: 'DELETE' })
    assert.equal(bare.status, 403)
  })

  test('drops a bootstrap in both workers, and says so', async () => {
    const ue = await knownToBoth(2)
    const { json, status } = await call('DELETE', at(ue.btid))
    assert.deepEqual([status, json], [200, { btid: ue.btid, bsf: true, cachedKeys: 2, workers: BOTH }])
    for (let i = 0; i < 24; i++) assert.equal(await statusOf(ue, own(2)), 401)
    assert.equal((await call('DELETE', at(ue.btid))).status, 404)
  })

  test('drops one in a worker that hangs as soon as that goes on, says which that is, and names it in answers', async () => {
    const ue = await knownToBoth(3)
    await stopped(2, async () => {
      const shown = await call('GET', at(ue.btid))
      assert.deepEqual([shown.status, shown.json.workers], [200, { answered: [1], missing: { 2: 'silent' } }])
      const { json, status } = await call('DELETE', at(ue.btid))
      assert.deepEqual([status, json.workers], [504, { answered: [1], missing: { 2: 'silent' } }])
      const { code, stderr } = await admin('drop', ue.btid)
      assert.equal(code, 1)
      assert.match(stderr, /504 worker 2 does not answer/)
      // the others have it no more; the one that hangs might
      assert.equal((await call('GET', at(ue.btid))).status, 504)
    })
    assert.equal((await call('GET', at(ue.btid))).status, 404)
    for (let i = 0; i < 24; i++) assert.equal(await statusOf(ue, own(3)), 401)
  })

  test('records each call once, as one process does', async () => {
    // those of the calls before it
    await delay(1_500)
    const before = ofEvent('admin.called').length
    const ue = await handUe(site.reached(4), {})
    await call('GET', at(ue.btid))
    await call('DELETE', at(ue.btid))
    await call('GET', '/admin/routes')
    await call('GET', '/admin/decisions?code=X')
    await stopped(1, () => call('GET', at(ue.btid)))
    await eventually('they are recorded', () => ofEvent('admin.called').length >= before + 5)
    await delay(200)
    const records = ofEvent('admin.called').slice(before)
    assert.deepEqual(
      records.map(({ method, path, status, source }) => [method, path, status, source]),
      [
        ['GET', '/admin/bootstraps/{btid}', 200, '127.0.0.1'],
        ['DELETE', '/admin/bootstraps/{btid}', 200, '127.0.0.1'],
        ['GET', '/admin/routes', 200, '127.0.0.1'],
        ['GET', '/admin/decisions', 400, '127.0.0.1'],
        ['GET', '/admin/bootstraps/{btid}', 504, '127.0.0.1'],
      ],
    )
    assert.match(String(records[0]?.btid), /^[0-9a-f]{12}$/)
    assert.equal(records[0]?.btid, records[1]?.btid)
    assert.ok(records.every(({ requestId, worker }) => requestId !== undefined && worker !== undefined))
    assert.ok(!JSON.stringify(records).includes(ue.btid))
  })

  test('has the decisions of both followed as they are made, those that are wanted', async () => {
    const [all, some] = [await follow(''), await follow('&code=UT_TREE_NOT_OWNED')]
    const before = site.lines().length
    const ue = await knownToBoth(5)
    await byBoth(
      'it is refused',
      async () => assert.equal(await statusOf(ue, own(6)), 403),
      ({ code }) => code === 'UT_TREE_NOT_OWNED',
    )
    const written = site.lines().slice(before)
    const isOfUe = ({ event }: Record<string, unknown>) => /^(?:ut|ub|zn|zh)\./.test(String(event))
    const decisions = written.filter(isOfUe)
    await eventually('all are told', () => all.lines.filter(isOfUe).length >= decisions.length)
    const asIs = ({ requestId, event, code }: Record<string, unknown>) => `${event} ${code} ${requestId}`
    assert.deepEqual(all.lines.filter(isOfUe).map(asIs).sort(), decisions.map(asIs).sort())
    const refused = written.filter(({ code }) => code === 'UT_TREE_NOT_OWNED')
    assert.deepEqual(some.lines.map(asIs).sort(), refused.map(asIs).sort())
    assert.ok(!JSON.stringify(all.lines).includes('sip:'))
    await Promise.all([all.end(), some.end()])
  })

  test('loses decisions that find no room on their way, and tells how many', async () => {
    const count = 20 * 300
    const { end, lines } = await follow('&event=ut.refused')
    const before = ofEvent('ut.refused').length
    process.kill(site.supervisor(), 'SIGSTOP')
    try {
      await strangers(20, 300)
    } finally {
      process.kill(site.supervisor(), 'SIGCONT')
    }
    await eventually('all are refused', () => ofEvent('ut.refused').length - before >= count)
    const lost = () => lines.reduce((sum, line) => sum + Number(line.lost ?? 0), 0)
    const told = () => lines.filter(({ event }) => event === 'ut.refused').length
    await eventually('every one is told or counted', () => told() + lost() >= count)
    assert.equal(told() + lost(), count)
    assert.ok(lost() > 0)
    await end()
  })

  test('demands new bootstraps of all workers, those that start later as well', async () => {
    const [ue, other] = [await knownToBoth(7), await knownToBoth(8)]
    const { json, status } = await call('POST', '/admin/rebootstrap', { impu: impuOfCard(7) })
    assert.deepEqual([status, json.workers, json.keptIn, json.holdsWithinS], [202, BOTH, 'memory', 0])
    const demanded = (line: Record<string, unknown>) => line.code === 'UA_REBOOTSTRAP_DEMANDED'
    await byBoth('it is demanded', async () => assert.equal(await statusOf(ue, own(7)), 401), demanded)
    assert.equal(await statusOf(other, own(8)), 200)
    for (const [number, pid] of site.workers()) {
      process.kill(pid, 'SIGKILL')
      await eventually('it is replaced', () => (site.workers().get(number) ?? pid) !== pid)
    }
    for (let i = 0; i < 12; i++) assert.equal(await statusOf(ue, own(7)), 401)
    assert.equal(await statusOf(other, own(8)), 200)
    const again = await handUe(site.reached(7), {})
    assert.equal(await statusOf(again, own(7)), 200)
  })

  test('answers while a worker is killed and replaced, and says so', async () => {
    const [number, pid] = [...site.workers()][0] ?? [0, 0]
    process.kill(pid, 'SIGSTOP')
    const asked = call('GET', `/admin/subscribers/${site.card(0).impi}`)
    await delay(300)
    process.kill(pid, 'SIGKILL')
    const { json, status } = await asked
    assert.equal(status, 200)
    assert.ok(!json.workers.answered.includes(number) || json.workers.answered.length === 2)
    await eventually('it is replaced', () => (site.workers().get(number) ?? pid) !== pid)
    await eventually('it is up', () => site.workers().size === 2)
    assert.deepEqual((await call('GET', `/admin/subscribers/${site.card(0).impi}`)).json.workers, BOTH)
  })

  test('is had by gba-proxy admin', async () => {
    const ue = await knownToBoth(9)
    const shown = await admin('bootstrap', ue.btid, '--json')
    assert.deepEqual([shown.code, JSON.parse(shown.stdout).workers], [0, BOTH])
    assert.match((await admin('subscriber', site.card(9).impi)).stdout, /^workers: answered=\[1,2\] missing=\{\}$/m)
    assert.match((await admin('drop', ue.btid)).stdout, /^cachedKeys: 2$/m)
    assert.equal((await admin('drop', ue.btid)).code, 3)
    assert.match((await admin('routes')).stdout, /appServer=lab/)
    assert.equal((await admin('refusals')).code, 0)
    assert.match((await admin('rebootstrap', '--all', '--since', '2020-01-01T00:00:00Z')).stdout, /^keptIn: memory$/m)
    const tail = await follow('&event=admin.called')
    await admin('routes')
    await eventually('the call is told', () => tail.lines.some(({ path }) => path === '/admin/routes'))
    await tail.end()
  })
})

test('with a file of demands, one worker writes and both obey at once', async () => {
  const site = await workersSite({ workers: 2, overrides: { admin: { port: 0 } } })
  try {
    const file = join(site.directory, 'demands.yaml')
    writeFileSync(file, '# by hand\n')
    const config = parse(readFileSync(site.file, 'utf8'))
    writeFileSync(site.file, stringify({ ...config, ap: { ...config.ap, rebootstrapFile: file } }))
    await site.start()
    const ue = await handUe(site.reached(0), {})
    assert.equal((await ue.request('GET', own(0))).status, 200)
    const answer = await fetch(`http://127.0.0.1:${adminPortIn(site.stderr())}/admin/rebootstrap`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ impu: impuOfCard(0) }),
    })
    const json = (await answer.json()) as Record<string, unknown>
    assert.deepEqual([answer.status, json.keptIn, json.workers], [202, 'file', BOTH])
    assert.match(readFileSync(file, 'utf8'), /^# by hand\n- \{"impu":"[^\n]+\}\n$/)
    for (let i = 0; i < 12; i++) assert.equal((await ue.request('GET', own(0))).status, 401)
  } finally {
    await site.close()
  }
})

test('while the audit cannot be written, nothing is changed, and the log has the calls', async () => {
  const site = await workersSite({
    workers: 2,
    overrides: { admin: { port: 0 }, log: { level: 'warn', identities: 'hashed', auditFile: '/dev/full' } },
  })
  try {
    await site.start()
    const ask = async (path: string, init: RequestInit = {}) =>
      (await fetch(`http://127.0.0.1:${adminPortIn(site.stderr())}${path}`, init)).status
    const called = () => site.lines().filter(({ event }) => event === 'admin.called')
    assert.equal(await ask('/admin/routes'), 200)
    await eventually('it is in the log', () => called().length === 1)
    const headers = { 'content-type': 'application/json' }
    assert.equal(await ask('/admin/rebootstrap', { method: 'POST', headers, body: '{"all":true}' }), 503)
    assert.equal(await ask(at(UNKNOWN_BTID), { method: 'DELETE', headers, body: '{}' }), 503)
    await eventually('all are in the log', () => called().length === 3)
    assert.deepEqual(
      called().map(({ level, path, status, worker }) => [level, path, status, worker]),
      [
        ['error', '/admin/routes', 200, undefined],
        ['error', '/admin/rebootstrap', 503, undefined],
        ['error', '/admin/bootstraps/{btid}', 503, undefined],
      ],
    )
  } finally {
    await site.close()
  }
})
