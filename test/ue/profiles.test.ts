import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { before, describe, type TestContext, test } from 'node:test'
import { toBase64, utf8 } from '../../src/core/bytes.ts'
import { computeHa1, computeResponse, type DigestAlgorithm, type Qop } from '../../src/core/digest.ts'
import { formatAuthenticationInfo, formatChallenge } from '../../src/core/digest-header.ts'
import { deriveKsNaf } from '../../src/core/kdf.ts'
import { nafIdOf, parseUaProtocolId } from '../../src/core/naf-id.ts'
import { impuOf } from '../../src/lab.ts'
import { type LabPki, makeLabPki } from '../../src/tls/issue.ts'
import { createUe, type UeOptions } from '../../src/ue/flow.ts'
import { PROFILE_NAMES, PROFILES, type ProfileName } from '../../src/ue/profiles.ts'
import { freshState, memoryState } from '../../src/ue/state.ts'
import { parseXcapUri } from '../../src/ut/xcap-uri.ts'
import { testLab } from '../support/lab.ts'
import { peerTest } from '../support/peer.ts'
import { run } from '../support/programs.ts'
import { card, recorder } from './card.ts'
import { BSF, type FakeNafOptions, fakeBsf, fakeNaf, NAF } from './fake-network.ts'

let pki: LabPki
before(async () => {
  // The keys of the golden flow go with a suite for RSA.
  const names = { bsf: [BSF], naf: [NAF], znClients: [], serverKeyTypes: { ap: 'rsa' } } as const
  pki = await makeLabPki({ names, now: Date.now(), validDays: 1 })
})

interface Setup extends UeOptions {
  naf?: Partial<FakeNafOptions>
}

async function lab(t: TestContext, name: ProfileName, { naf: network = {}, ...options }: Setup = {}) {
  const bsf = await fakeBsf()
  const naf = await fakeNaf({ sessions: bsf.sessions, ...network })
  const sim = card({ bsf: bsf.port, naf: naf.port })
  const state = memoryState(freshState(sim))
  const { seen, observer } = recorder()
  const ue = createUe(sim, { profile: PROFILES[name], state, observer, ca: pki.ca.certificate, ...options })
  t.after(async () => {
    ue.close()
    await Promise.all([bsf.close(), naf.close()])
  })
  const credentials = () => naf.requests.map((request) => request.credentials)
  return { bsf, naf, ue, state, seen, credentials, url: (target: string) => `http://${NAF}${target}` }
}

const refused = (code: string) => (error: unknown) => {
  assert.equal((error as { code?: string }).code, code)
  return true
}

