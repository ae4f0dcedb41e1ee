import type { Secret } from '../core/secret.ts'
import { GbaError } from '../errors.ts'
import type { Bia } from '../zn/port.ts'
import type { GbaMethod } from './challenge.ts'

/**
 * The keys that a UE may have used under these methods. A key choice in the settings leaves one of two; the BSF says
 * whether the run was GBA_Digest.
 * @throws GbaError UA_KEY_CHOICE_REFUSED when the settings want a key that the method does not have
 * @see 3GPP TS 29.109 Annex A (Rel-17)
 */
export function keysFor(methods: readonly GbaMethod[], bia: Bia): { method: GbaMethod; key: Secret }[] {
  const choices = new Set(bia.ussList.map(({ keyChoice }) => keyChoice))
  const uiccOnly = choices.has('UICC_BASED_KEY')
  const meOnly = choices.has('ME_BASED_KEY')
  const digest = bia.gbaType === 'GBA_DIGEST'
  const keys = methods.flatMap((method): { method: GbaMethod; key: Secret }[] => {
    if (method === 'gba-u') return bia.ksIntNaf && !meOnly ? [{ method, key: bia.ksIntNaf }] : []
    if (uiccOnly || digest !== (method === 'gba-digest')) return []
    return [{ method, key: bia.ksNaf }]
  })
  if (keys.length === 0) throw new GbaError('UA_KEY_CHOICE_REFUSED', `no key for ${methods.join(', ')}`)
  return keys
}
