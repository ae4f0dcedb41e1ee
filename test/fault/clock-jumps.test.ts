import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import { parseBootstrappingInfo } from '../../src/core/bootstrapping-info.ts'
import { impuOf } from '../../src/lab.ts'
import { labApart } from '../support/apart.ts'
import { type TestBsf, testBsf } from '../support/bsf.ts'
import { doorUe } from '../support/door-ue.ts'
import { challengeOf, handUb } from '../support/hand-ub.ts'
import { handUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { rawConnect } from '../support/raw-client.ts'

// The promise: a clock that jumps, forth or back, makes nothing good twice, nothing good for ever, and nobody's crash.
// test/fault/faked-clock.test.ts does the same to a process, TLS included.

const OWN = `/resource-lists/users/${impuOf('alice')}/index`
const HOUR_MS = 3_600_000
const JUMPS = { 'two hours forth': 2 * HOUR_MS, 'two hours back': -2 * HOUR_MS }

describe('a clock that jumps', () => {
  let lab: TestLab
  let offsetMs = 0
  before(async () => {
    lab = await testLab({
      recording: true,
      now: () => Date.now() + offsetMs,
      bsf: { keyLifetimeS: 3600 },
      ap: { challenge: { nonceLifetimeS: 1800 }, routes: [{ appServer: 'lab', doors: ['psk', 'digest'] }] },
    })
  })
  beforeEach(() => {
    offsetMs = 0
  })
  after(async () => {
    await lab.close()
    assert.ok(!lab.decisions.some(({ record }) => record.code === 'INTERNAL'))
  })

  /** Refused, and for this reason. */
  const refusedBy = (codes: RegExp, { status }: { readonly status: number }) => {
    assert.equal(status, 401)
    assert.match(lab.decisions.at(-1)?.record.code ?? '', codes)
  }
  const NO_NONCE = /^UA_NONCE_(?:UNKNOWN|AGED|FORGOTTEN)$/
  const NO_KEY = /^(?:UA_KEY_EXPIRED|ZN_BTID_UNKNOWN)$/

  for (const [name, jumpMs] of Object.entries(JUMPS)) {
    test(`${name} and home again makes no captured request good a second time`, async () => {
      const ue = await handUe(lab)
      const octets = await ue.signed('PUT', OWN, { body: '<a/>' })
      const seen = lab.seen.length
      assert.equal((await ue.send(octets)).status, 200)
      for (const at of [jumpMs, 0, -jumpMs, 0, jumpMs / 2, 0]) {
        offsetMs = at
        assert.equal((await ue.send(octets)).status, 401)
      }
      assert.equal(lab.seen.length, seen + 1)
    })

    test(`${name} and home again makes an unused one good once at most`, async () => {
      const ue = await handUe(lab)
      const octets = await ue.signed('PUT', OWN, { body: '<a/>' })
      const seen = lab.seen.length
      for (const at of [jumpMs, 0, jumpMs, 0]) {
        offsetMs = at
        assert.ok([200, 401].includes((await ue.send(octets)).status))
      }
      assert.ok(lab.seen.length <= seen + 1)
    })

    test(`${name} makes no nonce of then good now, nor one of now good for longer`, async () => {
      const ue = await handUe(lab)
      offsetMs = jumpMs
      const there = await ue.freshNonce()
      offsetMs = 0
      refusedBy(NO_NONCE, await ue.request('GET', OWN, { nonce: there, nc: 1 }))
      const here = await ue.freshNonce()
      offsetMs = jumpMs
      refusedBy(jumpMs > 0 ? NO_KEY : NO_NONCE, await ue.request('GET', OWN, { nonce: here, nc: 1 }))
    })
  }

  test('forth ends keys, of requests and of connections that stand on them', async () => {
    const ue = await handUe(lab)
    assert.equal((await ue.request('GET', OWN)).status, 200)
    const psk = await doorUe(lab, 'psk')
    const connection = await rawConnect(psk.at)
    connection.write(await psk.signed('GET', OWN))
    assert.equal((await connection.answer()).status, 200)
    offsetMs = 2 * HOUR_MS
    const seen = lab.seen.length
    connection.write(await psk.signed('GET', OWN))
    assert.equal((await connection.answer()).status, 401)
    await connection.closed
    const nonce = await ue.freshNonce()
    refusedBy(NO_KEY, await ue.request('GET', OWN, { nonce, nc: 1 }))
    assert.equal(lab.seen.length, seen)
    const fresh = await handUe(lab)
    assert.equal((await fresh.request('GET', OWN)).status, 200, 'and who bootstraps anew goes on')
  })

  test('back makes no key immortal: each ends at the instant that it was given', async () => {
    const ue = await handUe(lab)
    const expiresAt = Date.now() + HOUR_MS
    offsetMs = -2 * HOUR_MS
    const early = await handUe(lab, { name: 'bob' })
    const bobs = `/resource-lists/users/${impuOf('bob')}/index`
    const right = await early.request('GET', bobs, { nonce: await early.freshNonce(), nc: 1 })
    assert.doesNotMatch(lab.decisions.at(-1)?.record.code ?? '', NO_KEY, `${right.status}`)
    offsetMs = -HOUR_MS + 2_000
    // The one that was made then has had its hour; the other one has it still.
    const nonce = await early.freshNonce()
    refusedBy(NO_KEY, await early.request('GET', bobs, { nonce, nc: 1 }))
    offsetMs = expiresAt - Date.now() + 1_000
    const late = await ue.freshNonce()
    refusedBy(NO_KEY, await ue.request('GET', OWN, { nonce: late, nc: 1 }))
    assert.notEqual(ue.btid, early.btid)
  })

  test('back, behind the start of the process, serves on', async () => {
    const ue = await handUe(lab)
    offsetMs = -2 * HOUR_MS
    const seen = lab.seen.length
    const captured = await ue.signed('PUT', OWN, { body: '<a/>' })
    assert.equal((await ue.send(captured)).status, 200)
    assert.equal((await ue.request('GET', OWN)).status, 200, 'its nonce is good for more than one request')
    const others = await Promise.all([handUe(lab), handUe(lab)])
    for (const other of others) assert.equal((await other.request('GET', OWN)).status, 200)
    for (const at of [-2 * HOUR_MS, -HOUR_MS, 0, 2 * HOUR_MS, 0, -2 * HOUR_MS]) {
      offsetMs = at
      assert.equal((await ue.send(captured)).status, 401)
    }
    assert.equal(lab.seen.length, seen + 4)
  })
})

describe('on Ub, a clock that jumps', () => {
  let bsf: TestBsf
  let offsetMs = 0
  before(async () => {
    bsf = await testBsf({ now: () => Date.now() + offsetMs, bsf: { keyLifetimeS: 3600, challengeLifetimeS: 60 } })
  })
  beforeEach(() => {
    offsetMs = 0
  })
  after(() => bsf.close())

  for (const [name, jumpMs] of Object.entries(JUMPS)) {
    test(`${name} makes no challenge good twice, and stops nobody`, async () => {
      const ub = handUb(bsf.at, bsf.cards[0])
      const octets = ub.answerTo(challengeOf(await ub.hello()))
      const before = bsf.count('ub.bootstrapped')
      const statuses: number[] = []
      for (const at of [jumpMs, 0, jumpMs, 0]) {
        offsetMs = at
        statuses.push((await ub.send(octets)).status)
      }
      const times = bsf.count('ub.bootstrapped') - before
      assert.ok(times <= 1 && times === statuses.filter((status) => status === 200).length, `${statuses}`)
      offsetMs = jumpMs
      const answer = await ub.send(ub.answerTo(challengeOf(await ub.hello())))
      assert.equal(answer.status, 200)
      const { expiresAt = 0 } = parseBootstrappingInfo(answer.body.toString()) ?? {}
      assert.ok(Math.abs(expiresAt - (Date.now() + jumpMs + HOUR_MS)) < 10_000)
    })
  }

  test('back and forth draws sequence numbers that only grow', async () => {
    const ub = handUb(bsf.at, bsf.cards[1])
    let last = 0
    for (const at of [0, 2 * HOUR_MS, 0, -2 * HOUR_MS, 0]) {
      offsetMs = at
      const sqn = ub.sqnOf(challengeOf(await ub.hello()))
      assert.ok(sqn > last)
      last = sqn
    }
  })

  test('back holds nobody back who was held back before for longer than the limit does', async () => {
    const limited = await testBsf({
      now: () => Date.now() + offsetMs,
      bsf: { ub: { limits: { perImpi: { burst: 2, perMinute: 60 }, perSource: { burst: 0 } } } },
    })
    try {
      const ub = handUb(limited.at, limited.cards[0])
      const statuses = [await ub.hello(), await ub.hello(), await ub.hello()].map(({ status }) => status)
      assert.ok(statuses.includes(429), `${statuses}`)
      offsetMs = -2 * HOUR_MS
      const held = await ub.hello()
      assert.ok(held.status === 401 || Number(held.header('retry-after')) <= 60, `${held.header('retry-after')}`)
      offsetMs += 60_000
      assert.equal((await ub.hello()).status, 401)
    } finally {
      await limited.close()
    }
  })
})

test('an AP whose clock was set back uses no key for hours after its BSF has let go of it', async () => {
  const clocks = { bsf: 0, ap: 0 }
  const options = { now: () => Date.now() + clocks.bsf, bsf: { keyLifetimeS: 3600 } }
  const apart = await labApart(options)
  try {
    options.now = () => Date.now() + clocks.ap
    // As one that has been up for long: its record of nonces is older than the jump.
    clocks.ap = 3 * HOUR_MS
    clocks.bsf = 3 * HOUR_MS
    const ap = await apart.startAp({ zn: { ussMaxAgeS: 3600 } })
    const ue = await handUe(ap)
    assert.equal((await ue.request('GET', OWN)).status, 200)
    clocks.ap -= 2 * HOUR_MS
    const asAlways = async () => ue.request('GET', OWN, { nonce: await ue.freshNonce(), nc: 1 })
    assert.equal((await asAlways()).status, 200)
    clocks.ap += HOUR_MS + 1_000
    clocks.bsf += HOUR_MS + 1_000
    assert.equal((await asAlways()).status, 401)
    assert.equal(ap.decisions.at(-1)?.record.code, 'ZN_BTID_UNKNOWN')
  } finally {
    await apart.close()
  }
})
