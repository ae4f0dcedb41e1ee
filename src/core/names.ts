import { type Fqdn, type Impi, type Impu, parseFqdn } from './identity.ts'

/**
 * Where a USIM bootstraps; the name has no `ims.`, unlike its XCAP root.
 * @param imsi      6 to 15 digits
 * @param mncDigits how many of them are the MNC; a two-digit MNC gets a leading zero
 * @throws RangeError on what is not an IMSI
 * @see 3GPP TS 23.003 clause 16.2 (Rel-18)
 */
export function bsfFqdnOfImsi(imsi: string, mncDigits: 2 | 3): Fqdn {
  return fqdn(`bsf.${plmnLabels(imsi, mncDigits)}.pub.${TGPP}`)
}

/**
 * Where an ISIM bootstraps: `bsf.` before the home domain, and `pub.` before 3gppnetwork.org.
 * @throws RangeError when the name gets too long
 * @see 3GPP TS 23.003 clause 16.2 (Rel-18)
 */
export function bsfFqdnOfImpi(impi: Impi): Fqdn {
  return fqdn(`bsf.${publicDomain(impi)}`)
}

/**
 * Default XCAP root of a subscriber; a provisioned one wins over it.
 * @throws RangeError when the name gets too long
 * @see 3GPP TS 23.003 clause 13.9.1 (Rel-18)
 */
export function xcapFqdnOfImpi(impi: Impi): Fqdn {
  return fqdn(`xcap.${publicDomain(impi)}`)
}

/**
 * The private identity of a UE without ISIM.
 * @param imsi      6 to 15 digits
 * @param mncDigits how many of them are the MNC
 * @param nid       network identifier of a stand-alone non-public network, 11 hex digits
 * @throws RangeError on what is not an IMSI or a NID
 * @see 3GPP TS 23.003 clause 13.3 (Rel-18)
 */
export function impiOfImsi(imsi: string, mncDigits: 2 | 3, nid?: string): Impi {
  if (nid !== undefined && !/^[0-9a-f]{11}$/i.test(nid)) throw new RangeError('not a NID')
  const network = nid === undefined ? '' : `nid${nid}.`
  return `${imsi}@ims.${network}${plmnLabels(imsi, mncDigits)}.${TGPP}` as Impi
}

/**
 * The public identity of a UE without ISIM before its registration has told it another.
 * @param imsi      6 to 15 digits
 * @param mncDigits how many of them are the MNC
 * @throws RangeError on what is not an IMSI
 * @see 3GPP TS 23.003 clause 13.4B (Rel-18)
 */
export function temporaryImpuOf(imsi: string, mncDigits: 2 | 3): Impu {
  return `sip:${impiOfImsi(imsi, mncDigits)}` as Impu
}

const TGPP = '3gppnetwork.org'

function plmnLabels(imsi: string, mncDigits: 2 | 3): string {
  if (!/^\d{6,15}$/.test(imsi)) throw new RangeError('not an IMSI')
  return `mnc${imsi.slice(3, 3 + mncDigits).padStart(3, '0')}.mcc${imsi.slice(0, 3)}`
}

/** Reading: a home domain that has its `pub.` already does not get a second one. */
function publicDomain(impi: Impi): string {
  const domain = impi.slice(impi.lastIndexOf('@') + 1).toLowerCase()
  if (!`.${domain}`.endsWith(`.${TGPP}`) || `.${domain}`.endsWith(`.pub.${TGPP}`)) return domain
  return `${domain.slice(0, -TGPP.length)}pub.${TGPP}`
}

function fqdn(name: string): Fqdn {
  const parsed = parseFqdn(name)
  if (parsed === undefined) throw new RangeError('not a host name')
  return parsed
}
