import { toBase64, utf8 } from '../core/bytes.ts'
import { GbaError } from '../errors.ts'
import { readKeyFile } from './key-file.ts'
import { type RedisConnection, type RedisConnectionOptions, redisConnection } from './redis-connection.ts'
import { recordKey, type SealKeys, seal, unseal } from './seal.ts'

export interface RedisStoreOptions extends RedisConnectionOptions {
  /** Seals what is kept; the same on every host. It is never made here: two hosts would make two. */
  readonly sealKeyFile: string
  /** Before every key. `gba:` by default. */
  readonly keyPrefix?: string
}

/** One Redis and what the adapters share of it. */
export interface RedisEnvironment {
  readonly redis: RedisConnection
  readonly keys: SealKeys
  /** The name of what lies in one place. @param tag  hash tag: keys with the same one share a slot */
  name(database: string, record?: Uint8Array, tag?: string): string
  close(): Promise<void>
}

/** Layout of every record and of the names. */
const FORMAT = 1
const OLDEST = [6, 2] as const
const PATIENCE_MS = 10_000

/**
 * Opens the store that several hosts share. It need not be there yet: until it is, every operation is
 * STORE_UNAVAILABLE. What would weaken it is reported with each new connection.
 * @throws GbaError STORE_UNAVAILABLE when a file cannot be used
 */
export function openRedis(options: RedisStoreOptions): RedisEnvironment {
  const { sealKeyFile, keyPrefix = 'gba:', onProblem = () => {} } = options
  if (!/^[^{}\s]*$/.test(keyPrefix)) throw new RangeError('a key prefix has neither braces nor blanks')
  const keys = keysIn(sealKeyFile)
  const redis = redisConnection(options)
  const name: RedisEnvironment['name'] = (database, record, tag) =>
    `${keyPrefix}${tag === undefined ? '' : `{${tag}}:`}${database}${record ? `:${toBase64(record)}` : ''}`
  let refusal: GbaError | undefined
  async function check(): Promise<void> {
    const connected = await redis.ready(PATIENCE_MS).then(
      () => true,
      () => false, // the connection tells of itself
    )
    if (!connected) return
    refusal = await checkMark(redis, keys, name('mark'))
    if (refusal !== undefined) onProblem(refusal)
    await checkServer(redis, onProblem)
  }
  redis.onReady(() => {
    check().catch(onProblem)
  })
  const guarded: RedisConnection = {
    ...redis,
    isUsable: () => refusal === undefined && redis.isUsable(),
    read: async (command) => {
      if (refusal !== undefined) throw refusal
      return redis.read(command)
    },
    write: async (command, isChange) => {
      if (refusal !== undefined) throw refusal
      return redis.write(command, isChange)
    },
  }
  return { redis: guarded, keys, name, close: () => redis.close() }
}

function keysIn(sealKeyFile: string): SealKeys {
  const keys = readKeyFile(sealKeyFile)
  if (keys !== undefined) return keys
  const detail = `seal key file ${sealKeyFile} is missing: make one and give it to every host`
  throw new GbaError('STORE_UNAVAILABLE', detail)
}

/** What is kept must stay until it expires, so a server that evicts is none for this. */
async function checkServer(redis: RedisConnection, onProblem: (error: unknown) => void): Promise<void> {
  for (const memory of await redis.info('memory')) {
    const policy = /^maxmemory_policy:(\S+)/m.exec(memory)?.[1] ?? 'unknown'
    if (policy !== 'noeviction') {
      onProblem(new GbaError('STORE_UNAVAILABLE', `Redis has maxmemory-policy ${policy}: set noeviction`))
    }
  }
  for (const server of await redis.info('server')) {
    const version = /^redis_version:(\d+)\.(\d+)/m.exec(server)?.slice(1).map(Number) ?? []
    const [major = 0, minor = 0] = version
    if (major < OLDEST[0] || (major === OLDEST[0] && minor < OLDEST[1])) {
      onProblem(
        new GbaError('STORE_UNAVAILABLE', `Redis ${version.join('.')} is too old: run ${OLDEST.join('.')} or later`),
      )
    }
  }
}

/** Hosts with different key files would not find one another's records, and nobody would know why. */
async function checkMark(redis: RedisConnection, keys: SealKeys, name: string): Promise<GbaError | undefined> {
  const place = { database: 'mark', key: recordKey(keys, 'mark', 'seal') }
  await redis.write(['SET', name, seal(keys, place, utf8(String(FORMAT))), 'NX'])
  const sealed = await redis.read(['GET', name])
  const format = sealed instanceof Uint8Array ? unseal(keys, place, sealed) : undefined
  if (format === undefined) {
    return new GbaError(
      'STORE_UNAVAILABLE',
      `the seal key file is not that of this Redis' records: use the other hosts'`,
    )
  }
  if (Buffer.from(format).toString() === String(FORMAT)) return undefined
  return new GbaError('STORE_UNAVAILABLE', `this Redis has records of format ${format}, this program knows ${FORMAT}`)
}
