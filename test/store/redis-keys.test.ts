import assert from 'node:assert/strict'
import { describe, type TestContext } from 'node:test'
import { utf8 } from '../../src/core/bytes.ts'
import { openRedis, redisBootstrapStore, redisKeyStore } from '../../src/store/redis.ts'
import type { RedisStoreOptions } from '../../src/store/redis-environment.ts'
import { isUnavailable } from '../contract/adapter.ts'
import { aBootstrap } from '../contract/samples.ts'
import { peerTest } from '../support/peer.ts'
import { REDIS_PROGRAMS, redisCluster, redisServer, until } from '../support/redis.ts'
import { aSealKeyFile } from './redis-hosts.ts'

const sealKeyFile = aSealKeyFile()

async function opened(t: TestContext, options: Omit<RedisStoreOptions, 'sealKeyFile'>) {
  const environment = openRedis({ sealKeyFile, ...options })
  t.after(() => environment.close())
  await environment.redis.ready(5_000)
  return environment
}

describe('keys in Redis', () => {
  peerTest('are dropped there at their end, without anybody asking', REDIS_PROGRAMS, async (t) => {
    const server = await redisServer()
    t.after(() => server.close())
    const store = redisKeyStore(await opened(t, { mode: 'standalone', nodes: [server.node] }))
    const count = async () => (await server.command('KEYS', 'gba:keys:*')).split('\n').filter(Boolean).length
    await store.put('a', utf8('key'), Date.now() + 1_500)
    await store.put('b', utf8('key'), Date.now() + 600_000)
    assert.equal(await count(), 2)
    await until(async () => (await count()) === 1)
    assert.ok(await store.find('b', Date.now()))
    assert.equal(await store.find('a', Date.now() - 2_000), undefined)
  })

  peerTest('wait for no replica, as bootstraps do', REDIS_PROGRAMS, async (t) => {
    const server = await redisServer()
    t.after(() => server.close())
    const environment = await opened(t, { mode: 'standalone', nodes: [server.node], minReplicas: 1 })
    const bootstrap = aBootstrap(1, { createdAt: Date.now(), expiresAt: Date.now() + 60_000 })
    await assert.rejects(redisBootstrapStore(environment).put(bootstrap), isUnavailable)
    const store = redisKeyStore(environment)
    await store.put('a', utf8('key'), Date.now() + 60_000)
    assert.ok(await store.find('a', Date.now()))
  })

  peerTest('leave room for what nobody could ask for again', REDIS_PROGRAMS, async (t) => {
    const server = await redisServer('--maxmemory', '8mb')
    t.after(() => server.close())
    const environment = await opened(t, { mode: 'standalone', nodes: [server.node] })
    let uptime = 0
    const store = redisKeyStore(environment, { uptime: () => uptime })
    const value = new Uint8Array(10_000)
    let kept = 0
    await assert.rejects(async () => {
      for (; kept < 1_000; kept++) {
        uptime += 2_000
        await store.put(`${kept}`, value, Date.now() + 60_000)
      }
    }, isUnavailable)
    assert.ok(kept > 100, `${kept}`)
    const bootstrap = aBootstrap(1, { createdAt: Date.now(), expiresAt: Date.now() + 60_000 })
    await redisBootstrapStore(environment).put(bootstrap)
    for (let n = 0; n < kept; n++) await store.remove(`${n}`)
    await until(async () => {
      uptime += 2_000
      return store.put('again', value, Date.now() + 60_000).then(
        () => true,
        () => false,
      )
    })
  })

  peerTest('of a cluster are found from any host', REDIS_PROGRAMS, async (t) => {
    const cluster = await redisCluster()
    t.after(() => cluster.close())
    const hosts = []
    for (let n = 0; n < 2; n++) {
      hosts.push(redisKeyStore(await opened(t, { mode: 'cluster', nodes: cluster.nodes, minReplicas: 0 })))
    }
    const [one, two] = hosts
    assert.ok(one && two)
    // All at once, before there is a connection to every node.
    await Promise.all(Array.from({ length: 30 }, (_, n) => two.put(`${n}`, utf8('of two'), Date.now() + 60_000)))
    for (let n = 0; n < 30; n++) await one.put(`${n}`, utf8(`key ${n}`), Date.now() + 60_000)
    for (let n = 0; n < 30; n++) {
      assert.deepEqual((await two.find(`${n}`, Date.now()))?.value, Buffer.from(`key ${n}`))
      await two.remove(`${n}`)
      assert.equal(await one.find(`${n}`, Date.now()), undefined)
    }
  })
})
