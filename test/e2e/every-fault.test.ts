import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer, request as httpsRequest } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { UaProtocolId } from '../../src/core/naf-id.ts'
import { FAULTS, type FaultCode } from '../../src/errors.ts'
import { impuOf, LAB_SECOND_NAF, LAB_ZN_CLIENT } from '../../src/lab.ts'
import { NBSP_GBA_PATH } from '../../src/zn/nbsp-gba.ts'
import { type Apart, labApart } from '../support/apart.ts'
import { testBsf } from '../support/bsf.ts'
import { type HandRequest, type HandUe, type HandUeOptions, handUe } from '../support/hand-ue.ts'
import { inProcess } from '../support/in-process.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { type RawAnswer, rawExchange, requestOctets } from '../support/raw-client.ts'
import { assertRefusal, problemIdOf } from '../support/refusals.ts'

// Each fault code is provoked over real listeners: by the test that is named here, or by one below.
const OWN = `/resource-lists/users/${impuOf('alice')}/index`

const INPUT = 'e2e/bad-input.test.ts'
const PEERS = 'e2e/failing-peers.test.ts'
const DOORS = 'e2e/doors.test.ts'
const PROVOKED_IN: Readonly<Record<FaultCode, `${'e2e' | 'http'}/${string}.test.ts` | 'here'>> = {
  UB_REQUEST_MALFORMED: 'e2e/bad-bootstrapping.test.ts',
  UB_TMPI_UNKNOWN: 'e2e/bad-bootstrapping.test.ts',
  UB_RESPONSE_WRONG: 'e2e/bootstrapping.test.ts',
  UB_TOO_MANY_REQUESTS: 'e2e/limits-on-ub.test.ts',
  UB_NOT_FOUND: 'e2e/bad-bootstrapping.test.ts',
  UB_METHOD_NOT_ALLOWED: 'here',
  ZH_IMPI_UNKNOWN: 'e2e/bad-bootstrapping.test.ts',
  ZH_RESYNC_REFUSED: 'e2e/bootstrapping.test.ts',
  ZH_HSS_UNREACHABLE: 'e2e/bad-bootstrapping.test.ts',
  ZN_REQUEST_MALFORMED: 'here',
  ZN_BTID_UNKNOWN: INPUT,
  ZN_NOT_AUTHORISED: 'e2e/candidates.test.ts',
  ZN_NAF_NOT_LISTED: 'e2e/two-processes.test.ts',
  ZN_BSF_UNREACHABLE: PEERS,
  ZN_TOO_MANY_QUESTIONS: 'e2e/strangers-and-zn.test.ts',
  ZN_ANSWER_MALFORMED: 'here',
  UA_NAF_UNKNOWN: INPUT,
  UA_SNI_MISMATCH: INPUT,
  UA_CREDENTIALS_MISSING: INPUT,
  UA_CREDENTIALS_MALFORMED: INPUT,
  UA_TOKEN_MISSING: PEERS,
  UA_DEVIATION_REFUSED: 'e2e/tolerances.test.ts',
  UA_KEY_CHOICE_REFUSED: 'here',
  UA_REBOOTSTRAP_DEMANDED: 'here',
  UA_REALM_WRONG: INPUT,
  UA_ALGORITHM_NOT_OFFERED: INPUT,
  UA_QOP_NOT_OFFERED: INPUT,
  UA_OFFERED_ELSEWHERE: 'e2e/routes-with-other-challenges.test.ts',
  UA_URI_MISMATCH: INPUT,
  UA_BTID_MALFORMED: INPUT,
  UA_KEY_EXPIRED: 'here',
  UA_NONCE_UNKNOWN: INPUT,
  UA_NONCE_AGED: INPUT,
  UA_RESPONSE_WRONG: INPUT,
  UA_NONCE_FORGOTTEN: 'e2e/nonces.test.ts',
  UA_NC_REUSED: INPUT,
  UA_TOO_MANY_FAILURES: 'e2e/limits-on-ua.test.ts',
  UA_DOOR_CLOSED: DOORS,
  UA_CERTIFICATE_REFUSED: DOORS,
  UA_CERTIFICATE_UNKNOWN: DOORS,
  UA_USERNAME_UNKNOWN: DOORS,
  UA_TLS_REQUIRED: 'e2e/tls-upgrade.test.ts',
  UA_FRONT_SILENT: 'e2e/front.test.ts',
  UT_TARGET_AMBIGUOUS: INPUT,
  UT_REQUEST_MALFORMED: INPUT,
  UT_METHOD_NOT_ALLOWED: INPUT,
  UT_ROUTE_UNKNOWN: PEERS,
  UT_BODY_TOO_LARGE: INPUT,
  UT_HEADERS_TOO_LARGE: INPUT,
  UT_REQUEST_TIMEOUT: INPUT,
  UT_IDENTITY_MALFORMED: INPUT,
  UT_IDENTITY_HEADER_FORBIDDEN: INPUT,
  UT_IMPU_NOT_OWNED: INPUT,
  UT_TREE_NOT_OWNED: INPUT,
  UT_GLOBAL_READ_ONLY: INPUT,
  UT_USS_MISSING: 'e2e/tolerances.test.ts',
  UT_IDENTITY_NOT_WITHHELD: 'e2e/external.test.ts',
  UT_AS_UNREACHABLE: PEERS,
  UT_AS_TIMEOUT: PEERS,
  UT_AS_ANSWER_INVALID: PEERS,
  UT_AS_OVERLOADED: 'http/client-pool.test.ts',
  UT_AS_SUSPENDED: 'e2e/app-server-addresses.test.ts',
  UT_AS_WANTS_CREDENTIALS: PEERS,
  UT_ANSWER_TOO_LARGE: PEERS,
  INTERNAL: 'here',
  AP_OVERLOADED: 'e2e/shedding.test.ts',
  STORE_UNAVAILABLE: 'here',
}

