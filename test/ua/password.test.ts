import assert from 'node:assert/strict'
import crypto from 'node:crypto'
import { syncBuiltinESMExports } from 'node:module'
import { describe, type TestContext, test } from 'node:test'
import fc from 'fast-check'
import { utf8 } from '../../src/core/bytes.ts'
import {
  computeHa1,
  computeResponse,
  type DigestAlgorithm,
  hashBody,
  isSessionAlgorithm,
  type Qop,
} from '../../src/core/digest.ts'
import {
  formatAuthorization,
  type OutgoingCredentials,
  parseAuthenticationInfo,
  parseChallenges,
} from '../../src/core/digest-header.ts'
import type { Fqdn, Impi, Impu } from '../../src/core/identity.ts'
import type { UaProtocolId } from '../../src/core/naf-id.ts'
import { Secret } from '../../src/core/secret.ts'
import { TOLERANCE_NAMES, type Tolerances } from '../../src/core/tolerances.ts'
import { type FaultCode, GbaError } from '../../src/errors.ts'
import { memoryNonceLedger } from '../../src/store/memory.ts'
import { type ApSubscriber, apSubscribers, type Ha1Algorithm } from '../../src/ua/ap-subscribers.ts'
import { authenticator, type NafPolicy } from '../../src/ua/authenticate.ts'
import type { Authenticated } from '../../src/ua/authenticated.ts'
import { type ChallengePolicy, isPasswordRealm, realmOf, UA_OPAQUE } from '../../src/ua/challenge.ts'
import { isForPassword, passwordDoor } from '../../src/ua/password.ts'
import type { UaRequest } from '../../src/ua/verify.ts'

const NAF = 'xcap.example.org' as Fqdn
const OTHER_NAF = 'conf.example.org' as Fqdn
const TARGET = '/resource-lists/users/sip:alice@example.org/index'
const LIFETIME_MS = 3_600_000
const START = 1_000_000
const challenge: ChallengePolicy = {
  algorithms: ['SHA-256', 'MD5'],
  qop: ['auth', 'auth-int'],
  methods: ['gba-me'],
  realms: 'joined',
  lines: 'separate',
}
const naf: NafPolicy = { challenge, gsids: [2, 3] }
const EVERY: Tolerances = new Set(TOLERANCE_NAMES)
const NO_BODY: Uint8Array = new Uint8Array()
const TOO_OLD = () => true
const nonceKey = new Secret(new Uint8Array(32).fill(9))

function subscriber(username: string, hashes: readonly Ha1Algorithm[], more: Partial<ApSubscriber> = {}): ApSubscriber {
  const ha1Of = (hash: Ha1Algorithm) => new Secret(utf8(computeHa1(hash, username, NAF, utf8('open sesame'))))
  const ha1 = new Map(hashes.map((hash) => [hash, ha1Of(hash)]))
  const impus = [`sip:${username}@example.org` as Impu]
  return { impus, flags: [1], certificates: [], digest: { username, realm: NAF, ha1 }, ...more }
}
const alice = subscriber('alice', ['MD5', 'SHA-256', 'SHA-512-256'], { impi: 'alice@ims.example.org' as Impi })
/** Provisioned long ago, and for presence alone. */
const carol = subscriber('carol', ['MD5'], { gsids: [3] })

interface World {
  readonly tolerances?: Tolerances
  readonly ledgerStartedAt?: number
}

/** The door over two subscribers, with a clock to turn; and the one for bootstrapped keys beside it. */
function world({ tolerances = EVERY, ledgerStartedAt = 0 }: World = {}) {
  const clock = { now: START }
  const known = new Map([
    ['alice', alice],
    ['carol', carol],
  ])
  const asked: string[] = []
  const used: string[] = []
  let minted = 0
  const memory = memoryNonceLedger({ maxNonces: 100, startedAt: ledgerStartedAt })
  const shared = {
    ledger: {
      use(...[nonce, nc, now]: Parameters<typeof memory.use>) {
        used.push(nonce.nonce)
        return memory.use(nonce, nc, now)
      },
    },
    nonces: { key: nonceKey, lifetimeMs: LIFETIME_MS },
    now: () => clock.now,
    randomBytes: (length: number) => new Uint8Array(length).fill(minted++),
    tolerances,
    maxRemembered: 10,
  }
  const door = passwordDoor({
    ...shared,
    subscribers: () => ({
      byUsername(username, realm) {
        asked.push(`${username} ${realm}`)
        return apSubscribers([...known.values()]).byUsername(username, realm)
      },
    }),
  })
  const gba = authenticator({ ...shared, keys: { fetch: () => Promise.reject(new Error('Zn is asked')) } })
  return {
    door,
    gba,
    clock,
    known,
    asked,
    used,
    freshNonce: (at = NAF) => parseChallenges(door.challenge(at, challenge, false))[0]?.nonce ?? '',
    async pass(request: UaRequest, body = NO_BODY, policy = naf): Promise<Authenticated> {
      return (await door.enter(request, policy)).verify(body, TOO_OLD)
    },
  }
}

