import { type TProperties, type TSchema, type TUnsafe, Type } from '@sinclair/typebox'
import type { FormatName, FormatTypes } from '../formats.ts'

// One builder per kind of key. Each takes a title, a sentence and, last, the default; a key without one is required.

export const flag = (title: string, description: string, byDefault: boolean) =>
  Type.Boolean({ title, description, default: byDefault })

/** @param range both ends allowed */
export const integer = (title: string, description: string, range: readonly [number, number], byDefault?: number) =>
  Type.Integer({ title, description, minimum: range[0], maximum: range[1], ...withDefault(byDefault) })

/** A share of a whole: 0 to 1. */
export const ratio = (title: string, description: string, byDefault: number) =>
  Type.Number({ title, description, minimum: 0, maximum: 1, default: byDefault })

/** A number, or the one word that stands for a number to be found out. */
export const integerOr = <const Word extends string>(
  word: Word,
  title: string,
  description: string,
  range: readonly [number, number],
  byDefault: number | Word,
) =>
  Type.Unsafe<number | Word>({
    anyOf: [
      { type: 'string', enum: [word] },
      { type: 'integer', minimum: range[0], maximum: range[1] },
    ],
    title,
    description,
    default: byDefault,
  })

export const oneOf = <const Word extends string>(
  title: string,
  description: string,
  words: readonly Word[],
  byDefault?: NoInfer<Word>,
) => Type.Unsafe<Word>({ type: 'string', enum: [...words], title, description, ...withDefault(byDefault) })

/** How often something may happen; `burst: 0` lifts the limit. */
export const rate = (title: string, description: string, byDefault: { burst: number; perMinute: number }) =>
  section(title, description, {
    burst: integer('Burst', 'How many at once; 0: any number, always.', [0, 1_000_000], byDefault.burst),
    perMinute: integer('Per minute', 'How many a minute after that.', [1, 1_000_000], byDefault.perMinute),
  })

/** @param description what is not done with them */
export const trustedSources = (description: string) =>
  list('Trusted sources', description, text('network', 'Source', 'IP address or network.'), 0, ['127.0.0.0/8', '::1'])

/** A text that has to be given. */
export const text = <Name extends FormatName>(format: Name, title: string, description: string) =>
  Type.Unsafe<FormatTypes[Name]>({ type: 'string', format, minLength: 1, title, description })

/** A text with a default; `''` stands for "none". */
export const textOr = <Name extends FormatName, const Default extends string>(
  format: Name,
  title: string,
  description: string,
  byDefault: Default,
): TUnsafe<FormatTypes[Name] | (Default extends '' ? '' : never)> =>
  Type.Unsafe({ type: 'string', format, title, description, ...(byDefault && { minLength: 1 }), default: byDefault })

/** @param atLeast how many items there have to be; no item may come twice */
export const list = <Item extends TSchema>(
  title: string,
  description: string,
  item: Item,
  atLeast: number,
  byDefault?: readonly unknown[],
) => Type.Array(item, { title, description, minItems: atLeast, uniqueItems: true, ...withDefault(byDefault) })

/** Keys with defaults only: the section is there even when the file does not name it. */
export const section = <Keys extends TProperties>(title: string, description: string, keys: Keys) =>
  Type.Object(keys, { title, description, additionalProperties: false, default: {} })

/** A section that is there when the file names it, and only then. */
export const given = <Keys extends TProperties>(title: string, description: string, keys: Keys) =>
  Type.Object(keys, { title, description, additionalProperties: false })

/** What a change of a key takes: nothing more than a reload, or a new start. */
export type Reload = 'live' | 'restart'

/** A key that takes effect at a reload, and all keys in it that do not say otherwise. */
export const live = <Key extends TSchema>(key: Key): Key => marked(key, 'live')

/** A key that takes effect at the next start, and all keys in it that do not say otherwise. */
export const restart = <Key extends TSchema>(key: Key): Key => marked(key, 'restart')

function marked<Key extends TSchema>(key: Key, reload: Reload): Key {
  if (key.reload !== undefined) return key
  const properties = key.properties as TProperties | undefined
  const items = key.items as TSchema | undefined
  return {
    ...key,
    reload,
    ...(properties && {
      properties: Object.fromEntries(Object.entries(properties).map(([name, each]) => [name, marked(each, reload)])),
    }),
    ...(items && { items: marked(items, reload) }),
  }
}

const withDefault = <Value>(value: Value | undefined) => (value === undefined ? {} : { default: value })

const PORTS = [0, 65_535] as const
export const SECONDS = [1, 31_536_000] as const
export const MILLISECONDS = [1, 3_600_000] as const
export const OCTETS = [1, 1_073_741_824] as const

/** Where a server listens. */
export const listen = (port: number) => ({
  host: textOr('host', 'Address', 'IP address or host name on which this server listens.', '127.0.0.1'),
  port: integer('Port', 'TCP port on which this server listens; 0 takes any free one.', PORTS, port),
})

/** How long a server waits for a client. */
export const patience = (headersTimeoutMs: number, requestTimeoutMs: number) => ({
  headersTimeoutMs: integer(
    'Header timeout',
    'Time a client has to send all of its request header before it is cut off.',
    MILLISECONDS,
    headersTimeoutMs,
  ),
  requestTimeoutMs: integer(
    'Request timeout',
    'Time a client has to send its whole request, body included, before it is cut off.',
    MILLISECONDS,
    requestTimeoutMs,
  ),
})

/** Certificate and key of a TLS server. */
export const certificate = {
  certificateFile: text('file', 'Certificate', 'PEM file with the server certificate, followed by its intermediates.'),
  keyFile: text('file', 'Private key', 'PEM file with the private key of that certificate; keep it at mode 0600.'),
}
