import { createHash } from 'node:crypto'
import { parseAkaNonce } from '../../src/core/aka.ts'
import { toHex, xor } from '../../src/core/bytes.ts'
import { milenage } from '../../src/core/milenage.ts'
import type { Secret } from '../../src/core/secret.ts'
import { type RawAnswer, type RawTarget, rawExchange, requestOctets } from './raw-client.ts'

/** The card of a hand-made UE. */
export interface HandCard {
  readonly impi: string
  readonly k: Secret
  readonly opc: Secret
}

/** Message 2, taken apart. */
export interface UbChallenge {
  readonly realm: string
  readonly nonce: string
  readonly opaque: string
  readonly rand: Uint8Array
  readonly autn: Uint8Array
}

/** How message 3 is made; whatever is absent is as it should be. */
export interface UbAnswer {
  readonly username?: string
  readonly realm?: string
  readonly nonce?: string
  readonly opaque?: string
  readonly uri?: string
  readonly qop?: string
  readonly nc?: string
  readonly cnonce?: string
  readonly algorithm?: string
  readonly password?: Uint8Array
  readonly auts?: string
  readonly host?: string
  readonly userAgent?: string
}

export interface HandUb {
  /** Message 1. */
  hello(options?: {
    readonly username?: string
    readonly host?: string
    readonly userAgent?: string
  }): Promise<RawAnswer>
  /** Octets of message 3. */
  answerTo(challenge: UbChallenge, answer?: UbAnswer): Buffer
  send(octets: Uint8Array): Promise<RawAnswer>
  /** SQN of a challenge, as a number. */
  sqnOf(challenge: UbChallenge): number
  /** AUTS for a challenge that this card refuses: SQN_MS as a number. */
  autsFor(challenge: UbChallenge, sqnMs: number): string
  /** What the answer's rspauth has to be. */
  rspauthOf(challenge: UbChallenge, body: Uint8Array, username?: string): string
}

const HOST = 'bsf.mnc001.mcc001.pub.3gppnetwork.org'
const md5 = (...parts: readonly (string | Uint8Array)[]): string => {
  const hash = createHash('md5')
  for (const part of parts) hash.update(part)
  return hash.digest('hex')
}
const CNONCE = '6b8b4567327b23c6'

/** A UE that speaks Ub by hand, with digests computed apart from the product's. */
export function handUb(at: RawTarget, { impi, k, opc }: HandCard): HandUb {
  const algorithm = milenage(k, opc)
  const send = (octets: Uint8Array) => rawExchange(at, octets)
  const res = ({ rand }: UbChallenge) => algorithm.f2345(rand).res.expose()
  const response = (challenge: UbChallenge, given: UbAnswer, method: string, body: string | Uint8Array) => {
    const { username = impi, realm = challenge.realm, nonce = challenge.nonce, uri = '/' } = given
    const { qop = 'auth-int', nc = '00000001', cnonce = CNONCE, password = res(challenge) } = given
    const ha2 = md5(`${method}:${uri}:${md5(body)}`)
    return md5(`${md5(`${username}:${realm}:`, password)}:${nonce}:${nc}:${cnonce}:${qop}:${ha2}`)
  }
  return {
    send,
    hello({ username = impi, host = HOST, userAgent = 'hand 3gpp-gba-tmpi' } = {}) {
      const authorization = `Digest username="${username}", realm="${host}", nonce="", uri="/", response=""`
      return send(
        requestOctets('GET / HTTP/1.1', [
          `Host: ${host}`,
          `User-Agent: ${userAgent}`,
          `Authorization: ${authorization}`,
        ]),
      )
    },
    answerTo(challenge, given = {}) {
      const { username = impi, realm = challenge.realm, nonce = challenge.nonce, opaque = challenge.opaque } = given
      const { uri = '/', qop = 'auth-int', nc = '00000001', cnonce = CNONCE, auts } = given
      const { host = challenge.realm, userAgent = 'hand 3gpp-gba-tmpi', algorithm = 'AKAv1-MD5' } = given
      const authorization =
        `Digest username="${username}", realm="${realm}", nonce="${nonce}", uri="${uri}", qop=${qop}, nc=${nc}, ` +
        `cnonce="${cnonce}", response="${response(challenge, given, 'GET', '')}", opaque="${opaque}", ` +
        `algorithm=${algorithm}${auts === undefined ? '' : `, auts="${auts}"`}`
      return requestOctets('GET / HTTP/1.1', [
        `Host: ${host}`,
        `User-Agent: ${userAgent}`,
        `Authorization: ${authorization}`,
      ])
    },
    sqnOf: ({ rand, autn }) => Number.parseInt(toHex(xor(autn.slice(0, 6), algorithm.f2345(rand).ak.expose())), 16),
    autsFor({ rand }, sqnMs) {
      const sqn = Buffer.from(sqnMs.toString(16).padStart(12, '0'), 'hex')
      const concealed = xor(sqn, algorithm.f5Star(rand).expose())
      return Buffer.concat([concealed, algorithm.f1Star(rand, sqn, new Uint8Array(2))]).toString('base64')
    },
    rspauthOf: (challenge, body, username = impi) => response(challenge, { username }, '', body),
  }
}

/** @throws Error when the answer is no challenge */
export function challengeOf(answer: RawAnswer): UbChallenge {
  const text = answer.header('www-authenticate') ?? ''
  const param = (name: string) => new RegExp(`${name}="([^"]*)"`).exec(text)?.[1] ?? ''
  const nonce = parseAkaNonce(param('nonce'))
  if (answer.status !== 401 || !nonce) throw new Error(`no challenge but ${answer.status}`)
  return { realm: param('realm'), nonce: param('nonce'), opaque: param('opaque'), ...nonce }
}
