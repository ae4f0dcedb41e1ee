import { type EpochMs, fromUtf8, utf8 } from '../core/bytes.ts'
import type { AccessEntry, AccessLogBounds } from './store.ts'

/** The bounds that hold where none are given. */
export const withDefaults = (bounds: AccessLogBounds): Required<AccessLogBounds> => ({
  entriesPerOwner: bounds.entriesPerOwner ?? 200,
  maxOwners: bounds.maxOwners ?? 100_000,
  retentionS: bounds.retentionS ?? 2_592_000,
})

/** In the order in which they happened; what several processes wrote comes mixed. */
export const inOrder = (entries: readonly AccessEntry[]): AccessEntry[] => entries.toSorted((a, b) => a.at - b.at)

export const unexpired = (entries: readonly AccessEntry[], now: EpochMs, retentionS: number): AccessEntry[] =>
  entries.filter(({ at }) => now < at + retentionS * 1000)

/**
 * At most `limit` entries, and at most half of that refused. The oldest entry of the actor with the most entries goes,
 * one by one: where there are k actors, nobody loses an entry before it has more than `limit / k`.
 * @param entries oldest first, as the result
 */
export function bounded(entries: readonly AccessEntry[], limit: number): readonly AccessEntry[] {
  const counts = new Map<string, number>()
  for (const { actor } of entries) counts.set(actor, (counts.get(actor) ?? 0) + 1)
  const refused = counts.get('refused') ?? 0
  const kept = Math.min(refused, Math.floor(limit / 2))
  if (refused > kept) counts.set('refused', kept)
  let excess = entries.length - (refused - kept) - limit
  if (excess <= 0 && refused === kept) return entries
  for (; excess > 0; excess--) {
    const busiest = busiestOf(counts)
    counts.set(busiest, (counts.get(busiest) ?? 0) - 1)
  }
  const newest = entries.toReversed().filter(({ actor }) => {
    const left = counts.get(actor) ?? 0
    counts.set(actor, left - 1)
    return left > 0
  })
  return newest.reverse()
}

/** Among equals the one with the oldest entry: a Map keeps the order in which it met them. */
function busiestOf(counts: ReadonlyMap<string, number>): string {
  let busiest = ''
  let most = 0
  for (const [actor, count] of counts) {
    if (count > most) [busiest, most] = [actor, count]
  }
  return busiest
}

/**
 * Entries in the form in which they wait: the text of their rows. It holds on to nothing else in memory; a field that was
 * cut out of a request may hold on to all of it.
 */
export interface Rows {
  /** JSON arrays with commas between them; empty for none. */
  readonly text: string
  readonly count: number
  readonly oldestAt: EpochMs
  readonly newestAt: EpochMs
}

export const NO_ROWS: Rows = { text: '', count: 0, oldestAt: Number.POSITIVE_INFINITY, newestAt: 0 }

/** An identity as a string of its own: one that was cut out of a request holds on to what it was cut from. */
export const ownCopy = <Identity extends string>(identity: Identity): Identity =>
  Buffer.from(identity, 'utf8').toString('utf8') as Identity

type Row = readonly [EpochMs, AccessEntry['actor'], string, string, number]

const rowOf = ({ at, actor, method, documentSelector, outcome }: AccessEntry): Row => [
  at,
  actor,
  method,
  documentSelector,
  outcome,
]

export function withEntry(rows: Rows, entry: AccessEntry): Rows {
  const text = JSON.stringify(rowOf(entry))
  return joined(rows, { text, count: 1, oldestAt: entry.at, newestAt: entry.at })
}

export function joined(before: Rows, since: Rows): Rows {
  if (before.count === 0 || since.count === 0) return before.count === 0 ? since : before
  return {
    text: `${before.text},${since.text}`,
    count: before.count + since.count,
    oldestAt: Math.min(before.oldestAt, since.oldestAt),
    newestAt: Math.max(before.newestAt, since.newestAt),
  }
}

export const entriesIn = ({ text }: Rows): AccessEntry[] => entriesOf(`[${text}]`)

/** The plaintext of a sealed part of a log; `decodeEntries` reads it. */
export const encodeRows = ({ text }: Rows): string => `[${text}]`

/** As `encodeRows`. */
export const encodeEntries = (entries: readonly AccessEntry[]): Uint8Array => utf8(JSON.stringify(entries.map(rowOf)))

/**
 * As many of them as take `most` octets at most: more go by the rule of `bounded` where they are long.
 * @param entries oldest first, as those that are kept
 */
export function encodeWithin(entries: readonly AccessEntry[], most: number) {
  let kept = entries
  let encoded = encodeEntries(kept)
  while (encoded.length > most) {
    kept = bounded(kept, Math.floor((kept.length * SHARE_THAT_FITS * most) / encoded.length))
    encoded = encodeEntries(kept)
  }
  return { kept, encoded }
}

/** Those that stay may be longer than those that go. */
const SHARE_THAT_FITS = 15 / 16

/** Reads the plaintext of a part, from a value that was sealed. */
export const decodeEntries = (plaintext: Uint8Array): AccessEntry[] => entriesOf(fromUtf8(plaintext))

function entriesOf(text: string): AccessEntry[] {
  const rows: readonly Row[] = JSON.parse(text)
  return rows.map(([at, actor, method, documentSelector, outcome]) => ({
    at,
    actor,
    method,
    documentSelector,
    outcome,
  }))
}
