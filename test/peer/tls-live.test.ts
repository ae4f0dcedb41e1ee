import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { copyFileSync, readFileSync, writeFileSync } from 'node:fs'
import { before, describe } from 'node:test'
import type { ConnectionOptions } from 'node:tls'
import type { Fqdn } from '../../src/core/identity.ts'
import type { Issued, LabPki } from '../../src/tls/issue.ts'
import { caIndex, labPki, meetLive, serveLive, serverLeaf, tlsFolder } from '../support/live-tls.ts'
import { peerTest } from '../support/peer.ts'
import { run } from '../support/programs.ts'

const naf = 'xcap.example.org' as Fqdn
const DAY_MS = 86_400_000

let pki: LabPki
let other: LabPki
before(async () => {
  ;[pki, other] = await Promise.all([labPki(naf), labPki(naf)])
})

const serialOf = ({ certificate }: Issued) => new X509Certificate(certificate).serialNumber

/** A folder with the lab CA, the AP's pair, and openssl's index of that CA. */
function folder(t: Parameters<typeof tlsFolder>[0]) {
  const files = tlsFolder(t)
  const ca = files.putPair('ca', pki.ca)
  return {
    ...files,
    pair: files.putPair('ap', pki.ap),
    clientCaFile: ca.certificateFile,
    index: caIndex(files.directory),
  }
}

const VERSIONS = ['-tls1_2', '-tls1_3'] as const

async function sClient(port: number, ...args: string[]): Promise<string> {
  const { stdout, stderr } = await run('openssl', ['s_client', '-connect', `127.0.0.1:${port}`, '-ign_eof', ...args], {
    stdin: 'GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n',
    env: { ...process.env, OPENSSL_CONF: '/dev/null' },
  })
  return `${stdout}${stderr}`
}

