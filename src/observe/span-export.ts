import type { SecureContextOptions } from 'node:tls'
import { Agent, request } from 'undici'
import { type Attributes, exportBody, type Scope, type Span } from './spans.ts'

export interface SpanExportOptions {
  /** Where a collector takes OTLP/HTTP: `http://127.0.0.1:4318/v1/traces`. */
  readonly endpoint: string
  /** Whom to trust where that is https. */
  readonly tls: SecureContextOptions
  readonly resource: Attributes
  readonly scope: Scope
  /** Told of the first export that failed after one that did not. */
  readonly onFailure: (error: unknown) => void
}

/** What became of the spans so far. */
export interface SpanCounts {
  readonly exported: number
  /** Not taken by the collector, or never sent since too many waited. */
  readonly dropped: number
}

export interface SpanExport {
  /** Never waits, and never throws. */
  add(span: Span): void
  /** Puts another span in the place of one that was not sent yet. @returns whether it could */
  replace(span: Span, by: Span): boolean
  counts(): SpanCounts
  /** Sends what is left, within two seconds, and so many ms where that is less; what is not sent then is dropped. */
  close(mostMs?: number): Promise<void>
}

/**
 * Sends spans in batches to a collector, one batch at a time. Nothing waits for it: where the collector is slow or away,
 * spans are dropped and counted. A batch that failed is not sent again, since it may have arrived.
 */
export function spanExport(options: SpanExportOptions): SpanExport {
  const agent = new Agent({
    connect: { ...options.tls, rejectUnauthorized: true, timeout: TIMEOUT_MS } as Agent.Options['connect'] & object,
    headersTimeout: TIMEOUT_MS,
    bodyTimeout: TIMEOUT_MS,
    connections: 1,
    pipelining: 1,
    maxResponseSize: MAX_ANSWER_OCTETS,
  })
  let waiting: Span[] = []
  let exported = 0
  let dropped = 0
  let isFailing = false
  let isClosed = false
  let timer: NodeJS.Timeout | undefined
  let underWay: Promise<void> | undefined

  function schedule(): void {
    if (underWay || isClosed || waiting.length === 0) return
    if (waiting.length >= BATCH_SPANS) start()
    else timer ??= setTimeout(start, BATCH_WAIT_MS).unref()
  }

  function start(): void {
    clearTimeout(timer)
    timer = undefined
    underWay = sendBatch(TIMEOUT_MS).finally(() => {
      underWay = undefined
      schedule()
    })
  }

  async function sendBatch(timeoutMs: number): Promise<void> {
    const batch = waiting.slice(0, BATCH_SPANS)
    waiting = waiting.slice(BATCH_SPANS)
    try {
      const rejected = await post(exportBody(batch, options.resource, options.scope), timeoutMs)
      const refused = Math.min(rejected, batch.length)
      exported += batch.length - refused
      dropped += refused
      isFailing = false
    } catch (error) {
      dropped += batch.length
      if (!isFailing) options.onFailure(error)
      isFailing = true
    }
  }

  /** @returns how many spans the collector did not want */
  async function post(body: string, timeoutMs: number): Promise<number> {
    const signal = AbortSignal.timeout(timeoutMs)
    // A request that still waits for its connection does not hear the signal.
    const late = new Promise<never>((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    })
    const answered = async () => {
      const answer = await request(options.endpoint, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body,
        dispatcher: agent,
        signal,
      })
      const text = await answer.body.text()
      if (answer.statusCode !== 200) throw new Error(`the collector answered ${answer.statusCode}`)
      return rejectedIn(text)
    }
    return await Promise.race([answered(), late])
  }

  return {
    add(span) {
      if (isClosed || waiting.length >= MOST_WAITING) {
        dropped++
        return
      }
      waiting.push(span)
      schedule()
    },
    replace(span, by) {
      const at = waiting.lastIndexOf(span)
      if (at >= 0) waiting[at] = by
      return at >= 0
    },
    counts: () => ({ exported, dropped }),
    async close(mostMs = CLOSE_MS) {
      isClosed = true
      clearTimeout(timer)
      const end = performance.now() + Math.min(mostMs, CLOSE_MS)
      const left = () => end - performance.now()
      if (underWay) await within(underWay, left())
      // What a collector that is away would have got is given up, since each batch might take as long.
      while (waiting.length > 0 && !isFailing && left() >= 1) await sendBatch(Math.ceil(left()))
      dropped += waiting.length
      waiting = []
      await agent.destroy()
      // What was cut off hears of it, and is counted.
      if (underWay) await within(underWay, CUT_MS)
    },
  }
}

/** @see OpenTelemetry Protocol Specification 1.x, "Partial Success" */
function rejectedIn(text: string): number {
  try {
    const count = Number(JSON.parse(text)?.partialSuccess?.rejectedSpans ?? 0)
    return Number.isFinite(count) && count > 0 ? count : 0
  } catch {
    return 0
  }
}

async function within(promise: Promise<void>, timeoutMs: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, Math.max(0, timeoutMs))
  })
  await Promise.race([promise, late])
  clearTimeout(timer)
}

const BATCH_SPANS = 512
const BATCH_WAIT_MS = 1_000
/** A collector that is away costs no more memory than this many spans take. */
const MOST_WAITING = 4_096
const TIMEOUT_MS = 5_000
const CLOSE_MS = 2_000
const CUT_MS = 100
const MAX_ANSWER_OCTETS = 64 * 1024
