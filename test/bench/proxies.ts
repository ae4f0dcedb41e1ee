import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { proveChecks } from './proxies/checks.ts'
import { LOADS, type Load, SATURATION } from './proxies/loads.ts'
import { plot } from './proxies/plot.ts'
import { figure, latencyTable, type Results, table } from './proxies/results.ts'
import { type Bench, DOCUMENTS, openBench, type Peer, type Server } from './proxies/servers.ts'
import { curlPattern, type Errand, open, pskPattern, runErrands } from './proxies/short.ts'
import { isPinned } from './proxies/started.ts'
import {
  type Account,
  type Bootstrapped,
  bootstrapped,
  bootstrapping,
  challengeIn,
  type Pieces,
  piecesOf,
  provisioned,
  requestOf,
} from './proxies/ues.ts'
import { type Measured, runWrk } from './proxies/wrk.ts'

// What a request costs the proxy, and what it costs those that could stand in its place:
// npm run bench [-- --quick] [-- --only NAME] [--rounds N] [--peers a,b] [--out DIRECTORY] [--profile DIRECTORY]
//   [--against ROOT]: another working copy takes part, to tell what a change is worth; of that, pairs alone tell something
// Each server is a process (or one and its child) on a core of its own; load, application server and this process share
// another. In each round every load meets every server, and who comes first rotates.

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true, default: [] },
    rounds: { type: 'string' },
    peers: { type: 'string', default: 'gba-proxy,apache,nginx,static' },
    out: { type: 'string' },
    profile: { type: 'string' },
    against: { type: 'string' },
  },
})
const ROUNDS = Number(values.rounds ?? (values.quick ? 3 : 11))
/** Of a run of wrk, of which the first part does not count. */
const RUN_S = values.quick ? 1 : 2
const WARM_UP_S = 0.35
/** wrk stops at whole seconds: before that the last answers have to be there. */
const MEASURED_S = RUN_S - WARM_UP_S - 0.25
/** V8 compiles what it has seen often, in steps: below some ten thousand requests it still does. */
const HOT_REQUESTS = values.quick ? 5_000 : 30_000
const WARM_UP_PATIENCE_MS = values.quick ? 15_000 : 240_000
const wanted = ['gba-proxy', ...values.peers.split(','), ...(values.against === undefined ? [] : ['before'])]
const PEERS = (['gba-proxy', 'before', 'apache', 'nginx', 'static'] as const).filter((peer) => wanted.includes(peer))
const chosen = LOADS.filter(({ name }) => values.only.length === 0 || values.only.some((part) => name.includes(part)))
const PUT_BODY = '<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists"/>'.padEnd(DOCUMENTS.small)

/** A server with who comes to it. */
interface Site {
  readonly server: Server
  readonly ca: Buffer
  readonly accounts: readonly Account[] | undefined
  /** By method and document. */
  readonly pieces: (method: 'GET' | 'PUT', document: keyof typeof DOCUMENTS) => Pieces[]
  readonly counts: number[]
}

interface Product extends Site {
  readonly ub: number
  readonly holders: readonly Bootstrapped[]
}

const directory = mkdtempSync(join(tmpdir(), 'gba-proxy-bench-'))
const bench = await openBench(directory)
process.once('SIGINT', () => process.exit(130))
process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
try {
  await main(bench)
} finally {
  await bench.close()
}

