import type { EpochMs } from '../core/bytes.ts'
import type { Btid } from '../core/identity.ts'
import { RecentMap } from '../core/recent-map.ts'
import { type FaultCode, GbaError } from '../errors.ts'
import type { RequestTrace } from '../observe/audit.ts'
import type { Bia, Bir, KeySource } from './port.ts'
import type { SharedKeys } from './shared-keys.ts'

export interface KeyCacheOptions {
  readonly now: () => EpochMs
  /** How long settings are believed before the BSF is asked again. */
  readonly ussMaxAgeS: number
  /** How long a B-TID stays unknown without asking again. */
  readonly unknownBtidCacheS: number
  readonly maxEntries: number
  /** Questions under way for one asker: strangers, who have proven nothing yet, must not take all of the BSF. */
  readonly maxPerAsker?: number
  /** What others have fetched: looked at before the BSF is asked, at no asker's expense. */
  readonly shared?: SharedKeys | undefined
  /** Told of every request that went to the BSF, and for whom it was; the fault where it failed. */
  readonly onFetch?: (bir: Bir, code: FaultCode | undefined, durationMs: number, trace?: RequestTrace) => void
}

/** What holds for a while. */
interface Learned {
  readonly since: EpochMs
  readonly until: EpochMs
}

interface Cached extends Learned {
  readonly bia: Bia
}

/** Entries that there are, and questions so far by what became of them. */
export interface KeyCacheCounts {
  readonly known: number
  readonly unknown: number
  readonly hits: number
  /** Answered with a fault: the BSF did not know the B-TID a moment ago. */
  readonly unknownHits: number
  /** Neither known nor unknown here. */
  readonly misses: number
  /** Where keys are shared. */
  readonly shared: SharedKeys['counts'] | undefined
}

export interface KeyCache extends KeySource {
  cached(bir: Bir): Bia | undefined
  counts(): KeyCacheCounts
  /** Lets go of every key whose time is over. */
  sweep(): void
  /**
   * Lets go of all keys of one bootstrap, here and where they are shared; what is on its way is not kept. It looks at
   * every entry: for operators, not for requests.
   * @returns how many went
   */
  forget(btid: Btid): number
}

/**
 * A key source that asks once: one fetch in flight per (B-TID, NAF_Id), answers kept until the key or the settings
 * end, unknown B-TIDs for seconds. A key is never returned at or after its expiry. When the clock is set back, what was
 * learned by the clock before is asked for again, or its time would grow by as much. Bounded: the least recently used
 * entry goes (`RecentMap`), and unknown B-TIDs have a bound of their own, so that inventing them evicts no key. Who asks
 * too much at a time is refused (ZN_TOO_MANY_QUESTIONS), and is to come again.
 */
