import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { Queue } from '../../src/http/queue.ts'

interface Item {
  readonly n: number
}

function queueOf(count: number) {
  const queue = new Queue<Item>()
  const items = Array.from({ length: count }, (_, n) => ({ n }))
  for (const item of items) queue.add(item)
  return { queue, items }
}

describe('a queue', () => {
  test('serves in the order in which they came', () => {
    const { queue, items } = queueOf(3)
    assert.deepEqual(queue.all(), items)
    for (const item of items) {
      assert.equal(queue.first, item)
      queue.delete(item)
    }
    assert.equal(queue.first, undefined)
    assert.equal(queue.size, 0)
  })

  test('lets go of whoever leaves before its turn, and of nobody else', () => {
    const { queue, items } = queueOf(3)
    const [first, second, third] = items
    if (!first || !second || !third) throw new TypeError('three were asked for')
    queue.delete(second)
    assert.deepEqual(queue.all(), [first, third])
    queue.delete(second)
    assert.equal(queue.size, 2)
    queue.delete(first)
    assert.equal(queue.first, third)
  })

  test('is a list from which some are taken, whatever comes and goes', () => {
    const step = fc.oneof(fc.constant('add' as const), fc.nat(40))
    fc.assert(
      fc.property(fc.array(step, { maxLength: 3000 }), (steps) => {
        const queue = new Queue<Item>()
        const model: Item[] = []
        for (const [n, each] of steps.entries()) {
          if (each === 'add') {
            const item = { n }
            queue.add(item)
            model.push(item)
          } else {
            const [gone] = model.splice(each, 1)
            queue.delete(gone ?? { n: -1 })
          }
          assert.equal(queue.first, model[0])
          assert.equal(queue.size, model.length)
        }
        assert.deepEqual(queue.all(), model)
      }),
      { numRuns: 50 },
    )
  })

  test('goes on when thousands have come and gone, and it was never empty', () => {
    const { queue, items } = queueOf(5000)
    for (const item of items.slice(0, 4990)) queue.delete(item)
    const more = { n: 5000 }
    queue.add(more)
    assert.deepEqual(queue.all(), [...items.slice(4990), more])
    assert.equal(queue.first, items[4990])
  })
})

test('whoever is refused as it comes costs the same, however many were before it', () => {
  const { queue, items } = queueOf(3)
  for (let n = 0; n < 200_000; n++) {
    const refused = { n }
    queue.add(refused)
    queue.delete(refused)
  }
  assert.deepEqual(queue.all(), items)
})
