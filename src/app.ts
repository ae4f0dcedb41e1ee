import { randomBytes } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import type { Readiness } from './admin/health.ts'
import type { AdminSources } from './admin/server.ts'
import { adminPlaceOf, type RunningAdmin, startAdmin, versionReporter } from './admin/start.ts'
import { type Watch, watchProcess } from './admin/watch.ts'
import type { ApListener, Listening } from './ap-listeners.ts'
import { nonEmpty } from './ap-policy.ts'
import { type ApServers, apServers } from './ap-servers.ts'
import { createAs } from './as/server.ts'
import type { ApConfig, BsfConfig, Config, HssConfig, ZnServerConfig } from './config/schema.ts'
import type { EpochMs } from './core/bytes.ts'
import { auc } from './hss/auc.ts'
import { settingsFrom } from './hss/settings.ts'
import type { Subscribers } from './hss/subscribers.ts'
import { readSubscribers } from './hss/subscribers-file.ts'
import { type Audit, type AuditEvent, type AuditRecord, auditor } from './observe/audit.ts'
import { type AuditFile, openAuditFile } from './observe/audit-file.ts'
import { expose, type MetricReport } from './observe/exposition.ts'
import { createLog, type Logger, pseudonymiser, withoutRedaction } from './observe/log.ts'
import { boundStop, createServer, STOP_GRACE_MS, unborn } from './server.ts'
import { rateOf, sourcesBut } from './sources.ts'
import { openState, type State } from './state.ts'
import { clientTlsOptions, mutualTlsOptions } from './tls/listener.ts'
import { ubLimiter } from './ub/limits.ts'
import ub from './ub/plugin.ts'
import { isFirst, requireFree, type WorkerPlace } from './worker-place.ts'
import type { AvSource } from './zh/port.ts'
import { cachedKeySource, type KeyCache } from './zn/cache.ts'
import { httpKeySource } from './zn/http.ts'
import { localKeySource } from './zn/local.ts'
import zn from './zn/plugin.ts'
import { sharedKeys } from './zn/shared-keys.ts'

/** Listeners by what speaks there. */
export type Listener = 'ub' | 'zn' | 'as' | 'admin' | ApListener

export interface App {
  /** Where each listener really is: port 0 in the configuration is any free port. */
  readonly addresses: Readonly<Partial<Record<Listener, { readonly host: string; readonly port: number }>>>
  readonly audit: Audit
  /** All that is counted here, as `/metrics` of the admin listener tells it. */
  metrics(): Promise<MetricReport>
  /** Whether it is to be sent requests, as `/ready` of the admin listener tells it. */
  readiness(): Readiness
  /** Opens the audit file anew, after it was moved away. */
  reopenLogs(): void
  /** Reads certificates, keys and what belongs to them now. @returns whether what they say is in use */
  reload(): boolean
  /** From the moment it was asked to close: whoever balances load is to look elsewhere. */
  isDraining(): boolean
  /** Finishes what is in flight, within ten seconds. */
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
  /** Where this process is one of several behind the same ports. */
  readonly place?: WorkerPlace
  /** Around the taking of ports, for which a process may need what it has not otherwise. */
  readonly privileged?: <Result>(act: () => Promise<Result>) => Promise<Result>
  /** Opens an admin listener also where the configuration does not speak of one. */
  readonly wantsAdmin?: boolean
}

interface Parts {
  readonly config: Config
  readonly state: State
  readonly log: Logger
  readonly audit: Audit
  readonly now: () => EpochMs
  readonly avSource: AvSource | undefined
  readonly worker: number | undefined
  readonly registerUpstream: Watch['registerUpstream']
  /** How long the AS has to stop, which does so after those whom it serves. */
  readonly asGraceMs: () => number
}

const EXPIRY_SWEEP_MS = 60_000
const LEAST_GRACE_MS = 500

/**
 * Starts every role that the configuration has, or none: what cannot start takes the others down again.
 * @throws ConfigError, SubscribersError, GbaError STORE_UNAVAILABLE, or the error of a port that cannot be had
 */
