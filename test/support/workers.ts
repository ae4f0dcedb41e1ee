import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import type { App } from '../../src/app.ts'
import { toHex } from '../../src/core/bytes.ts'
import { Secret } from '../../src/core/secret.ts'
import { freePorts, LAB_BSF, LAB_NAF, type LabOverrides, labConfig, prepareLab } from '../../src/lab.ts'
import { createUe, type Ue, type UeOptions } from '../../src/ue/flow.ts'
import { parseSim } from '../../src/ue/sim.ts'
import type { HandCard } from './hand-ub.ts'
import type { Reached } from './hand-ue.ts'
import { type Running, start } from './programs.ts'
import type { RawTarget } from './raw-client.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const DOMAIN = 'ims.mnc001.mcc001.3gppnetwork.org'

/** A host of several workers, each a process, with an application server of the test behind. */
export interface WorkersSite {
  readonly directory: string
  /** The configuration. */
  readonly file: string
  readonly ub: RawTarget
  readonly ap: number
  /** Names of requests that reached the application server, from their X-Probe, and how often. */
  readonly hits: ReadonlyMap<string, number>
  /** Until all workers listen. */
  start(): Promise<void>
  /** Asks it to stop. @returns exit code */
  stop(signal?: NodeJS.Signals): Promise<number | null>
  readonly supervisor: () => number
  /** Process ids of the workers that serve, by their number. */
  workers(): ReadonlyMap<number, number>
  /** Ends the supervisor and all workers at once. */
  killTree(): Promise<void>
  /** Lines of the log and the audit so far, of all runs. */
  lines(): Record<string, unknown>[]
  stderr(): string
  card(n: number): HandCard
  /** A UE with the nth card, which has forgotten everything. */
  ue(n: number, options?: UeOptions): Ue
  /** What a hand-made UE needs. */
  reached(n: number): Reached
  close(): Promise<void>
}

export interface WorkersSiteOptions {
  readonly workers: number
  /** Of the subscribers; 20 by default. */
  readonly subscribers?: number
  readonly stateDirectory?: string
  readonly overrides?: LabOverrides
  /** How long the application server thinks about a request. */
  readonly asDelayMs?: (target: string) => number
}