describe('the android profile', () => {
  test('counts nc in decimal, and on when the nonce changes', async (t) => {
    const { ue, url, credentials } = await lab(t, 'android', { naf: { nextnonce: 'next' } })
    for (let i = 0; i < 12; i++) assert.equal((await ue.request('GET', url('/'))).status, 200)
    assert.deepEqual(
      credentials().flatMap((each) => (each ? `${each.nonce} ${each.nc}` : [])),
      ['nonce-0 00000001', ...Array.from({ length: 11 }, (_, i) => `next ${String(i + 2).padStart(8, '0')}`)],
    )
  })

  test('bootstraps anew at any 401, stale or not', async (t) => {
    const stale = new Set<string>()
    const { ue, url, bsf, seen } = await lab(t, 'android', { naf: { stale } })
    assert.equal((await ue.request('GET', url('/'))).status, 200)
    stale.add('nonce-0')
    assert.equal((await ue.request('GET', url('/'))).status, 200)
    assert.equal(bsf.drawn(), 2)
    assert.equal(seen.filter(({ response, interface: point }) => point === 'Ua' && response.status === 401).length, 2)
  })

  test('drops its credentials at the second 401 of a transaction', async (t) => {
    const unknown = { has: () => true } as unknown as Set<string>
    const { ue, url, bsf, naf, state } = await lab(t, 'android', { naf: { unknown } })
    assert.equal((await ue.request('GET', url('/'))).status, 401)
    assert.deepEqual([bsf.drawn(), naf.requests.length], [1, 2])
    assert.deepEqual([state.read().bootstrap, state.read().nonces.size], [undefined, 0])
  })

  test('opens a connection for every request', async (t) => {
    const { ue, url, naf } = await lab(t, 'android')
    for (let i = 0; i < 3; i++) await ue.request('GET', url('/'))
    assert.deepEqual(
      naf.requests.map(({ headers }) => headers.connection),
      ['close', 'close', 'close', 'close'],
    )
  })

  test('derives its key from the suite of the connection before', async (t) => {
    const tls12 = { tls: { ...pki.ap, maxVersion: 'TLSv1.2' as const } }
    const later = await fakeNaf({ sessions: new Map(), tls: { ...pki.ap, maxVersion: 'TLSv1.3' } })
    t.after(() => later.close())
    const rule = { host: NAF, toHost: '127.0.0.1', toPort: 0 }
    const meanwhile = async () => {
      rule.toPort = later.port
    }
    const { ue, bsf, naf } = await lab(t, 'android', { connect: [rule], naf: { ...tls12, meanwhile } })
    rule.toPort = naf.port
    const response = await ue.request('GET', `https://${NAF}/x`)
    assert.equal(response.connection.tls?.version, 'TLSv1.3')
    const { credentials } = later.requests[0] ?? assert.fail()
    const session = bsf.sessions.get(credentials?.username ?? '') ?? assert.fail()
    const under = (text: string) => {
      const nafId = nafIdOf(NAF, parseUaProtocolId(text) ?? assert.fail())
      const password = utf8(toBase64(deriveKsNaf(session.ks, session.rand, session.impi, nafId).expose(32)))
      const { username = '', realm = '', nonce = '', nc, cnonce, qop, uri = '' } = credentials ?? {}
      const ha1 = computeHa1('MD5', username, realm, password)
      return computeResponse({ algorithm: 'MD5', ha1, nonce, nc, cnonce, qop, uri, method: 'GET' })
    }
    assert.equal(credentials?.response, under('010001c02f'))
    assert.notEqual(credentials?.response, under('0100011301'))
  })

  test('quotes the intended identity and sends an empty Accept-Encoding', async (t) => {
    const { ue, url, naf } = await lab(t, 'android')
    await ue.request('GET', url('/'), { intendedIdentity: 'tel:+15550100123' })
    const { headers } = naf.requests.at(-1) ?? assert.fail()
    assert.deepEqual([headers['x-3gpp-intended-identity'], headers['accept-encoding']], ['"tel:+15550100123"', ''])
  })

  test('answers MD5-sess', async (t) => {
    const { ue, url, credentials } = await lab(t, 'android', { naf: { algorithms: ['MD5-sess'] } })
    assert.equal((await ue.request('PUT', url('/'), { body: 'x' })).status, 200)
    assert.equal(credentials().at(-1)?.algorithm, 'MD5-sess')
  })

  test('reads no more of a value than up to its first comma or equals sign', () => {
    const { readChallenges, readAuthenticationInfo } = PROFILES.android
    const challenge = { realm: 'a,b', nonce: 'bm9uY2U=', opaque: 'o', qop: ['auth', 'auth-int'] } as const
    assert.deepEqual(readChallenges([formatChallenge(challenge)]), [
      { realm: 'a', nonce: 'bm9uY2U', opaque: 'o', qop: ['auth'] },
    ])
    assert.deepEqual(readAuthenticationInfo('rspauth="a",cnonce="b", nc=00000001'), { rspauth: 'a', cnonce: 'b' })
    const info = { qop: 'auth', rspauth: 'ff', cnonce: 'b', nc: '00000001', nextnonce: 'n' } as const
    assert.deepEqual(readAuthenticationInfo(formatAuthenticationInfo(info)), info)
  })

  test('asks for targets that the proxy takes', () => {
    for (const name of PROFILE_NAMES) {
      for (const target of PROFILES[name].targets('tel:+1234567890')) {
        assert.equal(parseXcapUri(target).xui, 'tel:+1234567890')
      }
    }
    assert.ok(PROFILES.android.targets('tel:+1').some((target) => target.includes('%5B@id=%22cfu%22%5D?xmlns(ss=')))
  })
})