describe('openssl s_client', () => {
  for (const version of VERSIONS) {
    peerTest(`is given the OCSP response of the CA, ${version}`, ['openssl'], async (t) => {
      const { pair, index, path } = folder(t)
      const ocspFile = await index.ocsp('ap.ocsp', pair.certificateFile, { good: [serialOf(pki.ap)] })
      const { port, live, warnings } = await serveLive(t, { certificates: [{ ...pair, ocspFile }] }, { names: [naf] })
      const trust = ['-servername', naf, '-status', '-CAfile', path('ca.pem'), '-verify_return_error']
      const text = await sClient(port, version, ...trust)
      assert.match(text, /OCSP Response Status: successful/)
      assert.match(text, /Cert Status: good/)
      assert.deepEqual(warnings, [])
      const [end] = live.expiries().filter(({ kind }) => kind === 'ocsp')
      assert.ok(end && end.expiresAt > Date.now() + 1.9 * DAY_MS && end.expiresAt <= Date.now() + 2 * DAY_MS)
    })

    peerTest(
      `is given none that is too old, of another certificate, or not good, ${version}`,
      ['openssl'],
      async (t) => {
        const { pair, index, putPair } = folder(t)
        const later = putPair('later', await serverLeaf(pki.ca, naf))
        const good = await index.ocsp('good.ocsp', pair.certificateFile, { good: [serialOf(pki.ap)] })
        const revoked = await index.ocsp('revoked.ocsp', pair.certificateFile, { revoked: [serialOf(pki.ap)] })
        for (const [files, now, warned] of [
          [{ ...pair, ocspFile: good }, Date.now() + 3 * DAY_MS, 0],
          [{ ...later, ocspFile: good }, Date.now(), 1],
          [{ ...pair, ocspFile: revoked }, Date.now(), 1],
        ] as const) {
          const { port, warnings } = await serveLive(t, { certificates: [files] }, { now: () => now })
          assert.match(await sClient(port, version, '-servername', naf, '-status'), /OCSP response: no response sent/)
          assert.equal(warnings.length, warned)
        }
      },
    )

    peerTest(`is told which CAs count, and may come without a certificate, ${version}`, ['openssl'], async (t) => {
      const { pair, clientCaFile } = folder(t)
      const { port } = await serveLive(t, { certificates: [pair], clientCaFile })
      const text = await sClient(port, version, '-servername', naf)
      assert.match(text, /^Acceptable client certificate CA names\nCN = gba-proxy lab CA/m)
      assert.match(text, /^HTTP\/1\.1 200 /m)
    })

    peerTest(`is refused when it speaks HTTP/2 only, ${version}`, ['openssl'], async (t) => {
      const { pair } = folder(t)
      const { port } = await serveLive(t, { certificates: [pair] }, { names: [naf] })
      const offer = (protocols: string) => sClient(port, version, '-servername', naf, '-alpn', protocols)
      assert.match(await offer('h2'), /SSL alert number 120/)
      assert.match(await offer('h2,http/1.1'), /^ALPN protocol: http\/1\.1$/m)
    })

    peerTest(`resumes with its ticket, until the files change, ${version}`, ['openssl'], async (t) => {
      const { pair, path, putPair } = folder(t)
      const { port, live } = await serveLive(t, { certificates: [pair] }, { sessionTimeoutS: 900 })
      const first = await sClient(port, version, '-servername', naf, '-sess_out', path('session'))
      assert.match(first, /TLS session ticket lifetime hint: 900 \(seconds\)/)
      const again = () => sClient(port, version, '-servername', naf, '-sess_in', path('session'))
      assert.match(await again(), /^Reused, /m)
      putPair('ap', await serverLeaf(pki.ca, naf))
      live.reload()
      assert.match(await again(), /^New, /m)
    })

    peerTest(`is told that a name is unknown, ${version}`, ['openssl'], async (t) => {
      const { pair } = folder(t)
      const { port } = await serveLive(t, { certificates: [pair] }, { names: [naf] })
      assert.match(
        await sClient(port, version, '-servername', 'other.example.org'),
        /unrecognized name.*SSL alert number 112/,
      )
      assert.match(await sClient(port, version, '-noservername'), /^HTTP\/1\.1 200 /m)
    })

    peerTest(
      `with an ECDSA certificate on the same name gets that, with RSA the other, ${version}`,
      ['openssl'],
      async (t) => {
        const { pair, path } = folder(t)
        const made = ['-keyout', path('ec.key'), '-out', path('ec.pem'), '-subj', '/CN=ec', '-days', '1', '-nodes']
        const key = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-addext', `subjectAltName=DNS:${naf}`]
        assert.equal((await run('openssl', ['req', '-x509', ...key, ...made])).status, 0)
        const second = { certificateFile: path('ec.pem'), keyFile: path('ec.key') }
        const { port } = await serveLive(t, { certificates: [pair, second] }, { names: [naf] })
        const at = (sigalgs: string) => sClient(port, version, '-servername', naf, '-sigalgs', sigalgs)
        assert.match(await at('ECDSA+SHA256'), /Peer signature type: ECDSA/)
        assert.match(await at('RSA-PSS+SHA256'), /Peer signature type: RSA-PSS/)
      },
    )
  }

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    peerTest(`makes a list that takes effect as soon as it is there, ${version}`, ['openssl'], async (t) => {
      const { pair, clientCaFile, index, path } = folder(t)
      const { certificate, key } = pki.znClients.client as Issued
      const crlFile = await index.crl('list.pem', [])
      const served = await serveLive(t, { certificates: [pair], clientCaFile, crlFile })
      const { port, live, peers, warnings } = served
      const options: ConnectionOptions = { minVersion: version, maxVersion: version, cert: certificate, key }
      const isTrusted = async () => {
        await meetLive(port, { servername: naf, ...options })
        return peers.at(-1)?.authorized
      }
      assert.equal(await isTrusted(), true)
      await index.crl('list.pem', [serialOf(pki.znClients.client as Issued)])
      assert.equal(live.reload(), true)
      assert.equal(served.trustChanges, 1)
      assert.equal(await isTrusted(), false)
      // a list that is cut short changes nothing
      writeFileSync(path('list.pem'), readFileSync(path('list.pem')).subarray(0, 200))
      assert.equal(live.reload(), false)
      assert.equal(await isTrusted(), false)
      assert.equal(served.trustChanges, 1)
      assert.deepEqual(warnings, [])
      const [end] = live.expiries().filter(({ kind }) => kind === 'crl')
      assert.ok(end && end.expiresAt > Date.now() && end.expiresAt <= Date.now() + DAY_MS)
    })
  }

  peerTest('makes lists of two CAs, and both count; a CA without one is warned of', ['openssl'], async (t) => {
    const { pair, path, index, put } = folder(t)
    const second = tlsFolder(t)
    second.putPair('ca', other.ca)
    const clients = [pki, other].map((one) => one.znClients.client as Issued)
    const lists = [
      await index.crl('one.pem', []),
      await caIndex(second.directory).crl('two.pem', [serialOf(clients[1] as Issued)]),
    ].map((file) => readFileSync(file, 'utf8'))
    const clientCaFile = put('cas.pem', pki.ca.certificate + other.ca.certificate)
    const crlFile = put('lists.pem', lists.join(''))
    const { port, live, peers, warnings } = await serveLive(t, { certificates: [pair], clientCaFile, crlFile })
    const verdicts = async () => {
      for (const { certificate: cert, key } of clients) await meetLive(port, { servername: naf, cert, key })
      return peers.slice(-2).map(({ authorized }) => authorized)
    }
    assert.deepEqual(await verdicts(), [true, false])
    assert.deepEqual(warnings, [])
    copyFileSync(path('one.pem'), crlFile)
    live.reload()
    assert.equal(warnings.length, 1)
    assert.deepEqual(await verdicts(), [true, false])
    put('cas.pem', pki.ca.certificate)
    put('lists.pem', lists.join(''))
    live.reload()
    assert.equal(warnings.length, 2)
  })

  peerTest('makes a list that is too old: nobody is believed then, and it is told', ['openssl'], async (t) => {
    const { pair, clientCaFile, index } = folder(t)
    const old = ['-crl_lastupdate', '20200101000000Z', '-crl_nextupdate', '20200102000000Z']
    const crlFile = await index.crl('list.pem', [], ...old)
    const told: [string, string][] = []
    const { port, peers } = await serveLive(
      t,
      { certificates: [pair], clientCaFile, crlFile },
      { onExpiring: ({ kind }, state) => told.push([kind, state]) },
    )
    const { certificate: cert, key } = pki.znClients.client as Issued
    await meetLive(port, { servername: naf, cert, key })
    assert.equal(peers.at(-1)?.authorized, false)
    assert.deepEqual(told, [['crl', 'expired']])
  })
})