describe('every fault code', () => {
  const provoked = new Set<FaultCode>()
  const provokes = (code: FaultCode, how: string, what: () => Promise<void>) =>
    test(`${code}: ${how}`, async () => {
      await what()
      provoked.add(code)
    })

  for (const [code, file] of Object.entries(PROVOKED_IN)) {
    if (file === 'here') continue
    test(`${code} has its test in ${file}`, () => {
      const text = readFileSync(new URL(`../${file}`, import.meta.url), 'utf8')
      assert.ok(text.includes(`'${code}'`), `${file} does not speak of ${code}`)
    })
  }

  provokes('UB_METHOD_NOT_ALLOWED', 'a PUT on Ub', async () => {
    const bsf = await testBsf()
    try {
      const answer = await rawExchange(bsf.at, requestOctets('PUT / HTTP/1.1', ['Host: bsf', 'Content-Length: 0']))
      assertRefusal(bsf, answer, { status: 405, code: 'UB_METHOD_NOT_ALLOWED' })
      assert.equal(answer.header('allow'), 'GET')
    } finally {
      await bsf.close()
    }
  })

  const HELLO = requestOctets('GET / HTTP/1.1', [
    'Host: bsf.mnc001.mcc001.pub.3gppnetwork.org',
    'Authorization: Digest username="001010000000001@ims.mnc001.mcc001.3gppnetwork.org", realm="ims.mnc001.mcc001.3gppnetwork.org", nonce="", uri="/", response=""',
  ])

  provokes('INTERNAL', 'an HSS adapter with a defect', async () => {
    const bsf = await testBsf({ avSource: { draw: () => Promise.reject(new TypeError('secret detail')) } })
    try {
      const answer = await rawExchange(bsf.at, HELLO)
      assertRefusal(bsf, answer, { status: 500, code: 'INTERNAL' })
      assert.doesNotMatch(answer.body.toString(), /secret detail/)
      assert.match(bsf.logged(), /secret detail/)
    } finally {
      await bsf.close()
    }
  })

  provokes('STORE_UNAVAILABLE', 'more challenges than may be pending', async () => {
    const bsf = await testBsf({ bsf: { ub: { port: 0, maxPendingChallenges: 1 } } })
    try {
      assert.equal((await rawExchange(bsf.at, HELLO)).status, 401)
      assertRefusal(bsf, await rawExchange(bsf.at, HELLO), { status: 503, code: 'STORE_UNAVAILABLE' })
    } finally {
      await bsf.close()
    }
  })

  describe('between AP and BSF', () => {
    let lab: Apart
    before(async () => {
      lab = await labApart()
      await lab.startAp() // where the UE emulator looks for the NAF
    })
    after(() => lab.close())
    const pem = (name: string) => readFile(join(lab.directory, 'certs', name))

    /** What an AP in front of a BSF that answers so does with a request in order. */
    async function answerBehind(
      bsfAnswer: string,
    ): Promise<{ answer: RawAnswer; ap: Awaited<ReturnType<Apart['startAp']>> }> {
      const server = createServer({ cert: await pem('bsf.pem'), key: await pem('bsf.key') }, (request, response) => {
        request.resume().on('end', () => response.end(bsfAnswer))
      })
      await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
      const ap = await lab.startAp({
        port: 0,
        zn: { url: `https://localhost:${(server.address() as AddressInfo).port}` },
      } as object)
      try {
        return { answer: await (await handUe(ap)).request('GET', OWN), ap }
      } finally {
        server.closeAllConnections()
        server.close()
      }
    }

    provokes('ZN_REQUEST_MALFORMED', 'a NAF with a certificate, and no sense', async () => {
      const port = lab.bsf.app.addresses.zn?.port ?? 0
      const [cert, key, ca] = await Promise.all([
        pem(`zn-${LAB_ZN_CLIENT}.pem`),
        pem(`zn-${LAB_ZN_CLIENT}.key`),
        pem('ca.pem'),
      ])
      const status = await new Promise<number | undefined>((resolve, reject) => {
        const options = { host: 'localhost', port, path: NBSP_GBA_PATH, method: 'POST', cert, key, ca, agent: false }
        httpsRequest({ ...options, headers: { 'content-type': 'application/json' } }, (response) => {
          response.resume().on('end', () => resolve(response.statusCode))
        })
          .on('error', reject)
          .end('{"btId":7}')
      })
      const { event, record } = lab.bsf.decisions.at(-1) ?? assert.fail()
      assert.deepEqual([status, event, record.code], [400, 'zn.refused', 'ZN_REQUEST_MALFORMED'])
    })

    provokes('ZN_ANSWER_MALFORMED', 'a BSF that answers with something else', async () => {
      const { answer, ap } = await answerBehind('{"hello":"world"}')
      assertRefusal(ap, answer, { status: 502, code: 'ZN_ANSWER_MALFORMED' })
      assert.equal(lab.as.arrived.length, 0)
    })

    provokes('UA_KEY_CHOICE_REFUSED', 'settings that want the key of the UICC', async () => {
      const key = '11'.repeat(32)
      const uss = { gsId: 3, gsType: 3, ueIds: [{ ueId: impuOf('alice') }], keyChoice: 'UICC_BASED_KEY' }
      const { answer, ap } = await answerBehind(
        JSON.stringify({
          meKeyMaterial: key,
          keyExpiryTime: new Date(Date.now() + 60_000).toISOString(),
          bootstrappingInfoCreationTime: new Date().toISOString(),
          ussList: [{ uss }],
        }),
      )
      assertRefusal(ap, answer, { status: 403, code: 'UA_KEY_CHOICE_REFUSED' })
      assert.equal(lab.as.arrived.length, 0)
    })
  })

  provokes('UA_KEY_EXPIRED', 'a key whose time ends while the request is looked at', async () => {
    let [jump, calls] = [Number.POSITIVE_INFINITY, 0]
    const lab = await testLab({
      recording: true,
      now: () => Date.now() + (++calls > jump ? 3_000_000 : 0),
      bsf: { names: ['bsf.mnc001.mcc001.pub.3gppnetwork.org'], keyLifetimeS: 3000, ub: { host: '127.0.0.1', port: 0 } },
    })
    try {
      const codes = new Set<FaultCode | undefined>()
      for (let after = 0; after < 12; after++) {
        const ue = await handUe(lab)
        assert.equal((await ue.request('GET', OWN)).status, 200)
        const octets = await ue.signed('GET', OWN)
        const seen = lab.seen.length
        ;[jump, calls] = [after, 0]
        const { status } = await ue.send(octets)
        jump = Number.POSITIVE_INFINITY
        const { event, record } = lab.decisions.findLast((each) => each.event.startsWith('ut.')) ?? assert.fail()
        codes.add(record.code)
        assert.equal(status, event === 'ut.forwarded' ? 200 : 401)
        assert.equal(lab.seen.length, event === 'ut.forwarded' ? seen + 1 : seen)
      }
      assert.ok(codes.has('UA_KEY_EXPIRED') && codes.has('ZN_BTID_UNKNOWN'), [...codes].join())
    } finally {
      await lab.close()
    }
  })

  provokes(
    'UA_REBOOTSTRAP_DEMANDED',
    'a key older than the route lets it be, which a new bootstrap mends',
    async () => {
      let offsetMs = 0
      const lab = await testLab({
        recording: true,
        now: () => Date.now() + offsetMs,
        ap: { routes: [{ appServer: 'lab', maxKeyAgeS: 600 }] },
      })
      try {
        const [byHand, ue] = [await handUe(lab), await lab.ue('alice')]
        assert.equal((await byHand.request('GET', OWN)).status, 200)
        assert.equal((await ue.request('GET', lab.url(OWN))).status, 200)
        offsetMs = 660_000
        assertRefusal(lab, await byHand.request('GET', OWN), { status: 401, code: 'UA_REBOOTSTRAP_DEMANDED' })
        const from = { drawn: lab.app.audit.count('zh.av-drawn'), refused: lab.app.audit.count('ut.refused') }
        for (let i = 0; i < 3; i++) assert.equal((await ue.request('GET', lab.url(OWN))).status, 200)
        const { count } = lab.app.audit
        assert.deepEqual([count('zh.av-drawn') - from.drawn, count('ut.refused') - from.refused], [1, 1])
      } finally {
        await lab.close()
      }
    },
  )

  after(() => {
    const here = Object.entries(PROVOKED_IN).flatMap(([code, file]) => (file === 'here' ? [code] : []))
    assert.deepEqual([...provoked].sort(), here.sort())
    assert.deepEqual(Object.keys(PROVOKED_IN).sort(), Object.keys(FAULTS).sort())
  })
})

