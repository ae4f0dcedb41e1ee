import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fromUtf8, utf8 } from '../../src/core/bytes.ts'
import { makeKeyFile } from '../../src/store/key-file.ts'
import { lmdbBootstrapStore, openLmdb } from '../../src/store/lmdb.ts'
import { lmdbKeyStore } from '../../src/store/lmdb-key-store.ts'
import { lmdbNonceLedger } from '../../src/store/lmdb-nonce-ledger.ts'
import { lmdbOnceStore } from '../../src/store/lmdb-once-store.ts'
import { memoryBootstrapStore, memoryNonceLedger, memoryOnceStore } from '../../src/store/memory.ts'
import {
  openRedis,
  redisBootstrapStore,
  redisKeyStore,
  redisNonceLedger,
  redisOnceStore,
} from '../../src/store/redis.ts'
import type { BootstrapStore, KeyStore, NonceLedger, OnceStore } from '../../src/store/store.ts'
import { decodeFetchedBia, encodeFetchedBia, type FetchedBia } from '../../src/zn/bia-record.ts'
import { aBootstrap } from '../contract/samples.ts'
import { type RedisServer, redisServer, until } from '../support/redis.ts'

// What one process gets out of each store: `node test/bench/stores.ts [seconds per figure]`.

interface Stores {
  readonly bootstraps: BootstrapStore
  readonly ledger: NonceLedger
  readonly challenges: OnceStore<string>
  /** What an AP shares with others; of no use in memory. */
  readonly fetchedKeys?: KeyStore
}

const SECONDS = Number(process.argv[2] ?? 1)
const directory = mkdtempSync(join(tmpdir(), 'gba-proxy-bench-'))
const codec = { encode: utf8, decode: fromUtf8 }
const bounds = { maxEntries: 1_000_000 }
const now = Date.now()
const sealKeyFile = join(directory, 'seal.key')
makeKeyFile(sealKeyFile)

function inMemory(): Stores {
  return {
    bootstraps: memoryBootstrapStore(bounds),
    ledger: memoryNonceLedger({ maxNonces: 1_000_000, startedAt: now - 10_000 }),
    challenges: memoryOnceStore<string>(bounds),
  }
}

function inLmdb(): Stores {
  const environment = openLmdb({ directory })
  return {
    bootstraps: lmdbBootstrapStore(environment),
    ledger: lmdbNonceLedger({ directory, maxNonces: 1_000_000, startedAt: now - 10_000 }),
    challenges: lmdbOnceStore({ directory, keys: environment.keys, codec, ...bounds }),
    fetchedKeys: lmdbKeyStore({ directory, keys: environment.keys, ...bounds }),
  }
}

const { btid: aBtid, ks, impi, guss } = aBootstrap(0)
const aFetched: FetchedBia = {
  bia: {
    ksNaf: ks,
    expiresAt: now + 3_600_000,
    bootstrappedAt: now,
    gbaType: '3G_GBA',
    ussList: guss?.ussList.map(({ droppedUids: _, ...uss }) => uss) ?? [],
    impi,
  },
  fetchedAt: now,
}

async function inRedis(server: RedisServer, minReplicas: number): Promise<Stores & { close(): Promise<void> }> {
  const environment = openRedis({
    mode: 'standalone',
    nodes: [server.node],
    minReplicas,
    sealKeyFile,
    commandTimeoutMs: 5_000,
  })
  await environment.redis.ready(5_000)
  const ledger = redisNonceLedger(environment, { maxNonces: 1_000_000, clock: () => now - 10_000 })
  await ledger.begin()
  return {
    bootstraps: redisBootstrapStore(environment),
    ledger,
    challenges: redisOnceStore({ ...environment }, { ...bounds, codec }),
    fetchedKeys: redisKeyStore(environment),
    close: () => environment.close(),
  }
}

/** @param atOnce  callers, each of which waits for its answer before it asks again */
async function measure(
  store: string,
  name: string,
  atOnce: number,
  ask: (n: number) => Promise<unknown>,
): Promise<void> {
  let asked = 0
  const from = performance.now()
  const until = from + SECONDS * 1000
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
  const rate = Math.round(asked / (ms / 1000))
  const [perOperation, cpu] = [(atOnce * ms * 1000) / asked, (user + system) / asked]
  const row = [store.padEnd(26), name.padEnd(24), `${atOnce}`.padStart(3), `${rate}`.padStart(9)]
  console.log(...row, perOperation.toFixed(1).padStart(10), cpu.toFixed(1).padStart(8))
}

