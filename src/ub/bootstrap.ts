import type { Av } from '../core/aka.ts'
import { akaNonce } from '../core/aka.ts'
import { formatBootstrappingInfo } from '../core/bootstrapping-info.ts'
import type { EpochMs } from '../core/bytes.ts'
import { fromBase64 } from '../core/bytes.ts'
import { computeHa1, computeResponse, type DigestAlgorithm, hashBody, responseEquals } from '../core/digest.ts'
import {
  type DigestCredentials,
  formatAuthenticationInfo,
  formatChallenge,
  parseAuthorization,
} from '../core/digest-header.ts'
import type { Guss } from '../core/guss.ts'
import { productTokens } from '../core/headers.ts'
import type { Fqdn, Impi, Tmpi } from '../core/identity.ts'
import { btidOf, parseFqdn, parseImpi, parseTmpi } from '../core/identity.ts'
import { deriveKs, deriveTmpi } from '../core/kdf.ts'
import { GbaError } from '../errors.ts'
import type { Bootstrap } from '../store/store.ts'

/** @see 3GPP TS 24.109 clause 4.3 (Rel-17) */
const UB_ALGORITHM: DigestAlgorithm = 'AKAv1-MD5'

/** @see 3GPP TS 33.220 clause 4.5.2 (Rel-17) */
export const TMPI_TOKEN = '3gpp-gba-tmpi'

/** A request on Ub as the state machine sees it. */
export interface UbRequest {
  readonly method: string
  /** Request target, undecoded. */
  readonly target: string
  readonly host: string | undefined
  /** Every Authorization line. */
  readonly authorization: readonly string[]
  readonly userAgent: string | undefined
  readonly body: Uint8Array
}

/** The names a BSF answers to, the first being its default, and whether it hands out temporary identities. */
export interface BsfIdentity {
  readonly bsfNames: readonly [Fqdn, ...Fqdn[]]
  readonly tmpi: boolean
}

/** Message 1 (no nonce yet) or message 3 (the answer to a challenge). */
export type UbMessage =
  | { readonly step: 'start'; readonly opening: Opening }
  | { readonly step: 'answer'; readonly opening: Opening; readonly credentials: DigestCredentials }

/** Who wants to bootstrap, and under which of our names. */
export interface Opening {
  /** As sent; HA1 takes it unchanged. */
  readonly username: string
  readonly identity: { readonly impi: Impi } | { readonly tmpi: Tmpi }
  readonly bsfFqdn: Fqdn
  readonly tmpiAware: boolean
}

/** A challenge that waits for its one answer. Kept by the BSF under `nonce`. */
export interface PendingChallenge {
  readonly opening: Opening
  readonly impi: Impi
  readonly nonce: string
  readonly opaque: string
  readonly av: Av
  readonly guss?: Guss
}

/**
 * Reads a request on Ub; what is malformed ends here, before any vector is drawn.
 * @throws GbaError UB_NOT_FOUND, UB_METHOD_NOT_ALLOWED, UB_REQUEST_MALFORMED
 * @see 3GPP TS 24.109 clause 4.3 (Rel-17)
 */
export function readUbRequest(request: UbRequest, { bsfNames, tmpi }: BsfIdentity): UbMessage {
  const bsfFqdn = bsfNameFor(request.host, bsfNames)
  if (originForm(request.target) !== '/') throw new GbaError('UB_NOT_FOUND', 'Ub answers on / only')
  if (request.method !== 'GET') throw new GbaError('UB_METHOD_NOT_ALLOWED', `Ub is GET, not ${request.method}`)
  if (request.body.length > 0) throw new GbaError('UB_REQUEST_MALFORMED', 'Ub requests carry no body')
  const [header, ...more] = request.authorization
  if (header === undefined) throw new GbaError('UB_REQUEST_MALFORMED', 'no Authorization header')
  if (more.length > 0) throw new GbaError('UB_REQUEST_MALFORMED', 'several Authorization headers')
  const credentials = parseAuthorization(header)
  if (!credentials) throw new GbaError('UB_REQUEST_MALFORMED', 'Authorization is not a Digest of the right form')
  const opening = {
    username: credentials.username,
    identity: readUsername(credentials.username),
    bsfFqdn,
    tmpiAware: tmpi && productTokens(request.userAgent).has(TMPI_TOKEN),
  }
  if (credentials.nonce === '') {
    if (credentials.response !== '') throw new GbaError('UB_REQUEST_MALFORMED', 'a response without a nonce')
    return { step: 'start', opening }
  }
  // Reading: realm and uri of message 1 are not judged, real UEs differ there; those of message 3 enter the digest.
  if (originForm(credentials.uri) !== '/') throw new GbaError('UB_REQUEST_MALFORMED', 'uri is not the target')
  if (credentials.auts !== undefined && autsOf(credentials) === undefined) {
    throw new GbaError('UB_REQUEST_MALFORMED', 'auts is not 14 octets of base64')
  }
  return { step: 'answer', opening, credentials }
}

/** The challenge for one vector; `opaque` is fresh random text. @see 3GPP TS 24.109 clause 4.3 (Rel-17) */
export function openChallenge(
  opening: Opening,
  impi: Impi,
  maa: { readonly av: Av; readonly guss?: Guss },
  opaque: string,
): PendingChallenge {
  return { opening, impi, nonce: akaNonce(maa.av.rand, maa.av.autn), opaque, ...maa }
}

