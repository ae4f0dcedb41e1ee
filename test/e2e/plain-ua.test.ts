import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { UA_HTTP_DIGEST } from '../../src/core/naf-id.ts'
import { impuOf, LAB_NAF } from '../../src/lab.ts'
import { createUe, type Ue } from '../../src/ue/flow.ts'
import { PROFILES, type ProfileName } from '../../src/ue/profiles.ts'
import { type HandRequest, handUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { rawConnect, rawExchange, requestOctets } from '../support/raw-client.ts'
import { assertRefusal, assertRefused } from '../support/refusals.ts'

// Ua without TLS, for conformance set-ups: there where it is asked for, and for what cannot be altered on the way.
const OWN = `/resource-lists/users/${impuOf('alice')}/index`
const PLAIN = `http://${LAB_NAF}${OWN}`

const withPlainUa = () => testLab({ recording: true, ap: { insecurePlainUa: { host: '127.0.0.1', port: 0 } } })

async function plainUe(lab: TestLab, profile: ProfileName = 'standard'): Promise<Ue> {
  const rule = { host: LAB_NAF, toHost: '127.0.0.1', toPort: portOf(lab) }
  return createUe(await lab.sim('alice'), { profile: PROFILES[profile], ca: lab.ca, connect: [rule] })
}
const portOf = ({ app }: TestLab) => app.addresses.plainUa?.port ?? assert.fail('no listener')
const forwarded = ({ decisions }: TestLab) =>
  decisions.findLast(({ event }) => event === 'ut.forwarded')?.record ?? assert.fail()

describe('Ua without TLS', () => {
  let lab: TestLab
  before(async () => {
    lab = await withPlainUa()
  })
  after(async () => {
    await lab.close()
    assert.ok(!lab.decisions.some(({ record }) => record.code === 'INTERNAL'))
  })
  const signedByHand = async (method: string, request: HandRequest = {}, uaId = UA_HTTP_DIGEST) => {
    const ue = await handUe(lab, { uaId })
    return ue.signed(method, OWN, { qop: 'auth-int', nonce: await ue.freshNonce(), nc: 1, ...request })
  }
  const sendPlain = (octets: Uint8Array) => rawExchange({ port: portOf(lab) }, octets)

  test('is warned of at the start, and at no other', async () => {
    const warnings = (logged: string) =>
      logged.split('\n').filter((line) => line.includes('ua.without-tls') && /"level":(?:40|"warn")/.test(line))
    assert.equal(warnings(lab.logged()).length, 1)
    const usual = await testLab({ recording: true })
    try {
      assert.equal(usual.app.addresses.plainUa, undefined)
      assert.deepEqual(warnings(usual.logged()), [])
    } finally {
      await usual.close()
    }
  })

  for (const profile of ['standard', 'android', 'gba-me', 'strict'] as const) {
    test(`serves the ${profile} profile under auth-int, with the identifier for HTTP Digest`, async () => {
      const ue = await plainUe(lab, profile)
      try {
        for (const [method, body] of [
          ['PUT', '<a/>'],
          ['GET', ''],
          ['DELETE', ''],
        ] as const) {
          const seen = lab.seen.length
          const refusals = lab.app.audit.count('ut.refused')
          const answer = await ue.request(method, PLAIN, { body, intendedIdentity: impuOf('alice') })
          assert.deepEqual([answer.status, answer.rspauth, answer.connection.tls], [200, 'verified', undefined])
          assert.ok(lab.app.audit.count('ut.refused') - refusals <= 1)
          assert.equal(forwarded(lab).uaProtocolId, UA_HTTP_DIGEST)
          const { rawHeaders, body: received } = lab.seen.at(-1) ?? assert.fail()
          assert.equal(lab.seen.length, seen + 1)
          assert.equal(received.toString(), body)
          assert.equal(rawHeaders[rawHeaders.indexOf('x-3gpp-asserted-identity') + 1], `"${impuOf('alice')}"`)
        }
      } finally {
        ue.close()
      }
    })
  }

  test('needs no tolerance for its identifier: it is the first there', async () => {
    assert.equal((await sendPlain(await signedByHand('GET'))).status, 200)
    assert.equal(forwarded(lab).tolerances, undefined)
  })
  test('offers auth-int and nothing else', async () => {
    const answer = await sendPlain(requestOctets(`GET ${OWN} HTTP/1.1`, [`Host: ${LAB_NAF}`]))
    assertRefusal(lab, answer, { status: 401, code: 'UA_CREDENTIALS_MISSING' })
    assert.match(answer.header('www-authenticate') ?? '', /qop="auth-int"/)
  })
  test('refuses auth, which leaves bodies unprotected', async () => {
    for (const method of ['GET', 'PUT']) {
      const octets = await signedByHand(method, { qop: 'auth', ...(method === 'PUT' && { body: '<a/>' }) })
      await assertRefused(lab, () => sendPlain(octets), { status: 401, code: 'UA_QOP_NOT_OFFERED' })
    }
    const ue = await plainUe(lab, 'curl')
    const drawn = lab.app.audit.count('zh.av-drawn')
    await assert.rejects(
      ue.request('GET', PLAIN),
      (error) => (error as { code?: string }).code === 'CHALLENGE_UNUSABLE',
    )
    assert.equal(lab.app.audit.count('zh.av-drawn'), drawn)
    ue.close()
  })
  test('refuses a body that was altered on the way', async () => {
    const octets = await signedByHand('PUT', { body: '<good/>' })
    const altered = Buffer.from(octets.toString('latin1').replace('<good/>', '<evil/>'), 'latin1')
    await assertRefused(lab, () => sendPlain(altered), { status: 401, code: 'UA_RESPONSE_WRONG' })
    assert.equal((await sendPlain(octets)).status, 200)
  })
  test('refuses a key made for a TLS suite', async () => {
    const ue = await handUe(lab)
    const octets = await ue.signed('GET', OWN, { qop: 'auth-int' })
    await assertRefused(lab, () => sendPlain(octets), { status: 401, code: 'UA_RESPONSE_WRONG' })
  })
  test('takes the digest uri in its own absolute form, and not in that of TLS', async () => {
    assert.equal((await sendPlain(await signedByHand('GET', { uri: PLAIN }))).status, 200)
    assert.deepEqual(forwarded(lab).tolerances, ['uri-absolute'])
    const octets = await signedByHand('GET', { uri: PLAIN.replace('http:', 'https:') })
    await assertRefused(lab, () => sendPlain(octets), { status: 401, code: 'UA_URI_MISMATCH' })
  })
  test('does not let a request be replayed over TLS, or the other way', async () => {
    const ue = await handUe(lab, { uaId: UA_HTTP_DIGEST })
    const [first, second] = [await signedByHand('GET'), await signedByHand('GET')]
    assert.equal((await sendPlain(first)).status, 200)
    await assertRefused(lab, () => ue.send(first), { status: 401, code: 'UA_NC_REUSED' })
    assert.equal((await ue.send(second)).status, 200)
    await assertRefused(lab, () => sendPlain(second), { status: 401, code: 'UA_NC_REUSED' })
  })
  test('holds to the same rules of ownership and names', async () => {
    const ue = await handUe(lab, { uaId: UA_HTTP_DIGEST })
    const foreign = await ue.signed('GET', OWN.replace('alice', 'bob'), { qop: 'auth-int' })
    await assertRefused(lab, () => sendPlain(foreign), { status: 403, code: 'UT_TREE_NOT_OWNED' })
    const octets = requestOctets(`GET ${OWN} HTTP/1.1`, ['Host: other.example.com'])
    await assertRefused(lab, () => sendPlain(octets), { status: 421, code: 'UA_NAF_UNKNOWN' })
  })

  test('leaves the TLS listener as it is: its own identifier first, and both qualities', async () => {
    const ue = await lab.ue('alice')
    const answer = await ue.request('PUT', lab.url(OWN), { body: '<a/>', qop: 'auth' })
    assert.deepEqual([answer.status, answer.connection.tls?.version], [200, 'TLSv1.3'])
    assert.equal(forwarded(lab).uaProtocolId, '0100011301')
  })
  test('is not served on the TLS port: a plain request there gets no answer and ends', async () => {
    const connection = await rawConnect({ port: lab.app.addresses.ap?.port ?? 0 })
    const seen = lab.seen.length
    connection.write(await signedByHand('GET'))
    await connection.closed
    assert.doesNotMatch(connection.pending().toString('latin1'), /HTTP\/1\.1 [23]/)
    assert.equal(lab.seen.length, seen)
    assert.equal((await (await lab.ue('alice')).request('GET', lab.url(OWN))).status, 200)
  })
  test('is not TLS: a ClientHello gets 400 in plain words, and the port goes on serving', async () => {
    const refused = lab.app.audit.count('ut.refused')
    const socket = connectTls({ host: '127.0.0.1', port: portOf(lab), servername: LAB_NAF, ca: lab.ca })
    const error = await new Promise<NodeJS.ErrnoException>((failed, never) => {
      socket.once('error', failed)
      socket.once('secureConnect', () => never(new Error('there is TLS')))
    })
    assert.match(error.code ?? '', /^(?:ERR_SSL_|ECONNRESET|EPROTO)/)
    const hello = Buffer.from('1603010200010001fc0303', 'hex')
    const answer = await sendPlain(hello)
    assertRefusal(lab, answer, { status: 400, code: 'UT_REQUEST_MALFORMED' })
    assert.equal(lab.app.audit.count('ut.refused'), refused + 2)
    assert.equal((await sendPlain(await signedByHand('GET'))).status, 200)
  })
})

describe('Ua without TLS, with auth allowed', () => {
  test('serves UEs that know no auth-int, whatever identifiers the NAF takes over TLS', async () => {
    const lab = await testLab({
      recording: true,
      ap: {
        nafs: [{ fqdn: LAB_NAF, uaProtocolIds: ['010001c02f', 'tls-suite'] }],
        insecurePlainUa: { host: '127.0.0.1', port: 0, qop: ['auth', 'auth-int'] },
      },
    })
    try {
      for (const profile of ['curl', 'standard'] as const) {
        const ue = await plainUe(lab, profile)
        const answer = await ue.request('PUT', PLAIN, { body: '<a/>' })
        assert.equal(answer.status, 200)
        assert.equal(lab.seen.at(-1)?.body.toString(), '<a/>')
        assert.deepEqual([forwarded(lab).uaProtocolId, forwarded(lab).tolerances], [UA_HTTP_DIGEST, undefined])
        ue.close()
      }
      const overTls = await handUe(lab, { uaId: UA_HTTP_DIGEST })
      await assertRefused(lab, () => overTls.request('GET', OWN), { status: 401, code: 'UA_RESPONSE_WRONG' })
    } finally {
      await lab.close()
    }
  })
})
