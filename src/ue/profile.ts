import { toHex } from '../core/bytes.ts'
import type { DigestAlgorithm, Qop } from '../core/digest.ts'
import {
  type AuthenticationInfo,
  type DigestChallenge,
  formatAuthorization,
  type OutgoingCredentials,
  parseAuthenticationInfo,
  parseChallenges,
} from '../core/digest-header.ts'
import type { HeaderList } from './message.ts'

/**
 * How one make of UE behaves on Ua, where makes differ. What a profile does not mention, all UEs do alike; on Ub they
 * all do what the specifications say.
 */
export interface UeProfile {
  readonly name: string
  /** User-Agent before the product token. */
  readonly userAgent: string
  /** Fields that every request carries besides. */
  readonly headers: HeaderList
  /** What this UE understands of the WWW-Authenticate values of one 401. */
  readonly readChallenges: (values: readonly string[]) => readonly DigestChallenge[]
  /** @returns undefined for what it takes for malformed, and then for a server that does not know the key */
  readonly readAuthenticationInfo: (value: string) => AuthenticationInfo | undefined
  /** Challenges with other algorithms are passed over; among these the server's order decides. */
  readonly algorithms: readonly DigestAlgorithm[]
  /** In order of preference. */
  readonly qops: readonly Qop[]
  /** The nonce count as text; that text enters the digest. */
  readonly formatNc: (count: number) => string
  /** Whether the count begins at 1 with each nonce. */
  readonly ncRestarts: boolean
  /** The client nonce made of 16 random octets. */
  readonly formatCnonce: (random: Uint8Array) => string
  /** Digest uri of a request target. */
  readonly digestUri: (target: string) => string
  readonly formatIntendedIdentity: (identity: string) => string
  readonly formatAuthorization: (credentials: OutgoingCredentials) => string
  /** Whether a request goes out protected at once, where a nonce of an earlier transaction is held. */
  readonly remembersNonce: boolean
  /** Whether the body stays behind, under Content-Length 0, until the server has said what it wants. */
  readonly withholdsBody: boolean
  /**
   * When a 401 leads to a new bootstrap. `refused-key`: when a protected request was refused, and not for its nonce.
   * `any-401`: always. `no-key`: only while there is none; a refused key is the user's business.
   */
  readonly bootstrapsOn: 'refused-key' | 'any-401' | 'no-key'
  /** Whether bootstrap and nonces are dropped when a transaction is given up. */
  readonly forgetsWhenRefused: boolean
  readonly connections: 'kept' | 'one-per-request'
  /** The connection whose TLS suite enters the NAF_Id. */
  readonly suiteOf: 'this-connection' | 'previous-connection'
  /** Whether an answer without rspauth is believed. */
  readonly rspauth: 'if-present' | 'require'
  /** XCAP targets in the spelling of this UE, for the tree of one XUI: what tests and demonstrations ask for. */
  readonly targets: (xui: string) => readonly string[]
}

/**
 * A UE that does what the specifications say, and believes a server that does a little less.
 * @see 3GPP TS 24.109 clauses 4.2 and 5.2 (Rel-17)
 */
export const standardProfile: UeProfile = {
  name: 'standard',
  userAgent: 'gba-proxy-ue',
  headers: [],
  readChallenges: parseChallenges,
  readAuthenticationInfo: parseAuthenticationInfo,
  algorithms: ['SHA-256', 'SHA-256-sess', 'SHA-512-256', 'SHA-512-256-sess', 'MD5', 'MD5-sess'],
  qops: ['auth-int', 'auth'],
  formatNc: (count) => count.toString(16).padStart(8, '0'),
  ncRestarts: true,
  formatCnonce: toHex,
  digestUri: (target) => target,
  formatIntendedIdentity: (identity) => `"${identity}"`,
  formatAuthorization,
  remembersNonce: true,
  withholdsBody: false,
  bootstrapsOn: 'refused-key',
  forgetsWhenRefused: false,
  connections: 'kept',
  suiteOf: 'this-connection',
  rspauth: 'if-present',
  targets: (xui) => [
    `/resource-lists/users/${xui}/index`,
    `/resource-lists/users/${xui}/index/~~/resource-lists/list%5B@name=%22friends%22%5D`,
  ],
}
