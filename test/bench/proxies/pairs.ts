import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { captionNow } from './machine.ts'
import { jsonOf } from './results.ts'
import type { Server } from './servers.ts'
import { type Pair, pairTable, verdictTable } from './verdicts.ts'
import type { Measured } from './wrk.ts'

/** One of two that are compared. */
export interface Side {
  readonly name: string
  readonly server: Server
  readonly measure: () => Promise<Measured>
}

/** Both in each round, and who comes first changes. */
export async function measurePair(
  sides: readonly [Side, Side],
  { rounds, atMost, withRss = false }: { rounds: number; atMost: number; withRss?: boolean },
): Promise<Pair> {
  const runs: [Measured[], Measured[]] = [[], []]
  for (let round = 0; round < rounds; round++) {
    for (const i of round % 2 === 0 ? ([0, 1] as const) : ([1, 0] as const)) runs[i].push(await sides[i].measure())
    process.stderr.write(`round ${round + 1} of ${rounds}\r`)
  }
  const rssMb = [rssMbOf(sides[0].server), rssMbOf(sides[1].server)] as const
  return { of: [sides[0].name, sides[1].name], runs, atMost, ...(withRss && { rssMb }) }
}

/** Prints it, and keeps it where a directory is named. */
export function reportPair(pair: Pair, name: string, out: string | undefined): void {
  console.log(`${pairTable([pair])}\n\n${verdictTable({}, [pair])}`)
  if (out === undefined) return
  mkdirSync(out, { recursive: true })
  writeFileSync(join(out, `${name}.json`), jsonOf({ caption: captionNow(), ...pair }))
}

function rssMbOf({ pids }: Server): number {
  const kB = pids().map((pid) => Number(/VmRSS:\s*(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0))
  return Math.round(kB.reduce((sum, each) => sum + each, 0) / 1024)
}
