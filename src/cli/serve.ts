import { adminApi } from '../admin/api.ts'
import type { AdminSources } from '../admin/server.ts'
import { adminPlaceOf, startAdmin, versionReporter } from '../admin/start.ts'
import { supervisorDesk } from '../admin/supervisor-desk.ts'
import type { App } from '../app.ts'
import { changesBetween, keysOf, needingRestart, RestartNeeded } from '../config/changes.ts'
import { versionOf } from '../config/file-version.ts'
import { parseConfig, readConfig } from '../config/load.ts'
import { type Config, ROLES } from '../config/schema.ts'
import { expose } from '../observe/exposition.ts'
import { createLog, type Logger } from '../observe/log.ts'
import { standingDemands } from '../ua/standing-demands.ts'
import { workerCount } from '../worker-place.ts'
import type { Command, Io, OptionTable } from './command.ts'
import { needed, parseOptions } from './options.ts'
import { oneByOne, takeOver, tellRefusal, watchFiles } from './reload.ts'
import { explainStart, startUnprivileged } from './start.ts'
import { supervise } from './supervisor.ts'
import { work } from './worker.ts'
import { workerCalls } from './worker-calls.ts'
import { workerReports } from './worker-reports.ts'

const OPTIONS = {
  config: { type: 'string', short: 'c', takes: 'file' },
  worker: { type: 'boolean', hidden: true },
} as const satisfies OptionTable

export const command: Command = {
  name: 'serve',
  summary: 'run the roles that a configuration file names',
  usage: `usage: gba-proxy serve --config FILE

Starts every role the configuration has (ap, bsf, hss, as), or none. Logs and audit records are JSON lines on
standard output. An admin listener (127.0.0.1:9464 unless the file says otherwise) answers /metrics, /live, /ready
and /version, and 'gba-proxy admin' at /admin, each call of which is admin.called in the audit. With workers, one
process for each serves behind the same ports, and one that dies is replaced at once. SIGHUP opens log.auditFile
anew and reads the configuration, subscribers, certificates, keys and CRLs again (which happens by itself within
seconds of a change, too): all of a configuration is taken over, or nothing, when a mistake or a key that needs a
restart is in it; the log says which. SIGTERM and SIGINT stop it: requests in flight are finished first.

  -c, --config FILE   the configuration (YAML); 'gba-proxy check' gives a verdict without starting
                      or reloading

Started by root with process.user in the configuration, it takes its ports as root and is that user otherwise.
What it makes is for that user alone (umask 077).

Exit code: 0 stopped as asked, 1 could not start, 2 the configuration or the command line is wrong.

Files:
  /etc/gba-proxy/gba-proxy.yaml   where the packaged systemd unit and container image have the configuration
  /var/lib/gba-proxy              where they have store.directory: the sealed store and, beside it, seal.key

Environment:
  GBA_PROXY_LOG_LEVEL        in the place of log.level
  GBA_PROXY_LOG_IDENTITIES   in the place of log.identities
  GBA_PROXY_STORE_DIRECTORY  in the place of store.directory
  NODE_OPTIONS               options of Node.js, such as --max-old-space-size=512 (MiB, for each worker)

Examples:
  gba-proxy serve --config /etc/gba-proxy/gba-proxy.yaml
      every role that the file has
  GBA_PROXY_LOG_LEVEL=debug gba-proxy serve -c gba-proxy.yaml
      the same with more in the log
`,
  options: OPTIONS,
  async run(args, io) {
    const { stderr, env, signal } = io
    const { values } = parseOptions(args, OPTIONS)
    const file = needed(values.config, 'config')
    // keys, store and audit file are nobody else's to read
    process.umask(0o077)
    const parse = (text: string) => parseConfig(text, file, env)
    if (values.worker) return work(parse, file, io)
    // Taken before the reading, so that a change in between is seen later.
    const since = versionOf(file)
    const yamlText = await readConfig(file)
    const config = parse(yamlText)
    const count = workerCount(config)
    const log = createLog({ level: config.log.level, identities: config.log.identities })
    if (count > 1) return serveByWorkers(config, { count, yamlText, file, since, parse, log, stderr, signal })
    let running = config
    const followed = () => filesOf(file, running)
    const app = await startUnprivileged(config, file, stderr, { log, wantsAdmin: true })
    if (!app) return 1
    warnOfRoot(config)
    stderr.write(`${upLine(config, app.addresses)}\n`)
    const inTurn = oneByOne()
    const take = async () => {
      const next = parse(await readConfig(file))
      const keys = app.change(next)
      running = next
      return keys
    }
    const change = () => void inTurn(() => takeOver(file, log, take))
    const hangUp = () => {
      app.reopenLogs()
      app.reload()
      change()
    }
    process.on('SIGHUP', hangUp)
    const unwatch = watchFiles(followed, change, since)
    await stopped(signal)
    unwatch()
    process.off('SIGHUP', hangUp)
    await app.close()
    return 0
  },
}

