/** One span of a trace, as those who call one another tell each other of it. */
export interface TraceContext {
  /** 32 hexadecimal digits in lower case, not all zero. */
  readonly traceId: string
  /** 16 of them, not all zero. */
  readonly spanId: string
  /** Whoever called has recorded its part. */
  readonly sampled: boolean
}

/**
 * Reads the value of a `traceparent`. Of a later version the part that this one has is read.
 * @returns undefined for what is none: whoever cannot read it begins a trace
 * @see W3C Trace Context (Recommendation, 2021-11-23) clauses 3.2.2 and 4.3
 */
export function parseTraceparent(value: string): TraceContext | undefined {
  const [, version, traceId = '', spanId = '', flags = '', more] = FORM.exec(value) ?? []
  if (version === undefined || version === 'ff' || (version === '00' && more !== undefined)) return undefined
  if (ALL_ZERO.test(traceId) || ALL_ZERO.test(spanId)) return undefined
  return { traceId, spanId, sampled: (Number.parseInt(flags, 16) & SAMPLED) !== 0 }
}

/**
 * Writes the value of a `traceparent`, version 00.
 * @see W3C Trace Context (Recommendation, 2021-11-23) clause 3.2.2
 */
export const formatTraceparent = ({ traceId, spanId, sampled }: TraceContext): string =>
  `00-${traceId}-${spanId}-${sampled ? '01' : '00'}`

const FORM = /^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/
const ALL_ZERO = /^0+$/
const SAMPLED = 0x01