describe('explain, from the request that the AP got and the record that it wrote', () => {
  let directory: string
  let audit: string
  let lab: TestLab
  let ue: HandUe
  let offsetMs = 0
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'gba-explain-'))
    audit = join(directory, 'audit.jsonl')
    lab = await testLab({ recording: true, log: { auditFile: audit }, now: () => Date.now() + offsetMs })
    ue = await handUe(lab)
  })
  after(async () => {
    await lab.close()
    await rm(directory, { recursive: true })
  })

  interface Cause {
    readonly method?: string
    readonly target?: string
    readonly request?: HandRequest
    readonly as?: HandUeOptions
    readonly code: FaultCode
    readonly status?: number
    readonly cause: string
    readonly args?: () => readonly string[]
    /** What happens before. */
    readonly first?: (ue: HandUe) => Promise<void>
  }

  async function explained(octets: Buffer, requestId: string, args: readonly string[] = []) {
    const file = join(directory, 'request')
    writeFileSync(file, octets)
    const subscribers = ['--subscribers', join(lab.directory, 'subscribers.yaml')]
    const done = await inProcess([
      'explain',
      ...subscribers,
      '--request-id',
      requestId,
      '--audit',
      audit,
      ...args,
      file,
    ])
    const names = [...done.stdout.matchAll(/^(\S+) \((certain|likely|possible)\)$/gm)].map(([, name]) => name)
    return { ...done, names }
  }

  async function finds({ method = 'GET', target = OWN, request, as, code, status = 401, cause, args, first }: Cause) {
    const sender = as ? await handUe(lab, as) : ue
    await first?.(sender)
    const octets = await sender.signed(method, target, request)
    const answer = await sender.send(octets, method)
    assertRefusal(lab, answer, { status, code })
    const { names, stdout, stderr } = await explained(octets, problemIdOf(answer), args?.())
    assert.equal(names[0], cause, `${stdout}${stderr}`)
    assert.match(stdout, new RegExp(`^recorded: ut\\.refused ${code} `, 'm'))
    assert.ok(!stdout.includes(sender.password))
  }

  test('finds a request in order right', async () => {
    const octets = await ue.signed('GET', OWN)
    const answer = await ue.send(octets)
    assert.equal(answer.status, 200)
    const { record } = lab.decisions.findLast(({ event }) => event === 'ut.forwarded') ?? assert.fail()
    assert.deepEqual((await explained(octets, record.requestId ?? '')).names, ['right'])
  })
  test("a wrong key: another subscriber's", async () => {
    const { password } = await handUe(lab, { name: 'bob' })
    await finds({ request: { password }, code: 'UA_RESPONSE_WRONG', cause: 'key-wrong' })
  })
  test('a wrong key: of an earlier bootstrap', async () => {
    const { password } = await handUe(lab)
    await finds({ request: { password }, code: 'UA_RESPONSE_WRONG', cause: 'key-wrong' })
  })
  for (const uaId of ['0100000000', '0000000000', '010001c02f'] as UaProtocolId[]) {
    test(`a wrong Ua security protocol identifier: ${uaId}`, () =>
      finds({
        as: { uaId },
        code: 'UA_RESPONSE_WRONG',
        cause: 'ua-id-wrong',
        args: () => ['--suite', 'TLS_AES_128_GCM_SHA256'],
      }))
  }
  test('a wrong realm', () =>
    finds({
      request: { realm: `3GPP-bootstrapping@${LAB_SECOND_NAF}` },
      code: 'UA_REALM_WRONG',
      cause: 'realm-wrong',
    }))
  test('a uri that is not the target', () =>
    finds({ request: { uri: `${OWN}?x` }, code: 'UA_URI_MISMATCH', cause: 'uri-mismatch' }))
  test('a body altered on the way, under auth-int', () =>
    finds({
      method: 'PUT',
      request: { qop: 'auth-int', body: '<evil/>', signedBody: '<good/>' },
      code: 'UA_RESPONSE_WRONG',
      cause: 'body-altered',
    }))
  test('a body altered on the way, which the UE has kept', () => {
    const sent = join(directory, 'sent')
    writeFileSync(sent, '<good/>')
    return finds({
      method: 'PUT',
      request: { qop: 'auth-int', body: '<evil/>', signedBody: '<good/>' },
      code: 'UA_RESPONSE_WRONG',
      cause: 'body-altered',
      args: () => ['--sent-body', sent],
    })
  })
  test('a nonce count used again', async () => {
    const nonce = await ue.freshNonce()
    await finds({
      request: { nonce, nc: 1 },
      first: async () => assert.equal((await ue.request('GET', OWN, { nonce, nc: 1 })).status, 200),
      code: 'UA_NC_REUSED',
      cause: 'nc-reused',
    })
  })
  test('an identity of somebody else', () =>
    finds({
      request: { headers: [`X-3GPP-Intended-Identity: "${impuOf('bob')}"`] },
      code: 'UT_IMPU_NOT_OWNED',
      status: 403,
      cause: 'impu-foreign',
    }))
  test('a tree of somebody else', () =>
    finds({ target: OWN.replace('alice', 'bob'), code: 'UT_TREE_NOT_OWNED', status: 403, cause: 'impu-foreign' }))
  // The clock goes on here: this stays last.
  test('an expired key', async () => {
    const nonce = await ue.freshNonce()
    offsetMs = 43_200_000
    await finds({
      request: { nonce, nc: 1 },
      code: 'ZN_BTID_UNKNOWN',
      cause: 'key-expired',
    })
  })
})
