import type { EpochMs } from '../core/bytes.ts'
import { productTokens } from '../core/headers.ts'

/** Header fields in the order and letter case of the wire. */
export type HeaderList = readonly (readonly [name: string, value: string])[]

export interface UeRequestMessage {
  readonly method: string
  /** Request target as sent. */
  readonly target: string
  readonly headers: HeaderList
  readonly body: Uint8Array
}

export interface UeResponseMessage {
  readonly status: number
  readonly reason: string
  readonly headers: HeaderList
  readonly body: Uint8Array
}

/** The connection under one exchange. */
export interface UeConnection {
  /** Absent on plain HTTP. */
  readonly tls?: {
    /** As IANA names it. */
    readonly suite: string
    /** As OpenSSL, hence curl, names it. */
    readonly cipher: string
    readonly version: string
    /** The handshake stands on the bootstrapped key: both ends are known by it. */
    readonly psk?: true
  }
}

/** One request and its answer, and the connection they went over. */
export interface Sent {
  readonly connection: UeConnection
  readonly request: UeRequestMessage
  readonly response: UeResponseMessage
}

/** One request and its answer, as the observer sees them. Never a key: headers hold digests at most. */
export interface UeExchange extends Sent {
  readonly from: 'UE'
  readonly to: 'BSF' | 'AP'
  readonly interface: 'Ub' | 'Ua'
  readonly host: string
  readonly at: EpochMs
  /** What the exchange proved, or asks for. */
  readonly note: string
}

export type UeObserver = (exchange: UeExchange) => void

/** Every value of one field, letter case of the name disregarded. */
export function headerValues(headers: HeaderList, name: string): string[] {
  return headers.filter(([field]) => field.toLowerCase() === name.toLowerCase()).map(([, value]) => value)
}

/** Whether a product token stands in a User-Agent or Server field. @see 3GPP TS 24.109 Annex A.3 (Rel-17) */
export function hasToken(headers: HeaderList, name: string, token: string): boolean {
  return headerValues(headers, name).some((value) => productTokens(value).has(token))
}