describe('the gba-me profile', () => {
  test('ends the digest uri in a slash, and only there', async (t) => {
    const { ue, url, naf } = await lab(t, 'gba-me', { naf: { qop: ['auth-int'], trailingSlash: true } })
    for (const [target, uri] of [
      ['/a', '/a/'],
      ['/a/', '/a/'],
    ]) {
      assert.equal((await ue.request('GET', url(target ?? ''))).status, 200)
      const { target: sent, credentials } = naf.requests.at(-1) ?? assert.fail()
      assert.deepEqual([sent, credentials?.uri], [target, uri])
    }
  })

  test('has no answer to a list of qop, and draws no vector for it', async (t) => {
    const { ue, url, bsf } = await lab(t, 'gba-me')
    await assert.rejects(ue.request('GET', url('/')), refused('CHALLENGE_UNUSABLE'))
    assert.equal(bsf.drawn(), 0)
  })

  test('sends the intended identity bare', async (t) => {
    const { ue, url, naf } = await lab(t, 'gba-me', { naf: { qop: ['auth'], trailingSlash: true } })
    await ue.request('GET', url('/'), { intendedIdentity: 'sip:alice@example.com' })
    assert.equal(naf.requests.at(-1)?.headers['x-3gpp-intended-identity'], 'sip:alice@example.com')
  })
})

