import { fromUtf8, utf8 } from '../core/bytes.ts'
import { DIGEST_ALGORITHMS, type DigestAlgorithm, hashBody } from '../core/digest.ts'
import type { Impi } from '../core/identity.ts'
import { realmOf } from './challenge.ts'
import type { Guess, KeyMaterial, Recomputable } from './guess.ts'

/** The last is the one of rspauth. */
export const METHODS = ['GET', 'HEAD', 'PUT', 'POST', 'DELETE', 'OPTIONS', 'REGISTER', '']

/** What may have stood in the KDF instead of the IMPI. */
export function identities({ impus = [] }: KeyMaterial, impi: Impi): string[] {
  const [user = ''] = impi.split('@')
  return [...impus, `sip:${impi}`, user, impi.toLowerCase()]
}

/** Forms of this host, and other hosts, that may get into the place of its name. */
export function names({ nafFqdn, host, otherNames = [] }: Recomputable): string[] {
  const other = nafFqdn.includes('.pub.') ? nafFqdn.replace('.pub.', '.') : nafFqdn.replace(/\.3gpp/, '.pub.3gpp')
  return [host, `${nafFqdn}:443`, `${nafFqdn}.`, nafFqdn.toUpperCase(), `https://${nafFqdn}`, other, '', ...otherNames]
}

/** What may have stood in A1 instead of the realm. */
export function realms(input: Recomputable): string[] {
  const { nafFqdn } = input
  const prefixed = names(input).flatMap((name) =>
    ['', '-uicc', '-digest'].map((kind) => `3GPP-bootstrapping${kind}@${name}`),
  )
  return [
    realmOf('gba-me', nafFqdn),
    realmOf('gba-u', nafFqdn),
    realmOf('gba-digest', nafFqdn),
    nafFqdn,
    ...names(input),
    ...prefixed,
  ]
}

/** What may have stood in A1 instead of the B-TID. */
export function otherUsernames({ username, key }: Guess): string[] {
  const [rand = ''] = username.split('@')
  const impi = 'ksNaf' in key.material ? [] : [key.material.impi]
  return [rand, `"${username}"`, ...impi, ...(key.impus ?? [])]
}

/** Digest algorithms whose results have this length. */
export function algorithmsOf(response: string): DigestAlgorithm[] {
  return DIGEST_ALGORITHMS.filter(
    (name) => !name.startsWith('AKA') && hashBody(name, NOTHING).length === response.length,
  )
}

const NOTHING = new Uint8Array()

/** The same count, or the one meant, in other spellings. */
export function counts(nc: string | undefined): string[] {
  if (nc === undefined || nc === '') return []
  const [hex, decimal] = [Number.parseInt(nc, 16), Number.parseInt(nc, 10)]
  const forms = (count: number) => [
    String(count),
    count.toString(16),
    String(count).padStart(8, '0'),
    count.toString(16).padStart(8, '0'),
  ]
  return [
    ...forms(hex),
    ...(Number.isNaN(decimal) ? [] : forms(decimal)),
    nc.toUpperCase(),
    nc.toLowerCase(),
    `"${nc}"`,
  ]
}

/** What may have stood in A2 instead of the uri. */
export function uris({ target, host, nafFqdn }: Recomputable): string[] {
  const absolute = ['https', 'http'].flatMap((scheme) =>
    [host, nafFqdn, `${nafFqdn}:443`].map((name) => `${scheme}://${name}${target}`),
  )
  const [path = ''] = target.split('?')
  const plain = attempt(decodeURIComponent, target)
  const escapes = (change: (triplet: string) => string) => target.replace(/%[0-9a-f]{2}/gi, change)
  return [
    target,
    `${target}/`,
    target.replace(/\/$/, ''),
    ...absolute,
    ...absolute.map((uri) => `${uri}/`),
    attempt(decodeURI, target),
    plain,
    attempt(encodeURI, plain),
    attempt(encodeURI, plain).replaceAll('[', '%5B').replaceAll(']', '%5D'),
    escapes((triplet) => triplet.toLowerCase()),
    escapes((triplet) => triplet.toUpperCase()),
    path,
    `${path}/`,
    target.slice(1),
    '/',
  ]
}

function attempt(change: (text: string) => string, text: string): string {
  try {
    return change(text)
  } catch {
    return text
  }
}

/** Bodies that may have been digested instead, each with what it is. */
export function otherBodies({ body, sentBody }: Recomputable): (readonly [body: Uint8Array, says: string])[] {
  const text = attemptText(body)
  const edited = (change: (text: string) => string, what: string) =>
    text === undefined || change(text) === text ? [] : [[utf8(change(text)), `the body with ${what}`] as const]
  return [
    ...(body.length === 0
      ? []
      : [[new Uint8Array(), `an empty body, and ${body.length} octets came: this UE leaves the body out`] as const]),
    ...(sentBody ? [[sentBody, 'the body as the UE sent it: it was altered on the way'] as const] : []),
    ...edited((t) => t.replaceAll('\r\n', '\n'), 'bare line feeds: line ends were changed on the way'),
    ...edited((t) => t.replace(/\r?\n/g, '\r\n'), 'carriage returns: line ends were changed on the way'),
    ...edited((t) => t.trimEnd(), 'no white space at its end'),
    ...edited((t) => `${t}\n`, 'a line feed more at its end'),
    ...edited((t) => t.replace(/^\ufeff/, ''), 'no byte order mark'),
  ]
}

function attemptText(body: Uint8Array): string | undefined {
  try {
    return fromUtf8(body)
  } catch {
    return undefined
  }
}
