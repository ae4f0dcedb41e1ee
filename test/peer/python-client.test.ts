import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, describe } from 'node:test'
import { fileURLToPath } from 'node:url'
import { toBase64 } from '../../src/core/bytes.ts'
import type { Qop } from '../../src/core/digest.ts'
import { uaProtocolIdOfSuite } from '../../src/core/naf-id.ts'
import { impuOf, LAB_NAF } from '../../src/lab.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { peerTest } from '../support/peer.ts'
import { run } from '../support/programs.ts'

const SCRIPT = fileURLToPath(new URL('digest_client.py', import.meta.url))
const DOCUMENT = `/resource-lists/users/${impuOf('alice')}/index`
const LIST = '<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists"><list name="frïends"/></resource-lists>'

interface Step {
  readonly method: string
  readonly path?: string
  readonly algorithm?: string
  readonly qop?: Qop
  readonly body?: string
  readonly contentType?: string
  readonly claim?: string
}

interface Outcome {
  readonly status: number
  readonly body: string
  readonly cipher: string
  readonly nc: string
  /** What the AP sent, and what Python computes over the answer it got. */
  readonly rspauth: string | null
  readonly expected: string | null
  readonly overAnotherBody: string | null
  readonly echoed: { readonly qop?: Qop; readonly nc?: string }
  readonly sameCnonce: boolean
}

const SUITES = {
  '1.2': { suite: 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256', cipher: 'ECDHE-ECDSA-AES128-GCM-SHA256' },
  '1.3': { suite: 'TLS_AES_128_GCM_SHA256', cipher: 'TLS_AES_128_GCM_SHA256' },
} as const

describe("Python's standard library", () => {
  let lab: TestLab
  before(async () => {
    lab = await testLab({ ap: { challenge: { algorithms: ['SHA-256', 'MD5'] } } })
  })
  after(() => lab.close())

  /** Runs the script once as alice, with the key for the suite that a listener of ours takes first. */
  async function python(on: TestLab, steps: readonly Step[], options: { tls?: '1.2' | '1.3'; urllib?: boolean } = {}) {
    const { tls = '1.3', urllib = false } = options
    const { btid, ksNaf } = await (await on.ue('alice')).bootstrap()
    const id = uaProtocolIdOfSuite(SUITES[tls].suite) ?? assert.fail()
    const job = {
      ...{ host: LAB_NAF, port: on.app.addresses.ap?.port, caFile: join(on.directory, 'certs', 'ca.pem') },
      ...{ tls, urllib, username: btid, password: toBase64(ksNaf(LAB_NAF, id).expose(32)) },
      steps: steps.map((step) => ({ path: DOCUMENT, algorithm: 'MD5', qop: 'auth', ...step })),
    }
    const { status, stdout, stderr } = await run('python3', [SCRIPT], { stdin: JSON.stringify(job) })
    assert.equal(status, 0, stderr)
    return JSON.parse(stdout) as Outcome[]
  }

  for (const tls of ['1.2', '1.3'] as const) {
    for (const algorithm of ['MD5', 'SHA-256']) {
      for (const qop of ['auth', 'auth-int'] as const) {
        const name = `is believed, and believes our rspauth: ${algorithm}, ${qop}, TLS ${tls}`
        peerTest(name, ['python3'], async () => {
          const put = { method: 'PUT', body: LIST, contentType: 'application/resource-lists+xml' }
          const steps: Step[] = [put, { method: 'GET' }, { method: 'DELETE' }, { method: 'GET' }]
          const outcomes = await python(
            lab,
            steps.map((step) => ({ ...step, algorithm, qop })),
            { tls },
          )
          assert.deepEqual(
            outcomes.map(({ status }) => status),
            [201, 200, 200, 404],
          )
          assert.equal(outcomes[1]?.body, LIST)
          for (const [i, outcome] of outcomes.entries()) {
            assert.equal(outcome.cipher, SUITES[tls].cipher)
            assert.match(outcome.rspauth ?? '', algorithm === 'MD5' ? /^[0-9a-f]{32}$/ : /^[0-9a-f]{64}$/)
            assert.equal(outcome.rspauth, outcome.expected)
            // under auth-int another body has another proof, under auth it has not
            assert.equal(outcome.overAnotherBody === outcome.rspauth, qop === 'auth')
            assert.deepEqual(outcome.echoed, { qop, nc: `0000000${i + 1}` })
            assert.ok(outcome.sameCnonce)
          }
        })
      }
    }
  }

  for (const algorithm of ['MD5', 'SHA-256']) {
    peerTest(`is not believed where its ${algorithm} covers another body than it sends`, ['python3'], async () => {
      const put = { method: 'PUT', body: LIST, contentType: 'application/resource-lists+xml', algorithm }
      const claim = LIST.replace('list', 'LIST')
      const [lie, truth, unprotected] = await python(lab, [
        { ...put, qop: 'auth-int', claim },
        { ...put, qop: 'auth-int' },
        { ...put, qop: 'auth', claim },
      ])
      assert.equal(lie?.status, 401)
      assert.equal(lie?.rspauth, null)
      assert.ok(truth && truth.status < 300)
      assert.ok(unprotected && unprotected.status < 300)
    })
  }

  peerTest('verifies our rspauth over a refusal, too', ['python3'], async () => {
    const path = DOCUMENT.replace('alice', 'bob')
    const [refused] = await python(lab, [{ method: 'GET', path, qop: 'auth-int', algorithm: 'SHA-256' }])
    assert.equal(refused?.status, 403)
    assert.match(refused?.body ?? '', /"status":403/)
    assert.equal(refused?.rspauth, refused?.expected)
    assert.notEqual(refused?.rspauth, refused?.overAnotherBody)
  })

  peerTest('gets a document through its HTTPDigestAuthHandler', ['python3'], async (t) => {
    // before 3.14 it knows no SHA-256, and it takes the first challenge only
    const md5 = await testLab()
    t.after(() => md5.close())
    const ue = await md5.ue('alice')
    await ue.request('PUT', md5.url(DOCUMENT), {
      body: LIST,
      headers: { 'Content-Type': 'application/resource-lists+xml' },
    })
    const [got] = await python(md5, [{ method: 'GET' }], { urllib: true })
    assert.deepEqual([got?.status, got?.body], [200, LIST])
    const [foreign] = await python(md5, [{ method: 'GET', path: DOCUMENT.replace('alice', 'bob') }], { urllib: true })
    assert.equal(foreign?.status, 403)
  })
})
