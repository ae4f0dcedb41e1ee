import assert from 'node:assert/strict'
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs'
import { request as httpRequest } from 'node:http'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { parse } from 'yaml'
import { impuOf } from '../../src/lab.ts'
import { followDecisions } from '../support/admin.ts'
import { handUe } from '../support/hand-ue.ts'
import { type TestLab, type TestLabOptions, testLab } from '../support/lab.ts'
import { rawConnect } from '../support/raw-client.ts'
import { eventually } from '../support/workers.ts'

const OWN = `/resource-lists/users/${impuOf('alice')}/index`
const BOBS = `/resource-lists/users/${impuOf('bob')}/index`
const UNKNOWN_BTID = 'I1U8vpY3qJ0hiuZNrke/NQ==@bsf.example.org'

interface Answer {
  readonly status: number
  readonly type: string
  readonly text: string
  // what is read of it differs from test to test
  // biome-ignore lint/suspicious/noExplicitAny: JSON
  readonly json: any
}

interface Asked {
  readonly lab: TestLab
  readonly port: number
  call(method: string, path: string, headers?: Record<string, string>, body?: unknown): Promise<Answer>
  /** Everything that was answered. */
  readonly answers: string[]
  impi(name: 'alice' | 'bob'): string
  /** K and OPc of the lab's subscribers, in hex. */
  readonly keys: readonly string[]
}

async function asked(options: TestLabOptions = {}): Promise<Asked> {
  const lab = await testLab({ admin: { port: 0 }, ...options })
  const port = lab.app.addresses.admin?.port ?? 0
  const { subscribers } = parse(readFileSync(lab.config.hss?.subscribersFile ?? '', 'utf8'))
  const answers: string[] = []
  return {
    lab,
    port,
    answers,
    keys: subscribers.flatMap(({ k, opc }: { k: string; opc: string }) => [k, opc]),
    impi: (name) => subscribers.find(({ impus }: { impus: string[] }) => impus.includes(impuOf(name)))?.impi ?? '',
    async call(method, path, headers = {}, body) {
      const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
        method,
        headers: { ...headers, ...(body !== undefined && { 'content-type': 'application/json' }) },
        ...(body !== undefined && { body: typeof body === 'string' ? body : JSON.stringify(body) }),
      })
      const text = await answer.text()
      answers.push(text)
      return {
        status: answer.status,
        type: answer.headers.get('content-type') ?? '',
        text,
        json: text === '' ? undefined : JSON.parse(text),
      }
    },
  }
}

const WANTED = { 'x-requested-with': 'test' }
const at = (btid: string) => `/admin/bootstraps/${encodeURIComponent(btid)}`

