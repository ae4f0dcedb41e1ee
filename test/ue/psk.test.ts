import assert from 'node:assert/strict'
import { once } from 'node:events'
import type { ServerResponse } from 'node:http'
import net, { type AddressInfo } from 'node:net'
import { before, describe, type TestContext, test } from 'node:test'
import tls, { type TLSSocket, type TlsOptions } from 'node:tls'
import type { Btid } from '../../src/core/identity.ts'
import { deriveKsNaf } from '../../src/core/kdf.ts'
import { nafIdOf, UA_PSK_TLS13, uaProtocolIdOfSuiteCode } from '../../src/core/naf-id.ts'
import { formatPskIdentity } from '../../src/core/psk-identity.ts'
import { type LabPki, makeLabPki } from '../../src/tls/issue.ts'
import { createUe, type UeOptions } from '../../src/ue/flow.ts'
import { standardProfile } from '../../src/ue/profile.ts'
import { PSK_SUITES } from '../../src/ue/psk.ts'
import { card, recorder } from './card.ts'
import { BSF, fakeBsf, NAF } from './fake-network.ts'
import { type PskNafOptions, pskNaf } from './psk-naf.ts'

let pki: LabPki
before(async () => {
  pki = await makeLabPki({ names: { bsf: [BSF], naf: [NAF], znClients: [] }, now: Date.now(), validDays: 1 })
})

type Bsf = Awaited<ReturnType<typeof fakeBsf>>

function ueFor(t: TestContext, bsf: Bsf, port: number, options: UeOptions) {
  const { seen, observer } = recorder()
  const ue = createUe(card({ bsf: bsf.port, naf: port }), { psk: true, observer, ...options })
  t.after(() => ue.close())
  return { ue, seen }
}

/** A BSF, a NAF with both doors, and a UE that wants the one by key. No CA is given: none is needed. */
async function lab(t: TestContext, options: UeOptions = {}, naf: Partial<PskNafOptions> = {}) {
  const bsf = await fakeBsf()
  const served = await pskNaf({ sessions: bsf.sessions, credential: pki.ap, ...naf })
  t.after(() => Promise.all([bsf.close(), served.close()]))
  return { bsf, naf: served, ...ueFor(t, bsf, served.port, options) }
}

/** A plain TLS server with these settings; what it has no key for it leaves to `pskCallback`. */
async function bare(t: TestContext, options: UeOptions, settings: (bsf: Bsf) => TlsOptions) {
  const bsf = await fakeBsf()
  const sockets: TLSSocket[] = []
  const heard: string[] = []
  let connections = 0
  const server = tls.createServer({ dhparam: 'auto', ...settings(bsf) }, (socket) => {
    sockets.push(socket)
    socket.on('data', (chunk) => heard.push(chunk.toString('latin1')))
    socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi'))
    socket.on('error', () => {})
  })
  server.on('connection', () => {
    connections += 1
  })
  server.on('tlsClientError', () => {})
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await bsf.close()
  })
  const { port } = server.address() as AddressInfo
  return { bsf, sockets, heard, connections: () => connections, ...ueFor(t, bsf, port, options) }
}

const keyOf = ({ sessions }: Bsf, btid: string, suite: number) => {
  const session = sessions.get(btid) ?? assert.fail(btid)
  return deriveKsNaf(session.ks, session.rand, session.impi, nafIdOf(NAF, uaProtocolIdOfSuiteCode(suite))).expose(32)
}

const URL_ = `https://${NAF}/a`

const refused = (code: string) => (error: unknown) => {
  assert.equal((error as { code?: string }).code, code)
  return true
}

const challenge = (realm: string) => (_: unknown, response: ServerResponse) => {
  response.writeHead(401, { 'www-authenticate': `Digest realm="${realm}", nonce="n", qop="auth"` })
  response.end()
}
const GBA_REALM = `3GPP-bootstrapping@${NAF}`

const VERSIONS = ['1.2', '1.3'] as const

