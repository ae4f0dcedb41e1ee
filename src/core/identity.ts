import { fromBase64, toBase64 } from './bytes.ts'
import { type Fqdn, parseFqdn } from './fqdn.ts'
import { isCanonicalSipUri, parseSipUri } from './sip-uri.ts'
import { parseTelUri } from './tel-uri.ts'

export { type Fqdn, parseFqdn } from './fqdn.ts'

declare const brand: unique symbol
type Branded<Name extends string> = string & { readonly [brand]: Name }

/** Private identity as provisioned; letter case kept. */
export type Impi = Branded<'Impi'>
/** Public identity in canonical form: see `parseImpu`. */
export type Impu = Branded<'Impu'>
/** Temporary private identity, `…@tmpi.bsf.3gppnetwork.org`. */
export type Tmpi = Branded<'Tmpi'>
/** Bootstrapping transaction identifier, `base64(RAND)@bsf-fqdn`; the domain in lower case. */
export type Btid = Branded<'Btid'>
/**
 * Private identity in NAI form. Not normalised: the KDF takes it as the UE sent it.
 * @see 3GPP TS 23.003 clause 13.3 (Rel-18)
 */
export function parseImpi(text: string): Impi | undefined {
  const at = text.lastIndexOf('@')
  if (at < 1 || text.length > 255 || /[\s\p{Cc}"\\<>@]/u.test(text.slice(0, at))) return undefined
  return parseFqdn(text.slice(at + 1)) ? (text as Impi) : undefined
}

/**
 * Public identity, SIP, SIPS or tel, in the one form in which identities are compared: equal texts are equal identities.
 * Nothing here turns a telephone number in a SIP URI into a tel URI: only the subscriber's data may say they are one.
 * @param text  at most 512 characters, its percent-encoding as a path segment already undone
 * @returns undefined for anything else, among it whatever holds white space, control or non-ASCII characters
 * @see 3GPP TS 23.003 clause 13.4 (Rel-18)
 */
export function parseImpu(text: string): Impu | undefined {
  if (text.length > 512 || !/^[\x21-\x7e]+$/.test(text)) return undefined
  if (isCanonicalSipUri(text) || GLOBAL_NUMBER.test(text)) return text as Impu
  const sip = parseSipUri(text)
  if (sip) return `${sip.scheme}:${sip.user}@${sip.host}` as Impu
  const tel = parseTelUri(text)
  if (!tel) return undefined
  const context = tel.phoneContext === undefined ? '' : `;phone-context=${tel.phoneContext}`
  return `tel:${tel.number}${context}` as Impu
}

/** Canonical as it stands. */
const GLOBAL_NUMBER = /^tel:\+[0-9]{1,15}$/

const IMSI_BASED = /^sips?:([0-9]{6,15})@ims\.mnc([0-9]{3})\.mcc([0-9]{3})\.3gppnetwork\.org$/

/**
 * Whether an identity is a private one in public clothes: the temporary one of a card without ISIM, whose user part is
 * the IMSI. Such an identity is never asserted.
 * @see 3GPP TS 23.003 clause 13.4B (Rel-18)
 */
export function isTemporaryImpu(impu: Impu): boolean {
  const [, imsi, mnc, mcc] = IMSI_BASED.exec(impu) ?? []
  if (imsi === undefined || mnc === undefined || mcc === undefined) return false
  return imsi.startsWith(mcc + mnc) || (mnc.startsWith('0') && imsi.startsWith(mcc + mnc.slice(1)))
}

/** @see 3GPP TS 33.220 Annex B.4 (Rel-17) */
export const TMPI_DOMAIN = 'tmpi.bsf.3gppnetwork.org'

/** A username on Ub is a TMPI exactly when its domain says so. */
export function parseTmpi(text: string): Tmpi | undefined {
  const [temp, domain = '', more] = text.split('@')
  if (temp === undefined || parseFqdn(domain) !== TMPI_DOMAIN || more !== undefined) return undefined
  return fromBase64(temp)?.length === 24 ? (`${temp}@${TMPI_DOMAIN}` as Tmpi) : undefined
}

/**
 * B-TID from the challenge of one bootstrapping run.
 * @see 3GPP TS 33.220 clause 4.5.2 (Rel-17)
 */
export function btidOf(rand: Uint8Array, bsfFqdn: Fqdn): Btid {
  return `${toBase64(rand)}@${bsfFqdn}` as Btid
}

/** 16 octets in canonical base64: the last character before the padding has two bits of them, and four that are zero. */
const RAND_TEXT = /^[A-Za-z0-9+/]{21}[AQgw]==@/
const BTID_AT = 24

/** Octet-exact left of `@`, case-insensitive right of it. @returns undefined for what is not a B-TID */
export function parseBtid(text: string): Btid | undefined {
  const at = text.indexOf('@')
  if (at !== BTID_AT || !RAND_TEXT.test(text)) return undefined
  const domain = parseFqdn(text.slice(at + 1))
  if (domain === undefined) return undefined
  return (text.endsWith(domain) ? text : `${text.slice(0, at)}@${domain}`) as Btid
}
