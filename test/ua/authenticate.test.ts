import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { toBase64, utf8 } from '../../src/core/bytes.ts'
import { computeHa1, computeResponse, hashBody } from '../../src/core/digest.ts'
import {
  formatAuthorization,
  type OutgoingCredentials,
  parseAuthenticationInfo,
  parseChallenges,
} from '../../src/core/digest-header.ts'
import { btidOf, type Fqdn, type Impi, type Impu } from '../../src/core/identity.ts'
import { UA_HTTP_DIGEST, type UaProtocolId } from '../../src/core/naf-id.ts'
import { Secret } from '../../src/core/secret.ts'
import { TOLERANCE_NAMES, type Tolerances } from '../../src/core/tolerances.ts'
import { type FaultCode, GbaError } from '../../src/errors.ts'
import { memoryNonceLedger } from '../../src/store/memory.ts'
import { authenticator, type NafPolicy } from '../../src/ua/authenticate.ts'
import { type ChallengePolicy, realmOf, UA_OPAQUE } from '../../src/ua/challenge.ts'
import type { UaRequest } from '../../src/ua/verify.ts'
import { cachedKeySource } from '../../src/zn/cache.ts'
import type { Bia, Bir } from '../../src/zn/port.ts'

const NAF = 'xcap.example.org' as Fqdn
const BSF = 'bsf.example.org' as Fqdn
const TARGET = '/resource-lists/users/sip:alice@example.org/index'
const TLS_SUITE = '010001c02f' as UaProtocolId
const OTHER_SUITE = '0100011301' as UaProtocolId
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
const NO_TOKENS: ReadonlySet<string> = new Set()
const btid = (n = 0) => btidOf(new Uint8Array(16).fill(n), BSF)
const keyOf = (id: UaProtocolId) => new Secret(new Uint8Array(32).fill(Number.parseInt(id.slice(-2), 16)))
const ussList = [{ gsid: 3, gsType: 3, uids: ['sip:alice@example.org' as Impu], flags: [1] }]

/** An authenticator over a BSF that counts, with a clock to turn. */
function world({ bia = {}, fault, maxRemembered = 10, ledgerStartedAt = 0, tolerances = EVERY }: World = {}) {
  const clock = { now: START }
  const asked: Bir[] = []
  let minted = 0
  const ua = authenticator({
    keys: {
      async fetch(bir) {
        asked.push(bir)
        if (fault) throw new GbaError(fault, 'as the test wants it')
        const { uaProtocolId } = bir
        const expiresAt = START + 100 * LIFETIME_MS
        return { ksNaf: keyOf(uaProtocolId), expiresAt, bootstrappedAt: 500, gbaType: '3G_GBA', ussList, ...bia }
      },
    },
    ledger: memoryNonceLedger({ maxNonces: 100, startedAt: ledgerStartedAt }),
    nonces: { key: new Secret(new Uint8Array(32).fill(9)), lifetimeMs: LIFETIME_MS },
    now: () => clock.now,
    randomBytes: (length) => new Uint8Array(length).fill(minted++),
    maxRemembered,
    tolerances,
  })
  const freshNonce = () => parseChallenges(ua.challenge(NAF, challenge, NO_TOKENS, false))[0]?.nonce ?? ''
  return {
    ua,
    clock,
    freshNonce,
    /** Which keys were asked for since the last time. */
    asked: () => asked.splice(0).map(({ uaProtocolId }) => uaProtocolId),
    birs: asked,
    async pass(request: UaRequest, ids: readonly UaProtocolId[] = [TLS_SUITE], body = NO_BODY) {
      return (await ua.enter(request, naf, ids)).verify(body, () => false)
    },
  }
}

interface World {
  readonly bia?: Partial<Bia>
  readonly fault?: FaultCode
  readonly maxRemembered?: number
  readonly ledgerStartedAt?: number
  readonly tolerances?: Tolerances
}

