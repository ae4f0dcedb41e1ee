import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe } from 'node:test'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { makeLabPki } from '../../src/tls/issue.ts'
import { writePki, writeRevocations } from '../../src/tls/pki-files.ts'
import { readPeerCertificate } from '../../src/ua/peer-certificate.ts'
import { peerTest } from '../support/peer.ts'

const now = Date.now() - 5000
const directory = mkdtempSync(join(tmpdir(), 'gba-certificates-'))
after(() => rmSync(directory, { recursive: true }))
const CAROL = ['sip:carol@ims.example.org', 'tel:+15550100003', 'carol@ims.example.org']
const subscribers = [
  { name: 'carol', sans: CAROL, keyType: 'p256' },
  { name: 'dave', sans: ['sip:dave@ims.example.org'] },
] as const
await writePki(
  directory,
  await makeLabPki({ names: { naf: [], bsf: [], znClients: [], subscribers }, now, validDays: 1 }),
)
const path = (name: string) => join(directory, name)
const text = (name: string) => readFileSync(path(name), 'utf8')
const openssl = (...args: string[]) => spawnSync('openssl', args, { encoding: 'utf8' })

const verify = (name: string) =>
  openssl(
    ...['verify', '-x509_strict', '-crl_check', '-purpose', 'sslclient'],
    ...['-CAfile', path('ca.pem'), '-CRLfile', path('ca.crl'), path(name)],
  )

/** What a server that asks for certificates says of this client. */
async function authorizationOf(stem: string): Promise<string | undefined> {
  const server = createServer({
    cert: text('ap.pem'),
    key: text('ap.key'),
    ca: text('ca.pem'),
    crl: text('ca.crl'),
    requestCert: true,
    rejectUnauthorized: false,
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const client = connect({
    ...{ port, host: '127.0.0.1', ca: text('ca.pem') },
    ...{ cert: text(`${stem}.pem`), key: text(`${stem}.key`) },
  })
  const closed = once(client, 'close')
  const [socket] = (await once(server, 'secureConnection')) as [TLSSocket]
  try {
    assert.equal(
      socket.getPeerX509Certificate()?.fingerprint256,
      new X509Certificate(text(`${stem}.pem`)).fingerprint256,
    )
    return socket.authorized ? undefined : String(socket.authorizationError)
  } finally {
    socket.end()
    client.end()
    await closed
    server.close()
  }
}

describe('certificates of subscribers and the list of revoked ones', () => {
  peerTest('openssl takes both types of key under an empty list, and refuses who is revoked', ['openssl'], async () => {
    await writeRevocations(directory, { now, validDays: 1 })
    for (const name of ['sub-carol.pem', 'sub-dave.pem']) assert.equal(verify(name).status, 0, verify(name).stderr)
    await writeRevocations(directory, { now, validDays: 1, file: 'sub-carol.pem' })
    const { status, stderr } = verify('sub-carol.pem')
    assert.notEqual(status, 0)
    assert.match(stderr, /certificate revoked/)
    assert.equal(verify('sub-dave.pem').status, 0)
  })

  peerTest('openssl and certtool read the list as we wrote it', ['openssl', 'certtool'], async () => {
    await writeRevocations(directory, { now, validDays: 1, file: 'sub-carol.pem', forget: true })
    await writeRevocations(directory, { now, validDays: 1 })
    const { serialNumber } = new X509Certificate(text('sub-carol.pem'))
    const shown = openssl('crl', '-in', path('ca.crl'), '-noout', '-text', '-verify', '-CAfile', path('ca.pem'))
    assert.equal(shown.status, 0, shown.stderr)
    assert.match(shown.stderr, /verify OK/)
    assert.match(shown.stdout, /Version 2/)
    assert.match(shown.stdout, /CRL Number:\s+2\s/)
    assert.match(shown.stdout, /Authority Key Identifier/)
    assert.match(shown.stdout, new RegExp(`Serial Number: ${serialNumber}\\s`))
    const info = execFileSync('certtool', ['--crl-info', '--infile', path('ca.crl')], { encoding: 'utf8' })
    assert.match(info, /Revoked certificates \(1\)/)
    assert.ok(info.includes(serialNumber.toLowerCase()))
  })

  peerTest('a TLS server of Node heeds the list', ['openssl'], async () => {
    await writeRevocations(directory, { now, validDays: 1, forget: true })
    assert.deepEqual([await authorizationOf('sub-carol'), await authorizationOf('sub-dave')], [undefined, undefined])
    await writeRevocations(directory, { now, validDays: 1, file: 'sub-carol.pem' })
    assert.deepEqual(
      [await authorizationOf('sub-carol'), await authorizationOf('sub-dave')],
      ['CERT_REVOKED', undefined],
    )
  })

  peerTest('openssl writes subjects as a subscriber file does, odd ones too', ['openssl'], () => {
    writeFileSync(
      path('odd.cnf'),
      `[req]
distinguished_name = dn
prompt = no
x509_extensions = ext
[dn]
C = DE
O = x, "y" + z; <w>
0.OU = \\#hash
1.OU = back\\\\slash
CN = carol
+UID = c1
[ext]
subjectAltName = @alt
[alt]
URI.1 = sip:a,b@ims.example.org
URI.2 = tel:+15550100003
email.1 = carol@ims.example.org
DNS.1 = host.example.org
otherName.1 = 1.2.3.4;UTF8:foo, URI:sip:evil@ims.example.org
dirName.1 = other
RID.1 = 1.2.3
IP.1 = ::1
[other]
CN = x, URI:sip:evil@ims.example.org
`,
    )
    const made = openssl(
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '1'],
      ...['-config', path('odd.cnf'), '-keyout', path('odd.key'), '-out', path('odd.crt')],
    )
    assert.equal(made.status, 0, made.stderr)
    const peer = readPeerCertificate(new X509Certificate(text('odd.crt')))
    const { stdout } = openssl('x509', '-in', path('odd.crt'), '-noout', '-subject', '-nameopt', 'RFC2253')
    assert.equal(peer.subject, stdout.trim().replace(/^subject=/, ''))
    assert.equal(peer.fault, undefined)
    assert.deepEqual(peer.impus, ['sip:a,b@ims.example.org', 'tel:+15550100003'])
    assert.equal(peer.sans.length, 4)
  })
})
