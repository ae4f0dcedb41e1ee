import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { Duplex } from 'node:stream'
import { before, describe, test } from 'node:test'
import tls, { type ConnectionOptions } from 'node:tls'
import { btidOf, type Fqdn } from '../../src/core/identity.ts'
import { formatPskIdentity, PSK_HINT } from '../../src/core/psk-identity.ts'
import { Secret } from '../../src/core/secret.ts'
import type { Issued, LabPki } from '../../src/tls/issue.ts'
import { peekHello } from '../../src/tls/peek.ts'
import { admitPsk, doorOf } from '../../src/tls/psk-listener.ts'
import { certificatesFor, serveByName } from '../../src/tls/sni.ts'
import { labPki, meetLive, p256Leaf, serveLive, serverLeaf, tlsFolder } from '../support/live-tls.ts'

const first = 'xcap.example.org' as Fqdn
const second = 'presence.example.org' as Fqdn
const third = 'any.wild.example.org' as Fqdn
const names = [first, second, third]

let pki: LabPki
let leaves: Readonly<Record<'first' | 'second' | 'secondP256' | 'wild', Issued>>
before(async () => {
  pki = await labPki(first)
  const [two, p256, wild] = await Promise.all([
    serverLeaf(pki.ca, second),
    p256Leaf(pki.ca, second),
    serverLeaf(pki.ca, '*.wild.example.org'),
  ])
  leaves = { first: pki.ap, second: two, secondP256: p256, wild }
})

const serialOf = ({ certificate }: Issued) => new X509Certificate(certificate).serialNumber
const TLS12 = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const
const TLS13 = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } as const

function putAll(t: Parameters<typeof tlsFolder>[0]) {
  const { putPair } = tlsFolder(t)
  return { certificates: Object.entries(leaves).map(([stem, issued]) => putPair(stem, issued)) }
}

describe('certificatesFor', () => {
  const of = (...issued: Issued[]) => issued.map((one) => ({ certificate: new X509Certificate(one.certificate) }))

  test('takes the first of each type of key', async () => {
    const all = of(leaves.first, leaves.second, await serverLeaf(pki.ca, second), leaves.secondP256)
    assert.deepEqual(certificatesFor(second, all), [all[1], all[3]])
  })

  test('takes a wildcard for one label, and only where no certificate has the name itself', async () => {
    const all = of(leaves.wild, await serverLeaf(pki.ca, 'b.wild.example.org'))
    assert.deepEqual(certificatesFor('a.wild.example.org', all), [all[0]])
    assert.deepEqual(certificatesFor('b.wild.example.org', all), [all[1]])
    assert.deepEqual(certificatesFor('a.b.wild.example.org', all), [])
    assert.deepEqual(certificatesFor('wild.example.org', all), [])
  })

  test('does not mind letter case, and does not look at the common name', () => {
    const all = of(leaves.first)
    assert.deepEqual(certificatesFor('XCAP.Example.ORG', all), all)
    assert.deepEqual(certificatesFor('gba-proxy lab server ap', all), [])
  })
})

describe('a listener with several certificates', () => {
  for (const [version, only] of [
    ['TLS 1.2', TLS12],
    ['TLS 1.3', TLS13],
  ] as const) {
    test(`shows the one for the name that is asked for, ${version}`, async (t) => {
      const { port } = await serveLive(t, putAll(t), { names })
      const serial = async (servername: string, options: ConnectionOptions = {}) =>
        (await meetLive(port, { servername, ...only, ...options })).serial
      assert.equal(await serial(first), serialOf(leaves.first))
      assert.equal(await serial('XCAP.example.ORG'), serialOf(leaves.first))
      assert.equal(await serial(third), serialOf(leaves.wild))
      assert.equal(await serial(second, { sigalgs: 'ecdsa_secp256r1_sha256' }), serialOf(leaves.secondP256))
      assert.equal(await serial(second, { sigalgs: 'rsa_pss_rsae_sha256' }), serialOf(leaves.second))
      assert.equal(await serial(''), serialOf(leaves.first))
    })

    test(`refuses another name with the alert unrecognized_name, ${version}`, async (t) => {
      const { port, refusals, peers } = await serveLive(t, putAll(t), { names })
      for (const servername of ['other.example.org', `x.${first}`, 'example.org', `.${first}`]) {
        await assert.rejects(
          meetLive(port, { servername, ...only }),
          (error: NodeJS.ErrnoException) => error.code === 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME',
        )
      }
      assert.deepEqual(refusals, Array(4).fill('name-unknown'))
      assert.equal(peers.length, 0)
    })

    test(`does not resume under one name what began under another, ${version}`, async (t) => {
      const { port } = await serveLive(t, putAll(t), { names })
      const { session } = await meetLive(port, { servername: first, ...only })
      const again = async (servername: string) =>
        (await meetLive(port, { servername, ...only, ...(session && { session }) })).resumed
      assert.equal(await again(third), false)
      assert.equal(await again(first), true)
    })
  }

  test('gives everybody the first one at least, where no names are configured', async (t) => {
    const { port } = await serveLive(t, putAll(t))
    const serial = async (servername: string) => (await meetLive(port, { servername })).serial
    assert.equal(await serial('other.example.org'), serialOf(leaves.first))
    assert.equal(await serial('more.wild.example.org'), serialOf(leaves.wild))
  })

  test('says which names no certificate carries', async (t) => {
    const { warnings } = await serveLive(t, putAll(t), { names: [...names, 'bare.example.org' as Fqdn] })
    assert.equal(warnings.length, 1)
    assert.match(warnings[0] ?? '', /bare\.example\.org/)
  })

  test('reads a hello that comes octet by octet', async (t) => {
    const { port } = await serveLive(t, putAll(t), { names })
    const slow = net.connect(port, '127.0.0.1')
    const stream = new Duplex({
      read() {},
      write(chunk: Buffer, _encoding, done) {
        void (async () => {
          for (const octet of chunk) {
            slow.write(Buffer.of(octet))
            await new Promise(setImmediate)
          }
          done()
        })()
      },
    })
    slow.setNoDelay(true)
    slow.on('data', (chunk) => stream.push(chunk))
    const client = tls.connect({ socket: stream, servername: second, rejectUnauthorized: false })
    await once(client, 'secureConnect')
    assert.match(client.getPeerX509Certificate()?.subjectAltName ?? '', /presence/)
    client.destroy()
    slow.destroy()
  })

  for (const [name, octets] of [
    ['plain HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: xcap.example.org\r\n\r\n')],
    ['an HTTP/2 preface', Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')],
    ['noise', Buffer.alloc(3000, 0xa5)],
    ['a hello that says it is over 64 KiB', Buffer.from('160301000401ffffff', 'hex')],
    ['a record without an end, and then nothing', Buffer.from('1603010200', 'hex')],
  ] as const) {
    test(`outlives ${name}`, async (t) => {
      const { port, peers } = await serveLive(t, putAll(t), { names })
      const socket = net.connect(port, '127.0.0.1')
      socket.on('error', () => {})
      socket.resume()
      socket.write(octets)
      // What stays open is ended from here.
      if (name.startsWith('a record')) socket.end()
      await once(socket, 'close')
      assert.equal(peers.length, 0)
      assert.equal((await meetLive(port, { servername: first })).serial, serialOf(leaves.first))
    })
  }

  test('does not wait for a hello for ever', async (t) => {
    const server = net.createServer()
    t.after(() => server.close())
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const client = net.connect((server.address() as net.AddressInfo).port, '127.0.0.1')
    const [raw] = (await once(server, 'connection')) as [net.Socket]
    client.write(Buffer.from('160301', 'hex'))
    const outcome = await new Promise((resolve) => peekHello(raw, 100, (peeked) => resolve(peeked.outcome)))
    client.destroy()
    raw.destroy()
    assert.equal(outcome, 'late')
  })

  test('is not put over a server whose connections somebody else looks at', () => {
    const server = tls.createServer()
    server.on('connection', () => {})
    assert.throws(() => serveByName(server, { engineFor: () => undefined }), RangeError)
  })
})

