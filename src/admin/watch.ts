import { Server as TlsServer } from 'node:tls'
import type { Config } from '../config/schema.ts'
import type { EpochMs } from '../core/bytes.ts'
import type { LoadState } from '../load.ts'
import type { AuditEvent, AuditRecord } from '../observe/audit.ts'
import type { MetricReport } from '../observe/exposition.ts'
import { createMetrics, type Metrics } from '../observe/metrics.ts'
import type { SpanCounts } from '../observe/span-export.ts'
import type { Sample } from '../observe/tallies.ts'
import type { State, StoreHealth } from '../state.ts'
import type { Expiry } from '../tls/expiry.ts'
import { certificateEnd } from '../tls/files.ts'
import type { AppServerState } from '../ut/addresses.ts'
import { productVersion } from '../version.ts'
import type { KeyCacheCounts } from '../zn/cache.ts'
import { leftAlone, type Readiness, readinessOf, watchPeers } from './health.ts'

export interface WatchOptions {
  /** The configuration of now. */
  readonly config: () => Config
  readonly state: State
  readonly now: () => EpochMs
  readonly isDraining: () => boolean
  /** undefined: there is no cache, or not yet. */
  readonly keyCounts: () => KeyCacheCounts | undefined
  /** undefined: no traces are made. */
  readonly spanCounts?: () => SpanCounts | undefined
  /** Of the files that are followed while they change. */
  readonly expiries: () => readonly Expiry[]
  /** Each address of the application servers. */
  readonly appServerStates: () => readonly AppServerState[]
  /** What the proxy has taken on; undefined: there is none. */
  readonly load: () => LoadState | undefined
  /** Whether this is one of several processes, which another one counts. */
  readonly isWorker: boolean
}

/** Counts and watches what one process does, for its admin listener or that of its supervisor. */
export interface Watch {
  /** To be told of every decision. */
  readonly record: (event: AuditEvent, record: AuditRecord) => void
  readonly registerUpstream: Metrics['registerUpstream']
  /** Counts what connects to it, where it speaks TLS. */
  follow(listener: string, server: unknown): void
  metrics(): Promise<MetricReport>
  readiness(): Readiness
}

export function watchProcess(options: WatchOptions): Watch {
  const { state, now, isDraining } = options
  const config = options.config()
  const metrics = createMetrics()
  const peers = watchPeers({
    appServers: () => options.config().ap?.appServers.map(({ name }) => name) ?? [],
    isLocal: { bsf: config.ap?.zn.adapter === 'local', hss: config.hss !== undefined },
    now,
  })
  const fixed = fixedExpiries(config)
  const ofAppServers = appServerExpiries(options.config)
  const expiries = () => eachOnce([...options.expiries(), ...fixed, ...ofAppServers()])

  metrics.provide('gba_proxy_build_info', () => [
    { labels: { version: productVersion(), node: process.version }, value: 1 },
  ])
  metrics.provide('gba_proxy_draining', () => [{ value: Number(isDraining()) }])
  if (!options.isWorker) {
    metrics.provide('gba_proxy_workers', () => [{ value: 1 }])
    metrics.provide('gba_proxy_workers_alive', () => [{ value: 1 }])
    metrics.provide('gba_proxy_workers_silent', () => [{ value: 0 }])
    metrics.provide('gba_proxy_worker_replacements_total', () => [{ value: 0 }])
  }
  metrics.provide('gba_proxy_tls_expiry_timestamp_seconds', () =>
    expiries().map(({ kind, file, expiresAt }) => ({ labels: { kind, file }, value: expiresAt / 1000 })),
  )
  metrics.provide('gba_proxy_access_log_dropped_total', () => [{ value: state.accessLogDropped() }])
  metrics.provide('gba_proxy_trace_spans_total', () => {
    const counts = options.spanCounts?.()
    return Object.entries(counts ?? {}).map(([outcome, value]) => ({ labels: { outcome }, value }))
  })
  const store = (of: () => number | undefined) => (): Sample[] => {
    const value = of()
    return value === undefined ? [] : [{ value }]
  }
  metrics.provide(
    'gba_proxy_store_writable',
    store(() => Number(takesWrites(state.health()))),
  )
  metrics.provide(
    'gba_proxy_store_size_bytes',
    store(() => state.health().bytes),
  )
  metrics.provide(
    'gba_proxy_store_free_bytes',
    store(() => state.health().freeBytes),
  )
  provideKeyCounts(metrics, options.keyCounts)
  provideCare(metrics, options)

  return {
    record(event, record) {
      metrics.record(event, record)
      peers.record(event, record)
    },
    registerUpstream: metrics.registerUpstream,
    follow(listener, server) {
      if (server instanceof TlsServer) metrics.followTls(listener, server)
    },
    metrics: metrics.report,
    readiness: () =>
      readinessOf(
        {
          draining: isDraining(),
          store: state.health(),
          ...(config.ap && { bsf: peers.bsf() }),
          ...(config.bsf && { hss: peers.hss() }),
          appServers: leftAlone(peers.appServers(), options.appServerStates()),
          expiries: expiries(),
        },
        now(),
      ),
  }
}

