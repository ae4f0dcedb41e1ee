import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import forge from 'node-forge'
import { impuOf, LAB_NAF } from '../../src/lab.ts'
import { type Issued, makeLabPki } from '../../src/tls/issue.ts'
import { readPeerCertificate } from '../../src/ua/peer-certificate.ts'
import { openAllDoors } from '../support/door-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { peerTest } from '../support/peer.ts'
import { run } from '../support/programs.ts'
import { rawExchange, requestOctets } from '../support/raw-client.ts'
import { assertRefused } from '../support/refusals.ts'

const ALICE = impuOf('alice')
const DAY_MS = 86_400_000

/**
 * A certificate that names its holder in the alternative names alone, which are critical then.
 * @see RFC 5280 clause 4.1.2.6
 */
function withoutSubject(ca: Issued, uri: string): Issued {
  const keys = forge.pki.rsa.generateKeyPair(2048)
  const certificate = forge.pki.createCertificate()
  certificate.publicKey = keys.publicKey
  certificate.serialNumber = '0105'
  certificate.validity.notBefore = new Date(Date.now() - DAY_MS)
  certificate.validity.notAfter = new Date(Date.now() + DAY_MS)
  certificate.setIssuer(forge.pki.certificateFromPem(ca.certificate).subject.attributes)
  certificate.setExtensions([
    { name: 'basicConstraints', critical: true, cA: false },
    { name: 'extKeyUsage', clientAuth: true },
    { name: 'subjectAltName', critical: true, altNames: [{ type: 6, value: uri }] },
  ])
  certificate.sign(forge.pki.privateKeyFromPem(ca.key), forge.md.sha256.create())
  return { certificate: forge.pki.certificateToPem(certificate), key: forge.pki.privateKeyToPem(keys.privateKey) }
}

describe('a certificate without a subject', () => {
  test('tells the names that it has', async () => {
    const { ca } = await makeLabPki({ names: { naf: [], bsf: [], znClients: [] }, now: Date.now(), validDays: 1 })
    const x509 = new X509Certificate(withoutSubject(ca, ALICE).certificate)
    const peer = readPeerCertificate(x509)
    assert.deepEqual([peer.subject, peer.fault], ['', undefined])
    assert.deepEqual(peer.impus, [ALICE])
    assert.deepEqual(peer.sans, [{ type: 'URI', value: ALICE }])
    assert.deepEqual([peer.serialNumber, peer.fingerprint256], ['0105', x509.fingerprint256])
  })

  peerTest('is read as openssl makes it', ['openssl'], async (t) => {
    const directory = mkdtempSync(join(tmpdir(), 'gba-no-subject-'))
    t.after(() => rmSync(directory, { recursive: true }))
    const names = `[req]\ndistinguished_name = dn\nx509_extensions = e\n[dn]\n[e]\nsubjectAltName = critical,URI:${ALICE}\n`
    writeFileSync(join(directory, 'x.cnf'), names)
    const made = await run(
      'openssl',
      [
        ...['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '1', '-subj', '/', '-config', 'x.cnf'],
        ...['-keyout', 'x.key', '-out', 'x.pem'],
      ],
      { cwd: directory },
    )
    assert.equal(made.status, 0, made.stderr)
    const peer = readPeerCertificate(new X509Certificate(readFileSync(join(directory, 'x.pem'))))
    assert.deepEqual([peer.subject, peer.fault, peer.impus], ['', undefined, [ALICE]])
  })

  describe('shown to the proxy', () => {
    let lab: TestLab
    before(async () => {
      lab = await testLab({ recording: true, prepare: openAllDoors })
    })
    after(() => lab.close())
    const ask = (uri: string) => {
      const [certificate = '', caKey = ''] = ['ca.pem', 'ca.key'].map((name) =>
        readFileSync(join(lab.directory, 'certs', name), 'utf8'),
      )
      const { certificate: cert, key } = withoutSubject({ certificate, key: caKey }, uri)
      const at = { port: lab.app.addresses.ap?.port ?? 0, tls: { cert, key, servername: LAB_NAF, ca: lab.ca } }
      return rawExchange(at, requestOctets(`GET /resource-lists/users/${ALICE}/index HTTP/1.1`, [`Host: ${LAB_NAF}`]))
    }

    test('opens the tree of who it names', async () => {
      assert.equal((await ask(ALICE)).status, 200)
      const { rawHeaders = [] } = lab.seen.at(-1) ?? {}
      assert.equal(rawHeaders[rawHeaders.indexOf('x-3gpp-asserted-identity') + 1], `"${ALICE}"`)
    })

    test('is refused where it names somebody else, or a name that nobody has', async () => {
      const other = { status: 403, code: 'UT_TREE_NOT_OWNED' } as const
      await assertRefused(lab, () => ask(impuOf('bob')), other)
      const nobody = { status: 403, code: 'UA_CERTIFICATE_UNKNOWN' } as const
      await assertRefused(lab, () => ask('urn:uuid:2f0d9c1a-5c46-4bd7-8a67-9c1d6f0a7a11'), nobody)
    })
  })
})
