import { hash } from 'node:crypto'
import type { EpochMs } from '../core/bytes.ts'
import type { Impu } from '../core/identity.ts'
import { bounded, decodeEntries, encodeEntries, entriesIn, inOrder, unexpired, withDefaults } from './access-entries.ts'
import { AccessQueue, type Leaving, type Waiting } from './access-queue.ts'
import { corrupted } from './faults.ts'
import { redisScript } from './redis-connection.ts'
import type { RedisEnvironment } from './redis-environment.ts'
import { recordKey, seal, unseal } from './seal.ts'
import type { AccessEntry, AccessLog, AccessLogBounds } from './store.ts'

export interface RedisAccessLogOptions extends AccessLogBounds {
  /** How long an entry may wait in memory, which is what a killed process loses. 1 s by default. */
  readonly writeBehindMs?: number
  /** Entries that may wait at a time, and as many again that are being written. 20,000 by default. */
  readonly maxWaiting?: number
  /** Told of what could not be written, and of what was dropped. */
  readonly onFailure?: (error: unknown) => void
  /** Told of each entry that is dropped. */
  readonly onDropped?: () => void
}

const DATABASE = 'access'
const PARTS_IN_CLUSTER = 64
const HOUR_MS = 3_600_000
const OWNERS_AT_ONCE = 64
const MAX_TRIES = 20

/**
 * Access logs that hosts share: one sealed value per owner, read and written back whole when some of its entries have
 * waited for a second, unless another host wrote in between; then once more.
 */
export function redisAccessLog(
  { redis, keys, name }: RedisEnvironment,
  options: RedisAccessLogOptions = {},
): AccessLog & { close(): Promise<void> } {
  const { entriesPerOwner, maxOwners, retentionS } = withDefaults(options)
  const report = options.onFailure ?? (() => {})
  const parts = redis.isCluster ? PARTS_IN_CLUSTER : 1
  let moves = 0
  const queue = new AccessQueue({
    delayMs: options.writeBehindMs ?? 1000,
    maxWaiting: options.maxWaiting ?? 20_000,
    write: writeAll,
    report,
    onDropped: options.onDropped,
  })

  const namesOf = (part: number): [string, string] => {
    const tag = `access-${part}`
    return [name(DATABASE, undefined, tag), name('access-order', undefined, tag)]
  }
  const placeOf = (owner: Impu) => {
    const key = recordKey(keys, DATABASE, owner)
    return { key, names: namesOf((key[0] ?? 0) % parts) }
  }
  async function stored(owner: Impu): Promise<{ readonly seen: string; readonly entries: AccessEntry[] | undefined }> {
    const { key, names } = placeOf(owner)
    const sealed = await redis.read(['HGET', names[0], key])
    if (sealed === null) return { seen: '', entries: [] }
    if (!(sealed instanceof Uint8Array)) throw corrupted('access log')
    const plaintext = unseal(keys, { database: DATABASE, key }, sealed)
    return { seen: hash('sha1', sealed), entries: plaintext && decodeEntries(plaintext) }
  }
  async function write(owner: Impu, { before, since }: Waiting): Promise<void> {
    const { key, names } = placeOf(owner)
    for (let tries = 0; tries < MAX_TRIES; tries++) {
      const { seen, entries } = await stored(owner)
      if (entries === undefined) report(corrupted('access log')) // it begins anew
      const fresh = [...(seen === '' ? [] : entriesIn(before)), ...entriesIn(since)]
      const all = inOrder([...(entries ?? []), ...fresh])
      const last = all.at(-1)
      if (last === undefined) return
      const kept = bounded(unexpired(all, last.at, retentionS), entriesPerOwner)
      const sealed = seal(keys, { database: DATABASE, key }, encodeEntries(kept))
      const hour = last.at - (last.at % HOUR_MS)
      const args = [key, seen, sealed, hour, Math.ceil(maxOwners / parts)]
      if ((await redis.write({ script: WRITE, keys: names, args })) === 1) return
    }
    throw corrupted('access log')
  }
  /** Where it is not known whether an entry was written, it may stand there twice. */
  async function writeAll(leaving: ReadonlyMap<Impu, Waiting>, { written }: Leaving): Promise<void> {
    const owners = [...leaving]
    for (let at = 0; at < owners.length; at += OWNERS_AT_ONCE) {
      const some = owners.slice(at, at + OWNERS_AT_ONCE)
      const outcomes = await Promise.allSettled(some.map(([owner, waiting]) => write(owner, waiting)))
      const failures: unknown[] = []
      for (const [n, outcome] of outcomes.entries()) {
        const owner = some[n]?.[0]
        if (outcome.status === 'rejected') failures.push(outcome.reason)
        else if (owner !== undefined) written(owner)
      }
      moves++
      if (failures.length > 0) throw failures[0]
    }
  }
  /** All that is known of one log. Entries move from here to Redis meanwhile, and are neither missed nor seen twice. */
  async function everything(owner: Impu): Promise<AccessEntry[]> {
    for (let tries = 0; ; tries++) {
      const from = moves
      const { entries } = await stored(owner)
      if (entries === undefined) throw corrupted('access log')
      if (from !== moves && tries < MAX_TRIES) continue
      return [...entries, ...queue.entriesOf(owner, entries.length > 0)]
    }
  }

  return {
    async append(owner, entry) {
      queue.add(owner, entry)
    },
    async read(owner, now) {
      const shown = bounded(unexpired(inOrder(await everything(owner)), now, retentionS), entriesPerOwner)
      return shown.map((entry) => ({ ...entry })).reverse()
    },
    flush: () => queue.flush(),
    async sweep(now: EpochMs) {
      let total = 0
      for (let part = 0; part < parts; part++) {
        for (let more = true; more; ) {
          const args = [now - HOUR_MS - retentionS * 1000, OWNERS_AT_ONCE]
          const gone = Number(await redis.write({ script: SWEEP, keys: namesOf(part), args }))
          total += gone
          more = gone === OWNERS_AT_ONCE
        }
      }
      return total
    },
    close: () => queue.close(),
  }
}

/** The digest stands for the value: each was sealed with a random IV, so no two are equal. */
const WRITE = redisScript(`
local logs, order = KEYS[1], KEYS[2]
local id, seen, sealed, hour, most = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local current = redis.call('HGET', logs, id)
if (current and redis.sha1hex(current) or '') ~= seen then return 0 end
redis.call('HSET', logs, id, sealed)
if hour > tonumber(redis.call('ZSCORE', order, id) or -1) then redis.call('ZADD', order, string.format('%.0f', hour), id) end
for _ = 1, 10 do
  if redis.call('ZCARD', order) <= most then break end
  for _, which in ipairs(redis.call('ZRANGE', order, 0, 1)) do
    if which ~= id then
      redis.call('HDEL', logs, which)
      redis.call('ZREM', order, which)
      break
    end
  end
end
return 1
`)

const SWEEP = redisScript(`
local logs, order = KEYS[1], KEYS[2]
local gone = redis.call('ZRANGEBYSCORE', order, '-inf', ARGV[1], 'LIMIT', 0, ARGV[2])
for _, id in ipairs(gone) do
  redis.call('HDEL', logs, id)
  redis.call('ZREM', order, id)
end
return #gone
`)
