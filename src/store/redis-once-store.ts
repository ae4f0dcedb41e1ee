import { concat, type EpochMs } from '../core/bytes.ts'
import { corrupted, full } from './faults.ts'
import { redisScript } from './redis-connection.ts'
import type { RedisEnvironment } from './redis-environment.ts'
import { recordKey, seal, unseal } from './seal.ts'
import { sortable } from './sortable.ts'
import type { OnceStore } from './store.ts'
import type { ValueCodec } from './value-codec.ts'

const PARTS_IN_CLUSTER = 16
const DATABASE = 'once'

/**
 * Values that any host may put and exactly one takes. Strangers fill this store, so their number is bounded as in
 * memory: when full, what has expired goes first, and while all of it is live a new value is refused.
 * Both of its keys expire when the last value does.
 */
export function redisOnceStore<Value>(
  { redis, keys, name }: RedisEnvironment,
  options: { readonly maxEntries: number; readonly codec: ValueCodec<Value>; readonly clock?: () => EpochMs },
): OnceStore<Value> {
  const { maxEntries, codec, clock = Date.now } = options
  const parts = redis.isCluster ? PARTS_IN_CLUSTER : 1
  const placeOf = (key: string) => {
    const id = recordKey(keys, DATABASE, key)
    const tag = `once-${(id[0] ?? 0) % parts}`
    const names: [string, string] = [name('values', undefined, tag), name('expiries', undefined, tag)]
    return { id, names }
  }

  return {
    async put(key, value, expiresAt) {
      const { id, names } = placeOf(key)
      const header = sortable(expiresAt)
      const plaintext = codec.encode(value)
      const record = concat(header, seal(keys, { database: DATABASE, key: id, header }, plaintext))
      plaintext.fill(0)
      const args = [id, record, expiresAt, clock(), Math.ceil(maxEntries / parts)]
      if ((await redis.write({ script: PUT, keys: names, args })) !== 1) throw full('challenge store', maxEntries)
    },
    async take(key, now) {
      const { id, names } = placeOf(key)
      const record = await redis.write({ script: TAKE, keys: names, args: [id, now] }, (reply) => reply !== null)
      if (record === null) return undefined
      if (!(record instanceof Uint8Array) || record.length < 8) throw corrupted('challenge')
      const header = record.subarray(0, 8)
      const plaintext = unseal(keys, { database: DATABASE, key: id, header }, record.subarray(8))
      if (plaintext === undefined) throw corrupted('challenge')
      if (now >= new DataView(header.buffer, header.byteOffset).getFloat64(0)) return undefined
      const value = codec.decode(plaintext)
      if (value === undefined) throw corrupted('challenge')
      return value
    },
  }
}

const DROP_EXPIRED = `
local values, expiries = KEYS[1], KEYS[2]
local function dropExpired(now, most)
  local gone = redis.call('ZRANGEBYSCORE', expiries, '-inf', now, 'LIMIT', 0, most)
  for _, id in ipairs(gone) do
    redis.call('HDEL', values, id)
    redis.call('ZREM', expiries, id)
  end
end
`

const PUT = redisScript(`${DROP_EXPIRED}
local id, record, expiresAt, now, most = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
if not redis.call('ZSCORE', expiries, id) and redis.call('ZCARD', expiries) >= most then
  dropExpired(now, 1000)
  if redis.call('ZCARD', expiries) >= most then return 0 end
end
redis.call('HSET', values, id, record)
redis.call('ZADD', expiries, expiresAt, id)
local left = expiresAt - now
for _, key in ipairs(KEYS) do
  if redis.call('PTTL', key) < left then redis.call('PEXPIRE', key, string.format('%.0f', left)) end
end
return 1
`)

const TAKE = redisScript(`${DROP_EXPIRED}
local id, now = ARGV[1], ARGV[2]
local record = redis.call('HGET', values, id)
redis.call('HDEL', values, id)
redis.call('ZREM', expiries, id)
dropExpired(now, 10)
return record
`)
