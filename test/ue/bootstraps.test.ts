import assert from 'node:assert/strict'
import { describe, type TestContext, test } from 'node:test'
import { fromHex, toHex } from '../../src/core/bytes.ts'
import type { Fqdn } from '../../src/core/identity.ts'
import type { UaProtocolId } from '../../src/core/naf-id.ts'
import { createUe, type Ue, type UeOptions } from '../../src/ue/flow.ts'
import { freshState, memoryState } from '../../src/ue/state.ts'
import { vectors } from '../support/vectors.ts'
import { card, fixedRandom, recorder, shows } from './card.ts'
import { BSF, type FakeBsfOptions, fakeBsf, IMPI, SET_1 } from './fake-network.ts'

interface Golden {
  identities: { naf: Fqdn }
  aka: { Ks: string }
  btid: string
  tmpi: string
  ub: { request1: string; request2: string }
  resync: { SQN_MS: string; request2: string; afterResync: { RAND: string; SQN: string; nonce: string } }
  ua: { uaProtocolId: UaProtocolId; Ks_NAF: string }
}
const golden = vectors<Golden>('golden-flow.json')
const CNONCE = '6b8b4567327b23c6643c986966334873'
const LATER = '66334873643c9869327b23c66b8b4567'
const OPAQUE = 'c2VydmVyLW9wYXF1ZS11Yi0x'

/** A field of a golden message. */
const field = (message: string, name: string): string =>
  message
    .split('\r\n')
    .find((line) => line.startsWith(`${name}: `))
    ?.slice(name.length + 2) ?? assert.fail(name)

async function lab(t: TestContext, network: FakeBsfOptions = {}, options: UeOptions & { sqn?: string } = {}) {
  const bsf = await fakeBsf({ rands: [SET_1.rand], opaque: OPAQUE, ...network })
  const { sqn, ...rest } = options
  const sim = card({ bsf: bsf.port }, sqn === undefined ? {} : { sqn })
  const state = memoryState(freshState(sim))
  const { seen, observer } = recorder()
  const ue: Ue = createUe(sim, { state, observer, ...rest })
  t.after(() => {
    ue.close()
    return bsf.close()
  })
  return { bsf, ue, state, seen }
}

const refused = (code: string) => (error: unknown) => {
  assert.equal((error as { code?: string }).code, code)
  return true
}

