import type { DigestAlgorithm, Qop } from '../core/digest.ts'
import { formatAuthorization, type OutgoingCredentials } from '../core/digest-header.ts'

/** How one make of UE behaves, where makes differ. What a profile does not mention, all UEs do alike. */
export interface UeProfile {
  readonly name: string
  /** User-Agent before the product token. */
  readonly userAgent: string
  /** Challenges with other algorithms are passed over; among these the server's order decides. */
  readonly algorithms: readonly DigestAlgorithm[]
  /** In order of preference. */
  readonly qops: readonly Qop[]
  /** The nonce count as text; that text enters the digest. */
  readonly formatNc: (count: number) => string
  /** Digest uri of a request target. */
  readonly digestUri: (target: string) => string
  readonly formatIntendedIdentity: (identity: string) => string
  readonly formatAuthorization: (credentials: OutgoingCredentials) => string
}

/**
 * A UE that does what the specifications say.
 * @see 3GPP TS 24.109 clauses 4.2 and 5.2 (Rel-17)
 */
export const standardProfile: UeProfile = {
  name: 'standard',
  userAgent: 'gba-proxy-ue',
  algorithms: ['SHA-256', 'SHA-256-sess', 'SHA-512-256', 'SHA-512-256-sess', 'MD5', 'MD5-sess'],
  qops: ['auth-int', 'auth'],
  formatNc: (count) => count.toString(16).padStart(8, '0'),
  digestUri: (target) => target,
  formatIntendedIdentity: (identity) => `"${identity}"`,
  formatAuthorization,
}
