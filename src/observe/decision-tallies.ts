import type { FaultCode } from '../errors.ts'
import type { AuditEvent, AuditRecord } from './audit.ts'
import type { MetricName } from './metric-definitions.ts'
import { cellOf, Durations, type Sample, Tally } from './tallies.ts'

/** What is counted of every decision. */
export interface DecisionTallies {
  /** Is called for each, so it builds nothing and looks up little. */
  record(event: AuditEvent, record: AuditRecord): void
  samples(): ReadonlyMap<MetricName, readonly Sample[]>
}

/** One interface and route. */
interface Traffic {
  readonly forwarded: Outcome
  readonly own: Outcome
  readonly refused: Outcome & { readonly codes: Tally }
}

interface Outcome {
  count: number
  readonly durations: Durations
}

const outcome = (): Outcome => ({ count: 0, durations: new Durations() })
const traffic = (): Traffic => ({
  forwarded: outcome(),
  own: outcome(),
  refused: { ...outcome(), codes: new Tally() },
})

/** One application server. */
interface Upstream {
  /** By the first digit of the status. */
  readonly durations: (Durations | undefined)[]
  readonly failures: Tally
}

const NONE = 'none'

/** They follow an answer, so that their request was counted when that came. */
const AFTER_ANSWER: ReadonlySet<FaultCode> = new Set(['UT_AS_WANTS_CREDENTIALS', 'UT_ANSWER_TOO_LARGE'])

const OF_UPSTREAM: ReadonlySet<FaultCode> = new Set([
  'UT_AS_UNREACHABLE',
  'UT_AS_TIMEOUT',
  'UT_AS_ANSWER_INVALID',
  'UT_AS_OVERLOADED',
  'UT_AS_SUSPENDED',
  'UT_AS_WANTS_CREDENTIALS',
  'UT_ANSWER_TOO_LARGE',
])

/** Faults of a nonce whose response was right. */
const OF_NONCE: ReadonlyMap<FaultCode, string> = new Map([
  ['UA_NC_REUSED', 'reused'],
  ['UA_NONCE_FORGOTTEN', 'forgotten'],
  ['UA_NONCE_AGED', 'aged'],
] as const)

