import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { connect, type TLSSocket } from 'node:tls'
import { fromHex } from '../../../src/core/bytes.ts'
import { type Impi, type Impu, parseBtid } from '../../../src/core/identity.ts'
import { UA_HTTP_DIGEST } from '../../../src/core/naf-id.ts'
import { Secret } from '../../../src/core/secret.ts'
import { LAB_BSF, LAB_DOMAIN, LAB_NAF } from '../../../src/lab.ts'
import { createUe, type Ue } from '../../../src/ue/flow.ts'
import { standardProfile } from '../../../src/ue/profile.ts'
import type { Sim } from '../../../src/ue/sim.ts'
import { freshState, memoryState } from '../../../src/ue/state.ts'
import { parseUeUrl } from '../../../src/ue/url.ts'
import { httpKeySource } from '../../../src/zn/http.ts'

// The UEs, the application server and the remote AP of a measurement: a process of their own, so that the CPU time of
// the other one is that of the proxy alone.

export interface Site {
  readonly ub: number
  readonly ap: number
  readonly zn: number
  readonly caFile: string
  readonly znCertificateFile: string
  readonly znKeyFile: string
  readonly znCaFile: string
  readonly k: string
  readonly opc: string
  readonly subscribers: number
}

export type Phase = 'bootstrap' | 'first' | 'kept' | 'fresh' | 'challenge' | 'zn'
export interface Task {
  readonly phase: Phase
  readonly count: number
}
export interface Done {
  readonly count: number
  readonly wallMs: number
  /** Of this process. */
  readonly cpuUs: number
  /** What went wrong, by its name: nothing is measured of a request that failed. */
  readonly failures: Readonly<Record<string, number>>
}
export type ToLoad = { readonly site: Site } | { readonly task: Task }

export const impiOf = (n: number): Impi => `00101${String(n).padStart(10, '0')}@${LAB_DOMAIN}` as Impi
export const impuOf = (n: number): Impu => `sip:user${n}@${LAB_DOMAIN}` as Impu
const AT_ONCE = 8
const DOCUMENT = `<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists">${'<!-- as much as a list has -->'.repeat(20)}</resource-lists>`

interface Played {
  readonly url: string
  readonly kept: Ue
  readonly fresh: Ue
  btid?: string
}

if (process.send) {
  const tell = (message: unknown) => process.send?.(message)
  let played: { readonly ues: readonly Played[]; readonly site: Site } | undefined
  process.on('message', (message: ToLoad) => {
    if ('site' in message) {
      played = { ues: uesOf(message.site), site: message.site }
      tell('ready')
      return
    }
    if (!played) throw new Error('no site')
    run(played.ues, played.site, message.task).then(tell, (error: unknown) => {
      console.error(error)
      process.exit(1)
    })
  })
  process.on('disconnect', () => process.exit())
  const as = createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'application/resource-lists+xml', etag: '"1"' }).end(DOCUMENT)
  })
  as.keepAliveTimeout = 60_000
  as.listen(0, '127.0.0.1', () => tell({ as: (as.address() as AddressInfo).port }))
}

function uesOf(site: Site): Played[] {
  const ca = readFileSync(site.caFile)
  return Array.from({ length: site.subscribers }, (_, n): Played => {
    const sim: Sim = {
      impi: impiOf(n),
      impus: [impuOf(n)],
      k: new Secret(fromHex(site.k)),
      opc: new Secret(fromHex(site.opc)),
      sqn: new Uint8Array(6),
      ind: [],
      bsf: parseUeUrl(`http://${LAB_BSF}/`),
      connect: [
        { host: LAB_BSF, toHost: '127.0.0.1', toPort: site.ub },
        { host: LAB_NAF, toHost: '127.0.0.1', toPort: site.ap },
      ],
    }
    const state = memoryState(freshState(sim))
    const url = `https://${LAB_NAF}/resource-lists/users/${impuOf(n)}/index`
    const oneEach = { ...standardProfile, connections: 'one-per-request' } as const
    return { url, kept: createUe(sim, { ca, state }), fresh: createUe(sim, { ca, state, profile: oneEach }) }
  })
}

