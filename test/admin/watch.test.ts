import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type WatchOptions, watchProcess } from '../../src/admin/watch.ts'
import { labConfig } from '../../src/lab.ts'
import { openState, type State, type StoreHealth } from '../../src/state.ts'
import { metricsOf, sumOf } from '../support/admin.ts'

const config = labConfig('/nowhere', { ub: 0, zn: 0, ap: 0, as: 0 }, { store: { kind: 'memory' } })

function watched(health: StoreHealth | (() => never), changed: Partial<WatchOptions> = {}) {
  const state: State = {
    ...openState(config),
    health: typeof health === 'function' ? health : () => health,
    accessLogDropped: () => 7,
  }
  return watchProcess({
    config: () => config,
    state,
    now: () => 1000,
    isDraining: () => false,
    keyCounts: () => undefined,
    expiries: () => [],
    appServerStates: () => [],
    load: () => undefined,
    isWorker: false,
    ...changed,
  })
}

describe('what is told of one process', () => {
  test('has the store as it is: its size, what is left, and whether it takes writes', async () => {
    const scraped = await metricsOf(watched({ kind: 'lmdb', state: 'read-only', bytes: 4096, freeBytes: 12 }))
    assert.deepEqual(
      ['store_writable', 'store_size_bytes', 'store_free_bytes', 'access_log_dropped_total'].map((name) =>
        sumOf(scraped, `gba_proxy_${name}`),
      ),
      [0, 4096, 12, 7],
    )
  })

  test('has a store whose access logs alone are not written as one that takes no writes, and yet is ready', async () => {
    for (const accessLog of ['read-only', 'restart-needed'] as const) {
      const watch = watched({ kind: 'lmdb', state: 'writable', accessLog })
      assert.equal(sumOf(await metricsOf(watch), 'gba_proxy_store_writable'), 0)
      const { ready, reasons, store } = watch.readiness()
      assert.deepEqual([ready, reasons, store.accessLog], [true, [], accessLog])
    }
    const well = watched({ kind: 'lmdb', state: 'writable', accessLog: 'writable' })
    assert.equal(sumOf(await metricsOf(well), 'gba_proxy_store_writable'), 1)
  })

  test('lacks what a store cannot tell, and nothing else', async () => {
    const closed = () => {
      throw new Error('closed')
    }
    const scraped = await metricsOf(watched(closed))
    assert.equal(scraped.has('gba_proxy_store_writable'), false)
    assert.equal(sumOf(scraped, 'gba_proxy_workers'), 1)
    assert.equal(
      (await metricsOf(watched({ kind: 'memory', state: 'writable' }))).has('gba_proxy_store_size_bytes'),
      false,
    )
  })

  test('has the caches of Zn, those that are shared as well', async () => {
    const shared = { hits: 4, misses: 5, failures: 6 }
    const keyCounts = () => ({ known: 1, unknown: 2, hits: 3, unknownHits: 8, misses: 9, shared })
    const scraped = await metricsOf(watched({ kind: 'memory', state: 'writable' }, { keyCounts }))
    const of = (name: string, ...words: string[]) => words.map((word) => sumOf(scraped, `gba_proxy_${name}`, word))
    assert.deepEqual(of('zn_cache_entries', 'known', 'unknown'), [1, 2])
    assert.deepEqual(of('zn_cache_lookups_total', 'hit', 'unknown', 'miss'), [3, 8, 9])
    assert.deepEqual(of('zn_shared_lookups_total', 'hit', 'miss', 'failure'), [4, 5, 6])
  })

  test('has each file once, however many use it', async () => {
    const expiry = { kind: 'ca', file: '/ca.pem', expiresAt: 5000 } as const
    const watch = watched({ kind: 'memory', state: 'writable' }, { expiries: () => [expiry, expiry] })
    assert.equal(sumOf(await metricsOf(watch), 'gba_proxy_tls_expiry_timestamp_seconds'), 5)
    assert.equal(watch.readiness().certificates.length, 1)
  })

  test('adds up the pools of one application server, which each listener has for itself', async () => {
    const watch = watched({ kind: 'memory', state: 'writable' })
    watch.registerUpstream('lab', () => ({ open: 2, waiting: 0 }))
    watch.registerUpstream('lab', () => ({ open: 3, waiting: 1 }))
    const scraped = await metricsOf(watch)
    assert.equal(scraped.get('gba_proxy_upstream_connections{app_server="lab"}'), 5)
    assert.equal(scraped.get('gba_proxy_upstream_waiting_requests{app_server="lab"}'), 1)
  })

  test('has each address of the application servers, and what the process takes on', async () => {
    const lab = { name: 'lab', isLeftAlone: false, inFlight: 0 }
    const scraped = await metricsOf(
      watched(
        { kind: 'memory', state: 'writable' },
        {
          appServerStates: () => [
            { ...lab, url: 'http://a:1', state: 'closed' },
            { ...lab, url: 'http://b:1', state: 'half-open' },
          ],
          load: () => ({ inFlight: 3, isLate: false, refused: { 'in-flight': 4, 'loop-delay': 5 } }),
        },
      ),
    )
    const up = (address: string) => scraped.get(`gba_proxy_app_server_up{app_server="lab",address="${address}"}`)
    assert.deepEqual([up('1'), up('2')], [1, 0])
    assert.equal(sumOf(scraped, 'gba_proxy_requests_in_flight'), 3)
    const shed = (reason: string) => sumOf(scraped, 'gba_proxy_requests_shed_total', reason)
    assert.deepEqual([shed('in-flight'), shed('loop-delay')], [4, 5])
  })

  test('says that it is not ready while no address of any application server is tried', () => {
    const states = (...alone: boolean[]) =>
      alone.map(
        (isLeftAlone, i) => ({ name: 'lab', url: `http://${i}`, state: 'open', isLeftAlone, inFlight: 0 }) as const,
      )
    const readiness = (...alone: boolean[]) =>
      watched({ kind: 'memory', state: 'writable' }, { appServerStates: () => states(...alone) }).readiness()
    assert.deepEqual(readiness(true, true).reasons, ['app-servers-down'])
    assert.equal(readiness(true, true).appServers.lab?.state, 'down')
    for (const one of [readiness(true, false), readiness()]) assert.equal(one.ready, true)
  })

  test('says that it is not ready when the store takes no writes, and what is the matter with it', () => {
    const { ready, reasons, store } = watched({ kind: 'redis', state: 'unreachable' }).readiness()
    assert.deepEqual([ready, reasons, store.kind], [false, ['store-unreachable'], 'redis'])
  })

  test('does not say how many processes there are where it is one of several', async () => {
    const scraped = await metricsOf(watched({ kind: 'memory', state: 'writable' }, { isWorker: true }))
    assert.equal(scraped.has('gba_proxy_workers'), false)
  })
})
