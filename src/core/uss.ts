import type { KeyChoice, Uss } from './guss.ts'
import { parseImpu } from './identity.ts'

/** One USS as a peer sent it, in XML or JSON: nothing believed yet, undefined where absent. */
export interface RawUss {
  readonly gsid: unknown
  readonly gsType: unknown
  readonly uids: readonly unknown[]
  readonly flags: readonly unknown[]
  readonly nafGroup: unknown
  readonly keyChoice: unknown
}

/**
 * Makes a USS of what a peer sent. An identity that cannot be read is left out and counted: it can open nothing.
 * A wildcarded identity stays where it reads as an IMPU, and then equals itself only.
 * Reading: a key choice that is not known refuses the USS, since it restricts which key may be used.
 * @returns undefined when anything else is not of its type
 * @see 3GPP TS 29.109 Annex A (Rel-17)
 */
export function ussOf({ gsid, gsType, uids, flags, nafGroup, keyChoice }: RawUss): Uss | undefined {
  if (!isUint32(gsid) || !isUint32(gsType) || !flags.every(isUint32)) return undefined
  if (nafGroup !== undefined && typeof nafGroup !== 'string') return undefined
  if (keyChoice !== undefined && !isKeyChoice(keyChoice)) return undefined
  if (!uids.every((uid) => typeof uid === 'string')) return undefined
  const impus = uids.flatMap((uid) => parseImpu(uid) ?? [])
  const droppedUids = uids.length - impus.length
  return {
    gsid,
    gsType,
    uids: [...new Set(impus)],
    flags: [...flags],
    ...(nafGroup !== undefined && { nafGroup }),
    ...(keyChoice !== undefined && { keyChoice }),
    ...(droppedUids > 0 && { droppedUids }),
  }
}

/** All of them, or undefined when one of them is. */
export const allOf = <T>(items: readonly (T | undefined)[]): T[] | undefined => {
  const present = items.filter((item) => item !== undefined)
  return present.length === items.length ? present : undefined
}

const isUint32 = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 0xffffffff

const isKeyChoice = (value: unknown): value is KeyChoice =>
  value === 'ME_BASED_KEY' || value === 'UICC_BASED_KEY' || value === 'ME_UICC_BASED_KEYS'
