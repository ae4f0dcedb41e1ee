import type { FastifyBaseLogger } from 'fastify'

type ChildArguments = Parameters<FastifyBaseLogger['child']>

/**
 * The log of one request, whose lines all carry its id. It is made with its first line: most requests log nothing, and
 * to make a child of the log costs more than a line in the file of decisions.
 */
export class RequestLog implements FastifyBaseLogger {
  readonly #parent: FastifyBaseLogger
  readonly #arguments: ChildArguments
  #child: FastifyBaseLogger | undefined

  constructor(parent: FastifyBaseLogger, ...of: ChildArguments) {
    this.#parent = parent
    this.#arguments = of
  }

  fatal(...line: unknown[]): void {
    this.#write('fatal', line)
  }
  error(...line: unknown[]): void {
    this.#write('error', line)
  }
  warn(...line: unknown[]): void {
    this.#write('warn', line)
  }
  info(...line: unknown[]): void {
    this.#write('info', line)
  }
  debug(...line: unknown[]): void {
    this.#write('debug', line)
  }
  trace(...line: unknown[]): void {
    this.#write('trace', line)
  }
  silent(): void {}

  get level(): string {
    return this.#made().level
  }
  set level(level: string) {
    this.#made().level = level
  }

  child(...of: ChildArguments): FastifyBaseLogger {
    return this.#made().child(...of)
  }

  #made(): FastifyBaseLogger {
    this.#child ??= this.#parent.child(...this.#arguments)
    return this.#child
  }

  #write(level: 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace', line: unknown[]): void {
    const log = this.#made()
    Reflect.apply(log[level], log, line)
  }
}
