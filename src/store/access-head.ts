import type { EpochMs } from '../core/bytes.ts'

/** A log's record in the clear: which hour it was touched in, and what its parts hold. */
export interface Head {
  readonly hour: EpochMs
  readonly oldestAt: EpochMs
  readonly parts: number
  readonly entries: number
}

const HEAD = 24

export function encodeHead({ hour, oldestAt, parts, entries }: Head): Uint8Array {
  const octets = Buffer.allocUnsafe(HEAD)
  octets.writeDoubleBE(hour, 0)
  octets.writeDoubleBE(oldestAt, 8)
  octets.writeUInt32BE(parts, 16)
  octets.writeUInt32BE(entries, 20)
  return octets
}

/** @returns undefined for no record, and for one that is damaged: the log then begins anew */
export function decodeHead(octets: Uint8Array | undefined): Head | undefined {
  if (octets?.length !== HEAD) return undefined
  const view = new DataView(octets.buffer, octets.byteOffset, octets.length)
  return {
    hour: view.getFloat64(0),
    oldestAt: view.getFloat64(8),
    parts: view.getUint32(16),
    entries: view.getUint32(20),
  }
}
