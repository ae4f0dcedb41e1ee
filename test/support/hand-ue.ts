import { createHash } from 'node:crypto'
import type { UaProtocolId } from '../../src/core/naf-id.ts'
import { LAB_NAF, type LabSubscriber } from '../../src/lab.ts'
import type { UeOptions } from '../../src/ue/flow.ts'
import type { TestLab } from './lab.ts'
import { type RawAnswer, type RawTarget, rawExchange, requestOctets } from './raw-client.ts'

/** What one request is signed with; whatever is absent is as it should be. */
export interface Signing {
  readonly qop?: 'auth' | 'auth-int'
  readonly algorithm?: string
  readonly nonce?: string
  /** As text, or a number that is written in 8 hex digits. */
  readonly nc?: number | string
  readonly cnonce?: string
  readonly username?: string
  readonly password?: string
  readonly realm?: string
  readonly uri?: string
  readonly opaque?: string
  readonly response?: string
  /** Stands in the digest in the place of the body that is sent. */
  readonly signedBody?: string | Uint8Array
}

export interface HandRequest extends Signing {
  /** Field lines besides Host, User-Agent, Authorization and Content-Length. */
  readonly headers?: readonly string[]
  readonly body?: string | Uint8Array
  /** Replaces Host, and what follows from it. */
  readonly host?: string
}

/**
 * A UE that holds a key and does by hand what a test wants: each octet of its requests can be other than it should be.
 * Its digests are computed apart from the product's.
 */
export interface HandUe {
  readonly at: RawTarget
  readonly naf: string
  readonly btid: string
  /** base64(Ks_NAF). */
  readonly password: string
  /** The nonce of a fresh challenge. */
  freshNonce(): Promise<string>
  /** Octets of one request, signed over the nonce held with its next count. */
  signed(method: string, target: string, request?: HandRequest): Promise<Buffer>
  /** Sends octets on a connection of their own. */
  send(octets: Uint8Array, method?: string): Promise<RawAnswer>
  request(method: string, target: string, request?: HandRequest): Promise<RawAnswer>
}

/** What of a lab such a UE needs. */
export type Reached = Pick<TestLab, 'app' | 'ca' | 'ue'>

export interface HandUeOptions {
  readonly name?: LabSubscriber
  readonly naf?: string
  readonly uaId?: UaProtocolId
  readonly ue?: UeOptions
}

/** Bootstraps with the UE emulator, then goes on by hand. */
export async function handUe(lab: Reached, options: HandUeOptions = {}): Promise<HandUe> {
  const { naf = LAB_NAF, uaId } = options
  const ue = await lab.ue(options.name ?? 'alice', { ...options.ue, ...(uaId && { uaId }) })
  const { btid, password } = await ue.credentials(`https://${naf}/`)
  const at = apOf(lab, naf)
  let held: string | undefined
  let count = 0
  const send = (octets: Uint8Array, method?: string) => rawExchange(at, octets, method)

  async function freshNonce() {
    const answer = await send(
      requestOctets(`GET /resource-lists/global/index HTTP/1.1`, [`Host: ${naf}`, 'User-Agent: hand 3gpp-gba']),
    )
    const nonce = /nonce="([^"]+)"/.exec(answer.header('www-authenticate') ?? '')?.[1]
    if (answer.status !== 401 || nonce === undefined) throw new Error(`no challenge but ${answer.status}`)
    return nonce
  }

  async function signed(method: string, target: string, request: HandRequest = {}) {
    const { headers = [], body, host = naf } = request
    if (request.nonce === undefined && held === undefined) {
      held = await freshNonce()
      count = 0
    }
    if (request.nc === undefined) count++
    const signing = { nonce: held ?? '', nc: count, username: btid, password, realm: `3GPP-bootstrapping@${naf}` }
    const lines = [
      `Host: ${host}`,
      'User-Agent: hand 3gpp-gba',
      `Authorization: ${authorization(method, target, body ?? '', { ...signing, ...request })}`,
      ...(body === undefined ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]),
      ...headers,
    ]
    return requestOctets(`${method} ${target} HTTP/1.1`, lines, body)
  }

  return {
    at,
    naf,
    btid,
    password,
    freshNonce,
    signed,
    send,
    request: async (method, target, request) => send(await signed(method, target, request), method),
  }
}

/** The AP of a lab, under one of its names. */
export const apOf = (lab: Reached, naf: string = LAB_NAF): RawTarget => ({
  port: lab.app.addresses.ap?.port ?? 0,
  tls: { servername: naf, ca: lab.ca },
})

/** @see RFC 7616 clause 3.4 */
function authorization(method: string, target: string, body: string | Uint8Array, signing: Required<Named> & Signing) {
  const { username, password, realm, nonce, algorithm = 'MD5', qop = 'auth', cnonce = 'c0ffee' } = signing
  const { uri = target, opaque, signedBody = body } = signing
  const nc = typeof signing.nc === 'number' ? signing.nc.toString(16).padStart(8, '0') : signing.nc
  const h = (data: string | Uint8Array) =>
    createHash(HASHES[algorithm] ?? 'md5')
      .update(data)
      .digest('hex')
  const ha1 = h(`${username}:${realm}:${password}`)
  const ha2 = h(qop === 'auth-int' ? `${method}:${uri}:${h(signedBody)}` : `${method}:${uri}`)
  const response = signing.response ?? h(`${ha1}:${nonce}:${nc}:${cnonce}:${qop}:${ha2}`)
  return (
    `Digest username="${username}", realm="${realm}", nonce="${nonce}", uri="${uri}", algorithm=${algorithm}, ` +
    `qop=${qop}, nc=${nc}, cnonce="${cnonce}", response="${response}"${opaque === undefined ? '' : `, opaque="${opaque}"`}`
  )
}

type Named = Pick<Signing, 'username' | 'password' | 'realm' | 'nonce' | 'nc'>

const HASHES: Readonly<Record<string, string>> = { MD5: 'md5', 'SHA-256': 'sha256', 'SHA-512-256': 'sha512-256' }
