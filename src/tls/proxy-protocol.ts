import { plainAddress } from './addresses.ts'
import type { Reading } from './hello.ts'

/** What a front tells of a connection before its first octet. */
export interface ProxyHeader {
  /** `local`: the front speaks for itself, a health check mostly; whatever else it says is not looked at. */
  readonly command: 'local' | 'proxy'
  /** The client's end, for TCP over IPv4 and IPv6. */
  readonly source: { readonly address: string; readonly port: number } | undefined
  readonly alpn: string | undefined
  /** Host name by which the client asked: SNI, where it used TLS. */
  readonly authority: string | undefined
  readonly ssl: ProxySsl | undefined
}

/** How the client and the front speak. */
export interface ProxySsl {
  /** Whether they speak TLS. */
  readonly isTls: boolean
  /** Whether the client showed a certificate, in this connection or in one that it resumes. */
  readonly certificate: 'none' | 'connection' | 'session'
  /** 0: the front verified the certificate, if the client showed one. */
  readonly verify: number
  /** Such as `TLSv1.3`; always there with TLS. */
  readonly version: string | undefined
  /** Subject of the client's certificate. */
  readonly commonName: string | undefined
  /** As the front's TLS library calls it. */
  readonly cipher: string | undefined
  /** Of the front's certificate. */
  readonly signatureAlgorithm: string | undefined
  readonly keyAlgorithm: string | undefined
}

/** The longest header that is read; HAProxy's are of some hundred octets. */
export const MAX_PROXY_HEADER_OCTETS = 4096

/**
 * Reads the header that a front puts before a connection, version 2 only: version 1 tells nothing of TLS.
 * Texts have to be printable ASCII, and what is read of a header may be there once. A wrong checksum is malformed.
 * Reading: where an address family or transport is not one of ours, its address is skipped and the rest is read.
 * @see PROXY protocol clause 2.2 (2020)
 */
export function readProxyHeader(octets: Uint8Array): Reading<ProxyHeader> {
  if (octets.subarray(0, SIGNATURE.length).some((octet, at) => octet !== SIGNATURE[at])) return OTHER
  const [versionAndCommand, familyAndTransport, high, low] = octets.subarray(SIGNATURE.length, FIXED)
  const command = versionAndCommand === undefined ? undefined : COMMANDS[versionAndCommand - VERSION_2]
  if (versionAndCommand !== undefined && command === undefined) return OTHER
  if (!command || familyAndTransport === undefined || high === undefined || low === undefined) {
    return { outcome: 'more', atLeast: FIXED }
  }
  const length = FIXED + high * 256 + low
  if (length > MAX_PROXY_HEADER_OCTETS) return { outcome: 'too-large' }
  if (octets.length < length) return { outcome: 'more', atLeast: length }
  const header = octets.subarray(0, length)
  const value = command === 'local' ? LOCAL : proxied(header, familyAndTransport >> 4, familyAndTransport & 15)
  return value ? { outcome: 'complete', value, octets: length } : OTHER
}

const OTHER = { outcome: 'other' } as const
const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const FIXED = 16
const VERSION_2 = 0x20
const COMMANDS = ['local', 'proxy'] as const
const LOCAL: ProxyHeader = {
  command: 'local',
  source: undefined,
  alpn: undefined,
  authority: undefined,
  ssl: undefined,
}

/** Octets of both addresses and ports: UNSPEC, INET, INET6, UNIX. */
const ADDRESS_OCTETS = [0, 12, 36, 216] as const
const STREAM = 1
const DGRAM = 2

const ALPN = 0x01
const AUTHORITY = 0x02
const CRC32C = 0x03
const SSL = 0x20
const SSL_VERSION = 0x21
const SSL_CN = 0x22
const SSL_CIPHER = 0x23
const SSL_SIG_ALG = 0x24
const SSL_KEY_ALG = 0x25
const CLIENT_SSL = 1
const CLIENT_CERT_CONN = 2
const CLIENT_CERT_SESS = 4

