import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fromUtf8, utf8 } from '../../src/core/bytes.ts'
import {
  type LmdbEnvironment,
  lmdbBootstrapStore,
  lmdbDocumentStore,
  lmdbSqnStore,
  openLmdb,
} from '../../src/store/lmdb.ts'
import { LmdbFile } from '../../src/store/lmdb-file.ts'
import { lmdbKeyStore } from '../../src/store/lmdb-key-store.ts'
import { lmdbNonceLedger } from '../../src/store/lmdb-nonce-ledger.ts'
import { lmdbOnceStore } from '../../src/store/lmdb-once-store.ts'
import type { KeyStore, NonceLedger, OnceStore } from '../../src/store/store.ts'
import type { Adapter, Opened } from '../contract/adapter.ts'
import { bootstrapStoreContract } from '../contract/bootstrap-store.ts'
import { documentStoreContract } from '../contract/document-store.ts'
import { keyStoreContract } from '../contract/key-store.ts'
import { nonceLedgerContract } from '../contract/nonce-ledger.ts'
import { onceStoreContract } from '../contract/once-store.ts'
import { sqnStoreContract } from '../contract/sqn-store.ts'
import { aDirectory, atRest } from './directory.ts'

/** `database` is the one whose records the contract tampers with. */
function inLmdb<Store, Bounds>(
  database: string,
  make: (environment: LmdbEnvironment, bounds: Bounds) => Store,
): Adapter<Store, Bounds> {
  async function open(directory: string, bounds: Bounds): Promise<Opened<Store>> {
    const environment = openLmdb({ directory })
    const store = make(environment, bounds)
    return {
      store,
      close: () => environment.close(),
      reopen: async () => {
        await environment.close()
        return open(directory, bounds)
      },
      rest: atRest(directory, environment.file, environment.file.database(database)),
    }
  }
  return { name: 'LMDB', open: (bounds) => open(aDirectory(), bounds) }
}

const kept = { survivesRestart: true, sealsAtRest: true }
bootstrapStoreContract(inLmdb('bootstraps', lmdbBootstrapStore), kept)
sqnStoreContract(
  inLmdb('sqns', (environment) => lmdbSqnStore(environment)),
  kept,
)
documentStoreContract(inLmdb('documents', lmdbDocumentStore), kept)

interface LedgerBounds {
  readonly maxNonces: number
  readonly startedAt: number
}
const ledgers: Adapter<NonceLedger, LedgerBounds> = { name: 'LMDB', open: (bounds) => openLedger(aDirectory(), bounds) }

async function openLedger(directory: string, bounds: LedgerBounds): Promise<Opened<NonceLedger>> {
  const ledger = lmdbNonceLedger({ directory, ...bounds })
  const [name = ''] = readdirSync(directory).filter((file) => file.endsWith('.mdb'))
  const file = new LmdbFile({ path: join(directory, name), durable: false, minFreeBytes: 0, freeBytes: () => 1 })
  return {
    store: ledger,
    close: async () => {
      await file.close()
      await ledger.close()
    },
    reopen: async () => {
      await ledger.close()
      return openLedger(directory, { ...bounds, startedAt: 2_500 })
    },
    rest: atRest(directory, file, file.database('nonces')),
  }
}

nonceLedgerContract(ledgers, { survivesRestart: true, checksAtRest: true, runs: 10 })

interface OnceBounds {
  readonly maxEntries: number
  readonly now: () => number
}
const onceStores: Adapter<OnceStore<string>, OnceBounds> = {
  name: 'LMDB',
  async open({ maxEntries, now }) {
    const directory = aDirectory()
    const environment = openLmdb({ directory })
    const { keys } = environment
    const store = lmdbOnceStore({ directory, keys, codec: { encode: utf8, decode: fromUtf8 }, maxEntries, clock: now })
    const [name = ''] = readdirSync(directory).filter((file) => /^challenges.*\.mdb$/.test(file))
    const file = new LmdbFile({ path: join(directory, name), durable: false, minFreeBytes: 0, freeBytes: () => 1 })
    return {
      store,
      close: async () => {
        await file.close()
        await store.close()
        await environment.close()
      },
      rest: atRest(directory, file, file.database('once')),
    }
  },
}

onceStoreContract(onceStores, { sealsAtRest: true })

const keyStores: Adapter<KeyStore, { readonly maxEntries: number }> = {
  name: 'LMDB',
  async open(bounds) {
    const directory = aDirectory()
    const environment = openLmdb({ directory })
    const { keys } = environment
    const [store, elsewhere] = [0, 1].map(() => lmdbKeyStore({ directory, keys, ...bounds }))
    if (!store || !elsewhere) throw new Error('two processes')
    const [name = ''] = readdirSync(directory).filter((file) => /^keys.*\.mdb$/.test(file))
    const file = new LmdbFile({ path: join(directory, name), durable: false, minFreeBytes: 0, freeBytes: () => 1 })
    return {
      store,
      elsewhere,
      close: async () => {
        await file.close()
        await elsewhere.close()
        await store.close()
        await environment.close()
      },
      rest: atRest(directory, file, file.database('keys')),
    }
  },
}

keyStoreContract(keyStores)
