import { hash } from 'node:crypto'
import { GbaError } from '../errors.ts'
import { COMMAND_TIMEOUT_MS, type RedisClient, type RedisOptions, redisClient } from './redis-client.ts'

export type { RedisOptions } from './redis-client.ts'

export type RedisArgument = string | number | Uint8Array

/** A Lua script, sent by its digest wherever the server has it already. */
export interface RedisScript {
  readonly lua: string
  readonly sha: string
}

/** A command whose first argument is its key, or a script whose keys share a slot. */
export type RedisCommand =
  | readonly [name: string, key: string, ...more: RedisArgument[]]
  | { readonly script: RedisScript; readonly keys: readonly [string, ...string[]]; readonly args: RedisArgument[] }

export interface RedisConnectionOptions extends RedisOptions {
  /** Replicas that must have a write before it counts. 0 by default for a standalone server, 1 otherwise. */
  readonly minReplicas?: number
  /** Told of what is wrong, once per spell of failures. */
  readonly onProblem?: (error: unknown) => void
}

/** Integers and octets, in arrays or not: no reply here is of another kind. */
export type RedisReply = number | Buffer | null | readonly RedisReply[]

/**
 * The way to one Redis. Whatever goes wrong is GbaError STORE_UNAVAILABLE, within twice the command timeout: a write may
 * have to wait for the group before its own.
 * A write that failed may have been carried out all the same.
 */
export interface RedisConnection {
  /** Whether the keys of one script must share a hash tag, and are worth spreading over several. */
  readonly isCluster: boolean
  readonly minReplicas: number
  read(command: RedisCommand): Promise<RedisReply>
  /**
   * Resolves once `minReplicas` have it too.
   * @param isChange  of the reply: false where nothing was written, so that nobody needs to confirm it
   */
  write(command: RedisCommand, isChange?: (reply: RedisReply) => boolean): Promise<RedisReply>
  /** Whether a command would be tried now. */
  isUsable(): boolean
  /** INFO of every master. */
  info(section: string): Promise<readonly string[]>
  /** Calls at once where there is a connection, and again whenever there is a new one. */
  onReady(listener: () => void): void
  /** Waits for a connection. @throws GbaError STORE_UNAVAILABLE when there is none in time */
  ready(timeoutMs: number): Promise<void>
  close(): Promise<void>
}

export const redisScript = (lua: string): RedisScript => ({ lua, sha: hash('sha1', lua) })

const MAX_BATCH = 256
/** What gave up connecting begins anew after this. */
const REVIVE_MS = 100

interface Write {
  readonly command: RedisCommand
  readonly isChange: (reply: RedisReply) => boolean
  readonly resolve: (reply: RedisReply) => void
  readonly reject: (error: unknown) => void
  /** How often it was sent and certainly not carried out. */
  refusals: number
}

/**
 * Reading: Redis acknowledges a write before any replica has it, so a failover forgets what was acknowledged last, and
 * a master that was cut off goes on acknowledging what nobody will know. Where there are replicas, `WAIT` therefore
 * follows each write; writes that come while one is waited for share the next, as a group.
 * `WAIT` holds up its connection, so reads have one of their own.
 */
