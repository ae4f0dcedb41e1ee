import { randomBytes } from 'node:crypto'
import { knownAddresses } from './ap-addresses.ts'
import type { Prepared } from './ap-lane.ts'
import { type ApListener, type ApRules, apListeners, type Listening, refusedBeforeTls } from './ap-listeners.ts'
import { type ApPolicy, apPolicyOf } from './ap-policy.ts'
import type { ApConfig } from './config/schema.ts'
import type { EpochMs } from './core/bytes.ts'
import type { Btid, Fqdn } from './core/identity.ts'
import type { UaProtocolId } from './core/naf-id.ts'
import type { SettingsOf } from './hss/settings.ts'
import { Load, type LoadState } from './load.ts'
import type { Audit } from './observe/audit.ts'
import type { Logger } from './observe/log.ts'
import type { UpstreamLoad } from './observe/metrics.ts'
import type { Tracing } from './observe/traces.ts'
import { shedding } from './shedding.ts'
import { rateOf, sourcesBut } from './sources.ts'
import type { State } from './state.ts'
import { memoryRateLimiter } from './store/memory-rate-limiter.ts'
import type { RateLimiter } from './store/store.ts'
import type { Expiry } from './tls/expiry.ts'
import { upstreamTlsOptions } from './tls/listener.ts'
import { followTls, type LiveTls } from './tls/live.ts'
import { authenticator } from './ua/authenticate.ts'
import { certificateDoor } from './ua/certificate.ts'
import { type DemandFile, followDemands } from './ua/demand-file.ts'
import { doorsOf } from './ua/doors.ts'
import { type FailureGuard, type FailureMemory, failureGuard, failureMemory } from './ua/failures.ts'
import type { FollowedFile } from './ua/followed-file.ts'
import { NcHabit } from './ua/nc-habit.ts'
import { passwordDoor } from './ua/password.ts'
import { type PskDoor, pskDoor } from './ua/psk.ts'
import { NO_DEMANDS, OTHER_HOST_SKEW_MS } from './ua/rebootstrap.ts'
import type { StandingDemands } from './ua/standing-demands.ts'
import { type ApSubscribers, followApSubscribers } from './ua/subscriber-file.ts'
import type { AppServerState } from './ut/addresses.ts'
import { isFirst } from './worker-place.ts'
import type { KeySource } from './zn/port.ts'

export interface ApParts {
  readonly state: State
  readonly log: Logger
  readonly audit: Audit
  /** undefined: no traces are made. */
  readonly traces: Tracing | undefined
  readonly now: () => EpochMs
  readonly keys: KeySource
  /** Where an HSS is in this process: what it has for subscribers who come by certificate. */
  readonly settingsOf: SettingsOf | undefined
  /** Those that no file has. */
  readonly demands: StandingDemands
  /** No key lives longer than that. */
  readonly longestKeyS: number
  /** Which of several processes behind the same ports this is; undefined: the only one. */
  readonly worker: number | undefined
  /** Told of each pool of connections to an application server. */
  readonly registerUpstream: (appServer: string, load: () => UpstreamLoad) => () => void
}

export interface ApServers {
  readonly servers: readonly Listening<ApListener>[]
  /** Reads certificates, keys and what belongs to them now. @returns whether what they say is in use */
  reload(): boolean
  /** When the files of the listeners stop to be of use. */
  expiries(): readonly Expiry[]
  /**
   * Makes ready to go on by another configuration, as far as that can be: what needs a restart stays as it is.
   * @throws ConfigError for a file; nothing has changed then
   */
  prepare(next: ApConfig): Prepared
  /** Every address of every application server, as it is thought of now. */
  appServerStates(): readonly AppServerState[]
  /** What this process has taken on, and what it has not. */
  load(): LoadState
  /** Reads the file of demands, where it has changed. */
  lookAtDemands(): void
  /** Says what expires soon. */
  sweep(): void
  /** Lets go of the files that are followed. */
  close(): void
}

