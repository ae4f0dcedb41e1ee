import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fromUtf8, utf8 } from '../../src/core/bytes.ts'
import { makeKeyFile } from '../../src/store/key-file.ts'
import { lmdbBootstrapStore, openLmdb } from '../../src/store/lmdb.ts'
import { lmdbNonceLedger } from '../../src/store/lmdb-nonce-ledger.ts'
import { lmdbOnceStore } from '../../src/store/lmdb-once-store.ts'
import { memoryBootstrapStore, memoryNonceLedger, memoryOnceStore } from '../../src/store/memory.ts'
import {
  openRedis,
  type RedisEnvironment,
  redisBootstrapStore,
  redisNonceLedger,
  redisOnceStore,
} from '../../src/store/redis.ts'
import type { BootstrapStore, NonceLedger, OnceStore } from '../../src/store/store.ts'
import { aBootstrap } from '../contract/samples.ts'
import { type RedisServer, redisServer, until } from '../support/redis.ts'

// What one process gets out of each store: `node test/bench/stores.ts [seconds per figure]`.

export interface Stores {
  readonly bootstraps: BootstrapStore
  readonly ledger: NonceLedger
  readonly challenges: OnceStore<string>
}

export type ClosableStores = Stores & { close(): Promise<void> }

/** One operation of a store, as a caller met it. */
export interface Figure {
  readonly perSecond: number
  /** From question to answer. */
  readonly wallUs: number
  /** Of this process, whatever its threads did. */
  readonly cpuUs: number
}

const codec = { encode: utf8, decode: fromUtf8 }
const bounds = { maxEntries: 1_000_000 }
const now = Date.now()

function inMemory(): Stores {
  return {
    bootstraps: memoryBootstrapStore(bounds),
    ledger: memoryNonceLedger({ maxNonces: 1_000_000, startedAt: now - 10_000 }),
    challenges: memoryOnceStore<string>(bounds),
  }
}

export function inLmdb(directory: string): ClosableStores {
  const environment = openLmdb({ directory })
  const ledger = lmdbNonceLedger({ directory, maxNonces: 1_000_000, startedAt: now - 10_000 })
  const challenges = lmdbOnceStore({ directory, keys: environment.keys, codec, ...bounds })
  return {
    bootstraps: lmdbBootstrapStore(environment),
    ledger,
    challenges,
    close: async () => {
      await challenges.close()
      await ledger.close()
      await environment.close()
    },
  }
}

export async function inRedis(
  { node }: RedisServer,
  minReplicas: number,
  sealKeyFile: string,
): Promise<ClosableStores & { readonly environment: RedisEnvironment }> {
  const environment = openRedis({
    mode: 'standalone',
    nodes: [node],
    minReplicas,
    sealKeyFile,
    commandTimeoutMs: 5_000,
  })
  await environment.redis.ready(5_000)
  const ledger = redisNonceLedger(environment, { maxNonces: 1_000_000, clock: () => now - 10_000 })
  await ledger.begin()
  return {
    environment,
    bootstraps: redisBootstrapStore(environment),
    ledger,
    challenges: redisOnceStore({ ...environment }, { ...bounds, codec }),
    close: () => environment.close(),
  }
}

/** A master and a replica that follows it. */
export async function redisPair(): Promise<{ readonly master: RedisServer; close(): Promise<void> }> {
  const master = await redisServer()
  const replica = await redisServer('--replicaof', '127.0.0.1', String(master.port))
  await until(async () => /master_link_status:up/.test(await replica.command('INFO', 'replication')))
  return {
    master,
    close: async () => {
      await replica.close()
      await master.close()
    },
  }
}

/** @param atOnce  callers, each of which waits for its answer before it asks again */
export async function measure(
  seconds: number,
  atOnce: number,
  ask: (n: number) => Promise<unknown>,
): Promise<Figure & { readonly asked: number }> {
  let asked = 0
  const from = performance.now()
  const until = from + seconds * 1000
  const cpuFrom = process.cpuUsage()
  const caller = async () => {
    do {
      await ask(asked++)
      if (asked % 64 === 0) await new Promise((resolve) => setImmediate(resolve))
    } while (performance.now() < until)
  }
  await Promise.all(Array.from({ length: atOnce }, caller))
  const ms = performance.now() - from
  const { user, system } = process.cpuUsage(cpuFrom)
  return {
    asked,
    perSecond: asked / (ms / 1000),
    wallUs: (atOnce * ms * 1000) / asked,
    cpuUs: (user + system) / asked,
  }
}

