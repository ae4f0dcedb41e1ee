import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { UA_HTTP_DIGEST } from '../../src/core/naf-id.ts'
import { TOLERANCE_NAMES, type ToleranceName } from '../../src/core/tolerances.ts'
import type { FaultCode } from '../../src/errors.ts'
import { impuOf, LAB_NAF } from '../../src/lab.ts'
import { type Apart, type ApSide, labApart } from '../support/apart.ts'
import { type HandRequest, type HandUe, type HandUeOptions, handUe } from '../support/hand-ue.ts'
import type { RawAnswer } from '../support/raw-client.ts'
import { assertRefusal } from '../support/refusals.ts'

// Each deviation with a name: accepted where it is switched on, refused with its code where it is not.
const OWN = `/resource-lists/users/${impuOf('alice')}/index`
/** At a route whose GSID the subscriber has nothing for; the type of the service is another matter. */
const BY_TYPE = `/org.example/users/${impuOf('alice')}/index`

interface Case {
  /** Sends requests until the one with the deviation has been answered. */
  readonly send: (ue: HandUe) => Promise<RawAnswer>
  readonly refusal?: { readonly status: number; readonly code: FaultCode }
  readonly ue?: HandUeOptions
  /** Without these a UE never gets as far. */
  readonly needs?: readonly ToleranceName[]
}

/** Counts of one nonce, one after the other. */
const counting =
  (...counts: (number | string)[]) =>
  async (ue: HandUe): Promise<RawAnswer> => {
    const nonce = await ue.freshNonce()
    for (const nc of counts.slice(0, -1)) assert.equal((await ue.request('GET', OWN, { nonce, nc })).status, 200)
    return ue.request('GET', OWN, { nonce, nc: counts.at(-1) ?? 1 })
  }

const asking = (request: HandRequest) => (ue: HandUe) => ue.request('GET', OWN, request)

/** A request in order, with one text of it written otherwise. */
const rewritten = (text: RegExp, other: string) => async (ue: HandUe) => {
  const octets = (await ue.signed('GET', OWN)).toString('latin1')
  assert.match(octets, text)
  return ue.send(Buffer.from(octets.replace(text, other), 'latin1'))
}

async function withMd5Sess(ue: HandUe): Promise<RawAnswer> {
  const h = (text: string) => createHash('md5').update(text).digest('hex')
  const nonce = await ue.freshNonce()
  const once = h(`${ue.btid}:3GPP-bootstrapping@${ue.naf}:${ue.password}`)
  const response = h(`${h(`${once}:${nonce}:c0ffee`)}:${nonce}:00000001:c0ffee:auth:${h(`GET:${OWN}`)}`)
  return ue.request('GET', OWN, { nonce, nc: 1, algorithm: 'MD5-sess', response })
}

const CASES: Readonly<Record<ToleranceName, Case>> = {
  'nc-decimal': { send: counting(1, 2, 3, 4, 5, 6, 7, 8, 9, '00000010') },
  'nc-gap': { send: counting(1, 2, 5) },
  'nc-not-reset': { send: counting(7) },
  'nc-out-of-order': { send: counting(1, 3, 2), needs: ['nc-gap'] },
  'nc-form': { send: counting('1') },
  'quoted-token': { send: rewritten(/qop=auth, nc=(\d{8})/, 'qop="auth", nc="$1"') },
  'unquoted-text': { send: rewritten(/cnonce="c0ffee"/, 'cnonce=c0ffee') },
  'uri-trailing-slash': { send: asking({ uri: `${OWN}/` }) },
  'uri-absolute': { send: asking({ uri: `https://${LAB_NAF}${OWN}` }) },
  'md5-sess': { send: withMd5Sess },
  'unquoted-identity': { send: asking({ headers: [`X-3GPP-Intended-Identity: ${impuOf('alice')}`] }) },
  'bracketed-identity': { send: asking({ headers: [`X-3GPP-Intended-Identity: <${impuOf('alice')}>`] }) },
  'ua-id-candidate': {
    send: asking({}),
    ue: { uaId: UA_HTTP_DIGEST },
    refusal: { status: 401, code: 'UA_RESPONSE_WRONG' },
  },
  'uss-id-is-type': {
    send: (ue) => ue.request('GET', BY_TYPE),
    refusal: { status: 403, code: 'UT_USS_MISSING' },
  },
}

interface Switches {
  readonly profile: 'tolerant' | 'strict'
  readonly allow?: readonly ToleranceName[]
  readonly refuse?: readonly ToleranceName[]
}

