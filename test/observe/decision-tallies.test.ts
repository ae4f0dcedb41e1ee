import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { AuditEvent, AuditRecord } from '../../src/observe/audit.ts'
import { decisionTallies } from '../../src/observe/decision-tallies.ts'
import { METRICS, type MetricName } from '../../src/observe/metric-definitions.ts'
import { familiesOf } from '../../src/observe/metrics.ts'

/** What counts up, by name and labels, when these decisions are made: histograms by their count. */
function counted(...decisions: readonly (readonly [AuditEvent, AuditRecord])[]): Record<string, number> {
  const tallies = decisionTallies()
  for (const [event, record] of decisions) tallies.record(event, record)
  const shown: Record<string, number> = {}
  for (const { name, values } of familiesOf(tallies.samples())) {
    for (const { labels = {}, value, metricName } of values) {
      if (value === 0 || (metricName !== undefined && !metricName.endsWith('_count'))) continue
      const text = Object.entries(labels).map(([label, word]) => `${label}=${word}`)
      shown[`${name.replace(/^gba_proxy_/, '')} ${text.join(' ')}`.trim()] = value
    }
  }
  return shown
}

const ut: AuditRecord = { step: 'forward', door: 'digest', route: '/xcap', appServer: 'xdms', durationMs: 9 }