export const OPERATIONS = [
  'use, one nonce',
  'use, each another nonce',
  'bootstrap put',
  'bootstrap find',
  'challenge put and take',
] as const
export type Operation = (typeof OPERATIONS)[number]

/** @param base  no two series of one store may share one */
export function asking(
  { bootstraps, ledger, challenges }: Stores,
  base: number,
): Readonly<Record<Operation, (n: number) => Promise<unknown>>> {
  const expiresAt = now + 3_600_000
  const nonce = (n: number) => ({ nonce: `nonce ${n}`, mintedAt: now, expiresAt })
  const samples = Array.from({ length: 2000 }, (_, n) => aBootstrap(base + n, { createdAt: now, expiresAt }))
  const sample = (n: number) => samples[n % samples.length] ?? aBootstrap(n)
  return {
    'use, one nonce': (n) => ledger.use(nonce(base), n + 1, now),
    'use, each another nonce': (n) => ledger.use(nonce(base + 1 + n), 1, now),
    'bootstrap put': (n) => bootstraps.put(sample(n)),
    'bootstrap find': (n) => bootstraps.find(sample(n).btid, now),
    'challenge put and take': async (n) => {
      await challenges.put(`${base + n}`, 'x'.repeat(400), expiresAt)
      await challenges.take(`${base + n}`, now)
    },
  }
}

export interface Weights {
  /** With TMPI and one USS. */
  readonly bootstrap: number
  /** With neither. */
  readonly plainBootstrap: number
  readonly usedNonce: number
  /** Of 500 octets. */
  readonly challenge: number
}

/** Octets that one record costs, its share of every index included. @param used  octets that all of it takes now */
export async function weigh(
  { bootstraps, ledger, challenges }: Stores,
  used: () => Promise<number>,
  records = 50_000,
): Promise<Weights> {
  const expiresAt = now + 3_600_000
  async function each(put: (n: number) => Promise<unknown>): Promise<number> {
    const before = await used()
    for (let n = 0; n < records; n += 500) await Promise.all(Array.from({ length: 500 }, (_, i) => put(n + i)))
    return Math.round(((await used()) - before) / records)
  }
  return {
    bootstrap: await each((n) => bootstraps.put(aBootstrap(n, { createdAt: now, expiresAt }))),
    plainBootstrap: await each((n) => {
      const { tmpi: _, guss: __, ...plain } = aBootstrap(records + n, { createdAt: now, expiresAt })
      return bootstraps.put(plain)
    }),
    usedNonce: await each((n) => ledger.use({ nonce: `n ${n}`, mintedAt: now + n, expiresAt }, 1, now)),
    challenge: await each((n) => challenges.put(`c ${n}`, 'x'.repeat(500), expiresAt)),
  }
}

export const redisMemory = async ({ command }: RedisServer): Promise<number> =>
  Number(/^used_memory:(\d+)/m.exec(await command('INFO', 'memory'))?.[1])

if (import.meta.main) {
  const seconds = Number(process.argv[2] ?? 1)
  const directory = mkdtempSync(join(tmpdir(), 'gba-proxy-bench-'))
  const sealKeyFile = join(directory, 'seal.key')
  makeKeyFile(sealKeyFile)
  console.log('store'.padEnd(26), 'operation'.padEnd(24), ' at', '    per s', '  us each', '  us CPU')
  const all = async (store: string, stores: Stores) => {
    for (const [round, atOnce] of [1, 32].entries()) {
      const asks = asking(stores, 1_000_000 * round)
      for (const name of OPERATIONS) {
        const { perSecond, wallUs, cpuUs } = await measure(seconds, atOnce, asks[name])
        const row = [store.padEnd(26), name.padEnd(24), `${atOnce}`.padStart(3), perSecond.toFixed(0).padStart(9)]
        console.log(...row, wallUs.toFixed(1).padStart(10), cpuUs.toFixed(1).padStart(8))
      }
    }
  }
  await all('memory', inMemory())
  await all('LMDB', inLmdb(directory))
  const { master, close } = await redisPair()
  for (const minReplicas of [0, 1]) {
    const stores = await inRedis(master, minReplicas, sealKeyFile)
    await all(`Redis, ${minReplicas} replicas confirm`, stores)
    await stores.close()
    await master.command('FLUSHALL')
  }
  const stores = await inRedis(master, 0, sealKeyFile)
  for (const [name, octets] of Object.entries(await weigh(stores, () => redisMemory(master)))) {
    console.log(name.padEnd(16), octets, 'octets each in Redis')
  }
  await stores.close()
  await close()
  rmSync(directory, { recursive: true, force: true })
  process.exit()
}
