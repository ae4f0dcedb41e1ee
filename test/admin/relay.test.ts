import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { ShownDecision } from '../../src/admin/calls.ts'
import { relay, type ToldDecisions } from '../../src/admin/relay.ts'

const refused = (n: number): ShownDecision => ({ time: `${n}`, event: 'ut.refused', code: 'UA_NC_REUSED' })
const forwarded: ShownDecision = { time: '0', event: 'ut.forwarded' }

function site(mostWaiting: number) {
  const followers = new Set<(decision: ShownDecision) => void>()
  const sent: ToldDecisions[] = []
  let taken = () => {}
  const want = relay(
    {
      follow(tell) {
        followers.add(tell)
        return () => followers.delete(tell)
      },
    },
    (told) => {
      sent.push(told)
      return new Promise((resolve) => {
        taken = resolve
      })
    },
    mostWaiting,
  )
  const decide = (...decisions: ShownDecision[]) => {
    for (const decision of decisions) for (const tell of followers) tell(decision)
  }
  const take = async () => {
    taken()
    await nextTurn()
  }
  return { want, decide, take, sent, followers }
}

test('a worker tells of decisions while somebody follows, and of those that are wanted', async () => {
  const { decide, followers, sent, take, want } = site(10)
  decide(refused(1))
  assert.equal(followers.size, 0)
  want([{ code: 'UA_NC_REUSED' }, { event: 'ub.refused' }])
  decide(forwarded, refused(2))
  want([{ event: 'ut.forwarded' }])
  decide(forwarded, refused(3))
  await take()
  assert.deepEqual(
    sent.map(({ decisions }) => decisions),
    [[refused(2)], [forwarded]],
  )
  want([])
  assert.equal(followers.size, 0)
  await take()
  assert.equal(sent.length, 2)
})

test('decisions that the other end has no room for are counted, of each kind, and told when it has', async () => {
  const { decide, sent, take, want } = site(2)
  want([{}])
  decide(refused(0), refused(1), refused(2), refused(3), forwarded, refused(4))
  assert.equal(sent.length, 1)
  await take()
  assert.deepEqual(sent[1], {
    decisions: [refused(1), refused(2)],
    lost: [
      { event: 'ut.refused', code: 'UA_NC_REUSED', count: 2 },
      { event: 'ut.forwarded', count: 1 },
    ],
  })
  await take()
  assert.equal(sent.length, 2)
})
