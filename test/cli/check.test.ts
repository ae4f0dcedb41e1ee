import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, unlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, beforeEach, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import type { Fqdn } from '../../src/core/identity.ts'
import { makeLabPki } from '../../src/tls/issue.ts'
import { writePki } from '../../src/tls/pki-files.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const directory = mkdtempSync(join(tmpdir(), 'gba-check-'))
after(() => rmSync(directory, { recursive: true }))

const names = {
  naf: ['xcap.example.org' as Fqdn],
  bsf: ['bsf.example.org' as Fqdn],
  znClients: [{ name: 'ap' as Fqdn }],
}
const pki = await makeLabPki({ names, now: Date.now(), validDays: 60 })
const soon = await makeLabPki({ names, now: Date.now(), validDays: 3 })
const past = await makeLabPki({ names, now: Date.now() - 86_400_000 * 9, validDays: 3 })

const SUBSCRIBERS = `subscribers:
  - impi: alice@home.example
    k: 465b5ce8b199b49faa5f0a2ee238a6bc
    opc: cd63cb71954a9f4e48a5994e37a02baf
    impus: [sip:alice@home.example]
`

const GOOD = `hss: { subscribersFile: subscribers.yaml }
bsf:
  names: [bsf.example.org]
  zn:
    tls: { certificateFile: bsf.pem, keyFile: bsf.key, clientCaFile: ca.pem }
ap:
  tls: { certificateFile: ap.pem, keyFile: ap.key }
  nafs: [{ fqdn: xcap.example.org }]
  appServers: [{ name: xdms, url: 'http://127.0.0.1:8085' }]
  routes: [{ appServer: xdms }]
`

const path = (name: string) => join(directory, name)
const write = (name: string, text: string) => writeFileSync(path(name), text, { mode: 0o600 })
function check(text = GOOD, ...more: readonly string[]) {
  write('gba.yaml', text)
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [MAIN, 'check', '--config', path('gba.yaml'), ...more],
    {
      encoding: 'utf8',
      env: {},
    },
  )
  return { status, stdout, stderr }
}

describe('gba-proxy check', () => {
  beforeEach(async () => {
    await writePki(directory, pki, { overwrite: true })
    write('subscribers.yaml', SUBSCRIBERS)
  })

  test('answers 0 and names the roles of a good configuration', () => {
    assert.deepEqual(check(), { status: 0, stdout: `${path('gba.yaml')}: good; roles: ap, bsf, hss\n`, stderr: '' })
  })

  test('answers 2 for an unknown key, with file, line, key and the nearest known', () => {
    const { status, stdout, stderr } = check(`${GOOD}  challange: {}\n`)
    assert.deepEqual([status, stdout], [2, ''])
    assert.equal(stderr, `${path('gba.yaml')}:11: ap.challange: unknown key; did you mean ap.challenge?\n`)
  })

  test('looks at the files of the admin listener, where there is one', () => {
    const tls = 'tls: { certificateFile: ops.pem, keyFile: ops.key, clientCaFile: ca.pem }'
    assert.equal(check(`${GOOD}admin: { enabled: false, ${tls} }\n`).status, 0)
    const { status, stderr } = check(`${GOOD}admin: { ${tls} }\n`)
    assert.equal(status, 2)
    assert.ok(stderr.includes(path('ops.pem')), stderr)
  })

  for (const name of ['subscribers.yaml', 'ap.pem', 'ap.key', 'bsf.pem', 'bsf.key', 'ca.pem']) {
    test(`answers 2 when ${name} is missing, and names it`, () => {
      unlinkSync(path(name))
      const { status, stderr } = check()
      assert.equal(status, 2)
      assert.ok(stderr.startsWith(`${path(name)}: `), stderr)
    })
  }

  test('answers 2 when a subscriber has no key, with file, line and key', () => {
    write('subscribers.yaml', SUBSCRIBERS.replace(/^ +k: .*\n/m, ''))
    const { status, stderr } = check()
    assert.equal(status, 2)
    assert.match(stderr, /subscribers\.yaml:2: .*\bk\b/)
  })

  test('answers 2 when certificate and key do not fit', () => {
    write('ap.key', pki.bsf.key)
    const { status, stderr } = check()
    assert.equal(status, 2)
    assert.ok(stderr.includes(`${path('ap.key')}: `), stderr)
  })

  test('answers 2 when a certificate has expired', () => {
    write('ap.pem', past.ap.certificate)
    write('ap.key', past.ap.key)
    const { status, stderr } = check()
    assert.equal(status, 2)
    assert.ok(stderr.startsWith(`${path('ap.pem')}: `), stderr)
  })

  test('warns of a certificate that expires soon', () => {
    write('ap.pem', soon.ap.certificate)
    write('ap.key', soon.ap.key)
    const { status, stderr } = check()
    assert.equal(status, 0)
    assert.ok(stderr.startsWith(`warning: ${path('ap.pem')}: `), stderr)
  })

  test('warns of subscribers whose keys every user can read', () => {
    chmodSync(path('subscribers.yaml'), 0o644)
    const { status, stderr } = check()
    assert.equal(status, 0)
    assert.ok(stderr.startsWith(`warning: ${path('subscribers.yaml')}: holds keys`), stderr)
    chmodSync(path('subscribers.yaml'), 0o600)
  })

  test('answers 2 for a private key that every user can read', () => {
    chmodSync(path('ap.key'), 0o644)
    const { status, stderr } = check()
    assert.equal(status, 2)
    assert.ok(stderr.startsWith(`${path('ap.key')}: is open to every user`), stderr)
    chmodSync(path('ap.key'), 0o600)
  })

  test('warns of a NAF name that the certificate does not carry', () => {
    const { status, stderr } = check(GOOD.replace('fqdn: xcap', 'fqdn: presence'))
    assert.equal(status, 0)
    assert.match(stderr, /^warning: .*ap\.pem: .*presence\.example\.org/)
  })

  for (const [name, change] of [
    ['demands', (text: string) => `${text}  rebootstrapFile: missing.yaml\n`],
    ['an application server’s CA', (text: string) => text.replace("url: 'http:", "caFile: missing.yaml, url: 'https:")],
  ] as const) {
    test(`answers 2 when the file with ${name} is missing, and names it`, () => {
      const { status, stderr } = check(change(GOOD))
      assert.equal(status, 2)
      assert.ok(stderr.startsWith(`${path('missing.yaml')}: `), stderr)
    })
  }

  for (const [what, change, code, verdict] of [
    ['the same', (text: string) => `${text}  port: 8443\n`, 0, 'the same'],
    ['what a reload takes over', (text: string) => `${text}log: { level: warn }\n`, 0, 'a reload takes over log.level'],
    [
      'what needs a restart',
      (text: string) => `${text}  port: 1\nlog: { level: warn }\n`,
      1,
      'a restart is needed for ap.port; not for log.level',
    ],
  ] as const) {
    test(`answers ${code} for ${what}, compared with what runs`, () => {
      write('running.yaml', GOOD)
      const { status, stdout } = check(change(GOOD), '--against', path('running.yaml'))
      assert.equal(status, code)
      assert.equal(stdout.split('\n')[1], `${path('gba.yaml')} after ${path('running.yaml')}: ${verdict}`)
    })
  }

  test('answers 2 without --config', () => {
    assert.equal(spawnSync(process.execPath, [MAIN, 'check']).status, 2)
  })
})
