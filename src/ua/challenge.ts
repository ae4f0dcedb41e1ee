import type { DigestAlgorithm, Qop } from '../core/digest.ts'
import { formatChallenge } from '../core/digest-header.ts'
import type { Fqdn } from '../core/identity.ts'

/** What a NAF offers in its challenge. */
export interface ChallengePolicy {
  /** One WWW-Authenticate line each, in this order. */
  readonly algorithms: readonly [DigestAlgorithm, ...DigestAlgorithm[]]
  readonly qop: readonly [Qop, ...Qop[]]
}

/** @see 3GPP TS 24.109 clause 5.2.4 (Rel-17) */
export const realmOf = (nafFqdn: Fqdn): string => `3GPP-bootstrapping@${nafFqdn}`

/** RFC 7616 wants an opaque text; nothing rests on it, the nonce carries its own proof. */
export const UA_OPAQUE = 'Z2JhLXByb3h5'

/**
 * Values of the WWW-Authenticate lines of one 401.
 * @param stale  only when the response was right and just the nonce had aged
 * @see 3GPP TS 24.109 clause 5.2.4 (Rel-17)
 */
export function challengeHeaders(nafFqdn: Fqdn, nonce: string, policy: ChallengePolicy, stale: boolean): string[] {
  return policy.algorithms.map((algorithm) =>
    formatChallenge({
      realm: realmOf(nafFqdn),
      nonce,
      algorithm,
      qop: policy.qop,
      opaque: UA_OPAQUE,
      ...(stale && { stale }),
    }),
  )
}
