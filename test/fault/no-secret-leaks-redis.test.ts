import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { relative } from 'node:path'
import { describe } from 'node:test'
import { peerTest } from '../support/peer.ts'
import { REDIS_PROGRAMS, redisServer } from '../support/redis.ts'
import { everythingHappens } from './everything-happens.ts'
import { assertNoLeaks, dumpsOfBoth, filesBelow, spansArrive } from './leak-search.ts'
import { type TalkativeSite, talkativeSite } from './talkative-site.ts'

// As no-secret-leaks.test.ts, with what two processes keep in Redis.

describe('no key of a subscriber is to be found', () => {
  peerTest('in what Redis keeps', REDIS_PROGRAMS, async () => {
    const redis = await redisServer('--appendonly', 'yes')
    let place: TalkativeSite | undefined
    try {
      const store = () => ({ kind: 'redis', redis: { nodes: [redis.node], keysDirectory: '../keys' } })
      place = await talkativeSite({ store, identities: 'hashed' })
      const happened = await everythingHappens(place)
      await spansArrive(place)
      await redis.command('SAVE')
      const dumps: Record<string, Uint8Array> = {}
      for (const file of await filesBelow(redis.directory)) {
        dumps[`redis/${relative(redis.directory, file)}`] = await readFile(file)
      }
      const sizes = Object.entries(dumps).map(([name, { length }]) => `${name} ${length}`)
      assert.ok((dumps['redis/dump.rdb']?.length ?? 0) > 1_000, `${sizes}`)
      await assertNoLeaks(place, happened, { ...dumps, ...(await dumpsOfBoth(place)) })
    } finally {
      await place?.close()
      await redis.close()
    }
  })
})
