import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { request } from 'node:https'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Uss } from '../../src/core/guss.ts'
import { type Btid, type Fqdn, type Impi, parseImpu } from '../../src/core/identity.ts'
import type { UaProtocolId } from '../../src/core/naf-id.ts'
import { LAB_BSF, LAB_NAF, LAB_ZN_CLIENT } from '../../src/lab.ts'
import { formatBia, formatBir, NBSP_GBA_PATH, parseBia, parseBir } from '../../src/zn/nbsp-gba.ts'
import type { Bia, Bir } from '../../src/zn/port.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { openapiSchema } from '../support/openapi.ts'
import { secret, vectors } from '../support/vectors.ts'

const requestFaults = openapiSchema('TS29309_Nbsp_GBA.yaml', 'BootstrappingInfoRequest')
const answerFaults = openapiSchema('TS29309_Nbsp_GBA.yaml', 'BootstrappingInfoResponse')
const problemFaults = openapiSchema('TS29571_CommonData.yaml', 'ProblemDetails')

const golden = vectors<{ nbspGba: { request: unknown; response: Record<string, unknown> }; ua: { Ks_NAF: string } }>(
  'golden-flow.json',
)

/** As it is on the wire. */
const sent = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

const aBir: Bir = {
  btid: 'I1U8vpY3qJ0hiuZNrke/NQ==@bsf.mnc001.mcc001.pub.3gppnetwork.org' as Btid,
  nafFqdn: 'xcap.ims.mnc001.mcc001.pub.3gppnetwork.org' as Fqdn,
  uaProtocolId: '010001c02f' as UaProtocolId,
  gsids: [3],
  gbaUAware: false,
}

const impu = (text: string) => parseImpu(text) ?? assert.fail(text)
const aUss: Uss = { gsid: 3, gsType: 3, uids: [impu('sip:alice@example.com')], flags: [] }

const aBia: Bia = {
  ksNaf: secret('1b'.repeat(32)),
  expiresAt: Date.UTC(2026, 10, 21, 22),
  bootstrappedAt: Date.UTC(2026, 10, 21, 10, 0, 0, 5),
  gbaType: '3G_GBA',
  ussList: [],
}

describe('the published schema of Nbsp_GBA', () => {
  test('accepts the golden request and answer', () => {
    assert.deepEqual(requestFaults(golden.nbspGba.request), [])
    assert.deepEqual(answerFaults(golden.nbspGba.response), [])
  })

  for (const [name, value] of [
    ['no B-TID', { ...formatBir(aBir), btId: undefined }],
    ['an empty list of GSIDs', { ...formatBir(aBir), gsIds: [] }],
    ['a GSID as text', { ...formatBir(aBir), gsIds: ['3'] }],
    ['a NAF_Id in one piece', { ...formatBir(aBir), nafId: 'xcap.example.com010001c02f' }],
    ['a member in another spelling', { ...formatBir(aBir), gsIDs: [3] }],
  ] as const) {
    test(`refuses a request with ${name}`, () => assert.notDeepEqual(requestFaults(sent(value)), []))
  }

  for (const [name, value] of [
    ['half a key', { ...formatBia(aBia), meKeyMaterial: '1b'.repeat(16) }],
    ['an instant as a number', { ...formatBia(aBia), keyExpiryTime: 1 }],
    ['an instant without a zone', { ...formatBia(aBia), keyExpiryTime: '2026-11-21T22:00:00' }],
    ['an empty list of settings', { ...formatBia(aBia), ussList: [] }],
    ['settings without identities', { ...formatBia(aBia), ussList: [{ uss: { gsId: 3, gsType: 3, ueIds: [] } }] }],
  ] as const) {
    test(`refuses an answer with ${name}`, () => assert.notDeepEqual(answerFaults(sent(value)), []))
  }
})

describe('our requests', () => {
  for (const [name, bir] of [
    ['with one GSID', aBir],
    ['with several', { ...aBir, gsids: [2, 3, 4_294_967_295] }],
    ['with none', { ...aBir, gsids: [] }],
    ['of a NAF that knows GBA_U', { ...aBir, gbaUAware: true }],
  ] satisfies [string, Bir][]) {
    test(`${name} are of the published schema, and come back as they were`, () => {
      const value = sent(formatBir(bir))
      assert.deepEqual(requestFaults(value), [])
      assert.deepEqual(parseBir(value), bir)
    })
  }

  test('are the golden one, member for member', () => {
    assert.deepEqual(sent(formatBir(aBir)), golden.nbspGba.request)
    assert.deepEqual(parseBir(golden.nbspGba.request), aBir)
  })
})

