import { type App, startApp } from '../app.ts'
import { parseConfig, readConfig } from '../config/load.ts'
import { type Config, ROLES } from '../config/schema.ts'
import { createLog } from '../observe/log.ts'
import { workerCount } from '../worker-place.ts'
import type { Command } from './command.ts'
import { needed, parseOptions } from './options.ts'
import { explainStart } from './start.ts'
import { supervise } from './supervisor.ts'
import { work } from './worker.ts'

export const command: Command = {
  name: 'serve',
  summary: 'run the roles that a configuration file names',
  usage: `usage: gba-proxy serve --config FILE

Starts every role the configuration has (ap, bsf, hss, as), or none. Logs and audit records are JSON lines on
standard output. With workers, one process for each serves behind the same ports, and one that dies is replaced
at once. SIGHUP opens log.auditFile anew and reads certificates, keys and CRLs again (which happens by itself
within seconds of a change, too). SIGTERM and SIGINT stop it: requests in flight are finished first.

  -c, --config FILE   the configuration (YAML); 'gba-proxy check' gives a verdict without starting

Exit code: 0 stopped as asked, 1 could not start, 2 the configuration or the command line is wrong.
`,
  async run(args, io) {
    const { stderr, env, signal } = io
    // of the supervisor's own making, and so not in the usage
    const { values } = parseOptions(args, { config: { type: 'string', short: 'c' }, worker: { type: 'boolean' } })
    const file = needed(values.config, 'config')
    if (values.worker) return work((text) => parseConfig(text, file, env), io)
    const yamlText = await readConfig(file)
    const config = parseConfig(yamlText, file, env)
    const count = workerCount(config)
    if (count > 1) {
      return supervise({
        count,
        yamlText,
        worker: { module: process.argv[1] ?? '', args: ['serve', '--worker', '--config', file] },
        log: createLog({ level: config.log.level, identities: config.log.identities }),
        signal,
        onUp: (addresses) => stderr.write(`${upLine(config, addresses)}; ${count} workers\n`),
      })
    }
    const app = await explainStart(startApp(config), stderr)
    if (!app) return 1
    stderr.write(`${upLine(config, app.addresses)}\n`)
    const hangUp = () => {
      app.reopenLogs()
      app.reload()
    }
    process.on('SIGHUP', hangUp)
    await stopped(signal)
    process.off('SIGHUP', hangUp)
    await app.close()
    return 0
  },
}

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
