import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type App, type AppParts, startApp } from '../../src/app.ts'
import { configOf } from '../../src/config/load.ts'
import type { EpochMs } from '../../src/core/bytes.ts'
import {
  freePorts,
  LAB_BSF,
  LAB_LIMITS,
  LAB_NAF,
  LAB_SECOND_NAF,
  LAB_ZN_CLIENT,
  type LabSubscriber,
  prepareLab,
  writeSims,
} from '../../src/lab.ts'
import type { AuditEvent, AuditRecord } from '../../src/observe/audit.ts'
import { createLog } from '../../src/observe/log.ts'
import { createUe, type Ue, type UeOptions } from '../../src/ue/flow.ts'
import { loadSim } from '../../src/ue/sim.ts'
import type { TestLab } from './lab.ts'
import { type ScriptedAs, scriptedAs } from './scripted-as.ts'

/** One role's process, with what it decided. */
export interface Side {
  readonly app: App
  readonly decisions: { readonly event: AuditEvent; readonly record: AuditRecord }[]
  readonly logged: () => string
}

/** An AP without a BSF, and what a hand-made UE needs to reach it. */
export type ApSide = Side & Pick<TestLab, 'ca' | 'ue'>

/** BSF and AP as in two processes: each with a state of its own in memory, Zn over mutual TLS between them. */
export interface Apart {
  readonly directory: string
  readonly bsf: Side
  readonly as: ScriptedAs
  /**
   * Starts an AP; each finds the nonce key of those before it and nothing else of theirs.
   * @param store  in the place of memory
   */
  startAp(ap?: object, store?: object): Promise<ApSide>
  close(): Promise<void>
}

export interface ApartOptions {
  readonly now?: () => EpochMs
  readonly bsf?: object
  /** The entry of the AP at the BSF. */
  readonly naf?: object
}

export async function labApart(options: ApartOptions = {}): Promise<Apart> {
  const directory = await mkdtemp(join(tmpdir(), 'gba-proxy-test-'))
  await prepareLab(directory, { randomBytes, now: Date.now() })
  const ports = await freePorts()
  const certs = join(directory, 'certs')
  const ca = await readFile(join(certs, 'ca.pem'))
  const host = '127.0.0.1'
  const as = await scriptedAs((socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nrecorded'))
  const apps: App[] = []
  const ues: Ue[] = []

  async function side(config: object): Promise<Side> {
    const decisions: Side['decisions'] = []
    const lines: string[] = []
    const destination = { write: (line: string) => void lines.push(line) }
    const parts: AppParts = {
      log: createLog({ level: 'trace', identities: 'hashed', destination }),
      onDecision: (event, record) => decisions.push({ event, record }),
      ...(options.now && { now: options.now }),
    }
    const app = await startApp(configOf({ store: { kind: 'memory' }, ...config }, 'a test'), parts)
    apps.push(app)
    return { app, decisions, logged: () => lines.join('') }
  }

  const naf = { name: 'ap', certificate: { san: LAB_ZN_CLIENT }, fqdns: [LAB_NAF, LAB_SECOND_NAF], gsids: [2, 3] }
  const bsf = await side({
    hss: { subscribersFile: join(directory, 'subscribers.yaml') },
    bsf: {
      names: [LAB_BSF],
      ub: { host, port: ports.ub, limits: LAB_LIMITS },
      zn: {
        host,
        port: ports.zn,
        tls: {
          certificateFile: join(certs, 'bsf.pem'),
          keyFile: join(certs, 'bsf.key'),
          clientCaFile: join(certs, 'ca.pem'),
        },
        nafs: [{ ...naf, ...options.naf }],
      },
      ...options.bsf,
    },
  })
  writeSims(directory, { ub: ports.ub, ap: ports.ap })

  return {
    directory,
    bsf,
    as,
    async startAp(ap: { readonly challenge?: object; readonly zn?: object; readonly limits?: object } = {}, store) {
      const started = await side({
        ...(store && { store }),
        ap: {
          host,
          port: ports.ap,
          tls: { certificateFile: join(certs, 'ap.pem'), keyFile: join(certs, 'ap.key') },
          nafs: [{ fqdn: LAB_NAF }, { fqdn: LAB_SECOND_NAF }],
          appServers: [{ name: 'scripted', url: as.url }],
          routes: [{ appServer: 'scripted' }],
          ...ap,
          zn: {
            adapter: 'http',
            url: `https://localhost:${ports.zn}`,
            caFile: join(certs, 'ca.pem'),
            certificateFile: join(certs, `zn-${LAB_ZN_CLIENT}.pem`),
            keyFile: join(certs, `zn-${LAB_ZN_CLIENT}.key`),
            ...ap.zn,
          },
          challenge: { qop: ['auth', 'auth-int'], nonceKeyFile: join(directory, 'nonce.key'), ...ap.challenge },
        },
      })
      const ue = async (name: LabSubscriber = 'alice', ueOptions: UeOptions = {}) => {
        const sim = await loadSim(join(directory, 'sims', `${name}.yaml`))
        const made = createUe(sim, { ca, ...(options.now && { now: options.now }), ...ueOptions })
        ues.push(made)
        return made
      }
      return { ...started, ca, ue }
    },
    async close() {
      for (const ue of ues) ue.close()
      await Promise.all(apps.map((app) => app.close().catch(() => {})))
      await as.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