describe('the curl profile', () => {
  test('costs one 401 for each URL, and ignores nextnonce', async (t) => {
    const { ue, url, bsf, credentials } = await lab(t, 'curl', { naf: { nextnonce: 'next' } })
    for (let i = 0; i < 3; i++) assert.equal((await ue.request('GET', url('/'))).status, 200)
    assert.deepEqual(
      credentials().map((each) => each && `${each.nonce} ${each.nc}`),
      [undefined, 'nonce-0 00000001', undefined, 'nonce-1 00000001', undefined, 'nonce-2 00000001'],
    )
    assert.equal(bsf.drawn(), 1)
  })

  test('puts first with length 0 and then with the body', async (t) => {
    const { ue, url, naf } = await lab(t, 'curl')
    assert.equal((await ue.request('PUT', url('/'), { body: 'xyz' })).status, 200)
    assert.deepEqual(
      naf.requests.map(({ headers, body }) => [headers['content-length'], Buffer.from(body).toString()]),
      [
        ['0', ''],
        ['3', 'xyz'],
      ],
    )
  })

  test('takes auth where both are offered, and nothing else', async (t) => {
    const both = await lab(t, 'curl')
    assert.equal((await both.ue.request('GET', both.url('/'))).status, 200)
    assert.equal(both.credentials().at(-1)?.qop, 'auth')
    const { ue, url } = await lab(t, 'curl', { naf: { qop: ['auth-int'] } })
    await assert.rejects(ue.request('GET', url('/')), refused('CHALLENGE_UNUSABLE'))
  })

  test('answers a stale nonce, and leaves a refused key to its user', async (t) => {
    const stale = new Set(['nonce-0'])
    const aged = await lab(t, 'curl', { naf: { stale } })
    assert.equal((await aged.ue.request('GET', aged.url('/'))).status, 200)
    const unknown = { has: () => true } as unknown as Set<string>
    const { ue, url, bsf, naf } = await lab(t, 'curl', { naf: { unknown } })
    assert.equal((await ue.request('GET', url('/'))).status, 401)
    assert.deepEqual([bsf.drawn(), naf.requests.length], [1, 2])
  })

  peerTest('sends what curl sends', ['curl'], async (t) => {
    const dir = mkdtempSync(join(tmpdir(), 'gba-curl-'))
    t.after(() => rmSync(dir, { recursive: true }))
    writeFileSync(join(dir, 'body'), 'xyz')
    for (const algorithm of ['MD5', 'SHA-256'] as const) {
      const { ue, url, naf } = await lab(t, 'curl', {
        naf: { algorithms: [algorithm], stale: new Set(['nonce-0', 'nonce-2']) },
      })
      const { btid, password } = await ue.credentials(url('/x'))
      await ue.request('PUT', url('/x'), { body: 'xyz' })
      const ours = naf.requests.splice(0)
      const args = ['-s', '--digest', '-u', `${btid}:${password}`, '-T', join(dir, 'body')]
      await run('curl', [...args, '--connect-to', `::127.0.0.1:${naf.port}`, url('/x')])
      const shape = ({ method, target, headers, body }: (typeof ours)[number]) => ({
        method,
        target,
        length: headers['content-length'],
        body: Buffer.from(body).toString(),
        authorization: headers.authorization?.replace(
          /nonce-\d|(?<=cnonce=").{44}(?=")|(?<=response=")[0-9a-f]+/g,
          '…',
        ),
      })
      assert.equal(ours.length, 3)
      assert.deepEqual(ours.map(shape), naf.requests.map(shape))
    }
  })
})

describe('the strict profile', () => {
  test('wants rspauth, where the standard one does without', async (t) => {
    for (const [name, rspauth] of [
      ['standard', 'absent'],
      ['strict', undefined],
    ] as const) {
      const { ue, url } = await lab(t, name, { naf: { rspauth: 'none' } })
      if (rspauth) assert.equal((await ue.request('GET', url('/'))).rspauth, rspauth)
      else await assert.rejects(ue.request('GET', url('/')), refused('RSPAUTH_WRONG'))
    }
  })

  test('reads what is written by the book, and nothing else', () => {
    const { readChallenges, readAuthenticationInfo } = PROFILES.strict
    const challenge = formatChallenge({ realm: 'r', nonce: 'n', algorithm: 'MD5', qop: ['auth'] })
    assert.equal(readChallenges([challenge]).length, 1)
    for (const [right, wrong] of [
      ['algorithm=MD5', 'algorithm="MD5"'],
      ['qop="auth"', 'qop=auth'],
      ['nonce="n"', 'nonce=n'],
    ] as const) {
      const other = challenge.replace(right, wrong)
      assert.deepEqual(
        [readChallenges([other]).length, PROFILES.standard.readChallenges([other]).length],
        [0, 1],
        other,
      )
    }
    const info = 'qop=auth,rspauth="ff",cnonce="c",nc=00000001'
    assert.equal(readAuthenticationInfo(info)?.rspauth, 'ff')
    for (const other of [info.replace('qop=auth,', ''), info.replace('=auth', '="auth"'), 'rspauth="ff"']) {
      assert.equal(readAuthenticationInfo(other), undefined)
    }
  })
})

describe('in front of the proxy', () => {
  const offers: { algorithms: DigestAlgorithm[]; qop: Qop[]; lines?: 'joined'; to: ProfileName[] }[] = [
    { algorithms: ['MD5'], qop: ['auth', 'auth-int'], to: ['standard', 'android', 'curl', 'strict'] },
    { algorithms: ['SHA-256', 'MD5'], qop: ['auth'], to: ['standard', 'android', 'gba-me', 'curl', 'strict'] },
    { algorithms: ['SHA-256', 'MD5'], qop: ['auth-int'], lines: 'joined', to: ['android', 'gba-me'] },
    { algorithms: ['MD5-sess'], qop: ['auth-int', 'auth'], to: ['standard', 'android', 'curl', 'strict'] },
  ]
  for (const { to, ...challenge } of offers) {
    test(`every profile passes with at most one 401 per transaction: ${JSON.stringify(challenge)}`, async (t) => {
      const net = await testLab({ ap: { challenge }, answer: () => ({ status: 200, body: 'content' }) })
      t.after(() => net.close())
      for (const name of to) {
        const { seen, observer } = recorder()
        const sim = await net.sim('alice')
        const ue = createUe(sim, { profile: PROFILES[name], ca: net.ca, observer })
        t.after(() => ue.close())
        for (const target of PROFILES[name].targets(impuOf('alice'))) {
          for (const method of ['PUT', 'GET', 'DELETE']) {
            const before = seen.length
            const body = method === 'PUT' ? '<a/>' : ''
            const response = await ue.request(method, net.url(target), { body, intendedIdentity: impuOf('alice') })
            const refusals = seen
              .slice(before)
              .filter((each) => each.interface === 'Ua' && each.response.status === 401)
            assert.equal(response.status, 200, `${name} ${method} ${target}`)
            assert.ok(refusals.length <= 1, `${name} ${method} ${target}: ${refusals.length} times 401`)
            assert.equal(response.rspauth, name === 'curl' ? 'absent' : 'verified')
          }
        }
      }
    })
  }
})
