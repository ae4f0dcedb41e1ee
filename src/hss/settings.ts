import type { Uss } from '../core/guss.ts'
import { type Impi, type Impu, parseImpi } from '../core/identity.ts'
import type { Subscriber, Subscribers } from './subscribers.ts'

/** Settings of a subscriber who came without a bootstrap; undefined for who is none. */
export type SettingsOf = (
  identity: Impi | Impu,
  gsids: readonly number[],
) => Promise<{ readonly impi: Impi; readonly ussList: readonly Uss[] } | undefined>

/**
 * Finds subscribers by private or public identity, barred ones left out. Settings for a group of NAFs stay here: a proxy
 * that asks without a bootstrap is in none.
 */
export function settingsFrom(subscribers: Subscribers): SettingsOf {
  const byImpu = new Map<string, Subscriber>()
  for (const subscriber of subscribers.values()) {
    for (const { impu, barred } of subscriber.impus) if (!barred) byImpu.set(impu, subscriber)
  }
  return async (identity, gsids) => {
    const impi = parseImpi(identity)
    const subscriber = byImpu.get(identity) ?? (impi && subscribers.get(impi))
    if (!subscriber) return undefined
    const ussList = subscriber.guss.ussList.filter(
      ({ gsid, nafGroup }) => gsids.includes(gsid) && nafGroup === undefined,
    )
    return { impi: subscriber.impi, ussList }
  }
}