interface Sending {
  readonly nonce: string
  readonly nc?: number
  readonly user?: string
  readonly password?: string
  readonly algorithm?: DigestAlgorithm
  readonly qop?: Qop
  readonly body?: Uint8Array
  readonly realm?: string
  readonly spoil?: Partial<OutgoingCredentials>
}

/** A request of a UE that knows a password. */
function requestOf(sending: Sending): UaRequest {
  const { nonce, nc = 1, user = 'alice', password = 'open sesame', algorithm = 'MD5', qop = 'auth' } = sending
  const { realm = NAF, body = NO_BODY, spoil } = sending
  const sent = { username: user, realm, nonce, uri: TARGET, cnonce: 'c', opaque: UA_OPAQUE }
  const count = nc.toString(16).padStart(8, '0')
  const ha1 = computeHa1(algorithm, user, realm, utf8(password), sent)
  const bodyHash = hashBody(algorithm, body)
  const response = computeResponse({ ...sent, algorithm, ha1, nc: count, qop, method: 'GET', bodyHash })
  const credentials = { ...sent, algorithm, qop, nc: count, response, ...spoil } as const
  return { method: 'GET', target: TARGET, nafFqdn: NAF, authorization: [formatAuthorization(credentials)] }
}

const refuses = (code: FaultCode, doing: Promise<unknown>) =>
  assert.rejects(doing, (error) => error instanceof GbaError && error.code === code)

describe('a right password', () => {
  test('proves the subscriber, with the settings of its file, and no bootstrap', async () => {
    const { pass, freshNonce, asked } = world()
    const { authenticationInfo, ...who } = await pass(requestOf({ nonce: freshNonce() }))
    assert.deepEqual(who, {
      door: 'password',
      username: 'alice',
      impi: 'alice@ims.example.org',
      ussList: [2, 3].map((gsid) => ({ gsid, gsType: gsid, uids: ['sip:alice@example.org'], flags: [1] })),
      nafFqdn: NAF,
      tolerances: [],
      coversBody: false,
    })
    assert.equal(typeof authenticationInfo, 'function')
    assert.deepEqual(asked, [`alice ${NAF}`])
  })

  test('proves no private identity and no service that the file does not have', async () => {
    const { pass, freshNonce } = world()
    const who = await pass(requestOf({ nonce: freshNonce(), user: 'carol' }))
    assert.equal('impi' in who, false)
    assert.deepEqual(
      who.ussList.map(({ gsid }) => gsid),
      [3],
    )
  })

  for (const algorithm of ['MD5', 'MD5-sess', 'SHA-256', 'SHA-256-sess', 'SHA-512-256', 'SHA-512-256-sess'] as const) {
    test(`is proven with ${algorithm} from the one stored HA1 of its hash`, async () => {
      const { pass, freshNonce } = world()
      const policy = { ...naf, challenge: { ...challenge, algorithms: [algorithm] } } as const
      const nonce = freshNonce()
      const who = await pass(requestOf({ nonce, algorithm }), NO_BODY, policy)
      const session = isSessionAlgorithm(algorithm) ? { nonce, cnonce: 'c' } : undefined
      const ha1 = computeHa1(algorithm, 'alice', NAF, utf8('open sesame'), session)
      const answer = {
        algorithm,
        ha1,
        nonce,
        nc: '00000001',
        cnonce: 'c',
        qop: 'auth',
        method: '',
        uri: TARGET,
      } as const
      assert.equal(parseAuthenticationInfo(who.authenticationInfo(NO_BODY) ?? '')?.rspauth, computeResponse(answer))
      await refuses('UA_RESPONSE_WRONG', pass(requestOf({ nonce, algorithm, password: 'Open' }), NO_BODY, policy))
    })
  }

  test('under auth-int covers the body and the answer', async () => {
    const { door, pass, freshNonce } = world()
    const body = utf8('<list/>')
    const request = requestOf({ nonce: freshNonce(), qop: 'auth-int', body })
    assert.equal((await door.enter(request, naf)).needsBody, true)
    await refuses('UA_RESPONSE_WRONG', pass(request, utf8('<list></list>')))
    await refuses('UA_RESPONSE_WRONG', pass(request))
    const who = await pass(request, body)
    assert.equal(who.coversBody, true)
    const [one, other] = ['<a/>', '<b/>'].map((text) => who.authenticationInfo(utf8(text)))
    assert.notEqual(one, other)
  })

  test('under auth leaves body and answer alone', async () => {
    const { door, pass, freshNonce } = world()
    const request = requestOf({ nonce: freshNonce() })
    assert.equal((await door.enter(request, naf)).needsBody, false)
    const who = await pass(request, utf8('anything'))
    assert.equal(who.coversBody, false)
    assert.equal(who.authenticationInfo(utf8('<a/>')), who.authenticationInfo(utf8('<b/>')))
  })

  test('counts as long as the subscriber is in the file of that moment', async () => {
    const { pass, freshNonce, known } = world()
    const nonce = freshNonce()
    await pass(requestOf({ nonce }))
    known.delete('alice')
    await refuses('UA_USERNAME_UNKNOWN', pass(requestOf({ nonce, nc: 2 })))
  })
})

