import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { measurePair, reportPair } from './proxies/pairs.ts'
import { openBench } from './proxies/servers.ts'
import { kept, paceOf, productSite, type Site, warmUp } from './proxies/sites.ts'

// What a request costs two workers, in units of what it costs one process: node test/bench/two-workers.ts [--quick]
//   [--each] [--rounds N] [--out DIRECTORY]
// The load runs on the same machine, so that CPU per request tells what throughput cannot: both workers share the core
// that the one process has. They share its 64 connections as well, so that each has half as much to do at a time; with
// --each, every process has 64 of its own, as it would where each had a core.

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    each: { type: 'boolean', default: false },
    rounds: { type: 'string' },
    out: { type: 'string' },
  },
})
const pace = paceOf(values.quick)
const rounds = Number(values.rounds ?? (values.quick ? 3 : 11))

const directory = mkdtempSync(join(tmpdir(), 'gba-proxy-bench-'))
const bench = await openBench(directory)
process.once('SIGINT', () => process.exit(130))
process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
try {
  const one = await productSite(bench, 'p256')
  const two = await productSite(bench, 'p256', { workers: 2 })
  // Each worker has to get hot, and gets half of the requests.
  for (const [site, times] of [
    [one, 1],
    [two, 2],
  ] as const) {
    const hot = { ...pace, hotRequests: times * pace.hotRequests }
    console.log(`warmed up by ${await warmUp(directory, site, hot)} requests`)
  }
  const side = (name: string, site: Site, connections: number) => ({
    name,
    server: site.server,
    measure: () => kept(directory, site, { method: 'GET', document: 'small', connections }, pace),
  })
  const sides = [side('two workers', two, values.each ? 128 : 64), side('one process', one, 64)] as const
  reportPair(await measurePair(sides, { rounds, atMost: 1.1, withRss: true }), 'two-workers', values.out)
} finally {
  await bench.close()
}