describe('bootstraps, for operators', () => {
  let site: Asked
  before(async () => {
    site = await asked()
  })
  after(() => site.lab.close())

  test('are told by subscriber and by B-TID, with the NAFs that asked and without keys', async () => {
    const { call, impi, lab } = site
    const ue = await handUe(lab)
    assert.equal((await ue.request('GET', OWN)).status, 404)
    const named = await call('GET', `/admin/bootstraps?impi=${encodeURIComponent(impi('alice'))}`)
    assert.equal(named.status, 200)
    const [first] = named.json.bootstraps
    assert.deepEqual(Object.keys(first), ['btid', 'impi', 'createdAt', 'expiresAt', 'gbaType', 'nafs'])
    assert.deepEqual([named.json.impi, first.impi, first.gbaType], [impi('alice'), impi('alice'), '3G_GBA'])
    assert.deepEqual(first.nafs, [ue.naf])
    const byBtid = await call('GET', at(ue.btid))
    assert.deepEqual([byBtid.status, byBtid.json.bootstrap.btid], [200, ue.btid])
    // what the operator did not name is told as in the log, and can be asked for as such
    assert.match(first.btid, /^[0-9a-f]{12}$/)
    assert.match(byBtid.json.bootstrap.impi, /^[0-9a-f]{12}$/)
    const again = await call('GET', `/admin/bootstraps?impi=${byBtid.json.bootstrap.impi}`)
    assert.deepEqual([again.json.impi, again.json.bootstraps.length], [byBtid.json.bootstrap.impi, 1])
    assert.equal((await call('GET', at(first.btid))).json.bootstrap.btid, first.btid)
  })

  test('of nobody are none, and what names nobody is not found', async () => {
    const { call, impi } = site
    assert.deepEqual((await call('GET', `/admin/bootstraps?impi=${impi('bob')}`)).json.bootstraps, [])
    for (const path of [at(UNKNOWN_BTID), at('0123456789ab'), '/admin/bootstraps/', '/admin/bootstraps?impi=nobody']) {
      const { status, type } = await call('GET', path)
      assert.deepEqual([path, status, type], [path, 404, 'application/problem+json'])
    }
    for (const path of ['/admin/bootstraps', '/admin/bootstraps?impi=a@b&impi=c@d', '/admin/bootstraps?impu=x']) {
      assert.equal((await call('GET', path)).status, 400)
    }
  })

  for (const by of ['B-TID', 'pseudonym'] as const) {
    test(`one that is dropped by its ${by} is 401 at once, and the UE comes again with a new one`, async () => {
      const { call, impi, lab } = site
      const [hand, ue] = [await handUe(lab), await lab.ue('bob')]
      assert.equal((await hand.request('GET', OWN)).status, 404)
      assert.equal((await ue.request('GET', lab.url(BOBS))).status, 404)
      const { btid } = await ue.credentials(lab.url('/'))
      const ofBob = await call('GET', `/admin/bootstraps?impi=${impi('bob')}`)
      const name: string = by === 'B-TID' ? btid : ofBob.json.bootstraps[0].btid
      const handName =
        by === 'B-TID' ? hand.btid : (await call('GET', `/admin/subscribers/${impi('alice')}`)).json.bootstraps[0].btid
      assert.deepEqual((await call('DELETE', at(name), WANTED)).json, { btid: name, bsf: true, cachedKeys: 1 })
      assert.equal((await call('DELETE', at(handName), WANTED)).status, 200)
      assert.equal((await call('DELETE', at(name), WANTED)).status, 404)

      assert.equal((await hand.request('GET', OWN)).status, 401)
      const before = lab.app.audit.count('ub.bootstrapped')
      assert.equal((await ue.request('GET', lab.url(BOBS))).status, 404)
      assert.equal(lab.app.audit.count('ub.bootstrapped'), before + 1)
      assert.notEqual((await ue.credentials(lab.url('/'))).btid, btid)
      assert.ok(lab.decisions.some(({ record }) => record.btid === btid && record.code === 'ZN_BTID_UNKNOWN'))
    })
  }
})

test('one that is dropped, or ended by a demand, is 401 on the very connection that it was served on', async () => {
  const { call, lab } = await asked()
  for (const end of [
    (btid: string) => call('DELETE', at(btid), WANTED),
    (btid: string) => call('POST', '/admin/rebootstrap', {}, { btid }),
  ]) {
    const ue = await handUe(lab)
    const connection = await rawConnect(ue.at)
    const status = async () => {
      connection.write(await ue.signed('GET', OWN))
      return (await connection.answer()).status
    }
    for (let i = 0; i < 4; i++) assert.equal(await status(), 404)
    assert.ok((await end(ue.btid)).status < 300)
    assert.equal(await status(), 401)
    connection.close()
  }
  await lab.close()
})

