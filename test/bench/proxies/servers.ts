import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { type Core, freePort, moveToLoadCore, type Started, startOn } from './started.ts'
import { type Account, BSF, ha1Of, NAF, REALM, subscribersYaml } from './ues.ts'

/** Document sizes by the last path segment. */
export const DOCUMENTS = { small: 1536, medium: 65_536, large: 1_048_576 } as const
export type Document = keyof typeof DOCUMENTS

/** `before`: the product again, from another working copy, to compare with. */
export const PEERS_IN_ORDER = ['gba-proxy', 'before', 'apache', 'nginx', 'static'] as const
export type Peer = (typeof PEERS_IN_ORDER)[number]
export type KeyType = 'p256' | 'rsa'

/** A server under measurement. */
export interface Server extends Started {
  readonly peer: Peer
}

/** What the servers share, and what starts and stops them. */
export interface Bench {
  readonly ca: (keyType: KeyType) => Buffer
  readonly product: (keyType: KeyType, options?: ProductOptions) => Promise<Server & { readonly ub: number }>
  readonly apache: (keyType: KeyType, users: readonly Account[]) => Promise<Server>
  readonly nginx: (keyType: KeyType, isStatic: boolean) => Promise<Server>
  close(): Promise<void>
}

export interface ProductOptions {
  /** Options of Node. */
  readonly node?: readonly string[]
  /** Root of another working copy. */
  readonly root?: string | undefined
  /** Worker processes; by default the one process serves by itself. */
  readonly workers?: number
  /** Sections that are merged into those of the configuration. */
  readonly config?: { readonly store?: object; readonly ap?: object }
  /** Fills what the process finds when it starts. @param home  its directory; the store is `state` */
  readonly prepare?: (home: string) => Promise<void>
}

const MAIN = fileURLToPath(new URL('../../../src/main.ts', import.meta.url))
const CONFIGS = new URL('../', import.meta.url)
const MODULES = '/usr/lib/apache2/modules'

export async function openBench(directory: string): Promise<Bench> {
  moveToLoadCore()
  chmodSync(directory, 0o755) // Apache's processes give root up
  const running: Started[] = []
  const documents = join(directory, 'documents')
  mkdirSync(documents)
  for (const [name, size] of Object.entries(DOCUMENTS)) writeFileSync(join(documents, name), documentOf(size))
  for (const type of ['p256', 'rsa'] as const) makeCertificate(directory, type)
  const upstream = await freePort()

  async function server(core: Core, port: number, program: string, args: readonly string[]): Promise<Started> {
    const started = await startOn(core, port, program, args, directory)
    running.push(started)
    return started
  }
  const certificateOf = (type: KeyType) => ({
    certificate: join(directory, `${type}.pem`),
    key: join(directory, `${type}.key`),
  })
  function config(file: string, name: string, values: Readonly<Record<string, string | number>>): string {
    const text = readFileSync(new URL(file, CONFIGS), 'utf8')
    const path = join(directory, `${name}.conf`)
    writeFileSync(
      path,
      text.replaceAll(/\$\{(\w+)\}/g, (all, key: string) => String(values[key] ?? all)),
    )
    return path
  }
  const common = { directory, documents, naf: NAF, upstream }

  const upstreamConf = config('nginx-upstream.conf', 'upstream', { ...common, port: upstream })
  await server('load', upstream, 'nginx', ['-p', directory, '-c', upstreamConf])

  return {
    ca: (type) => readFileSync(certificateOf(type).certificate),
    async product(type, { node = [], root, workers, config: own = {}, prepare } = {}) {
      const [port, ub] = [await freePort(), await freePort()]
      const home = join(directory, `product-${port}`)
      mkdirSync(home)
      writeFileSync(join(home, 'subscribers.yaml'), subscribersYaml(), { mode: 0o600 })
      const { store, ap, ...rest } = productConfig({ port, ub, upstream, ...certificateOf(type) })
      const merged = { ...rest, store: { ...store, ...own.store }, ap: { ...ap, ...own.ap } }
      writeFileSync(join(home, 'config.yaml'), stringify({ ...merged, ...(workers !== undefined && { workers }) }))
      await prepare?.(home)
      const main = root === undefined ? MAIN : join(root, 'src', 'main.ts')
      const args = [...node, main, 'serve', '--config', join(home, 'config.yaml')]
      return {
        peer: root === undefined ? 'gba-proxy' : 'before',
        ub,
        ...(await server('server', port, process.execPath, args)),
      }
    },
    async apache(type, users) {
      const port = await freePort()
      const own = join(directory, `apache-${port}`)
      mkdirSync(own, { mode: 0o755 })
      const passwords = join(own, 'passwords')
      writeFileSync(passwords, users.map((user) => `${user.username}:${REALM}:${ha1Of(user)}\n`).join(''))
      const values = {
        ...common,
        directory: own,
        port,
        realm: REALM,
        passwords,
        modules: MODULES,
        ...certificateOf(type),
      }
      const file = config('apache.conf', `apache-${port}`, { ...values, providers: 'socache file' })
      return { peer: 'apache', ...(await server('server', port, 'apache2', ['-D', 'FOREGROUND', '-f', file])) }
    },
    async nginx(type, isStatic) {
      const port = await freePort()
      const peer = isStatic ? 'static' : 'nginx'
      const name = `${peer}-${port}`
      const values = { ...common, name, port, ...certificateOf(type) }
      const location = isStatic ? staticFrom(documents) : PROXIED
      const file = config('nginx-proxy.conf', name, { ...values, location })
      return { peer, ...(await server('server', port, 'nginx', ['-p', directory, '-c', file])) }
    },
    async close() {
      await Promise.all(running.map((each) => each.stop()))
    },
  }
}

