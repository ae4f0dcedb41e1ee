import { parseCredentials } from '../core/auth-params.ts'
import type { EpochMs } from '../core/bytes.ts'
import { parseBtid } from '../core/identity.ts'
import { type FaultCode, GbaError } from '../errors.ts'
import type { Rate, RateLimiter } from '../store/store.ts'

/** How often one may fail on Ua; undefined: as often as one likes. */
export interface FailureLimits {
  readonly perSource: Rate | undefined
  /** Of one B-TID or username, from one source. */
  readonly perIdentity: Rate | undefined
  /** Of one username, wherever it comes from: a password may be guessed from many places. */
  readonly perUsername: Rate | undefined
}

/** One failed request. */
export interface Failure {
  readonly code: FaultCode
  /** What its address is counted as; undefined: many share it. */
  readonly source: string | undefined
  /** As claimed: a B-TID, or the name of a subscriber with a password. */
  readonly username: string | undefined
}

/** What a failure is counted under, and who is held back by it. */
export interface FailureCounters {
  readonly source?: string
  readonly identity?: string
  readonly username?: string
}

/**
 * Refusals that tell a guess from the rest: of a response, and of a B-TID. Whose username is unknown fails as whose
 * password is wrong, so that the limit shows nobody which names there are.
 */
const GUESSES: ReadonlySet<FaultCode> = new Set(['UA_RESPONSE_WRONG', 'UA_USERNAME_UNKNOWN', 'ZN_BTID_UNKNOWN'])

export const isGuess = (code: FaultCode): boolean => GUESSES.has(code)

/**
 * A B-TID is counted together with the source alone: whoever has seen one could else lock its UE out by failing
 * elsewhere; its key is out of reach of guessing. An unknown B-TID is nobody's, and is counted by the source alone.
 */
export function failureCounters({ code, source, username }: Failure): FailureCounters {
  const isKnown = username !== undefined && code !== 'ZN_BTID_UNKNOWN'
  return {
    ...(source !== undefined && { source: `ua source ${source}` }),
    ...(source !== undefined && isKnown && { identity: `ua identity ${username} source ${source}` }),
    ...(isKnown && parseBtid(username) === undefined && { username: `ua username ${username}` }),
  }
}

export interface FailureGuardOptions {
  readonly limiter: RateLimiter
  /** Of this process: counts where the other one is out of reach. */
  readonly fallback: RateLimiter
  readonly limits: FailureLimits
  /** What an address is counted as; undefined: not by its address. */
  readonly sourceOf: (address: string) => string | undefined
  readonly now: () => EpochMs
  /** Most held back, and most that have succeeded, of which this process knows. */
  readonly maxRemembered: number
  /** What is remembered, where that is to outlive this guard; default: its own. */
  readonly memory?: FailureMemory
}

/** Those held back, and those who have succeeded. */
export interface FailureMemory {
  /** Until when, by counter. */
  readonly held: Map<string, EpochMs>
  /** Sources of which an identity is held back. */
  readonly suspects: Map<string, EpochMs>
  readonly proven: Map<string, true>
  heldUntil: EpochMs
  usernamesHeldUntil: EpochMs
}

export const failureMemory = (): FailureMemory => ({
  held: new Map(),
  suspects: new Map(),
  proven: new Map(),
  heldUntil: 0,
  usernamesHeldUntil: 0,
})

/**
 * Holds back who fails too often on Ua, before any key is asked for. With 429: a 401 would make a handset bootstrap.
 * Only failures are counted, in the store. Who has used up its measure is remembered in this process until it may try
 * again, so that no other request asks the store anything. Another process learns of it with the first failure that it
 * sees itself: n processes let at most n - 1 guesses more be tried at once, and n where one would be.
 * Reading: a store that is out of reach neither stops the good nor frees the bad: this process then counts for itself.
 */
