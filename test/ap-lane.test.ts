import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type LaneRules, laneOf, type Prepared, together } from '../src/ap-lane.ts'

/** Only what a lane looks at. */
const rules = (...servers: (readonly [name: string, url: string])[]) =>
  ({ appServers: servers.map(([name, url]) => ({ name, url })) }) as unknown as LaneRules

function aLane(...servers: (readonly [name: string, url: string])[]) {
  const told: string[] = []
  const lane = laneOf(rules(...servers), ({ name, url }) => {
    if (url === 'broken') throw new RangeError(url)
    told.push(`open ${name} ${url}`)
    return {
      name: `${name} ${url}`,
      async close() {
        told.push(`close ${name} ${url}`)
      },
      destroy: () => void told.push(`destroy ${name} ${url}`),
    }
  })
  /** What has happened since the last time. */
  const happened = () => told.splice(0)
  const change = (...next: (readonly [name: string, url: string])[]) => lane.prepare(rules(...next)).commit()
  return { lane, happened, change }
}

describe('a lane', () => {
  test('keeps the ways to servers that stay as they are, opens others, and closes those that nobody wants', () => {
    const { change, happened } = aLane(['a', '1'], ['b', '1'])
    assert.deepEqual(happened(), ['open a 1', 'open b 1'])
    change(['b', '1'], ['c', '1'])
    assert.deepEqual(happened(), ['open c 1', 'close a 1'])
    change(['b', '2'], ['c', '1'])
    assert.deepEqual(happened(), ['open b 2', 'close b 1'])
  })

  test('lets a request go by the rules of its arrival, over any number of changes', () => {
    const { lane, change, happened } = aLane(['a', '1'])
    const early = lane.hold()
    change(['a', '2'])
    const later = lane.hold()
    change(['b', '1'])
    assert.equal(early.wayTo('a').name, 'a 1')
    assert.equal(later.wayTo('a').name, 'a 2')
    assert.throws(() => early.wayTo('b'), TypeError)
    assert.deepEqual(happened(), ['open a 1', 'open a 2', 'open b 1'])
    later.release()
    assert.deepEqual(happened(), ['close a 2'])
    early.release()
    early.release()
    assert.deepEqual(happened(), ['close a 1'])
  })

  test('closes a way that went and came back only as often as it was opened', () => {
    const { lane, change, happened } = aLane(['a', '1'])
    const held = lane.hold()
    change(['a', '1'], ['b', '1'])
    change(['a', '1'])
    held.release()
    assert.deepEqual(happened(), ['open a 1', 'open b 1', 'close b 1'])
    change()
    assert.deepEqual(happened(), ['close a 1'])
  })

  test('is as before where a way cannot be opened, or a change is left', () => {
    const { lane, happened } = aLane(['a', '1'])
    happened()
    assert.throws(() => lane.prepare(rules(['a', '1'], ['b', '1'], ['c', 'broken'])), RangeError)
    assert.deepEqual(happened(), ['open b 1', 'destroy b 1'])
    lane.prepare(rules(['a', '1'], ['b', '1'])).discard()
    assert.deepEqual(happened(), ['open b 1', 'destroy b 1'])
    assert.equal(lane.hold().wayTo('a').name, 'a 1')
  })

  test('destroys every way at its end, also those that a late request holds', () => {
    const { lane, change, happened } = aLane(['a', '1'])
    lane.hold()
    change(['b', '1'])
    happened()
    lane.destroy()
    assert.deepEqual(happened().sort(), ['destroy a 1', 'destroy b 1'])
  })
})

describe('several changes as one', () => {
  test('are all made, or those before the one that fails are left', () => {
    const told: string[] = []
    const change = (name: string) => (): Prepared => ({
      commit: () => void told.push(`commit ${name}`),
      discard: () => void told.push(`discard ${name}`),
    })
    together([change('a'), change('b')]).commit()
    assert.deepEqual(told.splice(0), ['commit a', 'commit b'])
    const fails = () => {
      throw new RangeError('c')
    }
    assert.throws(() => together([change('a'), fails, change('b')]), RangeError)
    assert.deepEqual(told, ['discard a'])
  })
})
