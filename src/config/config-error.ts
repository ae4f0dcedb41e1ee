/** Where a configuration mistake is, as far as it is known. */
export interface ConfigPlace {
  /** The file, or the environment variable, that has to be changed. */
  readonly file: string
  /** 1-based. */
  readonly line?: number | undefined
  /** Dotted path: `ap.routes[0].appServer`. */
  readonly key?: string | undefined
}

/** The operator's mistake, told as `file:line: key: detail`. Nothing has been started when it is thrown; exit code 2. */
export class ConfigError extends Error {
  readonly file: string
  readonly line: number | undefined
  readonly key: string | undefined
  readonly detail: string

  constructor(place: ConfigPlace, detail: string, options?: ErrorOptions) {
    const where = place.line === undefined ? place.file : `${place.file}:${place.line}`
    super(`${where}: ${place.key === undefined ? '' : `${place.key}: `}${detail}`, options)
    this.name = 'ConfigError'
    this.file = place.file
    this.line = place.line
    this.key = place.key
    this.detail = detail
  }
}
