import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { Config } from './config/schema.ts'
import type { EpochMs } from './core/bytes.ts'
import { Secret } from './core/secret.ts'
import { lmdbBootstrapStore, lmdbDocumentStore, lmdbSqnStore, openLmdb } from './store/lmdb.ts'
import { lmdbAccessLog } from './store/lmdb-access-log.ts'
import { freeBytesAt, lmdbBytesIn } from './store/lmdb-file.ts'
import { lmdbKeyStore } from './store/lmdb-key-store.ts'
import { lmdbNonceLedger } from './store/lmdb-nonce-ledger.ts'
import { lmdbOnceStore } from './store/lmdb-once-store.ts'
import { lmdbRateLimiter } from './store/lmdb-rate-limiter.ts'
import {
  memoryAccessLog,
  memoryBootstrapStore,
  memoryDocumentStore,
  memoryNonceLedger,
  memoryOnceStore,
  memorySqnStore,
} from './store/memory.ts'
import { memoryRateLimiter } from './store/memory-rate-limiter.ts'
import {
  openRedis,
  type RedisStoreOptions,
  redisAccessLog,
  redisBootstrapStore,
  redisDocumentStore,
  redisKeyStore,
  redisLimiter,
  redisNonceLedger,
  redisOnceStore,
  redisSqnStore,
} from './store/redis.ts'
import { renewSecretFile, secretFile, sharedSecretFile } from './store/secret-file.ts'
import type {
  AccessLog,
  BootstrapStore,
  DocumentStore,
  KeyStore,
  NonceLedger,
  OnceStore,
  RateLimiter,
  SqnStore,
} from './store/store.ts'
import type { PendingChallenge } from './ub/bootstrap.ts'
import { pendingChallengeCodec } from './ub/pending-challenge.ts'

/** Everything that the roles of one process remember. */
export interface State {
  readonly bootstraps: BootstrapStore
  /** Where the BSF's answers are waited for. */
  readonly challenges: OnceStore<PendingChallenge>
  readonly sqns: SqnStore
  readonly documents: DocumentStore
  readonly ledger: NonceLedger
  readonly limiter: RateLimiter
  /** Where an AP shares the keys that it fetched. */
  readonly fetchedKeys: KeyStore | undefined
  /** Where an AP keeps one. */
  readonly accessLog: AccessLog | undefined
  /** Signs nonces; shared by all that serve one NAF. */
  readonly nonceKey: Secret
  /** Of the pseudonyms that external application servers know subscribers by. */
  readonly appServerPseudonymKey: Secret
  /** Under which identities are hashed in what is written down. */
  readonly pseudonymKey: Secret
  /** Where the processes that share this state find what seals TLS session tickets; undefined: each has its own. */
  readonly tickets: { readonly file: string; read(): Secret; renew(now: EpochMs): void } | undefined
  /** How the store is now; looks at the disk where there is one. */
  health(): StoreHealth
  /** Entries of access logs that this process has dropped. */
  accessLogDropped(): number
  /** Resolves when there is nothing more to wait for before a start. */
  readonly ready: Promise<void>
  close(): Promise<void>
}

/** Whether the store serves: read-only keeps what it has and takes nothing more. */
export interface StoreHealth {
  readonly kind: Config['store']['kind']
  readonly state: 'writable' | 'read-only' | 'unreachable'
  /**
   * Of access logs that have a file of their own. No request fails for want of them, so it makes no process unready; the
   * metric of the store is 0, and the log says to restart.
   */
  readonly accessLog?: 'writable' | 'read-only' | 'restart-needed'
  /** Octets of its files; undefined where it has none. */
  readonly bytes?: number
  /** Octets left on their disk. */
  readonly freeBytes?: number
}

const MAX_BOOTSTRAPS_IN_MEMORY = 1_000_000
/** In debt at a time; in memory some 400 octets each. */
const MAX_LIMITED_KEYS = 200_000

/** What the adapters of every kind are told. */
interface Wanted {
  readonly accessLog: NonNullable<Config['ap']>['accessLog'] | undefined
  readonly maxChallenges: number
  readonly maxNonces: number
  /** undefined: keys are not shared. */
  readonly maxFetchedKeys: number | undefined
  /** Of a file in the place of the store's own; undefined: its own. */
  readonly nonceKeyFile: string | undefined
  readonly pseudonymKeyFile: string | undefined
  readonly report: (error: unknown) => void
  /** Told of each entry of an access log that is dropped. */
  readonly onDropped: () => void
  readonly accessLogDropped: () => number
}

