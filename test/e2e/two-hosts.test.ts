import assert from 'node:assert/strict'
import { copyFile, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe } from 'node:test'
import type { App } from '../../src/app.ts'
import { freePorts, LAB_NAF } from '../../src/lab.ts'
import { createUe, type Ue } from '../../src/ue/flow.ts'
import { standardProfile } from '../../src/ue/profile.ts'
import { loadSim } from '../../src/ue/sim.ts'
import { type Deployment, deployment, type Server } from '../support/deployment.ts'
import { type HandUe, handUe } from '../support/hand-ue.ts'
import { findProgram, peerTest } from '../support/peer.ts'
import { rawExchange, requestOctets } from '../support/raw-client.ts'
import { REDIS_PROGRAMS, type RedisServer, redisServer } from '../support/redis.ts'
import { type ScriptedAs, scriptedAs } from '../support/scripted-as.ts'

const ALICE = 'sip:alice@ims.mnc001.mcc001.3gppnetwork.org'
const OWN = `/resource-lists/users/${ALICE}/index`
const peer = (name: string, fn: () => Promise<void>) => peerTest(name, REDIS_PROGRAMS, fn)
const hasRedis = REDIS_PROGRAMS.every((program) => findProgram(program) !== undefined)

/** Two hosts, each with BSF and AP in a process of its own, that share nothing but Redis and a folder of keys. */
describe('two hosts over one Redis', () => {
  let site: Deployment
  let redis: RedisServer
  let as: ScriptedAs
  let hosts: { readonly server: Server; readonly ub: number; readonly ap: number }[]
  let ca: Buffer
  const ues: Ue[] = []
  before(async () => {
    if (!hasRedis) return
    redis = await redisServer()
    as = await scriptedAs((socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nrecorded'))
    site = await deployment()
    assert.equal((await site.cli('certs', 'make', '--dir', 'certs', '--naf', LAB_NAF)).status, 0)
    assert.equal((await site.cli('keys', '--dir', 'keys')).status, 0)
    hosts = await Promise.all(
      ['one.yaml', 'two.yaml'].map(async (file) => {
        const { ub, ap } = await freePorts()
        await site.vary('config.example.yaml', file, (config) => {
          config.store = { kind: 'redis', redis: { nodes: [redis.node], keysDirectory: '../keys' } }
          config.bsf.ub.port = ub
          config.ap.port = ap
          config.ap.appServers[0].url = as.url
          config.bsf.ub.limits = { perImpi: { burst: 30, perMinute: 1 } }
          delete config.as
        })
        return { server: await site.serve(file), ub, ap }
      }),
    )
    ca = await readFile(join(site.directory, 'certs', 'ca.pem'))
  })
  after(async () => {
    for (const ue of ues) ue.close()
    await site?.close()
    await as?.close()
    await redis?.stop()
  })

  const host = (i: number) => hosts[i] ?? assert.fail(`no host ${i}`)

  /** alice, with a fresh card. @param ub  port of the BSF, asked for each connection */
  async function alice(name: string, ap: number, ub: () => number): Promise<Ue> {
    const file = join(site.directory, `${name}.yaml`)
    await copyFile(join(site.directory, 'deploy', 'sim.example.yaml'), file)
    const toBsf = Object.defineProperty({ toHost: '127.0.0.1' }, 'toPort', { enumerable: true, get: ub })
    const connect = [{ host: LAB_NAF, toHost: '127.0.0.1', toPort: ap }, toBsf]
    const profile = { ...standardProfile, connections: 'one-per-request' } as const
    const ue = createUe(await loadSim(file), { ca, connect, profile })
    ues.push(ue)
    return ue
  }
  const handAt = async (name: string, i: number): Promise<HandUe> => {
    const { ap, ub } = host(i)
    const app = { addresses: { ap: { host: '127.0.0.1', port: ap } } } as unknown as App
    return handUe({ app, ca, ue: () => alice(name, ap, () => ub) })
  }
  const at = (i: number) => ({ port: host(i).ap, tls: { servername: LAB_NAF, ca } })
  const vectors = async () =>
    (await Promise.all(hosts.map(({ server }) => server.decisions('zh.av-drawn')))).flat().length

  peer('a host that lacks one of the shared keys says which, and ends', async () => {
    assert.equal((await site.cli('keys', '--dir', 'few-keys')).status, 0)
    await rm(join(site.directory, 'few-keys', 'pseudonym.key'))
    await site.vary('one.yaml', 'lacking.yaml', (config) => {
      config.store.redis.keysDirectory = '../few-keys'
    })
    const { status, stderr } = await site.cli('serve', '--config', 'deploy/lacking.yaml')
    assert.equal(status, 1)
    assert.match(stderr, /few-keys\/pseudonym\.key/)
  })

  peer('a bootstrap at one is good at the other, without a new vector or a challenge', async () => {
    const ue = await handAt('anywhere', 0)
    const before = await vectors()
    await ue.request('GET', OWN)
    for (let i = 0; i < 20; i++) {
      const octets = await ue.signed('GET', OWN)
      assert.equal((await rawExchange(at(i % 2), octets)).status, 200)
    }
    assert.equal(await vectors(), before)
  })

  peer('a new connection to any host for each of 1,000 requests costs no 401 and no vector', async () => {
    const ue = await handAt('wanderer', 1)
    const before = await vectors()
    await ue.request('GET', OWN)
    const statuses = new Map<number, number>()
    for (let i = 0; i < 1000; i += 20) {
      const octets = await Promise.all(Array.from({ length: 20 }, () => ue.signed('GET', OWN)))
      const answers = await Promise.all(octets.map((each, n) => rawExchange(at(n % 2), each)))
      for (const { status } of answers) statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }
    assert.deepEqual([...statuses], [[200, 1000]])
    assert.equal(await vectors(), before)
  })

  peer('of 20 copies of one request that reach both at once, one is accepted', async () => {
    const ue = await handAt('copied', 0)
    await ue.request('GET', OWN)
    for (let round = 0; round < 5; round++) {
      const octets = await ue.signed('GET', OWN)
      const seen = as.arrived.length
      const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => rawExchange(at(i % 2), octets)))
      const count = (status: number) => answers.filter((answer) => answer.status === status).length
      assert.deepEqual([count(200), count(401), as.arrived.length - seen], [1, 19, 1])
    }
  })

  peer('a challenge of one BSF is answered at the other', async () => {
    const before = await vectors()
    let turn = 0
    const ue = await alice('turns', host(0).ap, () => host(turn++ % 2).ub)
    await ue.bootstrap()
    assert.ok(turn >= 2)
    assert.ok((await vectors()) - before <= 2, 'one vector, and one for the resynchronisation of a card that was used')
  })

  peer('while Redis is away nothing is accepted, and it is 503 that says so; then all goes on', async () => {
    const ue = await handAt('patient', 0)
    assert.equal((await ue.request('GET', OWN)).status, 200)
    const captured = await ue.signed('GET', OWN)
    assert.equal((await rawExchange(at(0), captured)).status, 200)
    await redis.stop()
    const seen = as.arrived.length
    for (const octets of [captured, await ue.signed('GET', OWN)]) {
      const answer = await rawExchange(at(1), octets)
      assert.equal(answer.status, 503)
      assert.match(answer.header('retry-after') ?? '', /^\d+$/)
    }
    assert.equal(as.arrived.length, seen)
    await redis.restart()
    const back = Date.now()
    let answer = await rawExchange(at(0), captured)
    while (answer.status === 503 && Date.now() - back < 10_000) answer = await rawExchange(at(0), captured)
    // What it knew of nonces is gone: the captured request is not good again, and costs a challenge.
    assert.equal(answer.status, 401)
    assert.ok(Date.now() - back < 5_000, `${Date.now() - back} ms`)
    assert.equal(as.arrived.length, seen)
  })

  peer('what one subscriber may have of vectors, the hosts count together', async () => {
    const sim = await loadSim(join(site.directory, 'deploy', 'sim.example.yaml'))
    const lines = [
      'Host: bsf.mnc001.mcc001.pub.3gppnetwork.org',
      `Authorization: Digest username="${sim.impi}", realm="r", nonce="", uri="/", response=""`,
    ]
    const before = await vectors()
    const statuses: number[] = []
    for (let i = 0; i < 60; i++) {
      statuses.push((await rawExchange({ port: host(i % 2).ub }, requestOctets('GET / HTTP/1.1', lines))).status)
    }
    assert.ok(statuses.filter((status) => status === 401).length <= 30, statuses.join(' '))
    assert.ok(statuses.slice(40).every((status) => status === 429))
    assert.ok((await vectors()) - before <= 30)
  })
})
