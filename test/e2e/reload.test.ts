import assert from 'node:assert/strict'
import { cpSync, writeFileSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { RestartNeeded } from '../../src/config/changes.ts'
import { ConfigError } from '../../src/config/config-error.ts'
import type { ApConfig, Config, RouteConfig } from '../../src/config/schema.ts'
import { parseFqdn } from '../../src/core/identity.ts'
import { impuOf, LAB_NAF, LAB_SECOND_NAF } from '../../src/lab.ts'
import { renewPki } from '../../src/tls/pki-files.ts'
import { handUe } from '../support/hand-ue.ts'
import { keptLoad } from '../support/kept-load.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { rawConnect } from '../support/raw-client.ts'
import { type ScriptedAs, scriptedAs } from '../support/scripted-as.ts'

const OWN = `/resource-lists/users/${impuOf('alice')}/index`

type Change = (ap: ApConfig) => Partial<ApConfig>

/** The configuration of a lab with parts of its AP changed. */
function withAp({ config }: TestLab, change: Change): Config {
  if (!config.ap) throw new Error('a lab without an AP')
  return { ...config, ap: { ...config.ap, ...change(config.ap) } }
}

const firstRoute = ({ routes: [route] }: ApConfig): RouteConfig => route ?? assert.fail('no route')
const routesTo =
  (...prefixes: string[]): Change =>
  (ap) => ({ routes: ['/resource-lists', ...prefixes].map((pathPrefix) => ({ ...firstRoute(ap), pathPrefix })) })

/** Names where it answers, after a moment. */
const naming = (name: string, afterMs = 0): Promise<ScriptedAs> =>
  scriptedAs((socket) => {
    const answer = () => socket.write(`HTTP/1.1 200 OK\r\nX-Server: ${name}\r\nContent-Length: 2\r\n\r\nok`)
    if (afterMs > 0) setTimeout(answer, afterMs)
    else answer()
  })

async function eventually(isSo: () => boolean): Promise<void> {
  for (let tries = 0; !isSo(); tries++) {
    assert.ok(tries < 1000, 'never')
    await delay(10)
  }
}

for (const [lane, qop] of [
  ['the express lane', 'auth'],
  ['the general road', 'auth-int'],
] as const) {
  describe(`a change while it runs, on ${lane}`, () => {
    let first: ScriptedAs
    let second: ScriptedAs
    let slow: ScriptedAs
    let lab: TestLab
    before(async () => {
      ;[first, second, slow] = await Promise.all([naming('first'), naming('second'), naming('slow', 300)])
      lab = await testLab({
        as: null,
        ap: {
          appServers: [{ name: 'lab', url: first.url }],
          routes: ['/resource-lists', '/a'].map((pathPrefix) => ({ appServer: 'lab', pathPrefix })),
        },
      })
    })
    after(async () => {
      await lab?.close()
      await Promise.all([first, second, slow].map((as) => as?.close()))
    })

    const at =
      (url: string): Change =>
      (ap) => ({ appServers: ap.appServers.map((server) => ({ ...server, url })) })

    test('serves a route that came and refuses one that went, on one kept connection', async () => {
      const ue = await handUe(lab)
      const connection = await rawConnect(ue.at)
      const status = async (path: string) => {
        connection.write(await ue.signed('GET', path, { qop }))
        return (await connection.answer()).status
      }
      assert.equal(await status('/a/global/index'), 200)
      assert.equal(await status('/b/global/index'), 404)
      assert.deepEqual(lab.app.change(withAp(lab, routesTo('/b'))), ['ap.routes[1].pathPrefix'])
      assert.equal(await status('/b/global/index'), 200)
      assert.equal(await status('/a/global/index'), 404)
      assert.equal(lab.decisions.findLast(({ event }) => event === 'ut.refused')?.record.code, 'UT_ROUTE_UNKNOWN')
      assert.deepEqual(lab.app.change(lab.config), ['ap.routes[1].pathPrefix'])
      assert.deepEqual(lab.app.change(lab.config), [])
      connection.close()
    })

    test('lets a request end at the server that it set out for, and closes that one’s connections then', async () => {
      const ue = await handUe(lab)
      lab.app.change(withAp(lab, at(slow.url)))
      const connections = await Promise.all([rawConnect(ue.at), rawConnect(ue.at)])
      const [one, other] = connections
      one.write(await ue.signed('GET', '/a/global/index', { qop }))
      // All of it but the last octet of its body is there when the change comes.
      const put = await ue.signed('PUT', OWN, { qop, body: '<a/>' })
      other.write(put.subarray(0, -1))
      await eventually(() => slow.arrived.length === 1)
      lab.app.change(withAp(lab, at(second.url)))
      other.write(put.subarray(-1))
      const answers = await Promise.all([one.answer(), other.answer('PUT')])
      for (const { status, header } of answers) assert.deepEqual([status, header('x-server')], [200, 'slow'])
      one.write(await ue.signed('GET', '/a/global/index', { qop }))
      assert.equal((await one.answer()).header('x-server'), 'second')
      await eventually(() => slow.open() === 0)
      lab.app.change(lab.config)
      for (const each of connections) each.close()
    })

    test('keeps the connections to a server that stays as it is', async () => {
      const ue = await handUe(lab)
      const get = () => ue.request('GET', '/a/global/index', { qop })
      assert.equal((await get()).status, 200)
      const open = first.open()
      lab.app.change(withAp(lab, routesTo('/a', '/c')))
      assert.equal((await get()).status, 200)
      assert.equal(first.open(), open)
      lab.app.change(lab.config)
    })

    test('loses no request in 50 reloads and as many changes of certificates', async () => {
      const certs = join(lab.directory, 'certs')
      const [mine, others] = [join(lab.directory, 'before'), join(lab.directory, 'renewed')]
      for (const folder of [mine, others]) cpSync(certs, folder, { recursive: true })
      await renewPki(others, Date.now(), 30)
      const ue = await handUe(lab)
      const load = keptLoad(ue, { qops: [qop, qop, qop, qop], perConnection: 25 })
      const states: Config[] = [
        withAp(lab, at(second.url)),
        withAp(lab, (ap) => ({
          ...routesTo('/c', '/a')(ap),
          limits: { ...ap.limits, headerCount: 50 },
          tolerance: { ...ap.tolerance, refuse: ['nc-decimal'] },
        })),
        withAp(lab, (ap) => ({ appServers: ap.appServers.map((server) => ({ ...server, connections: 8 })) })),
        lab.config,
      ]
      for (let n = 0; n < 50; n++) {
        const served = load.count()
        lab.app.change(states[n % states.length] ?? lab.config)
        cpSync(n % 2 === 0 ? others : mine, certs, { recursive: true })
        assert.equal(lab.app.reload(), true)
        await eventually(() => load.count() >= served + 10)
      }
      await load.stop()
      const { 200: good = 0, ...failed } = Object.fromEntries(load.outcomes)
      assert.deepEqual(failed, {})
      assert.ok(good >= 500, String(good))
      lab.app.change(lab.config)
    })
  })
}

describe('a change while it runs', () => {
  let lab: TestLab
  before(async () => {
    lab = await testLab({ recording: true, ap: { nafs: [{ fqdn: LAB_NAF }] } })
  })
  after(() => lab?.close())

  test('is none at all where a key needs a restart, and names that key', async () => {
    const next = withAp(lab, (ap) => ({ ...routesTo('/elsewhere')(ap), port: 1, httpFront: 'fastify' }))
    assert.throws(
      () => lab.app.change(next),
      (error: unknown) => {
        assert.ok(error instanceof RestartNeeded)
        assert.deepEqual(error.keys, ['ap.port', 'ap.httpFront'])
        return true
      },
    )
    assert.equal((await (await handUe(lab)).request('GET', OWN)).status, 200)
  })

  test('is none at all where a file is not as needed', async () => {
    const missing = join(lab.directory, 'missing')
    for (const change of [
      (ap: ApConfig) => ({
        appServers: ap.appServers.map((server) => ({ ...server, url: 'https://127.0.0.1:1', caFile: missing })),
      }),
      () => ({ rebootstrapFile: missing }),
      () => ({ subscribersFile: missing }),
    ] as Change[]) {
      const next = withAp(lab, (ap) => ({ ...routesTo('/elsewhere')(ap), ...change(ap) }))
      assert.throws(() => lab.app.change(next), ConfigError)
    }
    assert.throws(() => lab.app.change({ ...lab.config, hss: { subscribersFile: missing, ind: 31 } }), ConfigError)
    assert.equal((await (await handUe(lab)).request('GET', OWN)).status, 200)
  })

  test('serves a NAF that came, from the handshake on, and no more when it goes', async () => {
    const second = parseFqdn(LAB_SECOND_NAF) ?? assert.fail()
    await assert.rejects(handUe(lab, { naf: second }).then((ue) => ue.request('GET', OWN)))
    lab.app.change(withAp(lab, ({ nafs }) => ({ nafs: nafs.flatMap((naf) => [naf, { ...naf, fqdn: second }]) })))
    const ue = await handUe(lab, { naf: second })
    const kept = await rawConnect(ue.at)
    kept.write(await ue.signed('GET', OWN))
    assert.equal((await kept.answer()).status, 200)
    lab.app.change(lab.config)
    kept.write(await ue.signed('GET', OWN))
    assert.ok((await kept.answer()).status >= 400)
    assert.equal(lab.decisions.at(-1)?.record.code, 'UA_NAF_UNKNOWN')
    kept.close()
    await assert.rejects(rawConnect(ue.at))
  })

  test('holds for limits, tolerances and the form of challenges', async () => {
    const ue = await handUe(lab)
    const next = withAp(lab, (ap) => ({
      limits: { ...ap.limits, headerCount: 8 },
      tolerance: { ...ap.tolerance, refuse: ['nc-gap'] },
      challenge: { ...ap.challenge, algorithms: ['SHA-256', 'MD5'] },
    }))
    const nonce = await ue.freshNonce()
    const status = async (nc: number, headers: string[] = []) =>
      (await ue.request('GET', OWN, { nonce, nc, headers })).status
    const many = Array.from({ length: 8 }, (_, i) => `X-H${i}: 1`)
    assert.equal(await status(1, many), 200)
    const keys = ['ap.tolerance.refuse', 'ap.challenge.algorithms', 'ap.limits.headerCount']
    assert.deepEqual(lab.app.change(next), keys)
    assert.equal(await status(2, many), 431)
    // That it has seen 1 is remembered over the change.
    assert.equal(await status(2), 200)
    assert.equal(await status(4), 400)
    assert.equal(lab.decisions.findLast(({ event }) => event === 'ut.refused')?.record.code, 'UA_DEVIATION_REFUSED')
    const challenged = await ue.send(
      Buffer.from(`GET ${OWN} HTTP/1.1\r\nHost: ${LAB_NAF}\r\nUser-Agent: x 3gpp-gba\r\n\r\n`),
    )
    assert.deepEqual(
      challenged.values('www-authenticate').map((line) => /algorithm=([^,]+)/.exec(line)?.[1]),
      ['SHA-256', 'MD5'],
    )
    lab.app.change(lab.config)
  })

  test('holds for the limits of Ub', async () => {
    const { bsf } = lab.config
    if (!bsf) throw new Error('a lab without a BSF')
    const perImpi = { burst: 1, perMinute: 1 }
    const trustedSources: never[] = []
    const limits = { ...bsf.ub.limits, perImpi, trustedSources }
    lab.app.change({ ...lab.config, bsf: { ...bsf, ub: { ...bsf.ub, limits } } })
    const ue = await lab.ue('bob')
    await ue.bootstrap()
    // The second one comes under its TMPI, which has a measure of its own.
    await ue.bootstrap()
    await assert.rejects(ue.bootstrap())
    assert.equal(lab.decisions.findLast(({ event }) => event === 'ub.refused')?.record.code, 'UB_TOO_MANY_REQUESTS')
    lab.app.change(lab.config)
    await ue.bootstrap()
  })

  test('reads the subscribers of the HSS again, and says so though no key changed', async () => {
    const file = join(lab.directory, 'subscribers.yaml')
    const text = await readFile(file, 'utf8')
    const ue = await lab.ue('carol')
    const { impi } = await lab.sim('carol')
    writeFileSync(file, text.replace(`impi: ${impi}`, 'impi: somebody@else.example'))
    assert.deepEqual(lab.app.change(lab.config), ['hss.subscribersFile'])
    await assert.rejects(ue.bootstrap())
    assert.equal(lab.decisions.findLast(({ event }) => event === 'ub.refused')?.record.code, 'ZH_IMPI_UNKNOWN')
    writeFileSync(file, text)
    assert.deepEqual(lab.app.change(lab.config), ['hss.subscribersFile'])
    await ue.bootstrap()
  })
})
