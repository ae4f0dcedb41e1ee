import assert from 'node:assert/strict'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { everythingHappens } from './everything-happens.ts'
import { assertNoLeaks, dumpsOfBoth, spansArrive } from './leak-search.ts'
import { operatorsAsk } from './operators-ask.ts'
import { talkativeSite } from './talkative-site.ts'

// The promise: no key of a subscriber, and none that was made of one, is in anything that we write down or send on. A
// flow with everything in it that goes wrong, at the most talkative level, and then a search through all that there is.

describe('no key of a subscriber is to be found', () => {
  test('in logs, audit, stores and messages of processes over LMDB', async () => {
    const place = await talkativeSite({
      store: (role) => ({ kind: 'lmdb', directory: `../state/${role}` }),
      // Whole errors, with what is in them, are written in this mode only.
      identities: 'clear',
    })
    try {
      const happened = await everythingHappens(place)
      const dumps = { ...(await operatorsAsk(place, happened)), ...(await dumpsOfBoth(place)) }
      await spansArrive(place)
      const running = await assertNoLeaks(place, happened, dumps)
      const stores = ['state/bsf/store.mdb', 'state/ap/store.mdb', 'state/ap/access.mdb']
      for (const file of ['logs/ap.audit', 'logs/bsf.audit', ...stores]) {
        assert.ok(running.includes(file), `${file} among ${running}`)
        assert.ok((await stat(join(place.site.directory, file))).size > 0, file)
      }
      assert.deepEqual([await place.bsf.stop(), await place.ap.stop()], [0, 0])
      await assertNoLeaks(place, happened, {})
    } finally {
      await place.close()
    }
  })
})
