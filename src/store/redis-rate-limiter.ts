import type { EpochMs } from '../core/bytes.ts'
import { toBase64 } from '../core/bytes.ts'
import { GbaError } from '../errors.ts'
import { CLOCK_SLACK_US, microseconds, paceOf } from './gcra.ts'
import { recordKey, type SealKeys } from './seal.ts'
import type { Rate, RateLimiter, Taken } from './store.ts'

/** What runs a script at one go. */
export interface ScriptRunner {
  eval(script: string, keys: readonly string[], args: readonly string[]): Promise<unknown>
}

export interface RedisRateLimiterOptions {
  readonly redis: ScriptRunner
  /** Their index hashes the keys; the same on every host. */
  readonly keys: SealKeys
  /** Before every key. `gba:` by default. */
  readonly keyPrefix?: string
}

/**
 * The rates that hosts share; the rules are those of `memoryRateLimiter`, but for the bound: Redis counts nothing here,
 * and each key goes by itself, a minute after its debt is paid (so that clocks may differ). `n` new keys a second that
 * come once, at `r` per minute, are `n · (60 + 60 / r)` keys of some 100 octets: 7 MB for 1,000 a second.
 */
export function redisRateLimiter({ redis, keys, keyPrefix = 'gba:' }: RedisRateLimiterOptions): RateLimiter {
  return {
    async take(key, rate, now, cost = 1) {
      const name = `${keyPrefix}limits:${toBase64(recordKey(keys, 'limits', key))}`
      const args = takeArguments(rate, now, cost)
      return readTaken(await evaluate(name, args))
    },
    // Redis does it.
    async sweep() {
      return 0
    },
  }

  async function evaluate(name: string, args: readonly string[]): Promise<unknown> {
    try {
      return await redis.eval(TAKE, [name], args)
    } catch (cause) {
      if (cause instanceof GbaError) throw cause
      throw new GbaError('STORE_UNAVAILABLE', 'Redis did not count', { cause })
    }
  }
}

/** What the script is told: now, interval, depth and slack in microseconds, and the cost. */
export function takeArguments(rate: Rate, now: EpochMs, cost: number): string[] {
  if (!Number.isInteger(cost) || cost < 1) throw new RangeError(`no cost: ${cost}`)
  const { intervalUs, depthUs } = paceOf(rate)
  return [microseconds(now), intervalUs, depthUs, CLOCK_SLACK_US, cost].map(String)
}

/** @throws GbaError STORE_UNAVAILABLE for an answer that is none of the script's */
export function readTaken(reply: unknown): Taken {
  const [allowed, retryAfterS] = Array.isArray(reply) ? reply.map(Number) : []
  if ((allowed !== 0 && allowed !== 1) || retryAfterS === undefined || !(retryAfterS >= 0)) {
    throw new GbaError('STORE_UNAVAILABLE', 'Redis counted in a way that is not ours')
  }
  return { allowed: allowed === 1, retryAfterS }
}

/** `step` of gcra.ts. Lua's numbers are doubles, which hold these instants exactly; only its own text of them would not. */
export const TAKE = `
local now, interval, depth = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local slack, cost = tonumber(ARGV[4]), tonumber(ARGV[5])
local full = now + depth
local kept = tonumber(redis.call('GET', KEYS[1]) or '')
local before = math.max(kept or 0, now)
if before > full + slack then before = full end
local after, allowed = before, 0
if before + interval <= full then
  after, allowed = math.min(before + cost * interval, full), 1
end
if after ~= kept then
  local ttl = math.ceil((after - now + slack) / 1000)
  redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', string.format('%.0f', ttl))
end
return { allowed, math.ceil(math.max(0, after + interval - full) / 1000000) }
`
