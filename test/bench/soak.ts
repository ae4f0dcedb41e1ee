import { parseArgs } from 'node:util'
import { handUe } from '../support/hand-ue.ts'
import { impuOfCard, workersSite } from '../support/workers.ts'
import { hostilities } from './pressure/hostile.ts'
import { INSPECTABLE, inspect } from './pressure/inspected.ts'
import { type KeptUe, keptUe } from './pressure/kept-ue.ts'
import { idlePool, median, paced, quantile } from './pressure/pace.ts'
import { slopeOf, watchProcess } from './pressure/process-watch.ts'

// Hours of a normal day, made short: a real process over loopback, with one request in twenty from somebody who should
// not, and what it grows by meanwhile: `node test/bench/soak.ts [--minutes 10] [--warm-up 11] [--rate 100]`. Ends with 1 when a promise is
// broken: resident memory grows by 1 MB per 10 minutes at most once it is warm, open files do not, no 5xx is unexplained.
// Memory is looked at when garbage was collected: between two collections it tells of V8's patience and of nothing else.

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    /**
     * Minutes before those, busier: caches fill, code gets hot, the heap finds its size. More than ten, since every ten
     * minutes remembered heads are forgotten, and V8 compiles anew what reads them.
     */
    'warm-up': { type: 'string', default: '11' },
    rate: { type: 'string', default: '100' },
  },
})
const MINUTES = Number(values.minutes)
const WARM_UP_S = Number(values['warm-up']) * 60
const PER_S = Number(values.rate)
const HOSTILE = 0.05
/**
 * While it warms up, everything comes so many times as often: what is remembered, and the memory that libraries keep for
 * the most they ever had to do at once, have their size then, and what grows with every request is left.
 */
const BUSY = 3
const UES = 24
const LOOK_MS = 5_000
const MOST = { rssMbPer10Min: 1, descriptors: 3 }
const own = (n: number) => `/resource-lists/users/${impuOfCard(n)}/index`
const BODY = '<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists"/>'.padEnd(1_500)

const site = await workersSite({
  workers: 1,
  subscribers: UES + 1,
  overrides: {
    log: { level: 'warn', auditFile: 'audit.log' },
    ap: { routes: [{ appServer: 'lab', doors: ['psk', 'digest'] }] },
  },
})
try {
  process.env.NODE_OPTIONS = INSPECTABLE
  await site.start()
  delete process.env.NODE_OPTIONS
  const inspected = await inspect(site.supervisor(), site.stderr)
  const ues = await Promise.all(Array.from({ length: UES }, async (_, n) => keptUe(await handUe(site.reached(n)))))
  const pool = idlePool(ues.map((ue, n) => ({ ue, n })))
  const villain = await handUe(site.reached(UES))
  const bad = Object.entries(
    hostilities({ ue: villain, card: site.card(UES), ub: site.ub, own: own(UES), foreign: own(0) }),
  )

  /** What a UE does that means well. @returns `good GET 200` */
  const good = (turn: number) =>
    pool.use(async ({ ue, n }: { ue: KeptUe; n: number }) => {
      const method = turn % 4 === 0 ? 'PUT' : 'GET'
      // One in ten comes with a new connection, as many UEs always do.
      if (turn % 10 === 0) ue.close()
      return `good ${method} ${await ue.send(method, own(n), method === 'PUT' ? BODY : undefined)}`
    })
  const watch = watchProcess(site.supervisor(), LOOK_MS, inspected.collectGarbage)
  const watchedFrom = performance.now()
  let hostileTurn = 0
  const phase = (perS: number, seconds: number, hostile: number) =>
    paced({
      perS,
      seconds,
      send: async (turn) => {
        if (turn % Math.round(1 / hostile) !== 0) return good(turn)
        const [name, act] = bad[hostileTurn++ % bad.length] ?? []
        return `bad ${name} ${await act?.()}`
      },
    })
  const before = await phase(BUSY * PER_S, WARM_UP_S, BUSY * HOSTILE)
  const warmAtS = (performance.now() - watchedFrom) / 1000
  const { outcomes, latenciesMs } = await phase(PER_S, MINUTES * 60, HOSTILE)
  watch.stop()
  inspected.close()
  const warm = watch.samples.filter(({ atS }) => atS > warmAtS)
  const points = (of: (sample: (typeof warm)[number]) => number) => warm.map((each) => [each.atS, of(each)] as const)
  const per10Min = (of: (sample: (typeof warm)[number]) => number) => Number((slopeOf(points(of)) * 600).toFixed(2))
  const growthMbPer10Min = {
    rss: per10Min(({ rssMb }) => rssMb),
    anonymous: per10Min(({ anonymousMb }) => anonymousMb),
    heap: per10Min(({ heapMb = Number.NaN }) => heapMb),
  }
  const quarter = Math.floor(warm.length / 4)
  const files = warm.map(({ descriptors }) => descriptors)
  const descriptors = { first: median(files.slice(0, quarter)), last: median(files.slice(-quarter)) }
  const failures = [before, { outcomes }]
    .flatMap((phase) => Object.entries(phase.outcomes))
    .filter(([what]) => / 5\d\d$/.test(what) || (/^good/.test(what) && !/ 200$/.test(what)))
  const errors = site.lines().filter(({ level }) => level === 'error')
  const fine = Object.entries(latenciesMs).flatMap(([what, list]) => (what.startsWith('good') ? list : []))
  const verdict = {
    'memory is flat': growthMbPer10Min.rss <= MOST.rssMbPer10Min,
    'open files are flat': descriptors.last - descriptors.first <= MOST.descriptors,
    'no 5xx is unexplained': failures.length === 0 && errors.length === 0,
  }
  const p99Ms = { p50: median(fine), p99: quantile(fine, 0.99) }
  const series = watch.samples.filter((_, i) => i % Math.ceil(watch.samples.length / 24) === 0)
  const rssMb = series.map(
    (each) => `${Math.round(each.atS)}s ${each.rssMb.toFixed(1)}, heap ${each.heapMb?.toFixed(2)}`,
  )
  const report = {
    minutes: MINUTES,
    warmUpMinutes: WARM_UP_S / 60,
    perS: PER_S,
    warmUp: before.outcomes,
    outcomes,
    p99Ms,
    growthMbPer10Min,
  }
  const errorsShown = errors.slice(0, 5)
  process.stdout.write(
    `${JSON.stringify({ ...report, descriptors, failures, errors: errorsShown, rssMb, verdict }, null, 2)}\n`,
  )
  for (const ue of ues) ue.close()
  if (Object.values(verdict).includes(false)) process.exitCode = 1
} finally {
  await site.close()
}
