import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPair,
  type KeyObject,
  randomBytes,
  sign,
  X509Certificate,
} from 'node:crypto'
import { promisify } from 'node:util'
import forge from 'node-forge'
import { type EpochMs, toHex } from '../core/bytes.ts'
import { type Fqdn, parseFqdn } from '../core/identity.ts'
import { OCTET_STRING, readDer, readDerInside } from './der.ts'

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
  readonly serverKeyTypes?: Readonly<Partial<Record<'ap' | 'bsf', KeyType>>>
  /** NAFs that ask over Zn; the name is the dNSName in the client certificate. */
  readonly znClients: readonly { readonly name: Fqdn; readonly keyType?: KeyType }[]
  /** Subscribers who come to the AP with a certificate. */
  readonly subscribers?: readonly SubscriberNames[]
}

export interface SubscriberNames {
  /** Of the file, and in the subject. */
  readonly name: string
  /** Her names: public identities and other URIs, and a private identity as user@domain. */
  readonly sans: readonly string[]
  readonly keyType?: KeyType
}

/**
 * RSA with 2048 bits, or ECDSA on P-256. Wherever a leaf may have either, it has P-256 unless told otherwise: a server
 * signs in each full handshake, and RSA costs it ten times as much.
 */
export const KEY_TYPES = ['rsa', 'p256'] as const
export type KeyType = (typeof KEY_TYPES)[number]

/** A CA for tests, and what it issued. */
export interface LabPki {
  readonly ca: Issued
  readonly ap: Issued
  readonly bsf: Issued
  /** By the name of the client. */
  readonly znClients: Readonly<Record<string, Issued>>
  /** By the name of the subscriber. */
  readonly subscribers: Readonly<Record<string, Issued>>
}

/** Why a certificate exists; its file is called after it. */
export type Leaf =
  | { readonly use: 'server'; readonly name: 'ap' | 'bsf'; readonly fqdns: readonly Fqdn[]; readonly keyType?: KeyType }
  | { readonly use: 'client'; readonly name: Fqdn; readonly keyType?: KeyType }
  | ({ readonly use: 'subscriber' } & SubscriberNames)

const DAY_MS = 86_400_000
/** Clocks of handsets and lab machines differ. */
const BACKDATED_MS = 3_600_000
const CA_VALID_DAYS = 3650

/**
 * Makes a fresh CA with an AP server certificate, a BSF server certificate, and client certificates for Zn and for
 * subscribers. Test material: the CA has an RSA key with 2048 bits, since node-forge reads no other CA; keys come from
 * node:crypto.
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
  const byName = async (leaves: readonly Leaf[]) =>
    Object.fromEntries(await Promise.all(leaves.map(async (leaf) => [leaf.name, await issue(leaf)] as const)))
  const [ap, bsf, znClients, subscribers] = await Promise.all([
    issue({ use: 'server', name: 'ap', fqdns: names.naf, ...keyTypeIn(names, 'ap') }),
    issue({ use: 'server', name: 'bsf', fqdns: names.bsf, ...keyTypeIn(names, 'bsf') }),
    byName(names.znClients.map((client) => ({ use: 'client', ...client }))),
    byName((names.subscribers ?? []).map((subscriber) => ({ use: 'subscriber', ...subscriber }))),
  ])
  return { ca, ap, bsf, znClients, subscribers }
}

/** One leaf of a CA; never good for longer than the CA is. */
export async function issueLeaf(ca: Issued, leaf: Leaf, now: EpochMs, validDays: number): Promise<Issued> {
  const issuer = forge.pki.certificateFromPem(ca.certificate)
  const key = await makeKey(leaf.keyType)
  const certificate = blank(`gba-proxy lab ${leaf.use} ${leaf.name}`)
  const end = Math.min(now + validDays * DAY_MS, Date.parse(new X509Certificate(ca.certificate).validTo))
  certificate.validity.notBefore = new Date(now - BACKDATED_MS)
  certificate.validity.notAfter = new Date(end)
  certificate.setIssuer(issuer.subject.attributes)
  // stands in for the key of the leaf, of which node-forge may not know the type
  certificate.publicKey = issuer.publicKey
  certificate.setExtensions([
    { name: 'basicConstraints', critical: true, cA: false },
    { name: 'keyUsage', critical: true, digitalSignature: true },
    { name: 'extKeyUsage', serverAuth: leaf.use === 'server', clientAuth: leaf.use !== 'server' },
    { name: 'subjectAltName', altNames: altNames(leaf) },
    subjectKeyIdentifier(key),
    { name: 'authorityKeyIdentifier', keyIdentifier: issuer.generateSubjectKeyIdentifier().getBytes() },
  ])
  return { certificate: signed(certificate, key, createPrivateKey(ca.key)), key: pemOf(key) }
}

