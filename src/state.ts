import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { Config } from './config/schema.ts'
import { Secret } from './core/secret.ts'
import { lmdbBootstrapStore, lmdbDocumentStore, lmdbSqnStore, openLmdb } from './store/lmdb.ts'
import { lmdbAccessLog } from './store/lmdb-access-log.ts'
import { lmdbNonceLedger } from './store/lmdb-nonce-ledger.ts'
import {
  memoryAccessLog,
  memoryBootstrapStore,
  memoryDocumentStore,
  memoryNonceLedger,
  memorySqnStore,
} from './store/memory.ts'
import { secretFile } from './store/secret-file.ts'
import type { AccessLog, BootstrapStore, DocumentStore, NonceLedger, SqnStore } from './store/store.ts'

/** Everything that the roles of one process remember. */
export interface State {
  readonly bootstraps: BootstrapStore
  readonly sqns: SqnStore
  readonly documents: DocumentStore
  readonly ledger: NonceLedger
  /** Where an AP keeps one. */
  readonly accessLog: AccessLog | undefined
  /** Signs nonces; shared by all that serve one NAF. */
  readonly nonceKey: Secret
  /** Of the pseudonyms that external application servers know subscribers by. */
  readonly appServerPseudonymKey: Secret
  /** Under which identities are hashed in what is written down. */
  readonly pseudonymKey: Secret
  close(): Promise<void>
}

const MAX_BOOTSTRAPS_IN_MEMORY = 1_000_000
const MAX_NONCES = 1_000_000

/** Opens the state that the configuration names. @throws GbaError STORE_UNAVAILABLE */
export function openState({ store, ap }: Config, report: (error: unknown) => void = () => {}): State {
  const kept = ap?.accessLog.enabled ? ap.accessLog : undefined
  const nonceKeyFile = given(ap?.challenge.nonceKeyFile)
  const pseudonymKeyFile = given(ap?.pseudonymKeyFile)
  const startedAt = Date.now()
  if (store.kind === 'memory') {
    return {
      bootstraps: memoryBootstrapStore({ maxEntries: MAX_BOOTSTRAPS_IN_MEMORY }),
      sqns: memorySqnStore(),
      documents: memoryDocumentStore(),
      ledger: memoryNonceLedger({ maxNonces: MAX_NONCES, startedAt }),
      accessLog: kept && memoryAccessLog(kept),
      nonceKey: nonceKeyFile === undefined ? new Secret(randomBytes(32)) : secretFile(nonceKeyFile),
      appServerPseudonymKey:
        pseudonymKeyFile === undefined ? new Secret(randomBytes(32)) : secretFile(pseudonymKeyFile),
      pseudonymKey: new Secret(randomBytes(32)),
      close: async () => {},
    }
  }
  const { directory } = store
  const environment = openLmdb({ directory })
  const ledger = lmdbNonceLedger({ directory, maxNonces: MAX_NONCES, startedAt })
  const accessLog = kept && lmdbAccessLog(environment, { ...kept, onFailure: report })
  return {
    bootstraps: lmdbBootstrapStore(environment),
    sqns: lmdbSqnStore(environment),
    documents: lmdbDocumentStore(environment),
    ledger,
    accessLog,
    nonceKey: secretFile(nonceKeyFile ?? join(directory, 'nonce.key')),
    appServerPseudonymKey: secretFile(pseudonymKeyFile ?? join(directory, 'app-server-pseudonym.key')),
    pseudonymKey: secretFile(join(directory, 'pseudonym.key')),
    close: async () => {
      await accessLog?.close().catch(report)
      await ledger.close()
      await environment.close()
    },
  }
}

const given = (file: string | undefined): string | undefined => (file === '' ? undefined : file)
