import { isIP } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { isLoopback } from '../config/loopback.ts'
import type { AdminConfig } from '../config/schema.ts'
import { PROBLEM_JSON, problemOf } from '../errors.ts'
import { EXPOSITION_TYPE } from '../observe/exposition.ts'
import type { Logger } from '../observe/log.ts'
import { createServer } from '../server.ts'
import { mutualTlsOptions } from '../tls/listener.ts'
import type { HostReadiness, Readiness } from './health.ts'

/** What the program is, and since when. */
export interface VersionReport {
  readonly name: 'gba-proxy'
  readonly version: string
  readonly node: string
  readonly roles: readonly string[]
  /** Processes that serve; 1 without workers. */
  readonly workers: number
  /** ISO 8601. */
  readonly startedAt: string
  readonly uptimeS: number
}

/** Where the listener has its answers from: one process, or a supervisor of several. */
export interface AdminSources {
  /** In the exposition format of Prometheus. */
  metrics(): Promise<string>
  readiness(): Promise<Readiness | HostReadiness>
  version(): VersionReport
}

export interface AdminOptions {
  readonly config: Pick<AdminConfig, 'host' | 'tls'>
  readonly sources: AdminSources
  readonly log: Logger
  /** Further resources of the listener, under the same rules of who may reach them. */
  readonly more?: ((scope: FastifyInstance) => Promise<void>) | undefined
}

/**
 * The server for operators: `/metrics`, `/live`, `/ready`, `/version`. It may be asked at any time, so each answer costs
 * little, and questions for metrics that come together share one.
 * @throws ConfigError naming the file of its TLS that has to be mended
 */
export async function createAdmin({ config, sources, log, more }: AdminOptions): Promise<FastifyInstance> {
  const warn = (file: string, detail: string) => log.warn({ file, detail }, 'tls.warning')
  const server = createServer({ log, limits: LIMITS, tls: config.tls && mutualTlsOptions(config.tls, warn) })
  server.setErrorHandler((error, request, reply) => {
    const status = statusOf(error)
    if (status >= 500) log.error({ err: error, requestId: request.id }, 'admin.failed')
    return reply.code(status).header('content-type', PROBLEM_JSON).send(problem(status, request.id))
  })
  server.setNotFoundHandler((request, reply) =>
    reply.code(404).header('content-type', PROBLEM_JSON).send(problem(404, request.id)),
  )
  server.addHook('onRequest', async (request, reply) => {
    reply.header('cache-control', 'no-store')
    if (!config.tls && isLoopback(config.host) && !isOfThisHost(request.headers.host)) {
      throw Object.assign(new Error('a name that is not of this host'), { statusCode: 421 })
    }
  })
  const metrics = shared(sources.metrics)
  server.route({
    method: GET,
    url: '/metrics',
    handler: async (_request, reply) => reply.type(EXPOSITION_TYPE).send(await metrics()),
  })
  server.route({ method: GET, url: '/live', handler: async (_request, reply) => reply.send({ live: true }) })
  server.route({
    method: GET,
    url: '/ready',
    handler: async (_request, reply) => {
      const readiness = await sources.readiness()
      return reply.code(readiness.ready ? 200 : 503).send(readiness)
    },
  })
  server.route({ method: GET, url: '/version', handler: async (_request, reply) => reply.send(sources.version()) })
  if (more) await server.register(more)
  return server
}

/** HEAD as well: some probes look at the status alone. */
const GET = ['GET', 'HEAD']

/** Whoever may come here is trusted, and may still be stuck. */
const LIMITS = {
  bodyBytes: 65_536,
  headerBytes: 16_384,
  headersTimeoutMs: 5_000,
  requestTimeoutMs: 10_000,
  keepAliveTimeoutMs: 75_000,
  connections: 100,
}

/**
 * Whether a Host header names this host by an address or as localhost. A page in a browser here can reach a loopback port
 * under a name of its own (DNS rebinding), but not under these.
 */
export function isOfThisHost(header: string | undefined): boolean {
  const host = header?.replace(/:\d+$/, '').replace(/^\[(.*)\]$/, '$1')
  return host !== undefined && (isIP(host) !== 0 || isLoopback(host))
}

/** Calls once for all who ask while the answer is on its way. */
function shared<Answer>(ask: () => Promise<Answer>): () => Promise<Answer> {
  let pending: Promise<Answer> | undefined
  return () => {
    pending ??= ask().finally(() => {
      pending = undefined
    })
    return pending
  }
}

/** Octets, so that no serialiser adds a charset that the media type does not have. */
const problem = (status: number, requestId: string) => Buffer.from(JSON.stringify(problemOf(status, requestId)))

function statusOf(error: unknown): number {
  const status = error instanceof Error && 'statusCode' in error ? Number(error.statusCode) : 500
  return status >= 400 && status < 500 ? status : 500
}
