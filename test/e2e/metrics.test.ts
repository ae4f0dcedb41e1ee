import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { impuOf, LAB_NAF } from '../../src/lab.ts'
import { METRIC_NAMES, METRICS, type MetricName } from '../../src/observe/metric-definitions.ts'
import { ask, metricsOf, namesIn, parseExposition, type Scraped, scrape, sumOf } from '../support/admin.ts'
import { labApart } from '../support/apart.ts'
import { testBsf } from '../support/bsf.ts'
import { challengeOf, handUb } from '../support/hand-ub.ts'
import { apOf, type HandUe, handUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { rawConnect, rawExchange } from '../support/raw-client.ts'
import { scriptedAs } from '../support/scripted-as.ts'
import { eventually } from '../support/workers.ts'

const OWN = `/resource-lists/users/${impuOf('alice')}/index`
const METRIC = (name: string) => `gba_proxy_${name}`

/** Metrics that some test here has seen; the last one asks whether any is missing. */
const seen = new Set<string>()
const noted = (scraped: Scraped): Scraped => {
  for (const name of namesIn(scraped)) seen.add(name)
  return scraped
}

describe('metrics of a lab', () => {
  let lab: TestLab
  let port: number
  let ue: HandUe
  before(async () => {
    lab = await testLab({
      recording: true,
      admin: { port: 0 },
      store: undefined,
      traces: { enabled: true, endpoint: 'http://127.0.0.1:9/v1/traces' },
      ap: { accessLog: { enabled: true } },
    })
    port = lab.app.addresses.admin?.port ?? 0
    ue = await handUe(lab)
  })
  after(() => lab.close())

  const now = async () => noted(await scrape(port))
  /** By how much a metric moves while something is done. */
  async function moves(done: () => Promise<unknown>) {
    const before = await now()
    await done()
    const then = await now()
    return (name: string, ...words: readonly string[]) =>
      sumOf(then, METRIC(name), ...words) - sumOf(before, METRIC(name), ...words)
  }

  test('tell of a bootstrap: two messages, one vector', async () => {
    const by = await moves(() => handUe(lab, { name: 'bob' }))
    assert.deepEqual([by('bootstraps_total'), by('avs_drawn_total')], [1, 1])
    assert.equal(by('requests_total', 'ub', 'own'), 2)
    assert.equal(by('request_duration_seconds_count', 'ub'), 2)
  })

  test('tell of a login and of what became of it', async () => {
    const by = await moves(async () => {
      for (let i = 0; i < 3; i++) assert.equal((await ue.request('GET', OWN)).status, 200)
    })
    assert.equal(by('logins_total', 'digest'), 3)
    assert.equal(by('nonce_uses_total', 'accepted'), 3)
    assert.equal(by('ua_protocol_ids_total'), 3)
    assert.equal(by('requests_total', 'ut', '/', 'forwarded'), 3)
    assert.equal(by('request_duration_seconds_count', 'ut', 'forwarded'), 3)
    assert.equal(by('upstream_duration_seconds_count', 'lab', '2xx'), 3)
    assert.equal(by('ua_unauthorized_total', 'UA_CREDENTIALS_MISSING'), 1)
    assert.equal(by('requests_total', 'ut', 'refused', 'UA_CREDENTIALS_MISSING'), 1)
    assert.equal(by('zn_fetch_duration_seconds_count', 'none'), 1)
    assert.equal(by('zn_cache_lookups_total', 'miss'), 1)
    assert.ok(by('zn_cache_lookups_total', 'hit') >= 2)
    assert.ok(sumOf(await now(), METRIC('zn_cache_entries'), 'known') >= 1)
    assert.ok(sumOf(await now(), METRIC('upstream_connections'), 'lab') >= 1)
    assert.equal(sumOf(await now(), METRIC('app_server_up'), 'lab', '1'), 1)
    assert.equal(sumOf(await now(), METRIC('requests_shed_total')), 0)
    assert.equal(by('tls_connections_total', 'ap', 'TLSv1.3', 'TLS_AES_128_GCM_SHA256'), 4)
  })

  test('tell of replays and deviations', async () => {
    const nonce = await ue.freshNonce()
    const by = await moves(async () => {
      assert.equal((await ue.request('GET', OWN, { nonce, nc: 7 })).status, 200)
      assert.equal((await ue.request('GET', OWN, { nonce, nc: 7 })).status, 401)
      assert.equal((await ue.request('GET', OWN, { nonce, nc: 8, uri: `${OWN}/` })).status, 200)
    })
    assert.equal(by('nonce_uses_total', 'reused'), 1)
    assert.equal(by('ua_unauthorized_total', 'UA_NC_REUSED'), 1)
    assert.equal(by('tolerances_total', 'uri-trailing-slash'), 1)
  })

  test('tell of what the proxy answers itself', async () => {
    const log = `/internal.gba-proxy.access-log/users/${impuOf('alice')}/index`
    const by = await moves(async () => assert.equal((await ue.request('GET', log)).status, 200))
    assert.equal(by('requests_total', 'ut', 'own'), 1)
  })

  test('tell of handshakes that fail, by whose fault it is', async () => {
    const by = await moves(async () => {
      const clear = await rawConnect({ port: lab.app.addresses.ap?.port ?? 0 })
      clear.write(`GET / HTTP/1.1\r\nHost: ${LAB_NAF}\r\n\r\n`)
      await clear.closed
      const tls = { servername: 'other.example.org', ca: lab.ca }
      await assert.rejects(rawConnect({ port: lab.app.addresses.ap?.port ?? 0, tls }))
    })
    assert.equal(by('tls_handshake_failures_total', 'ap'), 2)
    assert.equal(by('tls_handshake_failures_total', 'ap', 'name-unknown'), 1)
  })

  test('tell of the store, of certificates, and of the program', async () => {
    const scraped = await now()
    assert.equal(sumOf(scraped, METRIC('store_writable')), 1)
    assert.ok(sumOf(scraped, METRIC('store_size_bytes')) > 0)
    assert.ok(sumOf(scraped, METRIC('store_free_bytes')) > 0)
    const certificate = join(lab.directory, 'certs', 'ap.pem')
    const end = sumOf(scraped, METRIC('tls_expiry_timestamp_seconds'), 'certificate', certificate)
    assert.ok(end * 1000 > Date.now())
    assert.equal(sumOf(scraped, METRIC('build_info'), process.version), 1)
    assert.deepEqual(
      ['workers', 'workers_alive', 'workers_silent', 'worker_replacements_total', 'draining'].map((name) =>
        sumOf(scraped, METRIC(name)),
      ),
      [1, 1, 0, 0, 0],
    )
    assert.equal(sumOf(scraped, METRIC('access_log_dropped_total')), 0)
    for (const name of [
      'process_cpu_seconds_total',
      'process_resident_memory_bytes',
      'nodejs_eventloop_lag_p99_seconds',
    ]) {
      assert.ok(scraped.has(name), name)
    }
  })

  test('have the type and the help of their definitions, and no label but theirs', async () => {
    const { text } = await ask(port, '/metrics')
    for (const name of namesIn(parseExposition(text))) {
      if (!name.startsWith('gba_proxy_')) continue
      const { type, help, labels } = METRICS[name as MetricName]
      assert.ok(text.includes(`# TYPE ${name} ${type}\n`), name)
      assert.ok(text.includes(`# HELP ${name} ${help}\n`), name)
      const lines = text.split('\n').filter((line) => line.startsWith(`${name}{`))
      const used = lines.flatMap((line) => [...line.matchAll(/([a-z_]+)="/g)].map(([, label = '']) => label))
      assert.deepEqual(
        used.filter((label) => !(label in labels)),
        [],
      )
    }
  })

  test('show nobody: no identity, no B-TID, no nonce, no key, after all of that', async () => {
    const nonce = await ue.freshNonce()
    await ue.request('GET', OWN, { nonce })
    await ue.request('GET', `/resource-lists/users/${impuOf('bob')}/index`)
    const { impi } = await lab.sim()
    const { text } = await ask(port, '/metrics')
    for (const word of ['alice', 'bob', impi, impi.split('@')[0] ?? '', ue.btid, ue.btid.split('@')[0] ?? '', nonce]) {
      assert.ok(word !== '' && !text.includes(word), word)
    }
    assert.ok(!text.includes(ue.password))
    assert.doesNotMatch(text, /[@]|sip:|tel:|001010000|127\.0\.0\.1/)
  })
})

test('a resynchronisation counts, with the vector that it costs', async () => {
  const bsf = await testBsf({})
  try {
    const ub = handUb(bsf.at, bsf.cards[0])
    const challenge = challengeOf(await ub.hello())
    const auts = ub.autsFor(challenge, ub.sqnOf(challenge) + 5000 * 32)
    challengeOf(await ub.send(ub.answerTo(challenge, { auts, password: new Uint8Array() })))
    const scraped = noted(await metricsOf(bsf.app))
    assert.equal(sumOf(scraped, METRIC('resyncs_total')), 1)
    assert.equal(sumOf(scraped, METRIC('avs_drawn_total')), 2)
  } finally {
    await bsf.close()
  }
})

test('an AP and a BSF apart count both ends of Zn, and what APs share', async () => {
  const apart = await labApart()
  try {
    const store = { kind: 'lmdb', directory: join(apart.directory, 'state') }
    const ap = await apart.startAp({}, store)
    const ue = await handUe(ap)
    assert.equal((await ue.request('GET', OWN)).status, 200)
    const there = noted(await metricsOf(apart.bsf.app))
    assert.equal(sumOf(there, METRIC('requests_total'), 'zn', 'own'), 1)
    assert.equal(sumOf(there, METRIC('tls_connections_total'), 'zn'), 1)
    const here = noted(await metricsOf(ap.app))
    assert.equal(sumOf(here, METRIC('zn_fetch_duration_seconds_count'), 'none'), 1)
    assert.equal(sumOf(here, METRIC('zn_shared_lookups_total'), 'miss'), 1)
    assert.deepEqual([ap.app.readiness().bsf?.state, ap.app.readiness().appServers.scripted?.state], ['up', 'up'])

    const other = await apart.startAp({ port: 0 }, store)
    assert.equal((await rawExchange(apOf(other), await ue.signed('GET', OWN))).status, 200)
    assert.equal(sumOf(await metricsOf(other.app), METRIC('zn_shared_lookups_total'), 'hit'), 1)
  } finally {
    await apart.close()
  }
})

test('an application server that hangs makes a queue, that is seen, and then failures by their code', async () => {
  const silent = await scriptedAs(() => {})
  const lab = await testLab({
    as: null,
    ap: {
      appServers: [
        { name: 'hangs', url: silent.url, connections: 1, waitMs: 5000, timeoutMs: 400, connectTimeoutMs: 300 },
      ],
      routes: [{ appServer: 'hangs' }],
    },
  })
  try {
    const ue = await handUe(lab)
    const nonce = await ue.freshNonce()
    const answers = [1, 2, 3].map((nc) => ue.request('GET', OWN, { nonce, nc }))
    let waiting = 0
    const look = async () => {
      waiting = sumOf(noted(await metricsOf(lab.app)), METRIC('upstream_waiting_requests'), 'hangs')
      if (waiting === 0) setTimeout(look, 10)
    }
    void look()
    await eventually('somebody waits', () => waiting > 0)
    for (const answer of answers) assert.equal((await answer).status, 504)
    const scraped = noted(await metricsOf(lab.app))
    assert.equal(sumOf(scraped, METRIC('upstream_failures_total'), 'hangs', 'UT_AS_TIMEOUT'), 3)
    const { ready, reasons, appServers } = lab.app.readiness()
    assert.deepEqual([ready, reasons, appServers.hangs?.code], [false, ['app-servers-down'], 'UT_AS_TIMEOUT'])
  } finally {
    await lab.close()
    await silent.close()
  }
})

test('every metric that is defined was told by one of these', () => {
  assert.deepEqual(
    METRIC_NAMES.filter((name) => !seen.has(name)),
    [],
  )
})
