import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import type { Fqdn } from '../../src/core/identity.ts'
import { fqdnsOf, keyTypeOf, makeLabPki, sansOf } from '../../src/tls/issue.ts'
import {
  addSubscribers,
  PkiFilesError,
  parseSubscriberName,
  renewPki,
  showPki,
  showRevocations,
  writePki,
  writeRevocations,
} from '../../src/tls/pki-files.ts'

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

const carol = { name: 'carol', sans: ['sip:carol@example.org', 'carol@example.org'], keyType: 'p256' } as const
const dave = { name: 'dave', sans: ['tel:+15550100004'], keyType: 'rsa' } as const
const leafOf = (directory: string, stem: string) => new X509Certificate(content(directory)[`${stem}.pem`] ?? '')

async function folderOfTwo(): Promise<string> {
  const directory = await folder()
  await addSubscribers(directory, [carol, dave], { now, validDays: 30 })
  return directory
}

describe('subscribers of a PKI', () => {
  test('are added from the CA that is there, with keys for nobody else, and nothing else changes', async () => {
    const directory = await folder()
    const before = content(directory)
    const written = await addSubscribers(directory, [carol, dave], { now, validDays: 30 })
    assert.deepEqual(
      written,
      ['sub-carol.key', 'sub-carol.pem', 'sub-dave.key', 'sub-dave.pem'].map((name) => join(directory, name)),
    )
    assert.deepEqual({ ...content(directory), ...before }, content(directory))
    assert.ok(leafOf(directory, 'sub-carol').verify(new X509Certificate(pki.ca.certificate).publicKey))
    assert.equal(statSync(join(directory, 'sub-carol.key')).mode & 0o777, 0o600)
  })

  test('are not replaced unasked, and none is added then', async () => {
    const directory = await folderOfTwo()
    const before = content(directory)
    const erin = { name: 'erin', sans: ['sip:erin@example.org'] }
    await assert.rejects(addSubscribers(directory, [erin, carol], { now, validDays: 30 }), PkiFilesError)
    assert.deepEqual(content(directory), before)
    await addSubscribers(directory, [erin, carol], { now, validDays: 30, overwrite: true })
    assert.notEqual(content(directory)['sub-carol.pem'], before['sub-carol.pem'])
  })

  test('keep names and types of keys when they are renewed', async () => {
    const directory = await folderOfTwo()
    const before = content(directory)
    await renewPki(directory, now, 60)
    for (const [stem, { sans }, keyType] of [
      ['sub-carol', carol, 'p256'],
      ['sub-dave', dave, 'rsa'],
    ] as const) {
      assert.notEqual(content(directory)[`${stem}.pem`], before[`${stem}.pem`])
      assert.deepEqual(sansOf(leafOf(directory, stem)), sans)
      assert.equal(keyTypeOf(leafOf(directory, stem)), keyType)
    }
  })

  test('of servers keep their type of key as well, each its own', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'gba-pki-'))
    const serverKeyTypes = { ap: 'rsa', bsf: 'p256' } as const
    await writePki(directory, await makeLabPki({ names: { ...names, serverKeyTypes }, now, validDays: 30 }))
    await renewPki(directory, now, 60)
    for (const stem of ['ap', 'bsf'] as const) assert.equal(keyTypeOf(leafOf(directory, stem)), serverKeyTypes[stem])
    rmSync(directory, { recursive: true })
  })

  test('of another CA are left as they are when others are renewed', async () => {
    const directory = await folderOfTwo()
    const other = await makeLabPki({ names: { ...names, subscribers: [carol] }, now, validDays: 30 })
    writeFileSync(join(directory, 'sub-carol.pem'), other.subscribers.carol?.certificate ?? '')
    await renewPki(directory, now, 60)
    assert.equal(content(directory)['sub-carol.pem'], other.subscribers.carol?.certificate)
  })

  test('have names that are safe in a file name', () => {
    for (const name of ['carol', 'c', 'carol-2.a_b']) assert.equal(parseSubscriberName(name), name)
    for (const name of ['', '../x', 'a/b', '.x', 'x.', 'Carol', 'a b', 'a\0', 'x'.repeat(65)]) {
      assert.equal(parseSubscriberName(name), undefined)
    }
  })
})

