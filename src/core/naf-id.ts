import { concat, fromHex, utf8 } from './bytes.ts'
import type { Fqdn } from './identity.ts'

declare const brand: unique symbol
/** Ua security protocol identifier, 5 octets as 10 lower-case hex digits. */
export type UaProtocolId = string & { readonly [brand]: 'UaProtocolId' }
/** NAF FQDN ‖ Ua security protocol identifier. */
export type NafId = Uint8Array & { readonly [brand]: 'NafId' }

/**
 * HTTP Digest with the B-TID, where no other identifier covers it.
 * @see 3GPP TS 33.220 Annex H.3 (Rel-17)
 */
export const UA_HTTP_DIGEST = '0100000002' as UaProtocolId

/**
 * Shared-key TLS 1.3.
 * @see 3GPP TS 33.220 Annex H.3 (Rel-17)
 */
export const UA_PSK_TLS13 = '0100000007' as UaProtocolId

/**
 * TMPI generation: an identifier in form only, no Ua protocol runs under it.
 * @see 3GPP TS 33.220 Annex H.3 (Rel-17)
 */
export const UA_TMPI = '0100000100' as UaProtocolId

/**
 * @returns the identifier in lower case, or undefined for what is not 10 hex digits
 * @see 3GPP TS 33.220 Annex H (Rel-17)
 */
export function parseUaProtocolId(text: string): UaProtocolId | undefined {
  return /^[0-9a-fA-F]{10}$/.test(text) ? (text.toLowerCase() as UaProtocolId) : undefined
}

/**
 * Names one NAF under one Ua protocol.
 * @param fqdn the host name that the UE addressed, which need not be the one the NAF calls itself
 * @returns UTF-8 of the FQDN ‖ 5 octets
 * @see 3GPP TS 33.220 Annex B.3 (Rel-17)
 */
export function nafIdOf(fqdn: Fqdn, id: UaProtocolId): NafId {
  return concat(utf8(fqdn), fromHex(id, 5)) as NafId
}

/**
 * Identifier of Digest inside a TLS tunnel, and of shared-key TLS 1.2: 01 00 01 ‖ the negotiated cipher suite.
 * Reading: the text names no TLS 1.3 suite; the same rule is applied to 13 01 and its neighbours.
 * @param standardName IANA name, as `tlsSocket.getCipher().standardName` has it
 * @returns undefined for a suite that is not in `CIPHER_SUITES`
 * @see 3GPP TS 33.220 Annex H.3 (Rel-17)
 */
export function uaProtocolIdOfSuite(standardName: string): UaProtocolId | undefined {
  const code = CIPHER_SUITES.get(standardName)
  return code === undefined ? undefined : uaProtocolIdOfSuiteCode(code)
}

/**
 * The same from the code point, for who reads it off a ServerHello.
 * @throws RangeError for what is no code point: two octets
 * @see 3GPP TS 33.220 Annex H.3 (Rel-17)
 */
export function uaProtocolIdOfSuiteCode(code: number): UaProtocolId {
  if (!Number.isInteger(code) || code < 0 || code > 0xffff) throw new RangeError(`cipher suite ${code}`)
  return `010001${code.toString(16).padStart(4, '0')}` as UaProtocolId
}

/**
 * Cipher suites that a UE and a NAF may meet in, from today's to the oldest: IANA name to code point.
 * @see IANA TLS Cipher Suites registry, RFC 8447 clause 8 (2018)
 */
