import { createHmac, createSecretKey, type KeyObject } from 'node:crypto'
import { type DestinationStream, type Logger, pino, stdSerializers, stdTimeFunctions } from 'pino'
import type { LogConfig } from '../config/schema.ts'
import type { Secret } from '../core/secret.ts'
import { GbaError } from '../errors.ts'

export type { Logger } from 'pino'

/** How identities appear in what we write down: as keyed hashes, or in clear (labs). */
export type IdentityMode = LogConfig['identities']

export interface LogOptions {
  readonly level: LogConfig['level']
  readonly identities: IdentityMode
  /** Default: standard output. */
  readonly destination?: DestinationStream
  /** Which of several processes writes; undefined: there is one. */
  readonly worker?: number | undefined
}

/** The second net, under `Secret`: names under which a key or a credential would travel. */
const REDACTED = [
  ...['k', 'op', 'opc', 'ak', 'ck', 'ik', 'xres', 'ks', 'ksNaf', 'ksExtNaf', 'ksIntNaf', 'ha1', 'password', 'key'],
  ...['authorization', 'cookie', 'headers', 'url', 'originalUrl', 'path'],
]

/**
 * The log: JSON lines of an event name (`event`) and fields. Requests show method and id and never the URL, for it names
 * the IMPU; a refusal shows its fault code and, unless identities may appear in clear, not its message.
 */
export function createLog({ level, identities, destination, worker }: LogOptions): Logger {
  const options = {
    level,
    messageKey: 'event',
    base: worker === undefined ? null : { worker },
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (label: string) => ({ level: label }) },
    serializers: {
      req: (request: { method?: unknown; id?: unknown }) => ({ method: request.method, id: request.id }),
      res: (reply: { statusCode?: unknown }) => ({ statusCode: reply.statusCode }),
      err: (error: unknown) => errorFields(error, identities),
    },
    redact: { paths: REDACTED.flatMap((name) => [name, `*.${name}`]), censor: '[redacted]' },
  }
  return destination ? pino(options, destination) : pino(options)
}

/**
 * The same log, where the names of keys are not looked for: that costs eight times the rest of a line. For what has a
 * closed list of fields, none of them a key's.
 */
export const withoutRedaction = (log: Logger): Logger => log.child({}, { redact: [] })

/**
 * What stands for an identity in logs, audit and metrics: itself, or a hash that is the same for as long as the key is.
 * @param key any length; kept with the state where pseudonyms should outlive the process
 */
export function pseudonymiser(key: Secret, mode: IdentityMode): (identity: string) => string {
  if (mode === 'clear') return (identity) => identity
  const prepared = createSecretKey(key.expose())
  const known = new Map<string, string>()
  return (identity) => {
    const before = known.get(identity)
    if (before !== undefined) return before
    // Those who come often are soon in it again.
    if (known.size >= MAX_KNOWN) known.clear()
    const made = pseudonym(prepared, identity)
    known.set(identity, made)
    return made
  }
}

/** Pseudonyms that are remembered: most records are about the same few. */
const MAX_KNOWN = 20_000

/** HMAC-SHA-256, the first 48 bits in hex: enough to follow one user, too short to be mistaken for a key. */
function pseudonym(key: KeyObject, identity: string): string {
  return createHmac('sha256', key).update(identity).digest('hex').slice(0, 12)
}

function errorFields(error: unknown, identities: IdentityMode): unknown {
  if (!(error instanceof GbaError) || identities === 'clear') {
    return error instanceof Error ? stdSerializers.err(error) : error
  }
  const { cause } = error
  const reason = cause instanceof Error ? ('code' in cause ? String(cause.code) : cause.name) : undefined
  return { type: error.name, code: error.code, ...(reason !== undefined && { cause: reason }) }
}