export async function workersSite(options: WorkersSiteOptions): Promise<WorkersSite> {
  const { workers, subscribers = 20, overrides, asDelayMs = () => 0 } = options
  const directory = await mkdtemp(join(tmpdir(), 'gba-proxy-workers-'))
  const cards = Array.from({ length: subscribers }, (_, n) => aCard(n))
  await writeFile(join(directory, 'subscribers.yaml'), `subscribers:\n${cards.map(subscriberYaml).join('')}`)
  await prepareLab(directory, { randomBytes, now: Date.now() })
  const ca = await readFile(join(directory, 'certs', 'ca.pem'))
  const hits = new Map<string, number>()
  const as = await countingAs(hits, asDelayMs)
  const ports = { ...(await freePorts()), as: as.port }
  const config = labConfig(directory, ports, {
    log: { level: 'info', identities: 'clear' },
    ...(options.stateDirectory && { store: { kind: 'lmdb', directory: options.stateDirectory } }),
    ...overrides,
    as: null,
  })
  const file = join(directory, 'workers.yaml')
  await writeFile(file, stringify({ ...JSON.parse(JSON.stringify(config)), workers }))

  let running: Running | undefined
  const earlier: string[] = []
  const ues: Ue[] = []
  const lines = () =>
    [...earlier, running?.stdout() ?? ''].flatMap((text) =>
      text
        .split('\n')
        .slice(0, -1)
        .map((line): Record<string, unknown> => JSON.parse(line)),
    )
  const ue = (n: number, ueOptions: UeOptions = {}) => {
    const sim = parseSim(simYaml(cardAt(n), ports), 'a card of the test')
    const made = createUe(sim, { ca, ...ueOptions })
    ues.push(made)
    return made
  }
  const cardAt = (n: number): HandCard => cards[n % cards.length] ?? aCard(0)
  const done = () => {
    if (running) earlier.push(running.stdout())
    running = undefined
  }
  return {
    directory,
    file,
    ub: { port: ports.ub },
    ap: ports.ap,
    hits,
    async start() {
      const isUp = ({ stderr }: Pick<Running, 'stderr'>) => / up; /.test(stderr())
      running = await start(process.execPath, [MAIN, 'serve', '--config', file], isUp, { cwd: directory })
    },
    async stop(signal) {
      const code = (await running?.stop(signal)) ?? null
      done()
      return code
    },
    supervisor: () => running?.pid ?? 0,
    workers() {
      const pids = new Map<number, number>()
      for (const line of (running?.stdout() ?? '').split('\n')) {
        if (!line.includes('"worker.')) continue
        const { event, of, pid } = JSON.parse(line)
        if (event === 'worker.up') pids.set(of, pid)
        else if (event === 'worker.ended') pids.delete(of)
      }
      return pids
    },
    async killTree() {
      const pid = running?.pid
      if (pid) process.kill(-pid, 'SIGKILL')
      await running?.stop('SIGKILL')
      done()
    },
    lines,
    stderr: () => running?.stderr() ?? '',
    card: cardAt,
    ue,
    reached: (n) => ({
      app: { addresses: { ap: { host: '127.0.0.1', port: ports.ap } } } as App,
      ca,
      ue: async (_name, ueOptions) => ue(n, ueOptions),
    }),
    async close() {
      for (const each of ues) each.close()
      if (running) await running.stop()
      await as.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

/** Asks again and again. @throws Error when it never becomes true */
export async function eventually(what: string, isSo: () => boolean, patienceMs = 30_000): Promise<number> {
  const begin = performance.now()
  while (!isSo()) {
    if (performance.now() - begin > patienceMs) throw new Error(`never: ${what}`)
    await delay(10)
  }
  return performance.now() - begin
}

const impiOf = (n: number) => `00101${String(n + 1).padStart(10, '0')}@${DOMAIN}`
export const impuOfCard = (n: number) => `sip:user${n}@${DOMAIN}`

const aCard = (n: number): HandCard => ({
  impi: impiOf(n),
  k: new Secret(randomBytes(16)),
  opc: new Secret(randomBytes(16)),
})

const subscriberYaml = ({ impi, k, opc }: HandCard, n: number): string => `  - impi: ${impi}
    k: '${toHex(k.expose())}'
    opc: '${toHex(opc.expose())}'
    impus: ['${impuOfCard(n)}']
    uss:
      - { gsid: 3, type: 3 }
      - { gsid: 2, type: 2 }
`

const simYaml = (
  { impi, k, opc }: HandCard,
  { ub, ap }: { ub: number; ap: number },
): string => `imsi: '${impi.split('@')[0]}'
k: '${toHex(k.expose())}'
opc: '${toHex(opc.expose())}'
connect:
  ${LAB_BSF}: '127.0.0.1:${ub}'
  ${LAB_NAF}: '127.0.0.1:${ap}'
`

async function countingAs(hits: Map<string, number>, delayMs: (target: string) => number) {
  const server = createServer((request, response) => {
    const probe = String(request.headers['x-probe'] ?? '')
    hits.set(probe, (hits.get(probe) ?? 0) + 1)
    request.resume()
    request.on('end', () => {
      const answer = () => response.writeHead(200, { 'content-length': 7 }).end('counted')
      const waitMs = delayMs(request.url ?? '')
      if (waitMs > 0) setTimeout(answer, waitMs)
      else answer()
    })
  })
  server.keepAliveTimeout = 60_000
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening))
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise<void>((closed) => {
        server.close(() => closed())
        server.closeAllConnections()
      }),
  }
}
