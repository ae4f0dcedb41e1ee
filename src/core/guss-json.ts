import type { Uss } from './guss.ts'
import { allOf, ussOf } from './uss.ts'

type JsonObject = Readonly<Record<string, unknown>>

/**
 * Reads the ussList of Nbsp_GBA; unknown members are ignored.
 * @param value  parsed JSON
 * @returns undefined when any USS is malformed
 * @see 3GPP TS 29.309 clause 6.1.6.2 (Rel-18)
 */
export const parseUssListJson = (value: unknown): Uss[] | undefined =>
  Array.isArray(value) ? allOf(value.map(readUss)) : undefined

/**
 * Writes the ussList of Nbsp_GBA.
 * Reading: the schema wants at least one identity per USS, so a USS without any is left out. The list itself may come out
 * empty, which the schema does not allow: then the member is to be left out.
 * @see 3GPP TS 29.309 clause 6.1.6.2 (Rel-18)
 */
export const formatUssListJson = (ussList: readonly Uss[]): JsonObject[] =>
  ussList
    .filter(({ uids }) => uids.length > 0)
    .map(({ gsid, gsType, uids, flags, nafGroup, keyChoice }) => ({
      uss: {
        gsId: gsid,
        gsType,
        ueIds: uids.map((ueId) => ({ ueId })),
        ...(nafGroup !== undefined && { nafGroup }),
        ...(flags.length > 0 && { flags: flags.map((flag) => ({ flag })) }),
        ...(keyChoice !== undefined && { keyChoice }),
      },
    }))

function readUss(item: unknown): Uss | undefined {
  const uss = isObject(item) ? item.uss : undefined
  if (!isObject(uss)) return undefined
  const uids = membersOf(uss.ueIds, 'ueId')
  const flags = uss.flags === undefined ? [] : membersOf(uss.flags, 'flag')
  const { gsId: gsid, gsType, nafGroup, keyChoice } = uss
  return uids && flags && ussOf({ gsid, gsType, uids, flags, nafGroup, keyChoice })
}

const membersOf = (list: unknown, name: string): unknown[] | undefined =>
  Array.isArray(list) ? list.map((item) => (isObject(item) ? item[name] : undefined)) : undefined

const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
