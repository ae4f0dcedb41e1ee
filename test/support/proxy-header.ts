/** Octets of a PROXY header, right or wrong as asked. */
export const be = (value: number, size: number): Buffer =>
  Buffer.from(value.toString(16).padStart(size * 2, '0'), 'hex')

export const tlv = (type: number, ...value: readonly (Uint8Array | string)[]): Buffer => {
  const content = Buffer.concat(value.map((part) => Buffer.from(part)))
  return Buffer.concat([be(type, 1), be(content.length, 2), content])
}

/** @param client bits; `verify` 0 as if a certificate had been verified */
export const sslTlv = (client: number, verify: number, ...subs: readonly Uint8Array[]): Buffer =>
  tlv(0x20, be(client, 1), be(verify, 4), ...subs)

const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')

/** @param command 0x21: PROXY of version 2; `family` 0x11: TCP over IPv4 */
export function proxyHeader(command: number, family: number, ...rest: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(rest)
  return Buffer.concat([SIGNATURE, be(command, 1), be(family, 1), be(content.length, 2), content])
}

export const IPV4_ENDS = Buffer.concat([
  Buffer.from([192, 0, 2, 7]),
  Buffer.from([192, 0, 2, 1]),
  be(51_234, 2),
  be(443, 2),
])

export const tcp4 = (...tlvs: readonly Uint8Array[]): Buffer => proxyHeader(0x21, 0x11, IPV4_ENDS, ...tlvs)

/** The same header with its checksum behind it: a table of bytes, unlike the parser's. */
export function withChecksum(make: (checksum: Uint8Array) => Buffer): Buffer {
  return make(tlv(3, be(crc32c(make(tlv(3, be(0, 4)))), 4)))
}

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let entry = n
  for (let bit = 0; bit < 8; bit++) entry = entry & 1 ? (entry >>> 1) ^ 0x82f63b78 : entry >>> 1
  return entry
})

export function crc32c(octets: Uint8Array): number {
  return (octets.reduce((crc, octet) => (crc >>> 8) ^ (TABLE[(crc ^ octet) & 255] ?? 0), 0xffffffff) ^ 0xffffffff) >>> 0
}