async function run(ues: readonly Played[], site: Site, { phase, count }: Task): Promise<Done> {
  const failures: Record<string, number> = {}
  const ue = (n: number): Played => {
    const found = ues[n % ues.length]
    if (!found) throw new Error('no UE')
    return found
  }
  const status = async (asked: Promise<{ readonly status: number }>) => {
    const { status: code } = await asked
    if (code !== 200) failures[code] = (failures[code] ?? 0) + 1
  }
  const plain = phase === 'challenge' ? await challenger(site) : undefined
  const remote = phase === 'zn' ? remoteAp(site) : undefined
  const does: Readonly<Record<Phase, (n: number) => Promise<unknown>>> = {
    bootstrap: async (n) => {
      const played = ue(n)
      played.btid = (await played.fresh.bootstrap()).btid
    },
    first: (n) => status(ue(n).kept.request('GET', ue(n).url)),
    kept: (n) => status(ue(n).kept.request('GET', ue(n).url)),
    fresh: (n) => status(ue(n).fresh.request('GET', ue(n).url)),
    challenge: () => plain?.ask() ?? Promise.resolve(),
    zn: (n) => remote?.fetch(ue(n).btid ?? '') ?? Promise.resolve(),
  }
  const from = performance.now()
  const cpuFrom = process.cpuUsage()
  let next = 0
  const caller = async () => {
    while (next < count) {
      await does[phase](next++).catch((error: unknown) => {
        const name = error instanceof Error ? error.message : String(error)
        failures[name] = (failures[name] ?? 0) + 1
      })
    }
  }
  // One UE is never in two places at once.
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, ues.length) }, caller))
  const { user, system } = process.cpuUsage(cpuFrom)
  plain?.close()
  await remote?.close()
  return { count, wallMs: performance.now() - from, cpuUs: user + system, failures }
}

/** Requests without credentials, one after the other on a few connections that stay. */
async function challenger(site: Site) {
  const sockets = await Promise.all(Array.from({ length: AT_ONCE }, () => openTls(site)))
  const request = `GET /resource-lists/users/${impuOf(0)}/index HTTP/1.1\r\nHost: ${LAB_NAF}\r\nUser-Agent: load 3gpp-gba\r\n\r\n`
  return {
    async ask(): Promise<void> {
      const socket = sockets.pop()
      if (!socket) throw new Error('no connection left')
      socket.write(request)
      const answer = String(await new Promise<Buffer>((resolve) => socket.once('data', resolve)))
      sockets.push(socket)
      if (!answer.startsWith('HTTP/1.1 401')) throw new Error(answer.slice(0, 30))
    },
    close: () => {
      for (const socket of sockets) socket.destroy()
    },
  }
}

function openTls({ ap, caFile }: Site): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', port: ap, servername: LAB_NAF, ca: readFileSync(caFile) }, () =>
      resolve(socket),
    )
    socket.on('error', reject)
  })
}

/** Zn as an AP on another host speaks it. */
function remoteAp({ zn, znCaFile, znCertificateFile, znKeyFile }: Site) {
  const source = httpKeySource({
    apiRoot: `https://localhost:${zn}`,
    tls: { ca: readFileSync(znCaFile), cert: readFileSync(znCertificateFile), key: readFileSync(znKeyFile) },
    timeoutMs: 5_000,
    assumedLifetimeS: 3600,
    now: Date.now,
  })
  return {
    async fetch(text: string) {
      const btid = parseBtid(text)
      if (!btid) throw new Error('no B-TID')
      return source.fetch({ btid, nafFqdn: LAB_NAF, uaProtocolId: UA_HTTP_DIGEST, gsids: [], gbaUAware: false })
    },
    close: async () => source.close?.(),
  }
}
