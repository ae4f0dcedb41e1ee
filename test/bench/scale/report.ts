import {
  type Connections,
  type Costs,
  coresOf,
  firstToFail,
  hostsFor,
  lmdbHostUse,
  type Rates,
  ratesOf,
  redisCoresOf,
  redisOctetsOf,
  shardSkew,
  waitOf,
} from './capacity.ts'
import type { Measured } from './measure.ts'
import { BEHAVIOUR, type Behaviour, type Incident, type Minute, seeded, simulateDay } from './model.ts'
import { type Storm, simulateStorm } from './storm.ts'

/** What a deployment is made of in these tables. */
export const CORES_PER_HOST = 8
const UTILISATION = 0.6
const OWNERS_LOGGED = 100_000
const MAX_BOOTSTRAPS_IN_LMDB = 10_000_000
const STORM = { share: 0.2, minutes: 5 }
const ROUND_TRIP_S = 0.2

export interface Question {
  /** Millions. */
  readonly subscribers: readonly number[]
  readonly seed: number
}

/** All tables, in Markdown. */
export function reportOf(measured: Measured, { subscribers, seed }: Question): string {
  const { costs } = measured
  const day = (changes: Partial<Behaviour>, incidents: readonly Incident[] = []) =>
    simulateDay({ ...BEHAVIOUR, maxNonces: UNBOUNDED, subscribers: 1e6, ...changes }, seeded(seed), incidents)
  return [
    ['What was measured', measuredTable(measured)],
    ['A million subscribers', perMillionTable(day({}), costs)],
    ['One host with LMDB', lmdbTable(day({}), costs)],
    ['Sizes', sizeTable(subscribers, day, costs)],
    ['Which limit is next', limitsTable(subscribers, day, costs)],
    ['Nonces that the ledgers hold', nonceTable(subscribers, day)],
    ['A region returns', [returnTable(subscribers, day, costs), stormTable()].join('\n\n')],
    ['A host is lost, Redis fails over', incidentTable(subscribers, day, costs)],
    ['Waiting', waitTable(costs)],
    ['Shards', shardTable()],
  ]
    .map(([title, table]) => `### ${title}\n\n${table}\n`)
    .join('\n')
}

export const UNBOUNDED = Number.POSITIVE_INFINITY
type Day = (changes: Partial<Behaviour>, incidents?: readonly Incident[]) => Minute[]

function measuredTable({ costs, p256Handshake, operations, labs, fullAccessLog }: Measured): string {
  const us = (figure: number) => `${round(figure)} µs`
  const { LMDB, Redis } = labs
  const works: readonly (readonly [string, number, number, number | undefined])[] = [
    ['request let through, connection kept', LMDB.kept, Redis.kept, costs.redis.request],
    ['401, connection kept', LMDB.challenge, Redis.challenge, Redis.atRedis.challenge],
    ['TCP connection and TLS handshake, RSA 2048', LMDB.fresh - LMDB.kept, costs.handshake, undefined],
    ['the same, P-256', p256Handshake, p256Handshake, undefined],
    ['bootstrap (BSF and HSS stub)', LMDB.bootstrap, Redis.bootstrap, costs.redis.bootstrap],
    ['key over Zn by HTTPS, BSF', LMDB.znAtBsf, Redis.znAtBsf, costs.redis.zn],
    ['key over Zn by HTTPS, AP', LMDB.znAtAp, Redis.znAtAp, undefined],
    ['full access log written anew', Number.NaN, fullAccessLog.here, fullAccessLog.redis],
  ]
  const whole = table(
    ['CPU of', 'with LMDB', 'with Redis', 'in Redis itself'],
    works.map(([name, ...figures]) => [
      name,
      ...figures.map((each) => (each && Number.isFinite(each) ? us(each) : '–')),
    ]),
  )
  const single = table(
    [
      'store operation',
      'LMDB: CPU',
      'LMDB: until done',
      'LMDB: per s',
      'Redis, a replica confirms: CPU',
      'Redis: per s, 32 at once',
    ],
    Object.entries(operations.LMDB).map(([name, figure]) => {
      const { cpuUs, perSecond } = operations.Redis[name as keyof typeof operations.Redis]
      return [name, us(figure.cpuUs), us(figure.wallUs), round(figure.perSecond), us(cpuUs), round(perSecond)]
    }),
  )
  const { redis, lmdb } = costs.octets
  const octets = table(
    ['octets of', 'LMDB', 'Redis'],
    [
      ['bootstrap with TMPI and one USS', lmdb.bootstrap, redis.bootstrap],
      ['used nonce', lmdb.nonce, redis.nonce],
      ['pending challenge', lmdb.challenge, redis.challenge],
      ['access log of one user, full', '–', redis.accessLog],
    ].map((row) => row.map((each) => (typeof each === 'number' ? round(each) : each))),
  )
  return [whole, single, octets].join('\n\n')
}