const EVERY: Tolerances = new Set(TOLERANCE_NAMES)

const NO_BODY: Uint8Array = new Uint8Array()

interface Sending {
  readonly nonce: string
  readonly nc?: number
  readonly id?: UaProtocolId
  readonly user?: string
  readonly qop?: 'auth' | 'auth-int'
  readonly body?: Uint8Array
  readonly spoil?: Partial<OutgoingCredentials>
}

/** A request of a UE that holds the key for this identifier. */
function requestOf({ nonce, nc = 1, id = TLS_SUITE, user = btid(), qop = 'auth', body, spoil }: Sending): UaRequest {
  const algorithm = 'MD5'
  const sent = { username: user, realm: realmOf('gba-me', NAF), nonce, uri: TARGET, cnonce: 'c', opaque: UA_OPAQUE }
  const count = nc.toString(16).padStart(8, '0')
  const ha1 = computeHa1(algorithm, user, sent.realm, utf8(toBase64(keyOf(id).expose())))
  const bodyHash = hashBody(algorithm, body ?? NO_BODY)
  const response = computeResponse({ ...sent, algorithm, ha1, nc: count, qop, method: 'GET', bodyHash })
  const credentials = { ...sent, algorithm, qop, nc: count, response, ...spoil } as const
  return { method: 'GET', target: TARGET, nafFqdn: NAF, authorization: [formatAuthorization(credentials)] }
}

const refuses = (code: FaultCode, doing: Promise<unknown>) =>
  assert.rejects(doing, (error) => error instanceof GbaError && error.code === code)

describe('a right response', () => {
  test('proves B-TID, NAF and key, with what the BSF said of the subscriber', async () => {
    const { pass, freshNonce, birs } = world({ bia: { impi: 'alice@example.org' as Impi } })
    const { authenticationInfo, ...who } = await pass(requestOf({ nonce: freshNonce() }))
    assert.deepEqual(who, {
      door: 'digest',
      btid: btid(),
      impi: 'alice@example.org',
      ussList,
      nafFqdn: NAF,
      uaProtocolId: TLS_SUITE,
      method: 'gba-me',
      tolerances: [],
      coversBody: false,
    })
    assert.equal(typeof authenticationInfo, 'function')
    assert.deepEqual(birs[0], { btid: btid(), nafFqdn: NAF, uaProtocolId: TLS_SUITE, gsids: [2, 3], gbaUAware: false })
  })

  test('proves no private identity where the BSF gave none', async () => {
    const { pass, freshNonce } = world()
    assert.equal('impi' in (await pass(requestOf({ nonce: freshNonce() }))), false)
  })

  test('under auth-int covers the body, which has to be there before anything is proven', async () => {
    const { ua, pass, freshNonce } = world()
    const body = utf8('<list/>')
    const nonce = freshNonce()
    const request = requestOf({ nonce, qop: 'auth-int', body })
    assert.equal((await ua.enter(request, naf, [TLS_SUITE])).needsBody, true)
    await refuses('UA_RESPONSE_WRONG', pass(request, [TLS_SUITE], utf8('<list></list>')))
    await refuses('UA_RESPONSE_WRONG', pass(request))
    assert.equal((await pass(request, [TLS_SUITE], body)).coversBody, true)
  })

  test('under auth leaves the body alone', async () => {
    const { ua, pass, freshNonce } = world()
    const request = requestOf({ nonce: freshNonce() })
    assert.equal((await ua.enter(request, naf, [TLS_SUITE])).needsBody, false)
    assert.equal((await pass(request, [TLS_SUITE], utf8('anything'))).coversBody, false)
  })

  test('is answered by the NAF’s own proof: over the answer under auth-int, and not under auth', async () => {
    const { pass, freshNonce } = world()
    for (const [qop, differs] of [
      ['auth-int', true],
      ['auth', false],
    ] as const) {
      const { authenticationInfo } = await pass(requestOf({ nonce: freshNonce(), qop }))
      const [one, other] = ['<a/>', '<b/>'].map((text) => parseAuthenticationInfo(authenticationInfo(utf8(text)) ?? ''))
      assert.deepEqual([one?.qop, one?.nc, one?.cnonce], [qop, '00000001', 'c'])
      assert.match(one?.rspauth ?? '', /^[0-9a-f]{32}$/)
      assert.equal(one?.rspauth !== other?.rspauth, differs)
      assert.doesNotMatch(authenticationInfo(NO_BODY) ?? ' ', / /)
    }
  })
})

