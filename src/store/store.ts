import type { EpochMs } from '../core/bytes.ts'
import type { Guss } from '../core/guss.ts'
import type { Btid, Impi, Impu, Tmpi } from '../core/identity.ts'
import type { Secret } from '../core/secret.ts'
import type { GbaType } from '../zn/port.ts'

/** One bootstrapping run, as the BSF keeps it. */
export interface Bootstrap {
  readonly btid: Btid
  readonly impi: Impi
  readonly rand: Uint8Array
  readonly ks: Secret
  readonly createdAt: EpochMs
  readonly expiresAt: EpochMs
  readonly gbaType: GbaType
  readonly tmpi?: Tmpi
  readonly guss?: Guss
}

/**
 * Every store here but OnceStore, which hands its value over, keeps copies: what a caller does to its octets and keys
 * afterwards, wiping included, changes nothing.
 * Every method may throw GbaError STORE_UNAVAILABLE: full, out of reach, or a record changed at rest.
 */
export interface BootstrapStore {
  /**
   * Resolves once every reader of this store can see the entry, and the entry survives a crash where the store does.
   * A full store refuses a new entry rather than lose a live one.
   */
  put(entry: Bootstrap): Promise<void>
  /** The entry, or undefined when absent or when `now >= expiresAt`. */
  find(btid: Btid, now: EpochMs): Promise<Bootstrap | undefined>
  /** The private identity behind a TMPI of a live bootstrap, or undefined. */
  findImpi(tmpi: Tmpi, now: EpochMs): Promise<Impi | undefined>
  remove(btid: Btid): Promise<void>
  /** Drops what has expired. @returns how many bootstraps went */
  sweep(now: EpochMs): Promise<number>
}

/** Challenges on Ub that wait for their one answer. */
export interface OnceStore<Value> {
  /** A full store refuses a new value rather than lose a live one: strangers fill it. */
  put(key: string, value: Value, expiresAt: EpochMs): Promise<void>
  /** The value for exactly one caller; undefined for every other, when absent, and when `now >= expiresAt`. */
  take(key: string, now: EpochMs): Promise<Value | undefined>
}

/** What a KeyStore has under a name. */
export interface Kept {
  readonly value: Uint8Array
  readonly until: EpochMs
}

/**
 * Copies of keys that can be asked for again, for the processes and hosts that share the store. Losing one costs a
 * question, so no write waits for a disk or a replica, and this store gives way before any other runs out of room.
 * Name, value and end are sealed as one: what was moved to another name or given another end is refused as changed.
 */
export interface KeyStore {
  /** undefined when absent and when `now >= until`. */
  find(name: string, now: EpochMs): Promise<Kept | undefined>
  /** Takes the place of what has that name. A full store lets go of what ends soonest, or refuses. */
  put(name: string, value: Uint8Array, until: EpochMs): Promise<void>
  remove(name: string): Promise<void>
  /** Drops what is over. @returns how many went */
  sweep(now: EpochMs): Promise<number>
}

/** A nonce whose response has verified: only such a nonce gets state. */
export interface UsedNonce {
  readonly nonce: string
  readonly mintedAt: EpochMs
  readonly expiresAt: EpochMs
  /** Of one that was minted ahead of the clock: the generation of the ledger that alone may take it. */
  readonly generation?: string
}

/** Where a ledger stands, as far as this process has learned. */
export interface LedgerStanding {
  /** A nonce minted up to here is forgotten. The ledger may be further: this process learns it when it hears `forgotten`. */
  readonly floor: EpochMs
  /** The ledger's records under one name, which no other ledger has, nor this one once it has lost any but by its floor. */
  readonly generation: string
}

/**
 * Which nonce counts were used. `accepted` for exactly one caller per (nonce, nc), in any order within a window of
 * `NC_WINDOW` below the highest seen; `reused` for every other caller and for what lies below the window;
 * `forgotten` when the ledger cannot vouch for the nonce (it restarted or evicted since the nonce was minted, or
 * `now >= expiresAt`, or it was minted for another generation): the caller then asks for a fresh nonce and never accepts.
 * The caller has checked the nonce's origin and the response; `nc` is an unsigned 32-bit number, RangeError otherwise.
 */
export interface NonceLedger {
  use(nonce: UsedNonce, nc: number, now: EpochMs): Promise<'accepted' | 'reused' | 'forgotten'>
  /** At no cost. undefined where nothing has been heard of the ledger yet. */
  standing(): LedgerStanding | undefined
}