/** The proxy over TLS, and by whatever other way the configuration opens: one set of doors, one set of rules. */
export async function apServers(parts: ApParts, config: ApConfig): Promise<ApServers> {
  const { audit, keys, log, now } = parts
  const memory = memoryOf(config)
  const psk = pskDoor({ keys, now })
  let endCertificateConnections = () => {}
  const live = liveTls(config, parts, () => endCertificateConnections())
  // A list that is too old says nothing of who was revoked since, on a connection that is there already either.
  const isRevoked = () => live.expiries().some(({ kind, expiresAt }) => kind === 'crl' && expiresAt <= now())
  const made = { psk, memory, isRevoked }
  let files = followedFiles(config, parts, undefined)
  const rules = rulesOf(config, parts, { ...made, files })
  const load = new Load(config.limits)
  const addresses = knownAddresses(
    (change) => log.warn(change, 'ap.app-server-health'),
    ({ isLeftAlone, ...address }) => {
      if (isLeftAlone) log.warn(address, 'ap.app-server-suspended')
      else log.info(address, 'ap.app-server-restored')
    },
  )
  const listeners = await apListeners({
    config,
    log,
    audit,
    psk,
    live,
    now,
    rules,
    addresses,
    shedding: shedding(load, { audit, log }),
    registerUpstream: parts.registerUpstream,
  }).catch((error: unknown) => {
    addresses.close()
    throw error
  })
  endCertificateConnections = listeners.endCertificateConnections
  return {
    servers: listeners.servers,
    reload: () => live.reload(),
    expiries: () => live.expiries(),
    appServerStates: () => addresses.states(),
    load: () => load.state(),
    prepare(next) {
      const before = files
      const following = followedFiles(next, parts, before)
      const leave = () => closeUnshared(following, before)
      try {
        const commitNames = live.prepareNames(namesOf(next))
        const prepared = listeners.prepare(rulesOf(next, parts, { ...made, files: following }))
        return {
          commit() {
            prepared.commit()
            load.limit(next.limits)
            commitNames()
            files = following
            closeUnshared(before, following)
          },
          discard() {
            prepared.discard()
            leave()
          },
        }
      } catch (error) {
        leave()
        throw error
      }
    },
    lookAtDemands: () => files.demands?.look(),
    sweep: () => live.check(now()),
    close() {
      addresses.close()
      live.close()
      closeUnshared(files, NO_FILES)
    },
  }
}

/** What outlives a change of the rules: else UEs would seem to count oddly, and those held back would be free. */
interface Memory {
  readonly matched: Map<Btid, UaProtocolId>
  readonly digestHabit: NcHabit
  readonly passwordHabit: NcHabit
  readonly failures: FailureMemory
  readonly fallback: RateLimiter
}

const memoryOf = ({ zn: { maxEntries } }: ApConfig): Memory => ({
  matched: new Map(),
  digestHabit: new NcHabit(maxEntries),
  passwordHabit: new NcHabit(maxEntries),
  failures: failureMemory(),
  fallback: memoryRateLimiter({ maxKeys: MAX_REMEMBERED }),
})

interface Made {
  readonly psk: PskDoor
  readonly memory: Memory
  readonly isRevoked: () => boolean
  readonly files: FollowedFiles
}

/** All that a configuration says and that can be replaced by another while the proxy runs. */
function rulesOf(config: ApConfig, parts: ApParts, { files, isRevoked, memory, psk }: Made): ApRules {
  const { audit, keys, now, state, traces } = parts
  const { demands, subscribers } = files
  const policy = policyWithTls(config, parts)
  const digest = {
    ledger: state.ledger,
    nonces: {
      key: state.nonceKey,
      lifetimeMs: config.challenge.nonceLifetimeS * 1000,
      standing: () => state.ledger.standing(),
    },
    now,
    randomBytes,
    tolerances: policy.tolerances,
    maxRemembered: config.zn.maxEntries,
    seesEveryCount: parts.worker === undefined,
  }
  const doors = doorsOf({
    digest: authenticator({ ...digest, keys, matched: memory.matched, habit: memory.digestHabit }),
    psk,
    certificate:
      config.subscriberCertificates &&
      certificateDoor({
        subscribers: () => subscribers?.current(),
        settings: config.subscriberCertificates.settings,
        ...(parts.settingsOf && { settingsOf: parts.settingsOf }),
        isRevoked,
        now,
      }),
    password: subscribers && passwordDoor({ ...digest, subscribers: subscribers.current, habit: memory.passwordHabit }),
    requireToken: config.challenge.requireToken,
  })
  return {
    policy,
    authIntAnswerBytes: config.limits.authIntAnswerBytes,
    common: {
      doors,
      askerOf: sourcesBut(config.limits.failures.trustedSources),
      failures: failuresOf(config, parts, memory),
      headerCount: config.limits.headerCount,
      audit,
      traces,
      accessLog: state.accessLog,
      demands: () => parts.demands.with(demands?.current() ?? NO_DEMANDS),
      clockSkewMs: config.zn.adapter === 'local' ? 0 : OTHER_HOST_SKEW_MS,
      now,
    },
  }
}

/** Those held back on Ua, and those who have succeeded, of whom one process knows. */
const MAX_REMEMBERED = 20_000