describe('a subscriber, for operators', () => {
  let site: Asked
  before(async () => {
    site = await asked()
  })
  after(() => site.lab.close())
  const path = () => `/admin/subscribers/${encodeURIComponent(site.impi('alice'))}`

  test('is told with SQN, live B-TIDs and the last refusals', async () => {
    const { call, lab } = site
    const fresh = await call('GET', path())
    assert.deepEqual([fresh.status, fresh.json.bootstraps, fresh.json.refusals], [200, [], []])
    const ue = await handUe(lab)
    assert.equal((await ue.request('GET', BOBS)).status, 403)
    assert.equal((await ue.request('GET', OWN, { response: '0'.repeat(32) })).status, 401)
    const { json } = await call('GET', path())
    assert.match(json.sqn, /^[0-9a-f]{12}$/)
    assert.ok(json.sqn > fresh.json.sqn)
    assert.equal(json.bootstraps.length, 1)
    assert.deepEqual(
      json.refusals.map(({ code, status }: { code: string; status: number }) => [code, status]),
      [
        ['UA_RESPONSE_WRONG', 401],
        ['UT_TREE_NOT_OWNED', 403],
      ],
    )
    const [{ btid }] = json.bootstraps
    assert.ok(json.refusals.every((refusal: { btid: string }) => refusal.btid === btid))
    // a detail may name anybody
    assert.ok(json.refusals.every((refusal: object) => !('detail' in refusal)))
    assert.ok(!JSON.stringify(json.refusals).includes('sip:'))
  })

  test('that nobody knows is not found', async () => {
    assert.equal((await site.call('GET', '/admin/subscribers/nobody@example.org')).status, 404)
    assert.equal((await site.call('GET', '/admin/subscribers/0123456789ab')).status, 404)
  })
})

test('where identities may be in clear, they are', async () => {
  const { call, impi, lab } = await asked({ log: { identities: 'clear' } })
  const ue = await handUe(lab)
  assert.equal((await ue.request('GET', BOBS)).status, 403)
  const { json } = await call('GET', `/admin/subscribers/${impi('alice')}`)
  assert.equal(json.bootstraps[0].btid, ue.btid)
  assert.equal(json.refusals[0].btid, ue.btid)
  assert.equal(typeof json.refusals[0].detail, 'string')
  await lab.close()
})

describe('forcing a new bootstrap', () => {
  const later = (ms: number) => new Date(Date.now() + ms).toISOString()

  test('of a subscriber holds within seconds and is in the file of demands, behind what stood there', async () => {
    const clock = { now: Date.now() + 60_000 }
    const site = await asked({
      now: () => clock.now,
      async prepare(directory) {
        const rebootstrapFile = join(directory, 'demands.yaml')
        writeFileSync(rebootstrapFile, '# by hand\n')
        return { rebootstrapFile }
      },
    })
    const { call, lab } = site
    const file = lab.config.ap?.rebootstrapFile ?? ''
    const [alice, bob] = [await lab.ue('alice'), await lab.ue('bob')]
    const both = async () => {
      assert.equal((await alice.request('GET', lab.url(OWN))).status, 404)
      assert.equal((await bob.request('GET', lab.url(BOBS))).status, 404)
    }
    await both()
    clock.now += 1_000
    const answer = await call('POST', '/admin/rebootstrap', {}, { impu: impuOf('alice') })
    assert.equal(answer.status, 202)
    assert.deepEqual(answer.json, {
      demand: { impu: impuOf('alice'), since: new Date(clock.now).toISOString() },
      holdsWithinS: 2,
      keptIn: 'file',
    })
    assert.ok(readFileSync(file, 'utf8').startsWith('# by hand\n- {"impu":'))
    for (let tries = 0; tries < 100; tries++) {
      await both()
      if (lab.decisions.some(({ record }) => record.code === 'UA_REBOOTSTRAP_DEMANDED')) break
      await delay(100)
    }
    await both()
    assert.equal(lab.decisions.filter(({ record }) => record.code === 'UA_REBOOTSTRAP_DEMANDED').length, 1)
    assert.equal(lab.app.audit.count('ub.bootstrapped'), 3)

    for (const body of [{ all: true, since: later(0) }, { btid: UNKNOWN_BTID }]) {
      assert.equal((await call('POST', '/admin/rebootstrap', {}, body)).status, 202)
    }
    for (const body of [
      {},
      [],
      '',
      'x',
      { all: false },
      { impu: 'alice' },
      { btid: 'x' },
      { all: true, since: '2026-01-31' },
      { all: true, impu: impuOf('alice') },
      { all: true, now: true },
    ]) {
      assert.equal((await call('POST', '/admin/rebootstrap', {}, body)).status, 400)
    }
    assert.equal((await call('POST', '/admin/rebootstrap', {}, { impu: 'x'.repeat(5_000) })).status, 413)
    // what cannot be read back is not written
    appendFileSync(file, 'broken')
    assert.equal((await call('POST', '/admin/rebootstrap', {}, { all: true })).status, 409)
    assert.ok(readFileSync(file, 'utf8').endsWith('broken'))
    await lab.close()
  })

  test('is kept in memory where no file is set, and holds at once', async () => {
    const { call, lab } = await asked()
    const [ue, bob] = [await handUe(lab), await handUe(lab, { name: 'bob' })]
    assert.equal((await ue.request('GET', OWN)).status, 404)
    await delay(2)
    const { json, status } = await call('POST', '/admin/rebootstrap', {}, { impu: impuOf('alice') })
    assert.deepEqual([status, json.keptIn, json.holdsWithinS], [202, 'memory', 0])
    assert.equal((await ue.request('GET', OWN)).status, 401)
    assert.equal((await bob.request('GET', BOBS)).status, 404)
    assert.equal((await (await handUe(lab)).request('GET', OWN)).status, 404)
    const { ap } = lab.config
    assert.ok(ap)
    lab.app.change({ ...lab.config, ap: { ...ap, routes: ap.routes.map((route) => ({ ...route, maxKeyAgeS: 77 })) } })
    assert.equal((await ue.request('GET', OWN)).status, 401)
    await lab.close()
  })
})

