import { type Btid, parseBtid } from './identity.ts'

/**
 * The psk_identity_hint of a NAF, and what every identity of a bootstrapped key begins with.
 * @see 3GPP TS 24.109 clause 5.3.3 (Rel-17)
 */
export const PSK_HINT = '3GPP-bootstrapping'

/** What stands between the prefix and the B-TID. */
export type PskSeparator = ';' | '.' | ''

const MAX_IDENTITY_OCTETS = 128

/**
 * Identity that a UE shows in TLS for a bootstrapped key.
 * Reading: the texts disagree on what joins the two (`;`, `.` in TS 36.508 clause 4.7H, nothing): each is read.
 * @param octets of ClientKeyExchange (TLS 1.2) or pre_shared_key (TLS 1.3)
 * @returns undefined for what is longer than 128 octets, has another prefix (that of the UICC's key among them), or
 * names no B-TID
 * @see 3GPP TS 24.109 clause 5.3.3 (Rel-17)
 */
export function parsePskIdentity(octets: Uint8Array): Btid | undefined {
  if (octets.length > MAX_IDENTITY_OCTETS) return undefined
  const text = Buffer.from(octets).toString('latin1')
  if (!/^[\x21-\x7e]*$/.test(text) || !text.startsWith(PSK_HINT)) return undefined
  const rest = text.slice(PSK_HINT.length)
  return parseBtid(/^[;.]/.test(rest) ? rest.slice(1) : rest)
}

/**
 * The identity for a B-TID, ASCII.
 * @throws RangeError for a B-TID so long that no peer would take the identity
 * @see 3GPP TS 24.109 clause 5.3.3 (Rel-17)
 */
export function formatPskIdentity(btid: Btid, separator: PskSeparator = ';'): string {
  const identity = `${PSK_HINT}${separator}${btid}`
  if (identity.length > MAX_IDENTITY_OCTETS) throw new RangeError(`identity of ${identity.length} octets`)
  return identity
}
