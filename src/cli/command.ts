/** Where text goes; `isTTY` says whether a person is looking. */
export interface Output {
  write(chunk: string | Uint8Array): unknown
  readonly isTTY?: boolean
}

/** All that a subcommand may touch of the process around it. */
export interface Io {
  readonly stdout: Output
  readonly stderr: Output
  readonly stdin?: AsyncIterable<Uint8Array | string>
  readonly env: Readonly<Record<string, string | undefined>>
  /** Aborted by SIGINT and SIGTERM: finish what is in flight and resolve. */
  readonly signal: AbortSignal
}

/** What may stand behind an option or as an argument, so that a shell can complete it; a list is a choice of words. */
export type Completable = 'file' | 'directory' | readonly string[]

/** One option, as node:util's parseArgs takes it, and what else there is to know of it. */
export interface CommandOption {
  readonly type: 'string' | 'boolean'
  /** The letter behind one hyphen. */
  readonly short?: string
  readonly multiple?: boolean
  readonly default?: string | boolean
  readonly takes?: Completable
  /** Of our own making, between our own processes: in no help. */
  readonly hidden?: boolean
}

/** The options of a subcommand by name. The help text has an entry for each; a test compares them. */
export type OptionTable = Readonly<Record<string, CommandOption>>

/** One subcommand. A module under cli/ exports it as `command`; what is heavy it imports inside `run`. */
export interface Command {
  readonly name: string
  /** One line for the list of subcommands. */
  readonly summary: string
  /**
   * The help text, from its first line `usage: gba-proxy …` on, in the form that help.ts reads: man page and completions
   * come from it, too.
   */
  readonly usage: string
  /** The one definition of its options: what it parses, and what shells complete. */
  readonly options?: OptionTable
  /** What its arguments may be, by position. */
  readonly positionals?: readonly Completable[]
  /**
   * @param args what follows the subcommand's name
   * @returns the exit code: 0 done, 1 failed, 2 the command line or the configuration is wrong
   * @throws UsageError (options.ts) and ConfigError, which the caller prints with exit code 2
   */
  run(args: string[], io: Io): Promise<number>
}
