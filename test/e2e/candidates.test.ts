import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { toBase64 } from '../../src/core/bytes.ts'
import type { UaProtocolId } from '../../src/core/naf-id.ts'
import { UA_HTTP_DIGEST, uaProtocolIdOfSuite } from '../../src/core/naf-id.ts'
import { impuOf, LAB_NAF, LAB_SECOND_NAF, type LabSubscriber } from '../../src/lab.ts'
import { type Apart, type ApSide, labApart } from '../support/apart.ts'
import { apOf, handUe } from '../support/hand-ue.ts'
import { rawConnect, rawExchange, suiteOf } from '../support/raw-client.ts'
import { assertRefused } from '../support/refusals.ts'

// Which key a UE derived depends on the Ua security protocol identifier it has in mind: the AP tries, and remembers.
const own = (name: LabSubscriber) => `/resource-lists/users/${impuOf(name)}/index`

describe('the AP and its BSF', () => {
  let lab: Apart
  let ap: ApSide
  let offsetMs = 0
  before(async () => {
    lab = await labApart({ now: () => Date.now() + offsetMs, naf: { fqdns: [LAB_NAF] } })
    ap = await lab.startAp({ zn: { unknownBtidCacheS: 10, ussMaxAgeS: 3600 } })
  })
  after(() => lab.close())

  /** Identifiers for which Zn was asked while `what` went on, on either side of Zn. */
  async function fetchesOf(what: () => Promise<unknown>): Promise<string[]> {
    const from = { ap: ap.decisions.length, bsf: lab.bsf.decisions.length }
    await what()
    const asked = ap.decisions.slice(from.ap).filter(({ event }) => event === 'zn.fetched')
    const answered = lab.bsf.decisions.slice(from.bsf).filter(({ event }) => event.startsWith('zn.'))
    assert.equal(answered.length, asked.length)
    return asked.map(({ record }) => record.uaProtocolId ?? '')
  }
  const witness = () => ({ decisions: ap.decisions, seen: [] })
  const usedId = () => ap.decisions.findLast(({ event }) => event === 'ut.forwarded')?.record.uaProtocolId

  test('fetch each candidate once, and try the one that was right first from then on', async () => {
    const ue = await handUe(ap, { uaId: UA_HTTP_DIGEST })
    const suite = '0100011301'
    assert.deepEqual(await fetchesOf(() => ue.request('GET', own('alice'))), [suite, UA_HTTP_DIGEST])
    assert.equal(usedId(), UA_HTTP_DIGEST)
    const more = async () => {
      for (const qop of ['auth', 'auth-int'] as const) {
        for (let i = 0; i < 5; i++) assert.equal((await ue.request('GET', own('alice'), { qop })).status, 200)
      }
    }
    assert.deepEqual(await fetchesOf(more), [])
    assert.equal(usedId(), UA_HTTP_DIGEST)
    offsetMs += 3_600_000
    assert.deepEqual(await fetchesOf(more), [UA_HTTP_DIGEST], 'the settings are asked for anew, for this one alone')
  })
  test('ask once for each candidate, however many first requests come together', async () => {
    for (const [uaId, fetches] of [
      ['0100011301' as UaProtocolId, 1],
      [UA_HTTP_DIGEST, 2],
    ] as const) {
      const ue = await handUe(ap, { name: 'bob', uaId })
      const requests: Buffer[] = []
      for (let i = 0; i < 20; i++) requests.push(await ue.signed('GET', own('bob')))
      const ids = await fetchesOf(async () => {
        const answers = await Promise.all(requests.map((octets) => ue.send(octets)))
        assert.deepEqual(new Set(answers.map(({ status }) => status)), new Set([200]))
      })
      assert.equal(ids.length, fetches)
      assert.equal(new Set(ids).size, fetches)
      assert.equal(usedId(), uaId)
    }
  })
  test('ask once for a B-TID that nobody knows, and again when that was some time ago', async () => {
    const ue = await handUe(ap)
    const username = `${toBase64(new Uint8Array(16).fill(3))}@bsf.example.com`
    const unknown = async () => {
      const octets = await Promise.all(
        Array.from({ length: 10 }, (_, i) => ue.signed('GET', own('alice'), { username, nc: 100 + i })),
      )
      const answers = await Promise.all(octets.map((one) => ue.send(one)))
      assert.ok(answers.every(({ status }) => status === 401))
    }
    assert.equal((await fetchesOf(unknown)).length, 1)
    assert.equal((await fetchesOf(unknown)).length, 0)
    offsetMs += 11_000
    assert.equal((await fetchesOf(unknown)).length, 1)
  })
  test('ask again when the settings have aged, with the same key as before', async () => {
    const ue = await handUe(ap)
    assert.equal((await fetchesOf(() => ue.request('GET', own('alice')))).length, 1)
    offsetMs += 3_600_000
    assert.equal(
      (await fetchesOf(async () => assert.equal((await ue.request('GET', own('alice'))).status, 200))).length,
      1,
    )
  })
  test('know nothing of a key for an identifier that is not on the list', async () => {
    const ue = await handUe(ap, { uaId: '0100000000' as UaProtocolId })
    await assertRefused(witness(), () => ue.request('GET', own('alice')), { status: 401, code: 'UA_RESPONSE_WRONG' })
  })
  test('agree on the suite of the very connection: under TLS 1.2 it is another, and so is the key', async () => {
    const ue = await handUe(ap)
    const at = { ...apOf(ap), tls: { servername: LAB_NAF, ca: ap.ca, maxVersion: 'TLSv1.2' as const } }
    const probe = await rawConnect(at)
    const id = uaProtocolIdOfSuite(suiteOf(probe))
    probe.close()
    assert.ok(id && id !== '0100011301')
    const send = async (password: string) => rawExchange(at, await ue.signed('GET', own('alice'), { password }))
    await assertRefused(witness(), () => send(ue.password), { status: 401, code: 'UA_RESPONSE_WRONG' })
    const other = await handUe(ap, { uaId: id })
    assert.equal((await rawExchange(at, await other.signed('GET', own('alice')))).status, 200)
    assert.equal(usedId(), id)
  })
  test('do not agree on a NAF name that its entry does not have: 403, and no key', async () => {
    const second = await handUe(ap, { naf: LAB_SECOND_NAF })
    await assertRefused(witness(), () => second.request('GET', own('alice')), {
      status: 403,
      code: 'ZN_NOT_AUTHORISED',
    })
    assert.equal(lab.bsf.decisions.at(-1)?.event, 'zn.refused')
  })
  test('forward nothing of a body that was altered under auth-int', async () => {
    const ue = await handUe(ap, { uaId: UA_HTTP_DIGEST })
    const arrived = lab.as.arrived.length
    for (const [body, signedBody] of [
      ['<a>2</a>', '<a>1</a>'],
      ['', '<a/>'],
      ['<a/>', ''],
      ['<a/>\n', '<a/>'],
    ] as const) {
      await assertRefused(witness(), () => ue.request('PUT', own('alice'), { qop: 'auth-int', body, signedBody }), {
        status: 401,
        code: 'UA_RESPONSE_WRONG',
      })
    }
    assert.equal(lab.as.arrived.length, arrived)
    const { status } = await ue.request('PUT', own('alice'), { qop: 'auth-int', body: '<a/>' })
    assert.equal(status, 200)
    assert.equal(lab.as.arrived.at(-1)?.body.toString(), '<a/>')
  })
})
