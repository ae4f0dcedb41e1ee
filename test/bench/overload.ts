import { monitorEventLoopDelay } from 'node:perf_hooks'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { Worker } from 'node:worker_threads'
import { handUe } from '../support/hand-ue.ts'
import { impuOfCard, type WorkersSite, workersSite } from '../support/workers.ts'
import { type KeptUe, keptUe } from './pressure/kept-ue.ts'
import { median, paced, quantile } from './pressure/pace.ts'
import { watchProcess } from './pressure/process-watch.ts'

// Four times of what the proxy can do is asked of it, by clients that do not slow down for it:
// `node test/bench/overload.ts [--seconds 10] [--times 4] [--clients 800] [--only as|cpu]`. Twice: where the application
// server is the bound, and where the proxy's own CPU is, which it gets a share of only, so that this process can ask for
// more than that. Ends with 1 when a promise is broken: excess gets 503, those that are accepted wait 1 s at most (p99) and
// are not many fewer than without the excess, memory is bounded.

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '10' },
    times: { type: 'string', default: '4' },
    clients: { type: 'string', default: '800' },
    only: { type: 'string', default: '' },
  },
})
const SECONDS = Number(values.seconds)
const TIMES = Number(values.times)
const CLIENTS = Number(values.clients)
const CARDS = 16
const SATURATING = 128
const MOST = { p99Ms: 1_000, growthMb: 200 }
/** Of what it does without the excess, which costs something too. */
const LEAST_GOODPUT = 0.6
/** Of the application server, which has 64 connections: some 200 requests a second. */
const AS_DELAY_MS = 320
/** The proxy has so much of a CPU in each period, and stands still for the rest. */
const SHARE = { runMs: 7.5, periodMs: 50 }
const HOLDING_BACK = `
  const { pid, over, runMs, periodMs } = require('node:worker_threads').workerData
  const { readFileSync } = require('node:fs')
  const usedMs = () => Number(readFileSync('/proc/' + pid + '/schedstat', 'utf8').split(' ')[0]) / 1e6
  const wait = (ms) => Atomics.wait(over, 0, 0, ms)
  let most = usedMs()
  while (Atomics.load(over, 0) === 0) {
    const end = performance.now() + periodMs
    // What it had too much it has less of later; what it did not use is lost.
    most = Math.min(most, usedMs()) + runMs
    if (usedMs() < most) process.kill(pid, 'SIGCONT')
    while (usedMs() < most && performance.now() < end) wait(1)
    process.kill(pid, 'SIGSTOP')
    wait(Math.max(0, end - performance.now()))
  }
  process.kill(pid, 'SIGCONT')`
const own = (n: number) => `/resource-lists/users/${impuOfCard(n % CARDS)}/index`

interface Client {
  readonly n: number
  readonly ue: KeptUe
}

const reports = {
  ...(values.only !== 'cpu' && {
    'the application server is the bound': await overload({ asDelayMs: AS_DELAY_MS, isHeldBack: false }),
  }),
  ...(values.only !== 'as' && { 'the CPU is the bound': await overload({ asDelayMs: 0, isHeldBack: true }) }),
}
process.stdout.write(`${JSON.stringify(reports, null, 2)}\n`)
const verdicts = Object.values(reports).flatMap(({ verdict }) => Object.values(verdict))
if (verdicts.includes(false)) process.exitCode = 1

