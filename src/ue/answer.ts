import { computeHa1, computeResponse, hashBody, type Qop, responseEquals } from '../core/digest.ts'
import {
  type AuthenticationInfo,
  type DigestChallenge,
  type OutgoingCredentials,
  parseAuthenticationInfo,
} from '../core/digest-header.ts'
import { type HeaderList, headerValues } from './message.ts'

/** What a challenge is answered with. */
export interface AnswerInput {
  readonly challenge: DigestChallenge
  readonly qop: Qop
  readonly username: string
  /** RES, base64(Ks_NAF), or nothing in a resynchronisation. */
  readonly password: Uint8Array
  /** As it goes on the wire. */
  readonly nc: string
  readonly cnonce: string
  readonly method: string
  readonly uri: string
  readonly body: Uint8Array
  /** 14 octets in base64: the sequence number is out of range. */
  readonly auts?: string
}

/** Credentials, and what is needed to check the proof that comes back. */
export interface Answer {
  readonly credentials: OutgoingCredentials
  readonly ha1: string
}

/**
 * Answers a Digest challenge.
 * @see RFC 7616 clause 3.4
 */
export function answerChallenge(input: AnswerInput): Answer {
  const { challenge, qop, username, nc, cnonce, uri, auts } = input
  const { realm, nonce, opaque, algorithm = 'MD5' } = challenge
  const ha1 = computeHa1(algorithm, username, realm, input.password, { nonce, cnonce })
  const bodyHash = qop === 'auth-int' ? hashBody(algorithm, input.body) : undefined
  const response = computeResponse({ algorithm, ha1, nonce, nc, cnonce, qop, method: input.method, uri, bodyHash })
  return {
    ha1,
    credentials: {
      username,
      realm,
      nonce,
      uri,
      qop,
      nc,
      cnonce,
      response,
      ...(opaque !== undefined && { opaque }),
      ...(challenge.algorithm && { algorithm: challenge.algorithm }),
      ...(auts !== undefined && { auts }),
    },
  }
}

/** What the server's answer says about itself. */
export interface Proof {
  readonly outcome: 'verified' | 'absent' | 'wrong'
  readonly nextnonce?: string
}

/**
 * Checks that the server knows the key too. An answer to an auth-int request must cover its body.
 * @param read  how this UE reads Authentication-Info
 * @see RFC 7616 clause 3.5
 */
export function checkProof(
  { credentials, ha1 }: Answer,
  headers: HeaderList,
  body: Uint8Array,
  read: (value: string) => AuthenticationInfo | undefined = parseAuthenticationInfo,
): Proof {
  const [text, more] = headerValues(headers, 'authentication-info')
  if (text === undefined) return { outcome: 'absent' }
  const info = more === undefined ? read(text) : undefined
  if (!info) return { outcome: 'wrong' }
  const next = info.nextnonce === undefined ? {} : { nextnonce: info.nextnonce }
  if (info.rspauth === undefined) return { outcome: 'absent', ...next }
  return isProof(credentials, ha1, info, info.rspauth, body) ? { outcome: 'verified', ...next } : { outcome: 'wrong' }
}

function isProof(
  { algorithm = 'MD5', nonce, nc, cnonce, uri, qop: asked }: OutgoingCredentials,
  ha1: string,
  info: AuthenticationInfo,
  rspauth: string,
  body: Uint8Array,
): boolean {
  const qop = info.qop ?? asked
  if (asked === 'auth-int' && qop !== 'auth-int') return false
  if ((info.nc ?? nc) !== nc || (info.cnonce ?? cnonce) !== cnonce) return false
  const bodyHash = qop === 'auth-int' ? hashBody(algorithm, body) : undefined
  return responseEquals(
    rspauth.toLowerCase(),
    computeResponse({ algorithm, ha1, nonce, nc, cnonce, qop, method: '', uri, bodyHash }),
  )
}
