import tls from 'node:tls'
import { ConfigError } from '../config/config-error.ts'
import { readCrls } from './crl.ts'
import type { Expiry } from './expiry.ts'
import { type Credential, readCaFile, readCredential, type TlsFiles, type Warn } from './files.ts'
import type { ClientTrust } from './listener.ts'
import { readStaple } from './ocsp.ts'

/** A certificate, its key, and what its CA says of it. An empty path is none. */
export interface CertificateFiles extends TlsFiles {
  /** OCSP response in DER. */
  readonly ocspFile?: string
}

/** All files of a listener, by absolute path. An empty path is none. */
export interface ListenerFiles {
  /** At least one; the first is for clients that do not say which name they want. */
  readonly certificates: readonly CertificateFiles[]
  /** PEM; with it client certificates are asked for. */
  readonly clientCaFile?: string
  /** PEM; one list or more for each of those CAs. */
  readonly crlFile?: string
}

export interface ListenerCertificate extends Credential {
  readonly certificateFile: string
  readonly staple: { readonly response: Buffer; readonly expiresAt: number | undefined } | undefined
}

/** What the files said at one time, and that it goes together. */
export interface LoadedFiles {
  readonly certificates: readonly [ListenerCertificate, ...ListenerCertificate[]]
  readonly trust: ClientTrust | undefined
  readonly expiries: readonly Expiry[]
  /** By file, so as to tell what changed. */
  readonly contents: ReadonlyMap<string, Buffer>
}

/** Every path there is, each once. */
export function pathsOf({ certificates, clientCaFile = '', crlFile = '' }: ListenerFiles): string[] {
  const ofCertificates = certificates.flatMap(({ certificateFile, keyFile, ocspFile = '' }) => [
    certificateFile,
    keyFile,
    ocspFile,
  ])
  return [...new Set([...ofCertificates, clientCaFile, crlFile])].filter((file) => file !== '')
}

/**
 * Reads all files of a listener and makes sure of what can be made sure of.
 * @throws ConfigError naming the file that has to be mended
 * @throws RangeError without any certificate
 */
export function readListenerFiles({ certificates, clientCaFile = '', crlFile = '' }: ListenerFiles, warn: Warn) {
  const contents = new Map<string, Buffer>()
  const expiries: Expiry[] = []
  const note = (kind: Expiry['kind'], file: string, content: Buffer, expiresAt: number | undefined) => {
    contents.set(file, content)
    if (expiresAt !== undefined) expiries.push({ file, kind, expiresAt })
  }
  const [first, ...more] = certificates.map((files): ListenerCertificate => {
    const { certificateFile, keyFile, ocspFile = '' } = files
    const credential = readCredential(files, warn)
    note('certificate', certificateFile, credential.chain, credential.expiresAt)
    note('certificate', keyFile, credential.key, undefined)
    const read = ocspFile === '' ? undefined : readStaple(ocspFile, credential.certificate, warn)
    if (read) note('ocsp', ocspFile, read.content, read.expiresAt)
    const staple = read?.response && { response: read.response, expiresAt: read.expiresAt }
    return { ...credential, certificateFile, staple }
  })
  if (!first) throw new RangeError('a listener needs a certificate')
  const trust = clientCaFile === '' ? undefined : readTrust(clientCaFile, crlFile, note, warn)
  if (!trust && crlFile !== '') throw new ConfigError({ file: crlFile }, 'revokes nothing without a CA of clients')
  return { certificates: [first, ...more], trust, expiries, contents } satisfies LoadedFiles
}

/** Files whose content is not what it was. */
export function changedFiles(before: LoadedFiles, after: LoadedFiles): string[] {
  return [...after.contents].flatMap(([file, content]) => (before.contents.get(file)?.equals(content) ? [] : [file]))
}

function readTrust(
  clientCaFile: string,
  crlFile: string,
  note: (kind: Expiry['kind'], file: string, content: Buffer, expiresAt: number | undefined) => void,
  warn: Warn,
): ClientTrust {
  const { pem, certificates, expiresAt } = readCaFile(clientCaFile)
  note('ca', clientCaFile, pem, expiresAt)
  if (crlFile === '') return { ca: pem }
  const { pems, content, expiresAt: end } = readCrls(crlFile, certificates, warn)
  note('crl', crlFile, content, end)
  try {
    tls.createSecureContext({ crl: [...pems] })
  } catch (cause) {
    throw new ConfigError({ file: crlFile }, 'holds a certificate revocation list that cannot be parsed', { cause })
  }
  return { ca: pem, crls: pems }
}
