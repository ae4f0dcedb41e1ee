import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import net, { type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { start } from './programs.ts'

export interface Haproxy {
  /** Of each name that the configuration was given a port for. */
  readonly ports: Readonly<Record<string, number>>
  readonly log: () => string
}

/**
 * HAProxy for one test, on free ports of loopback.
 * @param pem   certificate and key, one behind the other
 * @param names of the ports that `config` wants
 * @param config what stands behind `defaults`; `place` is the file of the certificate
 */
export async function haproxy<Name extends string>(
  t: TestContext,
  pem: string,
  names: readonly Name[],
  config: (ports: Readonly<Record<Name, number>>, place: string) => string,
): Promise<Haproxy & { readonly ports: Readonly<Record<Name, number>> }> {
  const directory = await mkdtemp(join(tmpdir(), 'gba-proxy-haproxy-'))
  const place = join(directory, 'front.pem')
  const [readyPort = 0, ...rest] = await freePorts(names.length + 1)
  const ports = Object.fromEntries(names.map((name, i) => [name, rest[i] ?? 0])) as Record<Name, number>
  await writeFile(place, pem, { mode: 0o600 })
  const file = join(directory, 'haproxy.cfg')
  await writeFile(file, `${DEFAULTS}${ready(readyPort)}${config(ports, place)}\n`)
  const running = await start('haproxy', ['-db', '-f', file], () =>
    fetch(`http://127.0.0.1:${readyPort}/`).then(
      ({ status }) => status === 200,
      () => false,
    ),
  ).catch(async (error: unknown) => {
    await rm(directory, { recursive: true, force: true })
    throw error
  })
  t.after(async () => {
    await running.stop('SIGUSR1')
    await rm(directory, { recursive: true, force: true })
  })
  return { ports, log: running.stderr }
}

const DEFAULTS = `global
  maxconn 200
  nbthread 2
defaults
  timeout connect 5s
  timeout client 10s
  timeout server 10s
  mode http
`

/** A place to ask that reaches no server of ours. */
const ready = (port: number) => `frontend ready
  bind 127.0.0.1:${port}
  http-request return status 200
`

/** All held at once, so that they differ. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = net.createServer().listen(0, '127.0.0.1')
      await once(server, 'listening')
      return server
    }),
  )
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  await Promise.all(servers.map((server) => once(server.close(), 'close')))
  return ports
}
