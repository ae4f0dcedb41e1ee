import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { impuOf, LAB_NAF, LAB_SECOND_NAF } from '../../src/lab.ts'
import type { UeExchange } from '../../src/ue/message.ts'
import { type Apart, type ApSide, labApart } from '../support/apart.ts'
import { apOf, type HandUe, handUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { rawExchange } from '../support/raw-client.ts'
import { assertRefusal, assertRefused } from '../support/refusals.ts'

// A request is good once; a challenge costs the UE as little as can be.
const OWN = `/resource-lists/users/${impuOf('alice')}/index`

describe('a captured request', () => {
  let lab: TestLab
  let ue: HandUe
  before(async () => {
    lab = await testLab({ recording: true })
    ue = await handUe(lab)
  })
  after(() => lab.close())

  for (const qop of ['auth', 'auth-int'] as const) {
    test(`is refused when it comes again, qop=${qop}`, async () => {
      const octets = await ue.signed('PUT', OWN, { qop, body: '<a/>' })
      assert.equal((await ue.send(octets)).status, 200)
      for (let i = 0; i < 3; i++) {
        await assertRefused(lab, () => ue.send(octets), { status: 401, code: 'UA_NC_REUSED' })
      }
    })
    test(`is accepted once when twenty copies race, qop=${qop}`, async () => {
      const seen = lab.seen.length
      const octets = await ue.signed('PUT', OWN, { qop, body: '<a/>' })
      const answers = await Promise.all(Array.from({ length: 20 }, () => ue.send(octets)))
      assert.equal(answers.filter(({ status }) => status === 200).length, 1)
      assert.equal(lab.seen.length, seen + 1)
      for (const answer of answers.filter(({ status }) => status !== 200)) {
        assertRefusal(lab, answer, { status: 401, code: 'UA_NC_REUSED' })
      }
    })
  }
  test('does not serve for another method, target or NAF', async () => {
    const octets = (await ue.signed('GET', OWN)).toString('latin1')
    const send =
      (changed: string, naf = LAB_NAF as string) =>
      () =>
        rawExchange(apOf(lab, naf), Buffer.from(changed, 'latin1'))
    const other = `/resource-lists/users/${impuOf('alice')}/other`
    await assertRefused(lab, send(octets.replace('GET', 'DELETE')), { status: 401, code: 'UA_RESPONSE_WRONG' })
    await assertRefused(lab, send(octets.replace(OWN, other)), { status: 401, code: 'UA_URI_MISMATCH' })
    await assertRefused(lab, send(octets.replaceAll(OWN, other)), { status: 401, code: 'UA_RESPONSE_WRONG' })
    await assertRefused(lab, send(octets.replace(LAB_NAF, LAB_SECOND_NAF), LAB_SECOND_NAF), {
      status: 401,
      code: 'UA_REALM_WRONG',
    })
    await assertRefused(lab, send(octets.replaceAll(LAB_NAF, LAB_SECOND_NAF), LAB_SECOND_NAF), {
      status: 401,
      code: 'UA_NONCE_UNKNOWN',
    })
    assert.equal((await send(octets)()).status, 200, 'and is itself still unused')
  })
  test('under auth-int does not serve for another body', async () => {
    const octets = (await ue.signed('PUT', OWN, { qop: 'auth-int', body: '<a>1</a>' })).toString('latin1')
    const altered = Buffer.from(octets.replace('<a>1</a>', '<a>2</a>'), 'latin1')
    await assertRefused(lab, () => ue.send(altered), { status: 401, code: 'UA_RESPONSE_WRONG' })
    const cut = Buffer.from(octets.replace('Content-Length: 8', 'Content-Length: 0').replace('<a>1</a>', ''), 'latin1')
    await assertRefused(lab, () => ue.send(cut), { status: 401, code: 'UA_RESPONSE_WRONG' })
    assert.equal((await ue.send(Buffer.from(octets, 'latin1'))).status, 200)
    assert.equal(lab.seen.at(-1)?.body.toString(), '<a>1</a>')
  })
})

describe('a nonce', () => {
  let lab: TestLab
  let ue: HandUe
  let offsetMs = 0
  before(async () => {
    lab = await testLab({
      recording: true,
      now: () => Date.now() + offsetMs,
      ap: { challenge: { nonceLifetimeS: 1000 } },
    })
    ue = await handUe(lab)
  })
  after(() => lab.close())

  test('of one NAF is nothing to the other, even under the right key', async () => {
    const second = await handUe(lab, { naf: LAB_SECOND_NAF })
    const nonce = await ue.freshNonce()
    await assertRefused(lab, () => second.request('GET', OWN, { nonce, nc: 1 }), {
      status: 401,
      code: 'UA_NONCE_UNKNOWN',
    })
    assert.equal((await second.request('GET', OWN)).status, 200)
    assert.equal((await ue.request('GET', OWN, { nonce, nc: 1 })).status, 200)
  })
  test('is refused with any character changed, cut or added', async () => {
    const nonce = await ue.freshNonce()
    const changed = [...nonce].map((c, i) => nonce.slice(0, i) + (c === 'A' ? 'B' : 'A') + nonce.slice(i + 1))
    for (const forged of [...changed, nonce.slice(1), nonce.slice(0, -1), `${nonce}A`, `${nonce}=`, `${nonce} `]) {
      await assertRefused(lab, () => ue.request('GET', OWN, { nonce: forged, nc: 1 }), {
        status: 401,
        code: 'UA_NONCE_UNKNOWN',
      })
    }
  })
  test('serves every subscriber that got it: it is nobody’s secret', async () => {
    const bob = await handUe(lab, { name: 'bob' })
    const nonce = await ue.freshNonce()
    assert.equal((await ue.request('GET', OWN, { nonce, nc: 1 })).status, 200)
    const bobs = `/resource-lists/users/${impuOf('bob')}/index`
    await assertRefused(lab, () => bob.request('GET', bobs, { nonce, nc: 1 }), { status: 401, code: 'UA_NC_REUSED' })
    assert.equal((await bob.request('GET', bobs, { nonce, nc: 2 })).status, 200)
  })
  test('from a clock far ahead is refused', async () => {
    offsetMs = 70_000
    const nonce = await ue.freshNonce()
    offsetMs = 0
    await assertRefused(lab, () => ue.request('GET', OWN, { nonce, nc: 1 }), { status: 401, code: 'UA_NONCE_UNKNOWN' })
  })
  test('is followed by a nextnonce once three quarters of its life are over, and by none before', async () => {
    const nonce = await ue.freshNonce()
    const mintedAt = offsetMs
    const next = (info: string | undefined) => /nextnonce="([^"]+)"/.exec(info ?? '')?.[1]
    offsetMs = mintedAt + 740_000
    const early = await ue.request('GET', OWN, { nonce, nc: 1 })
    assert.equal(early.status, 200)
    assert.equal(next(early.header('authentication-info')), undefined)
    offsetMs = mintedAt + 751_000
    const late = await ue.request('GET', OWN, { nonce, nc: 2 })
    const nextnonce = next(late.header('authentication-info'))
    assert.ok(nextnonce && nextnonce !== nonce)
    assert.doesNotMatch(late.header('authentication-info') ?? '', / /)
    // both are good for a while
    assert.equal((await ue.request('GET', OWN, { nonce, nc: 3 })).status, 200)
    offsetMs = mintedAt + 1_100_000
    assert.equal((await ue.request('GET', OWN, { nonce: nextnonce, nc: 1 })).status, 200)
    await assertRefused(lab, () => ue.request('GET', OWN, { nonce, nc: 4 }), {
      status: 401,
      code: 'UA_NONCE_AGED',
      stale: true,
    })
  })
  test('costs a UE that is never idle for long one 401 for all the lives that follow', async () => {
    const seen: number[] = []
    const emulator = await lab.ue('alice', { observer: ({ response }) => seen.push(response.status) })
    for (let i = 0; i < 30; i++) {
      offsetMs += 200_000
      const { status } = await emulator.request('GET', lab.url(OWN), { headers: { connection: 'close' } })
      assert.equal(status, 200)
    }
    // Ub: one challenge; Ua: one
    assert.equal(seen.filter((status) => status === 401).length, 2)
  })
})

