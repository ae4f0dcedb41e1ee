import { once } from 'node:events'
import http from 'node:http'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { TLSSocket } from 'node:tls'
import { akaNonce, generateAv, nextSqn, recoverSqn } from '../../src/core/aka.ts'
import { formatBootstrappingInfo } from '../../src/core/bootstrapping-info.ts'
import { type EpochMs, fromBase64, fromHex, toBase64, toHex, utf8 } from '../../src/core/bytes.ts'
import { computeHa1, computeResponse, type DigestAlgorithm, hashBody, type Qop } from '../../src/core/digest.ts'
import { type DigestCredentials, formatChallenge, parseAuthorization } from '../../src/core/digest-header.ts'
import { btidOf, type Fqdn, type Impi } from '../../src/core/identity.ts'
import { deriveKs, deriveKsNaf, deriveTmpi } from '../../src/core/kdf.ts'
import { milenage } from '../../src/core/milenage.ts'
import { nafIdOf, UA_HTTP_DIGEST, uaProtocolIdOfSuite } from '../../src/core/naf-id.ts'
import { Secret } from '../../src/core/secret.ts'
import type { Issued } from '../../src/tls/issue.ts'

/** Milenage test set 1 (TS 35.208), the card of the golden flow. */
export const SET_1 = {
  k: '465b5ce8b199b49faa5f0a2ee238a6bc',
  opc: 'cd63cb71954a9f4e48a5994e37a02baf',
  amf: 'b9b9',
  rand: '23553cbe9637a89d218ae64dae47bf35',
  sqn: 'ff9bb4d0b607',
} as const
export const IMPI = '001010123456789@ims.mnc001.mcc001.3gppnetwork.org' as Impi
export const BSF = 'bsf.mnc001.mcc001.pub.3gppnetwork.org' as Fqdn
export const NAF = 'xcap.ims.mnc001.mcc001.pub.3gppnetwork.org' as Fqdn

/** A request as it arrived. */
export interface Arrived {
  readonly method: string
  readonly target: string
  readonly rawHeaders: readonly string[]
  readonly headers: http.IncomingHttpHeaders
  readonly body: Uint8Array
}

interface Session {
  readonly impi: Impi
  readonly ks: Secret
  readonly rand: Uint8Array
}

export interface FakeBsfOptions {
  /** RANDs of the first challenges, then they are counted up. */
  rands?: readonly string[]
  /** SQN of the first challenge. */
  sqn?: string
  /** Knows another key than the UE: MAC in AUTN is wrong. */
  otherKey?: boolean
  /** Answers no AUTS with a fitting SQN. */
  deafToAuts?: boolean
  rspauth?: 'wrong' | 'none'
  /** Status of every answer. */
  refuse?: number
  refuseTmpi?: number
  /** Without the product token. */
  noTmpi?: boolean
  opaque?: string
  expiresAt?: EpochMs
  challenge?: string
  info?: string
}

