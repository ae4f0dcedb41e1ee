import { constants } from 'node:crypto'
import type { SecureContextOptions, TlsOptions } from 'node:tls'
import { type Credential, readCa, readCredential, type TlsFiles, type Warn } from './files.ts'

/** `android`: the suites that AOSP lists for GBA; `3gpp`: every AEAD suite with ephemeral keys. */
export type TlsProfile = '3gpp' | 'android'

/**
 * Suites in our order: it is the same for every connection of a listener, since a UE may derive its key from the suite
 * of the connection before (it is part of the NAF_Id). AEAD with ephemeral keys only.
 * @see 3GPP TS 33.210 clause 6.2.1 (Rel-17)
 */
export const CIPHER_SUITES_OFFERED: readonly string[] = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
]

/** Those and the ones with finite-field keys that TS 33.210 also names; the last, since they cost most. */
const SUITES_OF: Readonly<Record<TlsProfile, readonly string[]>> = {
  android: CIPHER_SUITES_OFFERED,
  '3gpp': [...CIPHER_SUITES_OFFERED, 'DHE-RSA-AES128-GCM-SHA256', 'DHE-RSA-AES256-GCM-SHA384'],
}

const SIGNATURE_ALGORITHMS = [
  'ecdsa_secp256r1_sha256',
  'ecdsa_secp384r1_sha384',
  'ed25519',
  'rsa_pss_rsae_sha256',
  'rsa_pss_rsae_sha384',
  'rsa_pss_rsae_sha512',
  'rsa_pkcs1_sha256',
  'rsa_pkcs1_sha384',
  'rsa_pkcs1_sha512',
]

const PROFILE = {
  minVersion: 'TLSv1.2',
  maxVersion: 'TLSv1.3',
  ciphers: CIPHER_SUITES_OFFERED.join(':'),
  ecdhCurve: 'X25519:P-256:P-384',
  sigalgs: SIGNATURE_ALGORITHMS.join(':'),
} as const satisfies SecureContextOptions

export const HANDSHAKE_TIMEOUT_MS = 10_000
const SESSION_TIMEOUT_S = 3600

const silent: Warn = () => {}

/** Who may show a client certificate. */
export interface ClientTrust {
  readonly ca: Buffer
  /** Each in PEM; undefined: nothing is ever revoked. With lists there has to be one of each CA. */
  readonly crls?: readonly string[] | undefined
}

export interface ListenerOptions {
  readonly profile?: TlsProfile
  /** How long a session resumes; at most as long as a key is good. */
  readonly sessionTimeoutS?: number
  /** Client certificates are asked for, and judged later: a UE that has none is heard as before. */
  readonly trust?: ClientTrust | undefined
}

/**
 * Options of an HTTPS server for UEs: TLS 1.2 and 1.3, no renegotiation, HTTP/1.1. Sessions resume for an hour, which
 * saves UEs that connect once per request most of the handshake; a session is never taken for an authenticated UE.
 * @throws ConfigError naming the file that has to be mended
 * @see 3GPP TS 33.222 clause 5.3 (Rel-17)
 */
export function serverTlsOptions(files: TlsFiles, warn: Warn = silent, profile: TlsProfile = 'android'): TlsOptions {
  return listenerTlsOptions([readCredential(files, warn)], { profile })
}

/**
 * The same for certificates that were read, each with a key of another type; the client's signature algorithms choose.
 * Where client certificates are asked for, nothing resumes: OpenSSL would repeat what it once said of the certificate,
 * and nobody would have looked at its end or at the list of revoked ones again.
 * @see 3GPP TS 33.222 clause 5.3 (Rel-17)
 */
export function listenerTlsOptions(
  credentials: readonly Pick<Credential, 'chain' | 'key'>[],
  { profile = 'android', sessionTimeoutS = SESSION_TIMEOUT_S, trust }: ListenerOptions = {},
): TlsOptions {
  const [only, ...more] = credentials
  return {
    ...PROFILE,
    ciphers: SUITES_OF[profile].join(':'),
    ...(profile === '3gpp' && { dhparam: 'auto' as const }),
    cert: only && more.length === 0 ? only.chain : credentials.map(({ chain }) => chain),
    key: only && more.length === 0 ? only.key : credentials.map(({ key }) => key),
    honorCipherOrder: true,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION | (trust ? constants.SSL_OP_NO_TICKET : 0),
    ALPNProtocols: ['http/1.1'],
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    sessionTimeout: sessionTimeoutS,
    ...(trust && {
      ca: trust.ca,
      ...(trust.crls && { crl: [...trust.crls] }),
      requestCert: true,
      rejectUnauthorized: false,
    }),
  }
}

/**
 * Options of an HTTPS server whose clients need a certificate of a listed CA. Nothing resumes: each connection proves
 * its certificate anew, so that an entry taken off the list is off.
 * @throws ConfigError naming the file that has to be mended
 * @see 3GPP TS 33.210 clause 6.2.1 (Rel-17)
 */
export function mutualTlsOptions(files: TlsFiles & { readonly clientCaFile: string }, warn: Warn = silent): TlsOptions {
  return {
    ...serverTlsOptions(files, warn),
    ca: readCa(files.clientCaFile),
    requestCert: true,
    rejectUnauthorized: true,
    secureOptions: constants.SSL_OP_NO_RENEGOTIATION | constants.SSL_OP_NO_TICKET,
  }
}

/**
 * Options of a client that shows a certificate and trusts the CAs of one file only.
 * @throws ConfigError naming the file that has to be mended
 * @see 3GPP TS 33.210 clause 6.2.1 (Rel-17)
 */
export function clientTlsOptions(
  files: TlsFiles & { readonly caFile: string },
  warn: Warn = silent,
): SecureContextOptions & { ca: Buffer; rejectUnauthorized: true } {
  const { chain, key } = readCredential(files, warn)
  return { ...PROFILE, cert: chain, key, ca: readCa(files.caFile), rejectUnauthorized: true }
}

/**
 * Options of a client of an application server: the system's CAs or those of a file, and a certificate where there is one.
 * @throws ConfigError naming the file that has to be mended
 * @see 3GPP TS 33.210 clause 6.2.1 (Rel-17)
 */
export function upstreamTlsOptions(
  files: Partial<TlsFiles> & { readonly caFile?: string },
  warn: Warn = silent,
): SecureContextOptions {
  const { caFile = '', certificateFile = '', keyFile = '' } = files
  const credential = certificateFile === '' ? undefined : readCredential({ certificateFile, keyFile }, warn)
  return {
    ...PROFILE,
    ...(caFile !== '' && { ca: readCa(caFile) }),
    ...(credential && { cert: credential.chain, key: credential.key }),
  }
}
