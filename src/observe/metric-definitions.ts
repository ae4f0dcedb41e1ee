/** How one number is made of those of several processes. */
export type Aggregator = 'sum' | 'max' | 'min' | 'first'

export interface MetricDefinition {
  readonly type: 'counter' | 'gauge' | 'histogram'
  /** What is counted, and its unit. */
  readonly help: string
  /** Each label and what its values are: a closed set, or what the configuration names; never an identity. */
  readonly labels: Readonly<Record<string, string>>
  readonly aggregator: Aggregator
}

const counter = (help: string, labels: MetricDefinition['labels'] = {}): MetricDefinition => ({
  type: 'counter',
  help,
  labels,
  aggregator: 'sum',
})
const histogram = (help: string, labels: MetricDefinition['labels'] = {}): MetricDefinition => ({
  type: 'histogram',
  help,
  labels,
  aggregator: 'sum',
})
const gauge = (help: string, aggregator: Aggregator, labels: MetricDefinition['labels'] = {}): MetricDefinition => ({
  type: 'gauge',
  help,
  labels,
  aggregator,
})

const CODE = 'fault code'
const ROUTE = 'path prefix of the route; none where no route was found, and on Ub and Zn'
const APP_SERVER = 'name in `ap.appServers`'
const OUTCOME = 'forwarded (an application server answered), own (answered here), refused'