describe('a UE on Ub', () => {
  test('bootstraps as in the golden flow, message for message', async (t) => {
    const expiresAt = Date.parse('2026-11-21T22:00:00Z')
    const now = () => Date.parse('2026-11-21T10:00:01Z')
    const { bsf, ue } = await lab(t, { expiresAt }, { randomBytes: fixedRandom(CNONCE), now })
    const result = await ue.bootstrap()
    assert.deepEqual(
      { impi: result.impi, btid: result.btid, tmpi: result.tmpi, expiresAt: result.expiresAt },
      { impi: IMPI, btid: golden.btid, tmpi: golden.tmpi, expiresAt },
    )
    assert.equal(toHex(result.ksNaf(golden.identities.naf, golden.ua.uaProtocolId).expose(32)), golden.ua.Ks_NAF)
    const [first, second, more] = bsf.requests
    assert.equal(more, undefined)
    assert.equal(first?.headers.authorization, field(golden.ub.request1, 'Authorization'))
    assert.equal(second?.headers.authorization, field(golden.ub.request2, 'Authorization'))
    assert.equal(second?.headers.host, BSF)
    assert.equal(second?.headers.date, field(golden.ub.request2, 'Date'))
    assert.deepEqual([second?.method, second?.target], ['GET', '/'])
    assert.ok(second?.headers['user-agent']?.split(' ').includes('3gpp-gba-tmpi'))
  })

  test('resynchronises once when its SQN is ahead, as in the golden flow', async (t) => {
    const { SQN_MS, request2, afterResync } = golden.resync
    const { bsf, ue, state } = await lab(
      t,
      { rands: [SET_1.rand, afterResync.RAND] },
      { sqn: SQN_MS, randomBytes: fixedRandom(CNONCE, LATER) },
    )
    await ue.bootstrap()
    assert.equal(bsf.requests[1]?.headers.authorization, field(request2, 'Authorization'))
    assert.ok(bsf.requests[2]?.headers.authorization?.includes(`nonce="${afterResync.nonce}"`))
    assert.equal(bsf.drawn(), 2)
    assert.ok(state.read().usim.sqns.some((sqn) => toHex(sqn) === afterResync.SQN))
  })

  test('gives up when the SQN is out of range after a resynchronisation too', async (t) => {
    const { bsf, ue } = await lab(t, { deafToAuts: true }, { sqn: golden.resync.SQN_MS })
    await assert.rejects(ue.bootstrap(), refused('BOOTSTRAP_REFUSED'))
    assert.equal(bsf.drawn(), 2)
  })

  test('reports a wrong MAC without AUTS and without RES, and gives up', async (t) => {
    const { bsf, ue, seen } = await lab(t, { otherKey: true })
    await assert.rejects(ue.bootstrap(), refused('AUTN_MAC_WRONG'))
    assert.equal(bsf.requests.length, 2)
    const report = bsf.requests[1]?.headers.authorization ?? ''
    assert.ok(report.includes('response=""') && !report.includes('auts='))
    assert.equal(seen.length, 2)
  })

  for (const rspauth of ['wrong', 'none'] as const) {
    test(`believes nothing when rspauth is ${rspauth}`, async (t) => {
      const { ue, state } = await lab(t, { rspauth })
      await assert.rejects(ue.bootstrap(), refused('RSPAUTH_WRONG'))
      assert.equal(state.read().bootstrap, undefined)
    })
  }

  test('sends its TMPI in the next run and keys stay those of the IMPI', async (t) => {
    const { bsf, ue } = await lab(t)
    const { tmpi } = await ue.bootstrap()
    const again = await ue.bootstrap()
    assert.ok(tmpi && bsf.requests[2]?.headers.authorization?.includes(`username="${tmpi}"`))
    assert.equal(bsf.sessions.get(again.btid)?.impi, IMPI)
    assert.notEqual(again.tmpi, tmpi)
  })

  test('falls back to the IMPI when the BSF does not know the TMPI', async (t) => {
    const { bsf, ue } = await lab(t, { refuseTmpi: 403 })
    await ue.bootstrap()
    await ue.bootstrap()
    const usernames = bsf.requests.map(({ headers }) => /username="([^"@]*)/.exec(headers.authorization ?? '')?.[1])
    assert.equal(usernames[2]?.length, 32)
    assert.equal(usernames[3], '001010123456789')
    assert.equal(bsf.drawn(), 2)
  })

  test('drops a TMPI that the BSF does not know, even if nothing comes of the run', async (t) => {
    const { bsf, ue, state } = await lab(t, { refuseTmpi: 403 })
    await ue.bootstrap()
    bsf.options.rspauth = 'wrong'
    await assert.rejects(ue.bootstrap(), refused('RSPAUTH_WRONG'))
    assert.equal(state.read().tmpi, undefined)
  })

  test('derives no TMPI when the BSF does not speak of it', async (t) => {
    const { ue } = await lab(t, { noTmpi: true })
    assert.equal((await ue.bootstrap()).tmpi, undefined)
  })

  test('stores the SQN it accepted before RES leaves it', async (t) => {
    const { bsf, ue, state } = await lab(t, { rspauth: 'wrong' })
    await assert.rejects(ue.bootstrap())
    assert.ok(state.read().usim.sqns.some((sqn) => toHex(sqn) === SET_1.sqn))
    assert.equal(bsf.drawn(), 1)
  })

  test('tells its observer of every message and of no key', async (t) => {
    const { ue, seen } = await lab(t)
    await ue.bootstrap()
    assert.deepEqual(
      seen.map(({ to, interface: point, response }) => [to, point, response.status]),
      [
        ['BSF', 'Ub', 401],
        ['BSF', 'Ub', 200],
      ],
    )
    const text = JSON.stringify(seen.map((each) => ({ ...each, body: Buffer.from(each.response.body).toString() })))
    assert.ok(text.includes(golden.btid))
    for (const secret of [golden.aka.Ks, SET_1.k, SET_1.opc]) assert.equal(shows(text, fromHex(secret)), false)
  })

  const bad: [string, FakeBsfOptions, string][] = [
    ['a status other than 401', { refuse: 403 }, 'BOOTSTRAP_REFUSED'],
    [
      'a challenge for another algorithm',
      { challenge: 'Digest realm="b", nonce="n", algorithm=MD5, qop="auth-int"' },
      'BSF_ANSWER_MALFORMED',
    ],
    [
      'a challenge without auth-int',
      { challenge: 'Digest realm="b", nonce="n", algorithm=AKAv1-MD5, qop="auth"' },
      'BSF_ANSWER_MALFORMED',
    ],
    [
      'a nonce too short for RAND and AUTN',
      { challenge: 'Digest realm="b", nonce="AAEC", algorithm=AKAv1-MD5, qop="auth-int"' },
      'BSF_ANSWER_MALFORMED',
    ],
    ['a 200 without BootstrappingInfo', { info: '<html/>' }, 'BSF_ANSWER_MALFORMED'],
    [
      'a B-TID of another challenge',
      {
        info: '<BootstrappingInfo xmlns="uri:3gpp-gba"><btid>AAECAwQFBgcICQoLDA0ODw==@bsf.example</btid><lifetime>2036-11-21T22:00:00Z</lifetime></BootstrappingInfo>',
      },
      'BSF_ANSWER_MALFORMED',
    ],
  ]
  for (const [what, network, code] of bad) {
    test(`refuses ${what}`, async (t) => {
      const { ue, state } = await lab(t, network)
      await assert.rejects(ue.bootstrap(), refused(code))
      assert.equal(state.read().bootstrap, undefined)
    })
  }

  test('reckons with the time of a BSF that tells it', async (t) => {
    const now = Date.parse('2030-01-01T00:00:00Z')
    const info = `<BootstrappingInfo xmlns="uri:3gpp-gba"><btid>${golden.btid}</btid><lifetime>2026-11-21T22:00:00Z</lifetime><Extension><currenttime>2026-11-21T21:00:00Z</currenttime></Extension></BootstrappingInfo>`
    const { ue } = await lab(t, { info }, { now: () => now })
    assert.equal((await ue.bootstrap()).expiresAt, now + 3_600_000)
  })

  test('goes where it is told instead of the derived name', async (t) => {
    const { bsf, state } = await lab(t)
    const sim = card({})
    const ue = createUe(sim, {
      state,
      bsf: `http://bsf.example:${bsf.port}/gba?x`,
      connect: [{ host: 'bsf.example', toHost: '127.0.0.1' }],
    })
    await ue.bootstrap()
    ue.close()
    for (const { target, headers } of bsf.requests) {
      assert.deepEqual([target, headers.host], ['/gba?x', `bsf.example:${bsf.port}`])
      assert.match(headers.authorization ?? '', /uri="\/gba\?x"/)
    }
    assert.match(bsf.requests[0]?.headers.authorization ?? '', /realm="bsf\.example"/)
  })

  test('shares one run among those who need it at the same time', async (t) => {
    const { bsf, ue } = await lab(t)
    const [a, b] = await Promise.all([ue.bootstrap(), ue.bootstrap()])
    assert.equal(a.btid, b.btid)
    assert.equal(bsf.drawn(), 1)
  })
})