test('routes are told as they are in use, those of a reload too', async () => {
  const { call, lab } = await asked()
  const routes = async () => (await call('GET', '/admin/routes')).json.routes
  const [first] = await routes()
  assert.deepEqual([first.host, first.pathPrefix, first.appServer, first.doors], ['', '/', 'lab', ['psk', 'digest']])
  assert.deepEqual(first.challenge.algorithms, ['MD5'])
  const { ap } = lab.config
  assert.ok(ap)
  const changed = { ...lab.config, ap: { ...ap, routes: ap.routes.map((route) => ({ ...route, maxKeyAgeS: 77 })) } }
  lab.app.change(changed)
  assert.deepEqual(
    (await routes()).map(({ maxKeyAgeS }: { maxKeyAgeS: number }) => maxKeyAgeS),
    [77],
  )
  await lab.close()
})

describe('the tail of decisions', () => {
  let site: Asked
  before(async () => {
    site = await asked()
  })
  after(() => site.lab.close())

  const follow = (query: string) => followDecisions(site.port, query)

  test('brings each decision as it is made, as the log has it', async () => {
    const { answer, end, lines } = await follow('')
    assert.deepEqual([answer.status, answer.headers.get('content-type')], [200, 'application/x-ndjson'])
    const ue = await handUe(site.lab)
    assert.equal((await ue.request('GET', BOBS)).status, 403)
    await eventually('the refusal is told', () => lines.some(({ code }) => code === 'UT_TREE_NOT_OWNED'))
    assert.ok(['ub.challenged', 'ub.bootstrapped'].every((event) => lines.some((line) => line.event === event)))
    const refusal = lines.find(({ code }) => code === 'UT_TREE_NOT_OWNED')
    assert.match(String(refusal?.btid), /^[0-9a-f]{12}$/)
    assert.ok(!JSON.stringify(lines).includes('sip:'))
    assert.ok(!('detail' in (refusal ?? {})))
    site.answers.push(JSON.stringify(lines))
    await end()
  })

  test('brings those only that are wanted', async () => {
    const byCode = await follow('&code=UT_TREE_NOT_OWNED')
    const byEvent = await follow('&event=ub.bootstrapped')
    const ue = await handUe(site.lab)
    assert.equal((await ue.request('GET', BOBS)).status, 403)
    await eventually('both have heard', () => byCode.lines.length > 0 && byEvent.lines.length > 0)
    assert.deepEqual([byCode.lines.length, byEvent.lines.length], [1, 1])
    await byCode.end()
    await byEvent.end()
    const recent = await site.call('GET', '/admin/decisions?code=UT_TREE_NOT_OWNED')
    assert.ok(recent.json.refusals.length > 0)
    for (const query of ['code=X', 'event=x', 'follow=2', 'more=1']) {
      assert.equal((await site.call('GET', `/admin/decisions?${query}`)).status, 400)
    }
  })

  test('has eight readers at most', async () => {
    const readers = await Promise.all(Array.from({ length: 8 }, () => follow('')))
    assert.equal((await site.call('GET', '/admin/decisions?follow=1')).status, 429)
    await Promise.all(readers.map((reader) => reader.end()))
  })
})

