/** Instants are epoch milliseconds everywhere inside. */
export type EpochMs = number

const encoder = new TextEncoder()

export const utf8 = (text: string): Uint8Array => encoder.encode(text)

/** Fails on anything that is not UTF-8, overlong forms included. */
export const fromUtf8 = (octets: Uint8Array): string => new TextDecoder('utf-8', { fatal: true }).decode(octets)

export const toHex = (octets: Uint8Array): string => Buffer.from(octets).toString('hex')

/** @throws RangeError unless the text is an even number of hex digits (and `length` octets, where given) */
export function fromHex(text: string, length?: number): Uint8Array {
  if (!/^(?:[0-9a-fA-F]{2})*$/.test(text)) throw new RangeError('not hexadecimal')
  const octets = new Uint8Array(Buffer.from(text, 'hex'))
  return length === undefined ? octets : octetsOf('hex value', octets, length)
}

export const toBase64 = (octets: Uint8Array): string => Buffer.from(octets).toString('base64')

/** The octets of a canonical base64 text (RFC 4648 §4, padded), or undefined: what re-encodes differently is refused. */
export function fromBase64(text: string): Uint8Array | undefined {
  const octets = Buffer.from(text, 'base64')
  return octets.toString('base64') === text ? new Uint8Array(octets) : undefined
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
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
  return a.map((octet, i) => octet ^ (b[i] ?? 0))
}
