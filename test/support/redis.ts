import { randomInt } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { type Ran, type Running, run, start } from './programs.ts'

/** What `peerTest` has to look for. */
export const REDIS_PROGRAMS = ['redis-server', 'redis-cli'] as const

const PATIENCE_MS = 20_000

/** One redis-server, or one Sentinel, on a free port of loopback. */
export interface RedisServer {
  readonly port: number
  /** `127.0.0.1:PORT` */
  readonly node: string
  readonly directory: string
  /** What redis-cli prints. */
  command(...words: string[]): Promise<string>
  /** Ends it; SIGKILL by default, which saves nothing. */
  stop(signal?: NodeJS.Signals): Promise<void>
  /** Starts it again, on the same port and directory. */
  restart(): Promise<void>
  /** A signal that it survives, as SIGSTOP. */
  signal(signal: NodeJS.Signals): Promise<void>
  close(): Promise<void>
}

/** @param args  further words of its command line, e.g. `--maxmemory 8mb` */
export async function redisServer(...args: readonly string[]): Promise<RedisServer> {
  const port = await freePort()
  const directory = await mkdtemp(join(tmpdir(), 'gba-proxy-redis-'))
  const address = ['--port', String(port), '--bind', '127.0.0.1', '--dir', directory]
  const quick = ['--save', '', '--rdbcompression', 'no', '--repl-diskless-sync-delay', '0']
  return server('redis-server', [...address, ...quick, ...args], port, directory)
}