describe('a UE with its bootstrapped key', () => {
  for (const version of VERSIONS) {
    test(`bootstraps, and then needs no Digest on one connection of TLS ${version}`, async (t) => {
      const { ue, naf, bsf } = await lab(t, { tls: version, rspauth: 'require' })
      const got = await ue.request('GET', URL_)
      const put = await ue.request('PUT', `https://${NAF}/b`, {
        body: 'xyz',
        intendedIdentity: 'sip:alice@example.com',
      })
      assert.deepEqual([got.status, got.text(), put.status, put.rspauth], [200, 'content', 200, 'absent'])
      assert.deepEqual([got.connection.tls?.psk, got.connection.tls?.version], [true, `TLSv${version}`])
      assert.deepEqual([bsf.drawn(), naf.sockets.length, naf.requests.length], [1, 1, 2])
      const [btid] = [...bsf.sessions.keys()]
      const uaProtocolId = version === '1.3' ? UA_PSK_TLS13 : '01000100aa'
      for (const { door, headers } of naf.requests) {
        assert.deepEqual(door, { kind: 'psk', btid, uaProtocolId, nafFqdn: NAF })
        assert.equal(headers.authorization, undefined)
      }
      assert.equal(naf.requests[1]?.body, 'xyz')
      assert.equal(naf.requests[1]?.headers['x-3gpp-intended-identity'], '"sip:alice@example.com"')
    })

    test(`shares one bootstrap among requests at once in TLS ${version}`, async (t) => {
      const { ue, naf, bsf } = await lab(t, { tls: version })
      const answers = await Promise.all(Array.from({ length: 8 }, (_, i) => ue.request('GET', `https://${NAF}/${i}`)))
      assert.ok(answers.every(({ status }) => status === 200))
      assert.deepEqual([bsf.drawn(), naf.requests.length], [1, 8])
    })

    test(`bootstraps anew, once, when its B-TID is unknown in TLS ${version}`, async (t) => {
      const unknown = new Set<string>()
      const { ue, naf, bsf } = await lab(t, { tls: version }, { unknown })
      const { btid } = await ue.bootstrap()
      unknown.add(btid)
      assert.equal((await ue.request('GET', URL_)).status, 200)
      assert.equal(bsf.drawn(), 2)
      assert.notEqual(naf.requests[0]?.door.kind === 'psk' && naf.requests[0].door.btid, btid)
    })

    test(`bootstraps anew, once, when its key is another one in TLS ${version}`, async (t) => {
      const wrong = new Set<string>()
      const { ue, bsf } = await lab(t, { tls: version }, { wrong })
      wrong.add((await ue.bootstrap()).btid)
      assert.equal((await ue.request('GET', URL_)).status, 200)
      assert.equal(bsf.drawn(), 2)
    })

    test(`gives up when the fresh key is refused too in TLS ${version}, and sends nothing`, async (t) => {
      const { ue, naf, bsf } = await lab(t, { tls: version }, { sessions: new Map() })
      await ue.bootstrap()
      await assert.rejects(ue.request('GET', URL_), refused('PSK_REFUSED'))
      assert.deepEqual([bsf.drawn(), naf.requests.length], [2, 0])
    })

    test(`gives up at once when the key was fresh from the start in TLS ${version}`, async (t) => {
      const { ue, naf, bsf } = await lab(t, { tls: version, insecure: true }, { sessions: new Map() })
      await assert.rejects(ue.request('GET', URL_), refused('PSK_REFUSED'))
      assert.deepEqual([bsf.drawn(), naf.requests.length], [1, 0])
    })

    test(`takes a 401 inside for the end of its key in TLS ${version}`, async (t) => {
      let old: Btid | undefined
      const answer: PskNafOptions['answer'] = ({ door }, response) => {
        if (door.kind === 'psk' && door.btid === old) challenge(GBA_REALM)(undefined, response)
        else response.end('content')
      }
      const { ue, naf, bsf, seen } = await lab(t, { tls: version }, { answer })
      assert.equal((await ue.request('GET', URL_)).status, 200)
      old = (naf.requests[0]?.door.kind === 'psk' && naf.requests[0].door.btid) || undefined
      const closed = once(naf.sockets[0] ?? assert.fail(), 'close')
      const put = await ue.request('PUT', URL_, { body: 'xyz' })
      await closed
      assert.deepEqual([put.status, bsf.drawn(), naf.sockets.length], [200, 2, 2])
      assert.deepEqual(
        naf.requests.map(({ method, body }) => method + body),
        ['GET', 'PUTxyz', 'PUTxyz'],
      )
      assert.equal(seen.filter((exchange) => exchange.interface === 'Ua').length, 3)
    })

    test(`never uses a connection of an old key in TLS ${version}`, async (t) => {
      const { ue, naf } = await lab(t, { tls: version })
      await ue.request('GET', URL_)
      await ue.bootstrap()
      const closed = once(naf.sockets[0] ?? assert.fail(), 'close')
      await ue.request('GET', URL_)
      await closed
      assert.equal(naf.sockets.length, 2)
    })

    test(`lets end what is under way on a connection of an old key in TLS ${version}`, async (t) => {
      let release: (() => void) | undefined
      const answer: PskNafOptions['answer'] = ({ target }, response) => {
        if (target !== '/slow') response.end()
        else release = () => response.end('late')
      }
      const { ue, naf } = await lab(t, { tls: version }, { answer })
      const slow = ue.request('GET', `https://${NAF}/slow`)
      while (!release) await new Promise((resolve) => setTimeout(resolve, 5))
      await ue.bootstrap()
      await ue.request('GET', URL_)
      const closed = once(naf.sockets[0] ?? assert.fail(), 'close')
      release()
      assert.equal((await slow).text(), 'late')
      await closed
    })
  }

  test('bootstraps when the one it holds is over', async (t) => {
    let late = 0
    const { ue, naf, bsf } = await lab(t, { now: () => Date.now() + late })
    await ue.request('GET', URL_)
    late = 2 * 3_600_000
    await ue.request('GET', URL_)
    assert.deepEqual([bsf.drawn(), naf.sockets.length], [2, 2])
  })

  test('gives the second 401 to its caller, after one bootstrap', async (t) => {
    const { ue, naf, bsf } = await lab(t, {}, { answer: challenge(GBA_REALM) })
    await ue.bootstrap()
    assert.equal((await ue.request('GET', URL_)).status, 401)
    assert.deepEqual([bsf.drawn(), naf.requests.length], [2, 2])
  })

  test('leaves a 401 that does not speak of GBA to its caller', async (t) => {
    const { ue, naf, bsf } = await lab(t, {}, { answer: challenge('elsewhere') })
    await ue.bootstrap()
    assert.equal((await ue.request('GET', URL_)).status, 401)
    assert.deepEqual([bsf.drawn(), naf.requests.length], [1, 1])
  })

  test('does not bootstrap for a realm of another host', async (t) => {
    const { ue, bsf } = await lab(t, {}, { answer: challenge('3GPP-bootstrapping@evil.example') })
    await ue.bootstrap()
    await assert.rejects(ue.request('GET', URL_), refused('CHALLENGE_UNUSABLE'))
    assert.equal(bsf.drawn(), 1)
  })

  test('says which key another program needs', async (t) => {
    const { ue, bsf } = await lab(t)
    const credentials = await ue.credentials(URL_)
    assert.equal(credentials.uaProtocolId, UA_PSK_TLS13)
    const { ks, rand, impi } = bsf.sessions.get(credentials.btid) ?? assert.fail()
    const right = deriveKsNaf(ks, rand, impi, nafIdOf(NAF, UA_PSK_TLS13))
    assert.deepEqual(credentials.ksNaf.expose(32), right.expose(32))
  })

  test('never goes over plain HTTP', async (t) => {
    const { ue, naf } = await lab(t)
    await assert.rejects(ue.request('GET', `http://${NAF}/`), refused('URL_MALFORMED'))
    await assert.rejects(ue.credentials(`http://${NAF}/`), refused('URL_MALFORMED'))
    assert.equal(naf.sockets.length, 0)
  })

  test('comes by key or by certificate, not by both', () => {
    const clientCertificate = { cert: pki.ap.certificate, key: pki.ap.key }
    assert.throws(() => createUe(card({}), { psk: true, clientCertificate }), RangeError)
  })

  test('stops waiting for a handshake when it is told to', async (t) => {
    const bsf = await fakeBsf()
    const silent = net.createServer((socket) => socket.on('error', () => {}).resume()).listen(0, '127.0.0.1')
    await once(silent, 'listening')
    t.after(async () => {
      silent.close()
      await bsf.close()
    })
    const { ue } = ueFor(t, bsf, (silent.address() as AddressInfo).port, {})
    const stop = new AbortController()
    silent.once('connection', () => stop.abort())
    await assert.rejects(ue.request('GET', URL_, { signal: stop.signal }), refused('ABORTED'))
  })
})