/** How far below the highest nonce count an unused one is still accepted. */
export const NC_WINDOW = 1024

/** The HSS stub's sequence numbers. */
export interface SqnStore {
  /** The stored SQN, 6 octets; undefined before the first. */
  find(impi: Impi): Promise<Uint8Array | undefined>
  /**
   * Applies `next` to the stored SQN (undefined at first) and stores the result before resolving. Atomic per IMPI.
   * When `next` throws, nothing changes and the error passes through.
   */
  update(impi: Impi, next: (sqn: Uint8Array | undefined) => Uint8Array): Promise<Uint8Array>
}

export interface StoredDocument {
  readonly body: Uint8Array
  readonly contentType: string
  /** Opaque, without quotation marks. */
  readonly etag: string
}

/** Documents of the lab's XCAP server, by document selector. */
export interface DocumentStore {
  find(documentSelector: string): Promise<StoredDocument | undefined>
  /**
   * Writes `next(current)`: a document, or undefined to delete. Atomic per document.
   * When `next` throws, nothing changes and the error passes through.
   */
  update(
    documentSelector: string,
    next: (current: StoredDocument | undefined) => StoredDocument | undefined,
  ): Promise<void>
}

/** One touch of a user's documents, or one try. Its texts are short: whoever makes it cuts them. */
export interface AccessEntry {
  readonly at: EpochMs
  /** `self`: the subscriber whose documents they are; else the identity asserted, or `refused` for a try. */
  readonly actor: 'self' | 'refused' | Impu
  readonly method: string
  /** Decoded, without a node. */
  readonly documentSelector: string
  /** HTTP status of the answer. */
  readonly outcome: number
}

export interface AccessLogBounds {
  /** 200 by default. */
  readonly entriesPerOwner?: number
  /** 100,000 by default. */
  readonly maxOwners?: number
  /** 30 days by default. */
  readonly retentionS?: number
}

/**
 * Who touched a user's documents, kept for that user. Nobody can flush it:
 * - A log begins with an entry of the owner (`self`). Any other entry for an owner without a log is dropped, an
 *   authenticated subscriber's too: whatever owners strangers invent, they push nobody out.
 * - When an owner's log is full, the oldest entry of the actor with the most entries goes. So each of k actors keeps its
 *   newest `entriesPerOwner / k`, however busy the others are; all refused tries are one actor, with half at most.
 * - When there are too many owners, the log touched least recently (to the hour) goes, for a new owner only.
 */
export interface AccessLog {
  /**
   * Waits for no disk and never fails a request. Readers in this process see the entry at once; other processes see it,
   * and a crash spares it, within a second. What cannot be written for long is dropped and reported.
   */
  append(owner: Impu, entry: AccessEntry): Promise<void>
  /** Newest first, without what is `retentionS` old or older. */
  read(owner: Impu, now: EpochMs): Promise<AccessEntry[]>
  /** Resolves once all that was appended in this process survives a crash where the store does. */
  flush(): Promise<void>
  /** Drops logs whose last entry has expired, at most an hour late. @returns how many owners went */
  sweep(now: EpochMs): Promise<number>
}

/** How often something may happen: `burst` times at once, and then as often as `perMinute` says. */
export interface Rate {
  readonly burst: number
  readonly perMinute: number
}

export interface Taken {
  readonly allowed: boolean
  /** After how many full seconds one more is allowed, if nobody takes it before; 0: at once. */
  readonly retryAfterS: number
}

/**
 * Counts what keys do, by the generic cell rate algorithm. A key has one rate at all times: what is limited in two ways
 * has two keys. Keys are kept as keyed hashes.
 * Exact: of racing callers as many are allowed as there is room for. What is refused costs nothing.
 * Bounded, whoever invents keys: only keys in debt are kept, and for a minute after. When there are too many of them, of
 * all others the one that is free soonest goes, and has its debt remitted. So a flood of new keys, each with the smallest
 * debt there is, pushes out its own like; a debtor stays unless as many others are free later, which costs whoever wants
 * that as many times its debt; and an honest newcomer is let in. Keys of a quick rate go before those of a slow one.
 */
export interface RateLimiter {
  /**
   * @param cost  what is taken when one is allowed, as far as there is room; 1 by default
   * @throws RangeError for a rate that is none; GbaError STORE_UNAVAILABLE
   */
  take(key: string, rate: Rate, now: EpochMs, cost?: number): Promise<Taken>
  /** Drops the keys that are out of debt. @returns how many went */
  sweep(now: EpochMs): Promise<number>
}