describe('a stranger costs no request on Zn', () => {
  const { ua, freshNonce, asked } = world()
  for (const [why, spoil, code] of [
    ['another realm', { realm: 'elsewhere' }, 'UA_REALM_WRONG'],
    ['another algorithm', { algorithm: 'SHA-512-256' }, 'UA_ALGORITHM_NOT_OFFERED'],
    ['another target', { uri: '/' }, 'UA_URI_MISMATCH'],
    ['an invented nonce', { nonce: 'A'.repeat(40) }, 'UA_NONCE_UNKNOWN'],
    ['another opaque', { opaque: 'b3RoZXI=' }, 'UA_NONCE_UNKNOWN'],
    ['no B-TID', { username: 'alice@example.org' }, 'UA_BTID_MALFORMED'],
    ['a bad nc', { nc: '100000000' }, 'UA_CREDENTIALS_MALFORMED'],
  ] as const satisfies [string, Partial<OutgoingCredentials>, FaultCode][]) {
    test(`with ${why}`, async () => {
      await refuses(code, ua.enter(requestOf({ nonce: freshNonce(), spoil }), naf, [TLS_SUITE]))
      assert.deepEqual(asked(), [])
    })
  }

  test('without credentials', async () => {
    const request = { ...requestOf({ nonce: freshNonce() }), authorization: [] }
    await refuses('UA_CREDENTIALS_MISSING', ua.enter(request, naf, [TLS_SUITE]))
    assert.deepEqual(asked(), [])
  })

  test('while whoever holds a nonce of ours costs one, before the body is read', async () => {
    await ua.enter(requestOf({ nonce: freshNonce(), qop: 'auth-int' }), naf, [TLS_SUITE, UA_HTTP_DIGEST])
    assert.deepEqual(asked(), [TLS_SUITE])
  })
})