describe('a UE with its bootstrapped key, in TLS 1.2', () => {
  for (const [name, code] of PSK_SUITES) {
    test(`has the right key for ${name}`, async (t) => {
      const { ue, naf } = await lab(t, { tls: '1.2', ciphers: name })
      const { connection } = await ue.request('GET', URL_)
      assert.deepEqual([connection.tls?.cipher, connection.tls?.psk], [name, true])
      const [request] = naf.requests
      assert.equal(request?.door.kind === 'psk' && request.door.uaProtocolId, uaProtocolIdOfSuiteCode(code))
    })
  }

  test('offers its suites one by one until the server takes one, and then begins with that', async (t) => {
    const { ue, connections, sockets } = await bare(
      t,
      { tls: '1.2', profile: { ...standardProfile, connections: 'one-per-request' } },
      (bsf) => ({
        ciphers: 'PSK-CHACHA20-POLY1305',
        maxVersion: 'TLSv1.2',
        pskIdentityHint: 'other;3GPP-bootstrapping',
        pskCallback: (_, identity) => keyOf(bsf, identity.slice('3GPP-bootstrapping;'.length), 0xccab),
      }),
    )
    assert.equal((await ue.request('GET', URL_)).text(), 'hi')
    assert.equal(connections(), PSK_SUITES.size)
    assert.equal((await ue.request('GET', URL_)).text(), 'hi')
    assert.deepEqual([connections(), sockets.length], [PSK_SUITES.size + 1, 2])
  })

  test('has the right key for an old suite, on wish', async (t) => {
    const ciphers = 'PSK-AES128-CBC-SHA'
    const { ue } = await bare(t, { tls: '1.2', ciphers }, (bsf) => ({
      ciphers,
      maxVersion: 'TLSv1.2',
      pskIdentityHint: '3GPP-bootstrapping',
      pskCallback: (_, identity) => keyOf(bsf, identity.slice('3GPP-bootstrapping;'.length), 0x008c),
    }))
    assert.equal((await ue.request('GET', URL_)).text(), 'hi')
  })

  for (const separator of [';', '.', ''] as const) {
    test(`joins prefix and B-TID by '${separator}' when it is told to`, async (t) => {
      const identities: string[] = []
      const { ue, bsf } = await bare(t, { tls: '1.2', psk: { separator } }, (b) => ({
        ciphers: 'DHE-PSK-AES128-GCM-SHA256',
        maxVersion: 'TLSv1.2',
        pskIdentityHint: '3GPP-bootstrapping',
        pskCallback: (_, identity) => {
          identities.push(identity)
          return keyOf(b, identity.slice(`3GPP-bootstrapping${separator}`.length), 0x00aa)
        },
      }))
      await ue.request('GET', URL_)
      const [btid] = [...bsf.sessions.keys()] as Btid[]
      assert.deepEqual(identities, [formatPskIdentity(btid ?? assert.fail(), separator)])
    })
  }

  for (const hint of [undefined, '', '3GPP-bootstrapping-uicc', 'x3GPP-bootstrapping']) {
    test(`shows no identity where the hint is ${hint === undefined ? 'missing' : `'${hint}'`}`, async (t) => {
      const identities: string[] = []
      const { ue, bsf } = await bare(t, { tls: '1.2' }, () => ({
        ciphers: 'DHE-PSK-AES128-GCM-SHA256',
        maxVersion: 'TLSv1.2',
        ...(hint !== undefined && { pskIdentityHint: hint }),
        pskCallback: (_, identity) => {
          identities.push(identity)
          return null
        },
      }))
      await ue.bootstrap()
      await assert.rejects(ue.request('GET', URL_), refused('TLS_FAILED'))
      assert.deepEqual([identities, bsf.drawn()], [[], 1])
    })
  }
})

