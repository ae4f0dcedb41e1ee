import assert from 'node:assert/strict'
import { before, describe, type TestContext, test } from 'node:test'
import { toBase64, toHex } from '../../src/core/bytes.ts'
import { parseUaProtocolId } from '../../src/core/naf-id.ts'
import { type LabPki, makeLabPki } from '../../src/tls/issue.ts'
import { createUe, type UeOptions } from '../../src/ue/flow.ts'
import { standardProfile } from '../../src/ue/profile.ts'
import { freshState, memoryState } from '../../src/ue/state.ts'
import { vectors } from '../support/vectors.ts'
import { card, fixedRandom, recorder } from './card.ts'
import { BSF, type FakeNafOptions, fakeBsf, fakeNaf, NAF, SET_1 } from './fake-network.ts'

interface Golden {
  btid: string
  ua: { Ks_NAF: string; request2_authorization: string; body: string; get_nc2: { response: string } }
}
const golden = vectors<Golden>('golden-flow.json')
const CNONCES = ['6b8b4567327b23c6643c986966334873', '66334873643c9869327b23c66b8b4567']
const PATH = '/org.openmobilealliance.pres-rules/users/sip:alice@ims.mnc001.mcc001.3gppnetwork.org/pres-rules'

let pki: LabPki
before(async () => {
  // The keys of the golden flow go with a suite for RSA.
  const names = { bsf: [BSF], naf: [NAF], znClients: [], serverKeyTypes: { ap: 'rsa' } } as const
  pki = await makeLabPki({ names, now: Date.now(), validDays: 1 })
})

interface Setup extends UeOptions {
  naf?: Partial<FakeNafOptions>
  expiresAt?: number
  https?: 'TLSv1.2' | 'TLSv1.3'
}

async function lab(t: TestContext, setup: Setup = {}) {
  const { naf: network = {}, https, expiresAt, ...options } = setup
  const bsf = await fakeBsf({ rands: [SET_1.rand], ...(expiresAt !== undefined && { expiresAt }) })
  const tls = https && { tls: { ...pki.ap, maxVersion: https } }
  const naf = await fakeNaf({ sessions: bsf.sessions, ...tls, ...network })
  const sim = card({ bsf: bsf.port, naf: naf.port })
  const state = memoryState(freshState(sim))
  const { seen, observer } = recorder()
  const ue = createUe(sim, { state, observer, ca: pki.ca.certificate, ...options })
  t.after(async () => {
    ue.close()
    await Promise.all([bsf.close(), naf.close()])
  })
  const url = (target: string) => `${https ? 'https' : 'http'}://${NAF}${target}`
  return { bsf, naf, ue, state, seen, url }
}

const refused = (code: string) => (error: unknown) => {
  assert.equal((error as { code?: string }).code, code)
  return true
}

