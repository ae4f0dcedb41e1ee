import { hash, randomUUID } from 'node:crypto'
import type { EpochMs } from '../core/bytes.ts'
import { corrupted } from './faults.ts'
import { checkNc } from './nc-window.ts'
import { type RedisReply, redisScript } from './redis-connection.ts'
import type { RedisEnvironment } from './redis-environment.ts'
import { NC_WINDOW, type NonceLedger } from './store.ts'

export interface RedisNonceLedgerOptions {
  readonly maxNonces: number
  /** The instant that a ledger which begins now cannot look behind. */
  readonly clock?: () => EpochMs
}

/** Parts of the ledger in a cluster, each with a hash tag and so a node of its own. */
const PARTS_IN_CLUSTER = 64
const BYTES_OF_WINDOW = NC_WINDOW / 8

/**
 * The ledger that hosts share; the rules are those of `memoryNonceLedger`, and one script applies them at one go.
 * Three keys hold it (or each part of it, in a cluster): the records, their order by minting instant, and a mark with
 * the floor, the number of records and the replication id of the server that wrote last;
 * there is its generation, too.
 *
 * Reading: nothing may be accepted twice, so the ledger must know when the data it looks at are not the newest.
 * - Nothing there (a new server, one that restarted without its data, FLUSHALL): there is no mark. The ledger begins
 *   anew, and its floor is now: what was minted before is forgotten.
 * - Older data (a replica took over before it had the last writes, or a server restarted from a snapshot): a server
 *   takes a new replication id each time it becomes or starts as a master, and never gets the one in the mark by
 *   replication. Where the two differ, the ledger begins anew as well. The script compares them itself, so there is no
 *   moment between finding out and using the data.
 * - A master that was cut off, or hung, and does not know yet that it is none: `minReplicas` of its replicas have to
 *   confirm what it accepts, and it refuses at once when it sees fewer.
 * - Some of the keys evicted: the number of records no longer fits the mark. Redis drops none of them by itself, as no
 *   key here has a time to live: a record that goes without raising the floor would be accepted again.
 * What is left are clocks: the floor is the instant of the host that meets the new server first, or of the youngest
 * nonce known there, or used by that host, if that is later; a host must not be ahead of it by more than the failover
 * took.
 */
export function redisNonceLedger(
  { redis, name }: RedisEnvironment,
  { maxNonces, clock = Date.now }: RedisNonceLedgerOptions,
): NonceLedger & { begin(): Promise<void> } {
  const parts = redis.isCluster ? PARTS_IN_CLUSTER : 1
  const maxPerPart = Math.ceil(maxNonces / parts)
  const keysOf = (part: number): [string, string, string] => {
    const tag = `nonces-${part}`
    return [name('mark', undefined, tag), name('records', undefined, tag), name('order', undefined, tag)]
  }
  /** Minting instant of the youngest nonce used here: a clock may have been set back behind it. */
  let latest: EpochMs = 0
  /** Of each part, as far as it is known. */
  const generations = new Array<string | undefined>(parts).fill(undefined)
  let floor: EpochMs = 0
  /** Of all parts together: where one has lost its records, nothing that was minted for it may go to any. */
  let generation: string | undefined
  function learn(part: number, [, itsFloor, its]: readonly RedisReply[]): void {
    floor = Math.max(floor, Number(String(itsFloor)))
    if (generations[part] === String(its)) return
    generations[part] = String(its)
    generation = generations.includes(undefined) ? undefined : hash('sha256', generations.join())
  }
  async function beginPart(part: number): Promise<void> {
    const now = clock()
    const args = [now, redis.minReplicas, Math.max(now, latest), randomUUID()]
    const reply = await redis.write({ script: BEGIN, keys: keysOf(part), args })
    if (Array.isArray(reply)) learn(part, reply)
  }
  /** The sooner a ledger begins anew, the fewer nonces it forgets. */
  async function begin(): Promise<void> {
    await Promise.all(generations.map((_, part) => beginPart(part)))
  }
  let askedAt = Number.NEGATIVE_INFINITY
  /** A node of a cluster may have been late when all began. By a clock that nobody sets. */
  function askTheUnknown(): void {
    if (performance.now() - askedAt < ASK_AGAIN_MS) return
    askedAt = performance.now()
    for (const [part, its] of generations.entries()) if (its === undefined) beginPart(part).catch(() => {})
  }
  redis.onReady(() => {
    begin().catch(() => {}) // else the first use does it
  })

  return {
    begin,
    async use({ nonce, mintedAt, expiresAt, generation: its }, nc, now) {
      checkNc(nc)
      if (now >= expiresAt || (its !== undefined && its !== generation)) return 'forgotten'
      const id = hash('sha256', nonce, 'buffer').subarray(0, 16)
      const part = (id[0] ?? 0) % parts
      const wanted = its === undefined ? '' : (generations[part] ?? 'unknown')
      const anew = [Math.max(now, latest), randomUUID()]
      const args = [now, redis.minReplicas, id, mintedAt, expiresAt, nc, maxPerPart, wanted, ...anew]
      const reply = await redis.write({ script: USE, keys: keysOf(part), args }, isAccepted)
      if (Array.isArray(reply)) learn(part, reply)
      const outcome = OUTCOMES[Number(Array.isArray(reply) ? reply[0] : reply)]
      if (outcome === 'accepted') latest = Math.max(latest, mintedAt)
      if (outcome === undefined) throw corrupted('nonce')
      return outcome
    },
    standing() {
      if (generation !== undefined) return { floor, generation }
      askTheUnknown()
      return undefined
    },
  }
}

