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

  for (const [name, args] of [
    ['no action', []],
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

  for (const action of ['show', 'renew']) {
    test(`answers 1 for ${action} where there is nothing`, async () => {
      assert.equal((await certs(action, '--dir', join(root, 'nothing'))).status, 1)
    })
  }
})
