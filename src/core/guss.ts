import type { Impi, Impu } from './identity.ts'

export { formatUssListJson, parseUssListJson } from './guss-json.ts'
export { formatGussXml, formatUssListXml, parseGussXml, parseUssListXml } from './guss-xml.ts'

/** User security setting of one GAA service. @see 3GPP TS 29.109 Annex A (Rel-17) */
export interface Uss {
  /** GAA service identifier (USS `id`). */
  readonly gsid: number
  /** GAA service type code (USS `type`): 2 authentication proxy, 3 presence. */
  readonly gsType: number
  /** Public identities the subscriber may use, in the subscriber's order; the first is the default. */
  readonly uids: readonly Impu[]
  readonly flags: readonly number[]
  readonly nafGroup?: string
  readonly keyChoice?: KeyChoice
  /** How many identities the sender listed that are none to us (absent: none); they are left out of `uids`. */
  readonly droppedUids?: number
}

/** Which key the NAF is to use. @see 3GPP TS 29.309 clause 6.1.6.3 (Rel-18) */
export type KeyChoice = 'ME_BASED_KEY' | 'UICC_BASED_KEY' | 'ME_UICC_BASED_KEYS'

/** GBA user security settings of one subscriber. */
export interface Guss {
  readonly impi: Impi
  readonly uiccType: 'GBA' | 'GBA_U'
  /** Overrides the BSF's key lifetime. */
  readonly keyLifetimeS?: number
  readonly ussList: readonly Uss[]
}
