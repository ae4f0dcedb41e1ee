import type { EpochMs } from '../core/bytes.ts'
import type { Uss } from '../core/guss.ts'
import type { Btid, Fqdn, Impi } from '../core/identity.ts'
import type { UaProtocolId } from '../core/naf-id.ts'
import type { Secret } from '../core/secret.ts'
import type { RequestTrace } from '../observe/audit.ts'

export type GbaType = '3G_GBA' | '2G_GBA' | 'GBA_DIGEST'

/** What a NAF asks of the BSF. @see 3GPP TS 29.109 clause 5.2 (Rel-17) */
export interface Bir {
  readonly btid: Btid
  readonly nafFqdn: Fqdn
  readonly uaProtocolId: UaProtocolId
  /** GAA service identifiers whose USS the NAF wants; empty: none. */
  readonly gsids: readonly number[]
  /** The NAF can use Ks_int_NAF. */
  readonly gbaUAware: boolean
}

/** What the BSF answers. */
export interface Bia {
  /** Ks_NAF, or Ks_ext_NAF under GBA_U. 32 octets. */
  readonly ksNaf: Secret
  /** Ks_int_NAF, under GBA_U for a NAF that is aware of it. */
  readonly ksIntNaf?: Secret
  readonly expiresAt: EpochMs
  readonly bootstrappedAt: EpochMs
  readonly gbaType: GbaType
  readonly ussList: readonly Uss[]
  /** Only for a NAF that the BSF trusts with it. */
  readonly impi?: Impi
}

/**
 * Zn: where a NAF gets its key.
 * @throws GbaError ZN_BTID_UNKNOWN, ZN_NOT_AUTHORISED, ZN_BSF_UNREACHABLE, ZN_ANSWER_MALFORMED, ZN_TOO_MANY_QUESTIONS
 */
export interface KeySource {
  /**
   * What `fetch` would resolve to without asking anybody; undefined: it would ask.
   * @throws GbaError what `fetch` would reject with at once: ZN_BTID_UNKNOWN
   */
  cached?(bir: Bir): Bia | undefined
  /**
   * @param asker  for whom: what its address is counted as; undefined: not counted
   * @param trace  of the request that asks
   */
  fetch(bir: Bir, asker?: string, trace?: RequestTrace): Promise<Bia>
  close?(): Promise<void>
}