function perMillionTable(day: Minute[], costs: Costs): string {
  const busy = busiest(day)
  const rates = ratesOf(busy, 'kept', CORES_PER_HOST)
  const keys = most(day, 'liveKeys')
  const nonces = most(day, 'liveNonces')
  const memory = (held: Partial<Parameters<typeof redisOctetsOf>[0]>) =>
    `${round(redisOctetsOf({ keys: 0, nonces: 0, challenges: 0, owners: 0, ...held }, costs) / 1e6)} MB`
  return table(
    ['', 'a day', 'busiest minute, per s'],
    [
      ['sessions (logins)', sum(day, 'sessions'), busy.sessions / 60],
      ['requests let through', sum(day, 'requests'), rates.requests],
      ['401s', sum(day, 'challenges'), rates.challenges],
      ['bootstraps', sum(day, 'bootstraps'), rates.bootstraps],
      ['vectors drawn from the HSS', sum(day, 'vectors'), rates.vectors],
      ['vectors for a login', sum(day, 'vectors') / sum(day, 'sessions'), busy.vectors / busy.sessions],
    ].map(([name, ...figures]) => [String(name), ...figures.map((each) => round(Number(each)))]),
  ).concat(
    '\n\n',
    table(
      ['held in Redis', 'most at a time', 'memory'],
      [
        ['bootstraps', round(keys), memory({ keys })],
        ['used nonces', round(nonces), memory({ nonces })],
        [
          'pending challenges',
          round(rates.bootstraps * ROUND_TRIP_S),
          memory({ challenges: rates.bootstraps * ROUND_TRIP_S }),
        ],
        ['access logs (at most `ap.accessLog.maxOwners`)', round(OWNERS_LOGGED), memory({ owners: OWNERS_LOGGED })],
      ],
    ),
  )
}

/** How far one host goes: each limit by itself, at 60 % in the busiest minute. */
function lmdbTable(day: Minute[], costs: Costs): string {
  const rows = [1, CORES_PER_HOST].flatMap((cores) =>
    (['kept', 'each'] as const).map((connections) => {
      const rates = ratesOf(busiest(day), connections, cores)
      const held = { keys: most(day, 'liveKeys'), nonces: most(day, 'liveNonces') }
      const limits = { cores, maxBootstraps: MAX_BOOTSTRAPS_IN_LMDB, maxNonces: BEHAVIOUR.maxNonces }
      const use = lmdbHostUse(rates, held, costs, limits)
      const carried = (name: keyof typeof use) => `${round((UTILISATION / use[name]) * 1e6)}`
      const full = (name: keyof typeof use) => `${round(1e6 / use[name])}`
      return [
        ...[String(cores), connections, carried('workers'), carried('bootstrap writes'), carried('nonce writes')],
        ...[full('bootstraps held'), full('nonces held'), firstToFail(use)[0]],
      ]
    }),
  )
  const header = [
    'workers',
    'connections',
    'their time',
    'bootstrap writes',
    'nonce writes',
    'bootstraps held',
    'nonces held',
  ]
  return table([...header, 'first to fail'], rows)
}

