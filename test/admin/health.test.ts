import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { DOWN_FOR_MS, type Facts, readinessOf, readinessOfHost, watchPeers } from '../../src/admin/health.ts'

const NOW = 1_800_000_000_000

const facts: Facts = {
  draining: false,
  store: { kind: 'lmdb', state: 'writable' },
  bsf: { state: 'up' },
  appServers: { xdms: { state: 'up' }, spare: { state: 'unknown' } },
  expiries: [],
}

describe('a process', () => {
  test('is ready with all that it needs', () => {
    assert.deepEqual(readinessOf(facts, NOW), {
      ready: true,
      reasons: [],
      draining: false,
      store: { kind: 'lmdb', state: 'writable' },
      bsf: { state: 'up' },
      appServers: facts.appServers,
      certificates: [],
    })
  })

  for (const [what, changed, reasons] of [
    ['while it drains', { draining: true }, ['draining']],
    ['while its store is read-only', { store: { kind: 'lmdb', state: 'read-only' } }, ['store-read-only']],
    ['while its store is out of reach', { store: { kind: 'redis', state: 'unreachable' } }, ['store-unreachable']],
    [
      'while all its application servers are down',
      { appServers: { xdms: { state: 'down' }, spare: { state: 'down' } } },
      ['app-servers-down'],
    ],
  ] as const) {
    test(`is not ready ${what}`, () => {
      const { ready, reasons: given } = readinessOf({ ...facts, ...changed }, NOW)
      assert.deepEqual([ready, given], [false, reasons])
    })
  }

  test('is ready while one of its application servers is down, its BSF is, or it has none', () => {
    for (const changed of [
      { appServers: { xdms: { state: 'down' }, spare: { state: 'unknown' } } },
      { bsf: { state: 'down' } },
      { appServers: {} },
    ] as const) {
      assert.equal(readinessOf({ ...facts, ...changed }, NOW).ready, true)
    }
  })

  test('tells of a certificate that has expired, and is ready', () => {
    const expiries = [
      { kind: 'certificate', file: '/a.pem', expiresAt: NOW },
      { kind: 'certificate', file: '/b.pem', expiresAt: NOW + 1 },
    ] as const
    const { ready, certificates } = readinessOf({ ...facts, expiries }, NOW)
    assert.equal(ready, true)
    assert.deepEqual(
      certificates.map(({ state }) => state),
      ['expired', 'valid'],
    )
  })
})

describe('a peer is told as last seen:', () => {
  const clock = { now: NOW }
  const watch = (isLocal = { bsf: false, hss: false }) =>
    watchPeers({ appServers: () => ['xdms', 'spare'], isLocal, now: () => clock.now })

  test('unknown, or local, until it was needed', () => {
    assert.deepEqual(watch().appServers(), { xdms: { state: 'unknown' }, spare: { state: 'unknown' } })
    assert.deepEqual([watch().bsf(), watch().hss()], [{ state: 'unknown' }, { state: 'unknown' }])
    const local = watch({ bsf: true, hss: true })
    assert.deepEqual([local.bsf(), local.hss()], [{ state: 'local' }, { state: 'local' }])
  })

  test('an application server by its answers, each by itself', () => {
    const peers = watch()
    peers.record('ut.forwarded', { appServer: 'xdms', status: 500 })
    peers.record('ut.refused', { appServer: 'spare', step: 'forward', code: 'UT_AS_TIMEOUT' })
    const { xdms, spare } = peers.appServers()
    assert.deepEqual(xdms, { state: 'up', lastUpAt: NOW })
    assert.deepEqual(spare, { state: 'down', lastDownAt: NOW, code: 'UT_AS_TIMEOUT' })
    peers.record('ut.forwarded', { appServer: 'spare', status: 200 })
    assert.equal(peers.appServers().spare?.state, 'up')
  })

  test('not by what was refused before it was asked, nor by names that nobody configured', () => {
    const peers = watch()
    peers.record('ut.refused', { appServer: 'xdms', step: 'authorise', code: 'UT_TREE_NOT_OWNED' })
    peers.record('ut.forwarded', { appServer: 'other' })
    assert.deepEqual(peers.appServers(), { xdms: { state: 'unknown' }, spare: { state: 'unknown' } })
  })

  test('an application server that a reload has brought is there, and one that it took away is not', () => {
    let names = ['xdms', 'spare']
    const peers = watchPeers({ appServers: () => names, isLocal: { bsf: false, hss: false }, now: () => NOW })
    peers.record('ut.forwarded', { appServer: 'xdms', status: 200 })
    names = ['spare', 'new']
    peers.record('ut.forwarded', { appServer: 'xdms', status: 200 })
    peers.record('ut.forwarded', { appServer: 'new', status: 200 })
    assert.deepEqual(peers.appServers(), { spare: { state: 'unknown' }, new: { state: 'up', lastUpAt: NOW } })
    names = ['xdms']
    assert.deepEqual(peers.appServers(), { xdms: { state: 'unknown' } })
  })

  test('a BSF is there when it says that it does not know a B-TID', () => {
    const peers = watch()
    peers.record('zn.fetched', { code: 'ZN_BSF_UNREACHABLE' })
    assert.equal(peers.bsf().state, 'down')
    peers.record('zn.fetched', { code: 'ZN_BTID_UNKNOWN' })
    assert.equal(peers.bsf().state, 'up')
  })

  test('an HSS by the vectors that it gives', () => {
    const peers = watch()
    peers.record('ub.refused', { code: 'ZH_HSS_UNREACHABLE' })
    assert.equal(peers.hss().state, 'down')
    peers.record('zh.av-drawn', {})
    assert.equal(peers.hss().state, 'up')
  })

  test('down for a while only, so that traffic comes back', () => {
    const peers = watch()
    peers.record('ut.refused', { appServer: 'xdms', step: 'forward', code: 'UT_AS_UNREACHABLE' })
    clock.now = NOW + DOWN_FOR_MS - 1
    assert.equal(peers.appServers().xdms?.state, 'down')
    clock.now = NOW + DOWN_FOR_MS
    assert.equal(peers.appServers().xdms?.state, 'unknown')
    clock.now = NOW
  })
})