function proxied(header: Uint8Array, family: number, transport: number): ProxyHeader | undefined {
  const addressOctets = ADDRESS_OCTETS[family]
  if (addressOctets === undefined || transport > DGRAM) return undefined
  const address = header.subarray(FIXED, FIXED + addressOctets)
  const tlvs = tlvsOf(header.subarray(FIXED + addressOctets), [ALPN, AUTHORITY, CRC32C, SSL])
  if (address.length < addressOctets || !tlvs || !isIntact(header, tlvs.get(CRC32C))) return undefined
  const texts = textsOf(tlvs, [ALPN, AUTHORITY])
  const ssl = sslOf(tlvs.get(SSL))
  if (!texts || ssl === 'malformed') return undefined
  const source = transport === STREAM ? sourceOf(address) : undefined
  return { command: 'proxy', source, alpn: texts.get(ALPN), authority: texts.get(AUTHORITY), ssl }
}

/** @param pair both addresses, then both ports */
function sourceOf(pair: Uint8Array): ProxyHeader['source'] {
  const { buffer, byteOffset, length } = pair
  const view = new DataView(buffer, byteOffset, length)
  if (length === ADDRESS_OCTETS[1]) return { address: pair.subarray(0, 4).join('.'), port: view.getUint16(8) }
  if (length !== ADDRESS_OCTETS[2]) return undefined
  const groups = Array.from({ length: 8 }, (_, i) => view.getUint16(i * 2).toString(16))
  const address = plainAddress(groups.join(':'))
  return address === undefined ? undefined : { address, port: view.getUint16(32) }
}

function sslOf(value: Uint8Array | undefined): ProxySsl | 'malformed' | undefined {
  if (!value) return undefined
  const [client, ...verify] = value.subarray(0, 5)
  const tlvs = tlvsOf(value.subarray(5), [SSL_VERSION, SSL_CN, SSL_CIPHER, SSL_SIG_ALG, SSL_KEY_ALG])
  if (client === undefined || verify.length < 4 || !tlvs) return 'malformed'
  const texts = textsOf(tlvs, [...tlvs.keys()])
  const isTls = (client & CLIENT_SSL) !== 0
  if (!texts || (isTls && !texts.has(SSL_VERSION))) return 'malformed'
  return {
    isTls,
    certificate: client & CLIENT_CERT_CONN ? 'connection' : client & CLIENT_CERT_SESS ? 'session' : 'none',
    verify: numberOf(verify),
    version: texts.get(SSL_VERSION),
    commonName: texts.get(SSL_CN),
    cipher: texts.get(SSL_CIPHER),
    signatureAlgorithm: texts.get(SSL_SIG_ALG),
    keyAlgorithm: texts.get(SSL_KEY_ALG),
  }
}

/** Those of the types that are read; undefined when a length leads too far, or when one of those types is there twice. */
function tlvsOf(octets: Uint8Array, types: readonly number[]): Map<number, Uint8Array> | undefined {
  const values = new Map<number, Uint8Array>()
  let at = 0
  while (at < octets.length) {
    const [type, high, low] = octets.subarray(at, at + 3)
    if (type === undefined || high === undefined || low === undefined) return undefined
    const end = at + 3 + high * 256 + low
    if (end > octets.length || values.has(type)) return undefined
    if (types.includes(type)) values.set(type, octets.subarray(at + 3, end))
    at = end
  }
  return values
}

/** Undefined when one of those that are there is no text: printable ASCII, not empty. */
function textsOf(tlvs: ReadonlyMap<number, Uint8Array>, types: readonly number[]): Map<number, string> | undefined {
  const texts = new Map<number, string>()
  for (const type of types) {
    const value = tlvs.get(type)
    if (!value) continue
    const text = Buffer.from(value).toString('latin1')
    if (!/^[\x20-\x7e]+$/.test(text)) return undefined
    texts.set(type, text)
  }
  return texts
}

/** @param checksum a view into the header */
function isIntact(header: Uint8Array, checksum: Uint8Array | undefined): boolean {
  if (!checksum) return true
  if (checksum.length !== 4) return false
  const blank = Uint8Array.from(header)
  blank.fill(0, checksum.byteOffset - header.byteOffset, checksum.byteOffset - header.byteOffset + 4)
  return crc32c(blank) === numberOf(checksum)
}

const numberOf = (octets: Iterable<number>): number => [...octets].reduce((value, octet) => value * 256 + octet, 0)

/** The Castagnoli polynomial with its bits reversed; zlib's checksum is another one. */
const POLYNOMIAL = 0x82f63b78

function crc32c(octets: Uint8Array): number {
  let crc = 0xffffffff
  for (const octet of octets) {
    crc ^= octet
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1
  }
  return (crc ^ 0xffffffff) >>> 0
}