async function overload({ asDelayMs, isHeldBack }: { asDelayMs: number; isHeldBack: boolean }) {
  const site = await workersSite({
    workers: 1,
    subscribers: CARDS,
    asDelayMs: () => asDelayMs,
    overrides: { log: { level: 'warn', auditFile: 'audit.log' } },
  })
  let release = () => {}
  try {
    await site.start()
    const clients = await clientsOf(site)
    if (isHeldBack) release = holdBack(site.supervisor())
    const watch = watchProcess(site.supervisor(), 500)
    const saturationPerS = await saturate(clients.slice(0, SATURATING))
    const begin = watch.samples.at(-1)
    const offeredPerS = Math.round(saturationPerS * TIMES)
    const idle = [...clients]
    const lateness = monitorEventLoopDelay({ resolution: 1 })
    lateness.enable()
    const since = performance.now()
    const { outcomes, latenciesMs } = await paced({
      perS: offeredPerS,
      seconds: SECONDS,
      async send() {
        const client = idle.pop()
        if (!client) return 'no client left'
        const status = await client.ue.send('GET', own(client.n))
        idle.unshift(client)
        return String(status)
      },
    })
    const tookS = (performance.now() - since) / 1000
    lateness.disable()
    release()
    await delay(1_000)
    const afterwards = await clients[0]?.ue.send('GET', own(0))
    watch.stop()
    const accepted = latenciesMs['200'] ?? []
    const rssMb = {
      before: Math.round(begin?.rssMb ?? 0),
      peak: Math.round(Math.max(...watch.samples.map((each) => each.rssMb))),
    }
    const latencyMs = { p50: Math.round(median(accepted)), p99: Math.round(quantile(accepted, 0.99)) }
    const refusedMs = Math.round(quantile(latenciesMs['503'] ?? [0], 0.99))
    const goodputPerS = Math.round(accepted.length / tookS)
    for (const { ue } of clients) ue.close()
    const verdict = {
      'excess gets 503': (outcomes['503'] ?? 0) > 0,
      'nothing but 200 and 503': Object.keys(outcomes).every((what) => ['200', '503', 'no client left'].includes(what)),
      'accepted ones wait 1 s at most': latencyMs.p99 <= MOST.p99Ms,
      'most of what it can do is done': goodputPerS >= saturationPerS * LEAST_GOODPUT,
      'memory is bounded': rssMb.peak - rssMb.before <= MOST.growthMb,
      'it serves afterwards': afterwards === 200,
    }
    // What is no fault of the proxy's.
    const ownDelayMs = Math.round(lateness.percentile(99) / 1e6)
    return { saturationPerS, offeredPerS, goodputPerS, outcomes, latencyMs, refusedMs, ownDelayMs, rssMb, verdict }
  } finally {
    release()
    await site.close()
  }
}

async function clientsOf(site: WorkersSite): Promise<Client[]> {
  const ues = await Promise.all(Array.from({ length: CARDS }, (_, n) => handUe(site.reached(n))))
  const clients: Client[] = []
  for (let n = 0; n < CLIENTS; n += CARDS) {
    const some = await Promise.all(ues.map(async (ue, card) => ({ n: card, ue: await keptUe(ue) })))
    // Its connection stands before anything is measured.
    await Promise.all(some.map(({ n: card, ue }) => ue.send('GET', own(card))))
    clients.push(...some)
  }
  return clients
}

/** As fast as it goes. @returns answers per second */
async function saturate(clients: readonly Client[]): Promise<number> {
  let answered = 0
  const begin = performance.now()
  const until = begin + 5_000
  const one = async ({ n, ue }: Client) => {
    while (performance.now() < until) {
      if ((await ue.send('GET', own(n))) !== 200) throw new Error('refused before it was too much')
      answered++
    }
  }
  await Promise.all(clients.map(one))
  return Math.round((answered * 1000) / (performance.now() - begin))
}

/**
 * Lets a process have a share of a CPU, in CPU time, so that it is the same however busy the machine is. By a thread of its
 * own: this one is late when there is much to do.
 * @returns to be called when it may run freely again
 */
function holdBack(pid: number): () => void {
  const over = new Int32Array(new SharedArrayBuffer(4))
  new Worker(HOLDING_BACK, { eval: true, workerData: { pid, over, ...SHARE } }).unref()
  return () => {
    Atomics.store(over, 0, 1)
    Atomics.notify(over, 0)
  }
}
