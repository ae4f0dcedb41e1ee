import { randomBytes } from 'node:crypto'
import { type ApListener, apListeners, type Listening, refusedBeforeTls } from './ap-listeners.ts'
import { type ApPolicy, apPolicyOf } from './ap-policy.ts'
import type { ApConfig } from './config/schema.ts'
import type { EpochMs } from './core/bytes.ts'
import type { SettingsOf } from './hss/settings.ts'
import type { Audit } from './observe/audit.ts'
import type { Logger } from './observe/log.ts'
import type { UpstreamLoad } from './observe/metrics.ts'
import { rateOf, sourcesBut } from './sources.ts'
import type { State } from './state.ts'
import { memoryRateLimiter } from './store/memory-rate-limiter.ts'
import type { Expiry } from './tls/expiry.ts'
import { upstreamTlsOptions } from './tls/listener.ts'
import { followTls, type LiveTls } from './tls/live.ts'
import { authenticator } from './ua/authenticate.ts'
import { certificateDoor } from './ua/certificate.ts'
import { type DemandFile, followDemands } from './ua/demand-file.ts'
import { doorsOf } from './ua/doors.ts'
import { type FailureGuard, failureGuard } from './ua/failures.ts'
import type { FollowedFile } from './ua/followed-file.ts'
import { passwordDoor } from './ua/password.ts'
import { pskDoor } from './ua/psk.ts'
import { NO_DEMANDS } from './ua/rebootstrap.ts'
import { type ApSubscribers, followApSubscribers } from './ua/subscriber-file.ts'
import { isFirst } from './worker-place.ts'
import type { KeySource } from './zn/port.ts'

export interface ApParts {
  readonly state: State
  readonly log: Logger
  readonly audit: Audit
  readonly now: () => EpochMs
  readonly keys: KeySource
  /** Where an HSS is in this process: what it has for subscribers who come by certificate. */
  readonly settingsOf: SettingsOf | undefined
  /** No key lives longer than that. */
  readonly longestKeyS: number
  /** Which of several processes behind the same ports this is; undefined: the only one. */
  readonly worker: number | undefined
  /** Told of each pool of connections to an application server. */
  readonly registerUpstream: (appServer: string, load: () => UpstreamLoad) => void
}

export interface ApServers {
  readonly servers: readonly Listening<ApListener>[]
  /** Reads certificates, keys and what belongs to them now. @returns whether what they say is in use */
  reload(): boolean
  /** When the files of the listeners stop to be of use. */
  expiries(): readonly Expiry[]
  /** Says what expires soon. */
  sweep(): void
  /** Lets go of the files that are followed. */
  close(): void
}

/** The proxy over TLS, and by whatever other way the configuration opens: one set of doors, one set of rules. */
export async function apServers(parts: ApParts, config: ApConfig): Promise<ApServers> {
  const { audit, keys, log, now, state } = parts
  const policy = policyWithTls(config, parts)
  const demands = demandsOf(config, log)
  const subscribers = subscribersOf(config, parts)
  const digest = {
    ledger: state.ledger,
    nonces: { key: state.nonceKey, lifetimeMs: config.challenge.nonceLifetimeS * 1000 },
    now,
    randomBytes,
    tolerances: policy.tolerances,
    maxRemembered: config.zn.maxEntries,
    seesEveryCount: parts.worker === undefined,
  }
  const psk = pskDoor({ keys, now })
  const doors = doorsOf({
    digest: authenticator({ ...digest, keys }),
    psk,
    certificate:
      config.subscriberCertificates &&
      certificateDoor({
        subscribers: () => subscribers?.current(),
        settings: config.subscriberCertificates.settings,
        ...(parts.settingsOf && { settingsOf: parts.settingsOf }),
        // A list that is too old says nothing of who was revoked since, on a connection that is there already either.
        isRevoked: () => live.expiries().some(({ kind, expiresAt }) => kind === 'crl' && expiresAt <= now()),
        now,
      }),
    password: subscribers && passwordDoor({ ...digest, subscribers: subscribers.current }),
    requireToken: config.challenge.requireToken,
  })
  let endCertificateConnections = () => {}
  const live = liveTls(config, parts, () => endCertificateConnections())
  const askerOf = sourcesBut(config.limits.failures.trustedSources)
  const common = {
    doors,
    askerOf,
    failures: failuresOf(config, parts),
    headerCount: config.limits.headerCount,
    authIntAnswerBytes: config.limits.authIntAnswerBytes,
    audit,
    accessLog: state.accessLog,
    registerUpstream: parts.registerUpstream,
    demands: () => demands?.current() ?? NO_DEMANDS,
    // A BSF of another host has another clock, and may tell whole seconds.
    clockSkewMs: config.zn.adapter === 'local' ? 0 : 5_000,
    now,
  }
  const listeners = await apListeners({ config, log, audit, policy, psk, live, common, askerOf })
  endCertificateConnections = listeners.endCertificateConnections
  return {
    servers: listeners.servers,
    reload: () => live.reload(),
    expiries: () => live.expiries(),
    sweep: () => live.check(now()),
    close() {
      live.close()
      demands?.close()
      subscribers?.close()
    },
  }
}

/** Those held back on Ua, and those who have succeeded, of whom one process knows. */
const MAX_REMEMBERED = 20_000

function failuresOf({ limits: { failures } }: ApConfig, { now, state }: ApParts): FailureGuard {
  return failureGuard({
    limiter: state.limiter,
    fallback: memoryRateLimiter({ maxKeys: MAX_REMEMBERED }),
    limits: {
      perSource: rateOf(failures.perSource),
      perIdentity: rateOf(failures.perIdentity),
      perUsername: rateOf(failures.perUsername),
    },
    sourceOf: sourcesBut(failures.trustedSources),
    now,
    maxRemembered: MAX_REMEMBERED,
  })
}

/** The certificates of the listeners, followed while they change. */
function liveTls(config: ApConfig, parts: ApParts, onTrustChange: () => void): LiveTls {
  const { audit, log, now, longestKeyS, worker } = parts
  const { tls, subscriberCertificates } = config
  const { caFile: clientCaFile = '', crlFile = '' } = subscriberCertificates ?? {}
  return followTls(
    { certificates: [tls, ...tls.certificates], clientCaFile, crlFile },
    {
      names: config.nafs.map(({ fqdn }) => fqdn),
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

function demandsOf({ rebootstrapFile }: ApConfig, log: Logger): DemandFile | undefined {
  if (rebootstrapFile === '') return undefined
  return followDemands(rebootstrapFile, (error) => log.error({ err: error }, 'ap.rebootstrap-file-refused'))
}

function subscribersOf(
  { subscribersFile }: ApConfig,
  { log, worker }: ApParts,
): FollowedFile<ApSubscribers> | undefined {
  if (subscribersFile === '') return undefined
  const onMistake = (error: unknown) => log.error({ err: error }, 'ap.subscribers-file-refused')
  return followApSubscribers(subscribersFile, onMistake, { warn: warning(log, worker) })
}