describe('together with subscribers who come by key', () => {
  const btid = btidOf(new Uint8Array(16).fill(7), 'bsf.example.org' as Fqdn)
  const key = Buffer.alloc(32, 9)

  async function serve(t: Parameters<typeof tlsFolder>[0]) {
    const doors: string[] = []
    const served = await serveLive(t, putAll(t), { names }, (server) => {
      admitPsk(server, {
        hint: PSK_HINT,
        limits: { peekBytes: 65_536, handshakeMs: 5000 },
        pskFor: async (nafFqdn, id) => (nafFqdn === first && id === btid ? new Secret(Buffer.from(key)) : undefined),
      })
      server.on('secureConnection', (socket) => doors.push(doorOf(socket).kind))
    })
    return { ...served, doors }
  }
  const psk = (only: ConnectionOptions): ConnectionOptions => ({
    ...only,
    pskCallback: () => ({ psk: key, identity: formatPskIdentity(btid) }),
    checkServerIdentity: () => undefined,
  })
  const PSK_CLIENTS = [
    ['TLS 1.2', psk({ ...TLS12, ciphers: 'PSK-AES128-GCM-SHA256' }), TLS12],
    ['TLS 1.3', psk({ ...TLS13, ciphers: 'TLS_AES_128_GCM_SHA256' }), TLS13],
  ] as const

  for (const [version, byKey, only] of PSK_CLIENTS) {
    test(`each comes in by its own door, ${version}`, async (t) => {
      const { port, doors } = await serve(t)
      assert.equal((await meetLive(port, { ...byKey, servername: first })).serial, '')
      assert.equal((await meetLive(port, { ...only, servername: second })).protocol, only.minVersion)
      assert.equal((await meetLive(port, { ...only, servername: third })).serial, serialOf(leaves.wild))
      assert.deepEqual(doors, ['psk', 'certificate', 'certificate'])
    })

    test(`an unknown name is refused all the same, ${version}`, async (t) => {
      const { port, refusals, doors } = await serve(t)
      await assert.rejects(
        meetLive(port, { ...only, servername: 'other.example.org' }),
        (error: NodeJS.ErrnoException) => error.code === 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME',
      )
      await assert.rejects(meetLive(port, { ...byKey, servername: 'other.example.org' }))
      assert.deepEqual(doors, [])
      // In TLS 1.2 the identity is what is unknown, since the suite wants no certificate.
      assert.equal(refusals.length, version === 'TLS 1.2' ? 1 : 2)
    })
  }

  test('a change of files is for both, and leaves the way by key open', async (t) => {
    const { port, live, doors } = await serve(t)
    assert.equal(live.reload(), true)
    const [[, byKey12], [, byKey13]] = PSK_CLIENTS
    for (const byKey of [byKey12, byKey13]) await meetLive(port, { ...byKey, servername: first })
    const request = http.get({
      createConnection: () => tls.connect({ port, servername: second, rejectUnauthorized: false }),
    })
    const [response] = (await once(request, 'response')) as [http.IncomingMessage]
    assert.equal(response.statusCode, 200)
    response.resume()
    assert.deepEqual(doors, ['psk', 'psk', 'certificate'])
  })
})