/** A BSF and HSS with one subscriber, as simple as can be; what it does wrong it is told to. */
export async function fakeBsf(options: FakeBsfOptions = {}) {
  const algorithm = milenage(
    new Secret(fromHex(options.otherKey ? '00'.repeat(16) : SET_1.k)),
    new Secret(fromHex(SET_1.opc)),
  )
  const sessions = new Map<string, Session>()
  const tmpis = new Map<string, Impi>()
  const requests: Arrived[] = []
  let sqn = fromHex(options.sqn ?? SET_1.sqn)
  let drawn = 0
  let pending: ReturnType<typeof draw> | undefined

  function draw() {
    const rand = fromHex(options.rands?.[drawn] ?? toHex(Uint8Array.from({ length: 16 }, (_, i) => drawn + i)))
    if (drawn > 0) sqn = nextSqn(sqn, (sqn.at(-1) ?? 0) % 32)
    drawn += 1
    return generateAv(algorithm, rand, sqn, fromHex(SET_1.amf))
  }

  const server = http.createServer(async (request, response) => {
    requests.push(await arrived(request))
    const answer = (status: number, headers: Record<string, string> = {}, body = '') => {
      response.writeHead(status, { server: `bsf${options.noTmpi ? '' : ' 3gpp-gba-tmpi'}`, ...headers })
      response.end(body)
    }
    if (options.refuse) return answer(options.refuse)
    const credentials = parseAuthorization(request.headers.authorization ?? '')
    if (!credentials) return answer(400)
    const { username, nonce, realm, uri, nc, cnonce, qop } = credentials
    const isTmpi = username.endsWith('@tmpi.bsf.3gppnetwork.org')
    if (isTmpi && options.refuseTmpi) return answer(options.refuseTmpi)
    const impi = isTmpi ? tmpis.get(username) : IMPI
    if (!impi) return answer(403)
    const challenge = () => {
      pending = draw()
      const text = formatChallenge({
        realm: BSF,
        nonce: akaNonce(pending.rand, pending.autn),
        algorithm: 'AKAv1-MD5',
        qop: ['auth-int'],
        opaque: options.opaque ?? 'b3BhcXVl',
      })
      answer(401, { 'www-authenticate': options.challenge ?? text })
    }
    if (nonce === '') return challenge()
    const av = pending
    pending = undefined
    if (!av || nonce !== akaNonce(av.rand, av.autn) || credentials.response === '') return answer(403)
    const password = credentials.auts === undefined ? av.xres.expose() : new Uint8Array()
    const ha1 = computeHa1('AKAv1-MD5', username, realm, password)
    const common = { algorithm: 'AKAv1-MD5', ha1, nonce, nc, cnonce, qop, uri } as const
    const expected = computeResponse({ ...common, method: 'GET', bodyHash: hashBody('MD5', new Uint8Array()) })
    if (expected !== credentials.response) return answer(403)
    if (credentials.auts !== undefined) {
      const sqnMs = recoverSqn(algorithm, av.rand, fromBase64(credentials.auts) ?? new Uint8Array(14))
      if (!sqnMs) return answer(403)
      if (!options.deafToAuts) sqn = sqnMs
      return challenge()
    }
    const btid = btidOf(av.rand, BSF)
    const ks = deriveKs(av.ck, av.ik)
    sessions.set(btid, { impi, ks, rand: av.rand })
    tmpis.set(deriveTmpi(ks, av.rand, impi, BSF), impi)
    const expiresAt = options.expiresAt ?? Date.now() + 3_600_000
    const body = options.info ?? formatBootstrappingInfo({ btid, expiresAt })
    const right = computeResponse({ ...common, method: '', bodyHash: hashBody('MD5', utf8(body)) })
    const rspauth = options.rspauth === 'wrong' ? '0'.repeat(32) : right
    answer(
      200,
      {
        'content-type': 'application/vnd.3gpp.bsf+xml',
        ...(options.rspauth !== 'none' && {
          'authentication-info': `qop=auth-int,rspauth="${rspauth}",cnonce="${cnonce}",nc=${nc}`,
        }),
      },
      body,
    )
  })
  return { ...(await listening(server)), requests, sessions, drawn: () => drawn, options }
}

export interface FakeNafOptions {
  sessions: ReadonlyMap<string, Session>
  tls?: Issued & { maxVersion?: 'TLSv1.2' | 'TLSv1.3' }
  algorithms?: readonly DigestAlgorithm[]
  qop?: readonly Qop[]
  opaque?: string
  /** Given out in turn; then they are made up. */
  nonces?: readonly string[]
  realm?: string
  /** Takes a digest uri with a slash more than the target has. */
  trailingSlash?: boolean
  /** B-TIDs that are refused as unknown. */
  unknown?: Set<string>
  /** Refuses every request. */
  refuse?: boolean
  /** Nonces that have aged. */
  stale?: Set<string>
  rspauth?: 'wrong' | 'none'
  nextnonce?: string
  /** Runs before a request is judged. */
  meanwhile?: (request: Arrived) => Promise<unknown> | undefined
  /** Never answers. */
  silent?: boolean
  /** Targets at whose first request the connection is cut. */
  drop?: Set<string>
  /** What the server behind says. */
  answer?: (request: Arrived) => { status: number; headers?: Record<string, string>; body?: string }
}

