import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import type { Btid } from '../../src/core/identity.ts'
import { FAULTS, type FaultCode } from '../../src/errors.ts'
import { impuOf } from '../../src/lab.ts'
import { FAULT_TEXTS, faultTable } from '../../src/observe/fault-texts.ts'
import { loadSim } from '../../src/ue/sim.ts'
import { fileState, stateFileOf } from '../../src/ue/state-file.ts'
import { inProcess } from '../support/in-process.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { hex, secret, vectors } from '../support/vectors.ts'
import { simText } from '../ue/card.ts'

interface Golden {
  identities: { impi: string; impus: string[]; naf: string }
  aka: { RAND: string; Ks: string }
  btid: string
  ua: { Ks_NAF: string; request1: string; request2_authorization: string; body: string; password: string }
}
const golden = vectors<Golden>('golden-flow.json')
const directory = mkdtempSync(join(tmpdir(), 'gba-explain-'))
after(() => rmSync(directory, { recursive: true }))
const file = (name: string, content: string) => {
  const path = join(directory, name)
  writeFileSync(path, content)
  return path
}

/** The golden request with its credentials, as it went over the wire. */
const REQUEST = golden.ua.request1.replace(/\r\n\r\n/, `\r\nAuthorization: ${golden.ua.request2_authorization}\r\n\r\n`)
const SIM = file('alice.yaml', simText({}))
const SUBSCRIBERS = file(
  'subscribers.yaml',
  `subscribers:
  - { impi: 'bob@example.org', k: '${'00'.repeat(16)}', opc: '${'11'.repeat(16)}', impus: ['sip:bob@example.org'] }
  - impi: ${golden.identities.impi}
    k: 465b5ce8b199b49faa5f0a2ee238a6bc
    opc: cd63cb71954a9f4e48a5994e37a02baf
    impus: ['${golden.identities.impus.join("', '")}']
    uss: [{ gsid: 3 }]
`,
)

async function explain(args: string[], stdin = '') {
  const done = await inProcess(['explain', ...args], stdin)
  const findings = done.stdout.matchAll(/^(\S+) \((?:certain|likely|possible)\)$/gm)
  return { ...done, names: [...findings].map(([, name]) => name) }
}

const KEYS: [what: string, args: string[]][] = [
  ['a SIM file', ['--sim', SIM]],
  ['a subscriber file', ['--subscribers', SUBSCRIBERS]],
  ['one subscriber of it', ['--subscribers', SUBSCRIBERS, '--impi', golden.identities.impi]],
  ['Ks', ['--ks', golden.aka.Ks, '--impi', golden.identities.impi]],
  ['Ks with its RAND', ['--ks', golden.aka.Ks, '--rand', golden.aka.RAND, '--impi', golden.identities.impi]],
  ['Ks_NAF', ['--ks-naf', golden.ua.Ks_NAF]],
]

