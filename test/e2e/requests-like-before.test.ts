import assert from 'node:assert/strict'
import { after, before, beforeEach, describe, test } from 'node:test'
import { impuOf, LAB_SECOND_NAF } from '../../src/lab.ts'
import { type HandUe, handUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { rawExchange } from '../support/raw-client.ts'
import { assertRefused } from '../support/refusals.ts'

// The front compares requests with those before, and the stages use again what they found of them. Nothing that is
// judged may come of that: whoever sends the same octets with other credentials is another one.
const OWN = `/resource-lists/users/${impuOf('alice')}/index`
const OF_ALL = '/resource-lists/global/index'

describe('a request like those before it', () => {
  let lab: TestLab
  let alice: HandUe
  let bob: HandUe
  before(async () => {
    lab = await testLab({ recording: true })
    alice = await handUe(lab)
    bob = await handUe(lab, { name: 'bob' })
  })
  beforeEach(async () => {
    lab.app.change(lab.config)
    for (let times = 0; times < 4; times++) assert.equal((await alice.request('GET', OWN)).status, 200)
  })
  after(() => lab?.close())

  test('is forwarded like them, under an id of its own', async () => {
    const from = lab.seen.length
    for (let times = 0; times < 3; times++) await alice.request('GET', OWN)
    const seen = lab.seen.slice(from)
    const idsOf = (rawHeaders: readonly string[]) => rawHeaders.filter((_, i) => rawHeaders[i - 1] === 'x-request-id')
    const ids = seen.flatMap(({ rawHeaders }) => idsOf(rawHeaders))
    assert.equal(new Set(ids).size, 3)
    const rest = seen.map((each) => ({ ...each, rawHeaders: each.rawHeaders.filter((text) => !ids.includes(text)) }))
    assert.deepEqual(rest[1], rest[0])
    assert.deepEqual(rest[2], rest[0])
    assert.equal(seen[0]?.target, OWN)
  })

  test('is refused to somebody else, each time', async () => {
    for (let times = 0; times < 3; times++) {
      await assertRefused(lab, () => bob.request('GET', OWN), { status: 403, code: 'UT_TREE_NOT_OWNED' })
      assert.equal((await alice.request('GET', OWN)).status, 200)
    }
  })

  test('is forwarded as whom it is from, where several may send it', async () => {
    for (let times = 0; times < 3; times++) {
      for (const [ue, name] of [
        [alice, 'alice'],
        [bob, 'bob'],
      ] as const) {
        assert.equal((await ue.request('GET', OF_ALL)).status, 200)
        const { rawHeaders = [] } = lab.seen.at(-1) ?? {}
        assert.equal(rawHeaders[rawHeaders.indexOf('x-3gpp-asserted-identity') + 1], `"${impuOf(name)}"`)
      }
    }
  })

  test('is refused as a replay, with a response that is wrong, and over a nonce of nobody', async () => {
    const octets = await alice.signed('GET', OWN)
    assert.equal((await alice.send(octets)).status, 200)
    await assertRefused(lab, () => alice.send(octets), { status: 401, code: 'UA_NC_REUSED' })
    const wrong = Buffer.from((await alice.signed('GET', OWN)).toString().replace(/response="./, 'response="z'))
    await assertRefused(lab, () => alice.send(wrong), { status: 401, code: 'UA_RESPONSE_WRONG' })
    const other = Buffer.from((await alice.signed('GET', OWN)).toString().replace(/nonce="[^"]{8}/, 'nonce="AAAAAAAA'))
    await assertRefused(lab, () => alice.send(other), { status: 401, code: 'UA_NONCE_UNKNOWN' })
  })

  test('is judged by the rules that are new, and by the old ones when those are back', async () => {
    const { ap } = lab.config
    if (!ap) throw new Error('a lab without an AP')
    const routes = ap.routes.map((route) => ({ ...route, methods: ['PUT'] as const }))
    lab.app.change({ ...lab.config, ap: { ...ap, routes } } as typeof lab.config)
    await assertRefused(lab, () => alice.request('GET', OWN), { status: 405, code: 'UT_METHOD_NOT_ALLOWED' })
    lab.app.change(lab.config)
    assert.equal((await alice.request('GET', OWN)).status, 200)
  })

  test('is refused on a connection to another name', async () => {
    const octets = await alice.signed('GET', OWN)
    const elsewhere = { ...alice.at, tls: { ca: lab.ca, servername: LAB_SECOND_NAF } }
    await assertRefused(lab, () => rawExchange(elsewhere, octets, 'GET'), { status: 421, code: 'UA_SNI_MISMATCH' })
  })
})
