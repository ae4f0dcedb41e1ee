import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Load } from '../src/load.ts'

describe('the load', () => {
  test('is too much when as many requests are under way as may, until one is over', () => {
    const load = new Load({ inFlight: 2, maxLoopDelayMs: 0 })
    const first = load.enter()
    assert.equal(load.overload, undefined)
    load.enter()
    assert.equal(load.overload, 'in-flight')
    first.leave()
    first.leave()
    assert.equal(load.overload, undefined)
    assert.equal(load.state().inFlight, 1)
  })

  test('does not count who waits for a client, nor who is over already', () => {
    const load = new Load({ inFlight: 1, maxLoopDelayMs: 0 })
    const place = load.enter()
    for (let i = 0; i < 2; i++) place.pause()
    assert.equal(load.state().inFlight, 0)
    for (let i = 0; i < 2; i++) place.resume()
    assert.equal(load.state().inFlight, 1)
    place.leave()
    place.resume()
    place.pause()
    assert.equal(load.state().inFlight, 0)
  })

  test('goes by new limits from when they come, and what is under way counts as before', () => {
    const load = new Load({ inFlight: 2, maxLoopDelayMs: 0 })
    const places = [load.enter(), load.enter()]
    load.limit({ inFlight: 3, maxLoopDelayMs: 0 })
    assert.equal(load.overload, undefined)
    load.limit({ inFlight: 1, maxLoopDelayMs: 0 })
    places[0]?.leave()
    assert.equal(load.overload, 'in-flight')
    places[1]?.leave()
    assert.equal(load.overload, undefined)
  })

  test('tells of refusals once a second, of all of them', () => {
    const load = new Load({ inFlight: 10, maxLoopDelayMs: 0 })
    const told = [0, 1, 999, 1000, 1500, 2500].map((now) => load.refused('in-flight', now))
    assert.deepEqual(told, [1, undefined, undefined, 3, undefined, 2])
    assert.deepEqual(load.state().refused, { 'in-flight': 6, 'loop-delay': 0 })
  })
})
