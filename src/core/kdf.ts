import { createHmac } from 'node:crypto'
import { concat, octetsOf, toBase64, utf8 } from './bytes.ts'
import { type Fqdn, type Impi, TMPI_DOMAIN, type Tmpi } from './identity.ts'
import { type NafId, nafIdOf, UA_TMPI } from './naf-id.ts'
import { Secret } from './secret.ts'

/**
 * Generic key derivation: HMAC-SHA-256(key, FC ‖ P0 ‖ L0 ‖ … ‖ Pn ‖ Ln), each length in two octets.
 * @param fc         function code, one octet
 * @param parameters at most 65535 octets each
 * @returns 32 octets
 * @throws RangeError on a function code or a parameter that does not fit
 * @see 3GPP TS 33.220 Annex B.2 (Rel-17)
 */
export function kdf(key: Secret, fc: number, parameters: readonly Uint8Array[]): Uint8Array {
  return new Uint8Array(createHmac('sha256', key.keyObject()).update(kdfInput(fc, parameters)).digest())
}

/**
 * The string S that the generic key derivation runs over.
 * @throws RangeError on a function code or a parameter that does not fit
 * @see 3GPP TS 33.220 Annex B.2.1 (Rel-17)
 */
export function kdfInput(fc: number, parameters: readonly Uint8Array[]): Uint8Array {
  if (!Number.isInteger(fc) || fc < 0 || fc > 0xff) throw new RangeError(`FC is not one octet: ${fc}`)
  return concat(Uint8Array.of(fc), ...parameters.flatMap((parameter) => [parameter, lengthOf(parameter)]))
}

/**
 * Ks of a bootstrapping run with AKA: CK ‖ IK.
 * @param ck 16 octets
 * @param ik 16 octets
 * @returns 32 octets
 * @see 3GPP TS 33.220 clause 4.5.2 (Rel-17)
 */
export function deriveKs(ck: Secret, ik: Secret): Secret {
  return new Secret(concat(ck.expose(16), ik.expose(16)))
}

/**
 * Derives the key one NAF shares with one UE: KDF(Ks, "gba-me", RAND, IMPI, NAF_Id), FC = 0x01.
 * @param ks    CK ‖ IK, 32 octets
 * @param rand  challenge of the same bootstrapping run, 16 octets
 * @param impi  the real private identity, never a TMPI
 * @param nafId NAF FQDN ‖ Ua security protocol identifier (5 octets)
 * @returns Ks_NAF (Ks_ext_NAF under GBA_U), 32 octets
 * @throws RangeError on a wrong length: a caller's bug, never a UE's mistake
 * @see 3GPP TS 33.220 Annex B.3 (Rel-17)
 */
export function deriveKsNaf(ks: Secret, rand: Uint8Array, impi: Impi, nafId: NafId): Secret {
  return new Secret(gbaKey('gba-me', ks, rand, impi, nafId))
}

/**
 * Derives the key that stays on the UICC: KDF(Ks, "gba-u", RAND, IMPI, NAF_Id), FC = 0x01.
 * @param ks    CK ‖ IK, 32 octets
 * @param rand  challenge of the same bootstrapping run, 16 octets
 * @param impi  the real private identity, never a TMPI
 * @param nafId NAF FQDN ‖ Ua security protocol identifier (5 octets)
 * @returns Ks_int_NAF, 32 octets
 * @throws RangeError on a wrong length: a caller's bug, never a UE's mistake
 * @see 3GPP TS 33.220 Annex B.3 (Rel-17)
 */
export function deriveKsIntNaf(ks: Secret, rand: Uint8Array, impi: Impi, nafId: NafId): Secret {
  return new Secret(gbaKey('gba-u', ks, rand, impi, nafId))
}

/**
 * Derives the name under which the UE bootstraps next time: base64 of the first 24 octets of the "gba-me" derivation
 * with the BSF in the place of the NAF.
 * @param ks      of the run that just succeeded, 32 octets
 * @param rand    challenge of the same run, 16 octets
 * @param impi    the real private identity, also where the run itself used a TMPI
 * @param bsfFqdn the name in the B-TID of the same run
 * @see 3GPP TS 33.220 Annex B.4 (Rel-17)
 */
export function deriveTmpi(ks: Secret, rand: Uint8Array, impi: Impi, bsfFqdn: Fqdn): Tmpi {
  const temp = gbaKey('gba-me', ks, rand, impi, nafIdOf(bsfFqdn, UA_TMPI)).subarray(0, 24)
  return `${toBase64(temp)}@${TMPI_DOMAIN}` as Tmpi
}

function gbaKey(label: string, ks: Secret, rand: Uint8Array, impi: Impi, nafId: NafId): Uint8Array {
  ks.expose(32) // for its length check
  return kdf(ks, 0x01, [utf8(label), octetsOf('RAND', rand, 16), kdfString(impi), nafId])
}

/** Strings enter the KDF as UTF-8 after normalisation form KC (TS 33.220 Annex B.2.1.2); ASCII is not changed by it. */
const kdfString = (text: string): Uint8Array => utf8(text.normalize('NFKC'))

function lengthOf(parameter: Uint8Array): Uint8Array {
  const { length } = parameter
  if (length > 0xffff) throw new RangeError(`KDF parameter has ${length} octets, more than 65535`)
  return Uint8Array.of(length >> 8, length & 0xff)
}
