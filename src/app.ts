import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import type { TlsOptions } from 'node:tls'
import type { FastifyInstance } from 'fastify'
import ap, { type ApOptions } from './ap.ts'
import { type ApPolicy, apPolicyOf, nonEmpty, plainPolicyOf } from './ap-policy.ts'
import { createAs } from './as/server.ts'
import type { ApConfig, BsfConfig, Config, HssConfig, ZnServerConfig } from './config/schema.ts'
import type { EpochMs } from './core/bytes.ts'
import { auc } from './hss/auc.ts'
import { loadSubscribers } from './hss/subscribers.ts'
import { type Audit, type AuditEvent, type AuditRecord, auditor } from './observe/audit.ts'
import { createLog, type Logger, openLogFile, pseudonymiser } from './observe/log.ts'
import { boundStop, createServer } from './server.ts'
import { openState, type State } from './state.ts'
import { memoryOnceStore } from './store/memory.ts'
import { clientTlsOptions, mutualTlsOptions, serverTlsOptions, upstreamTlsOptions } from './tls/listener.ts'
import { authenticator } from './ua/authenticate.ts'
import { type DemandFile, followDemands } from './ua/demand-file.ts'
import { NO_DEMANDS } from './ua/rebootstrap.ts'
import type { PendingChallenge } from './ub/bootstrap.ts'
import ub from './ub/plugin.ts'
import type { AvSource } from './zh/port.ts'
import { cachedKeySource, type KeyCache } from './zn/cache.ts'
import { httpKeySource } from './zn/http.ts'
import { localKeySource } from './zn/local.ts'
import zn from './zn/plugin.ts'
import type { KeySource } from './zn/port.ts'

/** Listeners by what speaks there. */
export type Listener = 'ub' | 'zn' | 'ap' | 'plainUa' | 'as'

export interface App {
  /** Where each listener really is: port 0 in the configuration is any free port. */
  readonly addresses: Readonly<Partial<Record<Listener, { readonly host: string; readonly port: number }>>>
  readonly audit: Audit
  /** Opens the audit file anew, after it was moved away. */
  reopenLogs(): void
  close(): Promise<void>
}

/** What tests replace. */
export interface AppParts {
  readonly now?: () => EpochMs
  readonly log?: Logger
  /** Told of every decision, identities in clear: for the demo and for tests. */
  readonly onDecision?: (event: AuditEvent, record: AuditRecord) => void
  /** In the place of the HSS stub. */
  readonly avSource?: AvSource
}

interface Parts {
  readonly config: Config
  readonly state: State
  readonly log: Logger
  readonly audit: Audit
  readonly now: () => EpochMs
  readonly avSource: AvSource | undefined
}

type Listening = [Listener, FastifyInstance, { readonly host: string; readonly port: number }]

const EXPIRY_SWEEP_MS = 60_000

/**
 * Starts every role that the configuration has, or none: what cannot start takes the others down again.
 * @throws ConfigError, SubscribersError, GbaError STORE_UNAVAILABLE, or the error of a port that cannot be had
 */