const PROXIED = `location / {
      proxy_pass http://application;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_buffers 16 16k;
      proxy_buffer_size 16k;
      proxy_max_temp_file_size 0;
    }`
const staticFrom = (documents: string) => `location ~ /(small|medium|large)$ {
      if ($request_method = PUT) { return 200; }
      alias ${documents}/$1;
    }`

interface ProductPlace {
  readonly port: number
  readonly ub: number
  readonly upstream: number
  readonly certificate: string
  readonly key: string
}

/** As an operator would have it: warnings in the log, every decision in an audit file, every default left alone. */
function productConfig({ port, ub, upstream, certificate, key }: ProductPlace) {
  const host = '127.0.0.1'
  return {
    log: { level: 'warn', auditFile: 'audit.log' },
    store: { kind: 'lmdb', directory: 'state' },
    hss: { subscribersFile: 'subscribers.yaml' },
    bsf: {
      names: [BSF],
      // One UE bootstraps as often as this machine can: no limit stops it, and it is drawn on all the same.
      ub: { host, port: ub, limits: { perImpi: { burst: 1_000_000, perMinute: 1_000_000 } } },
    },
    ap: {
      host,
      port,
      tls: { certificateFile: certificate, keyFile: key },
      nafs: [{ fqdn: NAF }],
      appServers: [{ name: 'upstream', url: `http://${host}:${upstream}` }],
      routes: [{ appServer: 'upstream', doors: ['psk', 'digest'] }],
    },
  }
}

function makeCertificate(directory: string, type: KeyType): void {
  const key = type === 'rsa' ? ['rsa:2048'] : ['ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1']
  const out = ['-keyout', join(directory, `${type}.key`), '-out', join(directory, `${type}.pem`)]
  const names = ['-subj', `/CN=${NAF}`, '-addext', `subjectAltName=DNS:${NAF}`]
  const args = ['req', '-x509', '-newkey', ...key, '-noenc', '-days', '30', '-sha256', ...out, ...names]
  execFileSync('openssl', args, { stdio: 'pipe' })
}

function documentOf(size: number): Buffer {
  const head =
    '<?xml version="1.0" encoding="UTF-8"?>\n<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists"><list>'
  const tail = '</list></resource-lists>\n'
  const entry = '<entry uri="sip:somebody@example.com"/>'
  const entries = entry.repeat(Math.floor((size - head.length - tail.length) / entry.length))
  return Buffer.from(head + entries.padEnd(size - head.length - tail.length) + tail)
}
