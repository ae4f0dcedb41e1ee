import assert from 'node:assert/strict'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { after, afterEach, describe, test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import type { Dispatcher } from 'undici'
import type { Btid, Fqdn, Impu } from '../../src/core/identity.ts'
import { GbaError } from '../../src/errors.ts'
import { makeLabPki } from '../../src/tls/issue.ts'
import { authorise } from '../../src/ut/authorise.ts'
import { prepare } from '../../src/ut/headers.ts'
import { FORWARDING, type Upstream, upstreams } from '../../src/ut/upstream.ts'
import { parseXcapUri } from '../../src/ut/xcap-uri.ts'
import { scriptedAs } from '../support/scripted-as.ts'

const names = {
  naf: ['xdms.example.org' as Fqdn],
  bsf: ['other.example.org' as Fqdn],
  znClients: [{ name: 'ap' as Fqdn }, { name: 'ap2' as Fqdn }],
}
const pki = await makeLabPki({ names, now: Date.now(), validDays: 1 })
const stranger = await makeLabPki({ names, now: Date.now(), validDays: 1 })
const ap = { cert: pki.znClients.ap?.certificate ?? '', key: pki.znClients.ap?.key ?? '' }
const ap2 = { cert: pki.znClients.ap2?.certificate ?? '', key: pki.znClients.ap2?.key ?? '' }

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

interface Seen {
  readonly servername: string | false | null
  readonly client: string
  readonly resumed: boolean
}

/** A server that wants a client certificate, and says of each request on what connection it came. */
async function serve({ certificate, key } = pki.ap, { requestCert = true } = {}) {
  const seen: Seen[] = []
  const sockets = new Set<TLSSocket>()
  const tls = { cert: certificate, key, ca: pki.ca.certificate, requestCert, rejectUnauthorized: requestCert }
  const server = createServer(tls, (request, response) => {
    const socket = request.socket as TLSSocket
    const client = String(socket.getPeerCertificate().subject?.CN)
    seen.push({ servername: socket.servername, client, resumed: socket.isSessionReused() })
    response.setHeader('connection', request.headers['x-last'] === undefined ? 'keep-alive' : 'close').end()
  })
  server.on('secureConnection', (socket: TLSSocket) => {
    sockets.add(socket)
    socket.on('error', () => {})
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  closing.push(() => {
    for (const socket of sockets) socket.destroy()
    return new Promise((closed) => server.close(closed))
  })
  return { url: `https://127.0.0.1:${(server.address() as AddressInfo).port}`, seen, connections: () => sockets.size }
}

function ways(...list: readonly (Pick<Upstream, 'name' | 'url'> & Partial<Upstream>)[]) {
  const way = upstreams(list.map((one) => ({ timeoutMs: 2_000, connectTimeoutMs: 2_000, connections: 1, ...one })))
  closing.push(() => way.destroy())
  return (appServer: string, { host = 'xcap.example.org', last = false } = {}) => {
    const ussList = [{ gsid: 3, gsType: 3, uids: ['sip:alice@example.org' as Impu], flags: [] }]
    const subject = { btid: 'I1U8vpY3qJ0hiuZNrke/NQ==@bsf.example.org' as Btid, ussList }
    const uri = parseXcapUri('/a/users/sip:alice@example.org/index')
    const grant = authorise(subject, uri, 'GET', undefined, { appServer, gsids: [3], ownership: 'owner' })
    const policy = {
      identityHeader: ['X-3GPP-Asserted-Identity'],
      identityQuoted: true,
      authorisationFlags: false,
      hostHeader: 'preserve',
      authority: 'x',
    } as const
    const { headers } = prepare(grant, policy, last ? ['X-Last', '1'] : [], { host, requestId: 'r1' })
    return new Promise<number>((resolve, reject) => {
      const what = { [FORWARDING]: { grant, headers, body: undefined } }
      way.request({ headers: what }, (error, data?: Dispatcher.ResponseData) => {
        if (!data) return reject(error)
        data.body.dump().then(() => resolve(data.statusCode), reject)
      })
    })
  }
}
const TRUST = { ca: pki.ca.certificate, servername: 'xdms.example.org' }
const unreachable = (doing: Promise<unknown>) =>
  assert.rejects(doing, (error) => error instanceof GbaError && error.code === 'UT_AS_UNREACHABLE')

describe('TLS towards an application server', () => {
  test('shows the certificate of this server, and asks for its configured name', async () => {
    const { url, seen } = await serve()
    assert.equal(await ways({ name: 'one', url, tls: { ...TRUST, ...ap } })('one'), 200)
    assert.deepEqual(seen, [{ servername: 'xdms.example.org', client: 'gba-proxy lab client ap', resumed: false }])
  })
  test('takes one connection for UEs that address different hosts', async () => {
    const { url, seen, connections } = await serve()
    const send = ways({ name: 'one', url, tls: { ...TRUST, ...ap } })
    for (const host of ['a.example.org', 'b.example.org', 'a.example.org']) await send('one', { host })
    assert.deepEqual([seen.length, connections()], [3, 1])
    assert.ok(seen.every(({ servername }) => servername === 'xdms.example.org'))
  })
  test('without the certificate that the server wants: unreachable', async () => {
    const { url } = await serve()
    await unreachable(ways({ name: 'one', url, tls: TRUST })('one'))
  })
  test('of a server with the certificate of another CA: unreachable', async () => {
    const { url, seen } = await serve(stranger.ap)
    await unreachable(ways({ name: 'one', url, tls: { ...TRUST, ...ap } })('one'))
    assert.deepEqual(seen, [])
  })
  test('of a server with the certificate of another host: unreachable', async () => {
    const { url, seen } = await serve(pki.bsf)
    await unreachable(ways({ name: 'one', url, tls: { ...TRUST, ...ap } })('one'))
    assert.deepEqual(seen, [])
  })
  test('trusts a lab CA only where it is told to, whatever the environment says', async () => {
    const before = process.env.NODE_TLS_REJECT_UNAUTHORIZED
    after(() => {
      if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED
      else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before
    })
    const { url, seen } = await serve(pki.ap, { requestCert: false })
    process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0'
    await unreachable(ways({ name: 'one', url })('one'))
    assert.deepEqual(seen, [])
  })
  test('of a server known by its address verifies the address, and asks for no name that a UE chose', async () => {
    const { url, seen } = await serve()
    const send = ways({ name: 'one', url, tls: { ca: pki.ca.certificate, ...ap } })
    assert.equal(await send('one', { host: 'not-in-the-certificate.example.org' }), 200)
    assert.equal(seen[0]?.servername, false)
  })
})

describe('two application servers at one address', () => {
  test('share no connection, no certificate and no TLS session', async () => {
    const { url, seen, connections } = await serve()
    const send = ways({ name: 'one', url, tls: { ...TRUST, ...ap } }, { name: 'two', url, tls: { ...TRUST, ...ap2 } })
    // The server closes after each, so that a session would be resumed if there were one in reach.
    for (const name of ['one', 'two', 'one', 'two']) await send(name, { last: true })
    assert.equal(connections(), 4)
    assert.deepEqual(
      seen.map(({ client }) => client),
      ['ap', 'ap2', 'ap', 'ap2'].map((name) => `gba-proxy lab client ${name}`),
    )
    assert.deepEqual(
      seen.slice(0, 2).map(({ resumed }) => resumed),
      [false, false],
    )
  })
})

test('two application servers never see requests on one connection', async () => {
  const shared = await scriptedAs((socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'))
  const other = await scriptedAs((socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n'))
  closing.push(shared.close, other.close)
  const send = ways(
    { name: 'one', url: shared.url },
    { name: 'two', url: shared.url },
    { name: 'three', url: other.url },
  )
  for (const name of ['one', 'two', 'three', 'one', 'two', 'three', 'three']) await send(name)
  assert.deepEqual([shared.arrived.length, shared.open()], [4, 2])
  assert.deepEqual([other.arrived.length, other.open()], [3, 1])
})
