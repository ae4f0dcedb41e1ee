import { CIPHER_SUITES } from './naf-id.ts'

/**
 * The IANA name of a cipher suite as a TLS front tells it: by OpenSSL's name (HAProxy's `ssl_fc_cipher`, nginx's
 * `$ssl_cipher`), by that of IANA, or as a code point, `0xC02F`.
 * @returns undefined for what is not in `CIPHER_SUITES`
 * @see IANA TLS Cipher Suites registry, RFC 8447 clause 8 (2018)
 */
export function ianaSuite(name: string): string | undefined {
  return SUITES.get(/^0x[0-9a-f]{4}$/i.test(name) ? name.toLowerCase() : name)
}

/**
 * OpenSSL's name of a suite, or the one it would have: OpenSSL does not know them all.
 * @param standardName IANA name out of `CIPHER_SUITES`
 * @see IANA TLS Cipher Suites registry, RFC 8447 clause 8 (2018)
 */
export function opensslSuite(standardName: string): string {
  const [, keyExchange, cipher] = /^TLS_(\w+)_WITH_(\w+)$/.exec(standardName) ?? []
  if (keyExchange === undefined || cipher === undefined) return standardName // TLS 1.3: both call it the same
  const isShared = keyExchange.endsWith('PSK')
  const prefix = keyExchange === 'RSA' ? '' : `${keyExchange}-`
  const spelled = cipher
    .replace('CHACHA20_POLY1305_SHA256', 'CHACHA20-POLY1305')
    .replace('CCM_8', 'CCM8')
    .replace(/^AES_(?=\d)/, 'AES')
    // Only with shared keys is CBC in the name.
    .replace(/^3DES_EDE_CBC/, isShared ? '3DES_EDE_CBC' : 'DES_CBC3')
    .replace(/^(AES\d+)_CBC/, isShared ? '$1_CBC' : '$1')
  return `${prefix}${spelled}`.replaceAll('_', '-')
}

const SUITES: ReadonlyMap<string, string> = new Map(
  [...CIPHER_SUITES].flatMap(([iana, code]) =>
    [iana, opensslSuite(iana), `0x${code.toString(16).padStart(4, '0')}`].map((name) => [name, iana] as const),
  ),
)