function sizeTable(millions: readonly number[], day: Day, costs: Costs): string {
  return table(
    [
      ...['subscribers', 'requests/s', 'bootstraps/s', 'vectors/s', 'bootstraps held', 'Redis memory'],
      ...['AP + BSF cores, kept', 'each', 'hosts, kept', 'each', 'Redis cores, kept', 'each', 'masters'],
    ],
    millions.map((million) => {
      const minutes = day({ subscribers: million * 1e6 })
      const rates = ratesOf(busiest(minutes), 'kept', CORES_PER_HOST)
      const memory = memoryOf(minutes, costs)
      const [kept, each] = [shapeOf(minutes, 'kept', costs), shapeOf(minutes, 'each', costs)]
      return [
        ...[`${million} M`, round(rates.requests), round(rates.bootstraps), round(rates.vectors)],
        ...[`${round(most(minutes, 'liveKeys') / 1e6)} M`, `${round(memory / 1e9)} GB`],
        ...[round(kept.cores), round(each.cores), round(kept.hosts), round(each.hosts)],
        ...[round(kept.redisCores), round(each.redisCores), round(each.masters)],
      ]
    }),
  )
}

function memoryOf(minutes: readonly Minute[], costs: Costs): number {
  const held = { keys: most(minutes, 'liveKeys'), nonces: most(minutes, 'liveNonces'), owners: OWNERS_LOGGED }
  return redisOctetsOf({ ...held, challenges: (most(minutes, 'bootstraps') / 60) * ROUND_TRIP_S }, costs)
}

/** What a load needs. Workers share nothing but Redis, so where a UE connects anew it meets each of them. */
function shapeOf(minutes: readonly Minute[], connections: Connections, costs: Costs) {
  const few = coresOf(ratesOf(busiest(minutes), connections, CORES_PER_HOST), costs)
  const workers = CORES_PER_HOST * hostsFor(few.ap + few.bsf, CORES_PER_HOST)
  const rates = ratesOf(busiest(minutes), connections, workers)
  const { ap, bsf, tls } = coresOf(rates, costs)
  const redisCores = redisCoresOf(rates, costs)
  return {
    rates,
    cores: ap + bsf,
    tls,
    hosts: hostsFor(ap + bsf, CORES_PER_HOST),
    redisCores,
    masters: mastersFor(redisCores),
  }
}

/** The busiest shard is at 60 %. */
function mastersFor(cores: number): number {
  for (let shards = 1; shards <= 64; shards++) {
    if ((cores / shards) * (shards === 1 ? 1 : shardSkew(shards, 64, 'nonces')) <= UTILISATION) return shards
  }
  return Number.POSITIVE_INFINITY
}

/** The use of each part in the busiest minute, for the sizes above with one Redis master. */
function limitsTable(millions: readonly number[], day: Day, costs: Costs): string {
  return table(
    [
      'subscribers',
      'connections',
      'hosts',
      'AP and BSF',
      'of it TLS',
      'one Redis master',
      'nonces of 1,000,000',
      'first to fail',
    ],
    millions.flatMap((million) => {
      const minutes = day({ subscribers: million * 1e6 })
      return (['kept', 'each'] as const).map((connections) => {
        const { cores, tls, hosts, redisCores } = shapeOf(minutes, connections, costs)
        const use = {
          'CPU of the hosts': cores / (hosts * CORES_PER_HOST),
          'CPU of Redis': redisCores,
          'nonces held': most(minutes, 'liveNonces') / BEHAVIOUR.maxNonces,
        }
        return [
          ...[`${million} M`, connections, round(hosts), percent(use['CPU of the hosts']), percent(tls / cores)],
          ...[percent(use['CPU of Redis']), percent(use['nonces held']), firstToFail(use)[0]],
        ]
      })
    }),
  )
}

