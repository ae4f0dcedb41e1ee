import { hash } from 'node:crypto'
import { octetsOf } from '../core/bytes.ts'
import { GbaError } from '../errors.ts'
import { decodeDocument, encodeDocument } from './document-record.ts'
import { corrupted, full } from './faults.ts'
import { type RedisReply, redisScript } from './redis-connection.ts'
import type { RedisEnvironment } from './redis-environment.ts'
import { redisRateLimiter, type ScriptRunner, TAKE } from './redis-rate-limiter.ts'
import { recordKey, seal, unseal } from './seal.ts'
import type { DocumentStore, RateLimiter, SqnStore, StoredDocument } from './store.ts'

export { redisAccessLog } from './redis-access-log.ts'
export { redisBootstrapStore } from './redis-bootstraps.ts'
export { openRedis, type RedisEnvironment, type RedisStoreOptions } from './redis-environment.ts'
export { redisKeyStore } from './redis-key-store.ts'
export { redisNonceLedger } from './redis-nonce-ledger.ts'
export { redisOnceStore } from './redis-once-store.ts'

/** Far more than callers of one record ever race. */
const MAX_TRIES = 100

/** Sequence numbers that hosts share: `next` may run several times, each time on what is stored then. */
export function redisSqnStore(environment: RedisEnvironment): SqnStore {
  const { keys, name } = environment
  const database = 'sqns'
  function open(key: Uint8Array, sealed: Uint8Array | undefined): Uint8Array | undefined {
    const sqn = sealed && unseal(keys, { database, key }, sealed)
    if (sealed !== undefined && sqn === undefined) throw corrupted('SQN')
    return sqn
  }
  return {
    async find(impi) {
      const key = recordKey(keys, database, impi)
      return open(key, sealedOf(await environment.redis.read(['GET', name(database, key)])))
    },
    async update(impi, next) {
      const key = recordKey(keys, database, impi)
      let sqn = new Uint8Array(0)
      await exchange(environment, name(database, key), '', (sealed) => {
        sqn = Uint8Array.from(octetsOf('SQN', next(open(key, sealed)), 6))
        return seal(keys, { database, key }, sqn)
      })
      return sqn
    },
  }
}

/** The lab's documents; all of them share a slot, since their number is bounded. `next` may run several times. */
export function redisDocumentStore(
  environment: RedisEnvironment,
  { maxDocuments = 1_000_000 }: { readonly maxDocuments?: number } = {},
): DocumentStore {
  const { redis, keys, name } = environment
  const database = 'documents'
  const all = name(database)

  function open(key: Uint8Array, sealed: Uint8Array | undefined): StoredDocument | undefined {
    if (sealed === undefined) return undefined
    const value = unseal(keys, { database, key }, sealed)
    if (value === undefined) throw corrupted('document')
    return decodeDocument(value)
  }

  return {
    async find(documentSelector) {
      const key = recordKey(keys, database, documentSelector)
      return open(key, sealedOf(await redis.read(['HGET', all, key])))
    },
    async update(documentSelector, next) {
      const key = recordKey(keys, database, documentSelector)
      const isFull = await exchange(
        environment,
        all,
        key,
        (sealed) => {
          const document = next(open(key, sealed))
          return document && seal(keys, { database, key }, encodeDocument(document))
        },
        maxDocuments,
      )
      if (isFull) throw full('document store', maxDocuments)
    },
  }
}

/**
 * Reads, changes and writes back, unless somebody else wrote in between: then once more.
 * @param field  of the hash, or '' where the key itself holds the value
 * @returns whether there was no room
 */
async function exchange(
  { redis }: RedisEnvironment,
  key: string,
  field: Uint8Array | '',
  change: (sealed: Uint8Array | undefined) => Uint8Array | undefined,
  most = 0,
): Promise<boolean> {
  for (let tries = 0; tries < MAX_TRIES; tries++) {
    const sealed = sealedOf(await redis.read(field === '' ? ['GET', key] : ['HGET', key, field]))
    const changed = change(sealed)
    if (sealed === undefined && changed === undefined) return false
    const seen = sealed === undefined ? '' : hash('sha1', sealed)
    const args = [field, seen, changed ?? '', most]
    const reply = await redis.write({ script: EXCHANGE, keys: [key], args }, (outcome) => outcome === 1)
    if (reply !== 0) return reply === 2
  }
  throw new GbaError('STORE_UNAVAILABLE', `a record changed ${MAX_TRIES} times while it was to be changed`)
}

function sealedOf(reply: RedisReply): Uint8Array | undefined {
  if (reply === null) return undefined
  if (!(reply instanceof Uint8Array)) throw corrupted('store')
  return Uint8Array.from(reply)
}

/** The digest stands for the value: each was sealed with a random IV, so no two are equal. */
const EXCHANGE = redisScript(`
local key, field, seen, changed, most = KEYS[1], ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local current = field == '' and redis.call('GET', key) or field ~= '' and redis.call('HGET', key, field)
if (current and redis.sha1hex(current) or '') ~= seen then return 0 end
if field == '' then
  redis.call('SET', key, changed)
elseif changed == '' then
  redis.call('HDEL', key, field)
else
  if not current and redis.call('HLEN', key) >= most then return 2 end
  redis.call('HSET', key, field, changed)
end
return 1
`)

/**
 * The rates that hosts share. A count that a failover loses lets a few more through, so no replica is waited for.
 */
export function redisLimiter({ redis, keys, name }: RedisEnvironment): RateLimiter {
  const runner: ScriptRunner = {
    async eval(_script, [key = ''], args) {
      return redis.read({ script: TAKE_SCRIPT, keys: [key], args: [...args] })
    },
  }
  return redisRateLimiter({ redis: runner, keys, keyPrefix: name('') })
}

const TAKE_SCRIPT = redisScript(TAKE)
