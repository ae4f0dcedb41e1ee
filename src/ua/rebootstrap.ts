import { YamlPlace } from '../config/yaml-place.ts'
import type { EpochMs } from '../core/bytes.ts'
import { type Btid, type Impu, parseBtid, parseImpu } from '../core/identity.ts'

/** Whom the operator wants to bootstrap anew: each instant ends the bootstraps made before it. */
export interface RebootstrapDemands {
  readonly all: readonly EpochMs[]
  readonly impus: ReadonlyMap<Impu, readonly EpochMs[]>
  readonly btids: ReadonlyMap<Btid, readonly EpochMs[]>
}

export interface RebootstrapPolicy {
  readonly demands: RebootstrapDemands
  /** How old a bootstrap may be on this route; absent: as old as the BSF lets it be. */
  readonly maxKeyAgeS?: number | undefined
  /** How far the BSF's clock may be behind ours, 0 by default: a demand rules only that long after its instant. */
  readonly clockSkewMs?: number | undefined
}

/** A bootstrap whose key has just made a right response. */
export interface ProvenBootstrap {
  readonly bootstrappedAt: EpochMs
  readonly btid: Btid
  /** Every public identity of the subscriber; asked for where any is demanded. */
  readonly impus: () => readonly Impu[]
}

/**
 * Whether a UE has to bootstrap anew before it is served. To be asked of requests whose response verified, and of no
 * others: a 401 on a protected request is what means renegotiation. Nothing is kept of who was told, since a bootstrap
 * made after the demand satisfies it; so a UE meets each demand once.
 * Reading: an instant to come is a demand for later. It must not rule yet, or no bootstrap could satisfy it.
 * @see 3GPP TS 24.109 clause 5.2.5 (Rel-17)
 */
export function mustRebootstrap(
  { bootstrappedAt, btid, impus }: ProvenBootstrap,
  { demands, maxKeyAgeS, clockSkewMs = 0 }: RebootstrapPolicy,
  now: EpochMs,
): boolean {
  if (maxKeyAgeS !== undefined && now - bootstrappedAt > maxKeyAgeS * 1000) return true
  const rules = (since: EpochMs) => bootstrappedAt < since && now >= since + clockSkewMs
  return (
    demands.all.some(rules) ||
    (demands.btids.get(btid)?.some(rules) ?? false) ||
    (demands.impus.size > 0 && impus().some((impu) => demands.impus.get(impu)?.some(rules)))
  )
}

/** How far the clock of a BSF on another host may be behind ours; it may tell whole seconds, too. */
export const OTHER_HOST_SKEW_MS = 5_000

export const NO_DEMANDS: RebootstrapDemands = { all: [], impus: new Map(), btids: new Map() }

/**
 * Reads a file of demands, a YAML list:
 *
 *     - { impu: sip:alice@example.org, since: 2026-11-21T10:00:00Z }
 *     - { btid: 'Ij4…==@bsf.example.org', since: 2026-11-21T10:00:00+01:00 }
 *     - { all: true, since: 2026-11-21T10:00:00Z }
 *
 * A file with nothing but comments, and an empty list, demand nothing.
 * @param file  what errors call the text
 * @throws ConfigError naming file, line, key and what is expected there; no identity of the file is repeated in it
 */
export function parseDemands(text: string, file: string): RebootstrapDemands {
  const all: EpochMs[] = []
  const impus = new Map<Impu, EpochMs[]>()
  const btids = new Map<Btid, EpochMs[]>()
  for (const place of isEmpty(text) ? [] : YamlPlace.root(text, file).list()) {
    const { impu, btid, all: everybody, since, given } = place.section(['impu', 'btid', 'all', 'since'])
    const [whom, ...more] = [impu, btid, everybody].filter((one) => one !== undefined)
    if (whom === undefined || more.length > 0) given.fail('must have exactly one of impu, btid and all')
    const instant = (since ?? given.missing('since', INSTANT)).read(parseInstant, INSTANT)
    if (impu) add(impus, impu.read(parseImpu, 'a public identity: a sip:, sips: or tel: URI'), instant)
    else if (btid) add(btids, btid.read(parseBtid, 'a B-TID, base64@bsf-host'), instant)
    else if (everybody?.read((word) => (word === 'true' ? true : undefined), 'true')) all.push(instant)
  }
  return { all, impus, btids }
}

function add<Key>(map: Map<Key, EpochMs[]>, key: Key, instant: EpochMs): void {
  map.set(key, [...(map.get(key) ?? []), instant])
}

const isEmpty = (text: string): boolean =>
  ['', '---', '[]'].includes(
    text
      .split('\n')
      .map((line) => line.replace(/(?:^|\s)#.*/, '').trim())
      .join(''),
  )

const INSTANT = 'an instant with its time zone, 2026-01-31T12:00:00Z'
const ISO = /^(\d{4}-\d\d-\d\d)T\d\d:\d\d(?::\d\d(?:\.\d{1,3})?)?(?:Z|[+-]\d\d:\d\d)$/

/** @returns undefined for what is no ISO 8601 instant, a 30 February too */
export function parseInstant(text: string): EpochMs | undefined {
  const [, day = ''] = ISO.exec(text) ?? []
  const midnight = Date.parse(`${day}T00:00Z`)
  const instant = Date.parse(text)
  if (Number.isNaN(midnight) || Number.isNaN(instant)) return undefined
  return new Date(midnight).toISOString().startsWith(day) ? instant : undefined
}
