import { watchProcess } from '../../src/admin/watch.ts'
import { labConfig } from '../../src/lab.ts'
import type { AuditRecord } from '../../src/observe/audit.ts'
import { expose } from '../../src/observe/exposition.ts'
import { openState } from '../../src/state.ts'
import { metricsOf } from '../support/admin.ts'

// What counting costs: `node test/bench/metrics.ts`. Medians of rounds, in microseconds.
const ROUNDS = 21
const RECORDS = 200_000

const config = labConfig('/nowhere', { ub: 0, zn: 0, ap: 0, as: 0 }, { store: { kind: 'memory' } })
const watch = watchProcess({
  config: () => config,
  state: openState(config),
  now: Date.now,
  isDraining: () => false,
  keyCounts: () => undefined,
  expiries: () => [],
  appServerStates: () => [],
  load: () => undefined,
  isWorker: false,
})
const forwarded: AuditRecord = {
  requestId: '0b5c8a3e-7f0e-4a53-9b5f-4f8f3d0c7a11',
  step: 'forward',
  method: 'GET',
  door: 'digest',
  naf: 'xcap.example.org',
  auid: 'resource-lists',
  appServer: 'lab',
  durationMs: 3,
  route: '/',
  btid: 'x@bsf.example.org',
  uaProtocolId: '010001c02b',
  impus: ['sip:alice@example.org'],
  tolerances: ['uri-trailing-slash'],
  status: 200,
  upstreamMs: 2,
}
const refused: AuditRecord = { ...forwarded, step: 'authenticate', code: 'UA_CREDENTIALS_MISSING', status: 401 }

const median = (numbers: number[]): number => numbers.sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? 0

function microsecondsEach(times: number, action: (i: number) => void): number {
  const rounds = Array.from({ length: ROUNDS }, () => {
    const begin = performance.now()
    for (let i = 0; i < times; i++) action(i)
    return ((performance.now() - begin) * 1000) / times
  })
  return median(rounds)
}

const show = (what: string, microseconds: number) => console.log(`${what.padEnd(40)} ${microseconds.toFixed(3)} us`)
show(
  'a forwarded request',
  microsecondsEach(RECORDS, () => watch.record('ut.forwarded', forwarded)),
)
show(
  'a refused request',
  microsecondsEach(RECORDS, () => watch.record('ut.refused', refused)),
)

// As many series as a busy proxy has: 50 routes, 20 application servers, 30 codes.
for (let i = 0; i < 1500; i++) {
  const record = { ...forwarded, route: `/route-${i % 50}`, appServer: `as-${i % 20}`, status: 200 + 100 * (i % 4) }
  watch.record('ut.forwarded', record)
  watch.record('ut.refused', { ...record, code: 'UA_RESPONSE_WRONG', status: 401 })
}
const scrapes: number[] = []
for (let i = 0; i < ROUNDS; i++) {
  const begin = process.cpuUsage()
  await expose(await watch.metrics())
  const { user, system } = process.cpuUsage(begin)
  scrapes.push(user + system)
}
show(`a scrape of ${(await metricsOf(watch)).size} lines (CPU)`, median(scrapes))
