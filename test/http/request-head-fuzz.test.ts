import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fuzz } from './request-head-fuzz.ts'

// For longer: node test/bench/fuzz-front.ts 600

const CASES = 8_000

test("what the reader of request heads accepts, Node's own parser reads in the same way", async () => {
  const found = await fuzz(1, (cases) => cases >= CASES)
  assert.deepEqual(found.differences, [])
  // Neither side is silent: most of what is valid is accepted, and of what was changed a good part.
  assert.ok(found.accepted > CASES / 4 && found.accepted < CASES)
  assert.ok(found.acceptedChanged > CASES / 20)
  assert.ok(found.prefixes > CASES)
})