const OUTCOMES: readonly (Awaited<ReturnType<NonceLedger['use']>> | undefined)[] = [
  undefined,
  'accepted',
  'reused',
  'forgotten',
]
const ASK_AGAIN_MS = 1_000
const isAccepted = (reply: RedisReply): boolean => reply === 1

const PREAMBLE = `
local mark, records, order = KEYS[1], KEYS[2], KEYS[3]
local now, minReplicas = tonumber(ARGV[1]), tonumber(ARGV[2])
local function number(value) return string.format('%.17g', value) end
local info = redis.call('INFO', 'replication')
local server = string.match(info, 'master_replid:(%x+)')
if not server then return redis.error_reply('UNKNOWN server tells no replication id') end
if tonumber(string.match(info, 'connected_slaves:(%d+)')) < minReplicas then
  return redis.error_reply('NOREPLICAS fewer replicas than must confirm')
end
local marked = redis.call('HMGET', mark, 'floor', 'server', 'count', 'generation')
local floor, count, generation = tonumber(marked[1]), tonumber(marked[3]), marked[4]
if not floor or marked[2] ~= server
  or count ~= redis.call('HLEN', records) or count ~= redis.call('ZCARD', order) then
  local youngest = redis.call('ZREVRANGE', order, 0, 0, 'WITHSCORES')[2]
  floor, count, generation = math.max(floor or 0, tonumber(youngest) or 0, tonumber(ARGV[#ARGV - 1])), 0, nil
  redis.call('HSET', mark, 'floor', number(floor), 'server', server, 'count', 0)
  redis.call('UNLINK', records, order)
end
if not generation then
  generation = ARGV[#ARGV]
  redis.call('HSET', mark, 'generation', generation)
end
local function telling(code, bound) return {code, number(bound), generation} end
`

const BEGIN = redisScript(`${PREAMBLE} return telling(1, floor)`)

/** A record: expiresAt (8) ‖ highest (4) ‖ runStart (4) ‖ bits, where there are any ‖ checksum (4). See nc-window.ts. */
const USE = redisScript(`${PREAMBLE}
local id, mintedAt, expiresAt = ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])
local nc, most, wanted = tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]
if wanted ~= '' and wanted ~= generation then return telling(3, floor) end
local WINDOW, BYTES = ${NC_WINDOW}, ${BYTES_OF_WINDOW}

local function checksum(body) return string.sub(redis.sha1hex(id .. body), 1, 4) end
local function store(expiry, highest, runStart, bits)
  local body = struct.pack('>dI4I4', expiry, highest, runStart)
  if bits then body = body .. string.char(unpack(bits)) end
  redis.call('HSET', records, id, body .. checksum(body))
end
local function has(bits, n)
  local at = n % WINDOW
  return bit.band(bits[math.floor(at / 8) + 1], bit.lshift(1, at % 8)) ~= 0
end
local function put(bits, n, used)
  local at = n % WINDOW
  local i, mask = math.floor(at / 8) + 1, bit.lshift(1, at % 8)
  bits[i] = used and bit.bor(bits[i], mask) or bit.band(bits[i], bit.bnot(mask))
end
local function empty()
  local bits = {}
  for i = 1, BYTES do bits[i] = 0 end
  return bits
end

local record = redis.call('HGET', records, id)
if record then
  local body = string.sub(record, 1, -5)
  if (#body ~= 16 and #body ~= 16 + BYTES) or checksum(body) ~= string.sub(record, -4) then return 0 end
  local expiry, highest, runStart = struct.unpack('>dI4I4', body)
  local bits = #body > 16 and { string.byte(body, 17, -1) } or nil
  if nc > highest then
    if nc > highest + 1 then
      local lowest = math.max(0, nc - WINDOW)
      if highest < lowest then
        bits = nil
      else
        bits = bits or empty()
        for used = math.max(runStart, lowest), highest do put(bits, used, true) end
        for skipped = highest + 1, nc - 1 do put(bits, skipped, false) end
      end
      runStart = nc
    end
    highest = nc
  elseif nc >= runStart or nc < highest - WINDOW or (bits and has(bits, nc)) then
    return 2
  elseif nc == runStart - 1 then
    runStart = nc
  else
    bits = bits or empty()
    put(bits, nc, true)
  end
  if runStart <= highest - WINDOW then bits = nil end
  store(expiry, highest, runStart, bits)
  return 1
end

local changed = false
local function oldest()
  local head = redis.call('ZRANGE', order, 0, 0, 'WITHSCORES')
  return head[1], tonumber(head[2])
end
local function forget(which, minted)
  redis.call('HDEL', records, which)
  redis.call('ZREM', order, which)
  floor, count, changed = math.max(floor, minted), count - 1, true
end
local function keep(outcome)
  if changed then redis.call('HSET', mark, 'floor', number(floor), 'count', count) end
  return outcome
end
for _ = 1, 2 do
  local which, minted = oldest()
  if not which then break end
  local its = redis.call('HGET', records, which)
  if its and #its >= 8 and now < struct.unpack('>d', its) then break end
  forget(which, minted)
end
local function refused()
  local _, minted = oldest()
  local bound = floor
  if minted and count >= most and now <= minted then
    bound = math.max(floor, tonumber(redis.call('ZREVRANGE', order, 0, 0, 'WITHSCORES')[2]))
  end
  return keep(telling(3, bound))
end
if mintedAt <= floor or most < 1 then return refused() end
if count >= most then
  local which, minted = oldest()
  if mintedAt <= minted then return refused() end
  forget(which, minted)
end
store(expiresAt, nc, nc, nil)
redis.call('ZADD', order, number(mintedAt), id)
count, changed = count + 1, true
return keep(1)
`)
