import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { describe, type TestContext } from 'node:test'
import { utf8 } from '../../src/core/bytes.ts'
import type { DigestAlgorithm, Qop } from '../../src/core/digest.ts'
import type { Fqdn, Impu } from '../../src/core/identity.ts'
import { Secret } from '../../src/core/secret.ts'
import { TOLERANCE_NAMES } from '../../src/core/tolerances.ts'
import { type FaultCode, GbaError } from '../../src/errors.ts'
import { memoryNonceLedger } from '../../src/store/memory.ts'
import { type ApSubscriber, apSubscribers } from '../../src/ua/ap-subscribers.ts'
import type { ChallengePolicy } from '../../src/ua/challenge.ts'
import { passwordDoor } from '../../src/ua/password.ts'
import { peerTest } from '../support/peer.ts'
import { run } from '../support/programs.ts'

const NAF = 'xcap.example.org' as Fqdn
const USER = 'alice@example.org'
const PASSWORD = 'it’s "open" \\ sésame: yes'
const LIFETIME_MS = 60_000
/** No proxy and no .curlrc of whoever runs the tests. */
const ENV = { PATH: process.env.PATH }

/** As a provisioning system makes them: without our code. */
const ha1Of = (name: 'md5' | 'sha256') =>
  new Secret(utf8(createHash(name).update(`${USER}:${NAF}:${PASSWORD}`).digest('hex')))
const alice: ApSubscriber = {
  impus: ['sip:alice@example.org' as Impu],
  flags: [],
  certificates: [],
  digest: {
    username: USER,
    realm: NAF,
    ha1: new Map([
      ['MD5', ha1Of('md5')],
      ['SHA-256', ha1Of('sha256')],
    ]),
  },
}

interface Offer {
  readonly algorithms: readonly [DigestAlgorithm, ...DigestAlgorithm[]]
  readonly qop?: readonly [Qop, ...Qop[]]
  /** The first nonce has aged by the time that it is used. */
  readonly agesAtOnce?: boolean
}

/** A server with this door and nothing behind it. */
async function served(t: TestContext, { algorithms, qop = ['auth'], agesAtOnce = false }: Offer) {
  const clock = { now: Date.now() }
  const outcomes: (FaultCode | 'accepted')[] = []
  const subscribers = apSubscribers([alice])
  const challenge: ChallengePolicy = { algorithms, qop, methods: ['gba-me'], realms: 'joined', lines: 'separate' }
  const door = passwordDoor({
    subscribers: () => subscribers,
    ledger: memoryNonceLedger({ maxNonces: 100, startedAt: clock.now - 1 }),
    nonces: { key: new Secret(randomBytes(32)), lifetimeMs: LIFETIME_MS },
    now: () => clock.now,
    randomBytes,
    tolerances: new Set(TOLERANCE_NAMES),
    maxRemembered: 100,
  })

  async function answer(request: IncomingMessage, response: ServerResponse) {
    const body = Buffer.concat(await request.toArray())
    const { method = '', url = '', headersDistinct } = request
    const authorization = headersDistinct.authorization ?? []
    try {
      const asked = { method, target: url, nafFqdn: NAF, authorization, scheme: 'http' } as const
      const who = await (await door.enter(asked, { challenge, gsids: [3] })).verify(body, () => true)
      outcomes.push('accepted')
      const text = who.ussList.flatMap(({ uids }) => uids).join(' ')
      response.setHeader('authentication-info', who.authenticationInfo(utf8(text)) ?? '')
      response.end(text)
    } catch (error) {
      if (!(error instanceof GbaError)) throw error
      outcomes.push(error.code)
      response.statusCode = 401
      response.setHeader('www-authenticate', door.challenge(NAF, challenge, error.code === 'UA_NONCE_AGED'))
      if (agesAtOnce && error.code === 'UA_CREDENTIALS_MISSING') clock.now += LIFETIME_MS
      response.end()
    }
  }
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) => response.writeHead(500).end(String(error)))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const { port } = server.address() as AddressInfo
  const url = (path: string) => `http://${NAF}:${port}${path}`
  return {
    url,
    outcomes: () => outcomes.splice(0),
    async curl(password: string, ...words: readonly string[]) {
      const args = ['-sS', '-v', '--digest', '-u', `${USER}:${password}`, '--connect-to', `${NAF}:${port}:127.0.0.1:`]
      const { status, stdout, stderr } = await run('curl', [...args, '-w', '\n%{http_code}\n', ...words], { env: ENV })
      assert.equal(status, 0, stderr)
      return {
        answers: stdout.trimEnd().split('\n'),
        algorithms: [...stderr.matchAll(/^> Authorization: Digest .*\balgorithm=([\w-]+)/gm)].map(([, name]) => name),
        info: /^< authentication-info: (.*)$/im.exec(stderr)?.[1] ?? '',
      }
    },
  }
}

const PATH = '/resource-lists/users/sip:alice@example.org/index'

describe('curl with a password', () => {
  for (const [algorithms, taken] of [
    [['MD5'], 'MD5'],
    [['SHA-256'], 'SHA-256'],
    [['SHA-256', 'MD5'], 'SHA-256'],
    [['MD5', 'SHA-256'], 'MD5'],
    [['MD5-sess'], 'MD5-sess'],
    [['SHA-256-sess'], 'SHA-256-sess'],
  ] as const) {
    peerTest(`is let in by ${taken} where ${algorithms.join(' and ')} is offered`, ['curl'], async (t) => {
      const { curl, url, outcomes } = await served(t, { algorithms })
      const got = await curl(PASSWORD, url(PATH))
      assert.deepEqual(got.answers, ['sip:alice@example.org', '200'])
      assert.deepEqual(
        [...got.algorithms].map((name) => name?.toLowerCase()),
        [taken.toLowerCase()],
      )
      assert.match(got.info, /\brspauth="[0-9a-f]+"/)
      assert.deepEqual(outcomes(), ['UA_CREDENTIALS_MISSING', 'accepted'])
      assert.deepEqual((await curl(PASSWORD, '-X', 'PUT', '--data-binary', '<list/>', url(PATH))).answers.at(-1), '200')
    })
  }

  peerTest('is not let in with another one', ['curl'], async (t) => {
    const { curl, url, outcomes } = await served(t, { algorithms: ['SHA-256'] })
    assert.equal((await curl(`${PASSWORD}.`, url(PATH))).answers.at(-1), '401')
    assert.deepEqual(outcomes(), ['UA_CREDENTIALS_MISSING', 'UA_RESPONSE_WRONG'])
  })

  peerTest('is let in under auth-int, where it hashes the body that it has: none', ['curl'], async (t) => {
    const { curl, url } = await served(t, { algorithms: ['SHA-256'], qop: ['auth-int'] })
    assert.equal((await curl(PASSWORD, url(PATH))).answers.at(-1), '200')
  })

  peerTest('takes a fresh nonce without asking for the password again, when its own has aged', ['curl'], async (t) => {
    const { curl, url, outcomes } = await served(t, { algorithms: ['MD5'], agesAtOnce: true })
    assert.equal((await curl(PASSWORD, url(PATH))).answers.at(-1), '200')
    assert.deepEqual(outcomes(), ['UA_CREDENTIALS_MISSING', 'UA_NONCE_AGED', 'accepted'])
  })
})