function nonceTable(millions: readonly number[], day: Day): string {
  return table(
    [
      'subscribers',
      'nonces wanted',
      'stale 401s per login',
      'vectors per login',
      'vectors per login, if all were held',
    ],
    millions.map((million) => {
      const all = day({ subscribers: million * 1e6 })
      const bounded = day({ subscribers: million * 1e6, maxNonces: BEHAVIOUR.maxNonces })
      const perLogin = (minutes: Minute[], name: 'stale' | 'vectors') =>
        round(sum(minutes, name) / sum(minutes, 'sessions'))
      return [
        ...[`${million} M`, `${round(most(all, 'liveNonces') / 1e6)} M`, perLogin(bounded, 'stale')],
        ...[perLogin(bounded, 'vectors'), perLogin(all, 'vectors')],
      ]
    }),
  )
}

/** A login with all that goes with it, where a UE comes back after an outage: a session that begins with a bootstrap. */
const RETURN: Rates = {
  requests: BEHAVIOUR.requestsPerSession + BEHAVIOUR.requestsAtBoot,
  challenges: 1,
  bootstraps: 1,
  vectors: 1 + BEHAVIOUR.resyncs,
  handshakes: 1,
  znFetches: 1,
}

/** What it takes to serve all of them as they come. */
function returnTable(millions: readonly number[], day: Day, costs: Costs): string {
  const { ap, bsf } = coresOf(RETURN, costs)
  return table(
    [
      'subscribers',
      'come back, per s',
      'vectors/s',
      'hosts of the busy hour',
      'hosts that serve all at once',
      'Redis cores',
    ],
    millions.map((million) => {
      const { hosts } = shapeOf(day({ subscribers: million * 1e6 }), 'kept', costs)
      const perSecond = returningPerSecond(million)
      const all = Math.ceil((perSecond * (ap + bsf)) / (0.9 * CORES_PER_HOST))
      return [
        ...[`${million} M`, round(perSecond), round(perSecond * RETURN.vectors), round(hosts)],
        ...[round(Math.max(all, hosts)), round(perSecond * redisCoresOf(RETURN, costs))],
      ]
    }),
  )
}

const returningPerSecond = (million: number) => (million * 1e6 * STORM.share) / (STORM.minutes * 60)

/** The same for any number of subscribers: it depends on how much of what comes can be served. */
function stormTable(): string {
  const arrivals = new Array<number>(STORM.minutes * 60).fill(1000)
  return table(
    [
      'can be served',
      'policy',
      'over after',
      'served within 30 min',
      'vectors per login',
      'abandoned challenges, of 300,000 UEs',
    ],
    [1, 0.75, 0.5, 0.25].flatMap((share) =>
      POLICIES.map(([name, rules]) => {
        const storm = { ...STORM_RULES, ...rules, arrivals, perSecond: 1000 * share }
        const { overAfterS, vectorsPerLogin, pendingChallenges } = simulateStorm(storm)
        const early = simulateStorm({ ...storm, giveUpAfterS: 1800 })
        return [
          ...[percent(share), name, overAfterS === undefined ? 'not in 4 h' : `${round(overAfterS / 60)} min`],
          ...[percent(early.served / early.arrived), round(vectorsPerLogin), round(pendingChallenges)],
        ]
      }),
    ),
  )
}

const POLICIES: readonly (readonly [string, Pick<Storm, 'policy' | 'retryMaxS'>])[] = [
  ['queue', { policy: 'queue', retryMaxS: 30 }],
  ['queue, UEs back off', { policy: 'queue', retryMaxS: 960 }],
  ['shed', { policy: 'shed', retryMaxS: 30 }],
  ['shed, UEs back off', { policy: 'shed', retryMaxS: 960 }],
]

