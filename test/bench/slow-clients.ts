import { setTimeout as delay } from 'node:timers/promises'
import { LAB_NAF } from '../../src/lab.ts'
import { type HandUe, handUe } from '../support/hand-ue.ts'
import { rawConnect } from '../support/raw-client.ts'
import { impuOfCard, workersSite } from '../support/workers.ts'
import { type KeptUe, keptUe } from './pressure/kept-ue.ts'
import { idlePool, median, paced, quantile } from './pressure/pace.ts'

// What 200 clients with slow headers and 50 with slow bodies cost the others, under the default limits, and when they are
// cut off: `node test/bench/slow-clients.ts [windows]`. Undisturbed and disturbed windows take turns.

const WINDOWS = Number(process.argv[2] ?? 5)
const WINDOW_S = 6
const PER_S = 100
const UES = 20
const own = (n: number) => `/resource-lists/users/${impuOfCard(n)}/index`
const MOST_MS = { header: 15_000, body: 30_000 }

const site = await workersSite({ workers: 1, overrides: { log: { level: 'warn', auditFile: 'audit.log' } } })
try {
  await site.start()
  const ues = await Promise.all(Array.from({ length: UES }, async (_, n) => keptUe(await handUe(site.reached(n)))))
  const pool = idlePool(ues.map((ue, n) => ({ ue, n })))
  const window = async () => {
    const one = ({ ue, n }: { ue: KeptUe; n: number }) => ue.send('GET', own(n))
    const send = async () => String(await pool.use(one))
    const { outcomes, latenciesMs } = await paced({ perS: PER_S, seconds: WINDOW_S, send })
    const all = Object.values(latenciesMs).flat()
    return { p50: median(all), p99: quantile(all, 0.99), failed: PER_S * WINDOW_S - (outcomes['200'] ?? 0) }
  }
  await window() // warms up
  const quiet: Awaited<ReturnType<typeof window>>[] = []
  const disturbed: typeof quiet = []
  const cuts: Record<'header' | 'body', number[]> = { header: [], body: [] }
  for (let n = 0; n < WINDOWS; n++) {
    quiet.push(await window())
    const crowd = slowCrowd(ues[0]?.ue ?? fail())
    await delay(2_000) // all have begun
    disturbed.push(await window())
    const last = n === WINDOWS - 1
    for (const [kind, ms] of await crowd.end(last)) cuts[kind].push(ms)
  }
  const of = (list: typeof quiet, name: 'p50' | 'p99') => Number(median(list.map((each) => each[name])).toFixed(2))
  const failed = [...quiet, ...disturbed].reduce((sum, each) => sum + each.failed, 0)
  const p99 = { undisturbed: of(quiet, 'p99'), disturbed: of(disturbed, 'p99') }
  const cutMs = { header: Math.max(...cuts.header), body: Math.max(...cuts.body) }
  const verdict = {
    'p99 within 2x': p99.disturbed <= 2 * p99.undisturbed,
    'nobody else failed': failed === 0,
    'headers cut in 15 s': cutMs.header <= MOST_MS.header,
    'bodies cut in 30 s': cutMs.body <= MOST_MS.body,
  }
  const p50 = { undisturbed: of(quiet, 'p50'), disturbed: of(disturbed, 'p50') }
  const windows = { p99Undisturbed: quiet.map((each) => each.p99), p99Disturbed: disturbed.map((each) => each.p99) }
  process.stdout.write(`${JSON.stringify({ perS: PER_S, p50, p99, windows, failed, cutMs, verdict }, null, 2)}\n`)
  for (const ue of ues) ue.close()
  if (Object.values(verdict).includes(false)) process.exitCode = 1
} finally {
  await site.close()
}

/** 200 whose headers never end, 50 whose bodies never end. */
function slowCrowd(ue: HandUe) {
  const header = async () => Buffer.from(`GET ${own(0)} HTTP/1.1\r\nHost: ${LAB_NAF}\r\n`)
  const body = async () => {
    const octets = (await ue.signed('PUT', own(0), { body: 'x' })).toString('latin1')
    return Buffer.from(octets.replace('Content-Length: 1', 'Content-Length: 100000'), 'latin1')
  }
  const over = new AbortController()
  const one = async (kind: 'header' | 'body', begin: () => Promise<Buffer>, piece: string) => {
    const connection = await rawConnect({ ...ue.at, limitMs: 60_000 })
    const octets = await begin()
    const since = performance.now()
    connection.write(octets)
    const timer = setInterval(() => connection.write(piece), 500)
    over.signal.addEventListener('abort', () => connection.close(), { once: true })
    await connection.closed
    clearInterval(timer)
    return over.signal.aborted ? undefined : ([kind, performance.now() - since] as const)
  }
  const all = [
    ...Array.from({ length: 200 }, () => one('header', header, 'X-More: 1\r\n')),
    ...Array.from({ length: 50 }, () => one('body', body, 'x')),
  ]
  return {
    /** @param wait  until the server has cut them off, rather than hanging up */
    async end(wait: boolean) {
      if (!wait) over.abort()
      const cuts = await Promise.all(all)
      return cuts.filter((cut) => cut !== undefined)
    },
  }
}

function fail(): never {
  throw new Error('no UE')
}
