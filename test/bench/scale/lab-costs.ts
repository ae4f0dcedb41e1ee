import { type ChildProcess, fork, spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { startApp } from '../../../src/app.ts'
import { toHex } from '../../../src/core/bytes.ts'
import { freePorts, LAB_NAF, LAB_ZN_CLIENT, labConfig, prepareLab } from '../../../src/lab.ts'
import { createLog } from '../../../src/observe/log.ts'
import { type Done, impiOf, impuOf, type Phase, type Site, type ToLoad } from './ue-load.ts'

/** CPU microseconds, each a median over rounds. */
export interface LabCosts {
  /** A whole run on Ub: two messages on a connection each, the vector from the stub of this process included. */
  readonly bootstrap: number
  /** The first request of a UE: handshake, 401, handshake or not, key from the BSF, answer. */
  readonly first: number
  /** A request that is let through, on a connection that stays. */
  readonly kept: number
  /** The same with a TCP connection and a TLS handshake of its own. */
  readonly fresh: number
  /** A 401 on a connection that stays. */
  readonly challenge: number
  /** A key given out over Zn by HTTPS: at the BSF, and at the AP that asks. */
  readonly znAtBsf: number
  readonly znAtAp: number
  /** CPU of the Redis server for some of them; nothing without one. */
  readonly atRedis: Partial<Readonly<Record<Phase, number>>>
}

export interface LabOptions {
  readonly store: (directory: string) => object
  /** Certificate of the AP. RSA with 2048 bits is that of the lab. */
  readonly certificate: 'rsa' | 'p256'
  readonly subscribers: number
  readonly rounds: number
  /** CPU microseconds that the Redis server has used so far. */
  readonly redisCpuUs?: () => Promise<number>
}

/** Starts AP and BSF in this process and lets UEs in another use them. */
export async function labCosts(options: LabOptions): Promise<LabCosts> {
  const { subscribers, rounds, redisCpuUs = async () => 0 } = options
  const directory = mkdtempSync(join(tmpdir(), 'gba-proxy-bench-'))
  const load = await startLoad()
  try {
    const [k, opc] = [toHex(randomBytes(16)), toHex(randomBytes(16))]
    writeFileSync(join(directory, 'subscribers.yaml'), subscribersYaml(subscribers, k, opc))
    await prepareLab(directory, { randomBytes, now: Date.now() })
    const certs = join(directory, 'certs')
    let caFile = join(certs, 'ca.pem')
    if (options.certificate === 'p256') caFile = selfSigned(certs)
    const config = labConfig(
      directory,
      { ...(await freePorts()), as: load.as },
      { as: null, store: options.store(directory), ap: { challenge: { qop: ['auth'] } } },
    )
    const app = await startApp(config, {
      log: createLog({ level: 'info', identities: 'hashed', destination: { write: () => {} } }),
    })
    try {
      const { ub, ap, zn } = app.addresses
      const site: Site = {
        ...{ ub: ub?.port ?? 0, ap: ap?.port ?? 0, zn: zn?.port ?? 0, k, opc, subscribers },
        ...{ caFile, znCaFile: join(certs, 'ca.pem') },
        znCertificateFile: join(certs, `zn-${LAB_ZN_CLIENT}.pem`),
        znKeyFile: join(certs, `zn-${LAB_ZN_CLIENT}.key`),
      }
      await load.tell({ site })
      const atRedis: Partial<Record<Phase, number>> = {}
      const cost = async (phase: Phase, count: number, times = rounds) => {
        const figures = []
        for (let round = 0; round < times; round++) {
          const cpuFrom = process.cpuUsage()
          const redisFrom = await redisCpuUs()
          const done = (await load.tell({ task: { phase, count } })) as Done
          const { user, system } = process.cpuUsage(cpuFrom)
          if (Object.keys(done.failures).length > 0) throw new Error(`${phase}: ${JSON.stringify(done.failures)}`)
          const redis = (await redisCpuUs()) - redisFrom
          figures.push({ here: (user + system) / count, there: done.cpuUs / count, redis: redis / count })
        }
        atRedis[phase] = median(figures.map(({ redis }) => redis))
        return { here: median(figures.map(({ here }) => here)), there: median(figures.map(({ there }) => there)) }
      }
      await cost('bootstrap', subscribers, 1) // the engine warms up
      const bootstrap = await cost('bootstrap', subscribers)
      const first = await cost('first', subscribers, 1)
      await cost('kept', 2 * subscribers, 1)
      const kept = await cost('kept', 2 * subscribers)
      await cost('fresh', subscribers, 1)
      const fresh = await cost('fresh', subscribers)
      const challenge = await cost('challenge', 2 * subscribers)
      await cost('zn', subscribers, 1)
      const remote = await cost('zn', subscribers)
      return {
        ...{ bootstrap: bootstrap.here, first: first.here, kept: kept.here, fresh: fresh.here },
        ...{ challenge: challenge.here, znAtBsf: remote.here, znAtAp: remote.there, atRedis },
      }
    } finally {
      load.end()
      await app.close()
    }
  } finally {
    load.end()
    rmSync(directory, { recursive: true, force: true })
  }
}

export function median(figures: readonly number[]): number {
  const sorted = [...figures].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2
}

function subscribersYaml(count: number, k: string, opc: string): string {
  const all = Array.from(
    { length: count },
    (_, n) =>
      `  - impi: ${impiOf(n)}\n    k: '${k}'\n    opc: '${opc}'\n    impus: ['${impuOf(n)}']\n    uss: [{ gsid: 2, type: 2 }]\n`,
  )
  return `subscribers:\n${all.join('')}`
}

/** A certificate for the AP with a key on P-256. @returns the file to trust */
function selfSigned(certs: string): string {
  const files = ['-keyout', join(certs, 'ap.key'), '-out', join(certs, 'ap.pem')]
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  const name = ['-subj', `/CN=${LAB_NAF}`, '-addext', `subjectAltName=DNS:${LAB_NAF}`]
  const made = spawnSync('openssl', ['req', '-x509', ...kind, ...name, ...files])
  if (made.status !== 0) throw new Error(String(made.stderr))
  copyFileSync(join(certs, 'ap.pem'), join(certs, 'ap-ca.pem'))
  return join(certs, 'ap-ca.pem')
}

interface Load {
  readonly as: number
  tell(message: ToLoad): Promise<unknown>
  end(): void
}

async function startLoad(): Promise<Load> {
  const child: ChildProcess = fork(new URL('./ue-load.ts', import.meta.url))
  const answer = () =>
    new Promise<unknown>((resolve, reject) => {
      const gone = () => reject(new Error('the load ended'))
      child.once('exit', gone)
      child.once('message', (message) => {
        child.off('exit', gone)
        resolve(message)
      })
    })
  const { as } = (await answer()) as { readonly as: number }
  return {
    as,
    tell(message) {
      const told = answer()
      child.send(message)
      return told
    },
    end: () => {
      if (child.connected) child.disconnect()
    },
  }
}
