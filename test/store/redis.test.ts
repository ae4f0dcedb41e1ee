import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after } from 'node:test'
import { fromUtf8, utf8 } from '../../src/core/bytes.ts'
import { makeKeyFile } from '../../src/store/key-file.ts'
import {
  openRedis,
  type RedisEnvironment,
  redisAccessLog,
  redisBootstrapStore,
  redisDocumentStore,
  redisKeyStore,
  redisNonceLedger,
  redisOnceStore,
  redisSqnStore,
} from '../../src/store/redis.ts'
import type {
  AccessLogBounds,
  Bootstrap,
  BootstrapStore,
  KeyStore,
  NonceLedger,
  OnceStore,
} from '../../src/store/store.ts'
import { accessLogContract } from '../contract/access-log.ts'
import type { Adapter, AtRest, Opened } from '../contract/adapter.ts'
import { bootstrapStoreContract } from '../contract/bootstrap-store.ts'
import { documentStoreContract } from '../contract/document-store.ts'
import { keyStoreContract } from '../contract/key-store.ts'
import { nonceLedgerContract } from '../contract/nonce-ledger.ts'
import { onceStoreContract } from '../contract/once-store.ts'
import { sqnStoreContract } from '../contract/sqn-store.ts'
import { findProgram, peerTest } from '../support/peer.ts'
import { REDIS_PROGRAMS, type RedisServer, redisServer } from '../support/redis.ts'
import { aDirectory } from './directory.ts'

/** The contracts live in the first seconds of the epoch; Redis, which drops what its own clock calls old, does not. */
const BASE = Math.floor(Date.now() / 1000) * 1000 + 3_600_000
const sealKeyFile = join(aDirectory(), 'seal.key')
makeKeyFile(sealKeyFile)

if (REDIS_PROGRAMS.some((program) => findProgram(program) === undefined)) {
  peerTest('the stores on Redis keep the contracts of stores', REDIS_PROGRAMS, () => {})
} else {
  const server = await redisServer()
  after(() => server.close())
  contracts(server)
}

function contracts(server: RedisServer): void {
  const kept = { survivesRestart: true, sealsAtRest: true, isShared: true }
  bootstrapStoreContract(
    inRedis(server, 'bootstraps', (environment) => shiftedBootstraps(redisBootstrapStore(environment))),
    { ...kept, sweeps: false },
  )
  onceStoreContract(
    inRedis(server, 'values', (environment, { maxEntries, now }: OnceBounds) =>
      shiftedOnce(redisOnceStore(environment, { maxEntries, codec: text, clock: () => BASE + now() })),
    ),
    kept,
  )
  nonceLedgerContract(
    inRedis(server, 'records', async (environment, { maxNonces, startedAt }: LedgerBounds) => {
      const ledger = redisNonceLedger(environment, { maxNonces, clock: () => BASE + startedAt })
      await ledger.begin()
      return shiftedLedger(ledger)
    }),
    { survivesRestart: true, checksAtRest: true, runs: 10, isShared: true },
  )
  keyStoreContract(
    inRedis(server, 'keys', (environment) => shiftedKeys(redisKeyStore(environment))),
    { countsEntries: false, sweeps: false },
  )
  accessLogContract(
    inRedis(server, 'access', (environment, bounds: AccessLogBounds) =>
      redisAccessLog(environment, { ...bounds, writeBehindMs: 1_000_000 }),
    ),
    { ...kept, runs: 60 },
  )
  sqnStoreContract(inRedis(server, 'sqns', redisSqnStore), kept)
  documentStoreContract(inRedis(server, 'documents', redisDocumentStore), kept)
}

interface OnceBounds {
  readonly maxEntries: number
  readonly now: () => number
}
interface LedgerBounds {
  readonly maxNonces: number
  readonly startedAt: number
}

const text = { encode: utf8, decode: fromUtf8 }
let prefixes = 0