export function failureGuard(options: FailureGuardOptions) {
  const { limits, sourceOf, now, memory = failureMemory() } = options
  const most = options.maxRemembered
  const { held, suspects, proven } = memory

  return {
    /**
     * @param address        as the connection has it
     * @param authorization  every Authorization line; without one there is nothing to guess
     * @throws GbaError UA_TOO_MANY_FAILURES
     */
    admit(address: string, authorization: readonly string[]): void {
      const at = now()
      if (at >= memory.heldUntil || authorization.length === 0) return
      const source = sourceOf(address)
      const isSuspect =
        source !== undefined && (isHeld(held, `ua source ${source}`, at) || isHeld(suspects, source, at))
      if (!isSuspect && at >= memory.usernamesHeldUntil) return
      const username = usernameIn(authorization)
      const waitMs = relevant(failureCounters({ code: 'UA_RESPONSE_WRONG', source, username }), address, username)
        .map(([, key]) => (held.get(key) ?? 0) - at)
        .reduce((longest, wait) => Math.max(longest, wait), 0)
      if (waitMs > 0) throw tooMany('held back', Math.ceil(waitMs / 1000))
    },

    /** @returns what to answer in the place of the refusal, where that was one too many */
    async failed(code: FaultCode, address: string, authorization: readonly string[]): Promise<GbaError | undefined> {
      if (!isGuess(code)) return undefined
      const source = sourceOf(address)
      const username = usernameIn(authorization)
      const counters = failureCounters({ code, source, username })
      const refused = new Map<string, number>()
      for (const [kind, key] of entriesOf(counters)) {
        const rate = RATES[kind](limits)
        if (!rate) continue
        const { allowed, retryAfterS } = await take(key, rate)
        if (retryAfterS > 0) hold(kind, key, source, now() + retryAfterS * 1000)
        if (!allowed) refused.set(key, retryAfterS)
      }
      const waits = relevant(counters, address, username).flatMap(([, key]) => refused.get(key) ?? [])
      return waits.length === 0 ? undefined : tooMany(code, Math.max(...waits))
    },

    /** How much this process remembers. */
    get size(): number {
      return held.size + suspects.size + proven.size
    },

    /** A success is never counted; who has succeeded here is not held back by what its neighbours do. */
    succeeded(address: string, username: string): void {
      const pair = `${address} ${username}`
      if (!proven.has(pair)) remember(proven, pair, true, most)
    },
  }

  /** Whoever proved that it holds a key from this address answers for its own failures alone. */
  function relevant(counters: FailureCounters, address: string, username: string | undefined) {
    const entries = entriesOf(counters)
    const isProven = username !== undefined && proven.has(`${address} ${username}`)
    return isProven ? entries.filter(([kind]) => kind === 'identity') : entries
  }

  async function take(key: string, rate: Rate) {
    try {
      return await options.limiter.take(key, rate, now())
    } catch {
      return options.fallback.take(key, rate, now())
    }
  }

  function hold(kind: keyof FailureCounters, key: string, source: string | undefined, until: EpochMs): void {
    // Nothing is held any more: what there was can go at one go.
    if (now() >= memory.heldUntil) for (const map of [held, suspects]) map.clear()
    remember(held, key, until, most)
    memory.heldUntil = Math.max(memory.heldUntil, until)
    if (kind === 'username') memory.usernamesHeldUntil = Math.max(memory.usernamesHeldUntil, until)
    if (kind === 'identity' && source !== undefined) {
      remember(suspects, source, Math.max(until, suspects.get(source) ?? 0), most)
    }
  }
}

export type FailureGuard = ReturnType<typeof failureGuard>

const RATES: Readonly<Record<keyof FailureCounters, (limits: FailureLimits) => Rate | undefined>> = {
  source: ({ perSource }) => perSource,
  identity: ({ perIdentity }) => perIdentity,
  username: ({ perUsername }) => perUsername,
}

function entriesOf({ source, identity, username }: FailureCounters): (readonly [keyof FailureCounters, string])[] {
  return [
    ...(source === undefined ? [] : [['source', source] as const]),
    ...(identity === undefined ? [] : [['identity', identity] as const]),
    ...(username === undefined ? [] : [['username', username] as const]),
  ]
}

const tooMany = (why: FaultCode | 'held back', retryAfterS: number) =>
  new GbaError('UA_TOO_MANY_FAILURES', `failed too often: ${why}`, { retryAfterS })

/** The username of the one Digest that is there, a B-TID in its one form; what cannot be read is not guessing. */
function usernameIn([header, ...more]: readonly string[]): string | undefined {
  if (header === undefined || more.length > 0) return undefined
  const username = parseCredentials(header, 'digest')?.get('username')?.value
  return username === undefined ? undefined : (parseBtid(username) ?? username)
}

const isHeld = (map: ReadonlyMap<string, EpochMs>, key: string, at: EpochMs): boolean => at < (map.get(key) ?? 0)

/** The oldest goes: that one is counted in the store, and is refused again with its next failure. */
function remember<Value>(map: Map<string, Value>, key: string, value: Value, most: number): void {
  map.delete(key)
  map.set(key, value)
  if (map.size <= most) return
  const oldest = map.keys().next().value
  if (oldest !== undefined) map.delete(oldest)
}
