import type { Server } from 'node:tls'
import type { AuditEvent, AuditRecord } from './audit.ts'
import { decisionTallies } from './decision-tallies.ts'
import { type MetricFamily, type MetricReport, processReport } from './exposition.ts'
import { METRIC_NAMES, METRICS, type MetricName } from './metric-definitions.ts'
import type { Sample } from './tallies.ts'
import { tlsTallies } from './tls-tallies.ts'

/** How busy the connections to one application server are. */
export interface UpstreamLoad {
  readonly open: number
  readonly waiting: number
}

export interface Metrics {
  /** To be told of every decision. */
  record(event: AuditEvent, record: AuditRecord): void
  /** Counts what connects to this server. */
  followTls(listener: string, server: Server): void
  /** Several of one name, as listeners with connections of their own make them, are added up. @returns forgets it */
  registerUpstream(appServer: string, load: () => UpstreamLoad): () => void
  /** Numbers that are somebody else's, asked for when they are wanted. */
  provide(name: MetricName, read: () => readonly Sample[]): void
  /** @throws never: what cannot be told now is left out */
  report(): Promise<MetricReport>
}

type Provided = readonly [MetricName, () => readonly Sample[]]

/** Everything that is counted in this process, for whoever asks. Nothing is made of it until then. */
export function createMetrics(): Metrics {
  const decisions = decisionTallies()
  const tls = tlsTallies()
  const provided = new Set<Provided>()
  const provide: Metrics['provide'] = (name, read) => void provided.add([name, read])
  return {
    record: decisions.record,
    followTls: tls.follow,
    provide,
    registerUpstream(appServer, load) {
      const labels = { app_server: appServer }
      const numbers: Provided[] = [
        ['gba_proxy_upstream_connections', () => [{ labels, value: load().open }]],
        ['gba_proxy_upstream_waiting_requests', () => [{ labels, value: load().waiting }]],
      ]
      for (const each of numbers) provided.add(each)
      return () => {
        for (const each of numbers) provided.delete(each)
      }
    },
    async report() {
      const sources = [...decisions.samples(), ...tls.samples()]
      for (const [name, read] of provided) sources.push([name, readable(read)])
      const samples = new Map<MetricName, readonly Sample[]>()
      for (const [name, some] of sources) samples.set(name, addedUp(samples.get(name), some))
      return [...familiesOf(samples), ...(await processReport())]
    },
  }
}

/** Numbers under the definitions of their metrics, in the order of those; a metric without a number is left out. */
export function familiesOf(samples: ReadonlyMap<MetricName, readonly Sample[]>): MetricFamily[] {
  return METRIC_NAMES.flatMap((name) => {
    const values = (samples.get(name) ?? []).map(({ labels = NO_LABELS, ...rest }) => ({ ...rest, labels }))
    const { type, help, aggregator } = METRICS[name]
    return values.length > 0 ? [{ name, type, help, aggregator, values }] : []
  })
}

const NO_LABELS = {}

/** A store that was just closed cannot tell its size, and everything else is still worth telling. */
function readable(read: () => readonly Sample[]): readonly Sample[] {
  try {
    return read()
  } catch {
    return []
  }
}

/** Numbers of two sources, each of which has every label once. */
function addedUp(some: readonly Sample[] | undefined, more: readonly Sample[]): readonly Sample[] {
  if (some === undefined || some.length === 0) return more
  const byLabels = new Map<string, Sample>()
  for (const sample of [...some, ...more]) {
    const { labels = {}, value, metricName } = sample
    const key = `${metricName} ${JSON.stringify(Object.entries(labels).sort())}`
    const before = byLabels.get(key)
    byLabels.set(key, before ? { ...sample, value: before.value + value } : sample)
  }
  return [...byLabels.values()]
}