describe('gba-proxy explain', () => {
  for (const [what, args] of KEYS) {
    test(`finds the golden request right, with ${what}`, async () => {
      const { code, names, stderr } = await explain([...args, '-'], REQUEST)
      assert.deepEqual([code, names, stderr], [0, ['right'], ''])
    })
  }

  test('prints no key unless it is told to', async () => {
    const secrets = [golden.ua.Ks_NAF, golden.ua.password, golden.aka.Ks, '2c9ff5cc2152a1447ffe932e23a78b32']
    for (const [, args] of KEYS) {
      const { stdout } = await explain([...args, '-'], REQUEST)
      for (const secret of secrets) assert.ok(!stdout.includes(secret))
      const shown = await explain([...args, '--show-keys', '-'], REQUEST)
      assert.ok(shown.stdout.includes(golden.ua.Ks_NAF))
    }
  })

  test('marks the identifier that fits, among those that the NAF takes', async () => {
    const { stdout } = await explain(['--sim', SIM, '-'], REQUEST)
    assert.deepEqual(
      [...stdout.matchAll(/^ {2}\* (\w{10}) /gm)].map(([, id]) => id),
      ['010001c02f'],
    )
    assert.match(stdout, /^ {4}0100000002 /m)
    const other = await explain(['--sim', SIM, '--suite', 'TLS_AES_128_GCM_SHA256', '-'], REQUEST)
    assert.deepEqual([other.code, other.names], [0, ['ua-id-wrong']])
    const one = await explain(['--sim', SIM, '--ua-id', '010001C02F', '-'], REQUEST)
    assert.deepEqual([one.code, one.names], [0, ['right']])
  })

  test('reads what curl -v prints, bare line feeds, and a body of its own', async () => {
    const [head = ''] = REQUEST.split('\r\n\r\n')
    const traced = [
      '* something',
      ...head.split('\r\n').map((line) => `> ${line}`),
      '>',
      '< HTTP/1.1 401 Unauthorized',
      '',
    ].join('\n')
    const body = file('body.xml', golden.ua.body)
    assert.deepEqual((await explain(['--sim', SIM, '--body', body, '-'], traced)).names, ['right'])
    assert.deepEqual((await explain(['--sim', SIM, file('request', `${REQUEST.replaceAll('\r\n', '\n')}\n`)])).names, [
      'right',
    ])
  })

  test('names the cause', async () => {
    const causes: [cause: string, request: string, ...args: string[]][] = [
      ['body-altered', REQUEST.replace('allow', 'block')],
      ['body-altered', REQUEST, '--body', file('other', '<evil/>'), '--sent-body', file('sent', golden.ua.body)],
      ['realm-wrong', REQUEST.replace('realm="3GPP-bootstrapping@xcap', 'realm="3GPP-bootstrapping@list')],
      ['uri-mismatch', REQUEST.replace('uri="/', 'uri="//')],
      ['method', REQUEST.replace(/^PUT/, 'GET')],
      ['credentials-missing', golden.ua.request1],
      ['impu-foreign', REQUEST.replace(/(Identity: "sip:)alice/, '$1bob')],
    ]
    for (const [cause, request, ...args] of causes) {
      const { names } = await explain(
        ['--subscribers', SUBSCRIBERS, '--impi', golden.identities.impi, ...args, '-'],
        request,
      )
      assert.equal(names[0], cause)
    }
  })

  test('finds a key of another bootstrap than the B-TID wrong', async () => {
    const foreign = ['--ks', '5a'.repeat(32), '--rand', '77'.repeat(16), '--impi', golden.identities.impi]
    const { code, names } = await explain([...foreign, '-'], REQUEST.replace('auth-int', 'auth'))
    assert.deepEqual([code, names], [1, ['key-wrong']])
  })

  test('looks at the bootstrap that the SIM holds', async () => {
    const held = file('held.yaml', simText({}))
    const sim = await loadSim(held)
    const expiresAt = Date.parse('2026-11-21T22:00:00Z')
    const [btid, rand, ks] = [golden.btid as Btid, hex(golden.aka.RAND), secret(golden.aka.Ks)]
    fileState(stateFileOf(held), sim).update((state) => ({ ...state, bootstrap: { btid, rand, ks, expiresAt } }))
    for (const [time, name] of [
      ['2026-11-21T21:59:59Z', 'right'],
      ['2026-11-21T22:00:01Z', 'key-expired'],
    ]) {
      const audit = file('one.jsonl', `${JSON.stringify({ event: 'ut.refused', requestId: 'one', time })}\n`)
      const { names } = await explain(['--sim', held, '--request-id', 'one', '--audit', audit, '-'], REQUEST)
      assert.deepEqual(names, [name])
    }
  })

  test('does without a key as far as that goes', async () => {
    const { code, stdout } = await explain(['-'], REQUEST)
    assert.equal(code, 1)
    assert.doesNotMatch(stdout, /Ks_NAF/)
  })

  const wrong: [what: string, args: string[], stdin?: string][] = [
    ['no request', ['--sim', SIM]],
    ['what is no request', ['--sim', SIM, '-'], 'hello'],
    ['a request without Host', ['-'], 'GET / HTTP/1.1\n\n'],
    ['two keys', ['--sim', SIM, '--ks-naf', '00', '-'], REQUEST],
    ['a key that is none', ['--ks-naf', '00', '-'], REQUEST],
    ['Ks without its IMPI', ['--ks', golden.aka.Ks, '-'], REQUEST],
    ['a SIM that is not there', ['--sim', './none.yaml', '-'], REQUEST],
    ['an unknown subscriber', ['--subscribers', SUBSCRIBERS, '--impi', 'carol@example.org', '-'], REQUEST],
    ['an identifier that is none', ['--ua-id', '01', '-'], REQUEST],
    ['a suite that is none', ['--suite', 'TLS_NULL', '-'], REQUEST],
    ['a request id without an audit', ['--request-id', 'x']],
    ['an audit that is not there', ['--request-id', 'x', '--audit', join(directory, 'none')]],
  ]
  for (const [what, args, stdin] of wrong) {
    test(`ends with 2 for ${what}`, async () => {
      const { code, stdout, stderr } = await explain(args, stdin)
      assert.deepEqual([code, stdout], [2, ''])
      assert.notEqual(stderr, '')
    })
  }
})

describe('gba-proxy explain, from the audit', () => {
  const audit = join(directory, 'audit.jsonl')
  let lab: TestLab
  before(async () => {
    lab = await testLab({ log: { auditFile: audit } })
  })
  after(() => lab.close())

  test('says what a refusal means that the UE only has an id of', async () => {
    const ue = await lab.ue('alice')
    const answer = await ue.request('GET', lab.url(`/resource-lists/users/${impuOf('bob')}/index`))
    assert.equal(answer.status, 403)
    const { instance } = JSON.parse(answer.text()) as { instance: string }
    const { code, stdout, names } = await explain(['--request-id', instance, '--audit', audit])
    assert.deepEqual([code, names], [0, ['impu-foreign']])
    assert.match(stdout, /^recorded: ut\.refused UT_TREE_NOT_OWNED at \d{4}-/m)
    assert.ok(stdout.includes(FAULT_TEXTS.UT_TREE_NOT_OWNED.advice))
  })

  test('takes record and request together', async () => {
    const id = '00000000-0000-4000-8000-000000000001'
    const record = {
      time: '2026-11-21T10:00:06.000Z',
      event: 'ut.refused',
      requestId: id,
      code: 'UA_NC_REUSED',
      status: 401,
    }
    const path = file(
      'nc.jsonl',
      `${JSON.stringify(record)}\n{"event":"ut.forwarded","requestId":"other"}\n{"event":"cut`,
    )
    const { code, names } = await explain(['--request-id', id, '--audit', path, '--sim', SIM, '-'], REQUEST)
    assert.deepEqual([code, names], [0, ['nc-reused']])
  })

  test('ends with 1 where there is no record', async () => {
    const { code, stderr } = await explain(['--request-id', 'none', '--audit', audit])
    assert.equal(code, 1)
    assert.match(stderr, /no record/)
  })

  test('prints what a record says without letting it act on the terminal', async () => {
    const path = file(
      'evil.jsonl',
      `${JSON.stringify({ event: 'ut.refused', requestId: 'e', auid: '\u001b[2J\n(certain)' })}\n`,
    )
    const { stdout } = await explain(['--request-id', 'e', '--audit', path])
    assert.ok(!stdout.includes('\u001b'))
  })

  test('has words for every fault code, in one table row each', () => {
    const codes = Object.keys(FAULTS) as FaultCode[]
    const rows = faultTable().split('\n').slice(2)
    assert.deepEqual(rows.map((row) => /^\| `([A-Z_]+)` \|/.exec(row)?.[1]).toSorted(), codes.toSorted())
    for (const code of codes) {
      const { happened, clause, advice } = FAULT_TEXTS[code]
      for (const text of [happened, advice]) assert.match(text, /^[A-Z].*[.?]$/, code)
      assert.notEqual(clause, '', code)
    }
  })
})
