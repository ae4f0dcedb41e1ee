import type { EpochMs } from '../core/bytes.ts'

/** When a file stops to be of use. */
export interface Expiry {
  readonly file: string
  readonly kind: 'certificate' | 'ca' | 'crl' | 'ocsp'
  readonly expiresAt: EpochMs
}

export type OnExpiring = (expiry: Expiry, state: 'soon' | 'expired') => void

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** How long before the end it is told. Lists and responses are made anew every few days, by themselves. */
const NOTICE_MS: Readonly<Record<Expiry['kind'], number>> = {
  certificate: 30 * DAY_MS,
  ca: 30 * DAY_MS,
  crl: 6 * HOUR_MS,
  ocsp: 6 * HOUR_MS,
}

/**
 * Remembers what was told, so that it is told once a day however often one looks.
 * @returns to be called with all that there is, now and then
 */
export function expiryNotices(onExpiring: OnExpiring): (expiries: readonly Expiry[], now: EpochMs) => void {
  let told = new Map<string, EpochMs>()
  return (expiries, now) => {
    const stillThere = new Map<string, EpochMs>()
    for (const expiry of expiries) {
      const left = expiry.expiresAt - now
      if (left > NOTICE_MS[expiry.kind]) continue
      const state = left > 0 ? 'soon' : 'expired'
      // That it has expired is news, even an hour after it was about to.
      const notice = `${state} ${expiry.expiresAt} ${expiry.file}`
      const last = told.get(notice)
      const isDue = last === undefined || now - last >= DAY_MS
      stillThere.set(notice, isDue ? now : last)
      if (isDue) onExpiring(expiry, state)
    }
    told = stillThere
  }
}