describe('a server without the door by key', () => {
  const byCertificate = () => ({ cert: pki.ap.certificate, key: pki.ap.key })

  test('is told apart from one that does not know the key, in TLS 1.2', async (t) => {
    const { ue, bsf, sockets } = await bare(t, { tls: '1.2', insecure: true }, byCertificate)
    await ue.bootstrap()
    await assert.rejects(ue.request('GET', URL_), refused('TLS_FAILED'))
    assert.deepEqual([bsf.drawn(), sockets.length], [1, 0])
  })

  test('gets nothing, whatever its certificate, in TLS 1.3', async (t) => {
    const { ue, bsf, heard } = await bare(t, { insecure: true, ca: pki.ca.certificate }, byCertificate)
    await ue.bootstrap()
    await assert.rejects(ue.request('GET', URL_), refused('PSK_REFUSED'))
    assert.deepEqual([bsf.drawn(), heard], [2, []])
  })

  test('of another version gets no bootstrap out of the UE', async (t) => {
    const { ue, bsf } = await bare(t, {}, () => ({ ...byCertificate(), maxVersion: 'TLSv1.2' }))
    await ue.bootstrap()
    await assert.rejects(ue.request('GET', URL_), refused('TLS_FAILED'))
    assert.equal(bsf.drawn(), 1)
  })

  for (const [version, ciphers] of [
    ['1.2', 'ECDHE-RSA-AES128-GCM-SHA256'],
    ['1.2', 'nonsense'],
    ['1.3', 'TLS_AES_256_GCM_SHA384'],
    ['1.3', 'DHE-PSK-AES128-GCM-SHA256'],
  ] as const) {
    test(`is not asked with ${ciphers} in TLS ${version}, which does not go with a key`, async (t) => {
      const { ue, connections } = await bare(t, { tls: version, ciphers }, byCertificate)
      await assert.rejects(ue.request('GET', URL_), refused('CIPHERS_UNUSABLE'))
      assert.equal(connections(), 0)
    })
  }
})