/** Counts what the audit is told. Nothing of an identity is looked at. */
export function decisionTallies(): DecisionTallies {
  const ub = traffic()
  const zn = traffic()
  const routes = new Map<string, Traffic>()
  const upstreams = new Map<string, Upstream>()
  const fetches = new Map<string, Durations>()
  const unauthorized = new Tally()
  const doors = new Tally()
  const nonces = new Tally()
  const tolerances = new Tally()
  const uaProtocolIds = new Tally()
  const handshakes = new Tally()
  let drawn = 0
  let bootstrapped = 0
  let resynchronised = 0

  const trafficOf = (route = NONE) => cellOf(routes, route, traffic)
  const upstreamOf = (name = NONE) =>
    cellOf(upstreams, name, (): Upstream => ({ durations: [], failures: new Tally() }))

  function answered(to: Outcome, { durationMs }: AuditRecord): void {
    to.count++
    if (durationMs !== undefined) to.durations.add(durationMs)
  }

  function refused(on: Traffic, record: AuditRecord): void {
    answered(on.refused, record)
    on.refused.codes.add(record.code ?? NONE)
  }

  function loggedIn({ door, uaProtocolId }: AuditRecord): void {
    if (door !== undefined) doors.add(door)
    if (door === 'digest' || door === 'password') nonces.add('accepted')
    if (uaProtocolId !== undefined) uaProtocolIds.add(uaProtocolId)
  }

  function tolerated(record: AuditRecord): void {
    for (const name of record.tolerances ?? NO_TOLERANCES) tolerances.add(name)
  }

  function forwarded(record: AuditRecord): void {
    answered(trafficOf(record.route).forwarded, record)
    const { status = 0, upstreamMs } = record
    const { durations } = upstreamOf(record.appServer)
    const group = Math.floor(status / 100)
    let ofGroup = durations[group]
    if (ofGroup === undefined) {
      ofGroup = new Durations()
      durations[group] = ofGroup
    }
    if (upstreamMs !== undefined) ofGroup.add(upstreamMs)
    loggedIn(record)
    tolerated(record)
  }

  function refusedOnUt(record: AuditRecord): void {
    const { code, step, status, appServer } = record
    refused(trafficOf(record.route), record)
    if (code === undefined) return
    if (status === 401) unauthorized.add(code)
    const nonce = OF_NONCE.get(code)
    if (nonce !== undefined) nonces.add(nonce)
    if (appServer !== undefined && step === 'forward' && OF_UPSTREAM.has(code)) upstreamOf(appServer).failures.add(code)
    if (AFTER_ANSWER.has(code)) return
    if (step === 'authorise' || step === 'rewrite' || step === 'forward') loggedIn(record)
    tolerated(record)
  }

  return {
    record(event, record) {
      switch (event) {
        case 'ut.forwarded':
          return forwarded(record)
        case 'ut.log-read':
          answered(trafficOf(record.route).own, record)
          loggedIn(record)
          return tolerated(record)
        case 'ut.refused':
          return refusedOnUt(record)
        case 'ub.challenged':
          return answered(ub.own, record)
        case 'ub.bootstrapped':
          bootstrapped++
          return answered(ub.own, record)
        case 'ub.resynchronised':
          resynchronised++
          return
        case 'ub.refused':
          return refused(ub, record)
        case 'zh.av-drawn':
          drawn++
          return
        case 'zn.granted':
          return answered(zn.own, record)
        case 'zn.refused':
          return refused(zn, record)
        case 'zn.fetched':
          return cellOf(fetches, record.code ?? NONE, () => new Durations()).add(record.durationMs ?? 0)
        case 'tls.refused':
          return handshakes.add(record.reason ?? 'other')
      }
    },
    samples() {
      const all: [labels: { interface: string; route: string }, traffic: Traffic][] = [
        [{ interface: 'ub', route: NONE }, ub],
        [{ interface: 'zn', route: NONE }, zn],
        ...[...routes].map(([route, one]): [{ interface: string; route: string }, Traffic] => [
          { interface: 'ut', route },
          one,
        ]),
      ]
      const durations = 'gba_proxy_request_duration_seconds'
      const upstream = 'gba_proxy_upstream_duration_seconds'
      return new Map<MetricName, readonly Sample[]>([
        ['gba_proxy_requests_total', all.flatMap(([labels, one]) => requestsOf(labels, one))],
        [
          durations,
          all.flatMap(([labels, one]) =>
            OUTCOMES.flatMap((name) =>
              one[name].count > 0 ? one[name].durations.samples(durations, { ...labels, outcome: name }) : [],
            ),
          ),
        ],
        ['gba_proxy_ua_unauthorized_total', unauthorized.samples('code')],
        ['gba_proxy_logins_total', doors.samples('door')],
        ['gba_proxy_avs_drawn_total', [{ value: drawn }]],
        ['gba_proxy_bootstraps_total', [{ value: bootstrapped }]],
        ['gba_proxy_resyncs_total', [{ value: resynchronised }]],
        ['gba_proxy_nonce_uses_total', nonces.samples('outcome')],
        ['gba_proxy_tolerances_total', tolerances.samples('tolerance')],
        ['gba_proxy_ua_protocol_ids_total', uaProtocolIds.samples('id')],
        [
          'gba_proxy_zn_fetch_duration_seconds',
          [...fetches].flatMap(([code, one]) => one.samples('gba_proxy_zn_fetch_duration_seconds', { code })),
        ],
        [
          upstream,
          [...upstreams].flatMap(([name, { durations: groups }]) =>
            groups.flatMap((one, group) => one?.samples(upstream, { app_server: name, status: `${group}xx` }) ?? []),
          ),
        ],
        [
          'gba_proxy_upstream_failures_total',
          [...upstreams].flatMap(([name, { failures }]) => failures.samples('code', { app_server: name })),
        ],
        // The audit hears of those at the proxy alone.
        ['gba_proxy_tls_handshake_failures_total', handshakes.samples('reason', { listener: 'ap' })],
      ])
    },
  }
}

const NO_TOLERANCES: readonly string[] = []
const OUTCOMES = ['forwarded', 'own', 'refused'] as const

function requestsOf(labels: { interface: string; route: string }, { forwarded, own, refused }: Traffic): Sample[] {
  const of = (name: 'forwarded' | 'own', { count }: Outcome): Sample[] =>
    count > 0 ? [{ labels: { ...labels, outcome: name, code: NONE }, value: count }] : []
  return [
    ...of('forwarded', forwarded),
    ...of('own', own),
    ...refused.codes.samples('code', { ...labels, outcome: 'refused' }),
  ]
}
