import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type App, startApp } from '../../src/app.ts'
import type { Config } from '../../src/config/schema.ts'
import type { EpochMs } from '../../src/core/bytes.ts'
import {
  freePorts,
  LAB_NAF,
  type LabOverrides,
  type LabSubscriber,
  labConfig,
  prepareLab,
  writeSims,
} from '../../src/lab.ts'
import type { AuditEvent, AuditRecord } from '../../src/observe/audit.ts'
import { createLog } from '../../src/observe/log.ts'
import { createUe, type Ue, type UeOptions } from '../../src/ue/flow.ts'
import { loadSim, type Sim } from '../../src/ue/sim.ts'

/** What an application server got, octet for octet. */
export interface Recorded {
  readonly method: string
  readonly target: string
  readonly rawHeaders: readonly string[]
  readonly body: Buffer
}

export interface TestLab {
  readonly directory: string
  readonly app: App
  /** What it was started with. */
  readonly config: Config
  readonly ca: Buffer
  /** Decisions so far, identities in clear. */
  readonly decisions: { readonly event: AuditEvent; readonly record: AuditRecord }[]
  /** What the recording AS saw; empty where the lab's own AS runs. */
  readonly seen: Recorded[]
  /** Everything the roles logged. */
  readonly logged: () => string
  /** A URL of the NAF, by its path. */
  url(path: string): string
  sim(name?: LabSubscriber): Promise<Sim>
  ue(name?: LabSubscriber, options?: UeOptions): Promise<Ue>
  close(): Promise<void>
}

export interface TestLabOptions extends LabOverrides {
  /** Replaces the lab's XCAP server by one that records and answers 200, or what `answer` says. */
  readonly recording?: boolean
  readonly answer?: (request: IncomingMessage) => { status: number; headers?: Record<string, string>; body?: string }
  readonly now?: () => EpochMs
  /** Puts further files into the folder of the lab, before it starts. @returns parts of `ap` in the configuration */
  readonly prepare?: (directory: string) => Promise<object>
}

/** A whole lab in this process, on free ports, with its state in memory. */
export async function testLab(options: TestLabOptions = {}): Promise<TestLab> {
  const directory = await mkdtemp(join(tmpdir(), 'gba-proxy-test-'))
  await prepareLab(directory, { randomBytes, now: Date.now() })
  const prepared = await options.prepare?.(directory)
  const seen: Recorded[] = []
  const recorder = options.recording || options.answer ? await recordingAs(seen, options.answer) : undefined
  // Only the address of the application server has to be known before: every other port is whichever is free then.
  const ports = { ub: 0, zn: 0, ap: 0, as: recorder ? recorder.port : (await freePorts()).as }
  const config = labConfig(directory, ports, {
    store: { kind: 'memory' },
    ...options,
    ap: { ...prepared, ...options.ap },
    ...(recorder && { as: null }),
  })
  const decisions: TestLab['decisions'] = []
  const lines: string[] = []
  const log = createLog({
    level: 'trace',
    identities: 'hashed',
    destination: { write: (line) => void lines.push(line) },
  })
  const app = await startApp(config, {
    log,
    onDecision: (event, record) => decisions.push({ event, record }),
    ...(options.now && { now: options.now }),
  })
  writeSims(directory, { ub: app.addresses.ub?.port ?? 0, ap: app.addresses.ap?.port ?? 0 })
  const ca = await readFile(join(directory, 'certs', 'ca.pem'))
  const ues: Ue[] = []
  const sim = (name: LabSubscriber = 'alice') => loadSim(join(directory, 'sims', `${name}.yaml`))
  return {
    directory,
    app,
    config,
    ca,
    decisions,
    seen,
    logged: () => lines.join(''),
    url: (path) => `https://${LAB_NAF}${path}`,
    sim,
    async ue(name, ueOptions = {}) {
      const ue = createUe(await sim(name), { ca, ...(options.now && { now: options.now }), ...ueOptions })
      ues.push(ue)
      return ue
    },
    async close() {
      for (const ue of ues) ue.close()
      await app.close()
      await recorder?.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}

async function recordingAs(seen: Recorded[], answer: TestLabOptions['answer']) {
  const server = createServer((request, response) => {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => {
      const { method = '', url = '', rawHeaders } = request
      seen.push({ method, target: url, rawHeaders, body: Buffer.concat(parts) })
      const { status, headers = {}, body = '' } = answer?.(request) ?? { status: 200, body: 'recorded' }
      response.writeHead(status, { 'content-length': Buffer.byteLength(body), ...headers }).end(body)
    })
  })
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
