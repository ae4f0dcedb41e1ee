import { setTimeout as delay } from 'node:timers/promises'
import { impuOf, type LabSubscriber } from '../../src/lab.ts'
import { labApart } from '../support/apart.ts'
import { type Fault, faultProxy } from '../support/fault-proxy.ts'
import { type HandUe, handUe } from '../support/hand-ue.ts'
import { rawConnect } from '../support/raw-client.ts'
import { median } from './pressure/pace.ts'

// How soon a UE hears that somebody behind the proxy is gone, and how soon it is served once that one is back, with the
// limits as they are by default: `node test/bench/faults.ts`. Ends with 1 when a promise is broken.

const MOST_MS = { 'a BSF that fails': 2_000, 'a BSF that is back': 5_000, 'an AS that is down': 100 }
const TIMES = 5
const AS_TIMEOUT_MS = 1_000
const own = (name: LabSubscriber, document = 'index') => `/resource-lists/users/${impuOf(name)}/${document}`

const apart = await labApart()
const zn = await faultProxy(apart.bsf.app.addresses.zn?.port ?? 0)
const ut = await faultProxy(apart.as.port)
const ap = await apart.startAp({
  zn: { url: `https://localhost:${zn.port}`, unknownBtidCacheS: 0 },
  // The breaker would answer for it after twenty failures, with 503.
  appServers: [
    { name: 'scripted', url: `http://127.0.0.1:${ut.port}`, timeoutMs: AS_TIMEOUT_MS, breaker: { failures: 10_000 } },
  ],
})

interface Timed {
  readonly status: number
  readonly ms: number
}

/** On a connection that there is. */
async function timed(ue: HandUe, method: string, name: LabSubscriber): Promise<Timed> {
  const octets = await ue.signed(method, own(name), method === 'PUT' ? { body: '<a/>' } : {})
  const connection = await rawConnect(ue.at)
  const since = performance.now()
  connection.write(octets)
  const { status } = await connection.answer(method)
  connection.close()
  return { status, ms: performance.now() - since }
}

const figures = (list: readonly Timed[]) => ({
  statuses: [...new Set(list.map(({ status }) => status))].join(),
  medianMs: Number(median(list.map(({ ms }) => ms)).toFixed(1)),
  mostMs: Number(Math.max(...list.map(({ ms }) => ms)).toFixed(1)),
})

const BSF_FAULTS: Readonly<Record<string, Fault>> = {
  down: { kind: 'closed' },
  mute: { kind: 'hang' },
  slow: { kind: 'slow', ms: 5_000 },
  garbage: { kind: 'garbage', octets: Buffer.alloc(1_000, 'x') },
}
const known = await handUe(ap)
await timed(known, 'GET', 'alice')
const bsf: Record<string, object> = {}
const within: Record<string, boolean> = {}
for (const [name, fault] of Object.entries(BSF_FAULTS)) {
  const [cached, uncached, recovered]: [Timed[], Timed[], Timed[]] = [[], [], []]
  for (let n = 0; n < TIMES; n++) {
    const stranger = await handUe(ap, { name: 'bob' })
    await zn.become(fault)
    uncached.push(await timed(stranger, 'GET', 'bob'))
    for (let i = 0; i < 20; i++) cached.push(await timed(known, 'GET', 'alice'))
    await zn.become({ kind: 'pass' })
    const since = performance.now()
    while ((await timed(stranger, 'GET', 'bob')).status !== 200) await delay(20)
    recovered.push({ status: 200, ms: performance.now() - since })
  }
  const found = { cached: figures(cached), uncached: figures(uncached), recovered: figures(recovered) }
  bsf[name] = found
  within[`BSF ${name}: cached keys serve`] = found.cached.statuses === '200'
  within[`BSF ${name}: others get 503 in time`] =
    found.uncached.statuses === '503' && found.uncached.mostMs <= MOST_MS['a BSF that fails']
  within[`BSF ${name}: served again in time`] = found.recovered.mostMs <= MOST_MS['a BSF that is back']
}

const as: Record<string, object> = {}
await ut.become({ kind: 'closed' })
const down: Timed[] = []
for (let n = 0; n < 50; n++) down.push(await timed(known, n % 2 ? 'PUT' : 'GET', 'alice'))
as.down = figures(down)
within['AS down: 502 in time'] =
  figures(down).statuses === '502' && figures(down).medianMs <= MOST_MS['an AS that is down']
for (const kind of ['hang', 'half-open'] as const) {
  const silent: Timed[] = []
  for (let n = 0; n < TIMES; n++) {
    await ut.become({ kind })
    silent.push(await timed(known, 'PUT', 'alice'))
    await ut.become({ kind: 'closed' })
    await ut.become({ kind: 'pass' })
  }
  as[kind] = { limitMs: AS_TIMEOUT_MS, ...figures(silent) }
  within[`AS ${kind}: 504`] = figures(silent).statuses === '504'
}
process.stdout.write(`${JSON.stringify({ bsf, as, verdict: within }, null, 2)}\n`)
await apart.close()
await zn.close()
await ut.close()
if (Object.values(within).includes(false)) process.exitCode = 1
