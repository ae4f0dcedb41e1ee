import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { btidOf, parseFqdn } from '../../src/core/identity.ts'
import { impuOf, LAB_BSF } from '../../src/lab.ts'
import { challengeOf, handUb } from '../support/hand-ub.ts'
import { handUe } from '../support/hand-ue.ts'
import { testLab } from '../support/lab.ts'
import { assertRefused } from '../support/refusals.ts'

// Ub shows the challenge, and with it the B-TID, to whoever listens: before the UE has it.
describe('a B-TID that a stranger asks for before it is one', () => {
  test('is known when the UE comes with it, so that no second bootstrap is needed', async () => {
    const lab = await testLab({ recording: true })
    try {
      const sim = await lab.sim('alice')
      const ub = handUb({ port: lab.app.addresses.ub?.port ?? 0 }, sim)
      const stranger = await handUe(lab, { name: 'bob' })
      const challenge = challengeOf(await ub.hello({ host: LAB_BSF }))
      const username = btidOf(challenge.rand, parseFqdn(LAB_BSF) ?? assert.fail())
      const ask = () => stranger.request('GET', `/resource-lists/users/${impuOf('alice')}/index`, { username })
      await assertRefused(lab, ask, { status: 401, code: 'ZN_BTID_UNKNOWN' })
      assert.equal((await ub.send(ub.answerTo(challenge))).status, 200)
      await assertRefused(lab, ask, { status: 401, code: 'UA_RESPONSE_WRONG' })
    } finally {
      await lab.close()
    }
  })
})
