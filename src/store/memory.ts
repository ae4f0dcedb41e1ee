import { randomUUID } from 'node:crypto'
import type { EpochMs } from '../core/bytes.ts'
import { octetsOf } from '../core/bytes.ts'
import type { Btid, Impi, Impu, Tmpi } from '../core/identity.ts'
import { Secret } from '../core/secret.ts'
import { bounded, inOrder, unexpired, withDefaults } from './access-entries.ts'
import { full } from './faults.ts'
import { checkNc, type NcWindow, openNcWindow, useNc } from './nc-window.ts'
import { type Ranked, RankedMap } from './ranked-map.ts'
import type {
  AccessEntry,
  AccessLog,
  AccessLogBounds,
  Bootstrap,
  BootstrapStore,
  DocumentStore,
  NonceLedger,
  OnceStore,
  SqnStore,
  StoredDocument,
} from './store.ts'

interface Expiring<Value> extends Ranked {
  readonly value: Value
}

/**
 * Bootstraps of one process. When full, what has expired goes first; while all of it is live a new bootstrap is
 * refused, since an acknowledged B-TID is a promise and one not yet given costs the UE only a retry.
 */
export function memoryBootstrapStore({ maxEntries }: { readonly maxEntries: number }): BootstrapStore {
  const entries = new RankedMap<Expiring<Bootstrap>>()
  const btids = new Map<Tmpi, Btid>()

  function drop({ value }: Expiring<Bootstrap>): void {
    entries.delete(value.btid)
    if (value.tmpi !== undefined && btids.get(value.tmpi) === value.btid) btids.delete(value.tmpi)
    value.ks.wipe()
  }
  function dropExpired(now: EpochMs): number {
    let dropped = 0
    for (let head = entries.first(); head !== undefined && head.rank <= now; head = entries.first()) {
      drop(head)
      dropped++
    }
    return dropped
  }
  function live(btid: Btid | undefined, now: EpochMs): Bootstrap | undefined {
    const entry = btid === undefined ? undefined : entries.get(btid)
    return entry !== undefined && now < entry.rank ? entry.value : undefined
  }

  return {
    async put(bootstrap) {
      const before = entries.get(bootstrap.btid)
      if (before === undefined && entries.size >= maxEntries) {
        dropExpired(bootstrap.createdAt)
        if (entries.size >= maxEntries) throw full('bootstrap store', maxEntries)
      }
      if (before !== undefined) drop(before)
      const value = copyOf(bootstrap)
      entries.set({ key: value.btid, rank: value.expiresAt, value })
      if (value.tmpi !== undefined) btids.set(value.tmpi, value.btid)
    },
    async find(btid, now) {
      const bootstrap = live(btid, now)
      return bootstrap && copyOf(bootstrap)
    },
    async findImpi(tmpi, now) {
      return live(btids.get(tmpi), now)?.impi
    },
    async remove(btid) {
      const entry = entries.get(btid)
      if (entry !== undefined) drop(entry)
    },
    async sweep(now) {
      return dropExpired(now)
    },
  }
}

/** A caller may wipe its Secret, and the store wipes its own when the entry goes: neither may hurt the other. */
function copyOf(bootstrap: Bootstrap): Bootstrap {
  return { ...bootstrap, rand: Uint8Array.from(bootstrap.rand), ks: new Secret(bootstrap.ks.expose()) }
}

/**
 * Values of one process that wait for their one taker. Strangers fill this store, so when full, what has expired goes
 * first, and while all of it is live a new value is refused: dropping the oldest would let a flood throw out the
 * challenges of UEs about to answer. A full store is free again within one lifetime of its values.
 * @param options.clock tells a full store what has expired, since `put` carries no instant
 */
export function memoryOnceStore<Value>(options: {
  readonly maxEntries: number
  readonly clock?: () => EpochMs
}): OnceStore<Value> {
  const { maxEntries, clock = Date.now } = options
  const entries = new RankedMap<Expiring<Value>>()

  function dropExpired(now: EpochMs): void {
    for (let head = entries.first(); head !== undefined && head.rank <= now; head = entries.first()) entries.shift()
  }

  return {
    async put(key, value, expiresAt) {
      if (entries.size >= maxEntries && entries.get(key) === undefined) {
        dropExpired(clock())
        if (entries.size >= maxEntries) throw full('challenge store', maxEntries)
      }
      entries.set({ key, rank: expiresAt, value })
    },
    async take(key, now) {
      const entry = entries.get(key)
      entries.delete(key)
      dropExpired(now)
      return entry !== undefined && now < entry.rank ? entry.value : undefined
    },
  }
}

interface NonceRecord extends Ranked {
  readonly expiresAt: EpochMs
  readonly window: NcWindow
}

