import { flag, list, ratio, section, text, textOr } from './keys.ts'

export const tracesSchema = section('Traces', 'Spans of requests, sent to an OpenTelemetry collector.', {
  enabled: flag('Enabled', 'Whether any are made.', false),
  endpoint: textOr(
    'url',
    'Endpoint',
    'Where the collector takes OTLP over HTTP (JSON).',
    'http://127.0.0.1:4318/v1/traces',
  ),
  caFile: textOr(
    'file',
    'CA',
    'PEM file with the CAs that issue its certificate, for an https endpoint; empty: those that Node.js trusts.',
    '',
  ),
  serviceName: textOr('name', 'Service name', 'What this process is called in traces.', 'gba-proxy'),
  sampleRatio: ratio('Sampling', 'Share of the requests without a trace to go on of which spans are made.', 0.1),
  trustedSources: list(
    'Trusted sources',
    'Whose traceparent is believed and gone on with, sampling included; a front among them has to write or remove that header itself.',
    text('network', 'Source', 'IP address or network.'),
    0,
    [],
  ),
  toAppServers: flag('To application servers', 'Whether a traceparent goes with forwarded requests.', false),
})