describe('a decision is counted:', () => {
  test('what was forwarded, with the way it took', () => {
    const record = { ...ut, status: 204, upstreamMs: 4, uaProtocolId: '0100000002', tolerances: ['nc-decimal'] }
    assert.deepEqual(counted(['ut.forwarded', record]), {
      'requests_total interface=ut route=/xcap outcome=forwarded code=none': 1,
      'request_duration_seconds interface=ut route=/xcap outcome=forwarded': 1,
      'upstream_duration_seconds app_server=xdms status=2xx': 1,
      'logins_total door=digest': 1,
      'nonce_uses_total outcome=accepted': 1,
      'ua_protocol_ids_total id=0100000002': 1,
      'tolerances_total tolerance=nc-decimal': 1,
    })
  })

  test('what the proxy answered itself', () => {
    assert.deepEqual(counted(['ut.log-read', { ...ut, door: 'psk', status: 200 }]), {
      'requests_total interface=ut route=/xcap outcome=own code=none': 1,
      'request_duration_seconds interface=ut route=/xcap outcome=own': 1,
      'logins_total door=psk': 1,
    })
  })

  test('a 401, by its reason; and one before a route was found has no duration', () => {
    const early: AuditRecord = { code: 'UT_REQUEST_MALFORMED', status: 400 }
    const missing: AuditRecord = { ...ut, step: 'authenticate', code: 'UA_CREDENTIALS_MISSING', status: 401 }
    assert.deepEqual(counted(['ut.refused', early], ['ut.refused', missing]), {
      'requests_total interface=ut route=none outcome=refused code=UT_REQUEST_MALFORMED': 1,
      'requests_total interface=ut route=/xcap outcome=refused code=UA_CREDENTIALS_MISSING': 1,
      'request_duration_seconds interface=ut route=/xcap outcome=refused': 1,
      'ua_unauthorized_total code=UA_CREDENTIALS_MISSING': 1,
    })
  })

  for (const [code, outcome] of [
    ['UA_NC_REUSED', 'reused'],
    ['UA_NONCE_FORGOTTEN', 'forgotten'],
    ['UA_NONCE_AGED', 'aged'],
  ] as const) {
    test(`a nonce that is ${outcome}`, () => {
      const refused: AuditRecord = { ...ut, step: 'authenticate', code, status: 401 }
      assert.equal(counted(['ut.refused', refused])[`nonce_uses_total outcome=${outcome}`], 1)
    })
  }

  test('who was authenticated and then refused has logged in', () => {
    const refused: AuditRecord = { ...ut, step: 'authorise', code: 'UT_TREE_NOT_OWNED', status: 403 }
    assert.equal(counted(['ut.refused', refused])['logins_total door=digest'], 1)
  })

  test('an application server that fails, and one whose answer is refused, for which nobody logs in twice', () => {
    const gone: AuditRecord = { ...ut, code: 'UT_AS_UNREACHABLE', status: 502 }
    const wants: AuditRecord = { ...ut, code: 'UT_AS_WANTS_CREDENTIALS', status: 403 }
    const all = counted(['ut.refused', gone], ['ut.forwarded', { ...ut, status: 401 }], ['ut.refused', wants])
    assert.equal(all['upstream_failures_total app_server=xdms code=UT_AS_UNREACHABLE'], 1)
    assert.equal(all['upstream_failures_total app_server=xdms code=UT_AS_WANTS_CREDENTIALS'], 1)
    assert.equal(all['logins_total door=digest'], 2)
  })

  test('bootstraps, with the vectors that they take', () => {
    const decisions: (readonly [AuditEvent, AuditRecord])[] = [
      ['zh.av-drawn', {}],
      ['ub.challenged', { durationMs: 2 }],
      ['ub.resynchronised', {}],
      ['zh.av-drawn', {}],
      ['ub.challenged', { durationMs: 2 }],
      ['ub.bootstrapped', { durationMs: 2 }],
      ['ub.refused', { code: 'UB_RESPONSE_WRONG', durationMs: 2 }],
    ]
    assert.deepEqual(counted(...decisions), {
      'requests_total interface=ub route=none outcome=own code=none': 3,
      'requests_total interface=ub route=none outcome=refused code=UB_RESPONSE_WRONG': 1,
      'request_duration_seconds interface=ub route=none outcome=own': 3,
      'request_duration_seconds interface=ub route=none outcome=refused': 1,
      avs_drawn_total: 2,
      bootstraps_total: 1,
      resyncs_total: 1,
    })
  })

  test('both sides of Zn', () => {
    const decisions: (readonly [AuditEvent, AuditRecord])[] = [
      ['zn.granted', { durationMs: 1 }],
      ['zn.refused', { code: 'ZN_BTID_UNKNOWN', durationMs: 1 }],
      ['zn.fetched', { durationMs: 3 }],
      ['zn.fetched', { code: 'ZN_BTID_UNKNOWN', durationMs: 3 }],
    ]
    assert.deepEqual(counted(...decisions), {
      'requests_total interface=zn route=none outcome=own code=none': 1,
      'requests_total interface=zn route=none outcome=refused code=ZN_BTID_UNKNOWN': 1,
      'request_duration_seconds interface=zn route=none outcome=own': 1,
      'request_duration_seconds interface=zn route=none outcome=refused': 1,
      'zn_fetch_duration_seconds code=none': 1,
      'zn_fetch_duration_seconds code=ZN_BTID_UNKNOWN': 1,
    })
  })

  test('a handshake that did not come about', () => {
    assert.deepEqual(counted(['tls.refused', { reason: 'name-unknown' }]), {
      'tls_handshake_failures_total listener=ap reason=name-unknown': 1,
    })
  })

  test('under no label but those of its definition', () => {
    const whole: AuditRecord = {
      ...ut,
      requestId: 'r',
      impi: 'alice@example.org',
      btid: 'x@bsf.example.org',
      impus: ['sip:alice@example.org'],
      xui: 'sip:bob@example.org',
      source: '192.0.2.1',
      auid: 'resource-lists',
      naf: 'xcap.example.org',
      method: 'PUT',
      detail: 'alice',
      status: 401,
      code: 'UA_NC_REUSED',
    }
    const tallies = decisionTallies()
    const events = ['ut.forwarded', 'ut.refused', 'ut.log-read', 'ub.refused', 'zn.fetched', 'tls.refused'] as const
    for (const event of events) tallies.record(event, whole)
    for (const { name, values } of familiesOf(tallies.samples())) {
      const allowed = [...Object.keys(METRICS[name as MetricName].labels), 'le']
      for (const { labels = {} } of values) {
        assert.deepEqual(
          Object.keys(labels).filter((label) => !allowed.includes(label)),
          [],
          name,
        )
        assert.doesNotMatch(JSON.stringify(labels), /alice|bob|@|192\.0\.2/)
      }
    }
  })
})
