import type { EpochMs } from '../core/bytes.ts'
import { GbaError } from '../errors.ts'
import type { KeyStore } from '../store/store.ts'
import { decodeFetchedBia, encodeFetchedBia } from './bia-record.ts'
import type { Bia } from './port.ts'

export interface SharedKeysOptions {
  readonly store: KeyStore
  readonly now: () => EpochMs
  /** How long settings are believed after they were fetched, by whomever. */
  readonly ussMaxAgeS: number
  /** How long the store is waited for, since the BSF can be asked instead. 100 ms by default. */
  readonly patienceMs?: number
  /** Told of what fails in the store, once per spell of failures. */
  readonly onFailure?: (error: unknown) => void
}

/** A key as it may be used here. */
export interface UsableKey {
  readonly bia: Bia
  readonly until: EpochMs
}

/** What the APs that share a store have fetched. Nothing here ever fails: what the store cannot tell, the BSF can. */
export interface SharedKeys {
  find(name: string): Promise<UsableKey | undefined>
  /** Is not waited for. */
  keep(name: string, bia: Bia, fetchedAt: EpochMs): void
  forget(name: string): void
  /** Of all questions to the store: those answered with a key, those without, and whatever failed, writes included. */
  readonly counts: { readonly hits: number; readonly misses: number; readonly failures: number }
}

const PATIENCE_MS = 100
/** How far a clock that wrote may be ahead of ours: what comes from farther on could be of any age. */
const CLOCK_SLACK_MS = 10_000

/**
 * Keys in a store that other processes or hosts share. A copy inherits the age of what it was made of, so however often
 * a key goes from one to the next, it is used no longer than `ussMaxAgeS` after the BSF gave it, and never at or after
 * its expiry. Each reader applies its own `ussMaxAgeS`.
 */
export function sharedKeys(options: SharedKeysOptions): SharedKeys {
  const { store, now, patienceMs = PATIENCE_MS, onFailure = () => {} } = options
  const counts = { hits: 0, misses: 0, failures: 0 }
  const failing = { read: false, write: false }
  const usableUntil = (bia: Bia, fetchedAt: EpochMs) => Math.min(bia.expiresAt, fetchedAt + options.ussMaxAgeS * 1000)

  function failed(what: 'read' | 'write', error: unknown): void {
    counts.failures++
    if (!failing[what]) onFailure(error)
    failing[what] = true
  }
  function write(doing: Promise<void>): void {
    doing.then(
      () => {
        failing.write = false
      },
      (error: unknown) => failed('write', error),
    )
  }
  async function read(name: string): Promise<UsableKey | undefined> {
    const kept = await within(patienceMs, store.find(name, now()))
    if (kept === undefined) return undefined
    const fetched = decodeFetchedBia(kept.value)
    if (fetched === undefined) throw new GbaError('STORE_UNAVAILABLE', 'a shared key that another version wrote')
    const { bia, fetchedAt } = fetched
    const until = Math.min(kept.until, usableUntil(bia, fetchedAt))
    return now() < until && fetchedAt <= now() + CLOCK_SLACK_MS ? { bia, until } : undefined
  }

  return {
    counts,
    async find(name) {
      try {
        const key = await read(name)
        failing.read = false
        counts[key ? 'hits' : 'misses']++
        return key
      } catch (error) {
        failed('read', error)
        return undefined
      }
    },
    keep(name, bia, fetchedAt) {
      const value = encodeFetchedBia({ bia, fetchedAt })
      write(store.put(name, value, usableUntil(bia, fetchedAt)).finally(() => value.fill(0)))
    },
    forget(name) {
      write(store.remove(name))
    },
  }
}

/** Leaves the answer to itself when it is late. */
async function within<T>(ms: number, answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new GbaError('STORE_UNAVAILABLE', `no shared key within ${ms} ms`)), ms)
  })
  return Promise.race([answer, late]).finally(() => clearTimeout(timer))
}
