import { GbaError } from '../errors.ts'
import { corrupted } from './faults.ts'
import { KEY_DATABASE, openKept, sealKept } from './key-record.ts'
import type { RedisConnection } from './redis-connection.ts'
import type { RedisEnvironment } from './redis-environment.ts'
import { recordKey } from './seal.ts'
import type { KeyStore } from './store.ts'

/** Of `maxmemory`, how much may be in use before keys give way to what cannot be asked for again. */
const MOST_USED = 0.8
const LOOK_EVERY_MS = 2_000

export interface RedisKeyStoreOptions {
  /** In milliseconds, never going back. */
  readonly uptime?: () => number
}

/**
 * Keys that hosts share. Redis drops each at its end; a write waits for no replica, since a failover that forgets it
 * costs a question. While Redis has little room left, nothing more is put: a full one would refuse bootstraps.
 */
export function redisKeyStore(
  { redis, keys, name }: RedisEnvironment,
  { uptime = () => performance.now() }: RedisKeyStoreOptions = {},
): KeyStore {
  const idOf = (text: string) => recordKey(keys, KEY_DATABASE, text)
  const isShortOfRoom = shortage(redis, uptime)

  return {
    async find(text, now) {
      const id = idOf(text)
      const record = await redis.read(['GET', name(KEY_DATABASE, id)])
      if (record === null) return undefined
      if (!(record instanceof Uint8Array)) throw corrupted('key')
      return openKept(keys, id, record, now)
    },
    async put(text, value, until) {
      if (isShortOfRoom()) {
        throw new GbaError('STORE_UNAVAILABLE', `Redis uses more than ${100 * MOST_USED} % of its maxmemory`)
      }
      const id = idOf(text)
      await redis.read(['SET', name(KEY_DATABASE, id), sealKept(keys, id, { value, until }), 'PXAT', until])
    },
    async remove(text) {
      await redis.read(['DEL', name(KEY_DATABASE, idOf(text))])
    },
    sweep: async () => 0,
  }
}

/** @returns what was so when it was last looked at, seconds ago at most where keys are put all the time */
function shortage(redis: RedisConnection, uptime: () => number): () => boolean {
  let lookedAt = Number.NEGATIVE_INFINITY
  let isShort = false
  async function look(): Promise<void> {
    isShort = (await redis.info('memory')).some((memory) => {
      const [used = 0, most = 0] = ['used_memory', 'maxmemory'].map((field) =>
        Number(new RegExp(`^${field}:(\\d+)`, 'm').exec(memory)?.[1] ?? 0),
      )
      return most > 0 && used > MOST_USED * most
    })
  }
  return () => {
    if (uptime() - lookedAt >= LOOK_EVERY_MS) {
      lookedAt = uptime()
      look().catch(() => {}) // the write that follows fails, too, and says so
    }
    return isShort
  }
}