export function redisConnection(options: RedisConnectionOptions): RedisConnection {
  const { mode, commandTimeoutMs = COMMAND_TIMEOUT_MS, onProblem = () => {} } = options
  const isCluster = mode === 'cluster'
  const minReplicas = options.minReplicas ?? (mode === 'standalone' ? 0 : 1)
  const waitMs = Math.ceil(commandTimeoutMs * 0.8)
  /** The client of a cluster times out what it has sent, not what it keeps for a cluster that lost all its nodes. */
  const bounded = <T>(reply: Promise<T>) => (isCluster ? inTime(reply, 2 * commandTimeoutMs, 'no answer') : reply)
  const writes = redisClient(options)
  const reads = minReplicas > 0 ? redisClient(options) : writes
  const lanes = new Map<string, Write[]>()
  let closed = false

  for (const client of new Set([writes, reads])) {
    let failing = false
    const report = (error: unknown) => {
      if (closed || failing) return
      failing = true
      onProblem(unavailable(error))
    }
    client.on('error', report)
    client.on('node error', report)
    client.on('ready', () => {
      failing = false
    })
    // Sentinels that announce a failover while it asks them for the master make it give up for good.
    client.on('end', () => {
      const revive = () => {
        if (!closed && client.status === 'end') client.connect().catch(report)
      }
      setTimeout(revive, REVIVE_MS).unref()
    })
  }

  async function send(client: RedisClient, command: RedisCommand): Promise<RedisReply> {
    checkReady(client)
    try {
      return await bounded(call(client, wordsOf(command)))
    } catch (error) {
      if (!isUnknownScript(error) || !('script' in command)) throw unavailable(error)
      return await bounded(call(client, wordsOf(command, true))).catch((again: unknown) => {
        throw unavailable(again)
      })
    }
  }
  function enqueue(write: Write): void {
    const name = isCluster ? tagOf(keyOf(write.command)) : ''
    const lane = lanes.get(name)
    if (lane !== undefined) {
      lane.push(write)
      return
    }
    const fresh = [write]
    lanes.set(name, fresh)
    void empty(name, fresh)
  }
  async function empty(name: string, lane: Write[]): Promise<void> {
    while (lane.length > 0) lane.unshift(...(await sendGroup(lane.splice(0, MAX_BATCH))))
    lanes.delete(name)
  }
  /** @returns what the server has certainly not carried out and may be sent again */
  async function sendGroup(group: readonly Write[]): Promise<Write[]> {
    try {
      checkReady(writes)
      const pipeline = writes.pipeline()
      for (const { command, refusals } of group) {
        const [name, ...args] = wordsOf(command, refusals > 0)
        pipeline.callBuffer(name, ...args)
      }
      pipeline.call('WAIT', String(minReplicas), String(waitMs))
      const replies = (await bounded(pipeline.exec())) ?? []
      const [waitError, replicas] = replies.at(-1) ?? []
      const again: Write[] = []
      for (const [at, write] of group.entries()) {
        const [error, reply] = replies[at] ?? [new Error('no reply')]
        if (error instanceof Error) {
          if (isUncarried(error) && write.refusals++ < 2) again.push(write)
          else write.reject(unavailable(error))
        } else if (!write.isChange(reply as RedisReply) || (!waitError && Number(replicas) >= minReplicas)) {
          write.resolve(reply as RedisReply)
        } else {
          write.reject(unavailable(waitError ?? new Error(`${replicas} of ${minReplicas} replicas confirmed a write`)))
        }
      }
      // A pipeline that also waits is not redirected; a read of the same key is, and learns where the slot went.
      const [moved] = again
      if (isCluster && moved !== undefined) {
        await bounded(call(writes, ['EXISTS', keyOf(moved.command)])).catch(() => {})
      }
      return again
    } catch (error) {
      for (const { reject } of group) reject(unavailable(error))
      return []
    }
  }
  function checkReady(client: RedisClient): void {
    // A pipeline to a cluster would wait for it without bounds.
    if (closed || client.status !== 'ready') throw unavailable(new Error('not connected'))
  }
  const all = () => Promise.all([...new Set([writes, reads])].map(untilReady))

  return {
    isCluster,
    minReplicas,
    read: (command) => send(reads, command),
    write(command, isChange = () => true) {
      if (minReplicas === 0) return send(writes, command)
      return new Promise((resolve, reject) => enqueue({ command, isChange, resolve, reject, refusals: 0 }))
    },
    isUsable: () => !closed && writes.status === 'ready' && reads.status === 'ready',
    async info(section) {
      checkReady(reads)
      const masters = 'nodes' in reads ? reads.nodes('master') : [reads]
      try {
        return await bounded(Promise.all(masters.map((master) => master.info(section))))
      } catch (error) {
        throw unavailable(error)
      }
    },
    onReady(listener) {
      writes.on('ready', listener)
      if (writes.status === 'ready') listener()
    },
    ready: async (timeoutMs) => {
      await inTime(all(), timeoutMs, 'no connection')
    },
    async close() {
      closed = true
      for (const client of new Set([writes, reads])) client.disconnect()
    },
  }
}

const untilReady = (client: RedisClient): Promise<void> =>
  client.status === 'ready' ? Promise.resolve() : new Promise((resolve) => client.once('ready', () => resolve()))

/** @throws GbaError STORE_UNAVAILABLE when it takes longer: the caller goes on, and what becomes of it is unknown */
async function inTime<T>(awaited: Promise<T>, timeoutMs: number, lack: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(unavailable(new Error(`${lack} within ${timeoutMs} ms`))), timeoutMs)
  })
  return await Promise.race([awaited, late]).finally(() => clearTimeout(timer))
}

function wordsOf(command: RedisCommand, whole = false): [string, ...(string | Buffer)[]] {
  if (!('script' in command)) return [command[0], ...command.slice(1).map(wordOf)]
  const { script, keys, args } = command
  const head: [string, string] = whole ? ['EVAL', script.lua] : ['EVALSHA', script.sha]
  return [...head, String(keys.length), ...keys, ...args.map(wordOf)]
}

const wordOf = (argument: RedisArgument): string | Buffer =>
  argument instanceof Uint8Array ? Buffer.from(argument.buffer, argument.byteOffset, argument.length) : String(argument)

const keyOf = (command: RedisCommand): string => ('script' in command ? command.keys[0] : command[1])

const tagOf = (key: string): string => /\{([^}]+)\}/.exec(key)?.[1] ?? key

const call = (client: RedisClient, [name, ...args]: [string, ...(string | Buffer)[]]): Promise<RedisReply> =>
  client.callBuffer(name, ...args) as Promise<RedisReply>

const isUnknownScript = (error: unknown): boolean => error instanceof Error && error.message.startsWith('NOSCRIPT')

/** The server refused before it did anything. */
const isUncarried = (error: Error): boolean => /^(NOSCRIPT|MOVED)\b/.test(error.message)

/** The client's errors carry the command with its arguments, AUTH's password among them: only their text goes on. */
function unavailable(error: unknown): GbaError {
  if (error instanceof GbaError) return error
  return new GbaError('STORE_UNAVAILABLE', `Redis: ${error instanceof Error ? error.message : 'failed'}`)
}