describe('an AP that starts again with its nonce key and nothing else', () => {
  let lab: Apart
  let ap: ApSide
  before(async () => {
    lab = await labApart()
    ap = await lab.startAp()
  })
  after(() => lab.close())

  const restarted = async () => {
    await ap.app.close()
    ap = await lab.startAp()
  }

  test('accepts no nonce of before, used or not: stale=true, and the key stays good', async () => {
    const ue = await handUe(ap)
    const unused = await ue.freshNonce()
    const used = await ue.freshNonce()
    const captured = await ue.signed('GET', OWN, { nonce: used, nc: 1 })
    assert.equal((await ue.send(captured)).status, 200)
    await restarted()
    const witness = { decisions: ap.decisions, seen: [] }
    for (const octets of [
      captured,
      await ue.signed('GET', OWN, { nonce: used, nc: 2 }),
      await ue.signed('GET', OWN, { nonce: unused, nc: 1 }),
    ]) {
      await assertRefused(witness, () => rawExchange(apOf(ap), octets), {
        status: 401,
        code: 'UA_NONCE_FORGOTTEN',
        stale: true,
      })
    }
    const wrong = await ue.signed('GET', OWN, { nonce: used, nc: 2, password: 'x' })
    await assertRefused(witness, () => rawExchange(apOf(ap), wrong), { status: 401, code: 'UA_RESPONSE_WRONG' })
    assert.equal(lab.as.arrived.length, 1)
    const fresh = await ue.freshNonce()
    assert.equal((await ue.request('GET', OWN, { nonce: fresh, nc: 1 })).status, 200)
  })
  test('costs a UE one 401 and no bootstrap', async () => {
    const exchanges: UeExchange[] = []
    const ue = await ap.ue('bob', { observer: (exchange) => exchanges.push(exchange) })
    const bobs = `https://${LAB_NAF}/resource-lists/users/${impuOf('bob')}/index`
    const headers = { connection: 'close' }
    for (let i = 0; i < 5; i++) assert.equal((await ue.request('GET', bobs, { headers })).status, 200)
    const statuses = (from: number) => exchanges.slice(from).map(({ response: { status } }) => status)
    assert.deepEqual(statuses(0), [401, 401, 200, 200, 200, 200, 200, 200])
    const drawn = lab.bsf.app.audit.count('zh.av-drawn')
    await restarted()
    for (let i = 0; i < 3; i++) assert.equal((await ue.request('GET', bobs, { headers })).status, 200)
    assert.deepEqual(statuses(8), [401, 200, 200, 200])
    assert.equal(lab.bsf.app.audit.count('zh.av-drawn'), drawn)
  })
  test('with another nonce key knows nothing of the nonces of before, and does not call them stale', async () => {
    const ue = await handUe(ap)
    const octets = await ue.signed('GET', OWN, { nonce: await ue.freshNonce(), nc: 1 })
    await ap.app.close()
    ap = await lab.startAp({ challenge: { nonceKeyFile: '' } })
    await assertRefused({ decisions: ap.decisions, seen: [] }, () => rawExchange(apOf(ap), octets), {
      status: 401,
      code: 'UA_NONCE_UNKNOWN',
    })
  })
})
