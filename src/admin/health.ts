import type { EpochMs } from '../core/bytes.ts'
import type { FaultCode } from '../errors.ts'
import type { AuditEvent, AuditRecord } from '../observe/audit.ts'
import type { StoreHealth } from '../state.ts'
import type { Expiry } from '../tls/expiry.ts'
import type { AppServerState } from '../ut/addresses.ts'

/**
 * A peer as last seen, for nobody asks it for the sake of asking: `local` is in this process, `unknown` has not been
 * needed, or failed so long ago that it deserves another try.
 */
export interface PeerHealth {
  readonly state: 'local' | 'up' | 'down' | 'unknown'
  readonly lastUpAt?: EpochMs
  readonly lastDownAt?: EpochMs
  /** Of the last failure. */
  readonly code?: FaultCode
}

export interface CertificateHealth extends Expiry {
  readonly state: 'valid' | 'expired'
}

/** Why a process is not to be sent requests. */
export type Unreadiness =
  | 'draining'
  | 'store-read-only'
  | 'store-unreachable'
  | 'app-servers-down'
  /** Of a worker: it does not answer. */
  | 'silent'
  /** Of a host: none of its workers is ready. */
  | 'no-worker'

/** What one process says of itself. */
export interface Readiness {
  readonly ready: boolean
  /** Empty when it is ready. */
  readonly reasons: readonly Unreadiness[]
  readonly draining: boolean
  readonly store: StoreHealth
  /** Where this process has an AP. */
  readonly bsf?: PeerHealth
  /** Where it has a BSF. */
  readonly hss?: PeerHealth
  readonly appServers: Readonly<Record<string, PeerHealth>>
  readonly certificates: readonly CertificateHealth[]
}

/** For so long a failure speaks for the next request, too. Whoever balances load by us must come back one day. */
export const DOWN_FOR_MS = 30_000

/** What was last seen of the peers of one process. */
export interface PeerWatch {
  /** To be told of every decision. */
  record(event: AuditEvent, record: AuditRecord): void
  bsf(): PeerHealth
  hss(): PeerHealth
  appServers(): Readonly<Record<string, PeerHealth>>
}

interface Seen {
  failed: boolean
  upAt: EpochMs | undefined
  downAt: EpochMs | undefined
  code: FaultCode | undefined
}

/**
 * Watches the peers by the decisions that they had a part in.
 * @param options.appServers  names of those that there are now
 * @param options.isLocal  peers that are in this process
 */
export function watchPeers(options: {
  readonly appServers: () => readonly string[]
  readonly isLocal: { readonly bsf: boolean; readonly hss: boolean }
  readonly now: () => EpochMs
}): PeerWatch {
  const { isLocal, now } = options
  const unseen = (): Seen => ({ failed: false, upAt: undefined, downAt: undefined, code: undefined })
  const bsf = unseen()
  const hss = unseen()
  const appServers = new Map<string, Seen>()
  /** undefined: a request that has begun before a reload, and whose server is gone. */
  function appServer(name: string): Seen | undefined {
    const known = appServers.get(name)
    if (known || !options.appServers().includes(name)) return known
    const seen = unseen()
    appServers.set(name, seen)
    return seen
  }

  function isUp(seen: Seen | undefined): void {
    if (!seen) return
    seen.failed = false
    seen.upAt = now()
  }
  function isDown(seen: Seen | undefined, code: FaultCode): void {
    if (!seen) return
    seen.failed = true
    seen.downAt = now()
    seen.code = code
  }
  function stateOf({ failed, upAt, downAt = 0 }: Seen, local: boolean): PeerHealth['state'] {
    if (failed) return now() - downAt < DOWN_FOR_MS ? 'down' : 'unknown'
    if (local) return 'local'
    return upAt === undefined ? 'unknown' : 'up'
  }
  function healthOf(seen: Seen, local: boolean): PeerHealth {
    const { upAt, downAt, code } = seen
    return {
      state: stateOf(seen, local),
      ...(upAt !== undefined && { lastUpAt: upAt }),
      ...(downAt !== undefined && { lastDownAt: downAt }),
      ...(code !== undefined && { code }),
    }
  }

  return {
    record(event, { appServer: name, code, step }) {
      if (event === 'ut.forwarded') {
        if (name !== undefined) isUp(appServer(name))
      } else if (event === 'ut.refused') {
        if (code === undefined || step !== 'forward' || name === undefined) return
        if (APP_SERVER_DOWN.has(code)) isDown(appServer(name), code)
      } else if (event === 'zn.fetched') {
        if (code !== undefined && BSF_DOWN.has(code)) isDown(bsf, code)
        else isUp(bsf)
      } else if (event === 'zh.av-drawn') {
        isUp(hss)
      } else if (event === 'ub.refused') {
        if (code === 'ZH_HSS_UNREACHABLE') isDown(hss, code)
        else if (code === 'ZH_IMPI_UNKNOWN' || code === 'ZH_RESYNC_REFUSED') isUp(hss)
      }
    },
    bsf: () => healthOf(bsf, isLocal.bsf),
    hss: () => healthOf(hss, isLocal.hss),
    appServers() {
      const names = options.appServers()
      for (const name of appServers.keys()) if (!names.includes(name)) appServers.delete(name)
      return Object.fromEntries(names.map((name) => [name, healthOf(appServers.get(name) ?? unseen(), false)]))
    },
  }
}

