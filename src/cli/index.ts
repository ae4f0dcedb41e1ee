import { ConfigError } from '../config/config-error.ts'
import { nearest, suggestion } from '../config/nearest.ts'
import { productVersion } from '../version.ts'
import type { Command, Io } from './command.ts'
import { UsageError } from './options.ts'

export type CommandTable = Readonly<Record<string, () => Promise<Command>>>

/** Every subcommand, loaded when it is asked for. */
export const COMMANDS: CommandTable = {
  serve: async () => (await import('./serve.ts')).command,
  lab: async () => (await import('./lab.ts')).command,
  check: async () => (await import('./check.ts')).command,
  certs: async () => (await import('./certs.ts')).command,
  keys: async () => (await import('./keys.ts')).command,
  ue: async () => (await import('./ue.ts')).command,
  demo: async () => (await import('./demo.ts')).command,
  explain: async () => (await import('./explain.ts')).command,
  route: async () => (await import('./route.ts')).command,
  health: async () => (await import('./health.ts')).command,
  admin: async () => (await import('./admin.ts')).command,
  completion: async () => (await import('./completion.ts')).completionCommand(() => loadCommands()),
}

/** Every subcommand there is, in the order of the overview. */
export const loadCommands = (commands: CommandTable = COMMANDS): Promise<Command[]> =>
  Promise.all(Object.values(commands).map((load) => load()))

/**
 * Runs what the arguments ask for.
 * @returns the exit code: 2 when the command line or the configuration is wrong, else the subcommand's
 */
export async function runCli(args: readonly string[], io: Io, commands: CommandTable = COMMANDS): Promise<number> {
  const [name, ...rest] = args
  if (name === '--version' || name === '-V') {
    io.stdout.write(`gba-proxy ${productVersion()}\n`)
    return 0
  }
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    const help = overview(await loadCommands(commands))
    if (name !== undefined) {
      io.stdout.write(help)
      return 0
    }
    io.stderr.write(help)
    return 2
  }
  const load = Object.hasOwn(commands, name) ? commands[name] : undefined
  if (!load) {
    const near = suggestion(nearest(name, Object.keys(commands)))
    io.stderr.write(`gba-proxy: no subcommand '${name}'${near || '; see gba-proxy --help'}\n`)
    return 2
  }
  const command = await load()
  if (asksForHelp(rest)) {
    io.stdout.write(`${command.usage.trimEnd()}\n`)
    return 0
  }
  try {
    return await command.run(rest, io)
  } catch (error) {
    if (error instanceof ConfigError) {
      io.stderr.write(`${error.message}\n`)
      return 2
    }
    if (error instanceof UsageError) {
      io.stderr.write(`gba-proxy ${name}: ${error.message}\nmore: gba-proxy ${name} --help\n`)
      return 2
    }
    throw error
  }
}

/** `-h` only alone: curl-like options may give it to something else. Behind `--` nothing is an option. */
function asksForHelp(args: readonly string[]): boolean {
  const end = args.indexOf('--')
  return args[0] === '-h' || (end < 0 ? args : args.slice(0, end)).includes('--help')
}

/** The help of the whole program; the man page begins with it. */
export function overview(commands: readonly Command[]): string {
  const width = Math.max(7, ...commands.map(({ name }) => name.length))
  return `usage: gba-proxy SUBCOMMAND [OPTION]...

GBA/Ut authentication proxy: authenticates mobile UEs in front of an XCAP or presence server.

${commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}\n`).join('')}
gba-proxy SUBCOMMAND --help tells more; gba-proxy --version prints the version.

Exit code: 0 done, 1 failed, 2 the command line or the configuration is wrong; 'ue' has curl's beyond that.

Examples:
  gba-proxy lab
      everything in one process, to try it
  gba-proxy check -c gba-proxy.yaml && gba-proxy serve -c gba-proxy.yaml
      a configuration of your own
`
}
