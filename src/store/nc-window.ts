import { NC_WINDOW } from './store.ts'

const MAX_NC = 0xffff_ffff
const WORDS = NC_WINDOW / 32

/**
 * Which counts of one nonce were used. All of `runStart..highest` were; below that a bit tells, down to `NC_WINDOW`
 * below `highest`. A UE that counts one up at a time never needs the bits, so it costs two numbers.
 * The bits are a ring, indexed by the count modulo `NC_WINDOW`.
 */
export interface NcWindow {
  highest: number
  runStart: number
  bits: Uint32Array | undefined
}

/** @throws RangeError for what is not an unsigned 32-bit number: a caller's bug, since `nc` has eight hex digits */
export function checkNc(nc: number): void {
  if (!Number.isInteger(nc) || nc < 0 || nc > MAX_NC) throw new RangeError('nonce count is not a 32-bit number')
}

/** The window of a nonce whose first use is `nc`. */
export const openNcWindow = (nc: number): NcWindow => ({ highest: nc, runStart: nc, bits: undefined })

/** Marks `nc` as used. @returns whether it was unused and within the window */
export function useNc(window: NcWindow, nc: number): boolean {
  if (nc > window.highest) {
    advance(window, nc)
    return true
  }
  if (nc >= window.runStart || nc < window.highest - NC_WINDOW || isSet(window.bits, nc)) return false
  if (nc === window.runStart - 1) {
    window.runStart = nc
    releaseBits(window)
  } else {
    window.bits ??= new Uint32Array(WORDS)
    set(window.bits, nc, true)
  }
  return true
}

function advance(window: NcWindow, nc: number): void {
  const { highest, runStart } = window
  window.highest = nc
  if (nc === highest + 1) {
    releaseBits(window)
    return
  }
  window.runStart = nc
  const lowest = Math.max(0, nc - NC_WINDOW)
  if (highest < lowest) {
    window.bits = undefined
    return
  }
  window.bits ??= new Uint32Array(WORDS)
  for (let used = Math.max(runStart, lowest); used <= highest; used++) set(window.bits, used, true)
  for (let skipped = highest + 1; skipped < nc; skipped++) set(window.bits, skipped, false)
}

/** Once the run fills the window, no count is left for the bits to tell about. */
function releaseBits(window: NcWindow): void {
  if (window.runStart <= window.highest - NC_WINDOW) window.bits = undefined
}

function isSet(bits: Uint32Array | undefined, nc: number): boolean {
  return bits !== undefined && ((bits[(nc % NC_WINDOW) >>> 5] ?? 0) & (1 << (nc % 32))) !== 0
}

function set(bits: Uint32Array, nc: number, value: boolean): void {
  const word = (nc % NC_WINDOW) >>> 5
  const mask = 1 << (nc % 32)
  bits[word] = value ? (bits[word] ?? 0) | mask : (bits[word] ?? 0) & ~mask
}

/** Octets of a window without bits, and of one with them. */
export const NC_WINDOW_OCTETS = { run: 8, bits: 8 + NC_WINDOW / 8 } as const

/** Writes highest (4) ‖ runStart (4), and the bits where there are any. @returns how many octets that were */
export function writeNcWindow({ highest, runStart, bits }: NcWindow, octets: Buffer, at = 0): number {
  octets.writeUInt32BE(highest, at)
  octets.writeUInt32BE(runStart, at + 4)
  if (bits === undefined) return NC_WINDOW_OCTETS.run
  for (let word = 0; word < WORDS; word++) octets.writeUInt32BE(bits[word] ?? 0, at + 8 + 4 * word)
  return NC_WINDOW_OCTETS.bits
}

/** Reads what `writeNcWindow` wrote, to the end of `octets`. */
export function readNcWindow(octets: Buffer, at = 0): NcWindow {
  const window = openNcWindow(octets.readUInt32BE(at))
  window.runStart = octets.readUInt32BE(at + 4)
  if (octets.length - at <= NC_WINDOW_OCTETS.run) return window
  window.bits = new Uint32Array(WORDS)
  for (let word = 0; word < WORDS; word++) window.bits[word] = octets.readUInt32BE(at + 8 + 4 * word)
  return window
}
