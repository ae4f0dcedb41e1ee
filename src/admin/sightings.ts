import type { EpochMs } from '../core/bytes.ts'
import type { Btid, Impi } from '../core/identity.ts'
import { Memo, ownCopyOf } from '../core/memo.ts'
import { RecentMap } from '../core/recent-map.ts'
import type { AuditEvent, AuditRecord } from '../observe/audit.ts'
import { MOST_NAFS } from './calls.ts'

/** A refusal that says whom it was about. */
export interface Refusal {
  readonly at: EpochMs
  readonly event: AuditEvent
  readonly record: AuditRecord
}

/** What the decisions of one process tell of subscribers, of late. No store has an index by IMPI. */
export interface Sightings {
  /** Is called for each decision, so it does little, and nothing for one that lets a request through. */
  record(event: AuditEvent, record: AuditRecord): void
  /** The latest first. */
  btidsOf(impi: Impi): readonly Btid[]
  nafsOf(btid: Btid): readonly string[]
  /** Whose pseudonym that is, among those seen. */
  impiBehind(pseudonym: string): Impi | undefined
  btidBehind(pseudonym: string): Btid | undefined
  /** The latest first. */
  refusals(isOne: (refusal: Refusal) => boolean): readonly Refusal[]
  /** When the looking began. */
  readonly since: EpochMs
}

export interface SightingsOptions {
  readonly now: () => EpochMs
  /** What an identity is written as. */
  readonly named: (identity: string) => string
  /** Whether the detail of a refusal is kept; it is told where identities are clear alone. */
  readonly isDetailed: boolean
  /** Subscribers that are remembered; 20,000 by default. */
  readonly maxSubscribers?: number
  /** Refusals that are remembered; 1,000 by default. */
  readonly maxRefusals?: number
}

/** A UE has one, and another while the first ends. */
const MOST_BTIDS = 4

/** Names and paths of which one copy serves all records that have them; a longer one is copied for each. */
const SHARED_TEXTS = { most: 1_000, longest: 256 }

/**
 * Remembers whom decisions were about. All of it is bounded: the subscriber heard of longest ago goes. A refusal that
 * names no subscriber is not kept: the first request of each UE is one, and strangers make as many as they like.
 */
export function sightings(options: SightingsOptions): Sightings {
  const { now, named, isDetailed, maxSubscribers = 20_000, maxRefusals = 1_000 } = options
  const btids = new RecentMap<Impi, readonly Btid[]>(maxSubscribers)
  const nafs = new RecentMap<Btid, readonly string[]>(2 * maxSubscribers)
  const impiNames = new RecentMap<string, Impi>(maxSubscribers)
  const btidNames = new RecentMap<string, Btid>(2 * maxSubscribers)
  const refusals: Refusal[] = []
  let next = 0
  const shared = new Memo(ownCopyOf, SHARED_TEXTS)

  function bootstrapped(impi: Impi, btid: Btid): void {
    btids.set(impi, [btid, ...(btids.get(impi) ?? [])].slice(0, MOST_BTIDS))
    impiNames.set(named(impi), impi)
    btidNames.set(named(btid), btid)
  }
  function asked(btid: Btid, naf: string): void {
    btidNames.set(named(btid), btid)
    const before = nafs.get(btid) ?? []
    if (before[0] !== naf) nafs.set(btid, [naf, ...before.filter((one) => one !== naf)].slice(0, MOST_NAFS))
  }
  function refused(event: AuditEvent, record: AuditRecord): void {
    const { impi, btid, impus = [] } = record
    if (impi === undefined && btid === undefined && impus.length === 0) return
    refusals[next] = { at: now(), event, record: keptOf(record, shared, isDetailed) }
    next = (next + 1) % maxRefusals
  }

  return {
    since: now(),
    record(event, record) {
      const { btid, code, impi, naf } = record
      if (event === 'ut.forwarded') return
      if (event === 'ub.bootstrapped' && impi !== undefined && btid !== undefined) {
        bootstrapped(shared.of(impi) as Impi, shared.of(btid) as Btid)
      } else if (code !== undefined && event !== 'admin.called') refused(event, record)
      else if ((event === 'zn.granted' || event === 'zn.fetched') && btid !== undefined && naf !== undefined) {
        asked(shared.of(btid) as Btid, shared.of(naf))
      }
    },
    btidsOf: (impi) => btids.get(impi) ?? [],
    nafsOf: (btid) => nafs.get(btid) ?? [],
    impiBehind: (pseudonym) => impiNames.get(pseudonym),
    btidBehind: (pseudonym) => btidNames.get(pseudonym),
    refusals: (isOne) => [...refusals.slice(next), ...refusals.slice(0, next)].filter(isOne).reverse(),
  }
}

/** The record with texts of its own: parts of a head, as they come, keep all of it in memory, credentials too. */
function keptOf(
  { detail, requestId, trace, ...record }: AuditRecord,
  shared: Memo<string>,
  isDetailed: boolean,
): AuditRecord {
  const kept: Record<string, unknown> = record // a copy already, and as small as what was given
  for (const name in kept) kept[name] = keptValue(kept[name], shared)
  // None of these comes twice.
  if (requestId !== undefined) kept.requestId = ownCopyOf(requestId)
  if (trace !== undefined) kept.trace = { traceId: ownCopyOf(trace.traceId) }
  if (isDetailed && detail !== undefined) kept.detail = ownCopyOf(detail)
  return kept
}

function keptValue(value: unknown, shared: Memo<string>): unknown {
  if (typeof value === 'string') return shared.of(value)
  return Array.isArray(value) ? value.map((each) => keptValue(each, shared)) : value
}
