import { concat } from '../core/bytes.ts'
import { decodeBootstrap, encodeBootstrap } from './bootstrap-record.ts'
import { corrupted } from './faults.ts'
import type { RedisReply } from './redis-connection.ts'
import type { RedisEnvironment } from './redis-environment.ts'
import { recordKey, seal, unseal } from './seal.ts'
import { sortable } from './sortable.ts'
import type { Bootstrap, BootstrapStore } from './store.ts'

const DATABASE = 'bootstraps'
/** In the clear before the sealed value, and bound to it: expiresAt. */
const HEADER = 8
/** Each host decides by its own clock; that of Redis, by which it drops records, may be ahead. */
const CLOCK_MARGIN_MS = 60_000

/**
 * Bootstraps that hosts share. Redis drops them soon after their expiry, so there is nothing to sweep; its `maxmemory`
 * bounds them, and when that is reached a new one is refused. A TMPI's entry names the record of its bootstrap; it may
 * lead to one that is gone or has another TMPI by now, and then names nobody.
 */
export function redisBootstrapStore({ redis, keys, name }: RedisEnvironment): BootstrapStore {
  const idOf = (btid: string) => recordKey(keys, DATABASE, btid)
  const tmpiName = (tmpi: string) => name('tmpis', recordKey(keys, 'tmpis', tmpi))

  async function live(id: Uint8Array, now: number): Promise<Bootstrap | undefined> {
    const record = octetsOf(await redis.read(['GET', name(DATABASE, id)]))
    if (record === undefined) return undefined
    if (record.length < HEADER) throw corrupted('bootstrap')
    const header = record.subarray(0, HEADER)
    if (now >= new DataView(header.buffer, header.byteOffset).getFloat64(0)) return undefined
    const value = unseal(keys, { database: DATABASE, key: id, header }, record.subarray(HEADER))
    const bootstrap = value && decodeBootstrap(value)
    if (bootstrap === undefined) throw corrupted('bootstrap')
    return bootstrap
  }

  return {
    async put(bootstrap) {
      const { btid, tmpi, expiresAt } = bootstrap
      const id = idOf(btid)
      const dropAt = expiresAt + CLOCK_MARGIN_MS
      const header = sortable(expiresAt)
      const plaintext = encodeBootstrap(bootstrap)
      const record = concat(header, seal(keys, { database: DATABASE, key: id, header }, plaintext))
      plaintext.fill(0)
      await Promise.all([
        redis.write(['SET', name(DATABASE, id), record, 'PXAT', dropAt]),
        ...(tmpi === undefined ? [] : [redis.write(['SET', tmpiName(tmpi), id, 'PXAT', dropAt])]),
      ])
    },
    find: async (btid, now) => live(idOf(btid), now),
    async findImpi(tmpi, now) {
      const id = octetsOf(await redis.read(['GET', tmpiName(tmpi)]))
      const bootstrap = id && (await live(id, now))
      return bootstrap?.tmpi === tmpi ? bootstrap.impi : undefined
    },
    async remove(btid) {
      await redis.write(['DEL', name(DATABASE, idOf(btid))])
    },
    sweep: async () => 0,
  }
}

function octetsOf(reply: RedisReply): Uint8Array | undefined {
  if (reply === null) return undefined
  if (!(reply instanceof Uint8Array)) throw corrupted('bootstrap')
  return reply
}
