import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import type { Fqdn } from '../../src/core/identity.ts'
import { fqdnsOf, makeLabPki } from '../../src/tls/issue.ts'
import { PkiFilesError, renewPki, showPki, writePki } from '../../src/tls/pki-files.ts'

const now = Date.now()
const names = {
  naf: ['xcap.example.org', 'presence.example.org'] as Fqdn[],
  bsf: ['bsf.example.org'] as Fqdn[],
  znClients: [{ name: 'ap' as Fqdn }, { name: 'ap2.example.org' as Fqdn }],
}
const pki = await makeLabPki({ names, now, validDays: 30 })

const made: string[] = []
after(() => {
  for (const directory of made) rmSync(directory, { recursive: true })
})
async function folder(): Promise<string> {
  const directory = mkdtempSync(join(tmpdir(), 'gba-pki-'))
  made.push(directory)
  await writePki(join(directory, 'certs'), pki)
  return join(directory, 'certs')
}
const content = (directory: string) =>
  Object.fromEntries(readdirSync(directory).map((name) => [name, readFileSync(join(directory, name), 'utf8')]))

describe('writing a PKI', () => {
  test('makes the folder, a certificate and a key for each, and leaves nothing else', async () => {
    const stems = ['ap', 'bsf', 'ca', 'zn-ap', 'zn-ap2.example.org']
    assert.deepEqual(readdirSync(await folder()).sort(), stems.flatMap((stem) => [`${stem}.key`, `${stem}.pem`]).sort())
  })

  test('keeps private keys from everybody else', async () => {
    const directory = await folder()
    for (const name of readdirSync(directory).filter((name) => name.endsWith('.key'))) {
      assert.equal(statSync(join(directory, name)).mode & 0o777, 0o600, name)
    }
  })

  test('over another one is refused, and nothing is touched, even where only one file is in the way', async () => {
    const directory = await folder()
    for (const name of readdirSync(directory).filter((name) => name !== 'zn-ap.pem')) unlinkSync(join(directory, name))
    const before = content(directory)
    await assert.rejects(writePki(directory, pki), PkiFilesError)
    assert.deepEqual(content(directory), before)
  })

  test('over another one is done when asked for, with keys at mode 0600 whatever they were before', async () => {
    const directory = await folder()
    writeFileSync(join(directory, 'ap.key'), 'old', { mode: 0o644 })
    await writePki(directory, pki, { overwrite: true })
    assert.equal(readFileSync(join(directory, 'ap.key'), 'utf8'), pki.ap.key)
    assert.equal(statSync(join(directory, 'ap.key')).mode & 0o777, 0o600)
  })
})

describe('renewing a PKI', () => {
  test('keeps the CA and the names, and changes certificates and keys', async () => {
    const directory = await folder()
    const before = content(directory)
    await renewPki(directory, now, 60)
    const renewed = content(directory)
    assert.deepEqual(Object.keys(renewed), Object.keys(before))
    for (const [name, text] of Object.entries(renewed))
      assert.equal(text === before[name], name.startsWith('ca.'), name)
    const ap = new X509Certificate(renewed['ap.pem'] ?? '')
    assert.deepEqual(fqdnsOf(ap), names.naf)
    assert.ok(ap.verify(new X509Certificate(pki.ca.certificate).publicKey))
    assert.ok(Date.parse(ap.validTo) > now + 59 * 86_400_000)
  })

  for (const missing of ['ca.key', 'ca.pem', 'ap.pem', 'bsf.pem']) {
    test(`without ${missing} is refused and changes nothing`, async () => {
      const directory = await folder()
      unlinkSync(join(directory, missing))
      const before = content(directory)
      await assert.rejects(renewPki(directory, now, 60), PkiFilesError)
      assert.deepEqual(content(directory), before)
    })
  }

  test('of an expired CA is refused', async () => {
    const directory = await folder()
    await assert.rejects(renewPki(directory, now + 3651 * 86_400_000, 60), PkiFilesError)
  })
})

describe('showing a PKI', () => {
  test('tells names, expiry, fingerprint and issuer of every certificate', async () => {
    const shown = await showPki(await folder())
    assert.deepEqual(
      shown.map(({ file }) => file),
      ['ap.pem', 'bsf.pem', 'ca.pem', 'zn-ap.pem', 'zn-ap2.example.org.pem'],
    )
    assert.ok(shown.every(({ byOurCa }) => byOurCa))
    assert.match(shown[0]?.names ?? '', /DNS:presence\.example\.org/)
    assert.match(shown[0]?.fingerprint256 ?? '', /^(?:[\dA-F]{2}:){31}[\dA-F]{2}$/)
  })

  test('says when another CA has signed', async () => {
    const directory = await folder()
    const other = await makeLabPki({ names, now, validDays: 30 })
    writeFileSync(join(directory, 'ap.pem'), other.ap.certificate)
    const shown = await showPki(directory)
    assert.deepEqual(
      shown.filter(({ byOurCa }) => !byOurCa).map(({ file }) => file),
      ['ap.pem'],
    )
  })

  test('of a folder without certificates, or without a certificate in a file, is refused', async () => {
    await assert.rejects(showPki('/nonexistent'), PkiFilesError)
    const directory = await folder()
    writeFileSync(join(directory, 'bsf.pem'), 'nothing')
    await assert.rejects(showPki(directory), PkiFilesError)
  })
})
