import assert from 'node:assert/strict'
import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { rmSync, utimesSync } from 'node:fs'
import type { IncomingMessage } from 'node:http'
import https from 'node:https'
import { before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import tls, { type ConnectionOptions } from 'node:tls'
import forge from 'node-forge'
import { ConfigError } from '../../src/config/config-error.ts'
import type { Fqdn } from '../../src/core/identity.ts'
import { type Issued, issueLeaf, type LabPki } from '../../src/tls/issue.ts'
import { followTls } from '../../src/tls/live.ts'
import { labPki, meetLive, p256Leaf, serveLive, serverLeaf, tlsFolder } from '../support/live-tls.ts'

const naf = 'xcap.example.org' as Fqdn
const servername = naf
const DAY_MS = 86_400_000

let pki: LabPki
let other: LabPki
let renewed: Issued
let again: Issued
before(async () => {
  ;[pki, other] = await Promise.all([labPki(naf), labPki(naf)])
  ;[renewed, again] = await Promise.all([serverLeaf(pki.ca, naf), serverLeaf(pki.ca, naf)])
})

const serialOf = ({ certificate }: Issued) => new X509Certificate(certificate).serialNumber
const TLS12 = { minVersion: 'TLSv1.2', maxVersion: 'TLSv1.2' } as const
const TLS13 = { minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' } as const
const BOTH = [
  ['TLS 1.2', TLS12],
  ['TLS 1.3', TLS13],
] as const

/** Waits for what the poll brings. */
async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const giveUpAt = Date.now() + 10_000
  while (!(await holds())) {
    if (Date.now() > giveUpAt) assert.fail('it did not come about')
    await delay(5)
  }
}

const serialAt = async (port: number) => (await meetLive(port, { servername })).serial

describe('a certificate that is renewed', () => {
  test('is shown to new connections, without a word to the process', async (t) => {
    const { putPair } = tlsFolder(t)
    const { port, changes } = await serveLive(t, { certificates: [putPair('ap', pki.ap)] }, { everyMs: 5 })
    assert.equal(await serialAt(port), serialOf(pki.ap))
    const { certificateFile, keyFile } = putPair('ap', renewed)
    await until(async () => (await serialAt(port)) === serialOf(renewed))
    assert.deepEqual([...new Set(changes.flat())].sort(), [keyFile, certificateFile].sort())
  })

  test('is shown after reload at once, and connections that there are go on', async (t) => {
    const { putPair } = tlsFolder(t)
    const { port, live, peers } = await serveLive(t, { certificates: [putPair('ap', pki.ap)] })
    const agent = new https.Agent({ keepAlive: true, maxSockets: 1, rejectUnauthorized: false, servername })
    t.after(() => agent.destroy())
    const isReused = async () => {
      const request = https.get({ port, host: '127.0.0.1', agent })
      const [response] = (await once(request, 'response')) as [IncomingMessage]
      response.resume()
      await once(response, 'end')
      return request.reusedSocket
    }
    assert.equal(await isReused(), false)
    putPair('ap', renewed)
    assert.equal(live.reload(), true)
    assert.equal(await serialAt(port), serialOf(renewed))
    assert.equal(await isReused(), true)
    assert.equal(peers.length, 2)
  })

  test('is taken over once its key is there too, and the half of it is told once', async (t) => {
    const { put, putPair } = tlsFolder(t)
    const files = putPair('ap', pki.ap)
    const { port, mistakes } = await serveLive(t, { certificates: [files] }, { everyMs: 5 })
    put('ap.pem', renewed.certificate)
    await until(() => mistakes.length > 0)
    await delay(100)
    assert.equal(mistakes.length, 1)
    assert.ok(mistakes[0] instanceof ConfigError && mistakes[0].file === files.keyFile)
    assert.equal(await serialAt(port), serialOf(pki.ap))
    put('ap.key', renewed.key)
    await until(async () => (await serialAt(port)) === serialOf(renewed))
    assert.equal(mistakes.length, 1)
  })

  test('changes nothing when another one of the listener is bad: all or none', async (t) => {
    const { put, putPair } = tlsFolder(t)
    const second = 'presence.example.org'
    const certificates = [putPair('ap', pki.ap), putPair('second', await serverLeaf(pki.ca, second))]
    const { port, live, mistakes, changes } = await serveLive(t, { certificates })
    putPair('ap', renewed)
    put('second.pem', 'no certificate')
    assert.equal(live.reload(), false)
    assert.equal(mistakes.length, 1)
    assert.deepEqual(changes, [])
    assert.equal(await serialAt(port), serialOf(pki.ap))
  })

  test('that goes away leaves the old one in use', async (t) => {
    const { putPair } = tlsFolder(t)
    const files = putPair('ap', pki.ap)
    const { port, mistakes } = await serveLive(t, { certificates: [files] }, { everyMs: 5 })
    rmSync(files.certificateFile)
    await until(() => mistakes.length > 0)
    assert.ok(mistakes[0] instanceof ConfigError && mistakes[0].file === files.certificateFile)
    assert.equal(await serialAt(port), serialOf(pki.ap))
  })

  test('that was only touched is no change: sessions go on', async (t) => {
    const { putPair } = tlsFolder(t)
    const files = putPair('ap', pki.ap)
    const { port, live, changes } = await serveLive(t, { certificates: [files] })
    const { session } = await meetLive(port, { servername })
    utimesSync(files.certificateFile, 1, 1)
    assert.equal(live.reload(), true)
    assert.deepEqual(changes, [])
    assert.equal((await meetLive(port, { servername, ...(session && { session }) })).resumed, true)
  })

  test('of a kind that the engine does not take is a mistake like any other', async (t) => {
    const { put, putPair } = tlsFolder(t)
    const files = putPair('ap', pki.ap)
    const { live, mistakes } = await serveLive(t, { certificates: [files] })
    const weak = weakCertificate()
    put('ap.pem', weak.certificate)
    put('ap.key', weak.key)
    assert.equal(live.reload(), false)
    assert.ok(mistakes[0] instanceof ConfigError && mistakes[0].file === files.certificateFile)
  })

  test('is not looked for any more after close', async (t) => {
    const { putPair } = tlsFolder(t)
    const { port, live, changes } = await serveLive(t, { certificates: [putPair('ap', pki.ap)] }, { everyMs: 5 })
    live.close()
    putPair('ap', renewed)
    await delay(100)
    assert.deepEqual(changes, [])
    assert.equal(await serialAt(port), serialOf(pki.ap))
  })
})

describe('50 certificate swaps under load', () => {
  test('lose no request, on kept connections and on new ones', { timeout: 120_000 }, async (t) => {
    const { put, putPair } = tlsFolder(t)
    const { port, mistakes, changes } = await serveLive(
      t,
      { certificates: [putPair('ap', pki.ap)] },
      { everyMs: 2, names: [naf] },
    )
    const kept = new https.Agent({ keepAlive: true, maxSockets: 4, rejectUnauthorized: false, servername })
    t.after(() => kept.destroy())
    const failures: unknown[] = []
    const seen = new Set<string>()
    let answers = 0
    let swapped = false
    const ask = (agent: https.Agent | false) =>
      new Promise<void>((resolve, reject) => {
        const options = { port, host: '127.0.0.1', agent, servername, rejectUnauthorized: false }
        const request = https.get(options, (response) => {
          // Node's client tells it once per connection.
          const serial = (response.socket as tls.TLSSocket).getPeerX509Certificate()?.serialNumber
          if (serial) seen.add(serial)
          response.resume()
          response.once('end', resolve)
          response.once('error', reject)
        })
        request.once('error', reject)
      })
    const loop = async (n: number) => {
      // Until all is swapped, and for a thousand requests at least.
      while (!swapped || answers < 1000) {
        await ask(n % 2 === 0 ? kept : false).then(
          () => answers++,
          (error: unknown) => failures.push(error),
        )
      }
    }
    const pairs = [renewed, again, pki.ap]
    const swap = async () => {
      for (let i = 0; i < 50; i++) {
        const pair = pairs[i % pairs.length] as Issued
        const before = changes.length
        // Cut in half on the way, as a careless script does it: one poll in between sees a pair that does not fit.
        put('ap.pem', pair.certificate)
        await delay(i % 4)
        put('ap.key', pair.key)
        await until(() => changes.length > before)
      }
      swapped = true
    }
    await Promise.all([swap(), ...Array.from({ length: 8 }, (_, n) => loop(n))])
    assert.deepEqual(failures, [])
    assert.ok(answers >= 1000, `${answers} answers`)
    assert.ok(changes.length >= 50, `${changes.length} changes`)
    assert.deepEqual([...seen].sort(), pairs.map(serialOf).sort())
    assert.ok(mistakes.every((mistake) => mistake instanceof ConfigError))
  })
})

describe('a session', () => {
  for (const [version, only] of BOTH) {
    test(`resumes for as long as it is told, and no longer, ${version}`, async (t) => {
      const { putPair } = tlsFolder(t)
      const { port } = await serveLive(t, { certificates: [putPair('ap', pki.ap)] }, { sessionTimeoutS: 2 })
      const { session } = await meetLive(port, { servername, ...only })
      const resumed = async () =>
        (await meetLive(port, { servername, ...only, ...(session && { session }) })).body.split(' ')[0]
      assert.equal(await resumed(), 'resumed')
      await delay(3100)
      assert.equal(await resumed(), 'new')
    })

    test(`ends with a change of the certificate, ${version}`, async (t) => {
      const { putPair } = tlsFolder(t)
      const { port, live } = await serveLive(t, { certificates: [putPair('ap', pki.ap)] })
      const { session } = await meetLive(port, { servername, ...only })
      putPair('ap', renewed)
      live.reload()
      assert.equal((await meetLive(port, { servername, ...only, ...(session && { session }) })).resumed, false)
    })

    test(`is not resumed at all where client certificates are asked for, ${version}`, async (t) => {
      const { put, putPair } = tlsFolder(t)
      const files = { certificates: [putPair('ap', pki.ap)], clientCaFile: put('ca.pem', pki.ca.certificate) }
      const { port, peers } = await serveLive(t, files)
      const { certificate: cert, key } = pki.znClients.client as Issued
      for (const shown of [{ cert, key }, {}]) {
        const { session } = await meetLive(port, { servername, ...only, ...shown })
        // Without the certificate: if it came back, it would be from the session.
        const second = await meetLive(port, { servername, ...only, ...(session && { session }) })
        assert.equal(second.resumed, false)
        assert.deepEqual(peers.at(-1), { authorized: false, serial: undefined })
      }
    })
  }
})

describe('client certificates', () => {
  const shown = ({ certificate, key }: Issued): ConnectionOptions => ({ cert: certificate, key })
  const client = () => pki.znClients.client as Issued

  for (const [version, only] of BOTH) {
    test(`are judged, and nobody is sent away for the lack of one, ${version}`, async (t) => {
      const { put, putPair } = tlsFolder(t)
      const files = { certificates: [putPair('ap', pki.ap)], clientCaFile: put('ca.pem', pki.ca.certificate) }
      const { port, peers } = await serveLive(t, files)
      const verdict = async (options: ConnectionOptions) => {
        await meetLive(port, { servername, ...only, ...options })
        return peers.at(-1)
      }
      const p256 = await p256Leaf(pki.ca, 'client')
      const old = await issueLeaf(pki.ca, { use: 'client', name: 'client' as Fqdn }, Date.now() - 9 * DAY_MS, 1)
      assert.deepEqual(await verdict(shown(client())), { authorized: true, serial: serialOf(client()) })
      assert.deepEqual(await verdict(shown(p256)), { authorized: true, serial: serialOf(p256) })
      assert.deepEqual(await verdict({}), { authorized: false, serial: undefined })
      for (const bad of [other.znClients.client as Issued, pki.ap, old]) {
        assert.deepEqual(await verdict(shown(bad)), { authorized: false, serial: serialOf(bad) })
      }
    })
  }

  test('are asked for with the names of the CAs that count', async (t) => {
    const { put, putPair } = tlsFolder(t)
    const clientCaFile = put('ca.pem', pki.ca.certificate + other.ca.certificate)
    const { port, peers } = await serveLive(t, { certificates: [putPair('ap', pki.ap)], clientCaFile })
    for (const issued of [client(), other.znClients.client as Issued]) {
      await meetLive(port, { servername, ...shown(issued) })
      assert.equal(peers.at(-1)?.authorized, true)
    }
  })

  test('of a CA that is replaced count no longer, and who holds one may be sent away', async (t) => {
    const { put, putPair } = tlsFolder(t)
    const files = { certificates: [putPair('ap', pki.ap)], clientCaFile: put('ca.pem', pki.ca.certificate) }
    const served = await serveLive(t, files)
    putPair('ap', renewed)
    served.live.reload()
    assert.equal(served.trustChanges, 0)
    put('ca.pem', other.ca.certificate)
    served.live.reload()
    assert.equal(served.trustChanges, 1)
    await meetLive(served.port, { servername, ...shown(client()) })
    assert.equal(served.peers.at(-1)?.authorized, false)
  })
})

describe('what files expire', () => {
  const told = (t: Parameters<typeof tlsFolder>[0], validDays: number) => {
    const { put, putPair } = tlsFolder(t)
    const notices: [string, string][] = []
    const live = async (now: number) => {
      const leaf = await issueLeaf(pki.ca, { use: 'server', name: 'ap', fqdns: [naf] }, Date.now(), validDays)
      const followed = followTls(
        { certificates: [putPair('ap', leaf)], clientCaFile: put('ca.pem', pki.ca.certificate) },
        {
          warn: () => {},
          onMistake: (error) => assert.fail(String(error)),
          onExpiring: ({ kind }, state) => notices.push([kind, state]),
          now: () => now,
        },
      )
      t.after(() => followed.close())
      return followed
    }
    return { notices, live, putPair }
  }

  test('are listed with their ends', async (t) => {
    const { live } = told(t, 90)
    const expiries = (await live(Date.now())).expiries()
    assert.deepEqual(
      expiries.map(({ kind }) => kind),
      ['certificate', 'ca'],
    )
    for (const { expiresAt } of expiries) assert.ok(expiresAt > Date.now() + 89 * DAY_MS)
  })

  test('are told at once, then once a day, and anew when they have expired', async (t) => {
    const { notices, live } = told(t, 10)
    const start = Date.now()
    const { check } = await live(start)
    assert.deepEqual(notices, [['certificate', 'soon']])
    for (let hour = 1; hour < 24; hour++) check(start + (hour * DAY_MS) / 24)
    assert.equal(notices.length, 1)
    check(start + DAY_MS)
    assert.equal(notices.length, 2)
    check(start + 10 * DAY_MS + 60_000)
    assert.deepEqual(notices.at(-1), ['certificate', 'expired'])
    check(start + 10 * DAY_MS + 120_000)
    assert.equal(notices.length, 3)
  })

  test('are told no more when they were renewed', async (t) => {
    const { notices, live, putPair } = told(t, 10)
    const followed = await live(Date.now())
    putPair('ap', renewed)
    followed.reload()
    notices.length = 0
    followed.check(Date.now() + 2 * DAY_MS)
    assert.deepEqual(notices, [])
  })

  test('do not keep the listener from starting', async (t) => {
    const { putPair } = tlsFolder(t)
    const leaf = await issueLeaf(pki.ca, { use: 'server', name: 'ap', fqdns: [naf] }, Date.now() - 9 * DAY_MS, 1)
    const states: string[] = []
    const { port } = await serveLive(
      t,
      { certificates: [putPair('ap', leaf)] },
      { onExpiring: (_, state) => states.push(state) },
    )
    assert.equal(await serialAt(port), serialOf(leaf))
    assert.deepEqual(states, ['expired'])
  })
})

describe('the first reading', () => {
  test('refuses what is wrong, and names the file', (t) => {
    const { put, putPair, path } = tlsFolder(t)
    const certificates = [putPair('ap', pki.ap)]
    const follow = (files: Partial<Parameters<typeof followTls>[0]>) => () =>
      followTls({ certificates, ...files }, { warn: () => {}, onMistake: () => {} }).close()
    const clientCaFile = put('ca.pem', pki.ca.certificate)
    const junk = put('junk', 'junk')
    const notDer = put('broken.crl', '-----BEGIN X509 CRL-----\nMAMCAQE=\n-----END X509 CRL-----\n')
    const [pair] = certificates as [(typeof certificates)[0]]
    for (const [files, file] of [
      [{ certificates: [{ ...pair, keyFile: path('none') }] }, path('none')],
      [{ certificates: [{ ...pair, ocspFile: junk }] }, junk],
      [{ clientCaFile: pair.certificateFile }, pair.certificateFile],
      [{ clientCaFile, crlFile: junk }, junk],
      [{ clientCaFile, crlFile: notDer }, notDer],
      [{ crlFile: junk }, junk],
    ] as const) {
      assert.throws(follow(files), (error) => error instanceof ConfigError && error.file === file)
    }
    assert.throws(follow({ certificates: [] }), RangeError)
    follow({ clientCaFile, crlFile: '' })()
  })

  test('serves one server only', async (t) => {
    const { putPair } = tlsFolder(t)
    const { live } = await serveLive(t, { certificates: [putPair('ap', pki.ap)] })
    assert.throws(() => live.attach(tls.createServer()), RangeError)
  })
})

/** Signed by itself with a key that nobody should take any more. */
function weakCertificate(): Issued {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 1024 })
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const signer = forge.pki.privateKeyFromPem(key)
  const certificate = forge.pki.createCertificate()
  certificate.publicKey = forge.pki.setRsaPublicKey(signer.n, signer.e)
  certificate.serialNumber = '01'
  certificate.validity.notAfter = new Date(Date.now() + DAY_MS)
  certificate.sign(signer, forge.md.sha256.create())
  return { certificate: forge.pki.certificateToPem(certificate), key }
}
