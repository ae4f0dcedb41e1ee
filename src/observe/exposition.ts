import { AggregatorRegistry, collectDefaultMetrics, type Metric, Registry } from 'prom-client'
import type { Sample } from './tallies.ts'

/** One metric with its numbers, as it goes from one process to another. */
export interface MetricFamily {
  readonly name: string
  readonly help: string
  readonly type: string
  readonly aggregator: string
  readonly values: readonly (Sample & Required<Pick<Sample, 'labels'>>)[]
}

/** All metrics of one process at one time; JSON, and nothing but. */
export type MetricReport = readonly MetricFamily[]

export const EXPOSITION_TYPE: string = Registry.PROMETHEUS_CONTENT_TYPE

/** Metrics of one process as Prometheus reads them. */
export async function expose(report: MetricReport): Promise<string> {
  const registry = new Registry()
  // All that the registry asks of a metric is its name, and `get` for its numbers.
  for (const family of report) registry.registerMetric({ ...family, get: () => family } as unknown as Metric)
  return registry.metrics()
}

/** One report of several, each number by the rule of its metric. */
export async function aggregate(reports: readonly MetricReport[]): Promise<MetricReport> {
  const registry = AggregatorRegistry.aggregate(
    reports as unknown as Parameters<typeof AggregatorRegistry.aggregate>[0],
  )
  return (await registry.getMetricsAsJSON()) as unknown as MetricReport
}

/** Counters and histograms alone: what a process leaves behind when it ends. */
export const lastingOf = (report: MetricReport): MetricReport =>
  report.filter(({ type }) => type === 'counter' || type === 'histogram')

/** Memory, CPU, event loop and garbage collection of this process; begun with the first question. */
export async function processReport(): Promise<MetricReport> {
  const registry = processRegistry()
  const report = (await registry.getMetricsAsJSON()) as unknown as MetricReport
  // Of several processes the one that lags most is to be seen, and not the average.
  return report.map((family) => (family.name.startsWith(LAG) ? { ...family, aggregator: 'max' } : family))
}

const LAG = 'nodejs_eventloop_lag'

/** There is one process, however many proxies are in it. */
function processRegistry(): Registry {
  if (!ofThisProcess) {
    ofThisProcess = new Registry()
    collectDefaultMetrics({ register: ofThisProcess, eventLoopMonitoringPrecision: 20 })
  }
  return ofThisProcess
}
let ofThisProcess: Registry | undefined