async function main(bench: Bench): Promise<void> {
  const product = await productSite(bench, 'gba-proxy', 'p256')
  const products = new Map<Peer, Product>([['gba-proxy', product]])
  if (PEERS.includes('before')) products.set('before', await productSite(bench, 'before', 'p256'))
  const sites = new Map<Peer, Site>(products)
  for (const peer of PEERS) if (!isOurs(peer)) sites.set(peer, await peerSite(bench, peer, 'p256'))
  const rsa = new Map<Peer, Site>()
  if (chosen.some((load) => load.kind === 'curl' && load.keyType === 'rsa')) {
    for (const peer of PEERS) {
      if (isOurs(peer)) rsa.set(peer, await productSite(bench, peer, 'rsa'))
      else if (peer !== 'static') rsa.set(peer, await peerSite(bench, peer, 'rsa'))
    }
  }
  const caption = `${new Date().toISOString().slice(0, 10)}, ${machine()}`
  console.log(`${caption}\n${ROUNDS} rounds; ${isPinned ? 'server on core 0, all else on core 1' : 'not pinned'}\n`)

  // Code gets hot, pools fill, and the checks show that they are on.
  await warmUp(sites.values())
  const underLoad = kept(product, 'GET', 'small', 64)
  const proven = await proveChecks(product.server.port, product.ca, product.accounts ?? [])
  await underLoad
  console.log(`${proven} checks proven on the process under load\n`)

  const results: Results = {}
  const saturated = new Map<Peer, Measured[]>()
  const errands = new Map<string, Errand>()
  for (let round = 0; round < ROUNDS; round++) {
    for (const load of chosen) {
      const peers = load.peers.filter((peer) => PEERS.includes(peer))
      for (const i of peers.keys()) {
        const peer = peers[(i + round) % peers.length]
        if (!peer) continue
        const measured = await measure(load, peer)
        const byPeer = results[load.name] ?? {}
        results[load.name] = { ...byPeer, [peer]: [...(byPeer[peer] ?? []), measured] }
      }
    }
    process.stderr.write(`round ${round + 1} of ${ROUNDS}\r`)
  }
  report(results, caption)

  function ours(peer: Peer): Product {
    const site = products.get(peer)
    if (!site) throw new TypeError(`${peer} is not ours`)
    return site
  }

  async function warmUp(all: Iterable<Site>): Promise<void> {
    for (const site of all) {
      const isCompiled = isOurs(site.server.peer)
      let requests = 0
      for (const until = Date.now() + WARM_UP_PATIENCE_MS; requests < (isCompiled ? HOT_REQUESTS : 1); ) {
        requests += (await kept(site, 'GET', 'small', 64)).requests
        if (Date.now() > until) break
      }
      if (isCompiled) console.log(`${site.server.peer}: warmed up by ${requests} requests`)
    }
  }

  async function measure(load: Load, peer: Peer): Promise<Measured> {
    const site = (load.kind === 'curl' && load.keyType === 'rsa' ? rsa : sites).get(peer)
    if (!site) throw new TypeError(`no ${peer}`)
    switch (load.kind) {
      case 'kept':
        return kept(site, load.method, load.document, load.connections)
      case 'half': {
        const full = results[SATURATION]?.[peer] ?? saturated.get(peer) ?? [await kept(site, 'GET', 'small', 64)]
        saturated.set(peer, full)
        const { median: perS } = figure(full, 'perS')
        // Each connection pauses for a random time: the mean makes the rate, about a millisecond is the answer's own.
        const delayMs = Math.max(1, Math.round((load.connections / (perS / 2)) * 1000 - 1))
        return kept(site, 'GET', 'small', load.connections, delayMs)
      }
      case 'curl': {
        const { server, ca, accounts } = site
        const { port } = server
        const { resumed } = load
        return short(load, site, () => curlPattern({ port, ca, ...(accounts && { accounts }), resumed }))
      }
      case 'psk':
        return short(load, site, () =>
          pskPattern(ours(peer).server.port, ours(peer).ca, ours(peer).holders, load.version),
        )
      case 'bootstrap':
        return short(load, site, () => {
          const ues = bootstrapping({ ub: ours(peer).ub, ap: site.server.port }, site.ca)
          return async (n) => void (await ues[n % ues.length]?.bootstrap())
        })
    }
  }

  /** Its first time warms it up: sessions to resume, keys that are asked for once. */
  async function short(load: Load, { server }: Site, made: () => Errand): Promise<Measured> {
    const key = `${load.name} ${server.peer}`
    const known = errands.get(key)
    if (known) return runErrands(server, MEASURED_S, known)
    const errand = made()
    errands.set(key, errand)
    await runErrands(server, MEASURED_S, errand)
    return runErrands(server, MEASURED_S, errand)
  }
}

