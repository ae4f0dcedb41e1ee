import type { Minute } from './model.ts'

/** What was measured: CPU microseconds unless the name says otherwise. */
export interface Costs {
  /** AP, with its state where the hosts share it: a request let through, and a 401, on a connection that stays. */
  readonly request: number
  readonly challenge: number
  /** A TCP connection and a full TLS handshake. */
  readonly handshake: number
  /** At the BSF, for one run on Ub. */
  readonly bootstrap: number
  /** A key that the AP has not at hand, where the BSF is in the same process: a read in Redis. */
  readonly zn: number
  readonly redis: {
    readonly request: number
    readonly bootstrap: number
    readonly zn: number
  }
  readonly lmdb: {
    readonly request: number
    readonly challenge: number
    readonly bootstrap: number
    /** Time for which nobody else on the host can write, and the worker itself does nothing else. */
    readonly nonceWriteUs: number
    readonly bootstrapWriteUs: number
  }
  readonly octets: {
    readonly redis: Octets
    readonly lmdb: Octets
  }
}

export interface Octets {
  readonly bootstrap: number
  readonly nonce: number
  readonly challenge: number
  /** The access log of one owner, full. */
  readonly accessLog: number
}

/** What all hosts together have to do in a second. */
export interface Rates {
  readonly requests: number
  readonly challenges: number
  readonly bootstraps: number
  readonly vectors: number
  readonly handshakes: number
  readonly znFetches: number
}

/** How UEs connect: `kept`, one connection a session; `each`, one for every request, to any worker. */
export type Connections = 'kept' | 'each'

/** @param workers  processes among which a UE that connects anew is spread; each has keys of its own */
export function ratesOf(minute: Minute, connections: Connections, workers: number): Rates {
  const { sessions, requests, challenges, bootstraps, vectors } = minute
  const perSession = sessions > 0 ? requests / sessions : 0
  const met = connections === 'kept' ? 1 : workers * (1 - (1 - 1 / workers) ** perSession)
  const handshakes = connections === 'kept' ? sessions : requests + challenges
  const perSecond = { requests, challenges, bootstraps, vectors, handshakes, znFetches: sessions * met }
  return Object.fromEntries(Object.entries(perSecond).map(([name, count]) => [name, count / 60])) as unknown as Rates
}

/** CPU cores that AP and BSF keep busy, where the hosts share Redis. */
export function coresOf(
  rates: Rates,
  costs: Costs,
): { readonly ap: number; readonly bsf: number; readonly tls: number } {
  const tls = rates.handshakes * costs.handshake
  const ap = rates.requests * costs.request + rates.challenges * costs.challenge + rates.znFetches * costs.zn + tls
  const bsf = rates.bootstraps * costs.bootstrap
  return { ap: ap / 1e6, bsf: bsf / 1e6, tls: tls / 1e6 }
}

/** CPU cores that Redis masters keep busy; each has one for its commands. */
export const redisCoresOf = ({ requests, bootstraps, znFetches }: Rates, { redis }: Costs): number =>
  (requests * redis.request + bootstraps * redis.bootstrap + znFetches * redis.zn) / 1e6

/** Octets that Redis holds: what a replica has as well, and what a snapshot may double for a while. */
export function redisOctetsOf(
  held: { readonly keys: number; readonly nonces: number; readonly challenges: number; readonly owners: number },
  { octets: { redis } }: Costs,
): number {
  const { bootstrap, nonce, challenge, accessLog } = redis
  return held.keys * bootstrap + held.nonces * nonce + held.challenges * challenge + held.owners * accessLog
}

/** Hosts for so many busy cores: none is busier than `utilisation`, nor than `withoutOne` when one is lost. */
export function hostsFor(cores: number, perHost: number, utilisation = 0.6, withoutOne = 0.9): number {
  const all = Math.ceil(cores / (perHost * utilisation))
  return Math.max(2, all, Math.ceil(cores / (perHost * withoutOne)) + 1)
}

/** What limits one host with LMDB, as a share of what there is: 1 is all of it. */
export function lmdbHostUse(
  rates: Rates,
  held: { readonly keys: number; readonly nonces: number },
  costs: Costs,
  limits: { readonly cores: number; readonly maxBootstraps: number; readonly maxNonces: number },
): Readonly<Record<'workers' | 'bootstrap writes' | 'nonce writes' | 'bootstraps held' | 'nonces held', number>> {
  const { lmdb, handshake } = costs
  const cpu =
    rates.requests * lmdb.request +
    rates.challenges * lmdb.challenge +
    rates.bootstraps * lmdb.bootstrap +
    rates.handshakes * handshake
  const writing = rates.bootstraps * lmdb.bootstrapWriteUs
  return {
    workers: (cpu + writing) / 1e6 / limits.cores,
    'bootstrap writes': writing / 1e6,
    'nonce writes': (rates.requests * lmdb.nonceWriteUs) / 1e6,
    'bootstraps held': held.keys / limits.maxBootstraps,
    'nonces held': held.nonces / limits.maxNonces,
  }
}

/** The use that is nearest to its limit. */
export function firstToFail<Name extends string>(use: Readonly<Record<Name, number>>): readonly [Name, number] {
  const [first] = (Object.entries(use) as [Name, number][]).toSorted(([, a], [, b]) => b - a)
  if (!first) throw new RangeError('nothing is used')
  return first
}

/**
 * Chance that a request has to wait for one of `servers`. @param offered  how many of them it would keep busy
 * By Erlang's C, from the recursion of his B, which neither overflows nor loses digits.
 */
export function chanceToWait(servers: number, offered: number): number {
  if (offered >= servers) return 1
  let blocked = 1
  for (let n = 1; n <= servers; n++) blocked = (offered * blocked) / (n + offered * blocked)
  return blocked / (1 - (offered / servers) * (1 - blocked))
}

/** Mean wait and the one that 99 of 100 stay below, in the unit of `service`. */
export function waitOf(servers: number, utilisation: number, service: number) {
  const wait = chanceToWait(servers, servers * utilisation)
  const pace = (servers * (1 - utilisation)) / service
  if (utilisation >= 1) return { mean: Number.POSITIVE_INFINITY, p99: Number.POSITIVE_INFINITY }
  return { mean: wait / pace, p99: Math.max(0, Math.log(wait / 0.01)) / pace }
}

/** How busy the busiest of some shards is, over the mean, where the load sits in parts `nonces-0`, `nonces-1`, ... */
export function shardSkew(shards: number, parts: number, prefix: string): number {
  const load = new Array<number>(shards).fill(0)
  for (let part = 0; part < parts; part++) {
    const shard = Math.min(shards - 1, Math.floor(slotOf(`${prefix}-${part}`) / (SLOTS / shards)))
    load[shard] = (load[shard] ?? 0) + 1
  }
  return (Math.max(...load) * shards) / parts
}

const SLOTS = 16_384

/** Slot of a hash tag in a Redis cluster: CRC-16/XMODEM. */
export function slotOf(tag: string): number {
  let crc = 0
  for (const octet of Buffer.from(tag)) {
    crc ^= octet << 8
    for (let bit = 0; bit < 8; bit++) crc = crc & 0x8000 ? ((crc << 1) ^ 0x1021) & 0xffff : (crc << 1) & 0xffff
  }
  return crc % SLOTS
}
