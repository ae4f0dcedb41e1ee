import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { atEndOfTurn } from '../../src/core/turn.ts'

/** Until all that was begun now is over. */
async function later(): Promise<void> {
  for (let turns = 0; turns < 4; turns++) await nextTurn()
}

describe('the end of a turn', () => {
  test('commits before it sends, whatever came first', async () => {
    const done: string[] = []
    atEndOfTurn('send', () => done.push('send'))
    atEndOfTurn('commit', () => done.push('commit'))
    assert.deepEqual(done, [])
    await later()
    assert.deepEqual(done, ['commit', 'send'])
  })

  test('sends what follows from a commit, by way of promises, before anything else of the next turn', async () => {
    const done: string[] = []
    const { promise, resolve } = Promise.withResolvers<void>()
    atEndOfTurn('commit', resolve)
    const sent = promise.then(async () => {
      await undefined
      atEndOfTurn('send', () => done.push('send'))
      setImmediate(() => done.push('next turn'))
    })
    await sent
    await later()
    assert.deepEqual(done, ['send', 'next turn'])
  })

  test('forgets nothing that comes behind its step', async () => {
    const done: string[] = []
    atEndOfTurn('send', () => {
      done.push('send')
      atEndOfTurn('commit', () => done.push('late commit'))
      atEndOfTurn('send', () => done.push('late send'))
    })
    atEndOfTurn(
      'commit',
      () => void Promise.resolve().then(() => atEndOfTurn('commit', () => done.push('next commit'))),
    )
    await later()
    assert.deepEqual(done.toSorted(), ['late commit', 'late send', 'next commit', 'send'])
    assert.ok(done.indexOf('late commit') < done.indexOf('late send'))
  })
})
