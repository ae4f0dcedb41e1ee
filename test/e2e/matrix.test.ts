import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { parseAuthorization } from '../../src/core/digest-header.ts'
import { impuOf } from '../../src/lab.ts'
import { createUe, type Ue } from '../../src/ue/flow.ts'
import type { UeExchange } from '../../src/ue/message.ts'
import { PROFILE_NAMES, PROFILES, type ProfileName } from '../../src/ue/profiles.ts'
import type { Sim } from '../../src/ue/sim.ts'
import { freshState, memoryState, type StateStore } from '../../src/ue/state.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import {
  CHALLENGE_FORMS,
  type ChallengeForm,
  formName,
  MATRIX_BEGIN,
  MATRIX_END,
  matrixTable,
  type Outcome,
  outcomeOf,
} from '../support/matrix.ts'
import { between } from '../support/readme.ts'

// Every make of UE, under every form of challenge, in front of every kind of application server.
const SIP = impuOf('alice')
const TEL = 'tel:+15550100001'
const PSEUDONYM_KEY = '5f'.repeat(32)

/** How one kind of application server is told an identity: policy, header, and value. */
interface Kind {
  readonly policy: object
  readonly header: string
  readonly value: (identity: string, appServer: string) => string
}

const KINDS = {
  'quoted X-3GPP': { policy: {}, header: 'x-3gpp-asserted-identity', value: (identity) => `"${identity}"` },
  'bare X-XCAP': {
    policy: { identityHeader: ['X-XCAP-Asserted-Identity'], identityQuoted: false },
    header: 'x-xcap-asserted-identity',
    value: (identity) => identity,
  },
  'P-Asserted-Identity': {
    policy: { identityHeader: ['P-Asserted-Identity'] },
    header: 'p-asserted-identity',
    value: (identity) => `<${identity}>`,
  },
  external: {
    policy: { trust: 'external' },
    header: 'x-3gpp-asserted-identity',
    value: (identity) => `"${identity}"`,
  },
  pairwise: {
    policy: { trust: 'external', pseudonym: 'pairwise' },
    header: 'x-3gpp-asserted-identity',
    value: (_identity, appServer) => `"${pseudonymAt(appServer)}"`,
  },
} as const satisfies Record<string, Kind>
type KindName = keyof typeof KINDS
const KIND_NAMES = Object.keys(KINDS) as KindName[]

/** Whom the tree belongs to, and what the UE says of itself. */
const IDENTITIES: { xui: string; intended?: string }[] = [
  { xui: SIP },
  { xui: SIP, intended: SIP },
  { xui: TEL, intended: TEL },
]

/** Apart from the product: HMAC, and base32 digit by digit. */
function pseudonymAt(appServer: string): string {
  const subscriber = 'impi 001010000000001@ims.mnc001.mcc001.3gppnetwork.org'
  const mac = createHmac('sha256', Buffer.from(PSEUDONYM_KEY, 'hex'))
    .update(`pairwise pseudonym\0${appServer}\0${subscriber}`)
    .digest()
  const bits = [...mac.subarray(0, 20)].map((octet) => octet.toString(2).padStart(8, '0')).join('')
  const user = bits.replace(/.{5}/g, (five) => 'abcdefghijklmnopqrstuvwxyz234567'.charAt(Number.parseInt(five, 2)))
  return `sip:${user}@pseudonym.invalid`
}

interface Arrived {
  readonly method: string
  readonly target: string
  readonly identities: readonly (readonly [name: string, value: string])[]
}

const nameOf = (form: number, kind: KindName) => `f${form}-${KIND_NAMES.indexOf(kind)}`