describe('the Ua security protocol identifier', () => {
  const ids = [TLS_SUITE, UA_HTTP_DIGEST]

  test('is tried in the order given, until one makes the response', async () => {
    const { pass, freshNonce, asked } = world()
    const who = await pass(requestOf({ nonce: freshNonce(), id: UA_HTTP_DIGEST }), ids)
    assert.equal(who.uaProtocolId, UA_HTTP_DIGEST)
    assert.deepEqual([...new Set(asked())], ids)
    assert.equal((await pass(requestOf({ nonce: freshNonce(), user: btid(1) }), ids)).uaProtocolId, TLS_SUITE)
    assert.deepEqual([...new Set(asked())], [TLS_SUITE])
  })

  test('that matched comes first the next time, for that B-TID only', async () => {
    const { pass, freshNonce, asked } = world()
    await pass(requestOf({ nonce: freshNonce(), id: UA_HTTP_DIGEST }), ids)
    asked()
    await pass(requestOf({ nonce: freshNonce(), id: UA_HTTP_DIGEST }), ids)
    assert.deepEqual([...new Set(asked())], [UA_HTTP_DIGEST])
    await pass(requestOf({ nonce: freshNonce(), user: btid(1) }), ids)
    assert.deepEqual([...new Set(asked())], [TLS_SUITE])
  })

  test('that matched may change: the others are still tried', async () => {
    const { pass, freshNonce } = world()
    for (const id of [UA_HTTP_DIGEST, TLS_SUITE, UA_HTTP_DIGEST]) {
      assert.equal((await pass(requestOf({ nonce: freshNonce(), id }), ids)).uaProtocolId, id)
    }
  })

  test('that matched on another connection is not tried where this one does not allow it', async () => {
    const { pass, freshNonce, asked } = world()
    await pass(requestOf({ nonce: freshNonce() }), ids)
    asked()
    const elsewhere = [OTHER_SUITE, UA_HTTP_DIGEST]
    await refuses('UA_RESPONSE_WRONG', pass(requestOf({ nonce: freshNonce() }), elsewhere))
    assert.deepEqual([...new Set(asked())], elsewhere)
  })

  test('is remembered only once the whole check has passed', async () => {
    const { pass, freshNonce, clock, asked } = world()
    const nonce = freshNonce()
    clock.now += LIFETIME_MS
    await refuses('UA_NONCE_AGED', pass(requestOf({ nonce, id: UA_HTTP_DIGEST }), ids))
    asked()
    await pass(requestOf({ nonce: freshNonce() }), ids)
    assert.deepEqual([...new Set(asked())], [TLS_SUITE])
  })

  test('is remembered for a bounded number of B-TIDs, the oldest going first', async () => {
    const { pass, freshNonce, asked } = world({ maxRemembered: 2 })
    const firstTried = async (n: number) => {
      asked()
      await pass(requestOf({ nonce: freshNonce(), user: btid(n), id: UA_HTTP_DIGEST }), ids)
      return asked()[0]
    }
    for (const n of [1, 2, 3]) assert.equal(await firstTried(n), TLS_SUITE)
    assert.equal(await firstTried(3), UA_HTTP_DIGEST)
    assert.equal(await firstTried(2), UA_HTTP_DIGEST)
    assert.equal(await firstTried(1), TLS_SUITE)
  })

  test('that changes for one B-TID is forgotten for no other', async () => {
    const { pass, freshNonce, asked } = world({ maxRemembered: 2 })
    const passes = (n: number, id: UaProtocolId) => pass(requestOf({ nonce: freshNonce(), user: btid(n), id }), ids)
    await passes(1, UA_HTTP_DIGEST)
    await passes(2, UA_HTTP_DIGEST)
    await passes(2, TLS_SUITE)
    asked()
    await passes(1, UA_HTTP_DIGEST)
    assert.equal(asked()[0], UA_HTTP_DIGEST)
  })

  test('has to be there: none at all is a bug of ours', async () => {
    const { pass, freshNonce } = world()
    await assert.rejects(pass(requestOf({ nonce: freshNonce() }), []), RangeError)
  })
})

