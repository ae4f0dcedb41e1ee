import { toBase64, toHex, utf8 } from '../core/bytes.ts'
import { computeHa1, computeResponse, type DigestAlgorithm, hashBody, type Qop } from '../core/digest.ts'
import type { DigestCredentials } from '../core/digest-header.ts'
import type { Fqdn, Impi, Impu } from '../core/identity.ts'
import { deriveKsIntNaf, deriveKsNaf } from '../core/kdf.ts'
import { CIPHER_SUITES, nafIdOf, type UaProtocolId } from '../core/naf-id.ts'
import type { Secret } from '../core/secret.ts'
import { type GbaMethod, realmOf } from './challenge.ts'

/** A key that the UE may have used. */
export interface KeyMaterial {
  /** Whose, or from which run: stands in findings. */
  readonly label: string
  /** Whether it is the one that belongs to the B-TID; the others are suspects. */
  readonly expected: boolean
  /** 32 octets, with the RAND and IMPI of its run; or Ks_NAF itself. */
  readonly material:
    | { readonly ks: Secret; readonly rand: Uint8Array; readonly impi: Impi }
    | { readonly ksNaf: Secret }
  /** Identities that this subscriber may use, where known. */
  readonly impus?: readonly Impu[]
  readonly expiresAt?: number
}

/** What a response is recomputed from, besides the credentials. */
export interface Recomputable {
  readonly method: string
  /** Request target, undecoded. */
  readonly target: string
  /** Host as the request has it, with its port. */
  readonly host: string
  readonly nafFqdn: Fqdn
  /** As received; empty where nothing is known of it. */
  readonly body: Uint8Array
  /** As the UE meant it, where that is known. */
  readonly sentBody?: Uint8Array
  /** At least one of them expected, or nothing fits as it should. */
  readonly keys: readonly KeyMaterial[]
  /** Identifiers that the NAF takes. */
  readonly uaProtocolIds: readonly UaProtocolId[]
  /** Other host names that may have got into realm or NAF_Id. */
  readonly otherNames?: readonly string[]
}

/** Everything that enters a response. */
export interface Guess {
  readonly key: KeyMaterial
  readonly uaProtocolId: UaProtocolId
  /** In the NAF_Id. */
  readonly nafName: string
  /** In the KDF. */
  readonly identity: string
  readonly kind: 'gba-me' | 'gba-u'
  readonly password: keyof typeof PASSWORD_FORMS
  readonly username: string
  readonly realm: string
  readonly algorithm: DigestAlgorithm
  readonly nonce: string
  readonly nc: string | undefined
  readonly cnonce: string | undefined
  readonly qop: string | undefined
  readonly method: string
  readonly uri: string
  readonly body: Uint8Array
}

/** The guesses under which a response is right: each expected key, each identifier that the NAF takes. */
export function asSent(input: Recomputable, credentials: DigestCredentials): Guess[] {
  return input.keys
    .filter(({ expected }) => expected)
    .flatMap((key) => idsFor(key, input.uaProtocolIds).map((id) => guessOf(input, credentials, key, id)))
}

/** Every intermediate of one guess. */
export function compute(guess: Guess, ksNaf: Secret = deriveKey(guess)) {
  const { algorithm, username, realm, nonce, nc, cnonce = '', method, uri, body } = guess
  const password = PASSWORD_FORMS[guess.password](ksNaf.expose(32))
  const ha1 = computeHa1(algorithm, username, realm, password, { nonce, cnonce })
  // What is no qop at all still enters the digest as a text.
  const qop = guess.qop as Qop | undefined
  const bodyHash = qop === 'auth-int' ? hashBody(algorithm, body) : undefined
  const ha2 = hashBody(algorithm, utf8(bodyHash === undefined ? `${method}:${uri}` : `${method}:${uri}:${bodyHash}`))
  const response = computeResponse({ algorithm, ha1, nonce, nc: nc ?? '', cnonce, qop, method, uri, bodyHash })
  return { ksNaf, ha1, ha2, response }
}

/** Which method a realm stands for at this NAF. */
export function methodOf(realm: string, nafFqdn: Fqdn): GbaMethod | undefined {
  return (['gba-me', 'gba-u', 'gba-digest'] as const).find((method) => realmOf(method, nafFqdn) === realm)
}

/** The identifier, with the name of the suite in it. */
export function nameOfId(id: UaProtocolId): string {
  const [suite] = [...CIPHER_SUITES].find(([, code]) => id === idOfCode(code)) ?? []
  return suite === undefined ? id : `${id} (${suite})`
}

/** Ks_NAF of a guess. */
export function deriveKey({ key, uaProtocolId, nafName, identity, kind }: Guess): Secret {
  const { material } = key
  if ('ksNaf' in material) return material.ksNaf
  const nafId = nafIdOf(nafName as Fqdn, uaProtocolId)
  return (kind === 'gba-u' ? deriveKsIntNaf : deriveKsNaf)(material.ks, material.rand, identity as Impi, nafId)
}

/** The guess that follows from what the UE sent. */
export function guessOf(
  input: Recomputable,
  credentials: DigestCredentials,
  key: KeyMaterial,
  uaProtocolId: UaProtocolId,
): Guess {
  const { username, realm, nonce, uri, algorithm = 'MD5', nc, cnonce, qop } = credentials
  const methods = realm.split(';').map((part) => methodOf(part, input.nafFqdn))
  return {
    key,
    uaProtocolId,
    nafName: input.nafFqdn,
    identity: 'ksNaf' in key.material ? '' : key.material.impi,
    kind: methods[0] === 'gba-u' ? 'gba-u' : 'gba-me',
    password: 'base64',
    ...{ username, realm, algorithm, nonce, nc, cnonce, qop, uri },
    method: input.method,
    body: input.body,
  }
}

/** Ks_NAF itself depends on no identifier any more. */
function idsFor({ material }: KeyMaterial, ids: readonly UaProtocolId[]): readonly UaProtocolId[] {
  return 'ksNaf' in material ? ids.slice(0, 1) : ids
}

/** How a key becomes a password; the first is right. @see 3GPP TS 24.109 clause 5.2 (Rel-17) */
export const PASSWORD_FORMS = {
  base64: (key: Uint8Array) => utf8(toBase64(key)),
  hex: (key: Uint8Array) => utf8(toHex(key)),
  'upper-case hex': (key: Uint8Array) => utf8(toHex(key).toUpperCase()),
  'raw octets': (key: Uint8Array) => key,
  'base64 without its padding': (key: Uint8Array) => utf8(toBase64(key).replace(/=+$/, '')),
  base64url: (key: Uint8Array) => utf8(Buffer.from(key).toString('base64url')),
  'base64 of the hex text': (key: Uint8Array) => utf8(toBase64(utf8(toHex(key)))),
} as const

/** @see 3GPP TS 33.220 Annex H.3 (Rel-17) */
export const idOfCode = (code: number) => `010001${code.toString(16).padStart(4, '0')}` as UaProtocolId
