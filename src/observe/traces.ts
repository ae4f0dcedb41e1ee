import type { EpochMs } from '../core/bytes.ts'
import { headerValues, type RawHeaders } from '../core/headers.ts'
import { formatTraceparent, parseTraceparent, type TraceContext } from '../core/trace-context.ts'
import type { AuditEvent, AuditRecord, RequestTrace } from './audit.ts'
import { type SpanCounts, type SpanExportOptions, spanExport } from './span-export.ts'
import { type Attributes, SPAN_KINDS, type Span } from './spans.ts'

export interface TracingOptions extends SpanExportOptions {
  /** Of the requests that bring no trace to be believed, the share of which spans are made: 0 to 1. */
  readonly sampleRatio: number
  /** Whose `traceparent` is believed. */
  readonly isTrusted: (address: string) => boolean
  /** Whether application servers that do not say otherwise get a `traceparent`; an external one never does. */
  readonly toAppServers: boolean
  readonly randomBytes: (length: number) => Buffer
}

/** Where a request came from, and through whom. */
export interface TracedOrigin {
  readonly source: string
  /** Address of the front that ended the TLS of the client, and may have written to its headers. */
  readonly front?: string
}

/** How an application server is told of traces. */
export interface TracedServer {
  readonly trust?: 'internal' | 'external'
  readonly traceparent?: 'default' | 'send' | 'withhold'
}

/** Traces of what this process does. Its spans are made of the decisions that the audit is told of. */
export interface Tracing {
  /** A request arrives: it goes on a trace that a trusted caller began, or begins one. */
  begin(origin: TracedOrigin, received: RawHeaders, at: EpochMs): RequestTrace
  /** The request is sent on. @returns the `traceparent` that goes with it; undefined: that server gets none */
  sending(trace: RequestTrace, server: TracedServer, at: EpochMs): string | undefined
  /** To be told of every decision. */
  record(event: AuditEvent, record: AuditRecord): void
  counts(): SpanCounts
  /** Sends what is left, within two seconds, and so many ms where that is less. */
  close(mostMs?: number): Promise<void>
}

/** @see W3C Trace Context (Recommendation, 2021-11-23) */
export function tracing(options: TracingOptions, now: () => EpochMs): Tracing {
  const spans = spanExport(options)
  const newId = (length: number) => options.randomBytes(length).toString('hex')

  function isSampled(traceId: string): boolean {
    return Number.parseInt(traceId.slice(-SAMPLED_DIGITS), 16) < options.sampleRatio * 16 ** SAMPLED_DIGITS
  }

  /** Two of them contradict each other, and so none counts. */
  function parentIn({ source, front }: TracedOrigin, received: RawHeaders): TraceContext | undefined {
    if (!options.isTrusted(source) && (front === undefined || !options.isTrusted(front))) return undefined
    const [value, ...more] = headerValues(received, 'traceparent')
    return value === undefined || more.length > 0 ? undefined : parseTraceparent(value)
  }

  function begun(parent: TraceContext | undefined, at: EpochMs): Trace {
    const traceId = parent?.traceId ?? newId(16)
    return new Trace({ traceId, spanId: newId(8), sampled: parent?.sampled ?? isSampled(traceId) }, parent?.spanId, at)
  }

  /** One that fetches its key, or waits for an application server. */
  function childOf({ context: { traceId, spanId } }: Trace, name: string, of: ChildOf): Span {
    const { isError = false, ...more } = of
    return { traceId, parentSpanId: spanId, spanId: newId(8), kind: SPAN_KINDS.client, name, isError, ...more }
  }

  function serverSpan({ context, parentSpanId, at }: Trace, endedAt: EpochMs, named: Named): Span {
    const { traceId, spanId } = context
    const { isError = false, ...more } = named
    return { traceId, spanId, parentSpanId, kind: SPAN_KINDS.server, startedAt: at, endedAt, isError, ...more }
  }

  function endUpstream(trace: Trace, status: number | undefined, { appServer, code, method }: AuditRecord): void {
    const { upstream } = trace
    if (!upstream || upstream.isEnded) return
    upstream.isEnded = true
    spans.add(
      childOf(trace, `${methodOf(method) ?? 'HTTP'} ${appServer ?? ''}`.trim(), {
        spanId: upstream.spanId,
        startedAt: upstream.sentAt,
        endedAt: now(),
        isError: status === undefined || status >= 500,
        attributes: {
          'http.request.method': methodOf(method),
          'http.response.status_code': status,
          'gba.app_server': appServer,
          'error.type': status === undefined ? code : undefined,
        },
      }),
    )
  }

  /** An answer that had begun well and was refused after all: what was told of it is amended, or added to. */
  function endServer(trace: Trace, event: AuditEvent, record: AuditRecord): void {
    const method = methodOf(record.method)
    const span = serverSpan(trace, now(), {
      name: [method ?? 'HTTP', record.route ?? ''].join(' ').trim(),
      attributes: attributesOf(record),
      isError: (record.status ?? 0) >= 500,
    })
    const { ended } = trace
    if (!ended) spans.add(span)
    else if (!spans.replace(ended, span)) {
      const { endedAt: startedAt } = ended
      const { endedAt, attributes, isError } = span
      spans.add({ ...childOf(trace, event, { startedAt, endedAt, attributes, isError }), kind: SPAN_KINDS.internal })
      return
    }
    trace.ended = span
  }

  function recordFetch(trace: Trace, { durationMs = 0, code, naf }: AuditRecord): void {
    const endedAt = now()
    const attributes = { 'gba.naf': naf, 'gba.fault_code': code, 'error.type': code }
    spans.add(
      childOf(trace, 'zn fetch', { startedAt: endedAt - durationMs, endedAt, attributes, isError: code !== undefined }),
    )
  }

  /** Ub brings no trace that anybody would believe. */
  function recordBootstrapping(event: AuditEvent, record: AuditRecord): void {
    const endedAt = now()
    const trace = begun(undefined, endedAt - (record.durationMs ?? 0))
    if (!trace.context.sampled) return
    const isError = (record.status ?? 0) >= 500
    spans.add(serverSpan(trace, endedAt, { name: event, attributes: attributesOf(record), isError }))
  }

  return {
    begin: (origin, received, at) => begun(parentIn(origin, received), at),
    sending(its, { trust, traceparent = 'default' }, sentAt) {
      const trace = asTrace(its)
      if (!trace) return undefined
      const spanId = newId(8)
      trace.upstream = { spanId, sentAt, isEnded: false }
      const isWanted = traceparent === 'default' ? options.toAppServers && trust !== 'external' : traceparent === 'send'
      return isWanted ? formatTraceparent({ ...trace.context, spanId }) : undefined
    },
    record(event, record) {
      if (UB_EVENTS.has(event)) return recordBootstrapping(event, record)
      const trace = asTrace(record.trace)
      if (!trace?.context.sampled) return
      if (event === 'zn.fetched') return recordFetch(trace, record)
      endUpstream(trace, event === 'ut.forwarded' ? record.status : undefined, record)
      endServer(trace, event, record)
    },
    counts: spans.counts,
    close: spans.close,
  }
}