export async function startApp(config: Config, replaced: AppParts = {}): Promise<App> {
  const { now = Date.now, log, onDecision, avSource } = replaced
  const logger = log ?? createLog({ level: config.log.level, identities: config.log.identities })
  const state = openState(config, (error) => logger.error({ err: error }, 'store.access-log-failed'))
  if (config.log.identities === 'clear') logger.warn({ setting: 'log.identities' }, 'log.identities-in-clear')
  const named = config.log.identities === 'hashed' ? pseudonymiser(state.pseudonymKey, 'hashed') : undefined
  const auditFile = config.log.auditFile === '' ? undefined : openLogFile(config.log.auditFile)
  const auditLog = auditFile
    ? createLog({ level: 'info', identities: config.log.identities, destination: auditFile })
    : logger
  const written = auditor((event, fields) => auditLog.info(fields, event), named, config.log.auditEveryNth)
  const audit: Audit = {
    count: written.count,
    toleranceCount: written.toleranceCount,
    record(event, record) {
      written.record(event, record)
      onDecision?.(event, record)
    },
  }
  const parts: Parts = { config, state, log: logger, audit, now, avSource }
  const servers: Listening[] = []
  let demands: DemandFile | undefined
  const keys = keySourceOf(parts)
  const close = async () => {
    await Promise.all(servers.map(([, server]) => server.close()))
    await keys?.close?.()
    demands?.close()
    await state.close()
    auditFile?.end()
  }
  try {
    if (config.bsf) {
      servers.push(['ub', await ubServer(parts, config.bsf), config.bsf.ub])
      if (config.bsf.zn) servers.push(['zn', await znServer(parts, config.bsf.zn), config.bsf.zn])
    }
    if (config.as) servers.push(['as', asServer(parts, config.as), config.as])
    if (config.ap && keys) {
      demands = demandsOf(config.ap, logger)
      servers.push(...(await apServers(parts, config.ap, keys, demands)))
    }
    for (const [, server, { host, port }] of servers)
      await server.listen({ host, port, listenTextResolver: () => 'server.listening' })
  } catch (error) {
    await close()
    throw error
  }
  const sweep = setInterval(() => {
    keys?.sweep()
    for (const store of [state.bootstraps, state.accessLog]) {
      store?.sweep(now()).catch((error: unknown) => logger.error({ err: error }, 'store.sweep-failed'))
    }
  }, EXPIRY_SWEEP_MS)
  sweep.unref()
  return {
    addresses: Object.fromEntries(
      servers.map(([name, server, { host }]) => [name, { host, port: (server.server.address() as AddressInfo).port }]),
    ),
    audit,
    reopenLogs: () => auditFile?.reopen(),
    close: async () => {
      clearInterval(sweep)
      await close()
    },
  }
}

async function ubServer({ config, state, log, audit, now, avSource }: Parts, bsf: BsfConfig): Promise<FastifyInstance> {
  const limits = { ...SMALL_LIMITS, ...bsf.ub }
  const server = createServer({ log, limits, onRefused: unborn(audit, 'ub.refused') })
  const challenges = memoryOnceStore<PendingChallenge>({ maxEntries: bsf.ub.maxPendingChallenges, clock: now })
  await server.register(ub, {
    bsfNames: nonEmpty(bsf.names),
    keyLifetimeS: bsf.keyLifetimeS,
    challengeLifetimeS: bsf.challengeLifetimeS,
    tmpi: bsf.tmpi,
    avSource: avSource ?? (await avSourceOf(config.hss, state)),
    challenges,
    bootstraps: state.bootstraps,
    audit,
    now,
    randomBytes,
  })
  return server
}

async function avSourceOf(hss: HssConfig | undefined, { sqns }: State): Promise<AvSource> {
  if (!hss) throw new TypeError('a local Zh without an HSS')
  const subscribers = loadSubscribers(await readFile(hss.subscribersFile, 'utf8'), hss.subscribersFile)
  return auc({ subscribers, sqnStore: sqns, randomBytes, ind: hss.ind })
}

async function znServer({ state, log, audit, now }: Parts, config: ZnServerConfig): Promise<FastifyInstance> {
  const limits = { ...SMALL_LIMITS, ...config }
  const tls = mutualTlsOptions(config.tls, warning(log))
  const server = createServer({ log, limits, tls, onRefused: unborn(audit, 'zn.refused') })
  await server.register(zn, { nafs: config.nafs, bootstraps: state.bootstraps, audit, now })
  return server
}

function asServer({ state, log }: Parts, as: NonNullable<Config['as']>): FastifyInstance {
  const server = createAs({ documents: state.documents, xcapRoot: as.xcapRoot, log, bodyLimit: as.bodyBytes })
  boundStop(server)
  return server
}

