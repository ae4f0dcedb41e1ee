import { loadConfig } from '../config/load.ts'
import { ADMIN_PORT } from '../config/schema/admin.ts'

/** Where the admin listener is that no configuration moves. */
export const ADMIN = { host: '127.0.0.1', port: ADMIN_PORT }

/** Where the admin listener of a configuration is found from this host. @throws ConfigError */
export async function adminBase(file: string | undefined, env: Parameters<typeof loadConfig>[1]): Promise<URL> {
  const admin = file === undefined ? undefined : (await loadConfig(file, env)).admin
  const { host, port } = admin ?? ADMIN
  return new URL(`${admin?.tls ? 'https' : 'http'}://${bracketed(EVERYWHERE[host] ?? host)}:${port}`)
}

/** Whoever listens everywhere is found on loopback. */
const EVERYWHERE: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' }

const bracketed = (host: string): string => (host.includes(':') ? `[${host}]` : host)
