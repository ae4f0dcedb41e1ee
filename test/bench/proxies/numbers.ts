import { existsSync, readFileSync } from 'node:fs'
import { plot } from './plot.ts'
import { type Results, table } from './results.ts'
import { PEERS_IN_ORDER } from './servers.ts'
import { type Pair, pairTable, verdictTable } from './verdicts.ts'

/** What a run of the benchmark leaves behind. */
export interface Kept {
  readonly caption: string
  readonly rounds: number
  readonly results: Results
}

const RESULTS = new URL('../results/', import.meta.url)
const PAIRS = ['two-workers', 'many-keys']
/** As README links to it. */
const PLOT = 'test/bench/results/proxies.svg'

function read<T>(name: string): T | undefined {
  const file = new URL(`${name}.json`, RESULTS)
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as T) : undefined
}

function keptRun(): Kept {
  const kept = read<Kept>('proxies')
  if (!kept) throw new Error('no results are kept: npm run bench -- --out test/bench/results')
  return kept
}

/** Peers that took part, in the order of the tables. */
export const peersIn = (results: Results) =>
  PEERS_IN_ORDER.filter((peer) => Object.values(results).some((by) => by[peer] !== undefined))

/** What README says of the results that are kept. */
export function numbersText(): string {
  const { caption, rounds, results } = keptRun()
  const pairs = PAIRS.flatMap((name) => read<Pair & { readonly caption: string }>(name) ?? [])
  return [
    `Measured ${caption}; medians of ${rounds} rounds, with their range; ratios are taken round by round.`,
    `![CPU time of the server for one request](${PLOT})`,
    table(results, peersIn(results)),
    ...(pairs.length > 0 ? ['The proxy beside itself:', pairTable(pairs)] : []),
    'What it is to show:',
    verdictTable(results, pairs),
  ].join('\n\n')
}

/** The picture that goes with it. */
export const numbersPlot = (): string => plotOf(keptRun())

export const plotOf = ({ caption, rounds, results }: Kept): string =>
  plot(results, peersIn(results), `${caption}; medians of ${rounds} rounds, lines: their range`)

export const plotFile = new URL('proxies.svg', RESULTS)
