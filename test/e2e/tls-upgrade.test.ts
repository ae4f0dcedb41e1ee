import assert from 'node:assert/strict'
import { connect, type Socket } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { connect as connectTls } from 'node:tls'
import { impuOf, LAB_NAF, LAB_SECOND_NAF } from '../../src/lab.ts'
import { doorUe, openAllDoors } from '../support/door-ue.ts'
import { type HandUe, handUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { rawExchange, requestOctets } from '../support/raw-client.ts'
import { assertRefusal } from '../support/refusals.ts'

const OWN = `/resource-lists/users/${impuOf('alice')}/index`
const UPGRADE = ['Upgrade: TLS/1.2', 'Connection: Upgrade']

/** Reads until the texts so far match. */
const until = (stream: Socket, pattern: RegExp) =>
  new Promise<string>((resolve, reject) => {
    let text = ''
    const onData = (chunk: Buffer) => {
      text += chunk.toString('latin1')
      if (!pattern.test(text)) return
      stream.off('data', onData)
      resolve(text)
    }
    stream.on('data', onData)
    stream.once('close', () => reject(new Error(`closed after: ${text}`)))
    stream.once('error', reject)
  })

describe('a plain listener for TLS upgrades', () => {
  let lab: TestLab
  let alice: HandUe
  before(async () => {
    lab = await testLab({ recording: true, prepare: openAllDoors, ap: { tlsUpgrade: { port: 0 } } })
    alice = await handUe(lab)
  })
  after(() => lab.close())
  const port = () => lab.app.addresses.tlsUpgrade?.port ?? 0

  test('serves nothing in clear, right credentials or not', async () => {
    const seen = lab.seen.length
    for (const octets of [
      await alice.signed('GET', OWN),
      await alice.signed('PUT', OWN, { body: '<a/>' }),
      requestOctets(`GET ${OWN} HTTP/1.1`, [`Host: ${LAB_NAF}`]),
    ]) {
      const answer = await rawExchange({ port: port() }, octets)
      assertRefusal(lab, answer, { status: 426, code: 'UA_TLS_REQUIRED' })
      assert.equal(answer.header('upgrade'), 'TLS/1.2, HTTP/1.1')
    }
    assert.equal(lab.seen.length, seen)
  })

  /** The connection after its upgrade; `first` is what asked for it. */
  async function upgraded(first: readonly string[], tls: object = { ca: lab.ca }) {
    const socket = connect(port(), '127.0.0.1')
    const switched = until(socket, /\r\n\r\n/)
    socket.write(requestOctets(first[0] ?? '', [`Host: ${LAB_NAF}`, ...UPGRADE, ...first.slice(1)]))
    assert.match(await switched, /^HTTP\/1\.1 101 /)
    const secured = connectTls({ socket, servername: LAB_NAF, ...tls })
    return { secured, answer: until(secured, /\r\n\r\n/) }
  }

  test('takes a client to TLS, where GET and then PUT on the same connection are authenticated as ever', async () => {
    const { secured, answer } = await upgraded(['OPTIONS * HTTP/1.1'])
    assert.match(await answer, /^HTTP\/1\.1 204 /)
    for (const [method, body] of [['GET'], ['PUT', '<a/>']] as const) {
      const answered = until(secured, /recorded$/)
      secured.write(await alice.signed(method, OWN, body === undefined ? {} : { body }))
      assert.match(await answered, /^HTTP\/1\.1 200 /)
    }
    assert.deepEqual(
      lab.seen.slice(-2).map(({ method, target }) => [method, target]),
      [
        ['GET', OWN],
        ['PUT', OWN],
      ],
    )
    secured.destroy()
  })

  test('answers the request that asked within TLS, with a challenge where it has no credentials', async () => {
    const { secured, answer } = await upgraded([`GET ${OWN} HTTP/1.1`, 'User-Agent: hand 3gpp-gba'])
    assert.match(await answer, /^HTTP\/1\.1 401 [\s\S]*realm="3GPP-bootstrapping@/)
    secured.destroy()
  })

  test('never takes a request from before TLS for that of who made the handshake', async () => {
    // A stranger asks for the upgrade, and passes the rest on to a UE that knows of none.
    for (const way of ['certificate', 'psk'] as const) {
      const seen = lab.seen.length
      const { at } = await doorUe(lab, way)
      const { secured, answer } = await upgraded([`GET ${OWN} HTTP/1.1`], { ...at.tls, host: undefined })
      assert.match(await answer, /^HTTP\/1\.1 401 /)
      assert.equal(lab.seen.length, seen)
      const own = until(secured, /recorded$/)
      secured.write(requestOctets(`GET ${OWN} HTTP/1.1`, [`Host: ${LAB_NAF}`]))
      assert.match(await own, /HTTP\/1\.1 200 /)
      secured.destroy()
    }
  })

  test('ends the connection where the name of the handshake is not the Host of the request that asked', async () => {
    const { answer } = await upgraded([`GET ${OWN} HTTP/1.1`], { ca: lab.ca, servername: LAB_SECOND_NAF })
    await assert.rejects(answer, /^Error: closed after: $/)
  })
})

describe('our UE', () => {
  test('upgrades, and does GET and then PUT on the same connection, by Digest and by shared key', async () => {
    const lab = await testLab({ recording: true, prepare: openAllDoors, ap: { tlsUpgrade: { port: 0 } } })
    try {
      const clear = `${LAB_NAF}:80`
      const port = lab.app.addresses.tlsUpgrade?.port ?? 0
      const connectTo = [{ host: LAB_NAF, port: 80, toHost: '127.0.0.1', toPort: port }]
      for (const psk of [{}, { psk: true, tls: '1.2' }] as const) {
        const ue = await lab.ue('alice', { upgrade: true, connect: connectTo, ...psk })
        for (const [method, body] of [['GET'], ['PUT', '<a/>']] as const) {
          const answer = await ue.request(method, `http://${clear}${OWN}`, body === undefined ? {} : { body })
          assert.equal(answer.status, 200)
          assert.match(answer.connection.tls?.version ?? '', /^TLSv1\.[23]$/)
        }
        ue.close()
      }
      assert.ok(!lab.decisions.some(({ record }) => record.code === 'UA_TLS_REQUIRED'))
    } finally {
      await lab.close()
    }
  })
})

describe('a plain listener that redirects', () => {
  test('names the same target under https, and takes nobody to TLS itself', async () => {
    const lab = await testLab({ recording: true, ap: { tlsUpgrade: { port: 0, mode: 'redirect' } } })
    try {
      const at = { port: lab.app.addresses.tlsUpgrade?.port ?? 0 }
      const lines = [`Host: ${LAB_NAF}`, ...UPGRADE]
      const answer = await rawExchange(at, requestOctets(`GET ${OWN}?x=%20 HTTP/1.1`, lines))
      assert.equal(answer.status, 308)
      assert.match(answer.header('location') ?? '', /^https:\/\/[^/]+\/resource-lists\/users\/sip:alice@[^?]+\?x=%20$/)
      assert.equal(lab.seen.length, 0)
    } finally {
      await lab.close()
    }
  })
})