async function all(store: string, { bootstraps, ledger, challenges, fetchedKeys }: Stores): Promise<void> {
  const expiresAt = now + 3_600_000
  const nonce = (n: number) => ({ nonce: `nonce ${n}`, mintedAt: now, expiresAt })
  let round = 0
  for (const atOnce of [1, 32]) {
    const base = 1_000_000 * round++
    const samples = Array.from({ length: 2000 }, (_, n) => aBootstrap(base + n, { createdAt: now, expiresAt }))
    const sample = (n: number) => samples[n % samples.length] ?? aBootstrap(n)
    await measure(store, 'use, one nonce', atOnce, (n) => ledger.use(nonce(base), n + 1, now))
    await measure(store, 'use, each another nonce', atOnce, (n) => ledger.use(nonce(base + 1 + n), 1, now))
    await measure(store, 'bootstrap put', atOnce, (n) => bootstraps.put(sample(n)))
    await measure(store, 'bootstrap find', atOnce, (n) => bootstraps.find(sample(n).btid, now))
    await measure(store, 'challenge put and take', atOnce, async (n) => {
      await challenges.put(`${base + n}`, 'x'.repeat(400), expiresAt)
      await challenges.take(`${base + n}`, now)
    })
    if (fetchedKeys === undefined) continue
    const name = (n: number) => `${aBtid} xcap.example.org 010001c02f false 2,3 ${base + (n % 2000)}`
    await measure(store, 'key put', atOnce, (n) => fetchedKeys.put(name(n), encodeFetchedBia(aFetched), expiresAt))
    await measure(store, 'key find', atOnce, async (n) => {
      const kept = await fetchedKeys.find(name(n), now)
      if (kept && !decodeFetchedBia(kept.value)) throw new Error('not what was put')
    })
  }
}

console.log('store'.padEnd(26), 'operation'.padEnd(24), ' at', '    per s', '  us each', '  us CPU')
await all('memory', inMemory())
await all('LMDB', inLmdb())
const master = await redisServer()
const replica = await redisServer('--replicaof', '127.0.0.1', String(master.port))
await until(async () => /master_link_status:up/.test(await replica.command('INFO', 'replication')))
for (const minReplicas of [0, 1]) {
  const stores = await inRedis(master, minReplicas)
  await all(`Redis, ${minReplicas} replicas confirm`, stores)
  await stores.close()
  await master.command('FLUSHALL')
}
await replica.close()
await weigh(master)
await master.close()
rmSync(directory, { recursive: true, force: true })
process.exit()

/** Octets that one record costs Redis, its share of every index included. */
async function weigh(server: RedisServer): Promise<void> {
  const RECORDS = 50_000
  const { bootstraps, ledger, challenges, fetchedKeys, close } = await inRedis(server, 0)
  const expiresAt = now + 3_600_000
  const used = async () => Number(/^used_memory:(\d+)/m.exec(await server.command('INFO', 'memory'))?.[1])
  async function each(name: string, put: (n: number) => Promise<unknown>): Promise<void> {
    const before = await used()
    for (let n = 0; n < RECORDS; n += 500) {
      await Promise.all(Array.from({ length: 500 }, (_, i) => put(n + i)))
    }
    console.log(name.padEnd(42), Math.round(((await used()) - before) / RECORDS), 'octets each in Redis')
  }
  await each('bootstrap with TMPI and one USS', (n) => bootstraps.put(aBootstrap(n, { createdAt: now, expiresAt })))
  await each('bootstrap with neither', (n) => {
    const { tmpi: _, guss: __, ...plain } = aBootstrap(RECORDS + n, { createdAt: now, expiresAt })
    return bootstraps.put(plain)
  })
  await each('used nonce', (n) => ledger.use({ nonce: `n ${n}`, mintedAt: now + n, expiresAt }, 1, now))
  await each('pending challenge of 500 octets', (n) => challenges.put(`c ${n}`, 'x'.repeat(500), expiresAt))
  await each('key of Zn with one USS and IMPI', async (n) =>
    fetchedKeys?.put(`${aBtid} ${n}`, encodeFetchedBia(aFetched), expiresAt),
  )
  await close()
}
