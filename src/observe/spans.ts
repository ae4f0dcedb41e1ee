import type { EpochMs } from '../core/bytes.ts'

/** @see OpenTelemetry Protocol, trace.proto: SpanKind */
export const SPAN_KINDS = { internal: 1, server: 2, client: 3 } as const

/** What a span tells besides its time: names of the configuration, codes and numbers; never what a UE wrote. */
export type Attributes = Readonly<Record<string, string | number | undefined>>

/** A part of what was done for one request. */
export interface Span {
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId: string | undefined
  readonly kind: (typeof SPAN_KINDS)[keyof typeof SPAN_KINDS]
  readonly name: string
  readonly startedAt: EpochMs
  readonly endedAt: EpochMs
  readonly attributes: Attributes
  readonly isError: boolean
}

/**
 * The body of one export, as OTLP/HTTP has it in JSON: ids in hexadecimal digits, 64-bit numbers as text.
 * @param resource  what all of them have in common: who made them
 * @see OpenTelemetry Protocol Specification 1.x, "OTLP/HTTP", "JSON Protobuf Encoding"
 */
export function exportBody(spans: readonly Span[], resource: Attributes, scope: Scope): string {
  const scopeSpans = [{ scope, spans: spans.map(encoded) }]
  return JSON.stringify({ resourceSpans: [{ resource: { attributes: encodedAttributes(resource) }, scopeSpans }] })
}

/** What made the spans. */
export interface Scope {
  readonly name: string
  readonly version: string
}

const encoded = ({ traceId, spanId, parentSpanId, kind, name, startedAt, endedAt, attributes, isError }: Span) => ({
  traceId,
  spanId,
  ...(parentSpanId !== undefined && { parentSpanId }),
  flags: 1,
  name,
  kind,
  startTimeUnixNano: nanoseconds(startedAt),
  // A clock that was set back meanwhile makes no span of negative length.
  endTimeUnixNano: nanoseconds(Math.max(startedAt, endedAt)),
  attributes: encodedAttributes(attributes),
  status: isError ? { code: STATUS_ERROR } : {},
})

const encodedAttributes = (attributes: Attributes) =>
  Object.entries(attributes).flatMap(([key, value]) =>
    value === undefined
      ? []
      : [{ key, value: typeof value === 'number' ? { intValue: String(value) } : { stringValue: value } }],
  )

const nanoseconds = (at: EpochMs): string => `${Math.trunc(at)}000000`

const STATUS_ERROR = 2
