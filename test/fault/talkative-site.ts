import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deriveOpc } from '../../src/core/milenage.ts'
import { Secret } from '../../src/core/secret.ts'
import { freePorts, LAB_NAF } from '../../src/lab.ts'
import { type Collector, collector } from '../support/collector.ts'
import { type Deployment, deployment, type Server } from '../support/deployment.ts'
import { type FaultProxy, faultProxy } from '../support/fault-proxy.ts'
import { type Dumps, dumpFlags, dumpsOf } from '../support/process-dumps.ts'
import { type ScriptedAs, scriptedAs } from '../support/scripted-as.ts'
import { type Card, gatherSecrets } from './subscriber-secrets.ts'

export const DOMAIN = 'ims.mnc001.mcc001.3gppnetwork.org'
export const BSF = 'bsf.mnc001.mcc001.pub.3gppnetwork.org'
export const own = (name: string) => `/resource-lists/users/sip:${name}@${DOMAIN}/index`

export interface TalkativeSite {
  readonly site: Deployment
  readonly bsf: Server
  readonly ap: Server
  readonly as: ScriptedAs
  /** In deploy/: what the processes were started with. */
  readonly files: { readonly bsf: string; readonly ap: string }
  readonly cards: readonly [Card, Card]
  readonly secrets: ReturnType<typeof gatherSecrets>
  readonly ca: Buffer
  /** Between AP and BSF. */
  readonly zn: FaultProxy
  /** Where operators look, at each process. */
  readonly admin: readonly [bsf: number, ap: number]
  /** What operators were told, by commands and in answers. */
  readonly said: string[]
  /** It gets a span for each thing that is done. */
  readonly collector: Collector
  /** Looked for as keys are, and everywhere to be found: in names that the configuration gives. */
  readonly marker: Secret
  /** What the runtime tells of a process. */
  dumps(role: 'bsf' | 'ap'): Promise<Dumps>
  close(): Promise<void>
}

export interface TalkativeOptions {
  /** Of each role, by its name. */
  readonly store: (role: string) => object
  readonly identities: 'hashed' | 'clear'
}

/** BSF and AP from deploy/, talkative, with subscribers whose keys nobody else has. */
export async function talkativeSite(options: TalkativeOptions): Promise<TalkativeSite> {
  const site = await deployment()
  const said: string[] = []
  const cli = async (...args: string[]) => {
    const { status, stdout, stderr } = await site.cli(...args)
    said.push(stdout, stderr)
    assert.equal(status, 0, stderr)
  }
  await cli('certs', 'make', '--dir', 'certs', '--naf', LAB_NAF, '--zn-client', 'ap')
  await cli('keys', '--dir', 'keys')
  await mkdir(join(site.directory, 'logs'))
  const dumpDirectory = await mkdtemp(join(tmpdir(), 'gba-proxy-dumps-'))
  const spans = await collector()
  const marker = new Secret(randomBytes(16))
  const op = new Secret(randomBytes(16))
  const cards = ['alice', 'bob'].map((name, i) => {
    const k = new Secret(randomBytes(16))
    const opc = i === 0 ? new Secret(randomBytes(16)) : deriveOpc(k, op)
    return { name, impi: `00101012345678${i}@${DOMAIN}`, k, opc }
  }) as unknown as [Card, Card]
  const hex = (secret: Secret) => Buffer.from(secret.expose()).toString('hex')
  const yaml = cards.map(({ name, impi, k, opc }, i) => {
    const algorithm = i === 0 ? `opc: '${hex(opc)}'` : `op: '${hex(op)}'`
    const uss = '[{ gsid: 3, flags: [1] }, { gsid: 2 }]'
    return `  - impi: ${impi}\n    k: '${hex(k)}'\n    ${algorithm}\n    impus: ['sip:${name}@${DOMAIN}']\n    uss: ${uss}\n`
  })
  await writeFile(join(site.directory, 'deploy', 'subscribers.example.yaml'), `subscribers:\n${yaml.join('')}`)

  const as = await scriptedAs((socket, { head }) => {
    if (head.includes('/broken')) socket.resetAndDestroy()
    else if (head.startsWith('GET') && head.includes('/asks'))
      socket.write('HTTP/1.1 401 Who\r\nContent-Length: 0\r\n\r\n')
    else socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 32\r\n\r\n${hex(marker)}`)
  })
  const zn = await faultProxy(site.ports.zn)
  const { ub: adminOfBsf, ap: adminOfAp } = await freePorts()
  const log = (role: string) => ({ level: 'trace', identities: options.identities, auditFile: `../logs/${role}.audit` })
  const named = `marked-${hex(marker)}`
  const traces = { enabled: true, endpoint: spans.endpoint, sampleRatio: 1, toAppServers: true, serviceName: named }
  const files = { bsf: `bsf-${named}.yaml`, ap: `ap-${named}.yaml` }
  await site.vary('bsf.yaml', files.bsf, (config) => {
    config.traces = traces
    config.bsf.zn.nafs[0].name = named
    config.log = log('bsf')
    config.store = options.store('bsf')
    config.admin = { port: adminOfBsf }
  })
  await site.vary('ap.yaml', files.ap, (config) => {
    config.traces = traces
    config.ap.appServers[0].name = named
    config.ap.routes[0].appServer = named
    config.log = log('ap')
    config.store = options.store('ap')
    config.admin = { port: adminOfAp }
    config.ap.challenge = { qop: ['auth', 'auth-int'] }
    config.ap.zn = { ...config.ap.zn, url: `https://localhost:${zn.port}`, timeoutMs: 300, unknownBtidCacheS: 0 }
    config.ap.appServers[0].url = as.url
    config.ap.routes[0].doors = ['psk', 'digest']
  })
  for (const file of Object.values(files)) await cli('check', '--config', join('deploy', file))
  const flags = dumpFlags(dumpDirectory)
  const [bsf, ap] = await Promise.all([site.serve(files.bsf, flags), site.serve(files.ap, flags)])
  const ca = await readFile(join(site.directory, 'certs', 'ca.pem'))
  return {
    site,
    bsf,
    ap,
    as,
    files,
    zn,
    cards,
    ca,
    admin: [adminOfBsf, adminOfAp],
    said,
    collector: spans,
    marker,
    dumps: (role) => dumpsOf({ bsf, ap }[role].pid, dumpDirectory),
    secrets: gatherSecrets(cards, op),
    async close() {
      await site.close()
      await zn.close()
      await as.close()
      await spans.close()
      await rm(dumpDirectory, { recursive: true, force: true })
    },
  }
}