describe('a stranger', () => {
  const wrong = { password: 'open barley' }

  test('is answered as a wrong password is: by a challenge that is not stale, and nothing is used up', async () => {
    const { pass, freshNonce, used, clock } = world()
    const nonce = freshNonce()
    for (const at of [START, START + LIFETIME_MS]) {
      clock.now = at
      await refuses('UA_USERNAME_UNKNOWN', pass(requestOf({ nonce, user: 'mallory' })))
      await refuses('UA_RESPONSE_WRONG', pass(requestOf({ nonce, ...wrong })))
    }
    assert.deepEqual(used, [])
    const statusOf = (code: FaultCode) => new GbaError(code, '').fault.ut
    assert.equal(statusOf('UA_USERNAME_UNKNOWN'), statusOf('UA_RESPONSE_WRONG'))
  })

  for (const algorithm of ['MD5', 'SHA-256', 'SHA-256-sess'] as const) {
    for (const qop of ['auth', 'auth-int'] as const) {
      test(`has hashed and compared for it what a wrong password has: ${algorithm}, ${qop}`, async (t) => {
        const { door, freshNonce } = world()
        const policy = { ...naf, challenge: { ...challenge, algorithms: [algorithm] } } as const
        const body = utf8('<list/>')
        const work = workOf(t)
        const done: unknown[] = []
        for (const who of [wrong, { user: 'mallory' }]) {
          const request = requestOf({ nonce: freshNonce(), algorithm, qop, body, ...who })
          const attempt = await door.enter(request, policy)
          work.splice(0)
          await assert.rejects(attempt.verify(body, TOO_OLD), GbaError)
          done.push(work.splice(0))
        }
        const [known, unknown] = done
        assert.ok(Array.isArray(known) && known.length >= 3)
        assert.deepEqual(unknown, known)
      })
    }
  }

  test('is no subscriber whose HA1 is for another hash: that one is wrong, after the same work', async (t) => {
    const { door, freshNonce } = world()
    const work = workOf(t)
    const done: unknown[] = []
    for (const [who, code] of [
      [{ user: 'carol' }, 'UA_RESPONSE_WRONG'],
      [{ user: 'mallory' }, 'UA_USERNAME_UNKNOWN'],
    ] as const) {
      const attempt = await door.enter(requestOf({ nonce: freshNonce(), algorithm: 'SHA-256', ...who }), naf)
      work.splice(0)
      await refuses(code, attempt.verify(NO_BODY, TOO_OLD))
      done.push(work.splice(0))
    }
    assert.deepEqual(done[0], done[1])
  })

  test('does not pass with the HA1 that stands in for a missing one', async () => {
    const { pass, freshNonce } = world()
    const seed = crypto.createHmac('sha256', nonceKey.expose()).update('ua password stand-in').digest('hex')
    for (const [user, code] of [
      ['mallory', 'UA_USERNAME_UNKNOWN'],
      ['carol', 'UA_RESPONSE_WRONG'],
    ] as const) {
      const nonce = freshNonce()
      const known = { algorithm: 'SHA-256', ha1: seed, nonce, nc: '00000001', cnonce: 'c', qop: 'auth' } as const
      const response = computeResponse({ ...known, method: 'GET', uri: TARGET })
      await refuses(code, pass(requestOf({ nonce, user, algorithm: 'SHA-256', spoil: { response } })))
    }
  })

  test('is whoever has the right name in another letter case', async () => {
    const { pass, freshNonce } = world()
    await refuses('UA_USERNAME_UNKNOWN', pass(requestOf({ nonce: freshNonce(), user: 'Alice' })))
  })

  test('is whoever a subscriber of AKA would be: there is no password under AKA', async () => {
    const { pass, freshNonce } = world()
    const policy = { ...naf, challenge: { ...challenge, algorithms: ['AKAv1-MD5'] } } as const
    const request = requestOf({ nonce: freshNonce(), algorithm: 'AKAv1-MD5' })
    await refuses('UA_RESPONSE_WRONG', pass(request, NO_BODY, policy))
  })

  /** Every hash and comparison from now on: what, and over how many octets. */
  function workOf(t: TestContext): unknown[] {
    const work: unknown[] = []
    const [hash, equal] = [crypto.hash, crypto.timingSafeEqual]
    t.mock.method(crypto, 'hash', (...[name, data]: Parameters<typeof hash>) => {
      work.push([name, typeof data === 'string' ? data.length : data.byteLength])
      return hash(name, data)
    })
    t.mock.method(crypto, 'timingSafeEqual', (...[a, b]: Parameters<typeof equal>) => {
      work.push(['equal', a.byteLength])
      return equal(a, b)
    })
    syncBuiltinESMExports()
    t.after(() => {
      t.mock.restoreAll()
      syncBuiltinESMExports()
    })
    return work
  }
})