/** @param database the one whose records the contract tampers with */
function inRedis<Store, Bounds>(
  server: RedisServer,
  database: string,
  make: (environment: RedisEnvironment, bounds: Bounds) => Store | Promise<Store>,
): Adapter<Store, Bounds> {
  async function open(keyPrefix: string, bounds: Bounds): Promise<Opened<Store>> {
    const hosts = [0, 1].map(() => openRedis({ mode: 'standalone', nodes: [server.node], sealKeyFile, keyPrefix }))
    const [environment, other] = hosts
    if (environment === undefined || other === undefined) throw new Error('two hosts')
    for (const host of hosts) await host.redis.ready(5_000)
    const close = async () => {
      for (const host of hosts) await host.close()
    }
    return {
      store: await make(environment, bounds),
      elsewhere: await make(other, bounds),
      close,
      reopen: async () => {
        await close()
        return open(keyPrefix, bounds)
      },
      rest: atRest(server, environment, database),
    }
  }
  return { name: 'Redis', open: (bounds) => open(`test${prefixes++}:`, bounds) }
}

function atRest(server: RedisServer, { redis, name }: RedisEnvironment, database: string): AtRest {
  type Cell = { readonly at: readonly Buffer[]; readonly value: Buffer }
  const asBuffers = (reply: unknown) => reply as Buffer[]
  /** Strings under keys of their own, or the fields of one hash, tagged or not. */
  async function cells(): Promise<Cell[]> {
    const found: Cell[] = []
    for (const pattern of [`${name(database)}*`, name(database, undefined, '*')]) {
      for (const key of asBuffers(await redis.read(['KEYS', pattern])).sort(Buffer.compare)) {
        if (String(await redis.read(['TYPE', String(key)])) === 'string') {
          found.push({ at: [key], value: (await redis.read(['GET', String(key)])) as Buffer })
        } else {
          for (const field of asBuffers(await redis.read(['HKEYS', String(key)])).sort(Buffer.compare)) {
            found.push({ at: [key, field], value: (await redis.read(['HGET', String(key), field])) as Buffer })
          }
        }
      }
    }
    return found
  }
  async function write({ at: [key, field] }: Cell, value: Uint8Array): Promise<void> {
    if (field === undefined) await redis.write(['SET', String(key), value, 'KEEPTTL'])
    else await redis.write(['HSET', String(key), field, value])
  }
  return {
    async octets() {
      await server.command('SAVE')
      return readFileSync(join(server.directory, 'dump.rdb'))
    },
    async tamper(change) {
      for (const cell of await cells()) await write(cell, change(cell.value))
    },
    async swap() {
      const [first, second] = await cells()
      if (first === undefined || second === undefined) throw new Error('fewer than two records')
      await write(first, second.value)
      await write(second, first.value)
    },
  }
}

const moved = (bootstrap: Bootstrap, by: number): Bootstrap => ({
  ...bootstrap,
  createdAt: bootstrap.createdAt + by,
  expiresAt: bootstrap.expiresAt + by,
})

const shiftedBootstraps = (store: BootstrapStore): BootstrapStore => ({
  put: (bootstrap) => store.put(moved(bootstrap, BASE)),
  async find(btid, now) {
    const bootstrap = await store.find(btid, BASE + now)
    return bootstrap && moved(bootstrap, -BASE)
  },
  findImpi: (tmpi, now) => store.findImpi(tmpi, BASE + now),
  remove: (btid) => store.remove(btid),
  sweep: (now) => store.sweep(BASE + now),
})

const shiftedKeys = (store: KeyStore): KeyStore => ({
  ...store,
  async find(name, now) {
    const kept = await store.find(name, BASE + now)
    return kept && { ...kept, until: kept.until - BASE }
  },
  put: (name, value, until) => store.put(name, value, BASE + until),
})

const shiftedOnce = <Value>(store: OnceStore<Value>): OnceStore<Value> => ({
  put: (key, value, expiresAt) => store.put(key, value, BASE + expiresAt),
  take: (key, now) => store.take(key, BASE + now),
})

const shiftedLedger = (ledger: NonceLedger): NonceLedger => ({
  use: (nonce, nc, now) =>
    ledger.use({ ...nonce, mintedAt: BASE + nonce.mintedAt, expiresAt: BASE + nonce.expiresAt }, nc, BASE + now),
  standing() {
    const standing = ledger.standing()
    return standing && { ...standing, floor: standing.floor - BASE }
  },
})