/** Every metric of our own: the one definition that code, README and dashboard go by. */
export const METRICS = {
  gba_proxy_requests_total: counter(
    'Decided requests. An answer that is refused after it came counts as forwarded and as refused.',
    { interface: 'ub, zn, ut', route: ROUTE, outcome: OUTCOME, code: `${CODE} of a refusal, else none` },
  ),
  gba_proxy_request_duration_seconds: histogram(
    "From the request to the decision, in seconds; for a forwarded one to the head of the application server's answer.",
    { interface: 'ub, zn, ut', route: ROUTE, outcome: OUTCOME },
  ),
  gba_proxy_ua_unauthorized_total: counter('Answers 401 on Ua, by reason.', { code: CODE }),
  gba_proxy_logins_total: counter('Requests whose sender has proved to be a subscriber.', {
    door: 'psk, certificate, digest, password',
  }),
  gba_proxy_avs_drawn_total: counter('Authentication vectors drawn from the HSS.'),
  gba_proxy_bootstraps_total: counter('Bootstraps that came about.'),
  gba_proxy_resyncs_total: counter('Resynchronisations of SQN.'),
  gba_proxy_nonce_uses_total: counter('Right responses over a nonce, by what became of them.', {
    outcome: 'accepted, reused (a nonce count came twice), forgotten, aged',
  }),
  gba_proxy_tolerances_total: counter('Requests in which a deviation was tolerated.', {
    tolerance: 'name of the tolerance',
  }),
  gba_proxy_ua_protocol_ids_total: counter('Requests by the Ua security protocol identifier that verified.', {
    id: 'ten hexadecimal digits: a listed one, or that of a cipher suite',
  }),
  gba_proxy_zn_fetch_duration_seconds: histogram('From the question to the answer of the BSF, in seconds.', {
    code: `${CODE}, none for a key`,
  }),
  gba_proxy_zn_cache_entries: gauge('Entries of the cache of Zn answers.', 'sum', {
    kind: 'known (keys), unknown (B-TIDs that the BSF does not know)',
  }),
  gba_proxy_zn_cache_lookups_total: counter('Questions to the cache of Zn answers.', {
    outcome: 'hit, unknown (known to be unknown), miss',
  }),
  gba_proxy_zn_shared_lookups_total: counter('Questions to the keys that processes or hosts share.', {
    outcome: 'hit, miss, failure (writes included)',
  }),
  gba_proxy_upstream_duration_seconds: histogram(
    "From sending a request to the head of the application server's answer, in seconds.",
    { app_server: APP_SERVER, status: '1xx to 5xx' },
  ),
  gba_proxy_upstream_failures_total: counter('Requests that an application server did not answer well.', {
    app_server: APP_SERVER,
    code: CODE,
  }),
  gba_proxy_upstream_connections: gauge('Open connections to an application server.', 'sum', {
    app_server: APP_SERVER,
  }),
  gba_proxy_upstream_waiting_requests: gauge('Requests that wait for a connection to an application server.', 'sum', {
    app_server: APP_SERVER,
  }),
  gba_proxy_app_server_up: gauge(
    'Whether requests go to an address of an application server: 1, or 0 from when it is left alone until it has answered.',
    'min',
    { app_server: APP_SERVER, address: '1: its `url`, 2 and more: its `moreUrls` in their order' },
  ),
  gba_proxy_requests_in_flight: gauge(
    'Requests on Ut that are under way, those whose body is still to come excepted.',
    'sum',
  ),
  gba_proxy_requests_shed_total: counter(
    'Requests on Ut that were not taken on, answered 503 (AP_OVERLOADED). The other counters know one of a second.',
    { reason: 'in-flight, loop-delay' },
  ),
  gba_proxy_tls_connections_total: counter('TLS connections that came about.', {
    listener: 'name of the listener',
    version: 'TLSv1.2, TLSv1.3',
    suite: 'name of the cipher suite (IANA)',
  }),
  gba_proxy_tls_handshake_failures_total: counter('TLS handshakes that did not come about.', {
    listener: 'name of the listener',
    reason:
      'closed, handshake-late, not-tls, version, suite, client-alert, client-certificate, other; of doors and fronts as in the audit',
  }),
  gba_proxy_tls_expiry_timestamp_seconds: gauge('When a file stops to be of use, in seconds since 1970.', 'min', {
    kind: 'certificate, ca, crl, ocsp',
    file: 'path',
  }),
  gba_proxy_store_writable: gauge('Whether the store takes writes: 1 or 0.', 'min'),
  gba_proxy_store_size_bytes: gauge('Size of the files of the store, in octets; LMDB only.', 'max'),
  gba_proxy_store_free_bytes: gauge('Space that is left where the store is, in octets; LMDB only.', 'min'),
  gba_proxy_access_log_dropped_total: counter('Entries of access logs that were dropped.'),
  gba_proxy_trace_spans_total: counter('Spans of traces, by what became of them.', {
    outcome: 'exported, dropped (the collector is away, slow or refuses them)',
  }),
  gba_proxy_draining: gauge('Whether the process was asked to stop: 1 or 0.', 'max'),
  gba_proxy_workers: gauge('Processes that are to serve.', 'max'),
  gba_proxy_workers_alive: gauge('Processes that serve.', 'sum'),
  gba_proxy_workers_silent: gauge(
    'Processes that serve and did not answer this question in time: their last numbers stand in.',
    'sum',
  ),
  gba_proxy_worker_replacements_total: counter('Processes that took the place of one that had died.'),
  gba_proxy_build_info: gauge('1.', 'first', { version: 'of gba-proxy', node: 'version of Node' }),
} as const satisfies Readonly<Record<string, MetricDefinition>>

export type MetricName = keyof typeof METRICS

export const METRIC_NAMES = Object.keys(METRICS) as readonly MetricName[]

export const METRIC_TABLE_BEGIN = '<!-- metrics:begin -->'
export const METRIC_TABLE_END = '<!-- metrics:end -->'

/** Every metric as a Markdown table: name, type, labels, meaning. */
export function metricTable(): string {
  const rows = METRIC_NAMES.map((name) => {
    const { type, help, labels }: MetricDefinition = METRICS[name]
    const told = Object.entries(labels).map(([label, values]) => `\`${label}\`: ${values}`)
    return `| \`${name}\` | ${type} | ${told.join('; ')} | ${help} |`
  })
  return ['| metric | type | labels | meaning |', '|---|---|---|---|', ...rows].join('\n')
}