interface Named {
  readonly name: string
  readonly attributes: Attributes
  readonly isError?: boolean
}

interface ChildOf extends Omit<Named, 'name'> {
  readonly spanId?: string
  readonly startedAt: EpochMs
  readonly endedAt: EpochMs
}

class Trace implements RequestTrace {
  /** Of the span that the request is here. */
  readonly context: TraceContext
  readonly parentSpanId: string | undefined
  readonly at: EpochMs
  upstream: { readonly spanId: string; readonly sentAt: EpochMs; isEnded: boolean } | undefined
  /** What was told of the request last. */
  ended: Span | undefined

  constructor(context: TraceContext, parentSpanId: string | undefined, at: EpochMs) {
    this.context = context
    this.parentSpanId = parentSpanId
    this.at = at
  }

  get traceId(): string {
    return this.context.traceId
  }
}

const asTrace = (trace: RequestTrace | undefined): Trace | undefined => (trace instanceof Trace ? trace : undefined)

/** Neither an identity nor a word that the UE chose, its method included. */
const attributesOf = ({ requestId, method, status, route, naf, door, step, code, appServer }: AuditRecord) => ({
  'http.request.method': methodOf(method),
  'http.response.status_code': status,
  'http.route': route,
  'gba.request_id': requestId,
  'gba.naf': naf,
  'gba.door': door,
  'gba.step': step,
  'gba.fault_code': code,
  'gba.app_server': appServer,
  'error.type': status !== undefined && status >= 500 ? code : undefined,
})

/** @see OpenTelemetry Semantic Conventions, "HTTP spans": a method that is not known is `_OTHER` */
const methodOf = (method: string | undefined): string | undefined =>
  method === undefined || METHODS.has(method) ? method : '_OTHER'

const METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'PUT', 'DELETE', 'POST', 'OPTIONS', 'PATCH'])

const UB_EVENTS: ReadonlySet<AuditEvent> = new Set(['ub.challenged', 'ub.bootstrapped', 'ub.refused'])

/** Of the trace id: as many as a number holds exactly. */
const SAMPLED_DIGITS = 13
