import { GbaError } from '../../src/errors.ts'

/** One adapter of a port, as its contract suite meets it. */
export interface Adapter<Store, Bounds = void> {
  readonly name: string
  open(bounds: Bounds): Promise<Opened<Store>>
}

/** What an adapter cannot do (a memory store survives nothing) it leaves out, and the suite leaves out those tests. */
export interface Opened<Store> {
  readonly store: Store
  close(): Promise<void>
  /** The same store as the next process finds it. */
  reopen?(): Promise<Opened<Store>>
  /** The same store as another process has it open at the same time. */
  readonly elsewhere?: Store
  readonly rest?: AtRest
}

export interface AtRest {
  /** Every octet that the store keeps outside this process. */
  octets(): Promise<Uint8Array>
  /** Replaces the value of every record. */
  tamper(change: (value: Uint8Array) => Uint8Array): Promise<void>
  /** Exchanges the values of the first two records. */
  swap(): Promise<void>
}

/** Runs the test on a fresh store and closes it whatever happens. */
export function using<Store, Bounds>(
  adapter: Adapter<Store, Bounds>,
  bounds: Bounds,
  run: (store: Store, opened: Opened<Store>) => Promise<void>,
): () => Promise<void> {
  return async () => {
    const opened = await adapter.open(bounds)
    try {
      await run(opened.store, opened)
    } finally {
      await opened.close()
    }
  }
}

export const isUnavailable = (error: unknown): boolean =>
  error instanceof GbaError && error.code === 'STORE_UNAVAILABLE'

export function flipLastBit(value: Uint8Array): Uint8Array {
  const changed = Uint8Array.from(value)
  changed[changed.length - 1] = (changed[changed.length - 1] ?? 0) ^ 1
  return changed
}

/** Every form in which these octets could lie in the clear: raw, hexadecimal, and base64 at each of three alignments. */
export function tracesOf(octets: Uint8Array): readonly Buffer[] {
  const hex = Buffer.from(octets).toString('hex')
  const base64 = [0, 1, 2].map((shift) => {
    const text = Buffer.concat([Buffer.alloc(shift), octets]).toString('base64')
    return text.slice(shift === 0 ? 0 : 4, Math.floor((shift + octets.length) / 3) * 4)
  })
  return [Buffer.from(octets), ...[hex, hex.toUpperCase(), ...base64].map((text) => Buffer.from(text))]
}

export const holds = (haystack: Uint8Array, needle: Uint8Array): boolean =>
  Buffer.from(haystack).includes(Buffer.from(needle))