describe('a response is refused', () => {
  test('a second time, and only if it is right', async () => {
    const { pass, freshNonce } = world()
    const nonce = freshNonce()
    await refuses('UA_RESPONSE_WRONG', pass(requestOf({ nonce, password: '' })))
    await pass(requestOf({ nonce }))
    await refuses('UA_NC_REUSED', pass(requestOf({ nonce })))
    await refuses('UA_RESPONSE_WRONG', pass(requestOf({ nonce, password: '' })))
  })

  test('all but once, where the same one comes twenty times at once', async () => {
    const { pass, freshNonce } = world()
    const request = requestOf({ nonce: freshNonce() })
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => pass(request)))
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1)
  })

  test('over a nonce from the instant on at which it ages, and only if it is right', async () => {
    const { pass, freshNonce, clock } = world()
    const nonce = freshNonce()
    clock.now = START + LIFETIME_MS - 1
    await pass(requestOf({ nonce }))
    clock.now = START + LIFETIME_MS
    await refuses('UA_NONCE_AGED', pass(requestOf({ nonce, nc: 2 })))
    await refuses('UA_RESPONSE_WRONG', pass(requestOf({ nonce, nc: 3, password: '' })))
  })

  test('over a nonce whose uses are no longer known', async () => {
    const { pass, freshNonce, clock } = world({ ledgerStartedAt: START + 1 })
    const nonce = freshNonce()
    clock.now = START + 2
    await refuses('UA_NONCE_FORGOTTEN', pass(requestOf({ nonce })))
    await pass(requestOf({ nonce: freshNonce() }))
  })

  test('that answers the challenge of another route, and its count stays unused', async () => {
    const { pass, freshNonce } = world()
    const policy: NafPolicy = { ...naf, challenge: { ...challenge, qop: ['auth-int'] }, anywhere: challenge }
    const request = requestOf({ nonce: freshNonce() })
    await refuses('UA_OFFERED_ELSEWHERE', pass(request, NO_BODY, policy))
    await refuses('UA_QOP_NOT_OFFERED', pass(request, NO_BODY, { ...policy, anywhere: policy.challenge }))
    await pass(request)
  })

  for (const [why, spoil, code] of [
    ['for another realm', { realm: OTHER_NAF }, 'UA_REALM_WRONG'],
    ['for the realm in upper case', { realm: NAF.toUpperCase() }, 'UA_REALM_WRONG'],
    ['for the realm of a bootstrapped key', { realm: realmOf('gba-me', NAF) }, 'UA_REALM_WRONG'],
    ['under an algorithm that was not offered', { algorithm: 'SHA-512-256' }, 'UA_ALGORITHM_NOT_OFFERED'],
    ['for another target', { uri: '/' }, 'UA_URI_MISMATCH'],
    ['over an invented nonce', { nonce: 'A'.repeat(40) }, 'UA_NONCE_UNKNOWN'],
    ['with an opaque that is not ours', { opaque: 'b3RoZXI=' }, 'UA_NONCE_UNKNOWN'],
    ['with a hashed username', { userhash: true }, 'UA_CREDENTIALS_MALFORMED'],
    ['without a username', { username: '' }, 'UA_CREDENTIALS_MALFORMED'],
    ['with a username of 257 characters', { username: 'a'.repeat(257) }, 'UA_CREDENTIALS_MALFORMED'],
    ['with nc beyond 32 bits', { nc: '100000000' }, 'UA_CREDENTIALS_MALFORMED'],
  ] as const satisfies [string, Partial<OutgoingCredentials>, FaultCode][]) {
    test(`${why}, before anybody is looked up: ${code}`, async () => {
      const { door, freshNonce, asked } = world()
      await refuses(code, door.enter(requestOf({ nonce: freshNonce(), spoil }), naf))
      assert.deepEqual(asked, [])
    })
  }

  test('that is not there, and one on two lines', async () => {
    const { door, freshNonce } = world()
    const request = requestOf({ nonce: freshNonce() })
    await refuses('UA_CREDENTIALS_MISSING', door.enter({ ...request, authorization: [] }, naf))
    const twice = [...request.authorization, ...request.authorization]
    await refuses('UA_CREDENTIALS_MALFORMED', door.enter({ ...request, authorization: twice }, naf))
  })

  test('while a username of 256 characters may be anybody’s', async () => {
    const { pass, freshNonce } = world()
    await refuses('UA_USERNAME_UNKNOWN', pass(requestOf({ nonce: freshNonce(), user: 'a'.repeat(256) })))
  })
})