/** Opens the state that the configuration names. @throws GbaError STORE_UNAVAILABLE */
export function openState({ store, ap, bsf }: Config, report: (error: unknown) => void = () => {}): State {
  let dropped = 0
  const wanted: Wanted = {
    onDropped: () => {
      dropped++
    },
    accessLogDropped: () => dropped,
    accessLog: ap?.accessLog.enabled ? ap.accessLog : undefined,
    maxChallenges: bsf?.ub.maxPendingChallenges ?? 1,
    maxNonces: store.maxNonces,
    maxFetchedKeys: ap?.zn.adapter === 'http' && ap.zn.shared ? ap.zn.maxEntries : undefined,
    nonceKeyFile: given(ap?.challenge.nonceKeyFile),
    pseudonymKeyFile: given(ap?.pseudonymKeyFile),
    report,
  }
  if (store.kind === 'memory') return inMemory(wanted)
  if (store.kind === 'lmdb') return inLmdb(store.directory, wanted)
  if (!store.redis) throw new TypeError('no section for Redis')
  return inRedis(store.redis, wanted)
}

function inMemory(wanted: Wanted): State {
  const { accessLog, maxChallenges, maxNonces, nonceKeyFile, pseudonymKeyFile } = wanted
  const own = (file: string | undefined) => (file === undefined ? new Secret(randomBytes(32)) : secretFile(file))
  return {
    bootstraps: memoryBootstrapStore({ maxEntries: MAX_BOOTSTRAPS_IN_MEMORY }),
    challenges: memoryOnceStore({ maxEntries: maxChallenges }),
    sqns: memorySqnStore(),
    documents: memoryDocumentStore(),
    ledger: memoryNonceLedger({ maxNonces, startedAt: Date.now() }),
    limiter: memoryRateLimiter({ maxKeys: MAX_LIMITED_KEYS }),
    fetchedKeys: undefined,
    accessLog: accessLog && memoryAccessLog(accessLog),
    nonceKey: own(nonceKeyFile),
    appServerPseudonymKey: own(pseudonymKeyFile),
    pseudonymKey: own(undefined),
    tickets: undefined,
    health: () => ({ kind: 'memory', state: 'writable' }),
    accessLogDropped: wanted.accessLogDropped,
    ready: Promise.resolve(),
    close: async () => {},
  }
}

function inLmdb(directory: string, wanted: Wanted): State {
  const { maxChallenges: maxEntries, maxFetchedKeys, report } = wanted
  const startedAt = Date.now()
  const environment = openLmdb({ directory })
  const ledger = lmdbNonceLedger({ directory, maxNonces: wanted.maxNonces, startedAt })
  const { keys } = environment
  const challenges = lmdbOnceStore({ directory, keys, codec: pendingChallengeCodec, maxEntries })
  const limiter = lmdbRateLimiter({ directory, keys, maxKeys: MAX_LIMITED_KEYS })
  const fetchedKeys =
    maxFetchedKeys === undefined ? undefined : lmdbKeyStore({ directory, keys, maxEntries: maxFetchedKeys })
  const accessLog =
    wanted.accessLog &&
    lmdbAccessLog({
      ...{ directory, keys, formerFile: environment.file },
      ...{ ...wanted.accessLog, onFailure: report, onDropped: wanted.onDropped },
    })
  return {
    bootstraps: lmdbBootstrapStore(environment),
    challenges,
    sqns: lmdbSqnStore(environment),
    documents: lmdbDocumentStore(environment),
    ledger,
    limiter,
    fetchedKeys,
    accessLog,
    nonceKey: secretFile(wanted.nonceKeyFile ?? join(directory, KEY_FILES.nonce)),
    appServerPseudonymKey: secretFile(wanted.pseudonymKeyFile ?? join(directory, KEY_FILES.appServerPseudonym)),
    pseudonymKey: secretFile(join(directory, KEY_FILES.pseudonym)),
    tickets: ticketsIn(join(directory, KEY_FILES.tickets)),
    health: () => ({
      kind: 'lmdb',
      state: environment.file.isWritable() ? 'writable' : 'read-only',
      ...(accessLog && { accessLog: accessLog.fileState() }),
      bytes: lmdbBytesIn(directory),
      freeBytes: freeBytesAt(directory),
    }),
    accessLogDropped: wanted.accessLogDropped,
    ready: Promise.resolve(),
    close: async () => {
      await accessLog?.close().catch(report)
      await challenges.close()
      await ledger.close()
      await limiter.close()
      await fetchedKeys?.close()
      await environment.close()
    },
  }
}