describe('a response is refused', () => {
  test('that no candidate key makes', async () => {
    const { pass, freshNonce } = world()
    const request = requestOf({ nonce: freshNonce(), id: OTHER_SUITE })
    await refuses('UA_RESPONSE_WRONG', pass(request, [TLS_SUITE, UA_HTTP_DIGEST]))
  })

  for (const code of ['ZN_BTID_UNKNOWN', 'ZN_NOT_AUTHORISED', 'ZN_BSF_UNREACHABLE'] as const) {
    test(`with ${code} where the BSF says so`, async () => {
      const { ua, freshNonce } = world({ fault: code })
      await refuses(code, ua.enter(requestOf({ nonce: freshNonce() }), naf, [TLS_SUITE]))
    })
  }

  test('from the instant on at which the key expires', async () => {
    const { ua, pass, freshNonce, clock } = world({ bia: { expiresAt: START + 1_000 } })
    const nonce = freshNonce()
    clock.now = START + 999
    await pass(requestOf({ nonce, nc: 1 }))
    const attempt = await ua.enter(requestOf({ nonce, nc: 2 }), naf, [TLS_SUITE])
    clock.now = START + 1_000
    await refuses('UA_KEY_EXPIRED', pass(requestOf({ nonce, nc: 3 })))
    await refuses(
      'UA_KEY_EXPIRED',
      attempt.verify(NO_BODY, () => false),
    )
  })

  test('over a nonce from the instant on at which it ages, and only if it is right', async () => {
    const { pass, freshNonce, clock } = world()
    const nonce = freshNonce()
    clock.now = START + LIFETIME_MS - 1
    await pass(requestOf({ nonce, nc: 1 }))
    clock.now = START + LIFETIME_MS
    await refuses('UA_NONCE_AGED', pass(requestOf({ nonce, nc: 2 })))
    await refuses('UA_RESPONSE_WRONG', pass(requestOf({ nonce, nc: 3, id: OTHER_SUITE })))
  })

  test('over a nonce whose uses are no longer known, and only if it is right', async () => {
    const { pass, freshNonce, clock } = world({ ledgerStartedAt: START + 1 })
    const nonce = freshNonce()
    clock.now = START + 2
    await refuses('UA_NONCE_FORGOTTEN', pass(requestOf({ nonce })))
    await refuses('UA_RESPONSE_WRONG', pass(requestOf({ nonce, id: OTHER_SUITE })))
    await pass(requestOf({ nonce: freshNonce() }))
  })

  test('a second time, and only if it is right', async () => {
    const { pass, freshNonce } = world()
    const request = requestOf({ nonce: freshNonce() })
    await pass(request)
    await refuses('UA_NC_REUSED', pass(request))
    await refuses('UA_NC_REUSED', pass(request))
  })

  test('all but once, where the same one comes twenty times at once', async () => {
    const { pass, freshNonce } = world()
    const request = requestOf({ nonce: freshNonce() })
    const outcomes = await Promise.allSettled(Array.from({ length: 20 }, () => pass(request)))
    assert.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1)
  })
})

describe('nonce counts', () => {
  test('come in any order and start anywhere', async () => {
    const { pass, freshNonce } = world()
    const nonce = freshNonce()
    for (const nc of [10, 9, 0, 0x10, 1]) await pass(requestOf({ nonce, nc }))
  })

  test('are not used up by a response that is wrong', async () => {
    const { pass, freshNonce } = world()
    const nonce = freshNonce()
    await refuses('UA_RESPONSE_WRONG', pass(requestOf({ nonce, nc: 1, id: OTHER_SUITE })))
    await pass(requestOf({ nonce, nc: 1 }))
  })

  test('are each nonce’s own', async () => {
    const { pass, freshNonce } = world()
    for (const nonce of [freshNonce(), freshNonce()]) await pass(requestOf({ nonce, nc: 1 }))
  })
})

describe('a fresh nonce', () => {
  test('comes with every challenge, and says stale only when told to', () => {
    const { ua } = world()
    const [one, other] = [
      ua.challenge(NAF, challenge, NO_TOKENS, false),
      ua.challenge(NAF, challenge, NO_TOKENS, true),
    ].map(parseChallenges)
    assert.deepEqual([one?.length, other?.length], [2, 2])
    assert.notEqual(one?.[0]?.nonce, other?.[0]?.nonce)
    assert.deepEqual([one?.[0]?.stale, other?.[0]?.stale], [undefined, true])
  })

  test('comes with the answer once three quarters of the old one’s life are over, and both are good', async () => {
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
    clock.now = START + LIFETIME_MS
    await pass(requestOf({ nonce: next, nc: 2 }))
  })
})

