import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { runCli } from '../../src/cli/index.ts'

const root = mkdtempSync(join(tmpdir(), 'gba-certs-'))
after(() => rmSync(root, { recursive: true }))

async function certs(...args: string[]) {
  let stdout = ''
  let stderr = ''
  const status = await runCli(['certs', ...args], {
    stdout: { write: (chunk) => (stdout += String(chunk)) },
    stderr: { write: (chunk) => (stderr += String(chunk)) },
    env: {},
    signal: new AbortController().signal,
  })
  return { status, stdout, stderr }
}
const TEMPORARY = 'sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org'
const certificate = (dir: string, name: string) => new X509Certificate(readFileSync(join(dir, name)))

describe('gba-proxy certs', () => {
  const dir = join(root, 'made')

  test('makes what the options name, and says what it wrote', async () => {
    const args = [
      '--naf',
      'XCAP.example.org',
      '--naf',
      'b.example.org',
      '--bsf',
      'bsf.example.org',
      '--zn-client',
      'n1',
    ]
    const { status, stdout } = await certs('make', '--dir', dir, ...args, '--days', '5')
    assert.equal(status, 0)
    assert.deepEqual(
      stdout.trim().split('\n').sort(),
      ['ap', 'bsf', 'ca', 'zn-n1'].flatMap((stem) => [join(dir, `${stem}.key`), join(dir, `${stem}.pem`)]),
    )
    assert.equal(certificate(dir, 'ap.pem').checkHost('b.example.org'), 'b.example.org')
    assert.equal(certificate(dir, 'zn-n1.pem').subjectAltName, 'DNS:n1')
    assert.ok(Date.parse(certificate(dir, 'ap.pem').validTo) < Date.now() + 6 * 86_400_000)
  })

  test('does not make over what is there, answers 1, and does with --force', async () => {
    const before = readFileSync(join(dir, 'ca.pem'), 'utf8')
    const refused = await certs('make', '--dir', dir)
    assert.equal(refused.status, 1)
    assert.match(refused.stderr, /--force/)
    assert.equal(readFileSync(join(dir, 'ca.pem'), 'utf8'), before)
    assert.equal((await certs('make', '--dir', dir, '--force', '--zn-client', 'n1')).status, 0)
    assert.notEqual(readFileSync(join(dir, 'ca.pem'), 'utf8'), before)
  })

  test('renews under the same CA', async () => {
    const [ca, ap] = [certificate(dir, 'ca.pem'), certificate(dir, 'ap.pem')]
    assert.equal((await certs('renew', '--dir', dir)).status, 0)
    const renewed = certificate(dir, 'ap.pem')
    assert.notEqual(renewed.serialNumber, ap.serialNumber)
    assert.equal(renewed.subjectAltName, ap.subjectAltName)
    assert.ok(renewed.verify(ca.publicKey))
  })

  test('shows names and fingerprints, and no key', async () => {
    const { status, stdout } = await certs('show', '--dir', dir)
    assert.equal(status, 0)
    assert.ok(stdout.includes(certificate(dir, 'zn-n1.pem').fingerprint256))
    assert.doesNotMatch(stdout, /PRIVATE/)
  })

  test('makes and adds certificates for subscribers, with the key asked for', async () => {
    const lab = join(root, 'subscribers')
    const carol = 'carol=sip:Carol@IMS.example.org,tel:+1-555-0100003,carol@ims.example.org'
    const keys = ['--client-key', 'rsa', '--server-key', 'rsa']
    assert.equal((await certs('make', '--dir', lab, '--subscriber', carol, ...keys)).status, 0)
    const made = certificate(lab, 'sub-carol.pem')
    assert.equal(
      made.subjectAltName,
      'URI:sip:Carol@ims.example.org, URI:tel:+15550100003, email:carol@ims.example.org',
    )
    for (const { publicKey } of [made, certificate(lab, 'zn-ap.pem'), certificate(lab, 'ap.pem')]) {
      assert.equal(publicKey.asymmetricKeyType, 'rsa')
    }
    const added = await certs('subscriber', '--dir', lab, '--subscriber', 'dave=sip:dave@ims.example.org')
    assert.deepEqual(
      [added.status, added.stdout],
      [0, ['sub-dave.key', 'sub-dave.pem'].map((name) => `${join(lab, name)}\n`).join('')],
    )
    assert.equal(certificate(lab, 'sub-dave.pem').publicKey.asymmetricKeyDetails?.namedCurve, 'prime256v1')
    assert.equal((await certs('subscriber', '--dir', lab, '--subscriber', carol)).status, 1)
    assert.equal((await certs('subscriber', '--dir', lab, '--subscriber', carol, '--force')).status, 0)
    assert.notEqual(certificate(lab, 'sub-carol.pem').serialNumber, made.serialNumber)
  })

  test('revokes, says so, and with a new CA begins a new list', async () => {
    const lab = join(root, 'revoked')
    await certs('make', '--dir', lab, '--subscriber', 'carol=sip:carol@ims.example.org')
    assert.equal((await certs('crl', '--dir', lab)).status, 0)
    assert.doesNotMatch((await certs('show', '--dir', lab)).stdout, /revoked/)
    const { status, stdout } = await certs('revoke', 'sub-carol.pem', '--dir', lab)
    assert.deepEqual([status, stdout], [0, `${join(lab, 'ca.crl')}\n`])
    const { serialNumber } = certificate(lab, 'sub-carol.pem')
    assert.match((await certs('show', '--dir', lab)).stdout, new RegExp(`revoked .* ${serialNumber}\n`))
    assert.equal((await certs('revoke', 'sub-dave.pem', '--dir', lab)).status, 1)
    assert.equal((await certs('make', '--dir', lab, '--force')).status, 0)
    assert.doesNotMatch((await certs('show', '--dir', lab)).stdout, /revoked/)
  })

  for (const [name, args] of [
    ['no action', []],
    ['a subscriber without identities', ['make', '--subscriber', 'carol']],
    ['a subscriber with an empty identity', ['make', '--subscriber', 'carol=']],
    ['a subscriber whose identity is none', ['make', '--subscriber', 'carol=sip:carol']],
    ['a subscriber with a temporary identity', ['make', '--subscriber', `c=${TEMPORARY}`]],
    ['a subscriber with a wildcarded identity', ['make', '--subscriber', 'c=sip:a!.*!@example.org']],
    ['a subscriber with a path in the name', ['make', '--subscriber', '../c=sip:c@example.org']],
    ['a subscriber twice', ['make', ...['b', 'c'].flatMap((user) => ['--subscriber', `c=sip:${user}@example.org`])]],
    ['an unknown type of key', ['make', '--client-key', 'dsa']],
    ['an unknown type of key of servers', ['make', '--server-key', 'ed25519']],
    ['a type of key of servers for renew', ['renew', '--server-key', 'rsa']],
    ['subscriber without a subscriber', ['subscriber']],
    ['subscriber with a host name', ['subscriber', '--naf', 'a.example.org']],
    ['revoke without a file', ['revoke']],
    ['crl with a file', ['crl', 'x.pem']],
    ['subscribers for renew', ['renew', '--subscriber', 'c=sip:c@example.org']],
    ['a type of key for revoke', ['revoke', 'x.pem', '--client-key', 'rsa']],
    ['an unknown action', ['mak']],
    ['two actions', ['make', 'show']],
    ['a name that is no host name', ['make', '--naf', 'a b']],
    ['a name with a path in it', ['make', '--zn-client', '../x']],
    ['days that are no number', ['make', '--days', 'many']],
    ['names for renew', ['renew', '--naf', 'a.example.org']],
    ['an unknown option', ['make', '--day', '1']],
  ] as const) {
    test(`answers 2 for ${name} and writes nothing`, async () => {
      const untouched = join(root, 'untouched')
      const { status, stdout, stderr } = await certs(...args, '--dir', untouched)
      assert.deepEqual([status, stdout], [2, ''])
      assert.match(stderr, /^gba-proxy certs: /)
      assert.equal(existsSync(untouched), false)
    })
  }

  for (const [action, ...args] of [
    ['show'],
    ['renew'],
    ['crl'],
    ['revoke', 'sub-c.pem'],
    ['subscriber', '--subscriber', 'c=sip:c@example.org'],
  ]) {
    test(`answers 1 for ${action} where there is nothing, and writes nothing`, async () => {
      const nothing = join(root, 'nothing')
      assert.equal((await certs(action ?? '', ...args, '--dir', nothing)).status, 1)
      assert.equal(existsSync(nothing), false)
    })
  }
})