function failuresOf({ limits: { failures } }: ApConfig, { now, state }: ApParts, memory: Memory): FailureGuard {
  return failureGuard({
    limiter: state.limiter,
    fallback: memory.fallback,
    limits: {
      perSource: rateOf(failures.perSource),
      perIdentity: rateOf(failures.perIdentity),
      perUsername: rateOf(failures.perUsername),
    },
    sourceOf: sourcesBut(failures.trustedSources),
    now,
    maxRemembered: MAX_REMEMBERED,
    memory: memory.failures,
  })
}

const namesOf = ({ nafs }: ApConfig): Fqdn[] => nafs.map(({ fqdn }) => fqdn)

/** The certificates of the listeners, followed while they change. */
function liveTls(config: ApConfig, parts: ApParts, onTrustChange: () => void): LiveTls {
  const { audit, log, now, longestKeyS, worker } = parts
  const { tls, subscriberCertificates } = config
  const { caFile: clientCaFile = '', crlFile = '' } = subscriberCertificates ?? {}
  return followTls(
    { certificates: [tls, ...tls.certificates], clientCaFile, crlFile },
    {
      names: namesOf(config),
      profile: tls.profile,
      sessionTimeoutS: Math.min(tls.sessionTimeoutS, longestKeyS),
      ...(parts.state.tickets && { tickets: parts.state.tickets }),
      warn: warning(log, worker),
      onMistake: (error) => log.error({ err: error }, 'tls.files-refused'),
      onChange: (files) => log.info({ files }, 'tls.files-changed'),
      onTrustChange,
      onExpiring: ({ file, kind, expiresAt }, state) => {
        if (isFirst(worker)) log.warn({ file, kind, expiresAt, state }, 'tls.expiry')
      },
      onRefused: (reason, peer) => refusedBeforeTls({ audit }, reason, peer),
      now,
    },
  )
}

/** All workers read the same files; one of them says what is odd about them. */
const warning = (log: Logger, worker: number | undefined) => (file: string, detail: string) => {
  if (isFirst(worker)) log.warn({ file, detail }, 'tls.warning')
}

/** The policy, with the TLS side of each application server that has one. */
function policyWithTls(config: ApConfig, { state, log, worker }: ApParts): ApPolicy {
  const policy = apPolicyOf(config, state.appServerPseudonymKey)
  const secured = new Map(
    config.appServers
      .filter(({ url }) => url.startsWith('https:'))
      .map(({ servername, ...server }) => [
        server.name,
        { ...upstreamTlsOptions(server, warning(log, worker)), ...(servername !== '' && { servername }) },
      ]),
  )
  const appServers = policy.appServers.map((server) => {
    const tls = secured.get(server.name)
    return tls ? { ...server, tls } : server
  })
  return { ...policy, appServers }
}

/** Files of the proxy that are read again whenever they change. */
interface FollowedFiles {
  readonly rebootstrapFile: string
  readonly demands: DemandFile | undefined
  readonly subscribersFile: string
  readonly subscribers: FollowedFile<ApSubscribers> | undefined
}

const NO_FILES: FollowedFiles = {
  rebootstrapFile: '',
  demands: undefined,
  subscribersFile: '',
  subscribers: undefined,
}

/** @param before  what is followed already, and is not opened again. @throws ConfigError */
function followedFiles(config: ApConfig, { log, worker }: ApParts, before = NO_FILES): FollowedFiles {
  const { rebootstrapFile, subscribersFile } = config
  const demands =
    rebootstrapFile === before.rebootstrapFile
      ? before.demands
      : opened(rebootstrapFile, (file) =>
          followDemands(file, (error) => log.error({ err: error }, 'ap.rebootstrap-file-refused')),
        )
  try {
    const onMistake = (error: unknown) => log.error({ err: error }, 'ap.subscribers-file-refused')
    const subscribers =
      subscribersFile === before.subscribersFile
        ? before.subscribers
        : opened(subscribersFile, (file) => followApSubscribers(file, onMistake, { warn: warning(log, worker) }))
    return { rebootstrapFile, demands, subscribersFile, subscribers }
  } catch (error) {
    if (demands !== before.demands) demands?.close()
    throw error
  }
}

const opened = <File>(file: string, open: (file: string) => File): File | undefined =>
  file === '' ? undefined : open(file)

/** Lets go of those that the others do not have. */
function closeUnshared(files: FollowedFiles, others: FollowedFiles): void {
  if (files.demands !== others.demands) files.demands?.close()
  if (files.subscribers !== others.subscribers) files.subscribers?.close()
}
