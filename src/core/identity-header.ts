import { type Impu, parseImpu } from './identity.ts'

/** Forms in which UEs send an identity although the clause wants quotation marks. */
export type IdentityQuirk = 'unquoted-identity' | 'bracketed-identity'

export interface IntendedIdentity {
  readonly impu: Impu
  readonly quirk?: IdentityQuirk
}

/**
 * Reads X-3GPP-Intended-Identity: one identity, in quotation marks.
 * Deviation: without quotation marks (a GBA_ME emulator, an XDM client, an IMS client; code read in 2026), or in angle
 * brackets (a mission critical server strips them, so somebody sends them). Each is named in `quirk`, so that a strict
 * profile can refuse it.
 * Reading: no escapes between the quotation marks, since no identity needs one and readers differ over them; a bare
 * comma always means a list, though a SIP user part may hold one.
 * @param values  the field values, one entry for each header line
 * @returns 'malformed' also for an empty value, for several identities and for several lines
 * @see 3GPP TS 24.109 clause 7.2 (Rel-17)
 */
export function parseIdentityHeader(values: readonly string[]): IntendedIdentity | 'absent' | 'malformed' {
  const [value, ...more] = values
  if (value === undefined) return 'absent'
  if (more.length > 0 || value.length > 1024) return 'malformed'
  const [, quoted, bracketed, bare] = /^[ \t]*(?:"([^"\\]*)"|<([^<>"\\]*)>|([^<>"\\,\s]*))[ \t]*$/.exec(value) ?? []
  const impu = parseImpu(quoted ?? bracketed ?? bare ?? '')
  if (impu === undefined) return 'malformed'
  if (quoted !== undefined) return { impu }
  return { impu, quirk: bracketed === undefined ? 'unquoted-identity' : 'bracketed-identity' }
}

/**
 * Value of X-3GPP-Asserted-Identity: each identity in quotation marks, commas without spaces between them.
 * @throws RangeError on an empty list, or on a text that is no canonical identity
 * @see 3GPP TS 24.109 clause 7.2 (Rel-17)
 */
export function formatIdentities(impus: readonly Impu[]): string {
  if (impus.length === 0) throw new RangeError('no identity to assert')
  let value = ''
  for (const impu of impus) {
    if (parseImpu(impu) !== impu) throw new RangeError('not a canonical identity')
    value += value === '' ? `"${impu}"` : `,"${impu}"`
  }
  return value
}

/**
 * Value of X-3GPP-Authorization-Flags: the flags of the USS, each in quotation marks.
 * @param flags  unsigned integers of 32 bits
 * @throws RangeError on an empty list or another number
 * @see 3GPP TS 24.109 clause 7.2 (Rel-17)
 */
export function formatFlags(flags: readonly number[]): string {
  if (flags.length === 0) throw new RangeError('no flag')
  let value = ''
  for (const flag of flags) {
    if (flag >>> 0 !== flag) throw new RangeError('not a flag')
    value += value === '' ? `"${flag}"` : `,"${flag}"`
  }
  return value
}