/** All of it: an operator has to see to access logs that are not written, though every request is served. */
const takesWrites = ({ state, accessLog = 'writable' }: StoreHealth) => state === 'writable' && accessLog === 'writable'

function provideCare(metrics: Metrics, { appServerStates, load }: WatchOptions): void {
  // By their places: a URL may be an IP address, of which there are none in metrics.
  metrics.provide('gba_proxy_app_server_up', () => {
    const byServer = Map.groupBy(appServerStates(), ({ name }) => name)
    return [...byServer].flatMap(([name, states]) =>
      states.map(({ state }, i) => ({
        labels: { app_server: name, address: String(i + 1) },
        value: Number(state === 'closed'),
      })),
    )
  })
  metrics.provide('gba_proxy_requests_in_flight', () => {
    const state = load()
    return state ? [{ value: state.inFlight }] : []
  })
  metrics.provide('gba_proxy_requests_shed_total', () =>
    Object.entries(load()?.refused ?? {}).map(([reason, value]) => ({ labels: { reason }, value })),
  )
}

function provideKeyCounts(metrics: Metrics, read: WatchOptions['keyCounts']): void {
  const by = (label: string, counts: Readonly<Record<string, number>> = {}): Sample[] =>
    Object.entries(counts).map(([name, value]) => ({ labels: { [label]: name }, value }))
  metrics.provide('gba_proxy_zn_cache_entries', () => {
    const counts = read()
    return by('kind', counts && { known: counts.known, unknown: counts.unknown })
  })
  metrics.provide('gba_proxy_zn_cache_lookups_total', () => {
    const counts = read()
    return by('outcome', counts && { hit: counts.hits, unknown: counts.unknownHits, miss: counts.misses })
  })
  metrics.provide('gba_proxy_zn_shared_lookups_total', () => {
    const shared = read()?.shared
    return by('outcome', shared && { hit: shared.hits, miss: shared.misses, failure: shared.failures })
  })
}

/** Of the files that are read at the start alone. */
const fixedExpiries = ({ admin, ap, bsf }: Config): readonly Expiry[] =>
  expiriesOf([
    ['certificate', bsf?.zn?.tls.certificateFile],
    ['ca', bsf?.zn?.tls.clientCaFile],
    ['certificate', ap?.zn.certificateFile],
    ['ca', ap?.zn.caFile],
    ['certificate', admin?.tls?.certificateFile],
    ['ca', admin?.tls?.clientCaFile],
  ])

/** Of the files that are read whenever a configuration is taken over. */
function appServerExpiries(config: () => Config): () => readonly Expiry[] {
  const expiriesIn = ({ ap }: Config) =>
    expiriesOf(
      (ap?.appServers ?? []).flatMap(({ certificateFile, caFile }) => [
        ['certificate', certificateFile] as const,
        ['ca', caFile] as const,
      ]),
    )
  let of = config()
  let found = expiriesIn(of)
  return () => {
    if (of !== config()) {
      of = config()
      found = expiriesIn(of)
    }
    return found
  }
}

/** Of files that will have been read with success. */
const expiriesOf = (files: readonly (readonly [Expiry['kind'], string | undefined])[]): readonly Expiry[] =>
  files.flatMap(([kind, file = '']): Expiry[] => {
    if (file === '') return []
    try {
      return [{ kind, file, expiresAt: certificateEnd(file) }]
    } catch {
      // whoever uses the file says what is wrong with it
      return []
    }
  })

const eachOnce = (expiries: readonly Expiry[]): readonly Expiry[] => [
  ...new Map(expiries.map((one) => [`${one.kind} ${one.file}`, one])).values(),
]
