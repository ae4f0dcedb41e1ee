import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { impuOf } from '../../src/lab.ts'
import { handUe } from '../support/hand-ue.ts'
import { testLab } from '../support/lab.ts'
import { assertRefused } from '../support/refusals.ts'

// Requests that were right once, sent again or for something else, where a profile or a tolerance might let them in.
const OWN = `/resource-lists/users/${impuOf('alice')}/index`

describe('a captured request', () => {
  test('is a replay in a strict profile, too, and no odd count', async () => {
    const lab = await testLab({ recording: true, ap: { tolerance: { profile: 'strict' } } })
    try {
      const alice = await handUe(lab)
      const octets = await alice.signed('GET', OWN)
      assert.equal((await alice.send(octets)).status, 200)
      await assertRefused(lab, () => alice.send(octets), { status: 401, code: 'UA_NC_REUSED' })
    } finally {
      await lab.close()
    }
  })
  test('does not serve for the target without the slash that ends its query', async () => {
    const lab = await testLab({ recording: true })
    try {
      const alice = await handUe(lab)
      const asked = `${OWN}?a=b/`
      await assertRefused(lab, () => alice.request('GET', asked.slice(0, -1), { uri: asked }), {
        status: 401,
        code: 'UA_URI_MISMATCH',
      })
      assert.equal((await alice.request('GET', asked)).status, 200)
      assert.equal((await alice.request('GET', OWN, { uri: `${OWN}/` })).status, 200)
    } finally {
      await lab.close()
    }
  })
})
