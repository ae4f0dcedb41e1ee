import assert from 'node:assert/strict'
import { once } from 'node:events'
import https from 'node:https'
import type { AddressInfo } from 'node:net'
import { before, describe, type TestContext, test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import type { Fqdn } from '../../src/core/identity.ts'
import { type Issued, type LabPki, makeLabPki } from '../../src/tls/issue.ts'
import { UeError } from '../../src/ue/fault.ts'
import { createUe, type UeOptions } from '../../src/ue/flow.ts'
import { card } from './card.ts'
import { BSF, fakeBsf, NAF } from './fake-network.ts'

const ALICE = 'alice.example.com' as Fqdn
let pki: LabPki
let alice: Issued
before(async () => {
  const names = { bsf: [BSF], naf: [NAF], znClients: [{ name: ALICE }] }
  pki = await makeLabPki({ names, now: Date.now(), validDays: 1 })
  alice = pki.znClients[ALICE] ?? assert.fail()
})

interface Arrived {
  readonly subject: string | undefined
  readonly authorization: string | undefined
  readonly body: string
}

/** A NAF that wants certificates of our CA. */
async function lab(
  t: TestContext,
  options: (client: { cert: string; key: string }) => UeOptions,
  naf: { optional?: boolean; maxVersion?: 'TLSv1.2'; asks?: boolean } = {},
) {
  const bsf = await fakeBsf()
  const requests: Arrived[] = []
  const server = https.createServer(
    {
      cert: pki.ap.certificate,
      key: pki.ap.key,
      ca: pki.ca.certificate,
      requestCert: true,
      rejectUnauthorized: !naf.optional,
      maxVersion: naf.maxVersion ?? 'TLSv1.3',
    },
    async (request, response) => {
      let body = ''
      for await (const chunk of request) body += chunk
      const socket = request.socket as TLSSocket
      const subject = socket.authorized ? socket.getPeerX509Certificate()?.subject : undefined
      const { authorization } = request.headers
      requests.push({ subject, authorization, body })
      const challenge = `Digest realm="3GPP-bootstrapping@${NAF}", nonce="n${requests.length}", qop="auth"`
      if (naf.asks && !authorization) response.writeHead(401, { 'www-authenticate': challenge })
      response.end()
    },
  )
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const sim = card({ bsf: bsf.port, naf: (server.address() as AddressInfo).port })
  const client = { cert: alice.certificate, key: alice.key }
  const ue = createUe(sim, { ca: pki.ca.certificate, ...options(client) })
  t.after(async () => {
    ue.close()
    server.closeAllConnections()
    server.close()
    await bsf.close()
  })
  return { ue, bsf, requests }
}

const URL_ = `https://${NAF}/`

const refused = (code: string) => (error: unknown) => {
  assert.equal((error as { code?: string }).code, code)
  return true
}

describe('a UE with a certificate of its own', () => {
  for (const version of ['1.2', '1.3'] as const) {
    test(`needs neither bootstrap nor Digest in TLS ${version}`, async (t) => {
      const { ue, bsf, requests } = await lab(t, (client) => ({ clientCertificate: client, tls: version }))
      assert.equal((await ue.request('GET', URL_)).status, 200)
      assert.equal((await ue.request('PUT', URL_, { body: 'xyz' })).status, 200)
      assert.equal(bsf.requests.length, 0)
      for (const { subject, authorization } of requests) {
        assert.match(subject ?? '', /alice/)
        assert.equal(authorization, undefined)
      }
      assert.deepEqual(
        requests.map(({ body }) => body),
        ['', 'xyz'],
      )
    })
  }

  test('may have both in one text', async (t) => {
    const { ue, requests } = await lab(t, ({ cert, key }) => {
      const both = `${key}\n${cert}`
      return { clientCertificate: { cert: both, key: both } }
    })
    assert.equal((await ue.request('GET', URL_)).status, 200)
    assert.match(requests[0]?.subject ?? '', /alice/)
  })

  test('bootstraps when a 401 asks for it, each time, and not before', async (t) => {
    const { ue, bsf, requests } = await lab(t, (client) => ({ clientCertificate: client }), { asks: true })
    for (let i = 0; i < 2; i++) assert.equal((await ue.request('GET', URL_)).status, 200)
    assert.equal(bsf.drawn(), 1)
    assert.deepEqual(
      requests.map(({ authorization }) => authorization !== undefined),
      [false, true, false, true],
    )
  })

  for (const maxVersion of [undefined, 'TLSv1.2'] as const) {
    test(`hears when it has none that is wanted, up to ${maxVersion ?? 'TLS 1.3'}`, async (t) => {
      const { ue, bsf, requests } = await lab(t, () => ({}), maxVersion ? { maxVersion } : {})
      await assert.rejects(ue.request('GET', URL_), refused('TLS_FAILED'))
      assert.deepEqual([bsf.drawn(), requests.length], [0, 0])
    })
  }

  // Node's server says nothing when it does not like one; others send an alert
  test('is not served with one that nobody trusts', async (t) => {
    const names = { bsf: [], naf: [], znClients: [{ name: ALICE }] }
    const other = await makeLabPki({ names, now: Date.now(), validDays: 1 })
    const { certificate: cert, key } = other.znClients[ALICE] ?? assert.fail()
    const { ue, requests } = await lab(t, () => ({ clientCertificate: { cert, key } }))
    await assert.rejects(ue.request('GET', URL_), UeError)
    assert.equal(requests.length, 0)
  })

  for (const [what, change] of [
    ['another key', () => ({ key: pki.ap.key })],
    ['no key', () => ({ key: alice.certificate })],
    ['no certificate', () => ({ cert: 'nothing' })],
  ] as const) {
    test(`needs a key that fits its certificate: ${what}`, async (t) => {
      const { ue, bsf } = await lab(t, (client) => ({ clientCertificate: { ...client, ...change() } }))
      await assert.rejects(ue.request('GET', URL_), refused('CLIENT_CERTIFICATE_UNUSABLE'))
      assert.equal(bsf.drawn(), 0)
    })
  }
})
