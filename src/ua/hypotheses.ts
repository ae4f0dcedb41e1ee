import type { DigestCredentials } from '../core/digest-header.ts'
import { CIPHER_SUITES, parseUaProtocolId, UA_HTTP_DIGEST, UA_PSK_TLS13, type UaProtocolId } from '../core/naf-id.ts'
import type { Secret } from '../core/secret.ts'
import type { DeviationName } from './finding.ts'
import {
  compute,
  deriveKey,
  type Guess,
  guessOf,
  idOfCode,
  nameOfId,
  PASSWORD_FORMS,
  type Recomputable,
} from './guess.ts'
import {
  algorithmsOf,
  counts,
  identities,
  METHODS,
  names,
  otherBodies,
  otherUsernames,
  realms,
  uris,
} from './variants.ts'

export interface Deviation {
  readonly name: DeviationName
  readonly says: string
}

export interface Fit {
  readonly guess: Guess
  readonly deviations: readonly Deviation[]
}

const MOST_DEVIATIONS = 2
/** With more keys than this to choose from, two deviations at a time would take minutes. */
const FEW_KEYS = 10

/** The guesses with the fewest deviations that make the response of these credentials; none when too many are needed. */
export function fits(input: Recomputable, credentials: DigestCredentials): Fit[] {
  const wanted = credentials.response.toLowerCase()
  const most = input.keys.length > FEW_KEYS ? 1 : MOST_DEVIATIONS
  const derived = new Map<string, Secret>()
  for (let depth = 0; depth <= most; depth++) {
    const found: Fit[] = []
    for (const [at, key] of input.keys.entries()) {
      const base = guessOf(input, credentials, key, input.uaProtocolIds[0] ?? UA_HTTP_DIGEST)
      const blame: Deviation[] = key.expected
        ? []
        : [{ name: 'key-wrong', says: `The response was made with ${key.label}.` }]
      walk(dimensions(input, base, wanted), base, blame, depth, (guess, deviations) => {
        const name = [at, guess.uaProtocolId, guess.nafName, guess.identity, guess.kind].join(' ')
        const ksNaf = derived.get(name) ?? deriveKey(guess)
        derived.set(name, ksNaf)
        if (compute(guess, ksNaf).response === wanted) found.push({ guess, deviations })
      })
    }
    if (found.length > 0) return found
  }
  return []
}

/** One way to do one thing; without a deviation it is the way it should be. */
interface Choice {
  readonly set: Partial<Guess>
  readonly deviation?: Deviation
}

/** Visits every combination with exactly so many deviations. */
function walk(
  [choices, ...rest]: readonly (readonly Choice[])[],
  guess: Guess,
  deviations: readonly Deviation[],
  depth: number,
  visit: (guess: Guess, deviations: readonly Deviation[]) => void,
): void {
  if (deviations.length > depth) return
  if (choices === undefined) {
    if (deviations.length === depth) visit(guess, deviations)
    return
  }
  for (const { set, deviation } of choices) {
    walk(rest, { ...guess, ...set }, deviation ? [...deviations, deviation] : deviations, depth, visit)
  }
}

/** Seen in the field besides those of the suites, or easily taken for the right one. */
const OTHER_IDS: readonly UaProtocolId[] = [
  UA_HTTP_DIGEST,
  UA_PSK_TLS13,
  ...['0100000000', '0000000000'].flatMap((text) => parseUaProtocolId(text) ?? []),
]