/** The proxy over TLS, and without where a conformance set-up asks for it: one authenticator, one set of rules. */
async function apServers(
  parts: Parts,
  config: ApConfig,
  keys: KeySource,
  demands: DemandFile | undefined,
): Promise<Listening[]> {
  const { state, log, audit, now } = parts
  const policy = policyWithTls(config, parts)
  const common = {
    authenticator: authenticator({
      keys,
      ledger: state.ledger,
      nonces: { key: state.nonceKey, lifetimeMs: config.challenge.nonceLifetimeS * 1000 },
      now,
      randomBytes,
      tolerances: policy.tolerances,
      maxRemembered: config.zn.maxEntries,
    }),
    requireToken: config.challenge.requireToken,
    headerCount: config.limits.headerCount,
    authIntAnswerBytes: config.limits.authIntAnswerBytes,
    audit,
    accessLog: state.accessLog,
    demands: () => demands?.current() ?? NO_DEMANDS,
    // A BSF of another host has another clock, and may tell whole seconds.
    clockSkewMs: config.zn.adapter === 'local' ? 0 : 5_000,
    now,
  }
  const listening = async (place: Listening[0], at: Listening[2], options: ApOptions, tls?: TlsOptions) => {
    const server = createServer({ log, limits: config.limits, tls, onRefused: unborn(audit, 'ut.refused') })
    await server.register(ap, options)
    return [place, server, at] satisfies Listening
  }
  const tls = serverTlsOptions(config.tls, warning(log), config.tls.profile)
  const servers = [await listening('ap', config, { ...common, ...policy, scheme: 'https' }, tls)]
  const plain = config.insecurePlainUa
  if (plain) {
    log.warn({ setting: 'ap.insecurePlainUa', port: plain.port }, 'ua.without-tls')
    const options = { ...common, ...plainPolicyOf(policy, nonEmpty(plain.qop)), scheme: 'http' as const }
    servers.push(await listening('plainUa', plain, options))
  }
  return servers
}

/** The policy, with the TLS side of each application server that has one. */
function policyWithTls(config: ApConfig, { state, log }: Parts): ApPolicy {
  const policy = apPolicyOf(config, state.appServerPseudonymKey)
  const secured = new Map(
    config.appServers
      .filter(({ url }) => url.startsWith('https:'))
      .map(({ servername, ...server }) => [
        server.name,
        { ...upstreamTlsOptions(server, warning(log)), ...(servername !== '' && { servername }) },
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

function keySourceOf({ config, state, log, audit, now }: Parts): KeyCache | undefined {
  const { ap: config_, bsf } = config
  if (!config_) return undefined
  const { zn: client } = config_
  const source =
    client.adapter === 'http'
      ? httpKeySource({
          apiRoot: client.url,
          tls: clientTlsOptions(client, warning(log)),
          timeoutMs: client.timeoutMs,
          assumedLifetimeS: client.ussMaxAgeS,
          now,
        })
      : localKeySource(state.bootstraps, ourOwnNaf(config_), now)
  if (client.adapter === 'local' && !bsf) throw new TypeError('a local Zn without a BSF')
  return cachedKeySource(source, {
    now,
    ...client,
    // To ask the BSF of this process costs nothing. And whoever reads a challenge on Ub knows the B-TID before the UE
    // has it: asked for too early, it would be unknown when the UE comes with it.
    ...(client.adapter === 'local' && { unknownBtidCacheS: 0 }),
    onFetch: ({ btid, nafFqdn, uaProtocolId }, code) =>
      audit.record('zn.fetched', { btid, naf: nafFqdn, uaProtocolId, ...(code && { code }) }),
  })
}

/**
 * The AP of the same process: what its own configuration names, and nothing more. It knows the private identity, so as
 * to find it in what it must not forward.
 */
function ourOwnNaf(config: ApConfig) {
  return {
    name: 'this process',
    fqdns: config.nafs.map(({ fqdn }) => fqdn),
    gsids: config.routes.flatMap(({ gsids, gsTypes }) => [...gsids, ...gsTypes]),
    impi: true,
    nafGroups: [],
  }
}

/** Bounds of the servers whose requests are small by nature. */
const SMALL_LIMITS = {
  bodyBytes: 65_536,
  headerBytes: 16_384,
  headersTimeoutMs: 10_000,
  requestTimeoutMs: 10_000,
  keepAliveTimeoutMs: 10_000,
  connections: 10_000,
}

const warning = (log: Logger) => (file: string, detail: string) => log.warn({ file, detail }, 'tls.warning')

const unborn =
  (audit: Audit, event: 'ub.refused' | 'zn.refused' | 'ut.refused') =>
  (code: Parameters<Audit['record']>[1]['code'], requestId: string, status: number) =>
    audit.record(event, { ...(code && { code }), requestId, status })
