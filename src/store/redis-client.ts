import { readFileSync, statSync } from 'node:fs'
import type { ConnectionOptions } from 'node:tls'
import { Cluster, Redis } from 'ioredis'
import { GbaError } from '../errors.ts'

export interface RedisOptions {
  /** `standalone`: the first node is the server. `sentinel`: the nodes are Sentinels. `cluster`: some of its nodes. */
  readonly mode: 'standalone' | 'sentinel' | 'cluster'
  /** `host:port`, an IPv6 address in brackets. */
  readonly nodes: readonly [string, ...string[]]
  /** The name under which the Sentinels know the master. */
  readonly sentinelName?: string
  /** ACL user; Redis' `default` where none is given. */
  readonly username?: string
  /** A file of mode 0600 with the password alone. */
  readonly passwordFile?: string
  readonly sentinelUsername?: string
  readonly sentinelPasswordFile?: string
  readonly tls?: RedisTls
  /** How long one operation may take. 500 ms by default. */
  readonly commandTimeoutMs?: number
  /** 1 s by default. */
  readonly connectTimeoutMs?: number
}

export interface RedisTls {
  /** Those of the system where none is given. */
  readonly caFile?: string
  readonly certificateFile?: string
  readonly keyFile?: string
}

export type RedisClient = Redis | Cluster

export const COMMAND_TIMEOUT_MS = 500
const CONNECT_TIMEOUT_MS = 1000
/** A server that hangs never answers the end of a connection that is to be replaced. */
const DISCONNECT_TIMEOUT_MS = 100
/** Redis may be back at any moment, and service is to follow within seconds. */
const RETRY_MS = { first: 50, most: 500 }

/**
 * A client that repeats nothing: one that was written and not answered is never sent again, since it may have been
 * carried out. It keeps nothing waiting either, but for the connection to a node of a cluster that is being made.
 * It goes on reconnecting for ever, to the master that the Sentinels or the cluster name then.
 * @throws GbaError STORE_UNAVAILABLE when a file cannot be read; RangeError for options that make no sense
 */
export function redisClient(options: RedisOptions): RedisClient {
  const { mode, sentinelName, commandTimeoutMs = COMMAND_TIMEOUT_MS } = options
  const nodes = options.nodes.map(parseNode)
  const tls = options.tls && tlsOf(options.tls)
  const common = {
    ...credentialsOf(options.username, options.passwordFile),
    ...(tls && { tls }),
    protocol: 2 as const,
    disableClientInfo: true, // an ACL user needs fewer commands then
    connectTimeout: options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS,
    commandTimeout: commandTimeoutMs,
    // A server that hangs keeps its connections: only a new one learns that another is the master now.
    socketTimeout: 2 * commandTimeoutMs,
    disconnectTimeout: DISCONNECT_TIMEOUT_MS,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false,
    maxLoadingRetryTime: RETRY_MS.most,
    reconnectOnError: ({ message }: Error) => /^(READONLY|MASTERDOWN)\b/.test(message), // reconnects, repeats nothing
  }
  if (mode === 'cluster') {
    return new Cluster(nodes, {
      redisOptions: common,
      // Connections to nodes are made with the first command for each. Without a queue the client refuses all others
      // until that is done; with it they wait for the connection, which counts in their timeout.
      enableOfflineQueue: true,
      clusterRetryStrategy: retryDelay,
      // An unanswered command, and one that found its slot down, is the caller's to judge. Only what certainly was not
      // carried out (MOVED, ASK, TRYAGAIN) is sent to where it belongs.
      retryDelayOnFailover: 0,
      retryDelayOnClusterDown: 0,
      maxRedirections: 4,
      slotsRefreshTimeout: 2 * commandTimeoutMs,
      slotsRefreshInterval: 2000,
      ...(tls && { dnsLookup: (address, callback) => callback(null, address) }), // certificates are made out to names
    })
  }
  const single = { ...common, enableOfflineQueue: false, retryStrategy: retryDelay }
  const [first] = nodes
  if (first === undefined) throw new RangeError('Redis needs a node')
  if (mode === 'standalone') return new Redis({ ...single, ...first })
  if (sentinelName === undefined) throw new RangeError('Sentinels need the name of the master')
  const { username: sentinelUsername, password: sentinelPassword } = credentialsOf(
    options.sentinelUsername,
    options.sentinelPasswordFile,
  )
  return new Redis({
    ...single,
    sentinels: nodes,
    name: sentinelName,
    ...(sentinelUsername !== undefined && { sentinelUsername }),
    ...(sentinelPassword !== undefined && { sentinelPassword }),
    ...(tls && { sentinelTLS: tls, enableTLSForSentinelMode: true }),
    sentinelCommandTimeout: commandTimeoutMs,
    sentinelRetryStrategy: retryDelay,
    failoverDetector: true, // leaves the old master when the Sentinels announce the new one, though it still answers
  })
}

const retryDelay = (times: number): number => Math.min(RETRY_MS.most, RETRY_MS.first * times)

function parseNode(text: string): { readonly host: string; readonly port: number } {
  const [, bracketed, plain, port] = /^(?:\[([0-9a-f:.]+)\]|([^\s:[\]]+)):(\d{1,5})$/i.exec(text) ?? []
  const host = bracketed ?? plain
  if (host === undefined || Number(port) > 65_535) throw new RangeError(`Redis node ${text} is not host:port`)
  return { host, port: Number(port) }
}

function credentialsOf(username: string | undefined, passwordFile: string | undefined) {
  const password = passwordFile === undefined ? undefined : passwordIn(passwordFile)
  return { ...(username !== undefined && { username }), ...(password !== undefined && { password }) }
}

function passwordIn(path: string): string {
  const text = fileAt(path)
    .toString('utf8')
    .replace(/\r?\n$/, '')
  if ((statSync(path).mode & 0o077) !== 0) {
    throw new GbaError('STORE_UNAVAILABLE', `${path} is open to other users: chmod 600 it`)
  }
  return text
}

const tlsOf = ({ caFile, certificateFile, keyFile }: RedisTls): ConnectionOptions => ({
  minVersion: 'TLSv1.2',
  ...(caFile !== undefined && { ca: fileAt(caFile) }),
  ...(certificateFile !== undefined && { cert: fileAt(certificateFile) }),
  ...(keyFile !== undefined && { key: fileAt(keyFile) }),
})

function fileAt(path: string): Buffer {
  try {
    return readFileSync(path)
  } catch (cause) {
    throw new GbaError('STORE_UNAVAILABLE', `${path} cannot be read: let this user read it`, { cause })
  }
}
