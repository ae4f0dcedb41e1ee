/** Instants are epoch milliseconds everywhere inside. */
export type EpochMs = number

const encoder = new TextEncoder()
const decoder = new TextDecoder('utf-8', { fatal: true })

export const utf8 = (text: string): Uint8Array => encoder.encode(text)

/** Fails on anything that is not UTF-8, overlong forms included. */
export const fromUtf8 = (octets: Uint8Array): string => decoder.decode(octets)

export const toHex = (octets: Uint8Array): string => viewOf(octets).toString('hex')

/** @throws RangeError unless the text is an even number of hex digits (and `length` octets, where given) */
export function fromHex(text: string, length?: number): Uint8Array {
  if (!/^(?:[0-9a-fA-F]{2})*$/.test(text)) throw new RangeError('not hexadecimal')
  const octets = new Uint8Array(Buffer.from(text, 'hex'))
  return length === undefined ? octets : octetsOf('hex value', octets, length)
}

export const toBase64 = (octets: Uint8Array): string => viewOf(octets).toString('base64')

const viewOf = ({ buffer, byteOffset, length }: Uint8Array): Buffer => Buffer.from(buffer, byteOffset, length)

/** The octets of a canonical base64 text (RFC 4648 §4, padded), or undefined: what re-encodes differently is refused. */
export function fromBase64(text: string): Uint8Array | undefined {
  const octets = Buffer.from(text, 'base64')
  return octets.toString('base64') === text ? new Uint8Array(octets) : undefined
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const part of parts) length += part.length
  const out = new Uint8Array(length)
  let at = 0
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

/** The value itself once its length is what the caller's contract says; a RangeError names the parameter otherwise. */
export function octetsOf(name: string, value: Uint8Array, length: number): Uint8Array {
  if (value.length !== length) throw new RangeError(`${name} has ${value.length} octets, not ${length}`)
  return value
}

export function xor(a: Uint8Array, b: Uint8Array): Uint8Array {
  if (a.length !== b.length) throw new RangeError('xor of unequal lengths')
  const out = new Uint8Array(a.length)
  for (let i = 0; i < out.length; i++) out[i] = (a[i] ?? 0) ^ (b[i] ?? 0)
  return out
}
