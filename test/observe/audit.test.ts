import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type AuditEvent, type AuditRecord, auditor } from '../../src/observe/audit.ts'
import { FAULT_TEXTS } from '../../src/observe/fault-texts.ts'

const BTID = 'I1U8vpY3qJ0hiuZNrke/NQ==@bsf.example.org'
const whole: Required<Omit<AuditRecord, 'trace'>> = {
  requestId: 'r-1',
  impi: 'alice@ims.example.org',
  btid: BTID,
  impus: ['sip:alice@example.org', 'tel:+15550100123'],
  xui: 'sip:bob@example.org',
  code: 'UT_TREE_NOT_OWNED',
  detail: 'sip:bob@example.org is not alice@ims.example.org',
  source: '192.0.2.1',
  method: 'PUT',
  auid: 'resource-lists',
  naf: 'xcap.example.org',
  appServer: 'xdms',
  uaProtocolId: '010001c02f',
  step: 'authorise',
  door: 'digest',
  reason: 'handshake-late',
  uaProtocolIds: ['010001c02f', '0100000002'],
  route: '/',
  tolerances: ['uri-absolute'],
  status: 403,
  durationMs: 12,
  upstreamMs: 7,
  path: '/admin/bootstraps/{btid}',
  subject: 'CN=operator',
}

/** Of the code above. */
const { clause } = FAULT_TEXTS.UT_TREE_NOT_OWNED

function recording(pseudonym?: (identity: string) => string) {
  const written: [AuditEvent, Readonly<Record<string, unknown>>][] = []
  return { audit: auditor((event, fields) => written.push([event, fields]), pseudonym), written }
}

describe('a decision is recorded', () => {
  test('whole, where identities may be clear', () => {
    const { audit, written } = recording()
    audit.record('ut.refused', whole)
    assert.deepEqual(written, [['ut.refused', { ...whole, clause }]])
  })

  test('with every identity in another name, and without the words that may hold one, where they may not', () => {
    const { audit, written } = recording((identity) => `<${identity.length}>`)
    audit.record('ut.refused', whole)
    const { detail: _, ...rest } = whole
    assert.deepEqual(written, [
      ['ut.refused', { ...rest, clause, impi: '<21>', btid: '<40>', impus: ['<21>', '<16>'], xui: '<19>' }],
    ])
    assert.doesNotMatch(JSON.stringify(written), /alice|bob|\+1555|I1U8/)
  })

  test('with the id of its trace, and nothing more of that', () => {
    const { audit, written } = recording()
    const trace = { traceId: '4bf92f3577b34da6a3ce929d0e0e4736', more: 'of it' }
    audit.record('zn.granted', { trace })
    assert.deepEqual(written, [['zn.granted', { traceId: trace.traceId }]])
  })

  for (const [where, pseudonym] of [
    ['clear', undefined],
    ['other names', () => 'x'],
  ] as const) {
    test(`with no member that was not given, in ${where}`, () => {
      const { audit, written } = recording(pseudonym)
      audit.record('zn.granted', {})
      audit.record('ut.forwarded', { impus: [] })
      assert.deepEqual(written, [
        ['zn.granted', {}],
        ['ut.forwarded', { impus: [] }],
      ])
    })
  }
})

test('decisions are counted, each kind on its own', () => {
  const { audit } = recording()
  for (const event of ['ub.challenged', 'zh.av-drawn', 'ub.challenged'] as const) audit.record(event, {})
  assert.deepEqual([audit.count('ub.challenged'), audit.count('zh.av-drawn'), audit.count('ut.refused')], [2, 1, 0])
  assert.equal(recording().audit.count('ub.challenged'), 0)
})

describe('sampling', () => {
  test('writes one accepting decision in so many, counts all, and never leaves out a refusal', () => {
    const written: AuditEvent[] = []
    const audit = auditor((event) => written.push(event), undefined, 3)
    for (let i = 0; i < 9; i++) audit.record('ut.forwarded', {})
    for (let i = 0; i < 4; i++) audit.record('ut.refused', {})
    assert.deepEqual([written.filter((event) => event === 'ut.forwarded').length, audit.count('ut.forwarded')], [3, 9])
    assert.equal(written.filter((event) => event === 'ut.refused').length, 4)
  })
})

test('tolerated deviations are counted by name, in what is written and what is not', () => {
  const audit = auditor(() => {}, undefined, 10)
  audit.record('ut.forwarded', { tolerances: ['nc-gap', 'uri-absolute'] })
  audit.record('ut.refused', { tolerances: ['nc-gap'] })
  assert.deepEqual(['nc-gap', 'uri-absolute', 'md5-sess'].map(audit.toleranceCount), [2, 1, 0])
})
