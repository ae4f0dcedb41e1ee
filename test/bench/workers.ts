import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { lmdbNonceLedger } from '../../src/store/lmdb-nonce-ledger.ts'
import { handUe } from '../support/hand-ue.ts'
import { rawConnect } from '../support/raw-client.ts'
import { impuOfCard, workersSite } from '../support/workers.ts'

// What the shared ledger costs, and what a UE with a new connection for each request sees: `node test/bench/workers.ts`.

const SECONDS = 3
const TICKS_PER_SECOND = 100
const own = (n: number) => `/resource-lists/users/${impuOfCard(n)}/index`

const [, , role, directory = ''] = process.argv
if (role === 'hammer') await hammer(directory)
else {
  const ledger = { alone: await ledgerCost(1), two: await ledgerCost(2), four: await ledgerCost(4) }
  const request = await requestCost()
  const report = {
    ledger,
    request,
    shareOfRequest: ledger.two.cpuUs / request.cpuUs,
    newConnections: await newConnections(),
  }
  process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
}

/** Uses counts of 100 nonces of its own, as requests of 100 UEs would. */
async function hammer(at: string): Promise<void> {
  const ledger = lmdbNonceLedger({ directory: at, maxNonces: 1_000_000, startedAt: 1_000 })
  process.send?.('ready')
  await once(process, 'message')
  const cpu = process.cpuUsage()
  const begin = performance.now()
  let uses = 0
  let longest = 0
  while (performance.now() - begin < SECONDS * 1000) {
    const start = performance.now()
    const nonce = { nonce: `${process.pid} ${uses % 100}`, mintedAt: 2_000, expiresAt: 9e12 }
    if ((await ledger.use(nonce, Math.floor(uses / 100), 3_000)) !== 'accepted') throw new Error('not accepted')
    longest = Math.max(longest, performance.now() - start)
    uses++
  }
  const us = ((performance.now() - begin) * 1000) / uses
  const { user, system } = process.cpuUsage(cpu)
  process.send?.({ uses, us, cpuUs: (user + system) / uses, longestMs: longest })
  await ledger.close()
  process.disconnect()
}

interface Cost {
  readonly uses: number
  readonly us: number
  readonly cpuUs: number
  readonly longestMs: number
}

async function ledgerCost(processes: number) {
  const at = mkdtempSync(join(tmpdir(), 'gba-proxy-ledger-'))
  const children: ChildProcess[] = Array.from({ length: processes }, () => fork(import.meta.filename, ['hammer', at]))
  await Promise.all(children.map((child) => once(child, 'message')))
  const results = children.map(async (child) => ((await once(child, 'message')) as [Cost])[0])
  for (const child of children) child.send('go')
  const costs = await Promise.all(results)
  rmSync(at, { recursive: true })
  const mean = (key: keyof Cost) => costs.reduce((sum, cost) => sum + cost[key], 0) / processes
  return {
    usesPerSecond: Math.round((mean('uses') * processes) / SECONDS),
    us: mean('us'),
    cpuUs: mean('cpuUs'),
    longestMs: Math.max(...costs.map(({ longestMs }) => longestMs)),
  }
}

/** CPU of a worker for a request on a kept connection. */
async function requestCost() {
  const site = await workersSite({ workers: 1 })
  try {
    await site.start()
    const ue = await handUe(site.reached(0), {})
    const nonce = await ue.freshNonce()
    const connection = await rawConnect(ue.at)
    let nc = 1
    const send = async (times: number) => {
      for (const end = nc + times; nc < end; nc++) {
        connection.write(await ue.signed('GET', own(0), { nonce, nc }))
        if ((await connection.answer()).status !== 200) throw new Error('refused')
      }
    }
    await send(500)
    const before = cpuSeconds(site.supervisor())
    const begin = performance.now()
    await send(3_000)
    const result = {
      us: (performance.now() - begin) / 3,
      cpuUs: ((cpuSeconds(site.supervisor()) - before) * 1e6) / 3_000,
    }
    connection.close()
    return result
  } finally {
    await site.close()
  }
}

function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

async function newConnections() {
  const site = await workersSite({ workers: 4 })
  try {
    await site.start()
    const ue = await handUe(site.reached(0), {})
    const nonce = await ue.freshNonce()
    const statuses: Record<number, number> = {}
    for (let nc = 1; nc <= 1_000; nc++) {
      const { status } = await ue.request('GET', own(0), { nonce, nc })
      statuses[status] = (statuses[status] ?? 0) + 1
    }
    const lines = site.lines()
    const perWorker: Record<string, number> = {}
    for (const { event, worker } of lines) {
      if (event === 'ut.forwarded') perWorker[String(worker)] = (perWorker[String(worker)] ?? 0) + 1
    }
    const count = (name: string) => lines.filter(({ event }) => event === name).length
    return { statuses, vectors: count('zh.av-drawn'), fetches: count('zn.fetched'), perWorker }
  } finally {
    await site.close()
  }
}
