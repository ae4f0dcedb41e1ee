import { X509Certificate } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { EpochMs } from '../core/bytes.ts'
import { type Fqdn, parseFqdn } from '../core/identity.ts'
import { fqdnsOf, type Issued, issueAll, type LabPki } from './issue.ts'

/** The folder is not in the state that the call needs; `message` says what to do. */
export class PkiFilesError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'PkiFilesError'
  }
}

/** One certificate of a folder, as `showPki` tells it. */
export interface ShownCertificate {
  readonly file: string
  readonly subject: string
  readonly names: string
  readonly expiresAt: EpochMs
  readonly fingerprint256: string
  /** Signed by `ca.pem` of the same folder. */
  readonly byOurCa: boolean
}

/** File stem of a Zn client's pair. */
export const znClientStem = (name: string): string => `zn-${name}`

/**
 * Writes `STEM.pem` and `STEM.key` for the CA (`ca`), the AP (`ap`), the BSF (`bsf`) and each Zn client (`zn-NAME`).
 * Keys get mode 0600. Each file appears whole or not at all.
 * @throws PkiFilesError when one of them exists and `overwrite` is not asked for: nothing is written then
 */
export async function writePki(directory: string, pki: LabPki, { overwrite = false } = {}): Promise<string[]> {
  await mkdir(directory, { recursive: true })
  const files = filesOf(pki).map((file) => ({ ...file, path: join(directory, file.name) }))
  if (!overwrite) {
    const there = new Set(await readdir(directory))
    const existing = files.filter(({ name }) => there.has(name)).map(({ path }) => path)
    if (existing.length > 0) {
      throw new PkiFilesError(`${existing.join(', ')}: already there; add --force to replace, or use 'certs renew'`)
    }
  }
  for (const { path, text, mode } of files) {
    const fresh = `${path}.new`
    await rm(fresh, { force: true })
    await writeFile(fresh, text, { mode, flag: 'wx' })
    await rename(fresh, path)
  }
  return files.map(({ path }) => path)
}

/**
 * Issues every leaf of the folder anew, for the names it has, from the CA that is there: trust stores stay good.
 * @throws PkiFilesError when the folder holds no complete PKI
 */
export async function renewPki(directory: string, now: EpochMs, validDays: number): Promise<string[]> {
  const ca: Issued = { certificate: await read(directory, 'ca.pem'), key: await read(directory, 'ca.key') }
  const issuer = new X509Certificate(ca.certificate)
  if (Date.parse(issuer.validTo) <= now) {
    throw new PkiFilesError(`${join(directory, 'ca.pem')}: has expired; make a new PKI with 'certs make --force'`)
  }
  const names = {
    ap: fqdnsOf(new X509Certificate(await read(directory, 'ap.pem'))),
    bsf: fqdnsOf(new X509Certificate(await read(directory, 'bsf.pem'))),
    znClients: (await clientNames(directory)).map((name) => ({ name })),
  }
  const pki = await issueAll(ca, {
    names: { naf: names.ap, bsf: names.bsf, znClients: names.znClients },
    now,
    validDays,
  })
  return writePki(directory, pki, { overwrite: true })
}

/** What the certificates of a folder say, by file name. */
export async function showPki(directory: string): Promise<ShownCertificate[]> {
  const files = (await list(directory)).filter((file) => file.endsWith('.pem')).sort()
  if (files.length === 0) throw new PkiFilesError(`${directory}: no certificates; make them with 'certs make'`)
  const certificates = await Promise.all(
    files.map(async (file) => ({ file, certificate: parse(await read(directory, file), join(directory, file)) })),
  )
  const ca = certificates.find(({ file }) => file === 'ca.pem')?.certificate
  return certificates.map(({ file, certificate }) => ({
    file,
    subject: certificate.subject,
    names: certificate.subjectAltName ?? '',
    expiresAt: Date.parse(certificate.validTo),
    fingerprint256: certificate.fingerprint256,
    byOurCa: ca !== undefined && certificate.checkIssued(ca) && certificate.verify(ca.publicKey),
  }))
}

function filesOf(pki: LabPki): { name: string; text: string; mode: number }[] {
  const pairs: [string, Issued][] = [
    ['ca', pki.ca],
    ['ap', pki.ap],
    ['bsf', pki.bsf],
    ...Object.entries(pki.znClients).map(([name, issued]): [string, Issued] => [znClientStem(name), issued]),
  ]
  return pairs.flatMap(([stem, { certificate, key }]) => [
    { name: `${stem}.key`, text: key, mode: 0o600 },
    { name: `${stem}.pem`, text: certificate, mode: 0o644 },
  ])
}

async function clientNames(directory: string): Promise<Fqdn[]> {
  return (await list(directory))
    .map((file) => parseFqdn(/^zn-(.+)\.pem$/.exec(file)?.[1] ?? ''))
    .filter((name) => name !== undefined)
}

async function list(directory: string): Promise<string[]> {
  const isThere = await stat(directory).then(
    (stats) => stats.isDirectory(),
    () => false,
  )
  return isThere ? readdir(directory) : []
}

async function read(directory: string, file: string): Promise<string> {
  const path = join(directory, file)
  try {
    return await readFile(path, 'utf8')
  } catch (cause) {
    throw new PkiFilesError(`${path}: cannot be read; make a PKI with 'certs make --dir ${directory}'`, { cause })
  }
}

function parse(pem: string, path: string): X509Certificate {
  try {
    return new X509Certificate(pem)
  } catch (cause) {
    throw new PkiFilesError(`${path}: holds no certificate`, { cause })
  }
}