describe('our answers', () => {
  const everything: Bia = {
    ...aBia,
    ksIntNaf: secret('2c'.repeat(32)),
    gbaType: '2G_GBA',
    impi: '001010123456789@ims.mnc001.mcc001.3gppnetwork.org' as Impi,
    ussList: [
      { ...aUss, flags: [1, 2], nafGroup: 'presence', keyChoice: 'ME_BASED_KEY' },
      { ...aUss, gsid: 2, gsType: 2, uids: [impu('sip:alice@example.com'), impu('tel:+15550100123')] },
    ],
  }

  for (const [name, bia] of [
    ['with a key and no more', aBia],
    ['with everything', everything],
    ['with settings', { ...aBia, ussList: [aUss] }],
  ] satisfies [string, Bia][]) {
    test(`${name} are of the published schema, and come back as they were`, () => {
      const value = sent(formatBia(bia))
      assert.deepEqual(answerFaults(value), [])
      assert.deepEqual(sent(formatBia(parseBia(value, 0, 0) ?? assert.fail('not read'))), value)
    })
  }

  // an HSS may send a USS whose identities cannot be read, or are none
  test('leave out settings without an identity, and then their list', () => {
    const value = sent(formatBia({ ...aBia, ussList: [{ ...aUss, uids: [] }] }))
    assert.deepEqual(answerFaults(value), [])
    assert.equal((value as Record<string, unknown>).ussList, undefined)
  })

  test('say what the golden one says', () => {
    const bia = parseBia(golden.nbspGba.response, 0, 0) ?? assert.fail('not read')
    assert.equal(bia.ksNaf.equals(secret(golden.ua.Ks_NAF)), true)
    assert.equal(bia.expiresAt, Date.parse('2026-11-21T22:00:00Z'))
    const value = sent(formatBia(bia)) as Record<string, unknown>
    const instants = ['keyExpiryTime', 'bootstrappingInfoCreationTime']
    const normal = (answer: Record<string, unknown>) =>
      Object.fromEntries(
        Object.entries(answer).map(([key, each]) => [key, instants.includes(key) ? Date.parse(String(each)) : each]),
      )
    assert.deepEqual(normal(value), normal(golden.nbspGba.response))
  })
})

describe('the Zn server', () => {
  let lab: TestLab
  before(async () => {
    lab = await testLab()
  })
  after(() => lab.close())

  interface Asked {
    readonly method?: string
    readonly path?: string
    readonly contentType?: string
  }

  /** One request over mutual TLS with the certificate of the lab's AP. */
  function ask(body: string, { method = 'POST', path = NBSP_GBA_PATH, contentType = 'application/json' }: Asked = {}) {
    const stem = join(lab.directory, 'certs', `zn-${LAB_ZN_CLIENT}`)
    const options = {
      ...{ host: '127.0.0.1', port: lab.app.addresses.zn?.port, servername: LAB_BSF, agent: false as const },
      ...{ ca: lab.ca, cert: readFileSync(`${stem}.pem`), key: readFileSync(`${stem}.key`) },
      ...{ method, path, headers: { 'content-type': contentType, 'content-length': Buffer.byteLength(body) } },
    }
    return new Promise<{ status: number; type: string | undefined; json: unknown }>((resolve, reject) => {
      const asked = request(options, (answer) => {
        const parts: Buffer[] = []
        answer.on('data', (part: Buffer) => parts.push(part))
        answer.on('end', () => {
          const { statusCode: status = 0, headers } = answer
          resolve({ status, type: headers['content-type'], json: JSON.parse(Buffer.concat(parts).toString()) })
        })
      })
      asked.on('error', reject).end(body)
    })
  }

  test('answers with what the schema says', async () => {
    const { btid, ksNaf } = await (await lab.ue('alice')).bootstrap()
    const bir: Bir = { ...aBir, btid, nafFqdn: LAB_NAF, gsids: [2, 3] }
    const { status, type, json } = await ask(JSON.stringify(formatBir(bir)))
    assert.equal(status, 200)
    assert.match(type ?? '', /^application\/json\b/)
    assert.deepEqual(answerFaults(json), [])
    const bia = parseBia(json, 0, 0) ?? assert.fail('not read')
    assert.equal(bia.ksNaf.equals(ksNaf(LAB_NAF, bir.uaProtocolId)), true)
    assert.deepEqual(
      bia.ussList.map(({ gsid }) => gsid),
      [3, 2],
    )
  })

  const unknown = JSON.stringify(formatBir({ ...aBir, nafFqdn: LAB_NAF }))
  for (const [name, status, body, asked] of [
    ['a B-TID that nobody has', 404, unknown],
    [
      'a NAF name that is not listed',
      403,
      JSON.stringify(formatBir({ ...aBir, nafFqdn: 'other.example.com' as Fqdn })),
    ],
    ['a GSID that is not listed', 403, JSON.stringify(formatBir({ ...aBir, nafFqdn: LAB_NAF, gsids: [4] }))],
    ['JSON that is no request', 400, '{}'],
    ['what is no JSON', 400, '{"btId":'],
    ['nothing', 400, ''],
    ['JSON under another media type', 400, unknown, { contentType: 'text/plain' }],
    ['a request of 100,000 octets', 400, JSON.stringify({ padding: 'x'.repeat(100_000) })],
    ['an operation that it does not have', 404, unknown, { path: '/nbsp-gba/v1/push-info-retrieval' }],
  ] satisfies [string, number, string, Asked?][]) {
    test(`refuses ${name} with ${status} and ProblemDetails`, async () => {
      const answer = await ask(body, asked)
      assert.equal(answer.status, status)
      assert.equal(answer.type, 'application/problem+json')
      assert.deepEqual(problemFaults(answer.json), [])
      assert.equal((answer.json as { status?: number }).status, status)
    })
  }
})
