import { generateKeyPair, randomBytes, X509Certificate } from 'node:crypto'
import { promisify } from 'node:util'
import forge from 'node-forge'
import type { EpochMs } from '../core/bytes.ts'
import { type Fqdn, parseFqdn } from '../core/identity.ts'

/** Certificate and private key, both PEM. */
export interface Issued {
  readonly certificate: string
  readonly key: string
}

/** Who gets a certificate. */
export interface PkiNames {
  /** Host names of the BSF, for its Zn server. */
  readonly bsf: readonly Fqdn[]
  /** NAF host names, all in the one certificate of the AP. */
  readonly naf: readonly Fqdn[]
  /** NAFs that ask over Zn; the name is the dNSName in the client certificate. */
  readonly znClients: readonly { readonly name: Fqdn }[]
}

/** A CA for tests, and what it issued. */
export interface LabPki {
  readonly ca: Issued
  readonly ap: Issued
  readonly bsf: Issued
  /** By the name of the client. */
  readonly znClients: Readonly<Record<string, Issued>>
}

/** Why a certificate exists; its file is called after it. */
export type Leaf =
  | { readonly use: 'server'; readonly name: 'ap' | 'bsf'; readonly fqdns: readonly Fqdn[] }
  | { readonly use: 'client'; readonly name: Fqdn }

const DAY_MS = 86_400_000
/** Clocks of handsets and lab machines differ. */
const BACKDATED_MS = 3_600_000
const CA_VALID_DAYS = 3650

/**
 * Makes a fresh CA with an AP server certificate, a BSF server certificate and client certificates for Zn.
 * Test material: RSA with 2048 bits, since node-forge signs nothing else; keys come from node:crypto.
 * @param validDays of the leaves; the CA is good for ten years or as long as they are
 */
export async function makeLabPki(options: { names: PkiNames; now: EpochMs; validDays: number }): Promise<LabPki> {
  const ca = await makeCa(options.now, Math.max(CA_VALID_DAYS, options.validDays + 1))
  return issueAll(ca, options)
}

/** The same leaves, anew, from a CA that is kept. Its files are our own; nothing of a peer is parsed here. */
export async function issueAll(
  ca: Issued,
  { names, now, validDays }: { names: PkiNames; now: EpochMs; validDays: number },
): Promise<LabPki> {
  const issue = (leaf: Leaf) => issueLeaf(ca, leaf, now, validDays)
  const [ap, bsf, ...clients] = await Promise.all([
    issue({ use: 'server', name: 'ap', fqdns: names.naf }),
    issue({ use: 'server', name: 'bsf', fqdns: names.bsf }),
    ...names.znClients.map(async ({ name }) => [name, await issue({ use: 'client', name })] as const),
  ])
  return { ca, ap, bsf, znClients: Object.fromEntries(clients) }
}

/** One leaf of a CA; never good for longer than the CA is. */
export async function issueLeaf(ca: Issued, leaf: Leaf, now: EpochMs, validDays: number): Promise<Issued> {
  const issuer = forge.pki.certificateFromPem(ca.certificate)
  const { certificate, key } = await blank(`gba-proxy lab ${leaf.use} ${leaf.name}`)
  const end = Math.min(now + validDays * DAY_MS, Date.parse(new X509Certificate(ca.certificate).validTo))
  certificate.validity.notBefore = new Date(now - BACKDATED_MS)
  certificate.validity.notAfter = new Date(end)
  certificate.setIssuer(issuer.subject.attributes)
  certificate.setExtensions([
    { name: 'basicConstraints', critical: true, cA: false },
    { name: 'keyUsage', critical: true, digitalSignature: true },
    { name: 'extKeyUsage', serverAuth: leaf.use === 'server', clientAuth: leaf.use === 'client' },
    { name: 'subjectAltName', altNames: altNames(leaf) },
    { name: 'subjectKeyIdentifier' },
    { name: 'authorityKeyIdentifier', keyIdentifier: issuer.generateSubjectKeyIdentifier().getBytes() },
  ])
  certificate.sign(forge.pki.privateKeyFromPem(ca.key), forge.md.sha256.create())
  return { certificate: forge.pki.certificateToPem(certificate).replaceAll('\r\n', '\n'), key }
}

/** The host names a leaf of ours stands for, without the ones for this machine. */
export function fqdnsOf(certificate: X509Certificate): Fqdn[] {
  const names = certificate.subjectAltName?.split(', ') ?? []
  return names
    .filter((name) => name.startsWith('DNS:'))
    .map((name) => parseFqdn(name.slice(4)))
    .filter((name) => name !== undefined && name !== 'localhost') as Fqdn[]
}

async function makeCa(now: EpochMs, validDays: number): Promise<Issued> {
  // the serial number in the name keeps two lab CAs apart in a trust store
  const { certificate, key } = await blank(`gba-proxy lab CA ${randomBytes(4).toString('hex')}`)
  certificate.validity.notBefore = new Date(now - BACKDATED_MS)
  certificate.validity.notAfter = new Date(now + validDays * DAY_MS)
  certificate.setIssuer(certificate.subject.attributes)
  certificate.setExtensions([
    { name: 'basicConstraints', critical: true, cA: true, pathLenConstraint: 0 },
    { name: 'keyUsage', critical: true, keyCertSign: true, cRLSign: true },
    { name: 'subjectKeyIdentifier' },
  ])
  certificate.sign(forge.pki.privateKeyFromPem(key), forge.md.sha256.create())
  return { certificate: forge.pki.certificateToPem(certificate).replaceAll('\r\n', '\n'), key }
}

/** A certificate with subject, serial number and a fresh key. */
async function blank(commonName: string): Promise<{ certificate: forge.pki.Certificate; key: string }> {
  const pair = await promisify(generateKeyPair)('rsa', {
    modulusLength: 2048,
    publicKeyEncoding: { type: 'spki', format: 'pem' },
    privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  })
  const certificate = forge.pki.createCertificate()
  certificate.publicKey = forge.pki.publicKeyFromPem(pair.publicKey)
  // 128 random bits behind an octet that keeps the number positive and its length fixed
  certificate.serialNumber = `01${randomBytes(16).toString('hex')}`
  certificate.setSubject([{ name: 'commonName', value: commonName.slice(0, 64) }])
  return { certificate, key: pair.privateKey }
}

const DNS_NAME = 2
const IP_ADDRESS = 7

function altNames(leaf: Leaf): { type: number; value?: string; ip?: string }[] {
  if (leaf.use === 'client') return [{ type: DNS_NAME, value: leaf.name }]
  return [
    ...[...new Set([...leaf.fqdns, 'localhost'])].map((value) => ({ type: DNS_NAME, value })),
    { type: IP_ADDRESS, ip: '127.0.0.1' },
  ]
}
