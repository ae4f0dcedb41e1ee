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

/** highest (4) ‖ runStart (4), then the bits where there are any. */
export function encodeNcWindow({ highest, runStart, bits }: NcWindow): Uint8Array {
  const octets = new Uint8Array(bits === undefined ? 8 : 8 + NC_WINDOW / 8)
  const view = new DataView(octets.buffer)
  view.setUint32(0, highest)
  view.setUint32(4, runStart)
  for (const [at, word] of bits?.entries() ?? []) view.setUint32(8 + 4 * at, word)
  return octets
}

/** Reads what `encodeNcWindow` wrote. */
export function decodeNcWindow(octets: Uint8Array): NcWindow {
  const view = new DataView(octets.buffer, octets.byteOffset, octets.length)
  const window = openNcWindow(view.getUint32(0))
  window.runStart = view.getUint32(4)
  if (octets.length > 8) window.bits = Uint32Array.from({ length: WORDS }, (_, at) => view.getUint32(8 + 4 * at))
  return window
}