function kept(site: Site, method: 'GET' | 'PUT', document: keyof typeof DOCUMENTS, connections: number, delayMs = 0) {
  const { server, counts } = site
  return runWrk(directory, server, {
    connections,
    seconds: MEASURED_S,
    warmUpS: WARM_UP_S,
    delayMs,
    pieces: site.pieces(method, document),
    counts,
    document: method === 'GET' ? document : undefined,
  })
}

type Ours = 'gba-proxy' | 'before'
function isOurs(peer: Peer): peer is Ours {
  return peer === 'gba-proxy' || peer === 'before'
}

async function productSite(bench: Bench, peer: Ours, keyType: 'p256' | 'rsa'): Promise<Product> {
  const profile = values.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${resolve(values.profile)}`]
  const root = peer === 'before' ? resolve(values.against ?? '.') : undefined
  const server = await bench.product(keyType, { node: profile, root })
  const ca = bench.ca(keyType)
  const holders = await bootstrapped({ ub: server.ub, ap: server.port }, ca)
  return { ub: server.ub, holders, ...(await siteOf(server, ca, holders)) }
}

async function peerSite(bench: Bench, peer: Exclude<Peer, Ours>, keyType: 'p256' | 'rsa'): Promise<Site> {
  const ca = bench.ca(keyType)
  if (peer !== 'apache') return siteOf(await bench.nginx(keyType, peer === 'static'), ca, undefined)
  const accounts = provisioned()
  return siteOf(await bench.apache(keyType, accounts), ca, accounts)
}

/** Each account gets a nonce of its own. */
async function siteOf(server: Server, ca: Buffer, accounts: readonly Account[] | undefined): Promise<Site> {
  const everybody = accounts ?? provisioned()
  const challenges: (ReturnType<typeof challengeIn> | undefined)[] = []
  const { ask, close } = await open({ port: server.port, ca })
  for (const account of everybody) {
    const request = requestOf(piecesOf('GET', 'small', account, undefined), 0)
    challenges.push(accounts ? challengeIn(await ask(request, 401)) : undefined)
  }
  close()
  return {
    server,
    ca,
    accounts,
    counts: everybody.map(() => 0),
    pieces: (method, document) =>
      everybody.map((account, i) =>
        piecesOf(method, document, account, challenges[i], method === 'PUT' ? { body: PUT_BODY } : {}),
      ),
  }
}

function report(results: Results, caption: string): void {
  const text = `${table(results, PEERS)}\n\n${latencyTable(results, PEERS)}\n`
  console.log(text)
  const out = values.out ?? (values.quick ? undefined : mkdtempSync(join(tmpdir(), 'gba-proxy-bench-results-')))
  if (out === undefined) return
  mkdirSync(out, { recursive: true })
  writeFileSync(join(out, 'proxies.md'), `${caption}; ${ROUNDS} rounds\n\n${text}`)
  writeFileSync(join(out, 'proxies.json'), `${JSON.stringify({ caption, rounds: ROUNDS, results }, null, 1)}\n`)
  writeFileSync(
    join(out, 'proxies.svg'),
    plot(results, PEERS, `${caption}; medians of ${ROUNDS} rounds, lines: their range`),
  )
  console.log(`written to ${out}`)
}

function machine(): string {
  const version = (program: string) => {
    const said = execFileSync(program, ['-v'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
    return /\d+\.\d+\.\d+/.exec(said)?.[0] ?? ''
  }
  const [first] = cpus()
  return `${first?.model ?? 'unknown CPU'}, Node.js ${process.versions.node}, Apache ${version('apache2')}`
}
