import { loadConfig } from '../config/load.ts'

/** Where the admin listener is that no configuration moves. */
export const ADMIN = { host: '127.0.0.1', port: 9464 }

/** Where the admin listener of a configuration is found from this host. @throws ConfigError */
export async function adminBase(file: string | undefined, env: Parameters<typeof loadConfig>[1]): Promise<URL> {
  const config: object = file === undefined ? {} : await loadConfig(file, env)
  const { host, port } = { ...ADMIN, ...(config as { readonly admin?: Partial<typeof ADMIN> }).admin }
  return new URL(`http://${bracketed(EVERYWHERE[host] ?? host)}:${port}`)
}

/** Whoever listens everywhere is found on loopback. */
const EVERYWHERE: Readonly<Record<string, string>> = { '0.0.0.0': '127.0.0.1', '::': '::1' }

const bracketed = (host: string): string => (host.includes(':') ? `[${host}]` : host)
