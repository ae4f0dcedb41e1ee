import type { EpochMs } from '../core/bytes.ts'
import type { Uss } from '../core/guss.ts'
import type { Fqdn } from '../core/identity.ts'
import { deriveKsIntNaf, deriveKsNaf } from '../core/kdf.ts'
import { nafIdOf } from '../core/naf-id.ts'
import { GbaError } from '../errors.ts'
import type { Bootstrap } from '../store/store.ts'
import type { Bia, Bir } from './port.ts'

/** What one NAF may ask of the BSF. Nothing is allowed that is not listed. */
export interface NafEntry {
  readonly name: string
  readonly fqdns: readonly Fqdn[]
  readonly gsids: readonly number[]
  /** The NAF learns the private identity. */
  readonly impi: boolean
  /** NAF groups it belongs to: a USS with a nafGroup goes only to members. */
  readonly nafGroups: readonly string[]
}

/**
 * Whether this NAF may use the name and see the settings it asks for.
 * @throws GbaError ZN_NOT_AUTHORISED
 * @see 3GPP TS 29.109 clause 5.2 (Rel-17)
 */
export function checkNaf(naf: NafEntry, bir: Bir): void {
  if (!naf.fqdns.includes(bir.nafFqdn)) throw new GbaError('ZN_NOT_AUTHORISED', `${naf.name} may not be ${bir.nafFqdn}`)
  const foreign = bir.gsids.find((gsid) => !naf.gsids.includes(gsid))
  if (foreign !== undefined) throw new GbaError('ZN_NOT_AUTHORISED', `${naf.name} may not ask for GSID ${foreign}`)
}

/**
 * Derives the NAF's keys and picks the settings it may see. A setting the subscriber lacks is left out: the NAF decides.
 * @throws GbaError ZN_BTID_UNKNOWN when there is no live bootstrap
 * @see 3GPP TS 33.220 clause 4.5.3 (Rel-17)
 */
export function answerBir(naf: NafEntry, bir: Bir, bootstrap: Bootstrap | undefined, now: EpochMs): Bia {
  if (!bootstrap || now >= bootstrap.expiresAt)
    throw new GbaError('ZN_BTID_UNKNOWN', 'no live bootstrap has this B-TID')
  const { ks, rand, impi, guss } = bootstrap
  const nafId = nafIdOf(bir.nafFqdn, bir.uaProtocolId)
  return {
    ksNaf: deriveKsNaf(ks, rand, impi, nafId),
    ...(bir.gbaUAware && guss?.uiccType === 'GBA_U' && { ksIntNaf: deriveKsIntNaf(ks, rand, impi, nafId) }),
    expiresAt: bootstrap.expiresAt,
    bootstrappedAt: bootstrap.createdAt,
    gbaType: bootstrap.gbaType,
    ussList: (guss?.ussList ?? []).filter((uss) => bir.gsids.includes(uss.gsid) && mayRead(naf, uss)),
    ...(naf.impi && { impi }),
  }
}

function mayRead(naf: NafEntry, { nafGroup }: Uss): boolean {
  return nafGroup === undefined || naf.nafGroups.includes(nafGroup)
}
