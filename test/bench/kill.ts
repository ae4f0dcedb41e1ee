import { siege } from '../support/siege.ts'
import { workersSite } from '../support/workers.ts'

// kill -9 of a worker and of all processes, by turns, under load: `node test/bench/kill.ts [bootstraps requests kills]`.

const [bootstraps = 500, requests = 5_000, kills = 10] = process.argv.slice(2).map(Number)
const site = await workersSite({ workers: 2 })
try {
  await site.start()
  const begin = performance.now()
  const report = await siege(site, { bootstraps, requests, kills })
  const seconds = Math.round((performance.now() - begin) / 1000)
  process.stdout.write(`${JSON.stringify({ bootstraps, requests, kills, seconds, ...report }, null, 2)}\n`)
} finally {
  await site.close()
}