describe('the key of a UICC', () => {
  const ksIntNaf = new Secret(new Uint8Array(32).fill(0x77))
  const uicc: NafPolicy = { challenge: { ...challenge, methods: ['gba-u', 'gba-me'] }, gsids: [3] }
  const both = `${realmOf('gba-u', NAF)};${realmOf('gba-me', NAF)}`

  /** A request over a realm, with the key of the UICC or of the ME. */
  function signed(nonce: string, realm: string, key: Secret, nc = '00000001'): UaRequest {
    const sent = {
      username: btid(),
      realm,
      nonce,
      uri: TARGET,
      cnonce: 'c',
      algorithm: 'MD5',
      qop: 'auth',
      nc,
    } as const
    const ha1 = computeHa1('MD5', sent.username, realm, utf8(toBase64(key.expose())))
    const response = computeResponse({ ...sent, ha1, method: 'GET' })
    return { method: 'GET', target: TARGET, nafFqdn: NAF, authorization: [formatAuthorization({ ...sent, response })] }
  }
  const through = async ({ ua }: ReturnType<typeof world>, request: UaRequest) =>
    (await (await ua.enter(request, uicc, [TLS_SUITE])).verify(NO_BODY, () => false)).method

  test('is asked for where gba-u is offered, and the realm that the UE picks says which key it used', async () => {
    const here = world({ bia: { ksIntNaf } })
    assert.equal(await through(here, signed(here.freshNonce(), realmOf('gba-u', NAF), ksIntNaf)), 'gba-u')
    assert.equal(here.birs[0]?.gbaUAware, true)
    assert.equal(await through(here, signed(here.freshNonce(), realmOf('gba-me', NAF), keyOf(TLS_SUITE))), 'gba-me')
    const crossed = signed(here.freshNonce(), realmOf('gba-me', NAF), ksIntNaf)
    await refuses('UA_RESPONSE_WRONG', through(here, crossed))
  })

  test('or that of the ME fits where the UE echoes the whole list', async () => {
    const here = world({ bia: { ksIntNaf } })
    assert.equal(await through(here, signed(here.freshNonce(), both, ksIntNaf)), 'gba-u')
    assert.equal(await through(here, signed(here.freshNonce(), both, keyOf(TLS_SUITE))), 'gba-me')
  })

  test('is the only one where the settings say so, and never one where they say ME', async () => {
    const settings = (keyChoice: 'UICC_BASED_KEY' | 'ME_BASED_KEY') => ({
      ksIntNaf,
      ussList: ussList.map((uss) => ({ ...uss, keyChoice })),
    })
    const uiccOnly = world({ bia: settings('UICC_BASED_KEY') })
    assert.equal(await through(uiccOnly, signed(uiccOnly.freshNonce(), both, ksIntNaf)), 'gba-u')
    await refuses('UA_RESPONSE_WRONG', through(uiccOnly, signed(uiccOnly.freshNonce(), both, keyOf(TLS_SUITE))))
    const me = realmOf('gba-me', NAF)
    await refuses('UA_KEY_CHOICE_REFUSED', through(uiccOnly, signed(uiccOnly.freshNonce(), me, keyOf(TLS_SUITE))))
    const meOnly = world({ bia: settings('ME_BASED_KEY') })
    const withUicc = signed(meOnly.freshNonce(), realmOf('gba-u', NAF), ksIntNaf)
    await refuses('UA_KEY_CHOICE_REFUSED', through(meOnly, withUicc))
  })

  test('of a GBA_Digest run opens the realm of GBA_Digest alone', async () => {
    const here = world({ bia: { gbaType: 'GBA_DIGEST' } })
    const me = signed(here.freshNonce(), realmOf('gba-me', NAF), keyOf(TLS_SUITE))
    await refuses('UA_KEY_CHOICE_REFUSED', through(here, me))
  })
})

