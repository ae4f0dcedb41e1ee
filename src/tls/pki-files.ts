import { X509Certificate } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { EpochMs } from '../core/bytes.ts'
import { parseFqdn } from '../core/identity.ts'
import {
  fqdnsOf,
  type Issued,
  issueAll,
  issueLeaf,
  keyTypeOf,
  type LabPki,
  type SubscriberNames,
  sansOf,
} from './issue.ts'
import { formatRevocationList, parseRevocationList, type RevocationList } from './revoke.ts'

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
  /** When `ca.crl` says that it was taken back. */
  readonly revokedAt?: EpochMs
}

/** File stem of a Zn client's pair. */
export const znClientStem = (name: string): string => `zn-${name}`

/** File stem of a subscriber's pair. */
export const subscriberStem = (name: string): string => `sub-${name}`

/** @returns the name, or undefined for what is no part of a file's name */
export const parseSubscriberName = (text: string): string | undefined =>
  /^[a-z0-9](?:[a-z0-9_.-]{0,62}[a-z0-9])?$/.test(text) ? text : undefined

const CRL = 'ca.crl'
const DAY_MS = 86_400_000

/**
 * Writes `STEM.pem` and `STEM.key` for the CA (`ca`), the AP (`ap`), the BSF (`bsf`), each Zn client (`zn-NAME`) and
 * each subscriber (`sub-NAME`). Keys get mode 0600. Each file appears whole or not at all.
 * @throws PkiFilesError when one of them exists and `overwrite` is not asked for: nothing is written then
 */
export async function writePki(directory: string, pki: LabPki, { overwrite = false } = {}): Promise<string[]> {
  return writeFiles(directory, filesOf(pki), overwrite)
}

/**
 * Adds certificates for subscribers to a folder, from the CA that is there.
 * @throws PkiFilesError as `writePki`, and when the folder has no CA of ours
 */
export async function addSubscribers(
  directory: string,
  subscribers: readonly SubscriberNames[],
  { now, validDays, overwrite = false }: { now: EpochMs; validDays: number; overwrite?: boolean },
): Promise<string[]> {
  const ca = await readCa(directory, now)
  const pairs = subscribers.map(async (subscriber): Promise<[string, Issued]> => {
    const issued = await issueLeaf(ca, { use: 'subscriber', ...subscriber }, now, validDays)
    return [subscriberStem(subscriber.name), issued]
  })
  return writeFiles(directory, (await Promise.all(pairs)).flatMap(pairFiles), overwrite)
}

/**
 * Writes `ca.crl` anew: what it revoked stays revoked, and the certificate of `file` becomes so where there is one.
 * @param file  a certificate of the CA in the folder; looked for there first
 * @throws PkiFilesError when the folder has no CA of ours, or the file no certificate of it
 */
export async function writeRevocations(
  directory: string,
  { now, validDays, file, forget = false }: { now: EpochMs; validDays: number; file?: string; forget?: boolean },
): Promise<string[]> {
  const ca = await readCa(directory, now)
  const last = forget ? undefined : await readRevocations(directory, ca)
  const revoked = new Map(last?.revoked)
  if (file !== undefined) {
    const { serialNumber } = await readLeaf(directory, file, ca)
    if (!revoked.has(serialNumber)) revoked.set(serialNumber, now)
  }
  const list = { number: (last?.number ?? 0) + 1, thisUpdate: now, nextUpdate: now + validDays * DAY_MS, revoked }
  return writeFiles(directory, [{ name: CRL, text: formatRevocationList(ca, list), mode: 0o644 }], true)
}

/**
 * Issues every leaf of the folder anew, for the names it has and with a key of the type it has, from the CA that is
 * there: trust stores stay good. Clients that were revoked, and subscribers of another CA, are left as they are. The
 * list of revoked ones is made fresh where there is one.
 * @throws PkiFilesError when the folder holds no complete PKI
 */
export async function renewPki(directory: string, now: EpochMs, validDays: number): Promise<string[]> {
  const ca = await readCa(directory, now)
  const revoked = (await readRevocations(directory, ca))?.revoked
  const certificateOf = async (file: string) => parse(await read(directory, file), join(directory, file))
  const znClients = []
  for (const { name, file } of await named(directory, /^zn-(.+)\.pem$/, parseFqdn)) {
    const certificate = await certificateOf(file)
    if (!revoked?.has(certificate.serialNumber)) znClients.push({ name, keyType: keyTypeOf(certificate) })
  }
  const subscribers = []
  const issuer = new X509Certificate(ca.certificate)
  for (const { name, file } of await named(directory, /^sub-(.+)\.pem$/, parseSubscriberName)) {
    const certificate = await certificateOf(file)
    const sans = sansOf(certificate)
    const isOurs = isIssuedBy(certificate, issuer) && sans.length > 0
    if (isOurs && !revoked?.has(certificate.serialNumber)) {
      subscribers.push({ name, sans, keyType: keyTypeOf(certificate) })
    }
  }
  const [ap, bsf] = [await certificateOf('ap.pem'), await certificateOf('bsf.pem')]
  const serverKeyTypes = { ap: keyTypeOf(ap), bsf: keyTypeOf(bsf) }
  const names = { naf: fqdnsOf(ap), bsf: fqdnsOf(bsf), serverKeyTypes, znClients, subscribers }
  const pki = await issueAll(ca, { names, now, validDays })
  const written = await writePki(directory, pki, { overwrite: true })
  return revoked ? [...written, ...(await writeRevocations(directory, { now, validDays }))] : written
}

