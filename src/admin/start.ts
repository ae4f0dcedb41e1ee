import type { AddressInfo } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { isLoopback } from '../config/loopback.ts'
import { ADMIN_PORT } from '../config/schema/admin.ts'
import { type AdminConfig, type Config, ROLES } from '../config/schema.ts'
import { productVersion } from '../version.ts'
import { type AdminOptions, createAdmin, type VersionReport } from './server.ts'

/** Where the admin listener is to be. */
export interface AdminPlace {
  readonly config: Pick<AdminConfig, 'host' | 'port' | 'tls'>
  /** Whether any other port does where this one is taken: nobody asked for it by name. */
  readonly anyPort: boolean
}

/**
 * @param isWanted  whether there is one although the configuration does not speak of it
 * @returns undefined: there is none
 */
export function adminPlaceOf({ admin }: Config, isWanted: boolean): AdminPlace | undefined {
  if (admin) return admin.enabled ? { config: admin, anyPort: false } : undefined
  return isWanted ? { config: { host: '127.0.0.1', port: ADMIN_PORT }, anyPort: true } : undefined
}

export interface RunningAdmin {
  readonly address: { readonly host: string; readonly port: number }
  /** At once: whoever asks last gets no answer. */
  close(): Promise<void>
}

/** @throws ConfigError, or the error of a port that cannot be had */
export async function startAdmin(
  { config, anyPort }: AdminPlace,
  options: Omit<AdminOptions, 'config'>,
): Promise<RunningAdmin> {
  const { log } = options
  const { host, port } = config
  const server = await createAdmin({ ...options, config })
  try {
    await listen(server, host, port)
  } catch (error) {
    await server.close()
    if (!anyPort || !isTaken(error)) throw error
    const other = await startAdmin({ config: { ...config, port: 0 }, anyPort: false }, options)
    log.warn({ taken: port, port: other.address.port }, 'admin.port-taken')
    return other
  }
  if (!config.tls && !isLoopback(host)) log.warn({ setting: 'admin.insecurePlain' }, 'admin.without-tls')
  return {
    address: { host, port: (server.server.address() as AddressInfo).port },
    async close() {
      const closed = server.close()
      server.server.closeAllConnections()
      await closed
    },
  }
}

const listen = (server: FastifyInstance, host: string, port: number) =>
  server.listen({ host, port, listenTextResolver: () => 'server.listening' })

const isTaken = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'EADDRINUSE'

/** @param workers  processes that serve */
export function versionReporter(config: Config, workers = 1): () => VersionReport {
  const startedAt = new Date().toISOString()
  const since = performance.now()
  const version = productVersion()
  const roles = ROLES.filter((role) => config[role])
  return () => ({
    name: 'gba-proxy',
    version,
    node: process.version,
    roles,
    workers,
    startedAt,
    uptimeS: Math.floor((performance.now() - since) / 1000),
  })
}
