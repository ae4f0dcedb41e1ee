import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { formatTraceparent, parseTraceparent } from '../../src/core/trace-context.ts'

const TRACE_ID = '4bf92f3577b34da6a3ce929d0e0e4736'
const SPAN_ID = '00f067aa0ba902b7'

describe('traceparent', () => {
  for (const [name, value, sampled] of [
    // W3C Trace Context, clause 3.2.3
    ['sampled, as the recommendation shows it', `00-${TRACE_ID}-${SPAN_ID}-01`, true],
    ['not sampled, as the recommendation shows it', `00-${TRACE_ID}-${SPAN_ID}-00`, false],
    ['with flags that this version does not know', `00-${TRACE_ID}-${SPAN_ID}-fe`, false],
    ['sampled, with further flags', `00-${TRACE_ID}-${SPAN_ID}-03`, true],
    ['of a later version', `cc-${TRACE_ID}-${SPAN_ID}-01`, true],
    ['of a later version that says more', `cc-${TRACE_ID}-${SPAN_ID}-01-what-the-future-will-be`, true],
  ] as const) {
    test(`is read where it is ${name}`, () =>
      assert.deepEqual(parseTraceparent(value), { traceId: TRACE_ID, spanId: SPAN_ID, sampled }))
  }

  for (const [name, value] of [
    ['empty', ''],
    ['of the version that is none', `ff-${TRACE_ID}-${SPAN_ID}-01`],
    ['of this version and says more', `00-${TRACE_ID}-${SPAN_ID}-01-x`],
    ['of this version and ends in a hyphen', `00-${TRACE_ID}-${SPAN_ID}-01-`],
    ['of a later version that runs on', `cc-${TRACE_ID}-${SPAN_ID}-01x`],
    ['of a trace id in upper case', `00-${TRACE_ID.toUpperCase()}-${SPAN_ID}-01`],
    ['of a span id in upper case', `00-${TRACE_ID}-${SPAN_ID.toUpperCase()}-01`],
    ['of a trace id that is all zero', `00-${'0'.repeat(32)}-${SPAN_ID}-01`],
    ['of a span id that is all zero', `00-${TRACE_ID}-${'0'.repeat(16)}-01`],
    ['of a trace id that is too short', `00-${TRACE_ID.slice(1)}-${SPAN_ID}-01`],
    ['of a span id that is too long', `00-${TRACE_ID}-${SPAN_ID}0-01`],
    ['of flags that are no octet', `00-${TRACE_ID}-${SPAN_ID}-1`],
    ['of other digits', `00-${TRACE_ID.replace('4', 'g')}-${SPAN_ID}-01`],
    ['behind a blank', ` 00-${TRACE_ID}-${SPAN_ID}-01`],
    ['before a line end', `00-${TRACE_ID}-${SPAN_ID}-01\n`],
    ['two in one', `00-${TRACE_ID}-${SPAN_ID}-01,00-${TRACE_ID}-${SPAN_ID}-01`],
  ] as const) {
    test(`is none where it is ${name}`, () => assert.equal(parseTraceparent(value), undefined))
  }

  for (const sampled of [true, false]) {
    test(`is read as it was written, sampled: ${sampled}`, () => {
      const context = { traceId: TRACE_ID, spanId: SPAN_ID, sampled }
      assert.deepEqual(parseTraceparent(formatTraceparent(context)), context)
    })
  }
})
