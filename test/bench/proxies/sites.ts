import { resolve } from 'node:path'
import type { Bench, Peer, ProductOptions, Server } from './servers.ts'
import { DOCUMENTS, type Document } from './servers.ts'
import { open } from './short.ts'
import {
  type Account,
  type Bootstrapped,
  bootstrapped,
  challengeIn,
  type Pieces,
  piecesOf,
  provisioned,
  requestOf,
} from './ues.ts'
import { type Measured, runWrk } from './wrk.ts'

/** How long each run lasts. */
export interface Pace {
  /** Of a run of wrk, of which the first part does not count. */
  readonly warmUpS: number
  /** wrk stops at whole seconds: before that the last answers have to be there. */
  readonly measuredS: number
  /** V8 compiles what it has seen often, in steps: below some ten thousand requests it still does. */
  readonly hotRequests: number
  /** The same of connections and bootstraps. */
  readonly hotErrands: number
  readonly patienceMs: number
}

const WARM_UP_S = 0.35
export const paceOf = (isQuick: boolean): Pace => ({
  warmUpS: WARM_UP_S,
  measuredS: (isQuick ? 1 : 2) - WARM_UP_S - 0.25,
  hotRequests: isQuick ? 5_000 : 30_000,
  hotErrands: isQuick ? 500 : 4_000,
  patienceMs: isQuick ? 15_000 : 240_000,
})

export type KeyType = 'p256' | 'rsa'
export type Ours = 'gba-proxy' | 'before'

export function isOurs(peer: Peer): peer is Ours {
  return peer === 'gba-proxy' || peer === 'before'
}

/** A server with who comes to it. */
export interface Site {
  readonly server: Server
  readonly ca: Buffer
  readonly accounts: readonly Account[] | undefined
  /** By method and document. */
  readonly pieces: (method: 'GET' | 'PUT', document: Document) => Pieces[]
  readonly counts: number[]
}

export interface Product extends Site {
  readonly ub: number
  readonly holders: readonly Bootstrapped[]
}

export interface Kept {
  readonly method: 'GET' | 'PUT'
  readonly document: Document
  readonly connections: number
  readonly delayMs?: number
}

/** One run over connections that are kept. */
export function kept(
  directory: string,
  { server, counts, pieces }: Site,
  { method, document, connections, delayMs = 0 }: Kept,
  { measuredS, warmUpS }: Pace,
): Promise<Measured> {
  return runWrk(directory, server, {
    connections,
    seconds: measuredS,
    warmUpS,
    delayMs,
    pieces: pieces(method, document),
    counts,
    document: method === 'GET' ? document : undefined,
  })
}

/** Until its code is hot and its pools are full. @returns how many requests that took */
export async function warmUp(directory: string, site: Site, pace: Pace): Promise<number> {
  const wanted = isOurs(site.server.peer) ? pace.hotRequests : 1
  let requests = 0
  for (const until = Date.now() + pace.patienceMs; requests < wanted && Date.now() < until; ) {
    requests += (await kept(directory, site, { method: 'GET', document: 'small', connections: 64 }, pace)).requests
  }
  return requests
}

export async function productSite(bench: Bench, keyType: KeyType, options: ProductOptions = {}): Promise<Product> {
  const { root } = options
  const server = await bench.product(keyType, { ...options, root: root === undefined ? undefined : resolve(root) })
  const ca = bench.ca(keyType)
  const holders = await bootstrapped({ ub: server.ub, ap: server.port }, ca)
  return { ub: server.ub, holders, ...(await siteOf(server, ca, holders)) }
}

export async function peerSite(bench: Bench, peer: Exclude<Peer, Ours>, keyType: KeyType): Promise<Site> {
  const ca = bench.ca(keyType)
  if (peer !== 'apache') return siteOf(await bench.nginx(keyType, peer === 'static'), ca, undefined)
  const accounts = provisioned()
  return siteOf(await bench.apache(keyType, accounts), ca, accounts)
}

const PUT_BODY = '<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists"/>'.padEnd(DOCUMENTS.small)

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