describe('a strict profile', () => {
  const NONE: Tolerances = new Set()

  test('takes counts 1, 2, 3 and refuses a gap, and what it refuses uses up nothing', async () => {
    const { pass, freshNonce } = world({ tolerances: NONE })
    const nonce = freshNonce()
    await pass(requestOf({ nonce, nc: 1 }))
    await refuses('UA_DEVIATION_REFUSED', pass(requestOf({ nonce, nc: 3 })))
    await pass(requestOf({ nonce, nc: 2 }))
    await pass(requestOf({ nonce, nc: 3 }))
  })

  test('tries the first identifier only', async () => {
    const { pass, freshNonce } = world({ tolerances: NONE })
    await refuses(
      'UA_RESPONSE_WRONG',
      pass(requestOf({ nonce: freshNonce(), id: OTHER_SUITE }), [TLS_SUITE, OTHER_SUITE]),
    )
  })

  test('is the opposite of a tolerant one, which names what it met', async () => {
    const { pass, freshNonce } = world()
    const { tolerances } = await pass(requestOf({ nonce: freshNonce(), nc: 7, id: OTHER_SUITE }), [
      TLS_SUITE,
      OTHER_SUITE,
    ])
    assert.deepEqual(tolerances, ['nc-not-reset', 'ua-id-candidate'])
  })
})

describe('a key that is at hand', () => {
  /** The same, with a cache in between, and a BSF whose key can be changed. */
  function cachedWorld() {
    const clock = { now: START }
    const bsf = { asked: 0, key: keyOf(TLS_SUITE), unknown: false }
    const keys = cachedKeySource(
      {
        async fetch() {
          bsf.asked++
          if (bsf.unknown) throw new GbaError('ZN_BTID_UNKNOWN', 'as the test wants it')
          const expiresAt = START + 100 * LIFETIME_MS
          return { ksNaf: bsf.key, expiresAt, bootstrappedAt: 500, gbaType: '3G_GBA', ussList }
        },
      },
      { now: () => clock.now, ussMaxAgeS: 60, unknownBtidCacheS: 5, maxEntries: 10 },
    )
    const ua = authenticator({
      keys,
      ledger: memoryNonceLedger({ maxNonces: 100, startedAt: 0 }),
      nonces: { key: new Secret(new Uint8Array(32).fill(9)), lifetimeMs: LIFETIME_MS },
      now: () => clock.now,
      randomBytes: (length) => new Uint8Array(length).fill(bsf.asked),
      maxRemembered: 10,
      tolerances: EVERY,
    })
    const nonce = parseChallenges(ua.challenge(NAF, challenge, NO_TOKENS, false))[0]?.nonce ?? ''
    const pass = async (nc: number, spoil: Partial<OutgoingCredentials> = {}) =>
      (await ua.enter(requestOf({ nonce, nc, spoil }), naf, [TLS_SUITE])).verify(NO_BODY, () => false)
    return { clock, bsf, pass, enter: () => ua.enter(requestOf({ nonce }), naf, [TLS_SUITE]) }
  }

  test('is asked for once, and each response is judged all the same', async () => {
    const { bsf, pass } = cachedWorld()
    for (const nc of [1, 2, 3]) {
      await pass(nc)
      await refuses('UA_NC_REUSED', pass(nc))
      await refuses('UA_RESPONSE_WRONG', pass(nc + 10, { response: 'a'.repeat(32) }))
      await refuses('UA_RESPONSE_WRONG', pass(nc + 10, { cnonce: 'other' }))
    }
    assert.equal(bsf.asked, 1)
  })

  test('is no longer good once the BSF has another', async () => {
    const { bsf, clock, pass } = cachedWorld()
    await pass(1)
    bsf.key = keyOf(OTHER_SUITE)
    clock.now += 60_000
    await refuses('UA_RESPONSE_WRONG', pass(2))
    bsf.key = keyOf(TLS_SUITE)
    await refuses('UA_RESPONSE_WRONG', pass(2))
    clock.now += 60_000
    await pass(2)
  })

  test('is missed by a rejection, not by an exception, also where the BSF is not asked again', async () => {
    const { bsf, enter } = cachedWorld()
    bsf.unknown = true
    for (let round = 0; round < 2; round++) await refuses('ZN_BTID_UNKNOWN', enter())
    assert.equal(bsf.asked, 1)
  })
})