/** The host names a leaf of ours stands for, without the ones for this machine. */
export function fqdnsOf(certificate: X509Certificate): Fqdn[] {
  const names = certificate.subjectAltName?.split(', ') ?? []
  return names
    .filter((name) => name.startsWith('DNS:'))
    .map((name) => parseFqdn(name.slice(4)))
    .filter((name) => name !== undefined && name !== 'localhost') as Fqdn[]
}

/** The names of a subscriber in a leaf of ours, in their order. */
export function sansOf(certificate: X509Certificate): string[] {
  const [tbsCertificate] = readDerInside(readDer(certificate.raw)?.[0]) ?? []
  const extensions = readDerInside(tbsCertificate)?.find(({ tag }) => tag === EXTENSIONS)
  const found = readDerInside(readDerInside(extensions, EXTENSIONS)?.[0])?.map((extension) => readDerInside(extension))
  const [, value] = found?.find((fields) => toHex(fields?.[0]?.content ?? new Uint8Array()) === SUBJECT_ALT_NAME) ?? []
  const names = value?.tag === OCTET_STRING ? readDerInside(readDer(value.content)?.[0]) : undefined
  return (names ?? [])
    .filter(({ tag }) => tag === CONTEXT + URI || tag === CONTEXT + RFC822_NAME)
    .map(({ content }) => Buffer.from(content).toString('latin1'))
}

/** Of a leaf of ours. */
export const keyTypeOf = (certificate: X509Certificate): KeyType =>
  certificate.publicKey.asymmetricKeyType === 'ec' ? 'p256' : 'rsa'

async function makeCa(now: EpochMs, validDays: number): Promise<Issued> {
  const key = await makeKey('rsa')
  // the serial number in the name keeps two lab CAs apart in a trust store
  const certificate = blank(`gba-proxy lab CA ${randomBytes(4).toString('hex')}`)
  certificate.validity.notBefore = new Date(now - BACKDATED_MS)
  certificate.validity.notAfter = new Date(now + validDays * DAY_MS)
  certificate.setIssuer(certificate.subject.attributes)
  certificate.publicKey = forge.pki.publicKeyFromPem(
    createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString(),
  )
  certificate.setExtensions([
    { name: 'basicConstraints', critical: true, cA: true, pathLenConstraint: 0 },
    { name: 'keyUsage', critical: true, keyCertSign: true, cRLSign: true },
    { name: 'subjectKeyIdentifier' },
  ])
  return { certificate: signed(certificate, key, key), key: pemOf(key) }
}

function keyTypeIn({ serverKeyTypes }: PkiNames, name: 'ap' | 'bsf'): { readonly keyType?: KeyType } {
  const keyType = serverKeyTypes?.[name]
  return keyType ? { keyType } : {}
}

async function makeKey(keyType: KeyType = 'p256'): Promise<KeyObject> {
  const generate = promisify(generateKeyPair)
  const pair =
    keyType === 'rsa' ? generate('rsa', { modulusLength: 2048 }) : generate('ec', { namedCurve: 'prime256v1' })
  return (await pair).privateKey
}

