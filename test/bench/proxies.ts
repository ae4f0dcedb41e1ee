import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { proveChecks } from './proxies/checks.ts'
import { LOADS, type Load, SATURATION } from './proxies/loads.ts'
import { captionNow } from './proxies/machine.ts'
import { plotOf } from './proxies/numbers.ts'
import { figure, jsonOf, latencyTable, type Results, table } from './proxies/results.ts'
import { openBench, PEERS_IN_ORDER, type Peer } from './proxies/servers.ts'
import { curlPattern, type Errand, pskPattern, runErrands } from './proxies/short.ts'
import {
  isOurs,
  type Kept,
  kept,
  type Ours,
  type Product,
  paceOf,
  peerSite,
  productSite,
  type Site,
  warmUp,
} from './proxies/sites.ts'
import { isPinned } from './proxies/started.ts'
import { bootstrapping } from './proxies/ues.ts'
import { verdictTable } from './proxies/verdicts.ts'
import type { Measured } from './proxies/wrk.ts'

// What a request costs the proxy, and what it costs those that could stand in its place:
// npm run bench -- --out test/bench/results; npm run readme: this is what README tells
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
const pace = paceOf(values.quick)
const wanted = ['gba-proxy', ...values.peers.split(','), ...(values.against === undefined ? [] : ['before'])]
const PEERS = PEERS_IN_ORDER.filter((peer) => wanted.includes(peer))
const SMALL_64 = { method: 'GET', document: 'small', connections: 64 } as const
const chosen = LOADS.filter(({ name }) => values.only.length === 0 || values.only.some((part) => name.includes(part)))

const directory = mkdtempSync(join(tmpdir(), 'gba-proxy-bench-'))
const bench = await openBench(directory)
process.once('SIGINT', () => process.exit(130))
process.once('exit', () => rmSync(directory, { recursive: true, force: true }))
try {
  await main()
} finally {
  await bench.close()
}

async function main(): Promise<void> {
  const product = await oursSite('gba-proxy', 'p256')
  const products = new Map<Peer, Product>([['gba-proxy', product]])
  if (PEERS.includes('before')) products.set('before', await oursSite('before', 'p256'))
  const sites = new Map<Peer, Site>(products)
  for (const peer of PEERS) if (!isOurs(peer)) sites.set(peer, await peerSite(bench, peer, 'p256'))
  const rsa = new Map<Peer, Site>()
  if (chosen.some((load) => load.kind === 'curl' && load.keyType === 'rsa')) {
    for (const peer of PEERS) {
      if (isOurs(peer)) rsa.set(peer, await oursSite(peer, 'rsa'))
      else if (peer !== 'static') rsa.set(peer, await peerSite(bench, peer, 'rsa'))
    }
  }
  const caption = captionNow()
  console.log(`${caption}\n${ROUNDS} rounds; ${isPinned ? 'server on core 0, all else on core 1' : 'not pinned'}\n`)

  // Code gets hot, pools fill, and the checks show that they are on.
  for (const site of sites.values()) {
    const requests = await warmUp(directory, site, pace)
    if (isOurs(site.server.peer)) console.log(`${site.server.peer}: warmed up by ${requests} requests`)
  }
  const underLoad = run(product, SMALL_64)
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

  async function measure(load: Load, peer: Peer): Promise<Measured> {
    const site = (load.kind === 'curl' && load.keyType === 'rsa' ? rsa : sites).get(peer)
    if (!site) throw new TypeError(`no ${peer}`)
    switch (load.kind) {
      case 'kept':
        return run(site, load)
      case 'half': {
        const full = results[SATURATION]?.[peer] ?? saturated.get(peer) ?? [await run(site, SMALL_64)]
        saturated.set(peer, full)
        const { median: perS } = figure(full, 'perS')
        // Each connection pauses for a random time: the mean makes the rate, about a millisecond is the answer's own.
        const delayMs = Math.max(1, Math.round((load.connections / (perS / 2)) * 1000 - 1))
        return run(site, { ...SMALL_64, connections: load.connections, delayMs })
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

  /** Its first time warms it up: code, sessions to resume, keys that are asked for once. */
  async function short(load: Load, { server }: Site, made: () => Errand): Promise<Measured> {
    const key = `${load.name} ${server.peer}`
    const known = errands.get(key)
    if (known) return runErrands(server, pace.measuredS, known)
    const errand = made()
    errands.set(key, errand)
    const until = Date.now() + pace.patienceMs
    for (let done = 0; done < pace.hotErrands && Date.now() < until; ) {
      done += (await runErrands(server, pace.measuredS, errand)).requests
    }
    return runErrands(server, pace.measuredS, errand)
  }
}

function run(site: Site, what: Kept): Promise<Measured> {
  return kept(directory, site, what, pace)
}

function oursSite(peer: Ours, keyType: 'p256' | 'rsa'): Promise<Product> {
  const profile = values.profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${resolve(values.profile)}`]
  return productSite(bench, keyType, { node: profile, root: peer === 'before' ? (values.against ?? '.') : undefined })
}

function report(results: Results, caption: string): void {
  const text = `${table(results, PEERS)}\n\n${latencyTable(results, PEERS)}\n\n${verdictTable(results)}\n`
  console.log(text)
  const out = values.out ?? (values.quick ? undefined : mkdtempSync(join(tmpdir(), 'gba-proxy-bench-results-')))
  if (out === undefined) return
  mkdirSync(out, { recursive: true })
  writeFileSync(join(out, 'proxies.md'), `${caption}; ${ROUNDS} rounds\n\n${text}`)
  const kept = { caption, rounds: ROUNDS, results }
  writeFileSync(join(out, 'proxies.json'), jsonOf(kept))
  writeFileSync(join(out, 'proxies.svg'), plotOf(kept))
  console.log(`written to ${out}`)
}
