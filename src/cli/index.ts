import { readFile } from 'node:fs/promises'
import { ConfigError } from '../config/config-error.ts'
import { nearest, suggestion } from '../config/nearest.ts'
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
}

/**
 * Runs what the arguments ask for.
 * @returns the exit code: 2 when the command line or the configuration is wrong, else the subcommand's
 */
export async function runCli(args: readonly string[], io: Io, commands: CommandTable = COMMANDS): Promise<number> {
  const [name, ...rest] = args
  if (name === '--version' || name === '-V') {
    io.stdout.write(`gba-proxy ${await version()}\n`)
    return 0
  }
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    const help = await overview(commands)
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

async function overview(commands: CommandTable): Promise<string> {
  const loaded = await Promise.all(Object.values(commands).map((load) => load()))
  const lines = loaded.map(({ name, summary }) => `  ${name.padEnd(8)} ${summary}`)
  return [
    'usage: gba-proxy SUBCOMMAND [OPTION]...',
    '',
    'GBA/Ut authentication proxy: authenticates mobile UEs in front of an XCAP or presence server.',
    '',
    ...lines,
    '',
    'gba-proxy SUBCOMMAND --help tells more; gba-proxy --version prints the version.',
    '',
  ].join('\n')
}

async function version(): Promise<string> {
  const manifest: unknown = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'))
  return typeof manifest === 'object' && manifest !== null && 'version' in manifest
    ? String(manifest.version)
    : 'unknown'
}
