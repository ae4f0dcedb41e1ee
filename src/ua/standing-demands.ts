import type { EpochMs } from '../core/bytes.ts'
import type { Btid, Impu } from '../core/identity.ts'
import { DemandRefused } from './add-demand.ts'
import type { RebootstrapDemands } from './rebootstrap.ts'

/** A demand that no file has: it goes from process to process as it is. */
export interface StandingDemand {
  readonly whom: { readonly impu: Impu } | { readonly btid: Btid } | { readonly all: true }
  readonly since: EpochMs
}

/** Demands that are kept in memory. */
export interface StandingDemands {
  /** @throws DemandRefused when there are too many already */
  add(demand: StandingDemand, now: EpochMs): void
  list(): readonly StandingDemand[]
  /** Those of a file and these: the same object until one of them changes. Is asked for each request. */
  with(ofFile: RebootstrapDemands): RebootstrapDemands
}

const MOST_DEMANDS = 10_000
/**
 * An instant so long ago rules whatever the clocks of BSF and NAF differ by, and makes those before it, for the same
 * bootstraps, say nothing more.
 */
const SETTLED_MS = 60_000

/** @param first  what is demanded already, where this process takes the place of another */
export function standingDemands(first: readonly StandingDemand[] = [], most: number = MOST_DEMANDS): StandingDemands {
  let demands = first
  let joined: { readonly ofFile: RebootstrapDemands; readonly all: RebootstrapDemands } | undefined
  return {
    add(demand, now) {
      const { since, whom } = demand
      if (demands.some((each) => each.since === since && nameOf(each.whom) === nameOf(whom))) return
      const needed = [...withoutOvertaken(demands, now), demand]
      if (needed.length > most) {
        throw new DemandRefused('too many demands are kept in memory: demand all, or set ap.rebootstrapFile')
      }
      demands = needed
      joined = undefined
    },
    list: () => demands,
    with(ofFile) {
      if (demands.length === 0) return ofFile
      if (joined?.ofFile !== ofFile) joined = { ofFile, all: join(ofFile, demands) }
      return joined.all
    },
  }
}

/** Without those that a later, settled demand for the same bootstraps, or for all, has made needless. */
function withoutOvertaken(demands: readonly StandingDemand[], now: EpochMs): StandingDemand[] {
  const latest = new Map<string, EpochMs>()
  const latestOf = (whom: string) => latest.get(whom) ?? Number.NEGATIVE_INFINITY
  for (const { since, whom } of demands) {
    if (since + SETTLED_MS <= now) latest.set(nameOf(whom), Math.max(since, latestOf(nameOf(whom))))
  }
  return demands.filter(({ since, whom }) => since >= latestOf(nameOf(whom)) && since >= latestOf(EVERYBODY))
}

const EVERYBODY = 'all'
const nameOf = (whom: StandingDemand['whom']): string =>
  'impu' in whom ? `impu ${whom.impu}` : 'btid' in whom ? `btid ${whom.btid}` : EVERYBODY

function join(ofFile: RebootstrapDemands, demands: readonly StandingDemand[]): RebootstrapDemands {
  const all = [...ofFile.all]
  const impus = new Map(ofFile.impus)
  const btids = new Map(ofFile.btids)
  for (const { since, whom } of demands) {
    if ('impu' in whom) impus.set(whom.impu, [...(impus.get(whom.impu) ?? []), since])
    else if ('btid' in whom) btids.set(whom.btid, [...(btids.get(whom.btid) ?? []), since])
    else all.push(since)
  }
  return { all, impus, btids }
}
