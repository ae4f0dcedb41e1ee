import { type ParseArgsOptionsConfig, parseArgs } from 'node:util'
import { nearest, suggestion } from '../config/nearest.ts'

/** The command line is wrong; `message` says how, in one line. Exit code 2. */
export class UsageError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'UsageError'
  }
}

type Parsed<Options extends ParseArgsOptionsConfig> = ReturnType<
  typeof parseArgs<{ args: string[]; options: Options; allowPositionals: true; strict: true }>
>

/**
 * Options and positional arguments of one subcommand.
 * @param positionals how many there may be at most
 * @throws UsageError with the nearest known option
 */
export function parseOptions<const Options extends ParseArgsOptionsConfig>(
  args: string[],
  options: Options,
  positionals = 0,
): Parsed<Options> {
  let parsed: Parsed<Options>
  try {
    parsed = parseArgs({ args, options, allowPositionals: true, strict: true })
  } catch (cause) {
    throw new UsageError(explain(cause, args, Object.keys(options)), { cause })
  }
  const surplus = parsed.positionals[positionals]
  if (surplus !== undefined) throw new UsageError(`'${surplus}' is one argument too many`)
  return parsed
}

/** @throws UsageError when the option was not given */
export function needed(value: string | undefined, option: string): string {
  if (value === undefined || value === '') throw new UsageError(`--${option} has to be given`)
  return value
}

/** @throws UsageError for what is not a whole number in the range, both ends allowed */
export function wholeNumber(text: string, option: string, [least, most]: readonly [number, number]): number {
  const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
  if (!(value >= least && value <= most)) {
    throw new UsageError(`--${option} takes a whole number from ${least} to ${most}, not '${text}'`)
  }
  return value
}

function explain(cause: unknown, args: readonly string[], known: readonly string[]): string {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  if (code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION') {
    const unknown = unknownOption(cause, args)
    const near = nearest(unknown.replace(/^-+/, ''), known)
    return `unknown option ${unknown}${suggestion(near && `--${near}`)}`
  }
  // the first sentence of Node's message names option and mistake; the rest is advice about its own syntax
  return cause instanceof Error ? (cause.message.split('. ')[0] ?? cause.message) : String(cause)
}

/** Node names the option in its message only; it is the first argument that stands there between quotes. */
function unknownOption(cause: unknown, args: readonly string[]): string {
  const message = cause instanceof Error ? cause.message : ''
  const names = args.filter((arg) => arg.startsWith('-')).map((arg) => arg.split('=', 1)[0] ?? arg)
  return names.find((name) => message.includes(`'${name}'`)) ?? /'(-[^']*)'/.exec(message)?.[1] ?? ''
}