const pemOf = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' }).toString()

/** A certificate with subject and serial number. */
function blank(commonName: string): forge.pki.Certificate {
  const certificate = forge.pki.createCertificate()
  // 128 random bits behind an octet that keeps the number positive and its length fixed
  certificate.serialNumber = `01${randomBytes(16).toString('hex')}`
  certificate.setSubject([{ name: 'commonName', value: commonName.slice(0, 64) }])
  return certificate
}

/**
 * PEM of a certificate for this key. node-forge knows RSA alone: the key is set into what it encodes, and node:crypto
 * signs.
 */
function signed(certificate: forge.pki.Certificate, key: KeyObject, caKey: KeyObject): string {
  certificate.signatureOid = certificate.siginfo.algorithmOid = forge.pki.oids.sha256WithRSAEncryption ?? ''
  certificate.signature = ''
  const [tbsCertificate, algorithm] = elements(forge.pki.certificateToAsn1(certificate))
  if (!tbsCertificate || !algorithm) throw new TypeError('not a certificate')
  elements(tbsCertificate)[SUBJECT_PUBLIC_KEY_INFO] = forge.asn1.fromDer(spkiOf(key).toString('latin1'))
  const signature = sign('sha256', Buffer.from(derOf(tbsCertificate), 'latin1'), caKey).toString('latin1')
  const { UNIVERSAL } = forge.asn1.Class
  const { SEQUENCE, BITSTRING } = forge.asn1.Type
  const body = forge.asn1.create(UNIVERSAL, SEQUENCE, true, [
    tbsCertificate,
    algorithm,
    forge.asn1.create(UNIVERSAL, BITSTRING, false, `\0${signature}`),
  ])
  return forge.pem.encode({ type: 'CERTIFICATE', body: derOf(body) }).replaceAll('\r\n', '\n')
}

/** Method 1 of RFC 5280 section 4.2.1.2: SHA-1 of the key itself, which node-forge can do for RSA alone. */
function subjectKeyIdentifier(key: KeyObject): { id: string; name: string; value: string } {
  const [, bits] = readDerInside(readDer(spkiOf(key))?.[0]) ?? []
  // the first octet of a bit string counts unused bits
  const digest = createHash('sha1')
    .update(bits?.content.subarray(1) ?? '')
    .digest()
    .toString('latin1')
  return { id: '2.5.29.14', name: 'subjectKeyIdentifier', value: `\x04\x14${digest}` }
}

const spkiOf = (key: KeyObject): Buffer => createPublicKey(key).export({ type: 'spki', format: 'der' })

const derOf = (element: forge.asn1.Asn1): string => forge.asn1.toDer(element).getBytes()

const elements = ({ value }: forge.asn1.Asn1): forge.asn1.Asn1[] => (typeof value === 'string' ? [] : value)

const SUBJECT_PUBLIC_KEY_INFO = 6
/** Explicit [3]. */
const EXTENSIONS = 0xa3
/** DER of the OID 2.5.29.17. */
const SUBJECT_ALT_NAME = '551d11'
const CONTEXT = 0x80
const RFC822_NAME = 1
const DNS_NAME = 2
const URI = 6
const IP_ADDRESS = 7

function altNames(leaf: Leaf): { type: number; value?: string; ip?: string }[] {
  if (leaf.use === 'client') return [{ type: DNS_NAME, value: leaf.name }]
  if (leaf.use === 'subscriber') {
    return leaf.sans.map((value) => ({ type: /^[a-z][a-z0-9+.-]*:/i.test(value) ? URI : RFC822_NAME, value }))
  }
  return [
    ...[...new Set([...leaf.fqdns, 'localhost'])].map((value) => ({ type: DNS_NAME, value })),
    { type: IP_ADDRESS, ip: '127.0.0.1' },
  ]
}