/** Value of WWW-Authenticate. @see 3GPP TS 24.109 clause 4.3 (Rel-17) */
export function challengeHeader({ opening, nonce, opaque }: PendingChallenge): string {
  return formatChallenge({ realm: opening.bsfFqdn, nonce, algorithm: UB_ALGORITHM, qop: ['auth-int'], opaque })
}

/** What an answer proves: the UE holds the key (`right`), or its SQN is ahead (`resync`). */
export type Verdict = { readonly verdict: 'right' } | { readonly verdict: 'resync'; readonly auts: Uint8Array }

/**
 * Judges message 3 against the challenge it answers. AUTS counts only once the response over the empty password
 * verifies, so that nobody can move the HSS's SQN without having seen this very challenge.
 * @throws GbaError UB_RESPONSE_WRONG
 * @see RFC 3310 section 3.4
 */
export function judgeAnswer(
  pending: PendingChallenge,
  opening: Opening,
  credentials: DigestCredentials,
  method: string,
): Verdict {
  const { algorithm = 'MD5', realm, username, nonce, qop, nc, opaque, cnonce } = credentials
  const formal =
    username === pending.opening.username &&
    opening.bsfFqdn === pending.opening.bsfFqdn &&
    realm === pending.opening.bsfFqdn &&
    nonce === pending.nonce &&
    opaque === pending.opaque &&
    algorithm === UB_ALGORITHM &&
    qop === 'auth-int' &&
    nc === '00000001' &&
    cnonce !== undefined &&
    cnonce !== ''
  if (!formal) throw new GbaError('UB_RESPONSE_WRONG', 'parameters differ from the challenge')
  const auts = autsOf(credentials)
  const password = auts ? new Uint8Array() : pending.av.xres.expose()
  if (!responseEquals(responseOver(credentials, password, method, new Uint8Array()), credentials.response)) {
    throw new GbaError('UB_RESPONSE_WRONG', auts ? 'response over the empty password is wrong' : 'response is wrong')
  }
  return auts ? { verdict: 'resync', auts } : { verdict: 'right' }
}

/**
 * The bootstrap that a right answer earns. Expiry falls on a full second: the UE is told it in seconds.
 * @see 3GPP TS 33.220 clause 4.5.2 (Rel-17)
 */
export function concludeBootstrap(pending: PendingChallenge, now: EpochMs, keyLifetimeS: number): Bootstrap {
  const { opening, impi, av, guss } = pending
  const ks = deriveKs(av.ck, av.ik)
  const lifetimeS = guss?.keyLifetimeS ?? keyLifetimeS
  return {
    btid: btidOf(av.rand, opening.bsfFqdn),
    impi,
    rand: av.rand,
    ks,
    createdAt: now,
    expiresAt: Math.floor(now / 1000) * 1000 + lifetimeS * 1000,
    gbaType: '3G_GBA',
    ...(opening.tmpiAware && { tmpi: deriveTmpi(ks, av.rand, impi, opening.bsfFqdn) }),
    ...(guss && { guss }),
  }
}

/** Message 4. @see 3GPP TS 24.109 clause 4.3 and Annex C (Rel-17) */
export function acceptance(
  bootstrap: Bootstrap,
  pending: PendingChallenge,
  credentials: DigestCredentials,
): { readonly headers: Readonly<Record<string, string>>; readonly body: string } {
  const body = formatBootstrappingInfo({ btid: bootstrap.btid, expiresAt: bootstrap.expiresAt })
  const rspauth = responseOver(credentials, pending.av.xres.expose(), '', new TextEncoder().encode(body))
  return {
    headers: {
      'authentication-info': formatAuthenticationInfo({
        qop: 'auth-int',
        rspauth,
        cnonce: credentials.cnonce ?? '',
        nc: '00000001',
      }),
      expires: new Date(bootstrap.expiresAt).toUTCString(),
      'content-type': 'application/vnd.3gpp.bsf+xml',
    },
    body,
  }
}

function responseOver(credentials: DigestCredentials, password: Uint8Array, method: string, body: Uint8Array): string {
  const { username, realm, nonce, cnonce = '', nc = '', uri } = credentials
  return computeResponse({
    algorithm: UB_ALGORITHM,
    ha1: computeHa1(UB_ALGORITHM, username, realm, password),
    nonce,
    nc,
    cnonce,
    qop: 'auth-int',
    method,
    uri,
    bodyHash: hashBody(UB_ALGORITHM, body),
  })
}

function readUsername(username: string): Opening['identity'] {
  const tmpi = parseTmpi(username)
  if (tmpi) return { tmpi }
  const impi = parseImpi(username)
  if (impi) return { impi }
  throw new GbaError('UB_REQUEST_MALFORMED', 'username is neither an IMPI nor a TMPI')
}

/** Reading: a UE that comes by address, or by a name that is not ours, is answered under the first name. */
function bsfNameFor(host: string | undefined, names: readonly [Fqdn, ...Fqdn[]]): Fqdn {
  const name = parseFqdn((host ?? '').replace(/:\d*$/, ''))
  return names.find((candidate) => candidate === name) ?? names[0]
}

/** Deviation: captured UEs send the absolute form (`http://bsf…:8080/`), on the request line and as `uri`. */
function originForm(target: string): string {
  const absolute = /^http:\/\/[^/?#@\s]+(\/.*)?$/i.exec(target)
  return absolute ? (absolute[1] ?? '/') : target
}

function autsOf({ auts }: DigestCredentials): Uint8Array | undefined {
  const octets = auts === undefined ? undefined : fromBase64(auts)
  return octets?.length === 14 ? octets : undefined
}
