import { startApp } from '../app.ts'
import { loadConfig } from '../config/load.ts'
import { ROLES } from '../config/schema.ts'
import type { Command } from './command.ts'
import { needed, parseOptions } from './options.ts'
import { explainStart } from './start.ts'

export const command: Command = {
  name: 'serve',
  summary: 'run the roles that a configuration file names',
  usage: `usage: gba-proxy serve --config FILE

Starts every role the configuration has (ap, bsf, hss, as), or none. Logs and audit records are JSON lines on
standard output. SIGHUP opens log.auditFile anew and reads certificates, keys and CRLs again (which happens by itself
within seconds of a change, too). SIGTERM and SIGINT stop it: requests in flight are finished first.

  -c, --config FILE   the configuration (YAML); 'gba-proxy check' gives a verdict without starting

Exit code: 0 stopped as asked, 1 could not start, 2 the configuration or the command line is wrong.
`,
  async run(args, { stderr, env, signal }) {
    const { values } = parseOptions(args, { config: { type: 'string', short: 'c' } })
    const file = needed(values.config, 'config')
    const config = await loadConfig(file, env)
    const app = await explainStart(startApp(config), stderr)
    if (!app) return 1
    const roles = ROLES.filter((role) => config[role])
    const places = Object.entries(app.addresses).map(([name, { host, port }]) => `${name} ${host}:${port}`)
    stderr.write(`gba-proxy: ${roles.join(', ')} up; ${places.join(', ')}\n`)
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

/** Resolves when the process is asked to stop. */
export function stopped(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