export async function startApp(config: Config, replaced: AppParts = {}): Promise<App> {
  const { now = Date.now, log, onDecision, avSource, place, privileged = (act) => act(), wantsAdmin = false } = replaced
  const worker = place?.number
  const logOptions = { identities: config.log.identities, worker }
  const logger = log ?? createLog({ ...logOptions, level: config.log.level })
  const state = openState(config, (error) => logger.error({ err: error }, 'store.failed'))
  if (config.log.identities === 'clear' && isFirst(worker))
    logger.warn({ setting: 'log.identities' }, 'log.identities-in-clear')
  const named = config.log.identities === 'hashed' ? pseudonymiser(state.pseudonymKey, 'hashed') : undefined
  const auditFile = auditFileOf(config, logger, worker)
  const written = auditor(auditFile?.write ?? auditLog(logger), named, config.log.auditEveryNth)
  const audit: Audit = {
    count: written.count,
    toleranceCount: written.toleranceCount,
    record(event, record) {
      // First: what the audit cannot take has happened all the same.
      watch.record(event, record)
      written.record(event, record)
      onDecision?.(event, record)
    },
  }
  let stopBy: number | undefined
  const isDraining = () => stopBy !== undefined
  const asGraceMs = () => Math.max(LEAST_GRACE_MS, (stopBy ?? 0) - performance.now())
  const watch = watchProcess({
    config,
    state,
    now,
    isDraining,
    keyCounts: () => keys?.counts(),
    expiries: () => proxy?.expiries() ?? [],
    isWorker: place !== undefined,
  })
  const { registerUpstream } = watch
  const parts: Parts = { config, state, log: logger, audit, now, avSource, worker, registerUpstream, asGraceMs }
  const servers: Listening<Listener>[] = []
  let proxy: ApServers | undefined
  let keys: KeyCache | undefined
  let admin: RunningAdmin | undefined
  const close = async () => {
    stopBy = performance.now() + STOP_GRACE_MS
    const closed = (which: (name: Listener) => boolean) =>
      Promise.all(servers.filter(([name]) => which(name)).map(([, server]) => server.close()))
    await closed((name) => name !== 'as')
    // The AP of this process may have had requests on their way to it.
    await closed((name) => name === 'as')
    await admin?.close()
    await keys?.close?.()
    proxy?.close()
    await state.close()
    auditFile?.end()
  }
  try {
    keys = keySourceOf(parts)
    await state.ready
    const subscribers =
      config.hss && (await readSubscribers(config.hss.subscribersFile, warning(logger, worker, 'hss.warning')))
    if (config.bsf) {
      servers.push(['ub', await ubServer(parts, config.bsf, subscribers), config.bsf.ub])
      if (config.bsf.zn) servers.push(['zn', await znServer(parts, config.bsf.zn), config.bsf.zn])
    }
    if (config.as) servers.push(['as', asServer(parts, config.as), config.as])
    if (config.ap && keys) {
      const settingsOf = subscribers && settingsFrom(subscribers)
      const longestKeyS = config.bsf?.keyLifetimeS ?? Number.POSITIVE_INFINITY
      proxy = await apServers({ ...parts, keys, settingsOf, longestKeyS }, config.ap)
      servers.push(...proxy.servers)
    }
    for (const [name, server] of servers) watch.follow(name, server.server)
    const reusePort = place !== undefined
    for (const [name, server, { host, port }] of servers) {
      await privileged(async () => {
        if (place && !place.ports) await requireFree({ host, port })
        await server.listen({
          host,
          port: place?.ports?.[name] ?? port,
          reusePort,
          listenTextResolver: () => 'server.listening',
        })
      })
    }
    // Last, so that whoever can ask it finds the others there.
    const adminPlace = place ? undefined : adminPlaceOf(config, wantsAdmin)
    admin =
      adminPlace &&
      (await privileged(() => startAdmin(adminPlace, { sources: adminSources(config, watch), log: logger })))
  } catch (error) {
    await close()
    throw error
  }
  const sweep = setInterval(() => {
    keys?.sweep()
    if (!isFirst(worker)) return
    proxy?.sweep()
    renewTickets(state, now(), logger)
    for (const store of [state.bootstraps, state.accessLog, state.limiter, state.fetchedKeys]) {
      store?.sweep(now()).catch((error: unknown) => logger.error({ err: error }, 'store.sweep-failed'))
    }
  }, EXPIRY_SWEEP_MS)
  sweep.unref()
  return {
    addresses: {
      ...Object.fromEntries(
        servers.map(([name, server, { host }]) => [
          name,
          { host, port: (server.server.address() as AddressInfo).port },
        ]),
      ),
      ...(admin && { admin: admin.address }),
    },
    audit,
    metrics: watch.metrics,
    readiness: watch.readiness,
    reopenLogs: () => auditFile?.reopen(),
    reload: () => proxy?.reload() ?? true,
    isDraining,
    close: async () => {
      clearInterval(sweep)
      await close()
    },
  }
}

function auditFileOf({ log: { auditFile: path } }: Config, log: Logger, worker?: number): AuditFile | undefined {
  if (path === '') return undefined
  return openAuditFile({ path, worker, onFailure: (error) => log.error({ err: error }, 'audit.failed') })
}

/** The decisions among the rest of the log. */
function auditLog(log: Logger): AuditFile['write'] {
  const bare = withoutRedaction(log)
  return (event, fields) => bare.info(fields, event)
}

