import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { claimsIdentity } from '../../src/core/header-names.ts'
import { forwardable, PASSED_OUTSIDE, returnable, SINGLE, traitsOf } from '../../src/ut/header-names.ts'

const KNOWN = [
  'Accept',
  'content-type',
  'Authorization',
  'X-3GPP-Asserted-Identity',
  'x_3gpp_asserted_identity',
  'From',
  'Server',
]
const name = fc.oneof(
  fc.constantFrom(...KNOWN),
  fc.constantFrom(...KNOWN).map((known) => known.toUpperCase()),
  fc.stringMatching(/^[A-Za-z0-9_.-]{1,80}$/),
  fc.string({ unit: 'binary', maxLength: 70 }),
)

const judged = (its: string) => ({
  key: its.toLowerCase(),
  claimsIdentity: claimsIdentity(its),
  forwardable: forwardable(its),
  returnable: returnable(its),
  passedOutside: PASSED_OUTSIDE.has(its.toLowerCase()),
  single: SINGLE.has(its.toLowerCase()),
})

describe('what a header name decides', () => {
  test('is the same when it is remembered, and when it is too long for that', () => {
    fc.assert(
      fc.property(fc.array(name, { maxLength: 20 }), (names) => {
        for (const its of [...names, ...names]) assert.deepEqual(traitsOf(its), judged(its))
      }),
    )
  })

  test('is the same after more names than are remembered', () => {
    for (let i = 0; i < 2_500; i++) traitsOf(`X-Invented-${i}`)
    for (const its of [...KNOWN, 'X-Invented-0']) assert.deepEqual(traitsOf(its), judged(its))
  })
})