const STORM_RULES: Omit<Storm, 'arrivals' | 'perSecond' | 'policy' | 'retryMaxS'> = {
  patienceS: 10,
  retryS: 30,
  shedBeyondS: 2,
  shedCost: 0.05,
  giveUpAfterS: 4 * 3600,
}

function incidentTable(millions: readonly number[], day: Day, costs: Costs): string {
  const at = 20 * 60
  return table(
    [
      'subscribers',
      'hosts',
      'CPU, one lost',
      'handshakes of its UEs',
      'stale 401s after a failover',
      'in the worst minute, per s',
      'bootstraps then, per s',
      'usual',
      'extra vectors',
    ],
    millions.map((million) => {
      const subscribers = million * 1e6
      const usual = day({ subscribers })
      const after = day({ subscribers }, [{ kind: 'nonces forgotten', at }])
      const { cores, hosts } = shapeOf(usual, 'kept', costs)
      const worst = after.slice(at, at + 60).toSorted((a, b) => b.bootstraps - a.bootstraps)[0]
      return [
        ...[`${million} M`, round(hosts), percent(cores / ((hosts - 1) * CORES_PER_HOST))],
        round((busiest(usual).sessions * KEPT_MINUTES) / hosts),
        ...[round(sum(after, 'stale')), round(most(after, 'stale') / 60), round((worst?.bootstraps ?? 0) / 60)],
        ...[round((usual[at]?.bootstraps ?? 0) / 60), round(sum(after, 'vectors') - sum(usual, 'vectors'))],
      ]
    }),
  )
}

/** Connections stay open a little longer than `keepAliveTimeoutMs`. */
const KEPT_MINUTES = 1.2

function waitTable(costs: Costs): string {
  const ms = (figure: number) => `${round(figure / 1000)} ms`
  return table(
    ['busy', 'one worker: mean', '99 of 100', `${CORES_PER_HOST} workers: mean`, '99 of 100'],
    [0.6, 0.8, 0.9, 0.95, 0.99].map((utilisation) => {
      const [one, all] = [1, CORES_PER_HOST].map((servers) => waitOf(servers, utilisation, costs.request))
      const shown = [one, all].flatMap((wait) => (wait ? [ms(wait.mean), ms(wait.p99)] : []))
      return [percent(utilisation), ...shown]
    }),
  )
}

function shardTable(): string {
  const skew = (shards: number, parts: number, prefix: string) => percent(shardSkew(shards, parts, prefix) / shards)
  return table(
    ['masters', 'an equal share', 'nonces, the busiest has', 'challenges', 'access logs'],
    [3, 4, 6, 8, 12, 16].map((shards) => [
      ...[
        String(shards),
        percent(1 / shards),
        skew(shards, 64, 'nonces'),
        skew(shards, 16, 'once'),
        skew(shards, 64, 'access'),
      ],
    ]),
  )
}

type Name = keyof Minute
const sum = (minutes: readonly Minute[], name: Name) => minutes.reduce((total, minute) => total + minute[name], 0)
const most = (minutes: readonly Minute[], name: Name) => minutes.reduce((top, minute) => Math.max(top, minute[name]), 0)

function busiest(minutes: readonly Minute[]): Minute {
  const [first, ...others] = minutes
  if (!first) throw new RangeError('an empty day')
  return others.reduce((top, minute) => (minute.requests > top.requests ? minute : top), first)
}

const percent = (share: number) => `${round(share * 100)} %`

/** Three digits say as much as any of this is worth. */
function round(figure: number): string {
  if (!Number.isFinite(figure)) return '–'
  const digits = Number(figure.toPrecision(3))
  return Math.abs(digits) < 100 ? String(digits) : Math.round(digits).toLocaleString('en-US')
}

function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`
  return [line(header), line(header.map((_, at) => (at === 0 ? '---' : '---:'))), ...rows.map(line)].join('\n')
}
