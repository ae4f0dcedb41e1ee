import { type Figure, markdown, type Results, ratio, type Spread, spread } from './results.ts'
import type { Peer } from './servers.ts'
import type { Measured } from './wrk.ts'

/** What has to be shown of the loads beside others, and the bound for the median of the ratios. */
interface Demand {
  readonly what: string
  readonly load: string
  readonly figure: Figure
  readonly of: Peer
  readonly atMost: number
}

const DEMANDS: readonly Demand[] = [
  { what: 'GET 1.5 KB, 64 kept', load: 'GET 1.5 KB, 64 kept', figure: 'cpuUs', of: 'apache', atMost: 0.75 },
  { what: 'GET 1.5 KB, 64 kept, stretch', load: 'GET 1.5 KB, 64 kept', figure: 'cpuUs', of: 'apache', atMost: 0.55 },
  { what: 'GET 1.5 KB, 64 kept, stretch', load: 'GET 1.5 KB, 64 kept', figure: 'cpuUs', of: 'nginx', atMost: 2.2 },
  { what: 'PUT 1.5 KB, 64 kept', load: 'PUT 1.5 KB, 64 kept', figure: 'cpuUs', of: 'apache', atMost: 0.75 },
  { what: 'GET 64 KB', load: 'GET 64 KB, 64 kept', figure: 'cpuUs', of: 'apache', atMost: 1 },
  { what: 'GET 1 MB', load: 'GET 1 MB, 16 kept', figure: 'cpuUs', of: 'apache', atMost: 1 },
  { what: 'one connection', load: 'GET 1.5 KB, 1 kept', figure: 'p50Us', of: 'apache', atMost: 1.3 },
  {
    what: 'connect, 401, 200, close, full handshake',
    load: 'connect, 401, 200, close; P-256, full',
    figure: 'cpuUs',
    of: 'nginx',
    atMost: 1.3,
  },
  {
    what: 'the same, resumed',
    load: 'connect, 401, 200, close; P-256, resumed',
    figure: 'cpuUs',
    of: 'apache',
    atMost: 1,
  },
  { what: 'half of saturation', load: 'GET 1.5 KB at half of saturation', figure: 'p99Us', of: 'nginx', atMost: 2 },
]

/** The product beside itself, run by run. */
export interface Pair {
  /** First what is asked about, then what it is compared with. */
  readonly of: readonly [string, string]
  readonly runs: readonly [readonly Measured[], readonly Measured[]]
  readonly atMost: number
  /** Resident memory of all processes after the last run, in MB, in the same order. */
  readonly rssMb?: readonly [number, number]
}

export interface Verdict {
  readonly what: string
  readonly ratio: Spread
  readonly atMost: number
}

export function verdicts(results: Results, pairs: readonly Pair[] = []): Verdict[] {
  const beside = DEMANDS.map(({ what, load, figure, of, atMost }) => ({
    what: `${what}: ${UNITS[figure]} of ${of === 'apache' ? 'Apache' : 'nginx'}`,
    ratio: ratio(results[load]?.['gba-proxy'], results[load]?.[of], figure),
    atMost,
  }))
  const own = pairs.map(({ of: [a, b], runs: [ours, theirs], atMost }) => ({
    what: `${a}: CPU of ${b}`,
    ratio: ratio(ours, theirs, 'cpuUs'),
    atMost,
  }))
  return [...beside, ...own].filter(({ ratio: { median } }) => !Number.isNaN(median))
}

const UNITS: Readonly<Record<Figure, string>> = {
  cpuUs: 'CPU',
  perS: 'rate',
  p50Us: 'median wait',
  p99Us: 'p99',
}

/** What was to be shown, and whether the median shows it. */
export function verdictTable(results: Results, pairs: readonly Pair[] = []): string {
  const rows = verdicts(results, pairs).map(({ what, ratio: { median, min, max }, atMost }) => [
    what,
    `${median.toFixed(2)} (${min.toFixed(2)}..${max.toFixed(2)})`,
    String(atMost),
    median <= atMost ? 'yes' : 'no',
  ])
  return markdown(['to be shown', 'ratio', 'at most', 'met'], rows)
}

/** What the product costs beside itself. */
export function pairTable(pairs: readonly Pair[]): string {
  const cell = (runs: readonly Measured[], name: 'cpuUs' | 'perS') => {
    const { median, min, max } = spread(runs.flatMap((run) => run[name] ?? []))
    return `${Math.round(median)} (${Math.round(min)}..${Math.round(max)})`
  }
  const rows = pairs.flatMap(({ of, runs, rssMb }) =>
    runs.map((each, i) => [of[i] ?? '', cell(each, 'cpuUs'), cell(each, 'perS'), rssMb ? String(rssMb[i]) : '']),
  )
  return markdown(['GET 1.5 KB, 64 kept', 'CPU us per request', 'per s', 'RSS MB'], rows)
}
