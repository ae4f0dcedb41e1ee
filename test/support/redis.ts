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
  const follow = ['--replicaof', '127.0.0.1', String(master.port)]
  const replicas = await Promise.all(Array.from({ length: replicaCount }, () => redisServer(...follow)))
  await until(async () =>
    new RegExp(`connected_slaves:${replicaCount}\\b`).test(await master.command('INFO', 'replication')),
  )
  for (const replica of replicas) {
    await until(async () => /master_link_status:up/.test(await replica.command('INFO', 'replication')))
  }
  const sentinels = await Promise.all(Array.from({ length: 3 }, () => sentinel(master.port)))
  await until(async () => {
    const seen = await Promise.all(sentinels.map((each) => each.command('SENTINEL', 'master', 'gba')))
    const told = (text: string, field: string) => Number(new RegExp(`^${field}\\n(\\d+)`, 'm').exec(text)?.[1])
    return seen.every((text) => told(text, 'num-other-sentinels') === 2 && told(text, 'num-slaves') === replicaCount)
  })
  const [first, ...others] = sentinels.map(({ node }) => node)
  if (first === undefined) throw new Error('no Sentinel')
  return {
    nodes: [first, ...others],
    master,
    replicas,
    async close() {
      for (const each of [...sentinels, master, ...replicas]) await each.close()
    },
  }
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
  const servers = await Promise.all(
    Array.from({ length: 3 * (1 + replicas) }, async () => {
      const bus = await freePort()
      const settings = ['--cluster-enabled', 'yes', '--cluster-port', String(bus), '--cluster-node-timeout', '1000']
      return redisServer(...settings, '--cluster-replica-validity-factor', '0')
    }),
  )
  const [first, ...others] = servers.map(({ node }) => node)
  if (first === undefined) throw new Error('no node')
  const words = ['--cluster', 'create', first, ...others, '--cluster-replicas', String(replicas), '--cluster-yes']
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
  return {
    servers,
    nodes: [first, ...others],
    async close() {
      for (const each of servers) await each.close()
    },
  }
}

/** Asks again and again. @throws Error when it takes too long */
export async function until(holds: () => Promise<boolean>, patienceMs = PATIENCE_MS): Promise<void> {
  for (const giveUpAt = Date.now() + patienceMs; !(await holds()); await delay(50)) {
    if (Date.now() > giveUpAt) throw new Error('it did not come to hold in time')
  }
}

async function freePort(): Promise<number> {
  const listener = createServer()
  await new Promise<void>((resolve) => listener.listen(0, '127.0.0.1', resolve))
  const address = listener.address()
  await new Promise((resolve) => listener.close(resolve))
  if (address === null || typeof address === 'string') throw new Error('no port')
  return address.port
}
