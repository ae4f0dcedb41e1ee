import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import {
  NC_WINDOW_OCTETS,
  type NcWindow,
  openNcWindow,
  readNcWindow,
  useNc,
  writeNcWindow,
} from '../../src/store/nc-window.ts'
import { NC_WINDOW } from '../../src/store/store.ts'

const upTo = (count: number) => Array.from({ length: count }, (_, n) => n)

function stored(window: NcWindow): Buffer {
  const octets = Buffer.alloc(3 + NC_WINDOW_OCTETS.bits, 0xff)
  return octets.subarray(0, 3 + writeNcWindow(window, octets, 3))
}

describe('NcWindow', () => {
  test('every count in every order is answered as a plain set of all counts would, also when stored in between', () => {
    const edge = fc.constantFrom(0, 1, 2, 31, 32, 33, NC_WINDOW - 2, NC_WINDOW - 1, NC_WINDOW, NC_WINDOW + 1, 9_999)
    const step = fc.oneof(
      fc.constantFrom(1, -1, 2, -2),
      fc.integer({ min: -60, max: 80 }),
      edge,
      edge.map((n) => -n),
    )
    const from = fc.constantFrom<number[]>(0, 5_000, 0xffff_0000)
    fc.assert(
      fc.property(fc.array(step, { maxLength: 400, size: 'max' }), from, fc.boolean(), (steps, first, isStored) => {
        let window = openNcWindow(first)
        const used = new Set([first])
        let highest = first
        let nc = first
        for (const by of steps) {
          nc = Math.min(0xffff_ffff, Math.max(0, nc + by))
          const open = !used.has(nc) && nc >= highest - NC_WINDOW
          assert.equal(useNc(window, nc), open)
          if (open) used.add(nc)
          highest = Math.max(highest, nc)
          if (isStored) window = readNcWindow(stored(window), 3)
        }
      }),
      { numRuns: 500, seed: 1 },
    )
  })

  test('a count skipped long after its place in the ring was used is still open, once', () => {
    const window = openNcWindow(1)
    for (let odd = 3; odd < 2 * NC_WINDOW; odd += 2) assert.ok(useNc(window, odd))
    for (let even = 2 * NC_WINDOW; even < 4 * NC_WINDOW; even += 2) assert.ok(useNc(window, even))
    for (let odd = 3 * NC_WINDOW - 1; odd < 4 * NC_WINDOW - 2; odd += 2) {
      assert.equal(useNc(window, odd), true)
      assert.equal(useNc(window, odd), false)
    }
  })

  test('a count used below a long unbroken run stays used to the edge of the window', () => {
    const window = openNcWindow(10)
    for (const n of upTo(NC_WINDOW - 1)) assert.ok(useNc(window, 12 + n))
    assert.equal(window.highest, 10 + NC_WINDOW)
    assert.equal(useNc(window, 10), false)
    assert.equal(useNc(window, 11), true)
    assert.equal(useNc(window, 11), false)
  })

  test('a UE that counts one up at a time needs no bits, and one that catches up needs none any more', () => {
    const window = openNcWindow(1)
    for (const n of upTo(5_000)) useNc(window, n + 2)
    assert.equal(stored(window).length, 3 + NC_WINDOW_OCTETS.run)
    useNc(window, window.highest + 2)
    assert.equal(stored(window).length, 3 + NC_WINDOW_OCTETS.bits)
    for (const _ of upTo(NC_WINDOW)) useNc(window, window.highest + 1)
    assert.equal(stored(window).length, 3 + NC_WINDOW_OCTETS.run)
  })
})
