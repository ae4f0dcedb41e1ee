import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { FreeSpace } from '../../src/store/free-space.ts'

const GIB = 1024 ** 3

function measured(minFreeBytes: number, free: number) {
  const disk = { free, asked: 0, now: 5_000 }
  const ask = () => {
    disk.asked++
    return disk.free
  }
  return { disk, space: new FreeSpace({ ask, minFreeBytes, clock: () => disk.now }) }
}

describe('FreeSpace', () => {
  test('asks ten times a second where there is plenty', () => {
    const { disk, space } = measured(16, 2 * GIB)
    for (let i = 0; i < 50; i++) assert.equal(space.bytes(), 2 * GIB)
    assert.equal(disk.asked, 1)
    disk.free = 3
    disk.now += 99
    assert.equal(space.bytes(), 2 * GIB)
    disk.now += 1
    assert.equal(space.bytes(), 3)
  })

  for (const [where, minFreeBytes, free] of [
    ['below what must stay free', 16, 15],
    ['where less than a gigabyte is left', 16, GIB - 1],
    ['below four times what must stay free', GIB, 4 * GIB - 1],
  ] as const) {
    test(`asks each time ${where}`, () => {
      const { disk, space } = measured(minFreeBytes, free)
      for (let i = 0; i < 50; i++) assert.equal(space.bytes(), free)
      assert.equal(disk.asked, 50)
      disk.free = 4 * GIB
      assert.equal(space.bytes(), 4 * GIB)
    })
  }
})