describe('named tolerances', () => {
  let lab: Apart
  let usual: ApSide
  const shared = new Map<'tolerant' | 'strict', ApSide>()
  before(async () => {
    lab = await labApart({ naf: { gsids: [2, 3, 9] } })
    usual = await startAp({ profile: 'tolerant' }, {})
    shared.set('tolerant', usual)
    shared.set('strict', await startAp({ profile: 'strict' }))
  })
  after(() => lab.close())

  /** The first one is where the UE emulator looks for the NAF. */
  const startAp = (tolerance: Switches, place: object = { port: 0 }) =>
    lab.startAp({
      ...place,
      tolerance,
      challenge: { qop: ['auth', 'auth-int'] },
      routes: [
        { appServer: 'scripted', pathPrefix: '/org.example', gsids: [9], gsTypes: [3] },
        { appServer: 'scripted' },
      ],
    })

  async function assertAccepted(ap: ApSide, name: ToleranceName) {
    const { send, ue, needs = [] } = CASES[name]
    const from = { decisions: ap.decisions.length, arrived: lab.as.arrived.length }
    const counted = ap.app.audit.toleranceCount(name)
    const answer = await send(await handUe(ap, ue))
    assert.equal(ap.app.audit.toleranceCount(name), counted + 1, 'each use is counted')
    assert.equal(answer.status, 200, name)
    const forwarded = ap.decisions.slice(from.decisions).filter(({ event }) => event === 'ut.forwarded')
    const named = forwarded
      .flatMap(({ record }) => record.tolerances ?? [])
      .filter((each) => !needs.some((n) => n === each))
    assert.deepEqual(named, [name], 'the audit names it, once, and nothing besides')
    assert.ok(forwarded.at(-1)?.record.tolerances?.includes(name), 'in the record of the request that has it')
    assert.equal(lab.as.arrived.length - from.arrived, forwarded.length)
  }

  async function assertNotTolerated(ap: ApSide, name: ToleranceName) {
    const { send, ue, refusal = { status: 400, code: 'UA_DEVIATION_REFUSED' } } = CASES[name]
    const from = { decisions: ap.decisions.length, arrived: lab.as.arrived.length }
    const answer = await send(await handUe(ap, ue))
    assertRefusal(ap, answer, refusal)
    const made = ap.decisions.slice(from.decisions)
    if (refusal.code === 'UA_DEVIATION_REFUSED') assert.equal(made.at(-1)?.record.detail, name, 'the audit says which')
    const forwarded = made.filter(({ event }) => event === 'ut.forwarded').length
    assert.equal(lab.as.arrived.length - from.arrived, forwarded, 'it never reached the application server')
  }

  async function withAp(tolerance: Switches, act: (ap: ApSide) => Promise<void>) {
    const ap = await startAp(tolerance)
    try {
      await act(ap)
    } finally {
      await ap.app.close()
    }
  }

  test('have a case each', () => assert.deepEqual(Object.keys(CASES).sort(), [...TOLERANCE_NAMES].sort()))

  test('are what the cases deviate in: a request in order passes a strict AP', async () => {
    const strict = shared.get('strict') ?? assert.fail()
    const ue = await handUe(strict)
    for (let i = 0; i < 3; i++) {
      const headers = [`X-3GPP-Intended-Identity: "${impuOf('alice')}"`]
      const { status } = await ue.request('PUT', OWN, { headers, body: '<a/>', qop: 'auth-int' })
      assert.equal(status, 200, strict.decisions.at(-1)?.record.code)
    }
    assert.ok(strict.decisions.every(({ record }) => record.tolerances === undefined))
  })

  for (const name of TOLERANCE_NAMES) {
    const needs = CASES[name]?.needs ?? []
    describe(name, () => {
      test('is accepted and recorded by a tolerant AP', () => assertAccepted(usual, name))
      test('is refused by a strict one', async () => {
        const switches: Switches = { profile: 'strict', allow: needs }
        if (needs.length > 0) await withAp(switches, (ap) => assertNotTolerated(ap, name))
        else await assertNotTolerated(shared.get('strict') ?? assert.fail(), name)
      })
      test('is accepted by a strict one that allows it', () =>
        withAp({ profile: 'strict', allow: [name, ...needs] }, (ap) => assertAccepted(ap, name)))
      test('is refused by a tolerant one that refuses it', () =>
        withAp({ profile: 'tolerant', refuse: [name] }, (ap) => assertNotTolerated(ap, name)))
    })
  }
})
