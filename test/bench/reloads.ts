import { cp, readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parse, stringify } from 'yaml'
import { renewPki } from '../../src/tls/pki-files.ts'
import { handUe } from '../support/hand-ue.ts'
import { keptLoad } from '../support/kept-load.ts'
import { eventually, impuOfCard, workersSite } from '../support/workers.ts'

// node test/bench/reloads.ts [REQUESTS] [WORKERS]: a server as operators run it, under load on kept connections in both
// lanes, reloads and changes its certificates 50 times each. Prints the verdict; exit code 1: something was lost.
const REQUESTS = Number(process.argv[2] ?? 50_000)
const WORKERS = Number(process.argv[3] ?? 1)
const TIMES = 50

const site = await workersSite({
  workers: WORKERS,
  // The decisions would drown the lines that are looked for.
  overrides: { log: { level: 'info', identities: 'clear', auditFile: 'audit.log' } },
})
try {
  await site.start()
  const certs = join(site.directory, 'certs')
  const pairs = ['ap.pem', 'ap.key']
  for (const folder of ['even', 'odd']) await cp(certs, join(site.directory, folder), { recursive: true })
  await renewPki(join(site.directory, 'odd'), Date.now(), 30)
  const base = await readFile(site.file, 'utf8')
  const states = [
    // biome-ignore lint/suspicious/noExplicitAny: as the YAML has it
    (ap: any) => ap.routes.unshift({ ...ap.routes[0], pathPrefix: '/org.example.added' }),
    // biome-ignore lint/suspicious/noExplicitAny: as the YAML has it
    (ap: any) => (ap.appServers[0].timeoutMs += 1000),
    // biome-ignore lint/suspicious/noExplicitAny: as the YAML has it
    (ap: any) => (ap.limits.headerCount = 60),
    () => {},
  ].map((change) => {
    const config = parse(base)
    change(config.ap)
    return stringify(config)
  })

  const ue = await handUe(site.reached(0))
  const load = keptLoad(ue, {
    qops: ['auth', 'auth', 'auth', 'auth', 'auth-int', 'auth-int'],
    perConnection: 200,
    target: `/resource-lists/users/${impuOfCard(0)}/index`,
  })
  const count = (event: string) => site.lines().filter((line) => line.event === event).length
  const perReload = WORKERS > 1 ? WORKERS + 1 : 1
  const begin = performance.now()
  for (let n = 1; n <= TIMES; n++) {
    for (const pair of pairs) {
      await cp(join(site.directory, n % 2 === 0 ? 'even' : 'odd', pair), join(certs, `${pair}.new`))
      await rename(join(certs, `${pair}.new`), join(certs, pair))
    }
    await writeFile(`${site.file}.new`, states[n % states.length] ?? base)
    await rename(`${site.file}.new`, site.file)
    process.kill(site.supervisor(), 'SIGHUP')
    await eventually(`reload ${n}`, () => count('config.reloaded') >= n * perReload, 30_000)
    const due = (REQUESTS * n) / TIMES
    while (load.count() < due) await delay(20)
  }
  const seconds = (performance.now() - begin) / 1000
  await load.stop()
  const { 200: good = 0, ...failed } = Object.fromEntries(load.outcomes)
  const isLost = Object.keys(failed).length > 0
  const swapped = count('tls.files-changed')
  process.stdout.write(
    `${good} answered with 200 in ${seconds.toFixed(0)} s, ${WORKERS} workers; failed: ${JSON.stringify(failed)}; ` +
      `${count('config.reloaded') / perReload} reloads, ${swapped / WORKERS} changes of certificates, ` +
      `${count('tls.files-refused')} half of one seen and refused\n${isLost ? 'LOST' : 'nothing lost'}\n`,
  )
  process.exitCode = isLost ? 1 : 0
} finally {
  await site.close()
}