export function cachedKeySource(source: KeySource, options: KeyCacheOptions): KeyCache {
  const { now, maxEntries, shared, maxPerAsker = Number.POSITIVE_INFINITY } = options
  const known = new RecentMap<string, Cached>(maxEntries)
  const unknown = new RecentMap<string, Learned>(maxEntries)
  const inFlight = new Map<string, Promise<Bia>>()
  const lookups = new Map<string, Promise<void>>()
  const ofAsker = new Map<string, number>()
  /** All that a key has had behind its B-TID: what others share of a bootstrap may have the same, and be unknown here. */
  const endings = new Set<string>()
  const keyOf = keyMaker((ending) => {
    if (endings.size < MAX_ENDINGS) endings.add(ending)
  })

  let hits = 0
  let unknownHits = 0
  let misses = 0
  /** How often something was forgotten by order: what was asked for before may be what is not to be known any more. */
  let orders = 0

  async function ask(key: string, bir: Bir, trace: RequestTrace | undefined): Promise<Bia> {
    const askedAt = now()
    const ordersBefore = orders
    try {
      const bia = await source.fetch(bir)
      if (bia.expiresAt <= now()) throw new GbaError('ZN_BTID_UNKNOWN', 'the BSF sent an expired key')
      const fetchedAt = now()
      const until = Math.min(bia.expiresAt, fetchedAt + options.ussMaxAgeS * 1000)
      if (orders === ordersBefore) {
        known.set(key, { bia, since: fetchedAt, until })
        shared?.keep(key, bia, fetchedAt)
      }
      options.onFetch?.(bir, undefined, fetchedAt - askedAt, trace)
      // What was to be forgotten may be this: nobody who waits gets it.
      return orders === ordersBefore ? bia : ask(key, bir, trace)
    } catch (error) {
      options.onFetch?.(bir, error instanceof GbaError ? error.code : 'INTERNAL', now() - askedAt, trace)
      if (error instanceof GbaError && error.code === 'ZN_BTID_UNKNOWN') {
        known.delete(key)
        shared?.forget(key)
        const since = now()
        unknown.set(key, { since, until: since + options.unknownBtidCacheS * 1000 })
      }
      throw error
    }
  }

  /** @throws GbaError ZN_BTID_UNKNOWN where the BSF said so a moment ago */
  function cached(key: string): Bia | undefined {
    const found = known.get(key)
    const at = now()
    if (found && holds(found, at)) return found.bia
    const refused = unknown.size > 0 ? unknown.get(key) : undefined
    if (refused && holds(refused, at)) {
      unknownHits++
      throw new GbaError('ZN_BTID_UNKNOWN', 'the BSF did not know it a moment ago')
    }
    return undefined
  }

  /** One at a time for one key. Whoever waits for it may still have to ask, each on its own account. */
  function lookUp(shared: SharedKeys, key: string): Promise<void> {
    const pending = lookups.get(key)
    if (pending) return pending
    const ordersBefore = orders
    const looked = shared
      .find(key)
      .then((copy) => {
        if (copy && orders === ordersBefore) known.set(key, { ...copy, since: now() })
      })
      .finally(() => lookups.delete(key))
    lookups.set(key, looked)
    return looked
  }

  /** @returns to be called when the question is over */
  function enter(asker: string | undefined): () => void {
    if (asker === undefined) return () => {}
    const underWay = ofAsker.get(asker) ?? 0
    if (underWay >= maxPerAsker)
      throw new GbaError('ZN_TOO_MANY_QUESTIONS', 'too many at a time for one address', { retryAfterS: RETRY_AFTER_S })
    ofAsker.set(asker, underWay + 1)
    return () => {
      const left = (ofAsker.get(asker) ?? 1) - 1
      if (left > 0) ofAsker.set(asker, left)
      else ofAsker.delete(asker)
    }
  }

  return {
    cached(bir) {
      const bia = cached(keyOf(bir))
      if (bia) hits++
      return bia
    },
    async fetch(bir, asker, trace) {
      const key = keyOf(bir)
      let bia = cached(key)
      if (bia) hits++
      else misses++
      if (!bia && shared && !inFlight.has(key)) {
        await lookUp(shared, key)
        bia = cached(key)
      }
      if (bia) return bia
      const pending = inFlight.get(key)
      if (pending) return pending
      const leave = enter(asker)
      const asked = ask(key, bir, trace).finally(() => {
        inFlight.delete(key)
        leave()
      })
      inFlight.set(key, asked)
      return asked
    },
    counts: () => ({
      known: known.size,
      unknown: unknown.size,
      hits,
      unknownHits,
      misses,
      shared: shared?.counts,
    }),
    sweep() {
      const at = now()
      known.sweep((key) => !holds(key, at))
      unknown.sweep((refusal) => !holds(refusal, at))
    },
    forget(btid) {
      orders++
      const start = `${btid} `
      const names = new Set([...endings].map((ending) => btid + ending))
      let forgotten = 0
      known.sweep((_, key) => {
        if (!key.startsWith(start)) return false
        names.add(key)
        forgotten++
        return true
      })
      for (const name of names) shared?.forget(name)
      return forgotten
    },
    async close() {
      await source.close?.()
    },
  }
}

/** How far a clock is set back without anything being asked again. */
const CLOCK_SLACK_MS = 10_000

const holds = ({ since, until }: Learned, at: EpochMs): boolean => since <= at + CLOCK_SLACK_MS && at < until

/** A question is a matter of milliseconds, or of a BSF that is slow. */
const RETRY_AFTER_S = 1

/** There is one for each NAF_Id and each list of GSIDs of a route. */
const MAX_ENDINGS = 1_024

/**
 * What a question and its answer go by. What of it is not the B-TID is the same nearly always, and is kept.
 * @param onEnding  told of what is not the B-TID when it is another than before
 */
function keyMaker(onEnding: (ending: string) => void): (bir: Bir) => string {
  let last: (Omit<Bir, 'btid'> & { readonly text: string }) | undefined
  return ({ btid, nafFqdn, uaProtocolId, gbaUAware, gsids }) => {
    if (
      last?.gsids !== gsids ||
      last.nafFqdn !== nafFqdn ||
      last.uaProtocolId !== uaProtocolId ||
      last.gbaUAware !== gbaUAware
    ) {
      const text = ` ${nafFqdn} ${uaProtocolId} ${gbaUAware} ${gsids.join(',')}`
      last = { nafFqdn, uaProtocolId, gbaUAware, gsids, text }
      onEnding(text)
    }
    return btid + last.text
  }
}
