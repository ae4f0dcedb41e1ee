import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { KeyHolders } from './keys.ts'
import { DOCUMENTS, type Document, type Server } from './servers.ts'
import { BSF, DOMAIN, NAF, type Pieces, REALM } from './ues.ts'

/** One run of wrk. */
export interface WrkJob {
  readonly connections: number
  readonly seconds: number
  readonly warmUpS: number
  /** Mean pause of each connection before each request; 0: none. */
  readonly delayMs?: number
  readonly pieces: readonly Pieces[]
  /** Counts that are used up already, per UE. */
  readonly counts: number[]
  /** UEs of a file in the place of those. */
  readonly holders?: HoldersOnTurn
  /** That every answer carries; undefined: answers are short. */
  readonly document?: Document | undefined
}

/** Whose turn it is, and counts that are used up already, of each the same. */
export interface HoldersOnTurn extends KeyHolders {
  turn: number
  used: number
}

export interface Measured {
  /** CPU of all processes of the server, in microseconds. */
  readonly cpuUs: number
  readonly perS: number
  /** In all, with those that do not count for the CPU time. */
  readonly requests: number
  readonly p50Us?: number
  readonly p99Us?: number
}

const SCRIPT = fileURLToPath(new URL('digest.lua', import.meta.url))
const run = promisify(execFile)

/**
 * A machine with other work may stop wrk for so long that it misses the end of its window: then once more.
 * @throws Error when any answer is an error, or shorter than its document
 */
export async function runWrk(directory: string, server: Server, job: WrkJob): Promise<Measured> {
  for (let left = 5; left > 0; left--) {
    const measured = await once(directory, server, job)
    if (measured) return measured
  }
  throw new Error(`${server.peer} with ${job.connections} connections: no answers within the window`)
}

/** @returns undefined when the window was missed */
async function once(directory: string, { peer, port, pids }: Server, job: WrkJob): Promise<Measured | undefined> {
  const { connections, seconds, warmUpS, delayMs = 0, pieces, counts, document, holders } = job
  const file = join(directory, 'job.lua')
  const ues = pieces.map((ue, i) => lua({ ...ue, nc: counts[i] ?? 0 }))
  writeFileSync(
    file,
    `return { pids = {${pids().join(',')}}, seconds = ${seconds}, warmUpS = ${warmUpS}, delayMs = ${delayMs},\n` +
      `${holders ? `keys = ${lua(keysOf(holders))},\n` : ''}ues = {\n${ues.join(',\n')}\n} }\n`,
  )
  const length = Math.ceil(seconds + warmUpS)
  const args = ['-t1', `-c${connections}`, `-d${length}s`, '--timeout', '5s', '-s', SCRIPT, `https://${NAF}:${port}/`]
  const { stdout, stderr } = await run('wrk', args, { env: { ...process.env, BENCH_JOB: file }, timeout: 60_000 })
  const line = stdout.split('\n').findLast((text) => text.startsWith('{'))
  if (line === undefined || stderr !== '') throw new Error(`wrk: ${stdout}${stderr}`)
  const found: Record<string, number> = JSON.parse(line)
  const of = (name: string) => found[name] ?? Number.NaN
  if (of('errors') + of('refusals') > 0) throw new Error(`${peer} with ${connections} connections: ${line}`)
  const least = of('requests') * (document === undefined ? 100 : DOCUMENTS[document])
  if (of('bytes') < least) throw new Error(`wrk: ${of('bytes')} octets for ${of('requests')} requests`)
  const requests = of('requests1') - of('requests0')
  // Some were sent and not answered: a count is never used twice.
  if (holders) {
    const sent = of('requests') + connections
    holders.turn += sent
    holders.used += Math.ceil(sent / holders.count)
  }
  const used = Math.ceil((of('requests') + connections) / pieces.length) + 1
  for (const i of pieces.keys()) counts[i] = (counts[i] ?? 0) + used
  if (!(of('cpuS1') >= 0 && requests > 0)) return undefined
  return {
    cpuUs: ((of('cpuS1') - of('cpuS0')) / requests) * 1e6,
    perS: requests / (of('atS1') - of('atS0')),
    requests: of('requests'),
    p50Us: of('p50Us'),
    p99Us: of('p99Us'),
  }
}

const keysOf = ({ file, count, turn, used }: HoldersOnTurn) => ({
  ...{ file, count, turn, used },
  ...{ naf: NAF, bsf: BSF, realm: REALM, domain: DOMAIN },
})

/** A Lua table of texts and numbers. */
function lua(values: object): string {
  const each = Object.entries(values).map(([key, value]) => {
    if (typeof value === 'number') return `${key} = ${value}`
    // Other escapes than those of JSON's ASCII part do not occur.
    return `${key} = ${JSON.stringify(value)}`
  })
  return `{ ${each.join(', ')} }`
}