/** Every member of a guess that can differ, with all that it can be. */
function dimensions(input: Recomputable, base: Guess, response: string): Choice[][] {
  const others = alternatives(base)
  const digest: Choice[][] = [
    others(
      'password',
      Object.keys(PASSWORD_FORMS) as Guess['password'][],
      'password-form',
      (form) => `The password was the ${form} of Ks_NAF, where base64 is meant.`,
    ),
    others(
      'username',
      otherUsernames(base),
      'btid-wrong',
      (name) => `The response was made with the username ${name}.`,
    ),
    others('realm', realms(input), 'realm-wrong', (realm) => `The response was made with the realm ${realm}.`),
    others(
      'algorithm',
      algorithmsOf(response),
      'algorithm',
      (algorithm) => `The response was made with ${algorithm}; Authorization says ${base.algorithm}.`,
    ),
    others(
      'nc',
      counts(base.nc),
      'form',
      (nc) => `The response was made with nc ${nc}; Authorization says ${base.nc}.`,
    ),
    others(
      'cnonce',
      [`"${base.cnonce}"`, ''],
      'form',
      (cnonce) => `The response was made with cnonce ${cnonce || 'empty'}.`,
    ),
    others(
      'qop',
      ['auth', 'auth-int', `"${base.qop}"`, 'auth,auth-int', undefined],
      'form',
      (qop) =>
        `The response was made with ${qop === undefined ? 'no qop, as in RFC 2069' : `qop ${qop}`}; Authorization says ${base.qop ?? 'none'}.`,
    ),
    others(
      'method',
      METHODS,
      'method',
      (method) => `The response was made for ${method || 'no method, like rspauth'}; the request is ${base.method}.`,
    ),
    others(
      'uri',
      uris(input),
      'uri-mismatch',
      (uri) => `The response was made over the uri ${uri}; Authorization says ${base.uri}.`,
    ),
  ]
  const bodies = otherBodies(input).map(
    ([body, what]): Choice => ({
      set: { body },
      deviation: { name: 'body-altered', says: `The response covers ${what}.` },
    }),
  )
  return [...keyDimensions(input, base), ...digest, ...(base.qop === 'auth-int' ? [[{ set: {} }, ...bodies]] : [])]
}

/** The way it is, and every other value that one member of a guess can have. */
const alternatives =
  (base: Guess) =>
  <Member extends keyof Guess>(
    member: Member,
    values: readonly Guess[Member][],
    name: DeviationName,
    says: (value: Guess[Member]) => string,
  ): Choice[] => [
    { set: {} },
    ...[...new Set(values)]
      .filter((value) => value !== base[member])
      .map((value): Choice => ({ set: { [member]: value }, deviation: { name, says: says(value) } })),
  ]

function keyDimensions(input: Recomputable, base: Guess): Choice[][] {
  const { key, kind } = base
  if ('ksNaf' in key.material) return []
  const others = alternatives(base)
  const taken = input.uaProtocolIds.map(nameOfId).join(', ')
  const strange = [...OTHER_IDS, ...[...CIPHER_SUITES.values()].map(idOfCode)]
  return [
    [
      ...input.uaProtocolIds.map((uaProtocolId): Choice => ({ set: { uaProtocolId } })),
      ...[...new Set(strange)]
        .filter((id) => !input.uaProtocolIds.includes(id))
        .map(
          (uaProtocolId): Choice => ({
            set: { uaProtocolId },
            deviation: {
              name: 'ua-id-wrong',
              says: `The key was derived for Ua security protocol identifier ${nameOfId(uaProtocolId)}; this NAF takes ${taken}.`,
            },
          }),
        ),
    ],
    others(
      'nafName',
      names(input),
      'naf-name-wrong',
      (name) => `The key was derived for the NAF name ${name}; the UE addressed ${input.nafFqdn}.`,
    ),
    others(
      'identity',
      identities(key, key.material.impi),
      'identity-in-key',
      (identity) => `The key was derived with ${identity} in the place of the IMPI.`,
    ),
    others(
      'kind',
      ['gba-me', 'gba-u'],
      'key-wrong',
      (other) =>
        `The key is ${other === 'gba-u' ? 'Ks_int_NAF' : 'Ks_NAF'}; the realm asks for ${kind === 'gba-u' ? 'Ks_int_NAF' : 'Ks_NAF'}.`,
    ),
  ]
}
