import { existsSync, mkdtempSync, readdirSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Impu } from '../../../src/core/identity.ts'
import { SEAL_KEY_FILE } from '../../../src/state.ts'
import { redisAccessLog } from '../../../src/store/redis.ts'
import { inProcess } from '../../support/in-process.ts'
import type { RedisServer } from '../../support/redis.ts'
import {
  asking,
  type ClosableStores,
  type Figure,
  inLmdb,
  inRedis,
  measure,
  OPERATIONS,
  type Operation,
  redisMemory,
  redisPair,
  type Weights,
  weigh,
} from '../stores.ts'
import type { Costs } from './capacity.ts'
import { type LabCosts, labCosts, median } from './lab-costs.ts'

export interface Measured {
  readonly costs: Costs
  /** As `costs`, with a certificate on P-256. */
  readonly p256Handshake: number
  readonly operations: Readonly<Record<'LMDB' | 'Redis', Readonly<Record<Operation, Figure>>>>
  readonly labs: Readonly<Record<'LMDB' | 'Redis' | 'memory, P-256', LabCosts>>
  /** CPU microseconds of one rewrite of a full access log: here, and at Redis. */
  readonly fullAccessLog: { readonly here: number; readonly redis: number }
}

export interface MeasureOptions {
  /** A tenth of the time, for a figure that nobody writes down. */
  readonly quick: boolean
  readonly tell: (what: string) => void
}

/** All costs that the model wants, on this machine and in one go. */
export async function measureAll({ quick, tell }: MeasureOptions): Promise<Measured> {
  const directory = mkdtempSync(join(tmpdir(), 'gba-proxy-bench-'))
  const keysDirectory = join(directory, 'keys')
  const sealKeyFile = join(keysDirectory, SEAL_KEY_FILE)
  const { master, close } = await redisPair()
  try {
    await inProcess(['keys', '--dir', keysDirectory])
    const [seconds, rounds] = quick ? [0.05, 1] : [0.3, 5]
    tell('stores')
    const lmdb = inLmdb(join(directory, 'lmdb'))
    const inLmdbOnDisk = await operations(lmdb, seconds, rounds, 1)
    await lmdb.close()
    const redis = await inRedis(master, 1, sealKeyFile)
    const inRedisWithReplica = await operations(redis, seconds, rounds, 32)
    await redis.close()
    await master.command('FLUSHALL')
    tell('octets')
    const records = quick ? 5_000 : 50_000
    const redisOctets = await inRedisWeights(master, sealKeyFile, records)
    const lmdbOctets = await inLmdbWeights(directory, records)
    await master.command('FLUSHALL')
    const accessLog = await accessLogCosts(master, sealKeyFile)
    await master.command('FLUSHALL')
    const size = { subscribers: quick ? 50 : 200, rounds: quick ? 1 : 5 }
    tell('requests and bootstraps, LMDB')
    const withLmdb = await labCosts({ ...size, certificate: 'rsa', store: lmdbStore })
    tell('requests and bootstraps, Redis')
    const withRedis = await labCosts({
      ...size,
      certificate: 'rsa',
      store: () => ({ kind: 'redis', redis: { nodes: [master.node], keysDirectory, minReplicas: 1 } }),
      redisCpuUs: () => redisCpuUs(master),
    })
    tell('requests and bootstraps, P-256')
    const withP256 = await labCosts({ ...size, certificate: 'p256', store: () => ({ kind: 'memory' }) })
    const { atRedis } = withRedis
    return {
      costs: {
        request: withRedis.kept,
        challenge: withRedis.challenge,
        handshake: withRedis.fresh - withRedis.kept,
        bootstrap: withRedis.bootstrap,
        zn: inRedisWithReplica['bootstrap find'].cpuUs,
        redis: { request: atRedis.kept ?? 0, bootstrap: atRedis.bootstrap ?? 0, zn: atRedis.zn ?? 0 },
        lmdb: {
          request: withLmdb.kept,
          challenge: withLmdb.challenge,
          bootstrap: withLmdb.bootstrap,
          nonceWriteUs: inLmdbOnDisk['use, each another nonce'].wallUs,
          // the bootstrap, and the SQN of the stub
          bootstrapWriteUs: 2 * inLmdbOnDisk['bootstrap put'].wallUs,
        },
        octets: {
          redis: { ...octetsOf(redisOctets), accessLog: accessLog.octets },
          lmdb: { ...octetsOf(lmdbOctets), accessLog: accessLog.octets },
        },
      },
      p256Handshake: withP256.fresh - withP256.kept,
      operations: { LMDB: inLmdbOnDisk, Redis: inRedisWithReplica },
      labs: { LMDB: withLmdb, Redis: withRedis, 'memory, P-256': withP256 },
      fullAccessLog: accessLog.rewrite,
    }
  } finally {
    await close()
    rmSync(directory, { recursive: true, force: true })
  }
}