describe('a host of several processes', () => {
  const ready = readinessOf(facts, NOW)
  const unready = readinessOf({ ...facts, appServers: { xdms: { state: 'down', lastDownAt: 5 } } }, NOW)

  test('is ready while one of them is', () => {
    const host = readinessOfHost(
      [
        { number: 1, readiness: unready },
        { number: 2, readiness: ready },
        { number: 3, readiness: undefined },
      ],
      false,
    )
    assert.equal(host.ready, true)
    assert.deepEqual(host.workers, [
      { number: 1, ready: false, reasons: ['app-servers-down'] },
      { number: 2, ready: true, reasons: [] },
      { number: 3, ready: false, reasons: ['silent'] },
    ])
  })

  test('is not when none is, or when it drains', () => {
    assert.deepEqual(readinessOfHost([], false).reasons, ['no-worker'])
    assert.deepEqual(readinessOfHost([{ number: 1, readiness: undefined }], false).reasons, ['no-worker'])
    const draining = readinessOfHost([{ number: 1, readiness: ready }], true)
    assert.deepEqual([draining.ready, draining.reasons], [false, ['draining']])
  })

  test('tells of the store that is least well, and of its access logs after that', () => {
    const of = (store: Facts['store'], number: number) => ({ number, readiness: readinessOf({ ...facts, store }, NOW) })
    const well = of({ kind: 'lmdb', state: 'writable', accessLog: 'writable' }, 1)
    const silent = of({ kind: 'lmdb', state: 'writable', accessLog: 'restart-needed' }, 2)
    const full = of({ kind: 'lmdb', state: 'read-only', accessLog: 'read-only' }, 3)
    assert.equal(readinessOfHost([well, silent], false).store?.accessLog, 'restart-needed')
    assert.equal(readinessOfHost([well, silent], false).ready, true)
    assert.equal(readinessOfHost([well, silent, full], false).store?.state, 'read-only')
  })

  test('tells of a peer what was seen last, by whomever', () => {
    const early = readinessOf({ ...facts, bsf: { state: 'down', lastDownAt: 5 } }, NOW)
    const late = readinessOf({ ...facts, bsf: { state: 'up', lastUpAt: 9 } }, NOW)
    const { bsf } = readinessOfHost(
      [
        { number: 1, readiness: early },
        { number: 2, readiness: late },
      ],
      false,
    )
    assert.deepEqual(bsf, { state: 'up', lastUpAt: 9 })
  })
})
