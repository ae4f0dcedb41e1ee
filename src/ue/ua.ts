import type { Qop } from '../core/digest.ts'
import type { DigestChallenge } from '../core/digest-header.ts'
import type { Fqdn } from '../core/identity.ts'
import { UeError } from './fault.ts'
import { type HeaderList, headerValues } from './message.ts'
import type { UeProfile } from './profile.ts'

/** Realm of a NAF that wants Ks_NAF (GBA_ME). @see 3GPP TS 24.109 clause 5.2.4 (Rel-17) */
const REALM_PREFIX = '3GPP-bootstrapping@'

/**
 * The GBA challenge of a 401 that this UE will answer: the first whose algorithm it knows.
 * @param host  the name the UE addressed; a realm that names another one is answered by nobody
 * @returns undefined when the 401 does not speak of GBA
 * @throws UeError CHALLENGE_UNUSABLE
 * @see 3GPP TS 24.109 clauses 5.2.4 and D.3 (Rel-17)
 */
export function gbaChallenge(headers: HeaderList, host: Fqdn, profile: UeProfile): DigestChallenge | undefined {
  const challenges = profile.readChallenges(headerValues(headers, 'www-authenticate'))
  const ours = challenges.filter(({ realm }) => nafNames(realm).length > 0)
  const [any] = ours
  if (!any) return undefined
  const named = ours.filter(({ realm }) => nafNames(realm).includes(host))
  if (named.length === 0) throw new UeError('CHALLENGE_UNUSABLE', `realm ${any.realm} does not name ${host}`)
  const known = named.find(({ algorithm = 'MD5' }) => profile.algorithms.includes(algorithm))
  if (!known) throw new UeError('CHALLENGE_UNUSABLE', 'no challenge with an algorithm that this UE knows')
  if (known.nonce === '') throw new UeError('CHALLENGE_UNUSABLE', 'the challenge has no nonce')
  return known
}

/**
 * @param wanted  the caller's choice, in place of the profile's order
 * @throws UeError CHALLENGE_UNUSABLE when it is not offered; a challenge without any qop could be replayed
 */
export function chooseQop(challenge: DigestChallenge, profile: UeProfile, wanted?: Qop): Qop {
  const qop = (wanted === undefined ? profile.qops : [wanted]).find((candidate) => challenge.qop.includes(candidate))
  if (qop) return qop
  throw new UeError(
    'CHALLENGE_UNUSABLE',
    `qop offered: ${challenge.qop.join(', ') || 'none'}; wanted: ${wanted ?? 'any'}`,
  )
}

/** A realm may list several methods, with `;` between them; the whole text enters the digest. */
function nafNames(realm: string): string[] {
  return realm
    .split(';')
    .map((element) => element.trim())
    .filter((element) => element.startsWith(REALM_PREFIX))
    .map((element) => element.slice(REALM_PREFIX.length).toLowerCase())
}