const lmdbStore = (directory: string) => ({ kind: 'lmdb', directory: join(directory, 'state') })

const octetsOf = ({ bootstrap, usedNonce, challenge }: Weights) => ({ bootstrap, nonce: usedNonce, challenge })

/** Each figure is the median of its own: a moment in which the machine did something else spoils one round. */
async function operations(
  stores: ClosableStores,
  seconds: number,
  rounds: number,
  atOnce: number,
): Promise<Readonly<Record<Operation, Figure>>> {
  const figures: [Operation, Figure][] = []
  const asks = Array.from({ length: rounds }, (_, round) => asking(stores, 1_000_000 * (round + 1)))
  for (const name of OPERATIONS) {
    const measured: Figure[] = []
    for (const ask of asks) {
      if (name === 'bootstrap find') await ask['bootstrap put'](0) // what is found has to be there
      measured.push(await measure(seconds, atOnce, name === 'bootstrap find' ? () => ask[name](0) : ask[name]))
    }
    const of = (key: keyof Figure) => median(measured.map((figure) => figure[key]))
    figures.push([name, { perSecond: of('perSecond'), wallUs: of('wallUs'), cpuUs: of('cpuUs') }])
  }
  return Object.fromEntries(figures) as Record<Operation, Figure>
}

async function inRedisWeights(master: RedisServer, sealKeyFile: string, records: number): Promise<Weights> {
  const stores = await inRedis(master, 0, sealKeyFile)
  const weights = await weigh(stores, () => redisMemory(master), records)
  await stores.close()
  return weights
}

/** In memory, where the system has a folder that is: the size of a file does not depend on the disk. */
async function inLmdbWeights(directory: string, records: number): Promise<Weights> {
  const place = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : directory, 'gba-proxy-bench-'))
  const stores = inLmdb(place)
  const used = async () =>
    readdirSync(place)
      .filter((name) => name.endsWith('.mdb'))
      .reduce((sum, name) => sum + statSync(join(place, name)).size, 0)
  const weights = await weigh(stores, used, records)
  await stores.close()
  rmSync(place, { recursive: true, force: true })
  return weights
}

const OWNERS = 200
const ENTRIES = 200

/** An access log with as many entries as the default lets it have. */
async function accessLogCosts(master: RedisServer, sealKeyFile: string) {
  const { environment, close } = await inRedis(master, 1, sealKeyFile)
  const log = redisAccessLog(environment)
  const now = Date.now()
  const append = async (owner: number, n: number) =>
    log.append(`sip:user${owner}@ims.mnc001.mcc001.3gppnetwork.org` as Impu, {
      at: now + n,
      actor: 'self',
      method: 'GET',
      documentSelector: `resource-lists/users/sip:user${owner}@ims.mnc001.mcc001.3gppnetwork.org/index`,
      outcome: 200,
    })
  const before = await redisMemory(master)
  for (let owner = 0; owner < OWNERS; owner += 50) {
    for (let each = owner; each < owner + 50; each++) for (let n = 0; n < ENTRIES; n++) await append(each, n)
    await log.flush()
  }
  const octets = Math.round(((await redisMemory(master)) - before) / OWNERS)
  const cpuFrom = process.cpuUsage()
  const redisFrom = await redisCpuUs(master)
  for (let owner = 0; owner < OWNERS; owner++) await append(owner, ENTRIES)
  await log.flush()
  const { user, system } = process.cpuUsage(cpuFrom)
  const redis = (await redisCpuUs(master)) - redisFrom
  await log.close()
  await close()
  return { octets, rewrite: { here: (user + system) / OWNERS, redis: redis / OWNERS } }
}

/** Of the thread that carries out commands. */
async function redisCpuUs(master: RedisServer): Promise<number> {
  const info = await master.command('INFO', 'cpu')
  const seconds = (name: string) => Number(new RegExp(`^${name}:([\\d.]+)`, 'm').exec(info)?.[1])
  return 1e6 * (seconds('used_cpu_user_main_thread') + seconds('used_cpu_sys_main_thread'))
}
