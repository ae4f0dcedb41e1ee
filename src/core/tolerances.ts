/**
 * Deviations of real UEs and HSSs that are accepted where they are switched on. Each has a name, says what it accepts,
 * and for whom; each use is counted. The list is closed: what is not on it is refused, or not a deviation.
 */
export const TOLERANCES = {
  'nc-decimal': { what: 'nc counts in decimal digits', who: 'Android ImsStack' },
  'nc-gap': { what: 'nc skips values', who: 'UEs that count over several NAFs' },
  'nc-not-reset': { what: 'nc does not start at 1 on a new nonce', who: 'Android ImsStack' },
  'nc-out-of-order': {
    what: 'nc below the highest used one, itself unused; needs nc-gap',
    who: 'UEs with several connections',
  },
  'nc-form': { what: 'nc with other than 8 digits, or in upper case', who: 'UE emulators' },
  'quoted-token': { what: 'algorithm, qop, nc or userhash in quotation marks', who: 'deployed NAF clients, emulators' },
  'unquoted-text': {
    what: 'username, realm, nonce, uri, response, cnonce or opaque without quotation marks',
    who: 'emulators',
  },
  'uri-trailing-slash': { what: 'digest uri ends in / where the request target does not', who: 'GBA_ME clients' },
  'uri-absolute': { what: 'digest uri in absolute form at this NAF', who: 'GBA_ME clients' },
  'md5-sess': { what: 'MD5-sess where MD5 was offered', who: 'Android ImsStack' },
  'unquoted-identity': { what: 'X-3GPP-Intended-Identity without quotation marks', who: 'GBA_ME and XDM clients' },
  'bracketed-identity': { what: 'X-3GPP-Intended-Identity in angle brackets', who: 'mission critical clients' },
  'ua-id-candidate': {
    what: 'a Ua security protocol identifier other than the first of the list',
    who: 'networks that use 0100000002 in TLS',
  },
  'uss-id-is-type': { what: 'a USS whose id is the GAA service type', who: 'HSSs that fill the id with the type' },
} as const satisfies Record<string, { readonly what: string; readonly who: string }>

export type ToleranceName = keyof typeof TOLERANCES
export type Tolerances = ReadonlySet<ToleranceName>

export const TOLERANCE_NAMES = Object.keys(TOLERANCES) as ToleranceName[]

/** What is accepted: everything (`tolerant`) or nothing (`strict`), but for single switches. */
export function tolerancesOf(switches: {
  readonly profile: 'tolerant' | 'strict'
  readonly allow: readonly ToleranceName[]
  readonly refuse: readonly ToleranceName[]
}): Tolerances {
  const base = switches.profile === 'tolerant' ? TOLERANCE_NAMES : []
  return new Set([...base, ...switches.allow].filter((name) => !switches.refuse.includes(name)))
}