describe('the matrix', () => {
  const directory = mkdtempSync(join(tmpdir(), 'gba-matrix-'))
  let as: Server
  let lab: TestLab
  let sim: Sim
  const arrived: Arrived[] = []
  const ues = new Map<ProfileName, { ue: Ue; state: StateStore; seen: UeExchange[] }>()

  before(async () => {
    as = createServer(({ method = '', url = '', rawHeaders }, response) => {
      const pairs = rawHeaders.flatMap((name, i) =>
        i % 2 ? [] : [[name.toLowerCase(), rawHeaders[i + 1] ?? ''] as const],
      )
      arrived.push({ method, target: url, identities: pairs.filter(([name]) => /identity/.test(name)) })
      response.end('content')
    })
    await new Promise<void>((listening) => as.listen(0, '127.0.0.1', listening))
    const url = `http://127.0.0.1:${(as.address() as AddressInfo).port}`
    const pseudonymKeyFile = join(directory, 'pseudonym.key')
    writeFileSync(pseudonymKeyFile, `${PSEUDONYM_KEY}\n`, { mode: 0o600 })
    const ways = CHALLENGE_FORMS.flatMap((challenge, form) =>
      KIND_NAMES.map((kind) => ({ name: nameOf(form, kind), challenge, kind })),
    )
    lab = await testLab({
      as: null,
      ap: {
        pseudonymKeyFile,
        appServers: ways.map(({ name, kind }) => ({ name, url, xcapRoot: `/${name}`, ...KINDS[kind].policy })),
        routes: ways.map(({ name, challenge }) => ({ pathPrefix: `/${name}`, appServer: name, challenge })),
      },
    })
    sim = await lab.sim('alice')
    for (const name of PROFILE_NAMES) {
      const state = memoryState(freshState(sim))
      const seen: UeExchange[] = []
      const observer = (exchange: UeExchange) => seen.push(exchange)
      ues.set(name, { ue: createUe(sim, { profile: PROFILES[name], ca: lab.ca, state, observer }), state, seen })
    }
  })
  after(async () => {
    for (const { ue } of ues.values()) ue.close()
    await lab.close()
    as.closeAllConnections()
    as.close()
    rmSync(directory, { recursive: true })
  })

  /** One transaction; what the UE sent last, and how often it was refused. */
  async function transaction(name: ProfileName, form: number, kind: KindName, method: string, identity: number) {
    const { ue, seen } = ues.get(name) ?? assert.fail()
    const { xui, intended } = IDENTITIES[identity % IDENTITIES.length] ?? assert.fail()
    const targets = PROFILES[name].targets(xui)
    const target = `/${nameOf(form, kind)}${targets[form % targets.length]}`
    const from = { seen: seen.length, arrived: arrived.length }
    // A UE that says 3gpp-gba is offered that method alone; one that says nothing is offered all.
    const silent = (CHALLENGE_FORMS[form]?.methods.length ?? 1) > 1
    const response = await ue.request(method, lab.url(target), {
      ...(silent && { headers: { 'User-Agent': PROFILES[name].userAgent } }),
      ...(method === 'PUT' && { body: '<a/>' }),
      ...(intended !== undefined && { intendedIdentity: intended }),
    })
    const onUa = seen.splice(from.seen).filter((each) => each.interface === 'Ua')
    return {
      status: response.status,
      rspauth: response.rspauth,
      refusals: onUa.filter((each) => each.response.status === 401).length,
      sent: parseAuthorization(
        onUa.at(-1)?.request.headers.find(([field]) => field.toLowerCase() === 'authorization')?.[1] ?? '',
      ),
      arrived: arrived.slice(from.arrived),
      target,
      xui,
    }
  }

  async function comesThrough(
    name: ProfileName,
    form: number,
    kind: KindName,
    identity: number,
    expected: Exclude<Outcome, { why: string }>,
  ) {
    for (const method of ['GET', 'PUT']) {
      const done = await transaction(name, form, kind, method, identity)
      const what = `${name} ${method} ${done.target}`
      assert.equal(done.status, 200, what)
      assert.ok(done.refusals <= 1, `${what}: ${done.refusals} times 401`)
      assert.deepEqual([done.sent?.algorithm, done.sent?.qop], [expected.algorithm, expected.qop], what)
      assert.equal(done.rspauth, name === 'curl' ? 'absent' : 'verified', what)
      const { header, value } = KINDS[kind]
      const appServer = nameOf(form, kind)
      const target = kind === 'pairwise' ? done.target.replace(done.xui, pseudonymAt(appServer)) : done.target
      assert.deepEqual(done.arrived, [{ method, target, identities: [[header, value(done.xui, appServer)]] }])
    }
  }

  /** The key is kept, what the NAF has said is not: each form is met for the first time. */
  const forgetNonces = (name: ProfileName) => ues.get(name)?.state.update((state) => ({ ...state, nonces: new Map() }))

  for (const [p, name] of PROFILE_NAMES.entries()) {
    describe(`the ${name} profile`, () => {
      const answered = CHALLENGE_FORMS.flatMap((form, i) => {
        const outcome = outcomeOf(name, form)
        return 'why' in outcome ? [] : [{ i, form, outcome }]
      })
      const unanswered = CHALLENGE_FORMS.flatMap((form, i) => {
        const outcome = outcomeOf(name, form)
        return 'why' in outcome ? [{ i, form, why: outcome.why }] : []
      })

      test(`comes through under every challenge that it can answer, with every form of identity (${answered.length})`, async () => {
        for (const { i, outcome } of answered) {
          forgetNonces(name)
          for (const identity of IDENTITIES.keys()) {
            const kind = KIND_NAMES[(i + p + identity) % KIND_NAMES.length] ?? assert.fail()
            await comesThrough(name, i, kind, identity, outcome)
          }
        }
      })

      test('comes through to every kind of server', async () => {
        for (const qop of ['auth', 'auth-int']) {
          const one = answered.find(({ form }) => form.qop.join() === qop)
          if (!one) continue
          forgetNonces(name)
          for (const kind of KIND_NAMES) {
            for (const identity of IDENTITIES.keys()) await comesThrough(name, one.i, kind, identity, one.outcome)
          }
        }
      })

      if (unanswered.length > 0) {
        test(`says so of every challenge that it cannot answer, and draws no vector for it (${unanswered.length})`, async () => {
          const { ue } = ues.get(name) ?? assert.fail()
          ue.forget()
          const from = { drawn: lab.app.audit.count('zh.av-drawn'), arrived: arrived.length }
          for (const { i, form } of unanswered) {
            for (const method of ['GET', 'PUT']) {
              await assert.rejects(
                transaction(name, i, 'quoted X-3GPP', method, 0),
                (error) => (error as { code?: string }).code === 'CHALLENGE_UNUSABLE',
                `${method} ${formName(form)}`,
              )
            }
          }
          assert.equal(lab.app.audit.count('zh.av-drawn'), from.drawn)
          assert.equal(arrived.length, from.arrived)
        })
      }

      test('is offered the one method that it says it knows, however many there are', async () => {
        const several = CHALLENGE_FORMS.findIndex(isPlainWithTwoMethods)
        forgetNonces(name)
        const { ue, seen } = ues.get(name) ?? assert.fail()
        seen.splice(0)
        const target = `/${nameOf(several, 'quoted X-3GPP')}${PROFILES[name].targets(SIP)[0]}`
        assert.equal((await ue.request('GET', lab.url(target))).status, 200)
        const challenges = seen
          .splice(0)
          .filter((each) => each.interface === 'Ua' && each.response.status === 401)
          .flatMap(({ response }) => response.headers.filter(([field]) => field.toLowerCase() === 'www-authenticate'))
        assert.deepEqual(
          challenges.map(([, value]) => /realm="([^"@]+)@[^";]+"/.exec(value)?.[1]),
          ['3GPP-bootstrapping'],
        )
      })
    })
  }

  test('has for each profile both what it answers and, but for those that read everything, what it cannot', () => {
    const counts = PROFILE_NAMES.map((name) => CHALLENGE_FORMS.filter((form) => 'why' in outcomeOf(name, form)).length)
    assert.deepEqual(Object.fromEntries(PROFILE_NAMES.map((name, i) => [name, counts[i]])), UNANSWERED)
  })
})

const isPlainWithTwoMethods = ({ algorithms, qop, methods, realms, lines }: ChallengeForm) =>
  algorithms.join() === 'MD5' &&
  qop.join() === 'auth' &&
  methods.length > 1 &&
  realms === 'separate' &&
  lines === 'separate'

/** Counted by hand from the table. */
const UNANSWERED: Record<ProfileName, number> = { standard: 0, android: 28, 'gba-me': 40, curl: 20, strict: 0 }

test('the matrix in README is the one that these tests run', () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
  assert.equal(
    readme,
    between(readme, MATRIX_BEGIN, MATRIX_END, matrixTable()),
    'README.md is stale: npm run readme puts matrixTable() of test/support/matrix.ts there',
  )
})