/** Root may do what no request should ever be able to. */
function warnOfRoot({ log: { level, identities }, process: { user } }: Config): void {
  if (process.getuid?.() !== 0 || user !== '') return
  createLog({ level, identities }).warn({ setting: 'process.user' }, 'process.stays-root')
}

interface ByWorkers extends Pick<Io, 'stderr' | 'signal'> {
  readonly count: number
  readonly yamlText: string
  readonly file: string
  /** Version of the file that `yamlText` is. */
  readonly since: string
  readonly parse: (yamlText: string) => Config
  readonly log: Logger
}

/** One process for each worker, and this one to tell what they do. */
async function serveByWorkers(config: Config, by: ByWorkers): Promise<number> {
  const { count, yamlText, file, since, parse, log, stderr, signal } = by
  let running = config
  const reports = workerReports(count)
  const sources: AdminSources = {
    metrics: async () => expose(await reports.metrics()),
    readiness: () => reports.readiness(signal.aborted),
    version: versionReporter(config, count),
  }
  const place = adminPlaceOf(config, true)
  const calls = workerCalls()
  const demands = standingDemands()
  const desk = supervisorDesk({ config: () => running, workers: calls, demands, log, now: Date.now })
  const more = place && adminApi(desk, place.config.tls !== undefined)
  const admin = place && (await explainStart(startAdmin(place, { sources, log, more }), stderr))
  if (place && !admin) return 1
  const all = (addresses: App['addresses']) => ({ ...addresses, ...(admin && { admin: admin.address }) })
  try {
    return await supervise({
      count,
      yamlText,
      worker: { module: process.argv[1] ?? '', args: ['serve', '--worker', '--config', file] },
      log,
      reports,
      calls,
      demands: demands.list,
      followed: () => filesOf(file, running),
      since,
      async reread() {
        try {
          const found = await readConfig(file)
          const changes = changesBetween(running, parse(found))
          if (needingRestart(changes).length > 0) throw new RestartNeeded(changes)
          return found
        } catch (error) {
          tellRefusal(file, log, error)
          return undefined
        }
      },
      onTaken(text) {
        const next = parse(text)
        const keys = keysOf(changesBetween(running, next))
        running = next
        log.level = running.log.level
        log.info({ file, keys }, keys.length > 0 ? 'config.reloaded' : 'config.unchanged')
      },
      signal,
      onUp: (addresses) => {
        warnOfRoot(config)
        stderr.write(`${upLine(config, all(addresses))}; ${count} workers\n`)
      },
    })
  } finally {
    await admin?.close()
  }
}

/** What is read again when it changes: the configuration, and what of it is not followed where it is used. */
const filesOf = (file: string, { hss }: Config): readonly string[] => [file, ...(hss ? [hss.subscribersFile] : [])]

function upLine(config: Config, addresses: App['addresses']): string {
  const roles = ROLES.filter((role) => config[role])
  const places = Object.entries(addresses).map(([name, { host, port }]) => `${name} ${host}:${port}`)
  return `gba-proxy: ${roles.join(', ')} up; ${places.join(', ')}`
}

/** Resolves when the process is asked to stop. */
export function stopped(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
