import { type EpochMs, utf8 } from '../core/bytes.ts'
import type { Qop } from '../core/digest.ts'
import type { Fqdn } from '../core/identity.ts'
import type { Secret } from '../core/secret.ts'
import type { Proof } from './answer.ts'
import {
  type HeaderList,
  headerValues,
  type Sent,
  type UeConnection,
  type UeObserver,
  type UeResponseMessage,
} from './message.ts'
import type { UeProfile } from './profile.ts'
import type { HeldBootstrap, StateStore } from './state.ts'
import type { Transport } from './transport.ts'
import { parseUeUrl, type UeUrl } from './url.ts'

export interface UeRequestOptions {
  /**
   * They replace the UE's own of the same name; undefined leaves a field out. With an Authorization among them the UE
   * adds none of its own and never retries.
   */
  readonly headers?:
    | readonly (readonly [name: string, value: string | undefined])[]
    | Record<string, string | undefined>
  readonly body?: Uint8Array | string
  /** In place of the profile's preference. */
  readonly qop?: Qop
  readonly intendedIdentity?: string
  readonly signal?: AbortSignal
}

export interface UeResponse extends UeResponseMessage {
  readonly connection: UeConnection
  /** Whether the server proved by Digest that it knows the key; with a bootstrapped key under TLS it did so before. */
  readonly rspauth: Proof['outcome']
  /** First value of a field. */
  header(name: string): string | undefined
  text(): string
}

/** What the transactions of one UE share. */
export interface UaContext {
  readonly transport: Transport
  readonly state: StateStore
  readonly profile: UeProfile
  readonly observer: UeObserver
  readonly now: () => EpochMs
  readonly randomBytes: (length: number) => Uint8Array
  readonly rspauth: 'if-present' | 'require'
  /** Whether a request goes out protected, where that can be, before the server has asked for it. */
  readonly protectsUnasked: boolean
  /** The last connection to each origin. */
  readonly last: Map<string, UeConnection>
  /** The bootstrap held, unless its time is over. */
  readonly live: () => HeldBootstrap | undefined
  readonly bootstrap: (signal?: AbortSignal) => Promise<HeldBootstrap>
  /** @throws UeError SUITE_UNKNOWN */
  readonly ksNaf: (held: HeldBootstrap, naf: Fqdn, connection: UeConnection) => Secret
}

/** A request as the caller wants it, before GBA. */
export interface UaRequest {
  readonly url: UeUrl
  readonly method: string
  readonly body: Uint8Array
  readonly plain: HeaderList
  /** The caller brought credentials of its own. */
  readonly authorised: boolean
  readonly qop: Qop | undefined
}

/** @throws UeError URL_MALFORMED */
export function requestOf(profile: UeProfile, method: string, urlText: string, options: UeRequestOptions): UaRequest {
  const { body: content = '', headers = [], qop, intendedIdentity } = options
  const url = parseUeUrl(urlText)
  const body = typeof content === 'string' ? utf8(content) : content
  const given: readonly (readonly [string, string | undefined])[] = isList(headers) ? headers : Object.entries(headers)
  const named = new Set(given.map(([name]) => name.toLowerCase()))
  const bodiless = body.length === 0 && !['PUT', 'POST', 'PATCH'].includes(method)
  const ours: (readonly [string, string | undefined])[] = [
    ['Host', url.authority],
    ['User-Agent', `${profile.userAgent} 3gpp-gba`],
    ['Accept', '*/*'],
    ...profile.headers,
    ['X-3GPP-Intended-Identity', intendedIdentity && profile.formatIntendedIdentity(intendedIdentity)],
    ['Content-Length', bodiless || named.has('transfer-encoding') ? undefined : String(body.length)],
  ]
  const plain = [...ours.filter(([name]) => !named.has(name.toLowerCase())), ...given].flatMap(
    ([name, value]): [string, string][] => (value === undefined ? [] : [[name, value]]),
  )
  return { url, method, body, plain, authorised: named.has('authorization'), qop }
}

export function respond({ connection, response }: Sent, rspauth: Proof['outcome']): UeResponse {
  return {
    ...response,
    connection,
    rspauth,
    header: (name) => headerValues(response.headers, name)[0],
    text: () => Buffer.from(response.body).toString('utf8'),
  }
}

export function tell({ observer, now }: UaContext, { url }: UaRequest, sent: Sent, note: string): void {
  observer({ from: 'UE', to: 'AP', interface: 'Ua', host: url.host, at: now(), ...sent, note })
}

const isList = <Item, Other>(value: readonly Item[] | Other): value is readonly Item[] => Array.isArray(value)