describe('revoking in a PKI', () => {
  const at = Math.floor(now / 1000) * 1000

  test('begins with an empty list and adds to it; the number grows', async () => {
    const directory = await folderOfTwo()
    assert.equal(await showRevocations(directory), undefined)
    assert.deepEqual(await writeRevocations(directory, { now: at, validDays: 7 }), [join(directory, 'ca.crl')])
    const nextUpdate = at + 7 * 86_400_000
    assert.deepEqual(await showRevocations(directory), { number: 1, thisUpdate: at, nextUpdate, revoked: new Map() })
    await writeRevocations(directory, { now: at, validDays: 7, file: 'sub-carol.pem' })
    await writeRevocations(directory, { now: at + 5000, validDays: 7, file: join(directory, 'zn-ap.pem') })
    await writeRevocations(directory, { now: at + 9000, validDays: 7, file: 'sub-carol.pem' })
    const revoked = new Map([
      [leafOf(directory, 'sub-carol').serialNumber, at],
      [leafOf(directory, 'zn-ap').serialNumber, at + 5000],
    ])
    const last = { number: 4, thisUpdate: at + 9000, nextUpdate: nextUpdate + 9000, revoked }
    assert.deepEqual(await showRevocations(directory), last)
    const shown = (await showPki(directory)).filter(({ revokedAt }) => revokedAt !== undefined)
    assert.deepEqual(
      shown.map(({ file, revokedAt }) => [file, revokedAt]),
      [
        ['sub-carol.pem', at],
        ['zn-ap.pem', at + 5000],
      ],
    )
  })

  test('outlasts a renewal: who was revoked gets nothing new, and the list stays good', async () => {
    const directory = await folderOfTwo()
    await writeRevocations(directory, { now: at, validDays: 7, file: 'sub-carol.pem' })
    const before = content(directory)
    await renewPki(directory, at, 60)
    assert.equal(content(directory)['sub-carol.pem'], before['sub-carol.pem'])
    assert.notEqual(content(directory)['sub-dave.pem'], before['sub-dave.pem'])
    const list = await showRevocations(directory)
    assert.deepEqual([...(list?.revoked.keys() ?? [])], [leafOf(directory, 'sub-carol').serialNumber])
    assert.equal(list?.nextUpdate, at + 60 * 86_400_000)
  })

  test('of the CA itself, of a stranger, or of what is no certificate is refused and changes nothing', async () => {
    const directory = await folderOfTwo()
    const stranger = await makeLabPki({ names: { ...names, subscribers: [carol] }, now, validDays: 30 })
    writeFileSync(join(directory, 'stranger.pem'), stranger.subscribers.carol?.certificate ?? '')
    const before = content(directory)
    for (const file of ['ca.pem', 'stranger.pem', 'ca.key', 'none.pem']) {
      await assert.rejects(writeRevocations(directory, { now, validDays: 7, file }), PkiFilesError, file)
    }
    assert.deepEqual(content(directory), before)
  })

  test('with a list of another CA in the folder is refused, unless that is to be forgotten', async () => {
    const directory = await folderOfTwo()
    const elsewhere = await folder()
    await writePki(elsewhere, await makeLabPki({ names, now, validDays: 30 }), { overwrite: true })
    await writeRevocations(elsewhere, { now, validDays: 7 })
    writeFileSync(join(directory, 'ca.crl'), content(elsewhere)['ca.crl'] ?? '')
    const before = content(directory)
    const revoke = { now, validDays: 7, file: 'sub-carol.pem' }
    await assert.rejects(writeRevocations(directory, revoke), PkiFilesError)
    await assert.rejects(renewPki(directory, now, 7), PkiFilesError)
    assert.deepEqual(content(directory), before)
    await writeRevocations(directory, { ...revoke, forget: true })
    assert.equal((await showRevocations(directory))?.revoked.size, 1)
  })
})
