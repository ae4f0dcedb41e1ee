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
  const { ussList, ksIntNaf, ksNaf } = bia
  const uiccOnly = ussList.some(({ keyChoice }) => keyChoice === 'UICC_BASED_KEY')
  const meOnly = ussList.some(({ keyChoice }) => keyChoice === 'ME_BASED_KEY')
  const digest = bia.gbaType === 'GBA_DIGEST'
  const keys: { method: GbaMethod; key: Secret }[] = []
  for (const method of methods) {
    if (method === 'gba-u') {
      if (ksIntNaf && !meOnly) keys.push({ method, key: ksIntNaf })
    } else if (!uiccOnly && digest === (method === 'gba-digest')) keys.push({ method, key: ksNaf })
  }
  if (keys.length === 0) throw new GbaError('UA_KEY_CHOICE_REFUSED', `no key for ${methods.join(', ')}`)
  return keys
}