const APP_SERVER_DOWN: ReadonlySet<FaultCode> = new Set(['UT_AS_UNREACHABLE', 'UT_AS_TIMEOUT'])
const BSF_DOWN: ReadonlySet<FaultCode> = new Set(['ZN_BSF_UNREACHABLE', 'ZN_ANSWER_MALFORMED'])

/** The application servers as last seen; down are those as well of which no address is tried now. */
export function leftAlone(
  seen: Readonly<Record<string, PeerHealth>>,
  states: readonly AppServerState[],
): Readonly<Record<string, PeerHealth>> {
  return Object.fromEntries(
    Object.entries(seen).map(([name, health]): [string, PeerHealth] => {
      const own = states.filter((each) => each.name === name)
      const isDown = own.length > 0 && own.every(({ isLeftAlone }) => isLeftAlone)
      return [name, isDown ? { ...health, state: 'down' } : health]
    }),
  )
}

/** What readiness is judged by. */
export type Facts = Omit<Readiness, 'ready' | 'reasons' | 'certificates'> & {
  readonly expiries: readonly Expiry[]
}

/**
 * Whether a process is to be sent requests: not while it drains, its store takes no writes, or all of its application
 * servers are down. A BSF that is down leaves it ready, since it serves whoever has a key; an expired certificate is
 * told, and for people to mend.
 */
export function readinessOf({ expiries, ...facts }: Facts, now: EpochMs): Readiness {
  const { draining, store, appServers } = facts
  const servers = Object.values(appServers)
  const reasons: Unreadiness[] = []
  if (draining) reasons.push('draining')
  if (store.state !== 'writable') reasons.push(`store-${store.state}`)
  if (servers.length > 0 && servers.every(({ state }) => state === 'down')) reasons.push('app-servers-down')
  const certificates = expiries.map((one) => ({ ...one, state: one.expiresAt > now ? 'valid' : 'expired' }) as const)
  return { ready: reasons.length === 0, reasons, ...facts, certificates }
}

/** One of several processes behind the same ports; undefined: it serves and does not answer. */
export interface WorkerHealth {
  readonly number: number
  readonly readiness: Readiness | undefined
}

/** What a host of several processes says of itself. */
export interface HostReadiness extends Partial<Omit<Readiness, 'ready' | 'reasons' | 'draining'>> {
  readonly ready: boolean
  readonly reasons: readonly Unreadiness[]
  readonly draining: boolean
  readonly workers: readonly {
    readonly number: number
    readonly ready: boolean
    readonly reasons: readonly Unreadiness[]
  }[]
}

/**
 * Ready while one worker is: the kernel gives connections to those that listen, and one that dies is replaced at once.
 * Of each peer it is told what the worker knows that has seen it last.
 */
export function readinessOfHost(workers: readonly WorkerHealth[], draining: boolean): HostReadiness {
  const known = workers.flatMap(({ readiness }) => readiness ?? [])
  const isReady = !draining && known.some(({ ready }) => ready)
  const [first] = known
  const reasons: Unreadiness[] = draining ? ['draining'] : isReady ? [] : ['no-worker']
  return {
    ready: isReady,
    reasons,
    draining,
    workers: workers.map(({ number, readiness }) => ({
      number,
      ready: readiness?.ready ?? false,
      reasons: readiness?.reasons ?? ['silent'],
    })),
    ...(first && {
      store: leastWell(known.map(({ store }) => store)) ?? first.store,
      ...(first.bsf && { bsf: seenLast(known.flatMap(({ bsf }) => bsf ?? [])) ?? first.bsf }),
      ...(first.hss && { hss: seenLast(known.flatMap(({ hss }) => hss ?? [])) ?? first.hss }),
      appServers: Object.fromEntries(
        Object.entries(first.appServers).map(([name, ofFirst]) => [
          name,
          seenLast(known.flatMap(({ appServers }) => appServers[name] ?? [])) ?? ofFirst,
        ]),
      ),
      certificates: first.certificates,
    }),
  }
}

const leastWell = (stores: readonly StoreHealth[]): StoreHealth | undefined =>
  stores.find(({ state }) => state !== 'writable') ??
  stores.find(({ accessLog = 'writable' }) => accessLog !== 'writable')

const seenAt = ({ lastUpAt = 0, lastDownAt = 0 }: PeerHealth): EpochMs => Math.max(lastUpAt, lastDownAt)

const seenLast = (seen: readonly PeerHealth[]): PeerHealth | undefined =>
  seen.reduce<PeerHealth | undefined>((last, one) => (last && seenAt(last) >= seenAt(one) ? last : one), undefined)