describe('whoever calls the admin API', () => {
  let site: Asked
  before(async () => {
    site = await asked()
  })
  after(() => site.lab.close())
  const calls = () => site.lab.decisions.flatMap(({ event, record }) => (event === 'admin.called' ? [record] : []))

  test('is recorded, and what was asked about stands there as identities do', async () => {
    const { call, impi, lab } = site
    const ue = await handUe(lab)
    await call('GET', `/admin/subscribers/${impi('alice')}`)
    await call('DELETE', at(ue.btid), WANTED)
    await call('GET', at(UNKNOWN_BTID))
    const shown = calls().map(({ method, path, source, status }) => [method, path, status, source])
    assert.deepEqual(shown, [
      ['GET', '/admin/subscribers/{impi}', 200, '127.0.0.1'],
      ['DELETE', '/admin/bootstraps/{btid}', 200, '127.0.0.1'],
      ['GET', '/admin/bootstraps/{btid}', 404, '127.0.0.1'],
    ])
    assert.deepEqual(
      calls().map(({ btid }) => btid),
      [undefined, ue.btid, UNKNOWN_BTID],
    )
    const written = lab
      .logged()
      .split('\n')
      .filter((line) => line.includes('"admin.called"'))
    assert.equal(written.length, 3)
    assert.ok(!written.join().includes(ue.btid) && !written.join().includes(impi('alice')))
  })

  for (const headers of [
    {},
    { 'content-type': 'text/plain' },
    { 'content-type': 'application/x-www-form-urlencoded' },
  ]) {
    test(`changes nothing as a form of a browser could: ${JSON.stringify(headers)}`, async () => {
      const { call, lab } = site
      const ue = await handUe(lab)
      const before = calls().length
      const removal = await call('DELETE', at(ue.btid), headers)
      assert.deepEqual([removal.status, removal.type], [403, 'application/problem+json'])
      const answer = await fetch(`http://127.0.0.1:${site.port}/admin/rebootstrap`, {
        method: 'POST',
        headers,
        body: Buffer.from('{"all":true}'),
      })
      assert.equal(answer.status, 403)
      assert.equal((await call('GET', at(ue.btid))).status, 200)
      assert.deepEqual(
        calls()
          .slice(before)
          .map(({ status }) => status),
        [403, 403, 200],
      )
    })
  }

  test('is refused under a name that is not of this host, and recorded', async () => {
    const before = calls().length
    const status = await new Promise((resolve, reject) => {
      const to = { host: '127.0.0.1', port: site.port, path: '/admin/routes', headers: { host: 'rebound.example.org' } }
      httpRequest(to, (response) => {
        response.resume()
        resolve(response.statusCode)
      })
        .once('error', reject)
        .end()
    })
    assert.equal(status, 421)
    await eventually('it is recorded', () => calls().length > before)
    assert.deepEqual(calls().at(-1)?.status, 421)
  })

  test('finds no key in any answer', async () => {
    const { answers, call, impi, keys, lab } = site
    const ue = await handUe(lab)
    assert.equal((await ue.request('GET', BOBS)).status, 403)
    for (const path of [
      `/admin/bootstraps?impi=${impi('alice')}`,
      at(ue.btid),
      `/admin/subscribers/${impi('alice')}`,
      '/admin/routes',
      '/admin/decisions',
    ]) {
      assert.equal((await call('GET', path)).status, 200)
    }
    await call('DELETE', at(ue.btid), WANTED)
    const all = answers.join('\n')
    const secrets = [...keys.map((hex) => Buffer.from(hex, 'hex')), Buffer.from(ue.password, 'base64')]
    assert.ok(secrets.length > 4 && secrets.every(({ length }) => length >= 16))
    for (const secret of secrets) {
      for (const form of ['hex', 'base64', 'base64url'] as const) assert.ok(!all.includes(secret.toString(form)))
    }
    assert.doesNotMatch(all, /"(?:ks|k|opc?|ck|ik|xres|rand|autn|ksNaf|password)":/i)
  })
})
