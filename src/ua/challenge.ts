import type { DigestAlgorithm, Qop } from '../core/digest.ts'
import { formatChallenge } from '../core/digest-header.ts'
import type { Fqdn } from '../core/identity.ts'

/** Which kind of bootstrapped key a realm asks for. */
export type GbaMethod = 'gba-me' | 'gba-u' | 'gba-digest'

/** What a NAF offers in its challenge. */
export interface ChallengePolicy {
  /** A challenge for each, in this order. */
  readonly algorithms: readonly [DigestAlgorithm, ...DigestAlgorithm[]]
  readonly qop: readonly [Qop, ...Qop[]]
  /** Methods whose key is accepted, in order of preference. */
  readonly methods: readonly [GbaMethod, ...GbaMethod[]]
  /** Several methods in the realm of one challenge, or a challenge for each. */
  readonly realms: 'joined' | 'separate'
  /** A header line for each challenge, or all challenges in one. */
  readonly lines: 'separate' | 'joined'
}

/** What of it says nothing of bootstrapped keys. */
export type ChallengeForm = Pick<ChallengePolicy, 'algorithms' | 'qop' | 'lines'>

/** What a realm begins with, and the User-Agent token of a UE that knows the method. */
const METHODS: Readonly<Record<GbaMethod, { readonly prefix: string; readonly token: string }>> = {
  'gba-me': { prefix: '3GPP-bootstrapping', token: '3gpp-gba' },
  'gba-u': { prefix: '3GPP-bootstrapping-uicc', token: '3gpp-gba-uicc' },
  'gba-digest': { prefix: '3GPP-bootstrapping-digest', token: '3gpp-gba-digest' },
}

/** Whether a UE says by its product tokens that it knows a method of this NAF. @see 3GPP TS 24.109 Annex B.3 (Rel-17) */
export const saysGba = (tokens: ReadonlySet<string>, { methods }: ChallengePolicy): boolean =>
  methods.some((method) => tokens.has(METHODS[method].token))

/** @see 3GPP TS 24.109 clause 5.2.4 (Rel-17) */
export const realmOf = (method: GbaMethod, nafFqdn: Fqdn): string => `${METHODS[method].prefix}@${nafFqdn}`

/**
 * The methods that a realm stands for, if it is one that this NAF offers: an element, or the whole list as offered.
 * Reading: a UE may pick one of several realms or echo the list; A1 is made over what it echoes.
 * @see 3GPP TS 24.109 clause 5.2.4 (Rel-17)
 */
export function methodsOfRealm(realm: string, nafFqdn: Fqdn, { methods }: ChallengePolicy): readonly GbaMethod[] {
  if (methods.length === 1 && realm === realmOf(methods[0], nafFqdn)) return methods
  const named = realm.split(';').map((part) => methods.find((method) => realmOf(method, nafFqdn) === part))
  const known = named.filter((method) => method !== undefined)
  return known.length === named.length && new Set(known).size === known.length ? known : []
}

/** RFC 7616 wants an opaque text; nothing rests on it, the nonce carries its own proof. */
export const UA_OPAQUE = 'Z2JhLXByb3h5'

/**
 * Values of the WWW-Authenticate lines of one 401. A UE that says which methods it knows is offered those of them that
 * are accepted; any other UE is offered all.
 * @param tokens  product tokens of the UE
 * @param stale   only when the response was right and just the nonce had aged
 * @see 3GPP TS 24.109 clause 5.2.4 (Rel-17)
 */
export function challengeHeaders(
  nafFqdn: Fqdn,
  nonce: string,
  policy: ChallengePolicy,
  tokens: ReadonlySet<string>,
  stale: boolean,
): string[] {
  const known = policy.methods.filter((method) => tokens.has(METHODS[method].token))
  const realms = (known.length > 0 ? known : policy.methods).map((method) => realmOf(method, nafFqdn))
  return headersFor(policy.realms === 'joined' ? [realms.join(';')] : realms, nonce, policy, stale)
}

/**
 * Whether credentials are made with a provisioned password, not with a bootstrapped key.
 * Reading: nothing names the realm of the former, so it is the host alone. It has no `@` and no capital letter, so it is
 * never the realm of a bootstrapped key.
 * @see 3GPP TS 24.623 clause 5.2.1.1 (Rel-17)
 */
export const isPasswordRealm = (realm: string, nafFqdn: Fqdn): boolean => realm === nafFqdn

/**
 * Values of the WWW-Authenticate lines that ask for a provisioned password: one challenge for each algorithm.
 * @param stale   only when the response was right and just the nonce had aged
 * @see 3GPP TS 24.623 clause 5.2.1.1 (Rel-17)
 */
export const passwordChallengeHeaders = (
  nafFqdn: Fqdn,
  nonce: string,
  policy: ChallengeForm,
  stale: boolean,
): string[] => headersFor([nafFqdn], nonce, policy, stale)

function headersFor(realms: readonly string[], nonce: string, policy: ChallengeForm, stale: boolean): string[] {
  const challenges = realms.flatMap((realm) =>
    policy.algorithms.map((algorithm) =>
      formatChallenge({ realm, nonce, algorithm, qop: policy.qop, opaque: UA_OPAQUE, ...(stale && { stale }) }),
    ),
  )
  return policy.lines === 'joined' ? [challenges.join(', ')] : challenges
}