describe('a nonce', () => {
  const gbaNonce = ({ gba }: ReturnType<typeof world>) =>
    parseChallenges(gba.challenge(NAF, challenge, new Set(), false))[0]?.nonce ?? ''

  test('of the door for bootstrapped keys opens this one never, nor the other way round', async () => {
    const here = world()
    await refuses('UA_NONCE_UNKNOWN', here.pass(requestOf({ nonce: gbaNonce(here) })))
    const username = `${'A'.repeat(22)}==@bsf.example.org`
    const spoil = { username, realm: realmOf('gba-me', NAF) }
    const ids = ['0100000002' as UaProtocolId]
    await refuses('UA_NONCE_UNKNOWN', here.gba.enter(requestOf({ nonce: here.freshNonce(), spoil }), naf, ids))
    // With its own nonce that request goes as far as Zn: it is the nonce that was refused.
    await assert.rejects(here.gba.enter(requestOf({ nonce: gbaNonce(here), spoil }), naf, ids), /Zn is asked/)
  })

  test('of the same instant and chance is another one at each door', () => {
    assert.notEqual(world().freshNonce(), gbaNonce(world()))
  })

  test('of another host is none of this one', async () => {
    const { pass, freshNonce } = world()
    await refuses('UA_NONCE_UNKNOWN', pass(requestOf({ nonce: freshNonce(OTHER_NAF) })))
  })

  test('comes afresh with the answer once three quarters of the old one’s life are over, and both are good', async () => {
    const { pass, freshNonce, clock } = world()
    const nonce = freshNonce()
    const nextOf = async (nc: number) =>
      parseAuthenticationInfo((await pass(requestOf({ nonce, nc }))).authenticationInfo(NO_BODY) ?? '')?.nextnonce
    clock.now = START + LIFETIME_MS * 0.75 - 1
    assert.equal(await nextOf(1), undefined)
    clock.now = START + LIFETIME_MS * 0.75
    const next = await nextOf(2)
    assert.ok(next !== undefined && next !== nonce)
    await pass(requestOf({ nonce: next }))
    await pass(requestOf({ nonce, nc: 3 }))
  })
})