/** What the admin listener of a process without workers tells. */
const adminSources = (config: Config, { metrics, readiness }: Watch): AdminSources => ({
  metrics: async () => expose(await metrics()),
  readiness: async () => readiness(),
  version: versionReporter(config),
})

/** Workers, and later lives of this process, find the fresh key in its file. */
function renewTickets({ tickets }: State, now: EpochMs, log: Logger): void {
  try {
    tickets?.renew(now)
  } catch (error) {
    log.error({ err: error }, 'tls.ticket-key-not-renewed')
  }
}

async function ubServer(
  { config, state, log, audit, now, avSource }: Parts,
  bsf: BsfConfig,
  subscribers: Subscribers | undefined,
): Promise<FastifyInstance> {
  const drawn = bsf.ub.limits
  const limits = { ...SMALL_LIMITS, ...bsf.ub }
  const server = createServer({ log, limits, onRefused: unborn(audit, 'ub.refused') })
  await server.register(ub, {
    bsfNames: nonEmpty(bsf.names),
    keyLifetimeS: bsf.keyLifetimeS,
    challengeLifetimeS: bsf.challengeLifetimeS,
    tmpi: bsf.tmpi,
    avSource: avSource ?? avSourceOf(config.hss, subscribers, state),
    challenges: state.challenges,
    bootstraps: state.bootstraps,
    limiter: ubLimiter({
      limiter: state.limiter,
      limits: {
        perSource: rateOf(drawn.perSource),
        perImpi: rateOf(drawn.perImpi),
        wrongResponseCost: drawn.wrongResponseCost,
      },
      now,
    }),
    sourceOf: sourcesBut(drawn.trustedSources),
    audit,
    now,
    randomBytes,
  })
  return server
}

function avSourceOf(hss: HssConfig | undefined, subscribers: Subscribers | undefined, { sqns }: State): AvSource {
  if (!hss || !subscribers) throw new TypeError('a local Zh without an HSS')
  return auc({ subscribers, sqnStore: sqns, randomBytes, ind: hss.ind })
}

async function znServer({ state, log, audit, now, worker }: Parts, config: ZnServerConfig): Promise<FastifyInstance> {
  const limits = { ...SMALL_LIMITS, ...config }
  const tls = mutualTlsOptions(config.tls, warning(log, worker))
  const server = createServer({ log, limits, tls, onRefused: unborn(audit, 'zn.refused') })
  await server.register(zn, { nafs: config.nafs, bootstraps: state.bootstraps, audit, now })
  return server
}

function asServer({ state, log, asGraceMs }: Parts, as: NonNullable<Config['as']>): FastifyInstance {
  const server = createAs({ documents: state.documents, xcapRoot: as.xcapRoot, log, bodyLimit: as.bodyBytes })
  boundStop(server, asGraceMs)
  return server
}

function keySourceOf({ config, state, log, audit, now, worker }: Parts): KeyCache | undefined {
  const { ap: config_, bsf } = config
  if (!config_) return undefined
  const { zn: client } = config_
  const source =
    client.adapter === 'http'
      ? httpKeySource({
          apiRoot: client.url,
          tls: clientTlsOptions(client, warning(log, worker)),
          timeoutMs: client.timeoutMs,
          assumedLifetimeS: client.ussMaxAgeS,
          now,
        })
      : localKeySource(state.bootstraps, ourOwnNaf(config_), now)
  if (client.adapter === 'local' && !bsf) throw new TypeError('a local Zn without a BSF')
  return cachedKeySource(source, {
    now,
    ...client,
    maxPerAsker: client.maxPerSource,
    // To ask the BSF of this process costs nothing. And whoever reads a challenge on Ub knows the B-TID before the UE
    // has it: asked for too early, it would be unknown when the UE comes with it.
    ...(client.adapter === 'local' && { unknownBtidCacheS: 0 }),
    shared:
      state.fetchedKeys &&
      sharedKeys({
        store: state.fetchedKeys,
        now,
        ussMaxAgeS: client.ussMaxAgeS,
        onFailure: (error) => log.error({ err: error }, 'zn.shared-keys-failed'),
      }),
    onFetch: ({ btid, nafFqdn, uaProtocolId }, code, durationMs) =>
      audit.record('zn.fetched', { btid, naf: nafFqdn, uaProtocolId, durationMs, ...(code && { code }) }),
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

/** All workers read the same files; one of them says what is odd about them. */
const warning =
  (log: Logger, worker: number | undefined, event = 'tls.warning') =>
  (file: string, detail: string) => {
    if (isFirst(worker)) log.warn({ file, detail }, event)
  }
