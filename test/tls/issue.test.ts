import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import type { Fqdn } from '../../src/core/identity.ts'
import { fqdnsOf, type Issued, issueLeaf, keyTypeOf, makeLabPki, sansOf } from '../../src/tls/issue.ts'

const now = Date.UTC(2026, 0, 1)
const DAY_MS = 86_400_000
const naf = ['xcap.example.org', 'presence.example.org'] as Fqdn[]
const bsf = ['bsf.mnc001.mcc001.pub.3gppnetwork.org'] as Fqdn[]
const pki = await makeLabPki({ names: { naf, bsf, znClients: [{ name: 'ap1' as Fqdn }] }, now, validDays: 90 })
const client = pki.znClients.ap1 as Issued
const leaves = { ap: pki.ap, bsf: pki.bsf, client }

const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'

describe('a lab PKI', () => {
  const ca = new X509Certificate(pki.ca.certificate)

  for (const [name, issued] of Object.entries(leaves)) {
    const leaf = new X509Certificate(issued.certificate)

    test(`has a certificate for ${name} that its CA has signed`, () => {
      assert.ok(leaf.checkIssued(ca))
      assert.ok(leaf.verify(ca.publicKey))
      assert.equal(leaf.ca, false)
    })

    test(`has a key for ${name} that fits`, () => {
      assert.ok(leaf.checkPrivateKey(createPrivateKey(issued.key)))
      assert.equal(leaf.publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1')
    })

    test(`has a certificate for ${name} good from a little before now for the days asked for`, () => {
      assert.ok(Date.parse(leaf.validFrom) < now)
      assert.ok(Date.parse(leaf.validFrom) >= now - DAY_MS)
      assert.equal(Date.parse(leaf.validTo), now + 90 * DAY_MS)
    })

    test(`has a positive serial number of at least 128 bits for ${name}`, () => {
      assert.match(leaf.serialNumber, /^01[0-9A-F]{32}$/)
    })
  }

  test('has a CA that is one', () => {
    assert.ok(ca.ca)
    assert.ok(ca.verify(ca.publicKey))
    assert.ok(Date.parse(ca.validTo) > now + 91 * DAY_MS)
  })

  test('has servers with RSA keys where that is asked for', async () => {
    const names = { naf, bsf, serverKeyTypes: { ap: 'rsa' }, znClients: [] } as const
    const { ca: issuer, ap, bsf: other } = await makeLabPki({ names, now, validDays: 90 })
    const leaf = new X509Certificate(ap.certificate)
    assert.equal(leaf.publicKey.asymmetricKeyDetails?.modulusLength, 2048)
    assert.ok(leaf.verify(new X509Certificate(issuer.certificate).publicKey))
    assert.ok(leaf.checkPrivateKey(createPrivateKey(ap.key)))
    assert.equal(keyTypeOf(new X509Certificate(other.certificate)), 'p256')
  })

  test('lets the AP stand for each NAF name and this machine, and for nothing else', () => {
    const ap = new X509Certificate(pki.ap.certificate)
    for (const fqdn of [...naf, 'localhost']) assert.equal(ap.checkHost(fqdn), fqdn)
    assert.equal(ap.checkIP('127.0.0.1'), '127.0.0.1')
    for (const fqdn of ['example.org', 'a.xcap.example.org', bsf[0] ?? '']) assert.equal(ap.checkHost(fqdn), undefined)
    assert.deepEqual(fqdnsOf(ap), naf)
  })

  test('lets servers be servers and clients be clients', () => {
    assert.deepEqual(new X509Certificate(pki.ap.certificate).keyUsage, [SERVER_AUTH])
    assert.deepEqual(new X509Certificate(pki.bsf.certificate).keyUsage, [SERVER_AUTH])
    assert.deepEqual(new X509Certificate(client.certificate).keyUsage, [CLIENT_AUTH])
  })

  test('gives a Zn client its name as a dNSName', () => {
    assert.equal(new X509Certificate(client.certificate).subjectAltName, 'DNS:ap1')
  })

  test('gives every certificate its own key and serial number', () => {
    const all = [pki.ca, ...Object.values(leaves)]
    assert.equal(new Set(all.map(({ key }) => key)).size, all.length)
    assert.equal(new Set(all.map(({ certificate }) => new X509Certificate(certificate).serialNumber)).size, all.length)
  })

  test('issues no leaf that outlives its CA', async () => {
    const leaf = await issueLeaf(pki.ca, { use: 'client', name: 'late' as Fqdn }, now, 36_500)
    assert.equal(new X509Certificate(leaf.certificate).validTo, ca.validTo)
  })
})

describe('a certificate for a subscriber', () => {
  const ca = new X509Certificate(pki.ca.certificate)
  const sans = ["sip:ca,r'ol@ims.example.org", 'tel:+15550100003', 'carol@ims.example.org', 'urn:x:carol']

  for (const keyType of ['rsa', 'p256'] as const) {
    test(`with a key of type ${keyType} has her names in their order, for use as a client`, async () => {
      const issued = await issueLeaf(pki.ca, { use: 'subscriber', name: 'carol', sans, keyType }, now, 90)
      const leaf = new X509Certificate(issued.certificate)
      assert.ok(leaf.checkIssued(ca) && leaf.verify(ca.publicKey))
      assert.ok(leaf.checkPrivateKey(createPrivateKey(issued.key)))
      assert.equal(keyTypeOf(leaf), keyType)
      assert.deepEqual(sansOf(leaf), sans)
      assert.deepEqual(leaf.keyUsage, [CLIENT_AUTH])
      assert.match(leaf.subjectAltName ?? '', /, URI:tel:\+15550100003, email:carol@ims\.example\.org, /)
    })
  }

  test('comes with the others, by the name of the subscriber, and each may have a key of either type', async () => {
    const names = {
      naf: [],
      bsf: [],
      znClients: [{ name: 'ap1' as Fqdn, keyType: 'p256' as const }],
      subscribers: [{ name: 'carol', sans, keyType: 'rsa' as const }],
    }
    const all = await makeLabPki({ names, now, validDays: 1 })
    assert.deepEqual(Object.keys(all.subscribers), ['carol'])
    assert.equal(keyTypeOf(new X509Certificate(all.subscribers.carol?.certificate ?? '')), 'rsa')
    assert.equal(keyTypeOf(new X509Certificate(all.znClients.ap1?.certificate ?? '')), 'p256')
    assert.equal(new X509Certificate(all.znClients.ap1?.certificate ?? '').subjectAltName, 'DNS:ap1')
  })

  test('is right with every key: 50 in a row', async () => {
    const one = { use: 'subscriber', name: 'carol', sans, keyType: 'p256' } as const
    for (let i = 0; i < 50; i++) {
      const { certificate, key } = await issueLeaf(pki.ca, one, now, 1)
      const leaf = new X509Certificate(certificate)
      assert.ok(leaf.verify(ca.publicKey) && leaf.checkPrivateKey(createPrivateKey(key)))
    }
  })
})

const hasOpenssl = spawnSync('openssl', ['version']).status === 0

describe('openssl', { skip: !hasOpenssl && 'openssl is not installed' }, () => {
  const directory = mkdtempSync(join(tmpdir(), 'gba-pki-'))
  after(() => rmSync(directory, { recursive: true }))
  const put = (name: string, text: string) => {
    writeFileSync(join(directory, name), text)
    return join(directory, name)
  }
  const caFile = put('ca.pem', pki.ca.certificate)
  const verify = (purpose: string, file: string) =>
    spawnSync('openssl', [
      ...['verify', '-x509_strict', '-attime', String(now / 1000 + 60)],
      ...['-purpose', purpose, '-CAfile', caFile, file],
    ])

  for (const [name, purpose, other] of [
    ['ap', 'sslserver', 'sslclient'],
    ['bsf', 'sslserver', 'sslclient'],
    ['client', 'sslclient', 'sslserver'],
  ] as const) {
    test(`accepts the certificate for ${name} as ${purpose} and not as ${other}`, () => {
      const file = put(`${name}.pem`, leaves[name].certificate)
      const { status, stderr } = verify(purpose, file)
      assert.equal(status, 0, String(stderr))
      assert.notEqual(verify(other, file).status, 0)
    })
  }

  test('reads a version 3 certificate with critical constraints', () => {
    const text = execFileSync('openssl', ['x509', '-in', put('ap.pem', pki.ap.certificate), '-noout', '-text'], {
      encoding: 'utf8',
    })
    assert.match(text, /Version: 3/)
    assert.match(text, /Basic Constraints: critical/)
    assert.match(text, /Key Usage: critical/)
    assert.match(text, /Signature Algorithm: sha256WithRSAEncryption/)
  })
})