async function server(program: string, args: readonly string[], port: number, directory: string): Promise<RedisServer> {
  let running: Running | undefined
  let pid = 0
  const command = async (...words: string[]): Promise<string> => {
    const ran: Ran = await run('redis-cli', ['-p', String(port), ...words])
    return ran.stdout.trim()
  }
  async function restart(): Promise<void> {
    running = await start(program, args, ({ stdout }) => /Ready to accept connections|\+monitor/.test(stdout()))
    pid = Number(/^process_id:(\d+)/m.exec(await command('INFO', 'server'))?.[1])
  }
  async function stop(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const ending = running?.stop(signal)
    running = undefined
    await ending
  }
  await restart().catch(async (error: unknown) => {
    await rm(directory, { recursive: true, force: true })
    throw error
  })
  return {
    port,
    node: `127.0.0.1:${port}`,
    directory,
    command,
    stop,
    restart,
    async signal(signal) {
      process.kill(pid, signal)
    },
    async close() {
      await stop()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

export interface Sentinels {
  readonly nodes: readonly [string, ...string[]]
  readonly master: RedisServer
  readonly replicas: readonly RedisServer[]
  close(): Promise<void>
}

/** A master called `gba`, its replicas, and three Sentinels that give it up after half a second. */
export async function redisSentinels(replicaCount: number): Promise<Sentinels> {
  const master = await redisServer()
  const servers = [master]
  return orClose(servers, async () => {
    const follow = ['--replicaof', '127.0.0.1', String(master.port)]
    const replicas = await allOrNone(Array.from({ length: replicaCount }, () => redisServer(...follow)))
    servers.push(...replicas)
    for (const replica of replicas) {
      await until(async () => /master_link_status:up/.test(await replica.command('INFO', 'replication')))
    }
    const sentinels = await allOrNone(Array.from({ length: 3 }, () => sentinel(master.port)))
    servers.push(...sentinels)
    await until(async () => {
      const seen = await Promise.all(sentinels.map((each) => each.command('SENTINEL', 'master', 'gba')))
      const told = (text: string, field: string) => Number(new RegExp(`^${field}\\n(\\d+)`, 'm').exec(text)?.[1])
      return seen.every((text) => told(text, 'num-other-sentinels') === 2 && told(text, 'num-slaves') === replicaCount)
    })
    return { nodes: nodesOf(sentinels), master, replicas, close: () => closeAll(servers) }
  })
}

async function sentinel(masterPort: number): Promise<RedisServer> {
  const port = await freePort()
  const directory = await mkdtemp(join(tmpdir(), 'gba-proxy-sentinel-'))
  const file = join(directory, 'sentinel.conf')
  const lines = [
    `port ${port}`,
    'bind 127.0.0.1',
    `dir ${directory}`,
    `sentinel monitor gba 127.0.0.1 ${masterPort} 2`,
    'sentinel down-after-milliseconds gba 500',
    'sentinel failover-timeout gba 3000',
  ]
  await writeFile(file, `${lines.join('\n')}\n`)
  return server('redis-server', [file, '--sentinel'], port, directory)
}

/** Three masters, each with a replica of another where `replicas` says so. */
export async function redisCluster({ replicas = 0 } = {}): Promise<{
  readonly servers: readonly RedisServer[]
  readonly nodes: readonly [string, ...string[]]
  close(): Promise<void>
}> {
  const servers = await allOrNone(
    Array.from({ length: 3 * (1 + replicas) }, async () => {
      const bus = await freePort()
      const settings = ['--cluster-enabled', 'yes', '--cluster-port', String(bus), '--cluster-node-timeout', '1000']
      return redisServer(...settings, '--cluster-replica-validity-factor', '0')
    }),
  )
  return orClose(servers, async () => {
    const nodes = nodesOf(servers)
    const words = ['--cluster', 'create', ...nodes, '--cluster-replicas', String(replicas), '--cluster-yes']
    const made = await run('redis-cli', words, { timeoutMs: PATIENCE_MS })
    if (made.status !== 0) throw new Error(`redis-cli: ${made.stdout}${made.stderr}`)
    await until(async () => {
      const states = await Promise.all(servers.map((each) => each.command('CLUSTER', 'INFO')))
      return states.every((text) => /cluster_state:ok/.test(text))
    })
    if (replicas > 0) {
      await until(async () => {
        const roles = await Promise.all(servers.map((each) => each.command('INFO', 'replication')))
        return roles.every((text) => /connected_slaves:1|master_link_status:up/.test(text))
      })
    }
    return { servers, nodes, close: () => closeAll(servers) }
  })
}

function nodesOf(servers: readonly RedisServer[]): readonly [string, ...string[]] {
  const [first, ...others] = servers.map(({ node }) => node)
  if (first === undefined) throw new Error('no server')
  return [first, ...others]
}

/** Asks again and again. @throws Error when it takes too long */
export async function until(holds: () => Promise<boolean>, patienceMs = PATIENCE_MS): Promise<void> {
  for (const giveUpAt = Date.now() + patienceMs; !(await holds()); await delay(50)) {
    if (Date.now() > giveUpAt) throw new Error('it did not come to hold in time')
  }
}

const given = new Set<number>()

/** Below the ports that the system gives to clients: a server that comes back must find its port free. */
async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(20_000, 32_000)
    if (given.has(port) || !(await isFree(port))) continue
    given.add(port)
    return port
  }
}

function isFree(port: number): Promise<boolean> {
  const listener = createServer()
  return new Promise((resolve) => {
    listener.once('error', () => resolve(false))
    listener.listen(port, '127.0.0.1', () => listener.close(() => resolve(true)))
  })
}

/** What was made, once all of it is; where one fails the others are closed. */
async function allOrNone<Made extends { close(): Promise<void> }>(making: readonly Promise<Made>[]): Promise<Made[]> {
  const outcomes = await Promise.allSettled(making)
  const made = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
  const failed = outcomes.find((outcome) => outcome.status === 'rejected')
  if (failed === undefined) return made
  await closeAll(made)
  throw failed.reason
}

async function closeAll(servers: readonly { close(): Promise<void> }[]): Promise<void> {
  await Promise.all(servers.map((each) => each.close()))
}

/** Runs it; where it fails, nothing stays behind. */
async function orClose<T>(servers: readonly RedisServer[], action: () => Promise<T>): Promise<T> {
  try {
    return await action()
  } catch (error) {
    await closeAll(servers)
    throw error
  }
}