/** What the certificates of a folder say, by file name. */
export async function showPki(directory: string): Promise<ShownCertificate[]> {
  const files = (await list(directory)).filter((file) => file.endsWith('.pem')).sort()
  if (files.length === 0) throw new PkiFilesError(`${directory}: no certificates; make them with 'certs make'`)
  const certificates = await Promise.all(
    files.map(async (file) => ({ file, certificate: parse(await read(directory, file), join(directory, file)) })),
  )
  const ca = certificates.find(({ file }) => file === 'ca.pem')?.certificate
  const revoked = (await showRevocations(directory))?.revoked
  return certificates.map(({ file, certificate }) => ({
    file,
    subject: certificate.subject,
    names: certificate.subjectAltName ?? '',
    expiresAt: Date.parse(certificate.validTo),
    fingerprint256: certificate.fingerprint256,
    byOurCa: ca !== undefined && isIssuedBy(certificate, ca),
    ...revokedAtOf(ca && isIssuedBy(certificate, ca) ? revoked?.get(certificate.serialNumber) : undefined),
  }))
}

/** Whether there is a list, whoever made it. */
export const hasRevocations = async (directory: string): Promise<boolean> => (await list(directory)).includes(CRL)

/** The list of the folder; undefined where there is none. */
export async function showRevocations(directory: string): Promise<RevocationList | undefined> {
  const certificate = await readFile(join(directory, 'ca.pem'), 'utf8').catch(() => undefined)
  return certificate === undefined ? undefined : readRevocations(directory, { certificate })
}

const revokedAtOf = (at: EpochMs | undefined) => (at === undefined ? {} : { revokedAt: at })

const isIssuedBy = (certificate: X509Certificate, ca: X509Certificate): boolean =>
  certificate.checkIssued(ca) && certificate.verify(ca.publicKey)

interface NewFile {
  readonly name: string
  readonly text: string
  readonly mode: number
}

async function writeFiles(directory: string, files: readonly NewFile[], overwrite: boolean): Promise<string[]> {
  await mkdir(directory, { recursive: true })
  if (!overwrite) {
    const there = new Set(await readdir(directory))
    const existing = files.filter(({ name }) => there.has(name)).map(({ name }) => join(directory, name))
    if (existing.length > 0) {
      throw new PkiFilesError(`${existing.join(', ')}: already there; add --force to replace, or use 'certs renew'`)
    }
  }
  for (const { name, text, mode } of files) {
    const fresh = join(directory, `${name}.new`)
    await rm(fresh, { force: true })
    await writeFile(fresh, text, { mode, flag: 'wx' })
    await rename(fresh, join(directory, name))
  }
  return files.map(({ name }) => join(directory, name))
}

function filesOf(pki: LabPki): NewFile[] {
  const stemmed = (issued: Readonly<Record<string, Issued>>, stemOf: (name: string) => string) =>
    Object.entries(issued).map(([name, one]): [string, Issued] => [stemOf(name), one])
  const pairs: [string, Issued][] = [
    ['ca', pki.ca],
    ['ap', pki.ap],
    ['bsf', pki.bsf],
    ...stemmed(pki.znClients, znClientStem),
    ...stemmed(pki.subscribers, subscriberStem),
  ]
  return pairs.flatMap(pairFiles)
}

const pairFiles = ([stem, { certificate, key }]: readonly [string, Issued]): NewFile[] => [
  { name: `${stem}.key`, text: key, mode: 0o600 },
  { name: `${stem}.pem`, text: certificate, mode: 0o644 },
]

async function named<Name>(directory: string, pattern: RegExp, parseName: (text: string) => Name | undefined) {
  return (await list(directory)).flatMap((file) => {
    const name = parseName(pattern.exec(file)?.[1] ?? '')
    return name === undefined ? [] : [{ name, file }]
  })
}

/** @throws PkiFilesError for a CA that has expired, or that signs with another kind of key than ours */
async function readCa(directory: string, now: EpochMs): Promise<Issued> {
  const ca: Issued = { certificate: await read(directory, 'ca.pem'), key: await read(directory, 'ca.key') }
  const path = join(directory, 'ca.pem')
  const certificate = parse(ca.certificate, path)
  if (Date.parse(certificate.validTo) <= now) {
    throw new PkiFilesError(`${path}: has expired; make a new PKI with 'certs make --force'`)
  }
  if (certificate.publicKey.asymmetricKeyType !== 'rsa') throw new PkiFilesError(`${path}: is no CA made here`)
  return ca
}

async function readRevocations(
  directory: string,
  ca: Pick<Issued, 'certificate'>,
): Promise<RevocationList | undefined> {
  if (!(await hasRevocations(directory))) return undefined
  const found = parseRevocationList(await read(directory, CRL), ca.certificate)
  if (found) return found
  throw new PkiFilesError(`${join(directory, CRL)}: is no list of ca.pem in this folder; remove it to begin anew`)
}

/** A certificate that the CA issued, by its name in the folder or by its path. */
async function readLeaf(directory: string, file: string, ca: Issued): Promise<X509Certificate> {
  const path = (await list(directory)).includes(file) ? join(directory, file) : file
  const pem = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new PkiFilesError(`${path}: cannot be read`, { cause })
  })
  const certificate = parse(pem, path)
  const issuer = new X509Certificate(ca.certificate)
  if (certificate.fingerprint256 === issuer.fingerprint256) throw new PkiFilesError(`${path}: is the CA itself`)
  if (!isIssuedBy(certificate, issuer)) throw new PkiFilesError(`${path}: is of another CA`)
  return certificate
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
