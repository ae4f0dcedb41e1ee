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

/** One subcommand. A module under cli/ exports it as `command`; what is heavy it imports inside `run`. */
export interface Command {
  readonly name: string
  /** One line for the list of subcommands. */
  readonly summary: string
  /** The help text, from its first line `usage: gba-proxy …` on. */
  readonly usage: string
  /**
   * @param args what follows the subcommand's name
   * @returns the exit code: 0 done, 1 failed, 2 the command line or the configuration is wrong
   * @throws UsageError (options.ts) and ConfigError, which the caller prints with exit code 2
   */
  run(args: string[], io: Io): Promise<number>
}
