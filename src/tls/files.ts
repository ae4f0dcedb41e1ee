import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { readFileSync, statSync } from 'node:fs'
import { ConfigError } from '../config/config-error.ts'
import type { EpochMs } from '../core/bytes.ts'

/** PEM files of one end of a TLS connection, by absolute path. */
export interface TlsFiles {
  readonly certificateFile: string
  readonly keyFile: string
}

/** Certificate (first of `chain`) and its private key, known to belong together. */
export interface Credential {
  readonly chain: Buffer
  readonly key: Buffer
  readonly certificate: X509Certificate
  /** When the first of `chain` ends to be valid. */
  readonly expiresAt: EpochMs
}

/** CAs of one file, all that it holds. */
export interface CaFile {
  readonly pem: Buffer
  readonly certificates: readonly X509Certificate[]
  readonly expiresAt: EpochMs
}

/** Told what is unwise but works: the file and a sentence. */
export type Warn = (file: string, detail: string) => void

/**
 * Reads certificate and key and makes sure that one fits the other, and that the key is not everybody's.
 * @throws ConfigError naming the file that has to be mended
 */
export function readCredential({ certificateFile, keyFile }: TlsFiles, warn: Warn): Credential {
  const chain = readFile(certificateFile)
  const key = readFile(keyFile)
  const { mode } = statSync(keyFile)
  if (mode & 0o007) throw new ConfigError({ file: keyFile }, `is open to every user; run: chmod 600 ${keyFile}`)
  // As where a group holds keys: Debian's ssl-cert, a volume of Kubernetes.
  if (mode & 0o070) warn(keyFile, `is open to its group; run: chmod 600 ${keyFile}`)
  const certificates = parseCertificates(chain, certificateFile)
  const [certificate] = certificates
  if (!certificate.checkPrivateKey(parseKey(key, keyFile))) {
    throw new ConfigError({ file: keyFile }, `is not the private key of ${certificateFile}`)
  }
  return { chain, key, certificate, expiresAt: firstEnd(certificates) }
}

/** When the first certificate of a file to end does so. @throws ConfigError naming the file */
export function certificateEnd(file: string): EpochMs {
  return firstEnd(parseCertificates(readFile(file), file))
}

/** @throws ConfigError naming the file */
export function readCa(file: string): Buffer {
  return readCaFile(file).pem
}

/** @throws ConfigError naming the file */
export function readCaFile(file: string): CaFile {
  const pem = readFile(file)
  const certificates = parseCertificates(pem, file)
  for (const certificate of certificates) {
    if (!certificate.ca) throw new ConfigError({ file }, `holds a certificate that is no CA: ${certificate.subject}`)
  }
  return { pem, certificates, expiresAt: firstEnd(certificates) }
}

/** @throws ConfigError naming the file */
export function readFile(file: string): Buffer {
  try {
    return readFileSync(file)
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'unknown'
    throw new ConfigError({ file }, `cannot be read (${code})`, { cause })
  }
}

function parseCertificates(pem: Buffer, file: string): [X509Certificate, ...X509Certificate[]] {
  const blocks = pem.toString('latin1').match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
  try {
    const [first, ...more] = blocks.map((block) => new X509Certificate(block))
    if (first) return [first, ...more]
  } catch (cause) {
    throw new ConfigError({ file }, 'holds a certificate that cannot be parsed', { cause })
  }
  throw new ConfigError({ file }, 'holds no PEM certificate')
}

function firstEnd(certificates: readonly X509Certificate[]): EpochMs {
  return Math.min(...certificates.map(({ validTo }) => Date.parse(validTo)))
}

function parseKey(pem: Buffer, file: string): KeyObject {
  try {
    return createPrivateKey(pem)
  } catch (cause) {
    throw new ConfigError({ file }, 'holds no PEM private key without a passphrase', { cause })
  }
}