export const CIPHER_SUITES: ReadonlyMap<string, number> = new Map([
  // TLS 1.3
  ['TLS_AES_128_GCM_SHA256', 0x1301],
  ['TLS_AES_256_GCM_SHA384', 0x1302],
  ['TLS_CHACHA20_POLY1305_SHA256', 0x1303],
  ['TLS_AES_128_CCM_SHA256', 0x1304],
  ['TLS_AES_128_CCM_8_SHA256', 0x1305],
  // certificate, ECDHE
  ['TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256', 0xc02b],
  ['TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384', 0xc02c],
  ['TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256', 0xc02f],
  ['TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384', 0xc030],
  ['TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256', 0xcca8],
  ['TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256', 0xcca9],
  ['TLS_ECDHE_ECDSA_WITH_AES_128_CCM', 0xc0ac],
  ['TLS_ECDHE_ECDSA_WITH_AES_256_CCM', 0xc0ad],
  ['TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8', 0xc0ae],
  ['TLS_ECDHE_ECDSA_WITH_AES_256_CCM_8', 0xc0af],
  ['TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA', 0xc009],
  ['TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA', 0xc00a],
  ['TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA', 0xc013],
  ['TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA', 0xc014],
  ['TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256', 0xc023],
  ['TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384', 0xc024],
  ['TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256', 0xc027],
  ['TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384', 0xc028],
  // certificate, DHE
  ['TLS_DHE_RSA_WITH_AES_128_GCM_SHA256', 0x009e],
  ['TLS_DHE_RSA_WITH_AES_256_GCM_SHA384', 0x009f],
  ['TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256', 0xccaa],
  ['TLS_DHE_RSA_WITH_AES_128_CBC_SHA', 0x0033],
  ['TLS_DHE_RSA_WITH_AES_256_CBC_SHA', 0x0039],
  ['TLS_DHE_RSA_WITH_AES_128_CBC_SHA256', 0x0067],
  ['TLS_DHE_RSA_WITH_AES_256_CBC_SHA256', 0x006b],
  // certificate, RSA key exchange
  ['TLS_RSA_WITH_3DES_EDE_CBC_SHA', 0x000a],
  ['TLS_RSA_WITH_AES_128_CBC_SHA', 0x002f],
  ['TLS_RSA_WITH_AES_256_CBC_SHA', 0x0035],
  ['TLS_RSA_WITH_AES_128_CBC_SHA256', 0x003c],
  ['TLS_RSA_WITH_AES_256_CBC_SHA256', 0x003d],
  ['TLS_RSA_WITH_AES_128_GCM_SHA256', 0x009c],
  ['TLS_RSA_WITH_AES_256_GCM_SHA384', 0x009d],
  // shared key
  ['TLS_PSK_WITH_3DES_EDE_CBC_SHA', 0x008b],
  ['TLS_PSK_WITH_AES_128_CBC_SHA', 0x008c],
  ['TLS_PSK_WITH_AES_256_CBC_SHA', 0x008d],
  ['TLS_PSK_WITH_AES_128_CBC_SHA256', 0x00ae],
  ['TLS_PSK_WITH_AES_256_CBC_SHA384', 0x00af],
  ['TLS_PSK_WITH_AES_128_GCM_SHA256', 0x00a8],
  ['TLS_PSK_WITH_AES_256_GCM_SHA384', 0x00a9],
  ['TLS_PSK_WITH_CHACHA20_POLY1305_SHA256', 0xccab],
  ['TLS_DHE_PSK_WITH_AES_128_CBC_SHA', 0x0090],
  ['TLS_DHE_PSK_WITH_AES_256_CBC_SHA', 0x0091],
  ['TLS_DHE_PSK_WITH_AES_128_CBC_SHA256', 0x00b2],
  ['TLS_DHE_PSK_WITH_AES_256_CBC_SHA384', 0x00b3],
  ['TLS_DHE_PSK_WITH_AES_128_GCM_SHA256', 0x00aa],
  ['TLS_DHE_PSK_WITH_AES_256_GCM_SHA384', 0x00ab],
  ['TLS_DHE_PSK_WITH_CHACHA20_POLY1305_SHA256', 0xccad],
  ['TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA', 0xc035],
  ['TLS_ECDHE_PSK_WITH_AES_256_CBC_SHA', 0xc036],
  ['TLS_ECDHE_PSK_WITH_AES_128_CBC_SHA256', 0xc037],
  ['TLS_ECDHE_PSK_WITH_AES_256_CBC_SHA384', 0xc038],
  ['TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256', 0xccac],
  ['TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256', 0xd001],
  ['TLS_ECDHE_PSK_WITH_AES_256_GCM_SHA384', 0xd002],
  ['TLS_ECDHE_PSK_WITH_AES_128_CCM_SHA256', 0xd005],
])
