import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type App, type AppParts, startApp } from '../../src/app.ts'
import { configOf } from '../../src/config/load.ts'
import { toHex } from '../../src/core/bytes.ts'
import { Secret } from '../../src/core/secret.ts'
import { LAB_LIMITS } from '../../src/lab.ts'
import type { AuditEvent, AuditRecord } from '../../src/observe/audit.ts'
import { createLog } from '../../src/observe/log.ts'
import type { HandCard } from './hand-ub.ts'
import type { RawTarget } from './raw-client.ts'

export interface TestBsf {
  readonly app: App
  readonly at: RawTarget
  readonly decisions: { readonly event: AuditEvent; readonly record: AuditRecord }[]
  /** Three subscribers; the second has a key lifetime of its own, 600 s. */
  readonly cards: readonly [HandCard, HandCard, HandCard]
  /** How many of an event there were. */
  count(event: AuditEvent): number
  logged(): string
  /** Ends this one, and starts another over the same directory. */
  restart(): Promise<TestBsf>
  close(): Promise<void>
}

export interface TestBsfOptions extends Pick<AppParts, 'now' | 'avSource'> {
  /** Without limits, unless it sets them. */
  readonly bsf?: { readonly ub?: object; readonly [key: string]: unknown }
  /** State in LMDB, in the directory that `restart` keeps; in memory otherwise. */
  readonly durable?: boolean
}

export const BSF_NAMES = ['bsf.mnc001.mcc001.pub.3gppnetwork.org', 'bsf.ims.mnc001.mcc001.pub.3gppnetwork.org'] as const

/** A BSF with its HSS stub and nothing else, on a free port. */
export async function testBsf(options: TestBsfOptions = {}): Promise<TestBsf> {
  const directory = await mkdtemp(join(tmpdir(), 'gba-proxy-test-'))
  const cards = [1, 2, 3].map((n) => ({
    impi: `00101000000000${n}@ims.mnc001.mcc001.3gppnetwork.org`,
    k: new Secret(randomBytes(16)),
    opc: new Secret(randomBytes(16)),
  })) as unknown as [HandCard, HandCard, HandCard]
  const subscribers = cards.map(
    ({ impi, k, opc }, i) =>
      `  - impi: ${impi}\n    k: '${toHex(k.expose())}'\n    opc: '${toHex(opc.expose())}'\n    sqn: '00000000${i}000'\n` +
      `    impus: ['sip:user${i}@example.com']\n${i === 1 ? '    keyLifetimeS: 600\n' : ''}`,
  )
  await writeFile(join(directory, 'subscribers.yaml'), `subscribers:\n${subscribers.join('')}`)
  return start(directory, cards, options)
}

async function start(directory: string, cards: TestBsf['cards'], options: TestBsfOptions): Promise<TestBsf> {
  const decisions: TestBsf['decisions'] = []
  const lines: string[] = []
  const destination = { write: (line: string) => void lines.push(line) }
  const app = await startApp(
    configOf(
      {
        store: options.durable ? { kind: 'lmdb', directory: join(directory, 'state') } : { kind: 'memory' },
        hss: { subscribersFile: join(directory, 'subscribers.yaml') },
        bsf: { names: BSF_NAMES, ...options.bsf, ub: { port: 0, limits: LAB_LIMITS, ...options.bsf?.ub } },
      },
      'a test',
    ),
    {
      log: createLog({ level: 'trace', identities: 'hashed', destination }),
      onDecision: (event, record) => decisions.push({ event, record }),
      ...(options.now && { now: options.now }),
      ...(options.avSource && { avSource: options.avSource }),
    },
  )
  return {
    app,
    at: { port: app.addresses.ub?.port ?? 0 },
    decisions,
    cards,
    count: (event) => app.audit.count(event),
    logged: () => lines.join(''),
    async restart() {
      await app.close()
      return start(directory, cards, options)
    },
    async close() {
      await app.close()
      await rm(directory, { recursive: true, force: true })
    },
  }
}
