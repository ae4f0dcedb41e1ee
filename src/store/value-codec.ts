/** How the values of a store that outlives the process, or serves several, become octets. */
export interface ValueCodec<Value> {
  encode(value: Value): Uint8Array
  /** Reads what `encode` wrote, and may wipe it. @returns undefined for anything else */
  decode(octets: Uint8Array): Value | undefined
}