/**
 * The ledger of one process. It vouches for nonces minted after its floor, which begins at `startedAt` and rises to
 * the minting instant of every record that it drops: a lost record means refuse, never accept. Records leave oldest
 * minted first, which under one nonce lifetime is also expired first; expired ones leave at the pace new ones come.
 * When full, a live record gives way to a younger nonce, and its UE pays with one fresh challenge.
 */
export function memoryNonceLedger(options: { readonly maxNonces: number; readonly startedAt: EpochMs }): NonceLedger {
  const records = new RankedMap<NonceRecord>()
  const generation = randomUUID()
  let floor = options.startedAt
  let youngest = floor
  /** As `standing` tells it. */
  let told = floor

  function forget(record: NonceRecord): void {
    records.shift()
    floor = Math.max(floor, record.rank)
    told = Math.max(told, floor)
  }
  function forgetExpired(now: EpochMs): void {
    for (let left = 2; left > 0; left--) {
      const oldest = records.first()
      if (oldest === undefined || now < oldest.expiresAt) return
      forget(oldest)
    }
  }
  /** @returns false when the nonce is older than all that a full ledger holds: then it is the one to go */
  function makeRoom(mintedAt: EpochMs): boolean {
    const oldest = records.size < options.maxNonces ? undefined : records.first()
    if (oldest === undefined) return options.maxNonces > 0
    if (mintedAt <= oldest.rank) return false
    forget(oldest)
    return true
  }
  /**
   * By a clock that is behind all that a full ledger holds, whatever is minted next would be the one to go as well: it has
   * to be minted above them all, or each would oust the one before.
   */
  function refuse(now: EpochMs): 'forgotten' {
    const oldest = records.size < options.maxNonces ? undefined : records.first()
    if (oldest !== undefined && now <= oldest.rank) told = Math.max(told, youngest)
    return 'forgotten'
  }

  return {
    async use({ nonce, mintedAt, expiresAt, generation: its = generation }, nc, now) {
      checkNc(nc)
      if (now >= expiresAt || its !== generation) return 'forgotten'
      const record = records.get(nonce)
      if (record !== undefined) return useNc(record.window, nc) ? 'accepted' : 'reused'
      forgetExpired(now)
      if (mintedAt <= floor || !makeRoom(mintedAt)) return refuse(now)
      youngest = Math.max(youngest, mintedAt)
      records.set({ key: nonce, rank: mintedAt, expiresAt, window: openNcWindow(nc) })
      return 'accepted'
    },
    standing: () => ({ floor: told, generation }),
  }
}

/** Sequence numbers of one process: SQN goes back to the subscriber file's when it ends. */
export function memorySqnStore(): SqnStore {
  const sqns = new Map<Impi, Uint8Array>()
  return {
    async find(impi) {
      const sqn = sqns.get(impi)
      return sqn && Uint8Array.from(sqn)
    },
    async update(impi, next) {
      const current = sqns.get(impi)
      const sqn = octetsOf('SQN', next(current && Uint8Array.from(current)), 6)
      sqns.set(impi, Uint8Array.from(sqn))
      return sqn
    },
  }
}

/** Documents of one process. */
export function memoryDocumentStore({ maxDocuments = 10_000 } = {}): DocumentStore {
  const documents = new Map<string, StoredDocument>()
  return {
    async find(documentSelector) {
      const document = documents.get(documentSelector)
      return document && copyOfDocument(document)
    },
    async update(documentSelector, next) {
      const current = documents.get(documentSelector)
      const document = next(current && copyOfDocument(current))
      if (document === undefined) {
        documents.delete(documentSelector)
        return
      }
      if (current === undefined && documents.size >= maxDocuments) throw full('document store', maxDocuments)
      documents.set(documentSelector, copyOfDocument(document))
    },
  }
}

const copyOfDocument = (document: StoredDocument): StoredDocument => ({
  ...document,
  body: Uint8Array.from(document.body),
})

/** Access logs of one process. */
export function memoryAccessLog(bounds: AccessLogBounds = {}): AccessLog {
  const { entriesPerOwner, maxOwners, retentionS } = withDefaults(bounds)
  /** Touched least recently first. */
  const logs = new Map<Impu, readonly AccessEntry[]>()
  return {
    async append(owner, entry) {
      const log = logs.get(owner)
      if (log === undefined && entry.actor !== 'self') return
      logs.delete(owner)
      const oldest = logs.size >= maxOwners ? logs.keys().next().value : undefined
      if (oldest !== undefined) logs.delete(oldest)
      logs.set(owner, bounded([...(log ?? []), { ...entry }], entriesPerOwner))
    },
    async read(owner, now) {
      const entries = unexpired(logs.get(owner) ?? [], now, retentionS)
      return inOrder(entries)
        .reverse()
        .map((entry) => ({ ...entry }))
    },
    async flush() {},
    async sweep(now) {
      const before = logs.size
      for (const [owner, log] of logs) if (unexpired(log, now, retentionS).length === 0) logs.delete(owner)
      return before - logs.size
    },
  }
}
