import { createHash, hkdfSync } from 'node:crypto'

import type { ConnectionOptions } from 'node:tls'
import type { Fqdn } from '../../../src/core/identity.ts'
import { UA_PSK_TLS13, type UaProtocolId, uaProtocolIdOfSuiteCode } from '../../../src/core/naf-id.ts'
import { formatPskIdentity } from '../../../src/core/psk-identity.ts'
import { createUe, type Ue } from '../../../src/ue/flow.ts'
import { parseSim } from '../../../src/ue/sim.ts'
import { pskOptions } from '../../support/door-ue.ts'

export const DOMAIN = 'ims.mnc001.mcc001.3gppnetwork.org'
export const BSF = 'bsf.mnc001.mcc001.pub.3gppnetwork.org'
export const NAF = 'xcap.ims.mnc001.mcc001.pub.3gppnetwork.org' as Fqdn
export const REALM = `3GPP-bootstrapping@${NAF}`

/** As many as there are connections at most: each has a document tree and a nonce of its own. */
export const UES = 256
const BOOTSTRAPPING = 64

/** Who sends a request: name and password of a Digest. */
export interface Account {
  readonly impu: string
  readonly username: string
  readonly password: string
}

const keyOf = (n: number, use: string): string =>
  Buffer.from(hkdfSync('sha256', `subscriber ${n} of the benchmark`, '', use, 16)).toString('hex')
const imsiOf = (n: number): string => `00101${String(n).padStart(10, '0')}`
const impuOf = (n: number): string => `sip:user${n}@${DOMAIN}`

export function subscribersYaml(): string {
  const each = Array.from({ length: UES + BOOTSTRAPPING }, (_, n) => {
    const impus = `['${impuOf(n)}', 'tel:+1555${String(n).padStart(7, '0')}']`
    const keys = `k: '${keyOf(n, 'K')}'\n    opc: '${keyOf(n, 'OPc')}'`
    return `  - impi: ${imsiOf(n)}@${DOMAIN}\n    ${keys}\n    impus: ${impus}\n    uss: [{ gsid: 3 }, { gsid: 2 }]\n`
  })
  return `subscribers:\n${each.join('')}`
}

/** Where UEs find BSF and AP. */
export interface Places {
  readonly ub: number
  readonly ap: number
}

/** One who is new at every server. */
function ueOf(n: number, { ub, ap }: Places, ca: Buffer): Ue {
  const connect = `connect:\n  ${BSF}: '127.0.0.1:${ub}'\n  ${NAF}: '127.0.0.1:${ap}'\n`
  const sim = `imsi: '${imsiOf(n)}'\nk: '${keyOf(n, 'K')}'\nopc: '${keyOf(n, 'OPc')}'\n${connect}`
  return createUe(parseSim(sim, `subscriber ${n}`), { ca })
}

export interface Bootstrapped extends Account {
  /** For a connection that stands on the key. */
  readonly psk: Readonly<Record<'1.2' | '1.3', ConnectionOptions>>
}

/** Bootstraps each. */
export async function bootstrapped(places: Places, ca: Buffer): Promise<Bootstrapped[]> {
  const accounts: Bootstrapped[] = []
  for (let n = 0; n < UES; n++) {
    const ue = ueOf(n, places, ca)
    const { btid, ksNaf } = await ue.bootstrap()
    const { password } = await ue.credentials(`https://${NAF}/`)
    ue.close()
    const by = (id: UaProtocolId, isTls13: boolean) => pskOptions(formatPskIdentity(btid), ksNaf(NAF, id), isTls13)
    const psk = { '1.3': by(UA_PSK_TLS13, true), '1.2': by(uaProtocolIdOfSuiteCode(0x00a8), false) }
    accounts.push({ impu: impuOf(n), username: btid, password, psk })
  }
  return accounts
}

/** UEs that have nothing else to do: a bootstrap of theirs ends no other. */
export const bootstrapping = (places: Places, ca: Buffer): Ue[] =>
  Array.from({ length: BOOTSTRAPPING }, (_, n) => ueOf(UES + n, places, ca))

/** For servers that know of no bootstrap. */
export const provisioned = (): Account[] =>
  Array.from({ length: UES }, (_, n) => ({
    impu: impuOf(n),
    username: `user${n}@${DOMAIN}`,
    password: keyOf(n, 'word'),
  }))

export const md5 = (text: string): string => createHash('md5').update(text).digest('hex')
export const ha1Of = ({ username, password }: Account): string => md5(`${username}:${REALM}:${password}`)

export interface Challenge {
  readonly nonce: string
  readonly opaque: string | undefined
}

/** @throws Error when the answer holds no Digest challenge for this realm */
export function challengeIn(answer: string): Challenge {
  const line = /^www-authenticate: digest (.*)$/im.exec(answer)?.[1] ?? ''
  const param = (name: string) => new RegExp(`(?:^|[ ,])${name}="([^"]*)"`).exec(line)?.[1]
  const nonce = param('nonce')
  if (nonce === undefined || param('realm') !== REALM) throw new Error(`no challenge in: ${answer.slice(0, 400)}`)
  return { nonce, opaque: param('opaque') }
}

/** A request in the pieces between which nc and response stand. */
export interface Pieces {
  /** Up to the value of nc. */
  readonly head: string
  /** HA1; absent: the request has no Digest, and is head and tail. */
  readonly ha1?: string
  /** Of the text that is hashed: between HA1 and nc, and after nc. */
  readonly middle1: string
  readonly middle2: string
  readonly tail: string
}

const CNONCE = '9f8a7c6b5d4e3f21'

export function piecesOf(
  method: string,
  document: string,
  account: Account,
  challenge: Challenge | undefined,
  options: { readonly body?: string; readonly headers?: readonly string[] } = {},
): Pieces {
  const uri = `/resource-lists/users/${account.impu}/${document}`
  const { body, headers = [] } = options
  const lines = [
    `${method} ${uri} HTTP/1.1`,
    `Host: ${NAF}`,
    'User-Agent: bench 3gpp-gba',
    'Accept: application/resource-lists+xml',
    `X-3GPP-Intended-Identity: "${account.impu}"`,
    ...(body === undefined ? [] : ['Content-Type: application/resource-lists+xml', `Content-Length: ${body.length}`]),
    ...headers,
  ]
  const end = `\r\n\r\n${body ?? ''}`
  if (!challenge) return { head: lines.join('\r\n'), middle1: '', middle2: '', tail: end }
  const { nonce, opaque } = challenge
  const digest =
    `Authorization: Digest username="${account.username}", realm="${REALM}", nonce="${nonce}", uri="${uri}", ` +
    `algorithm=MD5, qop=auth, cnonce="${CNONCE}"${opaque === undefined ? '' : `, opaque="${opaque}"`}, nc=`
  return {
    head: `${lines.join('\r\n')}\r\n${digest}`,
    ha1: ha1Of(account),
    middle1: `:${nonce}:`,
    middle2: `:${CNONCE}:auth:${md5(`${method}:${uri}`)}`,
    tail: `"${end}`,
  }
}

/** The whole request, with this nonce count. */
export function requestOf({ head, ha1, middle1, middle2, tail }: Pieces, count: number): string {
  if (ha1 === undefined) return head + tail
  const nc = count.toString(16).padStart(8, '0')
  return `${head}${nc}, response="${md5(`${ha1}${middle1}${nc}${middle2}`)}${tail}`
}
