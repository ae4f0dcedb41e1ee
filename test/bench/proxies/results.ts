import type { Peer } from './servers.ts'
import type { Measured } from './wrk.ts'

/** Every round of every load, by peer; the rounds of one load are paired by their position. */
export type Results = Record<string, Partial<Record<Peer, Measured[]>>>

/** How results are kept: more digits than these are noise. */
export const jsonOf = (value: object): string =>
  `${JSON.stringify(value, (_, each) => (typeof each === 'number' ? Number(each.toPrecision(5)) : each), 1)}\n`

export interface Spread {
  readonly median: number
  readonly min: number
  readonly max: number
}

export function spread(values: readonly number[]): Spread {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = (sorted.length - 1) / 2
  const [low = Number.NaN, high = Number.NaN] = [sorted[Math.floor(middle)], sorted[Math.ceil(middle)]]
  return { median: (low + high) / 2, min: sorted[0] ?? Number.NaN, max: sorted.at(-1) ?? Number.NaN }
}

export type Figure = 'cpuUs' | 'perS' | 'p50Us' | 'p99Us'

export const figure = (rounds: readonly Measured[] | undefined, name: Figure): Spread =>
  spread((rounds ?? []).flatMap((round) => round[name] ?? []))

/** What one costs in units of the other, round by round. */
export function ratio(
  ours: readonly Measured[] | undefined,
  theirs: readonly Measured[] | undefined,
  name: Figure,
): Spread {
  const each = (ours ?? []).flatMap((round, i) => {
    const [a, b] = [round[name], theirs?.[i]?.[name]]
    return a === undefined || b === undefined ? [] : [a / b]
  })
  return spread(each)
}

const whole = (value: number): string => (Number.isNaN(value) ? '' : String(Math.round(value)))
const short = (value: number): string => (Number.isNaN(value) ? '' : value.toFixed(2))

/** CPU in microseconds for a request with its range, and in units of the others. */
export function table(results: Results, peers: readonly Peer[]): string {
  const others = peers.filter((peer) => peer !== 'gba-proxy' && peer !== 'static')
  const rows = Object.entries(results).map(([load, by]) => {
    const cells = peers.map((peer) => {
      const { median, min, max } = figure(by[peer], 'cpuUs')
      return Number.isNaN(median) ? '' : `${whole(median)} (${whole(min)}..${whole(max)})`
    })
    const against = (peer: Peer) => {
      const { median, min, max } = ratio(by['gba-proxy'], by[peer], 'cpuUs')
      return Number.isNaN(median) ? '' : `${short(median)} (${short(min)}..${short(max)})`
    }
    return [load, ...cells, ...others.map(against)]
  })
  return markdown(['CPU us per request', ...peers, ...others.map((peer) => `of ${peer}`)], rows)
}

/** Rates and waiting times. */
export function latencyTable(results: Results, peers: readonly Peer[]): string {
  const rows = Object.entries(results).flatMap(([load, by]) =>
    peers.flatMap((peer) => {
      const [perS, p50, p99] = [figure(by[peer], 'perS'), figure(by[peer], 'p50Us'), figure(by[peer], 'p99Us')]
      if (Number.isNaN(perS.median)) return []
      const range = ({ median, min, max }: Spread) =>
        Number.isNaN(median) ? '' : `${whole(median)} (${whole(min)}..${whole(max)})`
      return [[load, peer, whole(perS.median), range(p50), range(p99)]]
    }),
  )
  return markdown(['load', 'server', 'per s', 'p50 us', 'p99 us'], rows)
}

export function markdown(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(head), line(head.map((_, i) => (i === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n')
}
