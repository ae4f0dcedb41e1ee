import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ConnectionOptions } from 'node:tls'
import { computeHa1 } from '../../src/core/digest.ts'
import type { Fqdn } from '../../src/core/identity.ts'
import { UA_PSK_TLS13, type UaProtocolId, uaProtocolIdOfSuiteCode } from '../../src/core/naf-id.ts'
import { formatPskIdentity } from '../../src/core/psk-identity.ts'
import type { Secret } from '../../src/core/secret.ts'
import { impuOf, LAB_NAF } from '../../src/lab.ts'
import { issueLeaf } from '../../src/tls/issue.ts'
import { type HandRequest, type HandUe, handUe } from './hand-ue.ts'
import type { TestLab } from './lab.ts'
import { type RawTarget, rawExchange, requestOctets } from './raw-client.ts'

/** The ways in, with both kinds of shared-key TLS. */
export const WAYS = ['digest', 'psk', 'psk in TLS 1.2', 'certificate', 'password'] as const
export type Way = (typeof WAYS)[number]

const SUBSCRIBERS = ['alice', 'bob'] as const
type Name = (typeof SUBSCRIBERS)[number]

const numberOf = (name: Name) => `tel:+1555010000${name === 'alice' ? 1 : 2}`
const PASSWORD = 'a provisioned secret'

/**
 * What a lab needs to open all doors, for `TestLabOptions.prepare`: certificates of alice and bob, and the file in which
 * they have passwords.
 */
export async function openAllDoors(directory: string): Promise<object> {
  const certs = join(directory, 'certs')
  const [certificate, key] = await Promise.all(['ca.pem', 'ca.key'].map((name) => readFile(join(certs, name), 'utf8')))
  const ca = { certificate: certificate ?? '', key: key ?? '' }
  for (const name of SUBSCRIBERS) {
    const sans = [impuOf(name), numberOf(name)]
    const leaf = await issueLeaf(ca, { use: 'subscriber', name, sans }, Date.now(), 1)
    await writeFile(join(certs, `sub-${name}.pem`), leaf.certificate)
    await writeFile(join(certs, `sub-${name}.key`), leaf.key, { mode: 0o600 })
  }
  const subscribers = SUBSCRIBERS.map((name) => {
    const username = `${name}@example.org`
    const ha1 = computeHa1('MD5', username, LAB_NAF, Buffer.from(PASSWORD))
    return `  - impus: ['${impuOf(name)}', '${numberOf(name)}']
    flags: [1]
    certificate: { san: 'URI:${impuOf(name)}' }
    digest: { username: '${username}', realm: '${LAB_NAF}', ha1: { MD5: '${ha1}' } }
`
  })
  const file = join(directory, 'ap-subscribers.yaml')
  await writeFile(file, `subscribers:\n${subscribers.join('')}`, { mode: 0o600 })
  return {
    subscribersFile: file,
    subscriberCertificates: { caFile: join(certs, 'ca.pem') },
    routes: [{ appServer: 'lab', doors: ['psk', 'certificate', 'digest', 'password'] }],
  }
}

/** A UE that comes in by this way, and by no other. */
export async function doorUe(lab: TestLab, way: Way, name: Name = 'alice', naf: Fqdn = LAB_NAF): Promise<HandUe> {
  switch (way) {
    case 'digest':
      return handUe(lab, { name, naf })
    case 'password':
      return withPassword(lab, name, naf)
    case 'certificate': {
      const [cert, key] = await Promise.all(
        ['pem', 'key'].map((kind) => readFile(join(lab.directory, 'certs', `sub-${name}.${kind}`))),
      )
      return withoutDigest(lab, naf, { ...(cert && { cert }), ...(key && { key }) })
    }
    default: {
      const ue = await lab.ue(name)
      const { btid, ksNaf } = await ue.bootstrap()
      const id: UaProtocolId = way === 'psk' ? UA_PSK_TLS13 : uaProtocolIdOfSuiteCode(0x00a8)
      return withoutDigest(lab, naf, pskOptions(formatPskIdentity(btid), ksNaf(naf, id), way === 'psk'))
    }
  }
}

export function pskOptions(identity: string, key: Secret, tls13: boolean): ConnectionOptions {
  const version = tls13 ? 'TLSv1.3' : 'TLSv1.2'
  return {
    minVersion: version,
    maxVersion: version,
    ciphers: tls13 ? 'TLS_AES_128_GCM_SHA256' : 'PSK-AES128-GCM-SHA256',
    pskCallback: () => ({ identity, psk: Buffer.from(key.expose()) }),
    // There is no certificate to be checked: the server has the key, or there is no connection.
    ...(!tls13 && { checkServerIdentity: () => undefined }),
  }
}

/** Who it is, the connection says: its requests have no Authorization. */
function withoutDigest(lab: TestLab, naf: Fqdn, options: ConnectionOptions): HandUe {
  const at: RawTarget = {
    port: lab.app.addresses.ap?.port ?? 0,
    tls: { ...options, servername: naf, ca: lab.ca },
  }
  const signed = async (method: string, target: string, { headers = [], body, host = naf }: HandRequest = {}) => {
    const length = body === undefined ? [] : [`Content-Length: ${Buffer.byteLength(body)}`]
    const lines = [`Host: ${host}`, 'User-Agent: hand 3gpp-gba', ...length, ...headers]
    return requestOctets(`${method} ${target} HTTP/1.1`, lines, body)
  }
  const send: HandUe['send'] = (octets, method) => rawExchange(at, octets, method)
  return {
    at,
    naf,
    btid: '',
    password: '',
    freshNonce: () => assert.fail('no nonce without Digest'),
    signed,
    send,
    request: async (method, target, request) => send(await signed(method, target, request), method),
  }
}

/** Its challenge comes without a GBA token in User-Agent. */
async function withPassword(lab: TestLab, name: Name, naf: Fqdn): Promise<HandUe> {
  const ue = await handUe(lab, { name, naf })
  const cnonce = randomBytes(8).toString('hex')
  let held: string | undefined
  let count = 0
  const freshNonce = async () => {
    const lines = [`Host: ${naf}`, 'User-Agent: hand']
    const answer = await ue.send(requestOctets('GET /resource-lists/global/index HTTP/1.1', lines))
    const challenge = answer.values('www-authenticate').find((value) => value.includes(`realm="${naf}"`))
    return /nonce="([^"]+)"/.exec(challenge ?? '')?.[1] ?? assert.fail(`no challenge but ${answer.status}`)
  }
  const signed = async (method: string, target: string, request: HandRequest = {}) => {
    if (held === undefined && request.nonce === undefined) held = await freshNonce()
    if (request.nc === undefined) count++
    const own = {
      nonce: held ?? '',
      nc: count,
      cnonce,
      username: `${name}@example.org`,
      realm: naf,
      password: PASSWORD,
    }
    return ue.signed(method, target, { ...own, ...request })
  }
  return {
    ...ue,
    freshNonce,
    signed,
    request: async (method, target, request) => ue.send(await signed(method, target, request), method),
  }
}
