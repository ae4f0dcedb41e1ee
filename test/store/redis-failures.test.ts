import assert from 'node:assert/strict'
import { describe, type TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { openRedis, redisAccessLog } from '../../src/store/redis.ts'
import { anEntry, anOwner } from '../contract/access-log.ts'
import { isUnavailable } from '../contract/adapter.ts'
import { aBootstrap } from '../contract/samples.ts'
import { peerTest } from '../support/peer.ts'
import { REDIS_PROGRAMS, redisCluster, redisSentinels, redisServer, until } from '../support/redis.ts'
import { fakeSentinel } from './fake-sentinel.ts'
import {
  aFreshNonce,
  aHost,
  allBack,
  aSealKeyFile,
  backAfter,
  type Host,
  manyFresh,
  twoHosts,
  underLoad,
} from './redis-hosts.ts'

const SOON_MS = 5_000
/** A put at this very moment, live for an hour. */
const current = (n: number) => aBootstrap(n, { createdAt: Date.now(), expiresAt: Date.now() + 3_600_000 })

async function server(t: TestContext, ...args: readonly string[]) {
  const made = await redisServer(...args)
  t.after(() => made.close())
  return made
}
function closing<Hosts extends readonly Host[]>(t: TestContext, hosts: Hosts): Hosts {
  t.after(() => Promise.all(hosts.map((host) => host.close())))
  return hosts
}
const over = (node: string, minReplicas = 0) => ({ mode: 'standalone', nodes: [node], minReplicas }) as const

describe('a Redis that fails', () => {
  peerTest('killed under load: nothing is accepted while it is down, nor twice after', REDIS_PROGRAMS, async (t) => {
    const redis = await server(t)
    const hosts = closing(t, await twoHosts(over(redis.node)))
    const load = underLoad(t, hosts)
    await delay(500)
    await redis.stop()
    const downFrom = Date.now()
    await delay(1_500)
    const accepted = load.acceptedAt.filter((at) => at > downFrom + 20)
    assert.deepEqual(accepted, [])
    await assert.rejects(hosts[0].bootstraps.find(aBootstrap(1).btid, Date.now()), isUnavailable)
    await redis.restart()
    assert.ok((await backAfter(load, Date.now())) < SOON_MS)
    await delay(300)
    await load.stop()
    assert.ok(load.unavailable() > 0)
    assert.ok(load.slowestMs() < 2_000)
  })

  peerTest('restarted from an older snapshot, it forgets what it cannot vouch for', REDIS_PROGRAMS, async (t) => {
    const redis = await server(t)
    const [host] = closing(t, await twoHosts(over(redis.node)))
    const nonce = aFreshNonce()
    assert.equal(await host.ledger.use(nonce, 1, Date.now()), 'accepted')
    await redis.command('SAVE')
    assert.equal(await host.ledger.use(nonce, 2, Date.now()), 'accepted')
    await redis.stop()
    await redis.restart()
    const outcome = () => host.ledger.use(nonce, 2, Date.now()).catch(() => 'unavailable')
    await until(async () => (await outcome()) !== 'unavailable', SOON_MS)
    assert.equal(await outcome(), 'forgotten')
    assert.equal(await host.ledger.use(aFreshNonce(), 1, Date.now() + 1), 'accepted')
  })

  peerTest('without a part of the ledger, or all of it, it forgets the rest', REDIS_PROGRAMS, async (t) => {
    const redis = await server(t)
    const [host] = closing(t, await twoHosts(over(redis.node)))
    const keys = ['records', 'order', 'mark'].map((name) => `gba:{nonces-0}:${name}`)
    for (const gone of [...keys.map((key) => ['DEL', key]), ['FLUSHALL']]) {
      const [used, unused] = [aFreshNonce(), aFreshNonce()]
      assert.equal(await host.ledger.use(used, 1, Date.now()), 'accepted')
      assert.ok(['1', 'OK'].includes(await redis.command(...gone)))
      assert.equal(await host.ledger.use(used, 1, Date.now()), 'forgotten')
      assert.equal(await host.ledger.use(unused, 1, Date.now()), 'forgotten')
      await delay(2)
      assert.equal(await host.ledger.use(aFreshNonce(), 1, Date.now()), 'accepted')
    }
  })

  peerTest('lost while the clock is set back, it forgets what this host has used before', REDIS_PROGRAMS, async (t) => {
    const redis = await server(t)
    const [host] = closing(t, await twoHosts(over(redis.node)))
    const keys = ['records', 'order', 'mark'].map((name) => `gba:{nonces-0}:${name}`)
    for (const gone of [...keys.map((key) => ['DEL', key]), ['FLUSHALL']]) {
      await delay(2)
      const used = aFreshNonce()
      assert.equal(await host.ledger.use(used, 1, Date.now()), 'accepted')
      const { floor = 0, generation = '' } = host.ledger.standing() ?? {}
      const back = floor - 3_600_000
      const ahead = { ...aFreshNonce(), mintedAt: floor + 1, generation }
      assert.equal(await host.ledger.use(ahead, 1, back), 'accepted')
      assert.ok(['1', 'OK'].includes(await redis.command(...gone)))
      // It has not heard of the loss when it asks.
      for (const now of [back, floor, Date.now()]) {
        assert.equal(await host.ledger.use(ahead, 1, now), 'forgotten')
        assert.equal(await host.ledger.use(used, 1, now), 'forgotten')
      }
      assert.notEqual(host.ledger.standing()?.generation, generation)
    }
  })

  peerTest('hung, it is 503 in bounded time, and service follows when it goes on', REDIS_PROGRAMS, async (t) => {
    const redis = await server(t)
    const hosts = closing(t, await twoHosts(over(redis.node)))
    const load = underLoad(t, hosts)
    await delay(300)
    await redis.signal('SIGSTOP')
    await delay(3_000)
    await redis.signal('SIGCONT')
    assert.ok((await backAfter(load, Date.now())) < SOON_MS)
    await load.stop()
    assert.ok(load.unavailable() > 0)
    assert.ok(load.slowestMs() < 2_000)
  })

  peerTest('full, it refuses a new bootstrap, keeps those it has, and loses no count', REDIS_PROGRAMS, async (t) => {
    const redis = await server(t, '--maxmemory', '4mb', '--maxmemory-policy', 'noeviction')
    const [host] = closing(t, await twoHosts(over(redis.node)))
    const nonce = aFreshNonce()
    assert.equal(await host.ledger.use(nonce, 1, Date.now()), 'accepted')
    let stored = 0
    const fill = async () => {
      for (; ; stored++) await host.bootstraps.put(current(stored))
    }
    await assert.rejects(fill, isUnavailable)
    assert.ok(stored > 100)
    for (let n = 0; n < stored; n += 50) assert.ok(await host.bootstraps.find(aBootstrap(n).btid, Date.now()))
    for (const nc of [1, 2, 2]) {
      const outcome = await host.ledger.use(nonce, nc, Date.now()).catch((error) => assert.ok(isUnavailable(error)))
      assert.notEqual(outcome, nc === 1 ? 'accepted' : 'forgotten')
    }
    assert.deepEqual(host.problems, [])
  })

  peerTest('the access log fails nobody meanwhile, and is written when Redis is back', REDIS_PROGRAMS, async (t) => {
    const redis = await server(t)
    const problems: unknown[] = []
    const environment = openRedis({ ...over(redis.node), sealKeyFile: aSealKeyFile() })
    t.after(() => environment.close())
    await environment.redis.ready(SOON_MS)
    const log = redisAccessLog(environment, { writeBehindMs: 50, onFailure: (problem) => problems.push(problem) })
    await log.append(anOwner(1), anEntry(1))
    await log.flush()
    await redis.command('SAVE')
    await redis.stop()
    for (const at of [2, 3]) await log.append(anOwner(1), anEntry(at))
    await until(async () => problems.length > 0)
    await log.append(anOwner(1), anEntry(4))
    await assert.rejects(log.read(anOwner(1), 5), isUnavailable)
    await redis.restart()
    const written = () => redis.command('HLEN', 'gba:{access-0}:access')
    await until(async () => (await log.flush().then(() => written(), String)) === '1', SOON_MS)
    const read = await log.read(anOwner(1), 5)
    assert.deepEqual([...new Set(read.map(({ at }) => at))], [4, 3, 2, 1])
    assert.equal(problems.length, 1)
  })

  peerTest('one that evicts is reported at connect', REDIS_PROGRAMS, async (t) => {
    const redis = await server(t, '--maxmemory', '8mb', '--maxmemory-policy', 'allkeys-lru')
    const [host] = closing(t, await twoHosts(over(redis.node)))
    await until(async () => host.problems.some((problem) => /noeviction/.test(String(problem))), SOON_MS)
  })

  peerTest('a host with another seal key file is told, and serves nobody', REDIS_PROGRAMS, async (t) => {
    const redis = await server(t)
    const right = await aHost(over(redis.node))
    const wrong = await aHost({ ...over(redis.node), sealKeyFile: aSealKeyFile() })
    closing(t, [right, wrong])
    await until(async () => wrong.problems.length > 0, SOON_MS)
    await assert.rejects(wrong.bootstraps.find(aBootstrap(1).btid, 1), isUnavailable)
    await right.bootstraps.put(current(1))
  })
})

describe('a Redis with replicas', () => {
  for (const [replicas, minReplicas, fate] of [
    [2, 1, 'killed'],
    [1, 0, 'killed'],
    [2, 1, 'hung'],
  ] as const) {
    const name = `a master ${fate} under load, ${replicas} replicas of which ${minReplicas} confirm: no count twice`
    peerTest(name, REDIS_PROGRAMS, async (t) => {
      const sentinels = await redisSentinels(replicas)
      t.after(() => sentinels.close())
      const options = { mode: 'sentinel', nodes: sentinels.nodes, sentinelName: 'gba', minReplicas } as const
      const hosts = closing(t, await twoHosts(options))
      const load = underLoad(t, hosts)
      await until(async () => load.acceptedAt.length > 100)
      await hosts[0].bootstraps.put(current(1))
      await (fate === 'killed' ? sentinels.master.stop() : sentinels.master.signal('SIGSTOP'))
      const killedAt = Date.now()
      const roles = () => Promise.all(sentinels.replicas.map((each) => each.command('ROLE')))
      await until(async () => (await roles()).some((role) => role.startsWith('master')))
      const promotedAt = Date.now()
      t.diagnostic(`promoted ${promotedAt - killedAt} ms after the kill`)
      const back = await backAfter(load, promotedAt)
      t.diagnostic(`service ${back} ms after the promotion`)
      assert.ok(back < SOON_MS)
      if (fate === 'hung') await sentinels.master.signal('SIGCONT') // it takes itself for the master at first
      if (minReplicas > 0) {
        const found = () => hosts[1].bootstraps.find(aBootstrap(1).btid, Date.now()).catch(() => 'unavailable')
        await until(async () => (await found()) !== 'unavailable', SOON_MS)
        assert.ok(await found())
      }
      await delay(500)
      await load.stop()
      t.diagnostic(`slowest ${Math.round(load.slowestMs())} ms, ${load.unavailable()} times 503`)
      assert.ok(load.slowestMs() < 2_000)
    })
  }

  peerTest('a failover that is announced while the master is asked for ends nothing', REDIS_PROGRAMS, async (t) => {
    const master = await server(t)
    const sentinel = await fakeSentinel(master.port)
    t.after(() => sentinel.close())
    const options = { mode: 'sentinel', nodes: [sentinel.node], sentinelName: 'gba', minReplicas: 0 } as const
    const host = await aHost(options)
    closing(t, [host])
    const outcome = () => host.ledger.use(aFreshNonce(), 1, Date.now()).catch(() => 'unavailable')
    await until(async () => (await outcome()) === 'accepted' && sentinel.listening() > 0)
    const release = sentinel.hold()
    await master.stop()
    await until(async () => sentinel.waiting() > 0)
    assert.ok(sentinel.listening() > 0)
    sentinel.announce()
    await delay(50)
    release()
    await master.restart()
    await until(async () => (await outcome()) === 'accepted', SOON_MS)
  })

  peerTest('one that was promoted without the last writes accepts none of them again', REDIS_PROGRAMS, async (t) => {
    const master = await server(t)
    const replica = await server(t, '--replicaof', '127.0.0.1', String(master.port))
    await until(async () => /master_link_status:up/.test(await replica.command('INFO', 'replication')))
    const [before] = closing(t, await twoHosts(over(master.node)))
    const [known, unknown] = [aFreshNonce(), aFreshNonce()]
    assert.equal(await before.ledger.use(known, 1, Date.now()), 'accepted')
    await until(async () => (await replica.command('EXISTS', 'gba:{nonces-0}:records')) === '1')
    assert.equal(await replica.command('REPLICAOF', 'NO', 'ONE'), 'OK')
    assert.equal(await before.ledger.use(known, 2, Date.now()), 'accepted')
    assert.equal(await before.ledger.use(unknown, 1, Date.now()), 'accepted')
    await master.stop()
    const after = await aHost(over(replica.node))
    closing(t, [after])
    for (const [nonce, nc] of [
      [known, 1],
      [known, 2],
      [known, 3],
      [unknown, 1],
    ] as const) {
      assert.equal(await after.ledger.use(nonce, nc, Date.now()), 'forgotten')
    }
    await delay(2)
    assert.equal(await after.ledger.use(aFreshNonce(), 1, Date.now()), 'accepted')
  })

  peerTest('a master that lost its replicas accepts nothing and acknowledges nothing', REDIS_PROGRAMS, async (t) => {
    const master = await server(t)
    const replica = await server(t, '--replicaof', '127.0.0.1', String(master.port))
    await until(async () => /master_link_status:up/.test(await replica.command('INFO', 'replication')))
    const [host] = closing(t, await twoHosts(over(master.node, 1)))
    const nonce = aFreshNonce()
    assert.equal(await host.ledger.use(nonce, 1, Date.now()), 'accepted')
    await host.bootstraps.put(current(1))
    await replica.signal('SIGSTOP') // it is still connected, and confirms nothing
    await assert.rejects(host.ledger.use(nonce, 2, Date.now()), isUnavailable)
    await assert.rejects(host.bootstraps.put(current(2)), isUnavailable)
    assert.ok(await host.bootstraps.find(aBootstrap(1).btid, Date.now()))
    await replica.signal('SIGCONT')
    await until(
      async () =>
        await host.bootstraps.put(current(3)).then(
          () => true,
          () => false,
        ),
      SOON_MS,
    )
    assert.equal(await host.ledger.use(nonce, 2, Date.now()), 'reused')
    assert.equal(await host.ledger.use(nonce, 3, Date.now()), 'accepted')
    await replica.stop()
    await until(async () => /connected_slaves:0/.test(await master.command('INFO', 'replication')))
    await assert.rejects(host.ledger.use(nonce, 4, Date.now()), isUnavailable)
    assert.ok(await host.bootstraps.find(aBootstrap(1).btid, Date.now()))
  })
})

describe('a Redis cluster', () => {
  peerTest('every host serves what any of them stored, on whichever node it lies', REDIS_PROGRAMS, async (t) => {
    const cluster = await redisCluster()
    t.after(() => cluster.close())
    const [one, two] = closing(t, await twoHosts({ mode: 'cluster', nodes: cluster.nodes, minReplicas: 0 }))
    for (let n = 0; n < 50; n++) await one.bootstraps.put(current(n))
    for (let n = 0; n < 50; n++) assert.ok(await two.bootstraps.find(aBootstrap(n).btid, Date.now()))
    const load = underLoad(t, [one, two])
    await delay(500)
    assert.equal(load.unavailable(), 0)
    await load.stop()
    await until(async () => [one, two].every(({ ledger }) => ledger.standing() !== undefined))
    // Set back: each part of the ledger has a name of its own, and the hosts one for all of them.
    const { floor = 0, generation = '' } = one.ledger.standing() ?? {}
    for (let n = 0; n < 50; n++) {
      const ahead = { ...aFreshNonce(), mintedAt: Math.max(floor, two.ledger.standing()?.floor ?? 0) + 1, generation }
      const outcomes = [await one.ledger.use(ahead, 1, floor - 1_000), await two.ledger.use(ahead, 1, floor - 1_000)]
      assert.deepEqual(outcomes, ['accepted', 'reused'])
    }
    const [lost, ...others] = cluster.servers
    assert.ok(lost)
    await lost.stop()
    await until(async () => /cluster_state:fail/.test((await others[0]?.command('CLUSTER', 'INFO')) ?? ''))
    await assert.rejects(one.ledger.use(aFreshNonce(), 1, Date.now()), isUnavailable)
    await lost.restart()
    const again = underLoad(t, [one, two])
    assert.ok((await backAfter(again, Date.now())) < SOON_MS)
    await again.stop()
  })

  for (const minReplicas of [0, 1]) {
    peerTest(`the loss of a node under load, ${minReplicas} confirming: no count twice`, REDIS_PROGRAMS, async (t) => {
      const cluster = await redisCluster({ replicas: 1 })
      t.after(() => cluster.close())
      const hosts = closing(t, await twoHosts({ mode: 'cluster', nodes: cluster.nodes, minReplicas }))
      const load = underLoad(t, hosts)
      await until(async () => load.acceptedAt.length > 100)
      const [lost] = cluster.servers
      assert.ok(lost)
      await lost.stop()
      const heir = async () => {
        for (const each of cluster.servers.slice(1)) {
          const masters = (await each.command('CLUSTER', 'NODES')).split('\n').filter((line) => /\bmaster\b/.test(line))
          if (masters.filter((line) => !/fail/.test(line)).length === 3) return true
        }
        return false
      }
      await until(heir)
      if (minReplicas > 0) {
        // the heir has no replica that could confirm, until the one that was lost becomes it
        const outcomes = await Promise.allSettled(manyFresh(hosts[0]))
        assert.ok(outcomes.some((outcome) => outcome.status === 'rejected'))
        await lost.restart()
      }
      const back = await allBack(hosts[0])
      t.diagnostic(`the whole ledger serves after ${back} ms`)
      assert.ok(back < SOON_MS)
      await delay(1_000)
      await load.stop()
      t.diagnostic(`slowest ${Math.round(load.slowestMs())} ms, ${load.unavailable()} times 503`)
      assert.ok(load.slowestMs() < 2_500)
    })
  }
})
