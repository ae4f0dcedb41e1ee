import { randomBytes, randomUUID } from 'node:crypto'
import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { adminApi } from './admin/api.ts'
import { type ProcessDesk, processDesk } from './admin/desk.ts'
import type { Readiness } from './admin/health.ts'
import type { AdminSources } from './admin/server.ts'
import { adminPlaceOf, type RunningAdmin, startAdmin, versionReporter } from './admin/start.ts'
import { type Watch, watchProcess } from './admin/watch.ts'
import type { ApListener, Listening } from './ap-listeners.ts'
import { nonEmpty } from './ap-policy.ts'
import { type ApServers, apServers } from './ap-servers.ts'
import { createAs } from './as/server.ts'
import { changesBetween, keysOf, needingRestart, RestartNeeded } from './config/changes.ts'
import type { ApConfig, BsfConfig, Config, HssConfig, UbConfig, ZnServerConfig } from './config/schema.ts'
import type { EpochMs } from './core/bytes.ts'
import type { Impi } from './core/identity.ts'
import { auc } from './hss/auc.ts'
import { type SettingsOf, settingsFrom } from './hss/settings.ts'
import { readSubscribers, type SubscribersFile } from './hss/subscribers-file.ts'
import { type Audit, type AuditEvent, type AuditRecord, auditor } from './observe/audit.ts'
import { type AuditFile, openAuditFile } from './observe/audit-file.ts'
import { expose, type MetricReport } from './observe/exposition.ts'
import { createLog, type Logger, pseudonymiser, withoutRedaction } from './observe/log.ts'
import type { Tracing } from './observe/traces.ts'
import { boundStop, createServer, STOP_GRACE_MS, unborn } from './server.ts'
import { among, rateOf, sourcesBut } from './sources.ts'
import { openState, type State } from './state.ts'
import { stopAll } from './stop.ts'
import { clientTlsOptions, mutualTlsOptions, upstreamTlsOptions } from './tls/listener.ts'
import { type StandingDemands, standingDemands } from './ua/standing-demands.ts'
import { ubLimiter } from './ub/limits.ts'
import ub from './ub/plugin.ts'
import { productVersion } from './version.ts'
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
  /** Where operators are answered, as by the admin listener. */
  readonly desk: ProcessDesk
  /** Whether it is to be sent requests, as `/ready` of the admin listener tells it. */
  readiness(): Readiness
  /** Opens the audit file anew, after it was moved away. */
  reopenLogs(): void
  /** Reads certificates, keys and what belongs to them now. @returns whether what they say is in use */
  reload(): boolean
  /**
   * Goes on by another configuration, all of it or none; requests under way end by the one that they began with.
   * @returns the keys that changed
   * @throws RestartNeeded for keys that are no matter of a reload, ConfigError for a file; nothing has changed then
   */
  change(next: Config): readonly string[]
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
  /** What operators demand that no file has. */
  readonly demands?: StandingDemands
  /** Opens an admin listener also where the configuration does not speak of one. */
  readonly wantsAdmin?: boolean
}

interface Parts {
  readonly config: Config
  readonly state: State
  readonly log: Logger
  readonly audit: Audit
  /** undefined: no traces are made. */
  readonly traces: Tracing | undefined
  readonly now: () => EpochMs
  readonly avSource: AvSource | undefined
  readonly worker: number | undefined
  readonly registerUpstream: Watch['registerUpstream']
  /** What holds now; it is replaced as a whole. */
  readonly current: Current
  /** How long the AS has to stop, which does so after those whom it serves. */
  readonly asGraceMs: () => number
}

/** What a change of the configuration replaces, outside the proxy. */
interface Current {
  config: Config
  subscribers: SubscribersFile | undefined
}

/** Its contents may change while its name stays. */
const SUBSCRIBERS_KEY = 'hss.subscribersFile'

const EXPIRY_SWEEP_MS = 60_000
const LEAST_GRACE_MS = 500

/**
 * Starts every role that the configuration has, or none: what cannot start takes the others down again.
 * @throws ConfigError, SubscribersError, GbaError STORE_UNAVAILABLE, or the error of a port that cannot be had
 */
