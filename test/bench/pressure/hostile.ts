import { randomBytes } from 'node:crypto'
import { connect as connectTcp } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { btidOf } from '../../../src/core/identity.ts'
import { formatPskIdentity } from '../../../src/core/psk-identity.ts'
import { Secret } from '../../../src/core/secret.ts'
import { LAB_BSF, LAB_NAF } from '../../../src/lab.ts'
import { pskOptions } from '../../support/door-ue.ts'
import { challengeOf, type HandCard, handUb } from '../../support/hand-ub.ts'
import type { HandUe } from '../../support/hand-ue.ts'
import { type RawTarget, rawConnect, rawExchange, requestOctets } from '../../support/raw-client.ts'

/** One thing that somebody does who should not. @returns the status, 0 where there was no answer */
export type Hostility = () => Promise<number>

export interface Hostiles {
  /** Who has a key and misuses it. */
  readonly ue: HandUe
  readonly card: HandCard
  readonly ub: RawTarget
  /** A document of its own, and one of somebody else. */
  readonly own: string
  readonly foreign: string
}

/** What a proxy on the open network meets, by name. Each is refused, and none of it is anybody's bug. */
export function hostilities({ ue, card, ub, own, foreign }: Hostiles): Readonly<Record<string, Hostility>> {
  const status = async (answer: Promise<{ readonly status: number }>) =>
    answer.then(
      (answered) => answered.status,
      () => 0,
    )
  const send = (octets: Uint8Array | string) => status(rawExchange(ue.at, octets))
  const signed = async (...how: Parameters<HandUe['signed']>) => send(await ue.signed(...how))
  const bare = (line: string, ...headers: string[]) => send(requestOctets(line, [`Host: ${LAB_NAF}`, ...headers]))
  const card_ = handUb(ub, card)
  return {
    'a wrong password': () => signed('GET', own, { password: randomBytes(16).toString('base64') }),
    'a B-TID that there is not': () => signed('GET', own, { username: btidOf(randomBytes(16), LAB_BSF) }),
    'a username that is none': () => signed('GET', own, { username: `x${randomBytes(4).toString('hex')}` }),
    'a nonce of nobody': () => signed('GET', own, { nonce: randomBytes(30).toString('base64url'), nc: 1 }),
    'a request again': async () => {
      const octets = await ue.signed('GET', own)
      await send(octets)
      return send(octets)
    },
    "somebody else's tree": () => signed('PUT', foreign, { body: '<a/>' }),
    "somebody else's name": () =>
      signed('GET', own, { headers: [`X-3GPP-Intended-Identity: "sip:${foreign.split('/')[3]}"`] }),
    'a name asserted': () => signed('GET', own, { headers: ['X-3GPP-Asserted-Identity: "sip:root@example.com"'] }),
    'an oversize header': () => bare(`GET ${own} HTTP/1.1`, `X: ${'x'.repeat(20_000)}`),
    'many headers': () => bare(`GET ${own} HTTP/1.1`, ...Array.from({ length: 300 }, (_, n) => `X-${n}: 1`)),
    'an oversize body': () => bare(`PUT ${own} HTTP/1.1`, 'Content-Length: 99999999'),
    'no HTTP': () => send(randomBytes(200)),
    'two lengths': () => bare(`PUT ${own} HTTP/1.1`, 'Content-Length: 1', 'Content-Length: 2'),
    'a path that climbs': () => bare('GET /resource-lists/users/../../etc/passwd HTTP/1.1'),
    'an unknown host': () => send(requestOctets(`GET ${own} HTTP/1.1`, ['Host: evil.example.com'])),
    'a method that is none': () => bare(`BREW ${own} HTTP/1.1`),
    'hanging up in the midst': async () => {
      const connection = await rawConnect(ue.at)
      connection.write(`PUT ${own} HTTP/1.1\r\nHost: ${LAB_NAF}\r\nContent-Length: 50\r\n\r\nabc`)
      connection.close()
      return 0
    },
    'a handshake that is none': () => clearText(ue.at.port),
    'a shared key that is wrong': () => wrongKey(ue),
    'Ub: a wrong response': async () => {
      const hello = await card_.hello()
      if (hello.status !== 401) return hello.status
      return status(card_.send(card_.answerTo(challengeOf(hello), { password: randomBytes(8) })))
    },
    'Ub: a stranger': () => status(card_.hello({ username: `x${randomBytes(4).toString('hex')}@example.com` })),
    'Ub: no HTTP': () => status(rawExchange(ub, randomBytes(100))),
  }
}

function clearText(port: number): Promise<number> {
  return new Promise((resolve) => {
    const socket = connectTcp(port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'))
    socket.resume().once('close', () => resolve(0))
    socket.on('error', () => {})
    setTimeout(() => socket.destroy(), 2_000).unref()
  })
}

/** Whose handshake fails, as it should. */
function wrongKey({ at, btid }: HandUe): Promise<number> {
  return new Promise((resolve) => {
    const options = pskOptions(formatPskIdentity(btid as ReturnType<typeof btidOf>), new Secret(randomBytes(32)), true)
    const socket = connectTls({ host: '127.0.0.1', port: at.port, servername: LAB_NAF, ca: at.tls?.ca, ...options })
    socket.once('secureConnect', () => {
      socket.destroy()
      resolve(200)
    })
    socket.on('error', () => {}).once('close', () => resolve(0))
  })
}