function inRedis(config: NonNullable<Config['store']['redis']>, wanted: Wanted): State {
  const { maxChallenges: maxEntries, report } = wanted
  const shared = (name: string) => join(config.keysDirectory, name)
  const ticketFile = shared(KEY_FILES.tickets)
  // Read before there is a connection, which would keep the process from ending where one is missing.
  sharedSecretFile(ticketFile)
  const secrets = {
    nonceKey: sharedSecretFile(wanted.nonceKeyFile ?? shared(KEY_FILES.nonce)),
    appServerPseudonymKey: sharedSecretFile(wanted.pseudonymKeyFile ?? shared(KEY_FILES.appServerPseudonym)),
    pseudonymKey: sharedSecretFile(shared(KEY_FILES.pseudonym)),
  }
  const environment = openRedis({ ...redisOptions(config), sealKeyFile: shared(SEAL_KEY_FILE), onProblem: report })
  const ledger = redisNonceLedger(environment, { maxNonces: wanted.maxNonces })
  // Where Redis is new, the record of nonces begins now, and not with the first nonce, which it would then not know.
  const beginning = environment.redis.ready(START_PATIENCE_MS).then(() => ledger.begin())
  beginning.catch(report)
  const accessLog =
    wanted.accessLog &&
    redisAccessLog(environment, { ...wanted.accessLog, onFailure: report, onDropped: wanted.onDropped })
  return {
    bootstraps: redisBootstrapStore(environment),
    challenges: redisOnceStore(environment, { maxEntries, codec: pendingChallengeCodec }),
    sqns: redisSqnStore(environment),
    documents: redisDocumentStore(environment),
    ledger,
    limiter: redisLimiter(environment),
    fetchedKeys: wanted.maxFetchedKeys === undefined ? undefined : redisKeyStore(environment),
    ready: beginning.catch(() => {}),
    accessLog,
    health: () => ({ kind: 'redis', state: environment.redis.isUsable() ? 'writable' : 'unreachable' }),
    accessLogDropped: wanted.accessLogDropped,
    ...secrets,
    // Whoever shares it among hosts renews it, on all of them.
    tickets: { file: ticketFile, read: () => sharedSecretFile(ticketFile), renew() {} },
    close: async () => {
      await accessLog?.close().catch(report)
      await environment.close()
    },
  }
}

/** How long a start waits for Redis; it goes on without it, and serves once it is there. */
const START_PATIENCE_MS = 3_000

/** What is empty in the configuration is not there for the adapter. */
function redisOptions(config: NonNullable<Config['store']['redis']>): Omit<RedisStoreOptions, 'sealKeyFile'> {
  const { nodes, tls, keysDirectory: _, minReplicas, ...rest } = config
  const [first, ...more] = nodes
  if (first === undefined) throw new TypeError('no node passed validation')
  return {
    ...withoutEmpty(rest),
    nodes: [first, ...more],
    ...(tls && { tls: withoutEmpty(tls) }),
    ...(minReplicas >= 0 && { minReplicas }),
  }
}

/** Keys whose text is empty stand for none. */
type WithoutEmpty<Keys> = { [Key in keyof Keys]: Exclude<Keys[Key], ''> }

const withoutEmpty = <Keys extends object>(keys: Keys): WithoutEmpty<Keys> =>
  Object.fromEntries(Object.entries(keys).filter(([, value]) => value !== '')) as WithoutEmpty<Keys>

/** No session outlives its key, so who steals it reads the sessions of one day, and of TLS 1.2 only. */
const ticketsIn = (file: string): State['tickets'] => ({
  file,
  read: () => secretFile(file),
  renew: (now) => renewSecretFile(file, now, TICKET_KEY_AGE_MS),
})
const TICKET_KEY_AGE_MS = 86_400_000

/** Keys besides the one that seals, by file name. */
export const KEY_FILES = {
  nonce: 'nonce.key',
  appServerPseudonym: 'app-server-pseudonym.key',
  pseudonym: 'pseudonym.key',
  tickets: 'tickets.key',
} as const
export const SEAL_KEY_FILE = 'seal.key'

const given = (file: string | undefined): string | undefined => (file === '' ? undefined : file)
