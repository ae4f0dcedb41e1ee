import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { uaProtocolIdOfSuiteCode } from '../../src/core/naf-id.ts'
import { impuOf, LAB_NAF, LAB_SECOND_NAF } from '../../src/lab.ts'
import { doorUe, openAllDoors, WAYS } from '../support/door-ue.ts'
import { type HandUe, handUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { proxyHeader, sslTlv, tcp4, tlv } from '../support/proxy-header.ts'
import { rawExchange, requestOctets } from '../support/raw-client.ts'
import { assertRefused } from '../support/refusals.ts'

const OWN = `/resource-lists/users/${impuOf('alice')}/index`
/** A suite that our own TLS would not choose here: the key can only be right if the front is believed. */
const SUITE = { id: uaProtocolIdOfSuiteCode(0xc030), openssl: 'ECDHE-RSA-AES256-GCM-SHA384' }
const [VERSION, CIPHER, AUTHORITY, SSL] = [0x21, 0x23, 0x02, 1]

const told = (serverName: string, version = 'TLSv1.2', cipher = SUITE.openssl) =>
  tcp4(tlv(AUTHORITY, serverName), sslTlv(SSL, 1, tlv(VERSION, version), tlv(CIPHER, cipher)))

describe('behind a front that ends TLS and says so by PROXY protocol', () => {
  let lab: TestLab
  let alice: HandUe
  before(async () => {
    lab = await testLab({ recording: true, ap: { front: { port: 0, addresses: ['127.0.0.1'] } } })
    alice = await handUe(lab, { uaId: SUITE.id })
  })
  after(() => lab.close())
  const at = () => ({ port: lab.app.addresses.front?.port ?? 0 })
  const via = (header: Uint8Array, octets: Uint8Array) => rawExchange(at(), Buffer.concat([header, octets]))

  test('the suite of the UE makes its NAF_Id, and its address stands in the audit', async () => {
    const answer = await via(told(LAB_NAF), await alice.signed('PUT', OWN, { body: '<a/>' }))
    assert.equal(answer.status, 200)
    const { record } = lab.decisions.findLast(({ event }) => event === 'ut.forwarded') ?? assert.fail()
    assert.equal(record.uaProtocolId, SUITE.id)
    assert.equal((await via(told(LAB_NAF), requestOctets(`GET ${OWN} HTTP/1.1`, [`Host: ${LAB_NAF}`]))).status, 401)
    assert.equal(lab.decisions.at(-1)?.record.source, '192.0.2.7')
  })

  test('the name of the UE has to be the one in Host', async () => {
    await assertRefused(lab, async () => via(told(LAB_SECOND_NAF), await alice.signed('GET', OWN)), {
      status: 421,
      code: 'UA_SNI_MISMATCH',
    })
  })

  test('a front that tells of no TLS, or of an old one, is told that it has to', async () => {
    const silent = { status: 502, code: 'UA_FRONT_SILENT' } as const
    const headers = [tcp4(tlv(AUTHORITY, LAB_NAF)), told(LAB_NAF, 'TLSv1.1'), proxyHeader(0x20, 0x00)]
    for (const header of headers)
      await assertRefused(lab, async () => via(header, await alice.signed('GET', OWN)), silent)
  })

  test('another suite makes another key', async () => {
    const other = told(LAB_NAF, 'TLSv1.2', 'ECDHE-RSA-AES128-GCM-SHA256')
    await assertRefused(lab, async () => via(other, await alice.signed('GET', OWN)), {
      status: 401,
      code: 'UA_RESPONSE_WRONG',
    })
  })

  test('who is no front gets nothing, and a front without its header neither', async () => {
    const seen = lab.seen.length
    const octets = Buffer.concat([told(LAB_NAF), await alice.signed('GET', OWN)])
    const from = (localAddress: string, sent: Uint8Array) =>
      new Promise<string>((resolve) => {
        let came = ''
        const socket = connect({ host: '127.0.0.1', localAddress, ...at() })
        socket.setEncoding('latin1').on('data', (text: string) => {
          came += text
        })
        socket.on('error', () => {}).once('close', () => resolve(came))
        socket.write(sent)
      })
    assert.equal(await from('127.0.0.2', octets), '')
    assert.equal(await from('127.0.0.1', await alice.signed('GET', OWN)), '')
    assert.equal(lab.seen.length, seen)
    const reasons = lab.decisions.filter(({ event }) => event === 'tls.refused').map(({ record }) => record.reason)
    assert.deepEqual(reasons, ['not-a-front', 'header-malformed'])
  })

  test('headers that such a front might write count for nothing', async () => {
    const headers = ['X-SSL-SNI: other.example.org', 'X-SSL-Cipher: AES128-SHA', 'X-Forwarded-For: 203.0.113.9']
    const answer = await via(told(LAB_NAF), await alice.signed('GET', OWN, { headers }))
    assert.equal(answer.status, 200)
    const fields = lab.seen.at(-1)?.rawHeaders ?? []
    assert.ok(!fields.some((field) => /x-ssl|forwarded-for|203\.0\.113/i.test(field)))
  })
})

describe('behind a front that passes TLS on', () => {
  test('every door works, and the audit has the address of the UE', async () => {
    const lab = await testLab({
      recording: true,
      prepare: openAllDoors,
      ap: { front: { port: 0, addresses: ['127.0.0.1'], tls: 'through' } },
    })
    try {
      for (const way of WAYS) {
        const alice = await doorUe(lab, way)
        const octets = await alice.signed('GET', OWN)
        const raw = connect(lab.app.addresses.front?.port ?? 0, '127.0.0.1')
        raw.write(tcp4())
        const secured = connectTls({ ...alice.at.tls, socket: raw })
        const answer = new Promise<string>((resolve, reject) => {
          secured.once('data', (chunk: Buffer) => resolve(chunk.toString('latin1')))
          secured.once('error', reject)
        })
        secured.write(octets)
        assert.match(await answer, /^HTTP\/1\.1 200 /, way)
        secured.destroy()
      }
      const refused = new Promise<void>((closed) => {
        const socket = connectTls({ port: lab.app.addresses.front?.port ?? 0, host: '127.0.0.1', ca: lab.ca })
        socket.on('error', () => {}).once('close', () => closed())
      })
      await refused
      assert.equal(lab.decisions.at(-1)?.record.reason, 'header-malformed')
      const anonymous = connectTls({
        servername: LAB_NAF,
        ca: lab.ca,
        socket: connect(lab.app.addresses.front?.port ?? 0, '127.0.0.1', function (this: Socket) {
          this.write(tcp4())
        }),
      })
      const challenged = new Promise<string>((resolve) => anonymous.once('data', (chunk) => resolve(String(chunk))))
      anonymous.write(requestOctets(`GET ${OWN} HTTP/1.1`, [`Host: ${LAB_NAF}`]))
      assert.match(await challenged, /^HTTP\/1\.1 401 /)
      assert.equal(lab.decisions.at(-1)?.record.source, '192.0.2.7')
      anonymous.destroy()
    } finally {
      await lab.close()
    }
  })
})

describe('behind a front that says so in headers', () => {
  const front = {
    port: 0,
    addresses: ['127.0.0.0/8'],
    tells: 'headers',
    headers: { serverName: 'X-Name', suite: 'X-Suite' },
  }
  let lab: TestLab
  let alice: HandUe
  before(async () => {
    lab = await testLab({ recording: true, ap: { front } })
    alice = await handUe(lab, { uaId: SUITE.id })
  })
  after(() => lab.close())
  const ask = async (headers: readonly string[]) =>
    rawExchange({ port: lab.app.addresses.front?.port ?? 0 }, await alice.signed('GET', OWN, { headers }))
  const HEADERS = [`X-Name: ${LAB_NAF}`, `X-Suite: ${SUITE.openssl}`, 'X-Forwarded-For: 198.51.100.1, 192.0.2.9']

  test('they are believed, and go no further', async () => {
    assert.equal((await ask(HEADERS)).status, 200)
    const fields = lab.seen.at(-1)?.rawHeaders ?? []
    assert.ok(!fields.some((field) => /^x-(?:name|suite|forwarded)|192\.0\.2\.9/i.test(field)))
  })

  test('without them, or with one that is there twice, nothing is served', async () => {
    const silent = { status: 502, code: 'UA_FRONT_SILENT' } as const
    await assertRefused(lab, () => ask([]), silent)
    await assertRefused(lab, () => ask([...HEADERS, 'X-Suite: TLS_AES_128_GCM_SHA256']), silent)
  })

  test('from a UE that comes by itself they count for nothing, and go no further either', async () => {
    const direct = await handUe(lab)
    const headers = ['X-Name: other.example.org', 'X-Suite: AES128-SHA']
    assert.equal((await direct.request('GET', OWN, { headers })).status, 200)
    assert.ok(!lab.seen.at(-1)?.rawHeaders.some((field) => /^x-(?:name|suite)$/i.test(field)))
  })
})
