import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { parse, stringify } from 'yaml'
import { freePorts, LAB_LIMITS, LAB_PORTS, type LabPorts } from '../../src/lab.ts'
import type { AuditEvent } from '../../src/observe/audit.ts'
import { type Ran, type Running, run, start } from './programs.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const DEPLOY = new URL('../../deploy/', import.meta.url)

/** The files of deploy/ in a folder of their own, with free ports in the place of theirs, and what runs from them. */
export interface Deployment {
  /** Has deploy/, certs/ and state/ as the root of the repository would. */
  readonly directory: string
  readonly ports: LabPorts
  /** Runs `gba-proxy` to its end. */
  cli(...args: readonly string[]): Promise<Ran>
  /**
   * `gba-proxy serve` with one of the files, until its roles are up.
   * @param flags  of the runtime
   */
  serve(file: string, flags?: readonly string[]): Promise<Server>
  /** Writes another file of deploy/: the named one, changed. */
  vary(file: string, as: string, change: (config: Config) => void): Promise<void>
  /** Stops whatever still runs, removes everything. */
  close(): Promise<void>
}

/** As the YAML has it. */
// biome-ignore lint/suspicious/noExplicitAny: tests reach into whatever part of a file they change
export type Config = any

export interface Server extends Running {
  /**
   * Audit records of one event so far, oldest first.
   * @param atLeast  waits for so many: what a process writes arrives after what it answers
   */
  decisions(event: AuditEvent, atLeast?: number): Promise<readonly Record<string, unknown>[]>
}

const PATIENCE_MS = 5_000

export async function deployment(): Promise<Deployment> {
  const directory = await mkdtemp(join(tmpdir(), 'gba-proxy-deploy-'))
  const ports = await freePorts()
  const deploy = join(directory, 'deploy')
  await writeFiles(deploy, ports)
  const running: Running[] = []
  const cli = (...args: readonly string[]) => run(process.execPath, [MAIN, ...args], { cwd: directory })
  return {
    directory,
    ports,
    cli,
    async serve(file, flags = []) {
      const isUp = ({ stderr }: Pick<Running, 'stderr'>) => / up; /.test(stderr())
      const args = [...flags, MAIN, 'serve', '--config', join('deploy', file)]
      const server = await start(process.execPath, args, isUp, { cwd: directory })
      running.push(server)
      return { ...server, decisions: (event, atLeast = 0) => decisions(server, event, atLeast) }
    },
    async vary(file, as, change) {
      const config: Config = parse(await readFile(join(deploy, file), 'utf8'))
      change(config)
      await writeFile(join(deploy, as), stringify(config))
    },
    async close() {
      await Promise.all(running.map((server) => server.stop()))
      await rm(directory, { recursive: true, force: true })
    },
  }
}

async function writeFiles(deploy: string, ports: LabPorts): Promise<void> {
  await mkdir(deploy)
  const files = (await readdir(DEPLOY)).filter((file) => file.endsWith('.yaml'))
  for (const file of files) {
    let text = await readFile(new URL(file, DEPLOY), 'utf8')
    for (const [name, port] of Object.entries(LAB_PORTS)) {
      text = text.replaceAll(new RegExp(`(?<=[: ])${port}\\b`, 'g'), String(ports[name as keyof LabPorts]))
    }
    await writeFile(join(deploy, file), withoutLimits(text), { mode: 0o600 })
  }
}

/** Tests bootstrap one card more often than any UE would. */
function withoutLimits(text: string): string {
  const config: Config = parse(text)
  if (config?.bsf === undefined) return text
  config.bsf.ub = { ...config.bsf.ub, limits: LAB_LIMITS }
  return stringify(config)
}

async function decisions(server: Running, event: AuditEvent, atLeast: number) {
  const giveUpAt = Date.now() + PATIENCE_MS
  for (;;) {
    const whole = server.stdout().split('\n').slice(0, -1)
    const found = whole.map((line): Record<string, unknown> => JSON.parse(line)).filter((each) => each.event === event)
    if (found.length >= atLeast) return found
    if (Date.now() > giveUpAt) throw new Error(`${found.length} of ${atLeast} ${event}:\n${whole.join('\n')}`)
    await delay(10)
  }
}