describe('the challenge', () => {
  test('names the host as realm, for each algorithm, and says stale only when told to', () => {
    const { door } = world()
    const [one = [], other = []] = [false, true].map((stale) => parseChallenges(door.challenge(NAF, challenge, stale)))
    assert.deepEqual(
      one.map(({ nonce, ...rest }) => rest),
      (['SHA-256', 'MD5'] as const).map((algorithm) => ({
        realm: NAF,
        algorithm,
        qop: ['auth', 'auth-int'],
        opaque: UA_OPAQUE,
      })),
    )
    assert.deepEqual([...new Set(other.map(({ stale }) => stale))], [true])
    assert.notEqual(one[0]?.nonce, other[0]?.nonce)
  })

  test('stands in one line or in several, as the policy says', () => {
    const { door } = world()
    assert.equal(door.challenge(NAF, challenge, false).length, 2)
    const [line, ...more] = door.challenge(NAF, { ...challenge, lines: 'joined' }, false)
    assert.deepEqual([more.length, parseChallenges([line ?? '']).length], [0, 2])
  })
})

describe('deviations', () => {
  const NONE: Tolerances = new Set()

  test('are tolerated and named as with bootstrapped keys', async () => {
    const { pass, freshNonce } = world()
    const sess = requestOf({ nonce: freshNonce(), nc: 7, algorithm: 'MD5-sess' })
    assert.deepEqual((await pass(sess)).tolerances, ['md5-sess', 'nc-not-reset'])
  })

  test('are refused by a strict profile, which takes counts 1, 2, 3', async () => {
    const { pass, freshNonce } = world({ tolerances: NONE })
    const nonce = freshNonce()
    await refuses('UA_DEVIATION_REFUSED', pass(requestOf({ nonce, algorithm: 'MD5-sess' })))
    await pass(requestOf({ nonce, nc: 1 }))
    await refuses('UA_DEVIATION_REFUSED', pass(requestOf({ nonce, nc: 3 })))
    await refuses('UA_NC_REUSED', pass(requestOf({ nonce, nc: 1 })))
    await pass(requestOf({ nonce, nc: 2 }))
  })
})

describe('a request is for this door', () => {
  const good = requestOf({ nonce: 'n' }).authorization
  test('when its one Digest names the host as realm', () => {
    assert.equal(isForPassword(good, NAF), true)
    assert.equal(isForPassword([`digest realm=${NAF}`], NAF), true)
  })

  for (const [what, authorization] of [
    ['nothing', []],
    ['two lines', [...good, ...good]],
    ['another scheme', [`Basic realm="${NAF}"`]],
    ['no list of parameters', ['Digest']],
    ['a realm twice', [`Digest realm="${NAF}", realm="${NAF}"`]],
    ['no realm', ['Digest username="alice"']],
    ['another realm', [`Digest realm="${OTHER_NAF}"`]],
    ['a bootstrapped key', [`Digest realm="${realmOf('gba-me', NAF)}"`]],
    ['more than can be read', [`${good[0]}, x="${'a'.repeat(9_000)}"`]],
  ] as const) {
    test(`and not when it brings ${what}`, () => assert.equal(isForPassword(authorization, NAF), false))
  }

  test('and then never for the other: no realm of a bootstrapped key is a host name', () => {
    fc.assert(
      fc.property(fc.domain(), fc.constantFrom('gba-me', 'gba-u', 'gba-digest'), (name, method) => {
        const host = name.toLowerCase() as Fqdn
        assert.equal(isPasswordRealm(realmOf(method, host), host), false)
        assert.equal(isPasswordRealm(host, host), true)
      }),
    )
  })
})