export async function startApp(config: Config, replaced: AppParts = {}): Promise<App> {
  const { now = Date.now, log, onDecision, avSource, place, privileged = (act) => act(), wantsAdmin = false } = replaced
  const { demands = standingDemands() } = replaced
  const worker = place?.number
  const logOptions = { identities: config.log.identities, worker }
  const logger = log ?? createLog({ ...logOptions, level: config.log.level })
  const traces = await tracingOf(config, logger, now, worker)
  const state = openState(config, (error) => logger.error({ err: error }, 'store.failed'))
  if (config.log.identities === 'clear' && isFirst(worker))
    logger.warn({ setting: 'log.identities' }, 'log.identities-in-clear')
  const named = config.log.identities === 'hashed' ? pseudonymiser(state.pseudonymKey, 'hashed') : undefined
  const auditFile = auditFileOf(config, logger, worker)
  // The decisions among the rest of the log.
  const bare = withoutRedaction(logger)
  const write: AuditFile['write'] = auditFile?.write ?? ((event, fields) => bare.info(fields, event))
  const written = auditor(write, named, config.log.auditEveryNth)
  const audit: Audit = {
    count: written.count,
    toleranceCount: written.toleranceCount,
    record(event, record) {
      // First: what the audit cannot take has happened all the same.
      watch.record(event, record)
      traces?.record(event, record)
      desk.hear(event, record)
      written.record(event, record)
      onDecision?.(event, record)
    },
  }
  let stopBy: number | undefined
  const isDraining = () => stopBy !== undefined
  const asGraceMs = () => Math.max(LEAST_GRACE_MS, (stopBy ?? 0) - performance.now())
  const current: Current = { config, subscribers: undefined }
  const watch = watchProcess({
    config: () => current.config,
    state,
    now,
    isDraining,
    keyCounts: () => keys?.counts(),
    spanCounts: () => traces?.counts(),
    expiries: () => proxy?.expiries() ?? [],
    appServerStates: () => proxy?.appServerStates() ?? [],
    load: () => proxy?.load(),
    isWorker: place !== undefined,
  })
  const { registerUpstream } = watch
  const desk = processDesk({
    config: () => current.config,
    subscribers: () => current.subscribers?.subscribers,
    bootstraps: state.bootstraps,
    sqns: state.sqns,
    demands,
    lookAtDemands: () => proxy?.lookAtDemands(),
    forgetKeys: (btid) => keys?.forget(btid) ?? 0,
    pseudonym: named,
    audit(event, record) {
      audit.record(event, record)
      auditFile?.flush()
    },
    requireAudit: () => auditFile?.flush(),
    log: logger,
    now,
  })
  const parts: Parts = {
    config,
    state,
    log: logger,
    audit,
    traces,
    now,
    avSource,
    worker,
    registerUpstream,
    asGraceMs,
    current,
  }
  const servers: Listening<Listener>[] = []
  let proxy: ApServers | undefined
  let keys: KeyCache | undefined
  let admin: RunningAdmin | undefined
  const close = async () => {
    const begunAt = performance.now()
    stopBy = begunAt + STOP_GRACE_MS
    await stopAll({ servers, admin, keys, proxy, state, traces, auditFile }, begunAt)
  }
  try {
    keys = keySourceOf(parts)
    await state.ready
    current.subscribers = config.hss && subscribersOf(parts, config.hss)
    if (config.bsf) {
      servers.push(['ub', await ubServer(parts, config.bsf), config.bsf.ub])
      if (config.bsf.zn) servers.push(['zn', await znServer(parts, config.bsf.zn), config.bsf.zn])
    }
    if (config.as) servers.push(['as', asServer(parts, config.as), config.as])
    if (config.ap && keys) {
      const settingsOf = current.subscribers && settingsIn(current)
      const longestKeyS = config.bsf?.keyLifetimeS ?? Number.POSITIVE_INFINITY
      proxy = await apServers({ ...parts, keys, demands, settingsOf, longestKeyS }, config.ap)
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
      (await privileged(() =>
        startAdmin(adminPlace, {
          sources: adminSources(config, watch),
          log: logger,
          more: adminApi(desk, adminPlace.config.tls !== undefined),
        }),
      ))
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
    desk,
    metrics: watch.metrics,
    readiness: watch.readiness,
    reopenLogs: () => auditFile?.reopen(),
    reload: () => proxy?.reload() ?? true,
    change(next) {
      const changes = changesBetween(current.config, next)
      if (needingRestart(changes).length > 0) throw new RestartNeeded(changes)
      const keys = keysOf(changes)
      // All that may fail comes first, and nothing else happens between it and the change.
      const subscribers = next.hss && subscribersOf(parts, next.hss)
      const prepared = next.ap && proxy?.prepare(next.ap)
      prepared?.commit()
      const hasOthers = subscribers?.digest !== current.subscribers?.digest
      Object.assign(current, { config: next, subscribers: hasOthers ? subscribers : current.subscribers })
      if (keys.includes('log.level')) for (const each of [logger, bare]) each.level = next.log.level
      return hasOthers && !keys.includes(SUBSCRIBERS_KEY) ? [...keys, SUBSCRIBERS_KEY] : keys
    },
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

/** Nothing of it is loaded where nobody wants it. @throws ConfigError */
async function tracingOf({ traces: its }: Config, log: Logger, now: () => EpochMs, worker: number | undefined) {
  if (!its.enabled) return undefined
  const { tracing } = await import('./observe/traces.ts')
  const version = productVersion()
  const options = {
    endpoint: its.endpoint,
    tls: its.endpoint.startsWith('https:') ? upstreamTlsOptions(its, warning(log, worker)) : {},
    resource: {
      'service.name': its.serviceName,
      'service.version': version,
      'service.instance.id': randomUUID(),
      'gba.worker': worker,
    },
    scope: { name: 'gba-proxy', version },
    sampleRatio: its.sampleRatio,
    isTrusted: among(its.trustedSources),
    toAppServers: its.toAppServers,
    randomBytes,
    onFailure: (error: unknown) => log.warn({ err: error }, 'traces.export-failed'),
  }
  return tracing(options, now)
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

async function ubServer(parts: Parts, bsf: BsfConfig): Promise<FastifyInstance> {
  const { config, current, state, log, audit, now, avSource } = parts
  const drawing = madeOf(
    () => current.config.bsf?.ub.limits ?? bsf.ub.limits,
    (drawn) => drawingOf(drawn, parts),
  )
  const limits = { ...SMALL_LIMITS, ...bsf.ub }
  const server = createServer({ log, limits, onRefused: unborn(audit, 'ub.refused') })
  await server.register(ub, {
    bsfNames: nonEmpty(bsf.names),
    keyLifetimeS: bsf.keyLifetimeS,
    challengeLifetimeS: bsf.challengeLifetimeS,
    tmpi: bsf.tmpi,
    avSource: avSource ?? avSourceOf(config.hss, current, state),
    challenges: state.challenges,
    bootstraps: state.bootstraps,
    limiter: {
      admit: (caller) => drawing().limiter.admit(caller),
      failed: (caller) => drawing().limiter.failed(caller),
    },
    sourceOf: (address) => drawing().sourceOf(address),
    audit,
    now,
    randomBytes,
  })
  return server
}

type Drawn = UbConfig['limits']

/** How much may be drawn on Ub, and who is counted as what. What was counted so far is in the store. */
function drawingOf(drawn: Drawn, { state, now }: Parts) {
  const limits = {
    perSource: rateOf(drawn.perSource),
    perImpi: rateOf(drawn.perImpi),
    wrongResponseCost: drawn.wrongResponseCost,
  }
  return {
    limiter: ubLimiter({ limiter: state.limiter, limits, now }),
    sourceOf: sourcesBut(drawn.trustedSources),
  }
}

/** What is made of a value, made anew when that is another one. */
function madeOf<Value, Made>(value: () => Value, make: (value: Value) => Made): () => Made {
  let of = value()
  let made = make(of)
  return () => {
    if (of !== value()) {
      of = value()
      made = make(of)
    }
    return made
  }
}

/** @throws ConfigError */
const subscribersOf = ({ log, worker }: Parts, { subscribersFile }: HssConfig): SubscribersFile =>
  readSubscribers(subscribersFile, warning(log, worker, 'hss.warning'))

function avSourceOf(hss: HssConfig | undefined, current: Current, { sqns }: State): AvSource {
  if (!hss) throw new TypeError('a local Zh without an HSS')
  const subscribers = { get: (impi: Impi) => current.subscribers?.subscribers.get(impi) }
  return auc({ subscribers, sqnStore: sqns, randomBytes, ind: hss.ind })
}

function settingsIn(current: Current): SettingsOf {
  const settings = madeOf(
    () => current.subscribers,
    (file) => settingsFrom(file?.subscribers ?? new Map()),
  )
  return (identity, gsids) => settings()(identity, gsids)
}

async function znServer(
  { current, state, log, audit, now, worker }: Parts,
  config: ZnServerConfig,
): Promise<FastifyInstance> {
  const limits = { ...SMALL_LIMITS, ...config }
  const tls = mutualTlsOptions(config.tls, warning(log, worker))
  const server = createServer({ log, limits, tls, onRefused: unborn(audit, 'zn.refused') })
  await server.register(zn, {
    nafs: () => current.config.bsf?.zn?.nafs ?? [],
    bootstraps: state.bootstraps,
    audit,
    now,
  })
  return server
}

function asServer({ state, log, asGraceMs }: Parts, as: NonNullable<Config['as']>): FastifyInstance {
  const server = createAs({ documents: state.documents, xcapRoot: as.xcapRoot, log, bodyLimit: as.bodyBytes })
  boundStop(server, asGraceMs)
  return server
}

function keySourceOf({ config, current, state, log, audit, now, worker }: Parts): KeyCache | undefined {
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
      : localKeySource(
          state.bootstraps,
          madeOf(() => current.config.ap ?? config_, ourOwnNaf),
          now,
        )
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
    onFetch: ({ btid, nafFqdn, uaProtocolId }, code, durationMs, trace) =>
      audit.record('zn.fetched', {
        btid,
        naf: nafFqdn,
        uaProtocolId,
        durationMs,
        ...(code && { code }),
        ...(trace && { trace }),
      }),
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