describe('a UE on Ua', () => {
  test('authenticates as in the golden flow, with the key of the suite it negotiated', async (t) => {
    const { ue, naf, url, bsf } = await lab(t, {
      https: 'TLSv1.2',
      randomBytes: fixedRandom(...CNONCES),
      naf: {
        nonces: ['AAECAwQFBgcICQoLDA0ODxAREhMUFRYX'],
        opaque: 'bmFmLW9wYXF1ZS0x',
        answer: () => ({ status: 201 }),
      },
    })
    const put = await ue.request('PUT', url(PATH), {
      headers: { 'Content-Type': 'application/auth-policy+xml' },
      body: golden.ua.body,
      intendedIdentity: 'sip:alice@ims.mnc001.mcc001.3gppnetwork.org',
    })
    assert.deepEqual([put.status, put.rspauth], [201, 'verified'])
    assert.equal(put.connection.tls?.suite, 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256')
    const [first, second] = naf.requests
    assert.equal(first?.headers.authorization, undefined)
    assert.equal(second?.headers.authorization, golden.ua.request2_authorization)
    assert.equal(Buffer.from(second?.body ?? []).toString(), golden.ua.body)
    assert.equal(second?.headers['content-length'], '392')
    assert.equal(second?.headers['x-3gpp-intended-identity'], '"sip:alice@ims.mnc001.mcc001.3gppnetwork.org"')
    assert.ok(second?.headers['user-agent']?.split(' ').includes('3gpp-gba'))

    await ue.request('GET', url(PATH))
    assert.equal(naf.requests[2]?.credentials?.nc, '00000002')
    assert.equal(naf.requests[2]?.credentials?.response, golden.ua.get_nc2.response)
    assert.equal(bsf.drawn(), 1)
  })

  test('derives another key for TLS 1.3, and a third one without TLS', async (t) => {
    const { ue, url } = await lab(t, { https: 'TLSv1.3' })
    const response = await ue.request('GET', url('/'))
    assert.deepEqual([response.status, response.connection.tls?.version], [200, 'TLSv1.3'])
    const plain = await lab(t)
    assert.equal((await plain.ue.request('GET', plain.url('/'))).status, 200)
  })

  test('uses the Ua protocol identifier it is told', async (t) => {
    const { ue, url, naf } = await lab(t, { uaId: parseUaProtocolId('0100000000') ?? assert.fail() })
    assert.equal((await ue.request('GET', url('/'))).status, 401)
    assert.equal(naf.requests.length, 2)
  })

  test('sends later requests protected at once and counts nc up', async (t) => {
    const { ue, url, naf, bsf } = await lab(t)
    for (let i = 0; i < 12; i++) assert.equal((await ue.request('GET', url(`/${i}`))).status, 200)
    assert.equal(bsf.drawn(), 1)
    assert.equal(naf.requests.length, 13)
    assert.deepEqual(
      naf.requests.slice(1).map(({ credentials }) => credentials?.nc),
      Array.from({ length: 12 }, (_, i) => (i + 1).toString(16).padStart(8, '0')),
    )
  })

  test('never sends a count twice, however many requests run at once', async (t) => {
    const { ue, url, naf, bsf } = await lab(t)
    await ue.request('GET', url('/'))
    const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => ue.request('GET', url(`/${i}`))))
    assert.ok(answers.every(({ status }) => status === 200))
    assert.equal(new Set(naf.requests.slice(1).map(({ credentials }) => credentials?.nc)).size, 21)
    assert.equal(bsf.drawn(), 1)
  })

  test('takes a nextnonce and starts its count at one', async (t) => {
    const { ue, url, naf } = await lab(t, { naf: { nextnonce: 'next' } })
    await ue.request('GET', url('/'))
    await ue.request('GET', url('/'))
    await ue.request('GET', url('/'))
    assert.deepEqual(
      naf.requests.slice(1).map(({ credentials }) => `${credentials?.nonce} ${credentials?.nc}`),
      ['nonce-0 00000001', 'next 00000001', 'next 00000002'],
    )
  })

  test('answers a stale nonce with the new one, without a bootstrap', async (t) => {
    const { ue, url, naf, bsf } = await lab(t, { naf: { stale: new Set(['nonce-0']) } })
    assert.equal((await ue.request('GET', url('/'))).status, 200)
    assert.equal(bsf.drawn(), 1)
    assert.deepEqual(
      naf.requests.map(({ credentials }) => credentials?.nonce),
      [undefined, 'nonce-0', 'nonce-1'],
    )
  })

  test('bootstraps anew when a protected request is refused', async (t) => {
    const unknown = new Set<string>()
    const { ue, url, bsf, naf } = await lab(t, { naf: { unknown } })
    await ue.request('GET', url('/'))
    unknown.add(golden.btid)
    assert.equal((await ue.request('GET', url('/'))).status, 200)
    assert.equal(bsf.drawn(), 2)
    assert.equal(naf.requests.length, 4)
  })

  test('does not bootstrap for a key that another transaction has replaced meanwhile', async (t) => {
    const unknown = new Set<string>()
    let replace = () => Promise.resolve()
    const meanwhile = ({ target }: { target: string }) => (target === '/late' ? replace() : undefined)
    const { ue, url, bsf } = await lab(t, { naf: { unknown, meanwhile } })
    await ue.request('GET', url('/'))
    unknown.add(golden.btid)
    replace = async () => {
      replace = () => Promise.resolve()
      await ue.bootstrap()
    }
    assert.equal((await ue.request('GET', url('/late'))).status, 200)
    assert.equal(bsf.drawn(), 2)
  })

  test('asks for a nonce before it shows a new B-TID', async (t) => {
    const { ue, url, bsf, naf } = await lab(t)
    await ue.request('GET', url('/'))
    await ue.bootstrap()
    assert.equal((await ue.request('GET', url('/'))).status, 200)
    assert.equal(bsf.drawn(), 2)
    assert.deepEqual(
      naf.requests.map(({ credentials }) => credentials?.nonce),
      [undefined, 'nonce-0', undefined, 'nonce-1'],
    )
  })

  test('goes on counting when a challenge repeats its nonce', async (t) => {
    const { ue, url, naf } = await lab(t, { naf: { nonces: ['same', 'same'] } })
    await ue.request('GET', url('/'))
    await ue.bootstrap()
    await ue.request('GET', url('/'))
    assert.equal(naf.requests.at(-1)?.credentials?.nc, '00000002')
  })

  test('bootstraps at most once for one chain of 401s, and hands the last one over', async (t) => {
    const { ue, url, bsf, naf } = await lab(t, { naf: { refuse: true } })
    const response = await ue.request('GET', url('/'))
    assert.deepEqual([response.status, response.text()], [401, 'nothing here'])
    assert.equal(bsf.drawn(), 1)
    assert.equal(naf.requests.length, 2)
  })

  test('does not follow a NAF that calls every nonce stale for ever', async (t) => {
    const stale = new Set(Array.from({ length: 50 }, (_, i) => `nonce-${i}`))
    const { ue, url, naf, bsf } = await lab(t, { naf: { stale } })
    assert.equal((await ue.request('GET', url('/'))).status, 401)
    assert.equal(naf.requests.length, 5)
    assert.equal(bsf.drawn(), 1)
  })

  test('uses no key whose lifetime is over', async (t) => {
    let now = 1_000_000_000_000
    const { ue, url, bsf, naf } = await lab(t, { now: () => now, expiresAt: now + 60_000 })
    await ue.request('GET', url('/'))
    now += 59_999
    await ue.request('GET', url('/'))
    assert.equal(bsf.drawn(), 1)
    now += 1
    await ue.request('GET', url('/'))
    assert.equal(bsf.drawn(), 2)
    assert.equal(naf.requests.at(-2)?.headers.authorization, undefined)
  })

  test('forgets on demand, but never its SQN', async (t) => {
    const { ue, url, bsf, state } = await lab(t)
    await ue.request('GET', url('/'))
    const { usim } = state.read()
    ue.forget()
    assert.deepEqual(state.read(), { usim, nonces: new Map() })
    await ue.request('GET', url('/'))
    assert.equal(bsf.drawn(), 2)
  })

  test('sends the target octet for octet', async (t) => {
    const { ue, url, naf } = await lab(t)
    const targets = [
      '/a/../b/./c',
      '/a//b/%2e%2E/%41',
      String.raw`/a\b`,
      '/~~/r%5B@id=%22x%22%5D/"q"?xmlns(p=urn:x)',
      '/users/sip:alice@example.com/index?',
      '/a?b?c&d=%00',
      "/'{}|^`",
    ]
    for (const target of targets) {
      assert.equal((await ue.request('GET', url(target))).status, 200)
      assert.equal(naf.requests.at(-1)?.target, target)
      assert.equal(naf.requests.at(-1)?.credentials?.uri, target)
    }
  })

  test('sends the headers it is given, twice where given twice', async (t) => {
    const { ue, url, naf } = await lab(t)
    await ue.request('GET', url('/'), {
      headers: [
        ['X-Twice', 'a'],
        ['x_twice', 'look-alike'],
        ['X-Twice', 'b'],
        ['Accept', undefined],
        ['User-Agent', 'mine'],
      ],
    })
    const { rawHeaders = [], headers } = naf.requests.at(-1) ?? {}
    assert.deepEqual(
      rawHeaders.filter((_, i) => /x.twice/i.test(rawHeaders[i - (i % 2)] ?? '')),
      ['X-Twice', 'a', 'X-Twice', 'b', 'x_twice', 'look-alike'],
    )
    assert.deepEqual([headers?.accept, headers?.['user-agent']], [undefined, 'mine'])
  })

  test("leaves a caller's own credentials alone", async (t) => {
    const { ue, url, naf, bsf } = await lab(t)
    const response = await ue.request('GET', url('/'), { headers: { authorization: 'Bearer x' } })
    assert.deepEqual([response.status, naf.requests.length, bsf.drawn()], [401, 1, 0])
  })

  test('does not bootstrap for a 401 that does not ask for GBA', async (t) => {
    const { ue, url, bsf } = await lab(t, { naf: { realm: 'somewhere' } })
    assert.equal((await ue.request('GET', url('/'))).status, 401)
    assert.equal(bsf.drawn(), 0)
  })

  describe('choosing from the challenge', () => {
    const choices: [string, Partial<FakeNafOptions>, string, string][] = [
      ['auth-int where both are offered', {}, 'MD5', 'auth-int'],
      ['auth where only that is offered', { qop: ['auth'] }, 'MD5', 'auth'],
      ['the first algorithm of the server', { algorithms: ['SHA-256', 'MD5'] }, 'SHA-256', 'auth-int'],
      ['the next algorithm when it does not know the first', { algorithms: ['AKAv1-MD5', 'MD5'] }, 'MD5', 'auth-int'],
      ['a session algorithm', { algorithms: ['SHA-256-sess'] }, 'SHA-256-sess', 'auth-int'],
    ]
    for (const [what, naf, algorithm, qop] of choices) {
      test(`takes ${what}`, async (t) => {
        const { ue, url, naf: fake } = await lab(t, { naf })
        for (const body of ['', 'x']) {
          const response = await ue.request('PUT', url('/'), { body })
          assert.deepEqual([response.status, response.rspauth], [200, 'verified'])
        }
        const { credentials } = fake.requests.at(-1) ?? {}
        assert.deepEqual([credentials?.algorithm, credentials?.qop], [algorithm, qop])
      })
    }

    test('takes the qop it is asked to', async (t) => {
      const { ue, url, naf } = await lab(t)
      await ue.request('GET', url('/'), { qop: 'auth' })
      assert.equal(naf.requests[1]?.credentials?.qop, 'auth')
    })

    test('finds its method in a realm that lists several, and digests the whole realm', async (t) => {
      const realm = `3GPP-bootstrapping-uicc@${NAF};3GPP-bootstrapping@${NAF.toUpperCase()}`
      const { ue, url, naf } = await lab(t, { naf: { realm } })
      assert.equal((await ue.request('GET', url('/'))).status, 200)
      assert.equal(naf.requests[1]?.credentials?.realm, realm)
    })

    const unusable: [string, Partial<FakeNafOptions>, 'auth' | undefined][] = [
      ['a realm that names another host', { realm: '3GPP-bootstrapping@evil.example' }, undefined],
      ['a realm that only begins with the host', { realm: `3GPP-bootstrapping@${NAF}.evil.example` }, undefined],
      ['a challenge without qop', { qop: [] }, undefined],
      ['a qop that is not offered', { qop: ['auth-int'] }, 'auth'],
      ['unknown algorithms', { algorithms: ['AKAv2-MD5'] }, undefined],
    ]
    for (const [what, naf, qop] of unusable) {
      test(`answers nothing and draws no vector for ${what}`, async (t) => {
        const { ue, url, bsf, naf: fake } = await lab(t, { naf })
        await assert.rejects(ue.request('GET', url('/'), qop && { qop }), refused('CHALLENGE_UNUSABLE'))
        assert.deepEqual([fake.requests.length, bsf.drawn()], [1, 0])
      })
    }
  })

  describe('checking the answer', () => {
    test('refuses a wrong rspauth', async (t) => {
      const { ue, url, seen } = await lab(t, { naf: { rspauth: 'wrong' } })
      await assert.rejects(ue.request('GET', url('/')), refused('RSPAUTH_WRONG'))
      assert.equal(seen.at(-1)?.response.status, 200)
    })

    test('believes an answer without rspauth unless told otherwise', async (t) => {
      const { ue, url } = await lab(t, { naf: { rspauth: 'none' } })
      assert.equal((await ue.request('GET', url('/'))).rspauth, 'absent')
      const strict = await lab(t, { naf: { rspauth: 'none' }, rspauth: 'require' })
      await assert.rejects(strict.ue.request('GET', strict.url('/')), refused('RSPAUTH_WRONG'))
    })

    test('verifies answers without a body: HEAD, 304, 204', async (t) => {
      for (const [method, status] of [
        ['HEAD', 200],
        ['GET', 304],
        ['DELETE', 204],
      ] as const) {
        const { ue, url } = await lab(t, { naf: { answer: () => ({ status }) } })
        const response = await ue.request(method, url('/'))
        assert.deepEqual([response.status, response.rspauth], [status, 'verified'])
      }
    })

    test('takes no answer beyond the limit', async (t) => {
      const { ue, url } = await lab(t, { maxBodyBytes: 7, naf: { answer: () => ({ status: 200, body: '12345678' }) } })
      await assert.rejects(ue.request('GET', url('/')), refused('ANSWER_TOO_LARGE'))
    })
  })

  describe('connecting', () => {
    test('refuses a certificate of another host, and of another CA', async (t) => {
      const { ue, naf } = await lab(t, {
        https: 'TLSv1.3',
        connect: [{ host: 'other.example', toHost: '127.0.0.1' }],
      })
      await assert.rejects(ue.request('GET', `https://other.example:${naf.port}/`), refused('CERTIFICATE_REFUSED'))
      const other = await makeLabPki({ names: { bsf: [], naf: [], znClients: [] }, now: Date.now(), validDays: 1 })
      const stranger = await lab(t, { https: 'TLSv1.3', ca: other.ca.certificate })
      await assert.rejects(stranger.ue.request('GET', stranger.url('/')), refused('CERTIFICATE_REFUSED'))
      assert.equal(stranger.naf.requests.length, 0)
    })

    test('takes any certificate when told to', async (t) => {
      const { ue, url } = await lab(t, { https: 'TLSv1.3', ca: pki.bsf.certificate, insecure: true })
      assert.equal((await ue.request('GET', url('/'))).status, 200)
    })

    test('tries a fresh connection, with a fresh count, when the idle one was closed', async (t) => {
      const { ue, url, naf } = await lab(t, { naf: { drop: new Set(['/2', '/3']) } })
      await ue.request('GET', url('/1'))
      assert.equal((await ue.request('PUT', url('/2'), { body: 'x' })).status, 200)
      assert.deepEqual(
        naf.requests.slice(-2).map(({ target, credentials }) => `${target} ${credentials?.nc}`),
        ['/2 00000002', '/2 00000003'],
      )
      await assert.rejects(ue.request('POST', url('/3'), { body: 'x' }), refused('CONNECTION_LOST'))
    })

    test('does not try again when a fresh connection was cut', async (t) => {
      const { ue, url, naf } = await lab(t, { naf: { drop: new Set(['/1']) } })
      await assert.rejects(ue.request('GET', url('/1')), refused('ANSWER_EMPTY'))
      assert.equal(naf.requests.length, 1)
    })

    test('gives up at the signal', async (t) => {
      const { ue, url } = await lab(t, { naf: { silent: true } })
      await assert.rejects(ue.request('GET', url('/'), { signal: AbortSignal.timeout(50) }), refused('TIMEOUT'))
      const stop = new AbortController()
      setTimeout(() => stop.abort(), 50)
      await assert.rejects(ue.request('GET', url('/'), { signal: stop.signal }), refused('ABORTED'))
    })
  })

  test('hands out what another program needs to act as this UE', async (t) => {
    const { ue, url, naf, bsf } = await lab(t, { https: 'TLSv1.2' })
    const credentials = await ue.credentials(url('/'))
    assert.equal(credentials.btid, golden.btid)
    assert.equal(toHex(credentials.ksNaf.expose(32)), golden.ua.Ks_NAF)
    assert.equal(credentials.password, toBase64(credentials.ksNaf.expose(32)))
    assert.equal(credentials.uaProtocolId, '010001c02f')
    assert.equal(credentials.connection.tls?.cipher, 'ECDHE-RSA-AES128-GCM-SHA256')
    assert.deepEqual([naf.requests.length, bsf.drawn()], [0, 1])
  })

  test('behaves as its profile says', async (t) => {
    const profile = { ...standardProfile, formatNc: (count: number) => String(count + 99), userAgent: 'other' }
    const { ue, url, naf } = await lab(t, { profile })
    assert.equal((await ue.request('GET', url('/'))).status, 200)
    assert.equal(naf.requests[1]?.credentials?.nc, '100')
    assert.equal(naf.requests[1]?.headers['user-agent'], 'other 3gpp-gba')
  })
})