/** A NAF with one host; it checks the response and that no count comes twice. */
export async function fakeNaf(options: FakeNafOptions) {
  const requests: (Arrived & { readonly credentials: DigestCredentials | undefined })[] = []
  const counts = new Map<string, Set<string>>()
  let given = 0

  const listener: http.RequestListener = async (request, response) => {
    const got = await arrived(request)
    const credentials = parseAuthorization(request.headers.authorization ?? '')
    requests.push({ ...got, credentials })
    await options.meanwhile?.(got)
    if (options.silent) return
    if (options.drop?.delete(got.target)) return request.socket.destroy()
    const challenge = (stale: boolean) => {
      const nonce = options.nonces?.[given] ?? `nonce-${given}`
      given += 1
      counts.set(nonce, new Set())
      const { qop = ['auth', 'auth-int'], opaque = 'bmFm', realm = `3GPP-bootstrapping@${NAF}` } = options
      const lines = (options.algorithms ?? (['MD5'] as const)).map((algorithm) =>
        formatChallenge({ realm, nonce, algorithm, qop, opaque, ...(stale && { stale }) }),
      )
      response.writeHead(401, { 'www-authenticate': lines })
      response.end('nothing here')
    }
    const session = credentials && options.sessions.get(credentials.username)
    if (!credentials || !session || options.refuse || options.unknown?.has(credentials.username))
      return challenge(false)
    const suite = request.socket instanceof TLSSocket ? request.socket.getCipher().standardName : undefined
    const id = suite === undefined ? UA_HTTP_DIGEST : uaProtocolIdOfSuite(suite)
    if (!id) throw new Error(`suite ${suite}`)
    const { algorithm = 'MD5', username, realm, nonce, nc = '', cnonce = '', qop } = credentials
    const password = utf8(toBase64(deriveKsNaf(session.ks, session.rand, session.impi, nafIdOf(NAF, id)).expose(32)))
    const ha1 = computeHa1(algorithm, username, realm, password, { nonce, cnonce })
    const uri = options.trailingSlash && credentials.uri === `${got.target}/` ? credentials.uri : got.target
    const common = { algorithm, ha1, nonce, nc, cnonce, qop, uri }
    const expected = computeResponse({ ...common, method: got.method, bodyHash: hashBody(algorithm, got.body) })
    const seen = counts.get(nonce)
    if (expected !== credentials.response || credentials.uri !== uri || !seen || seen.has(nc)) return challenge(false)
    if (options.stale?.has(nonce)) return challenge(true)
    seen.add(nc)
    const { status, headers = {}, body = '' } = options.answer?.(got) ?? { status: 200, body: 'content' }
    const sentBody = utf8(got.method === 'HEAD' ? '' : body)
    const right = computeResponse({ ...common, method: '', bodyHash: hashBody(algorithm, sentBody) })
    const next = options.nextnonce
    if (next !== undefined && !counts.has(next)) counts.set(next, new Set())
    const info = [
      `qop=${qop}`,
      ...(options.rspauth === 'none' ? [] : [`rspauth="${options.rspauth === 'wrong' ? '0'.repeat(32) : right}"`]),
      `cnonce="${cnonce}",nc=${nc}`,
      ...(next === undefined ? [] : [`nextnonce="${next}"`]),
    ]
    response.writeHead(status, { ...headers, 'authentication-info': info.join(',') })
    response.end(body)
  }
  const { tls } = options
  const server = tls
    ? https.createServer({ key: tls.key, cert: tls.certificate, maxVersion: tls.maxVersion ?? 'TLSv1.3' }, listener)
    : http.createServer(listener)
  return { ...(await listening(server)), requests, options }
}

async function listening(server: http.Server) {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

async function arrived(request: http.IncomingMessage): Promise<Arrived> {
  const chunks: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  const { method = '', url = '', rawHeaders, headers } = request
  return { method, target: url, rawHeaders, headers, body: new Uint8Array(Buffer.concat(chunks)) }
}
