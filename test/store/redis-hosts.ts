import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { makeKeyFile } from '../../src/store/key-file.ts'
import { openRedis, redisBootstrapStore, redisNonceLedger } from '../../src/store/redis.ts'
import type { RedisStoreOptions } from '../../src/store/redis-environment.ts'
import type { BootstrapStore, NonceLedger, UsedNonce } from '../../src/store/store.ts'
import { isUnavailable } from '../contract/adapter.ts'
import { aDirectory } from './directory.ts'

export interface Host {
  readonly ledger: NonceLedger
  readonly bootstraps: BootstrapStore
  readonly problems: unknown[]
  close(): Promise<void>
}

export function aSealKeyFile(): string {
  const path = join(aDirectory(), 'seal.key')
  makeKeyFile(path)
  return path
}
const sharedKeyFile = aSealKeyFile()

/** One of several hosts over the same Redis. */
export async function aHost(
  options: Omit<RedisStoreOptions, 'sealKeyFile'> & { readonly sealKeyFile?: string },
): Promise<Host> {
  const problems: unknown[] = []
  const onProblem = (problem: unknown) => problems.push(problem)
  const environment = openRedis({ sealKeyFile: sharedKeyFile, onProblem, ...options })
  await environment.redis.ready(5_000).catch(() => {}) // some tests want one that is not
  const ledger = redisNonceLedger(environment, { maxNonces: 100_000 })
  await ledger.begin().catch(() => {})
  return { ledger, bootstraps: redisBootstrapStore(environment), problems, close: () => environment.close() }
}

export async function twoHosts(options: Omit<RedisStoreOptions, 'sealKeyFile'>): Promise<readonly [Host, Host]> {
  const hosts = [await aHost(options), await aHost(options)] as const
  await delay(2) // a nonce minted in the very millisecond in which a ledger begins is forgotten
  return hosts
}

export const aFreshNonce = (): UsedNonce => ({
  nonce: randomBytes(16).toString('hex'),
  mintedAt: Date.now(),
  expiresAt: Date.now() + 3_600_000,
})

export interface Load {
  /** Instants at which a request was accepted. */
  readonly acceptedAt: readonly number[]
  /** What was neither accepted nor refused for good reason: 503. */
  readonly unavailable: () => number
  /** Longest time that one operation took. */
  readonly slowestMs: () => number
  /** Ends it, plays back everything that was ever accepted, and fails where anything was accepted twice. */
  stop(): Promise<void>
}

/**
 * UEs that ask one request after another, each of which an attacker copies to both hosts at once. A UE that is refused
 * takes a fresh nonce, and so does one of ten in any case; one that gets 503 tries its next count.
 */
export function underLoad(t: TestContext, hosts: readonly Host[], ues = 8): Load {
  const accepted = new Map<string, { readonly nonce: UsedNonce; readonly nc: number }>()
  const twice: string[] = []
  const acceptedAt: number[] = []
  let unavailable = 0
  let slowestMs = 0
  let running = true
  t.after(() => {
    running = false // a test that fails stops nothing
  })

  async function ask(host: Host, nonce: UsedNonce, nc: number): Promise<string> {
    const from = performance.now()
    try {
      const outcome = await host.ledger.use(nonce, nc, Date.now())
      if (outcome === 'accepted') {
        const name = `${nonce.nonce} ${nc}`
        if (accepted.has(name)) twice.push(name)
        accepted.set(name, { nonce, nc })
        acceptedAt.push(Date.now())
      }
      return outcome
    } catch (error) {
      assert.ok(isUnavailable(error), String(error))
      unavailable++
      return 'unavailable'
    } finally {
      slowestMs = Math.max(slowestMs, performance.now() - from)
    }
  }
  async function ue(n: number): Promise<void> {
    let nonce = aFreshNonce()
    for (let nc = 1, asked = 0; running; nc++, asked++) {
      const outcomes = await Promise.all(hosts.flatMap((host) => [ask(host, nonce, nc), ask(host, nonce, nc)]))
      const isRefused = !outcomes.includes('accepted') && !outcomes.includes('unavailable')
      if (isRefused || asked % 10 === n) {
        nonce = aFreshNonce()
        nc = 0
      }
      await delay(outcomes.includes('unavailable') ? 20 : 2)
    }
  }
  const all = Promise.all(Array.from({ length: ues }, (_, n) => ue(n)))

  return {
    acceptedAt,
    unavailable: () => unavailable,
    slowestMs: () => slowestMs,
    async stop() {
      running = false
      await all
      assert.ok(accepted.size > 0)
      for (const { nonce, nc } of [...accepted.values()]) {
        await Promise.all(hosts.map((host) => ask(host, nonce, nc)))
      }
      assert.deepEqual(twice, [])
    },
  }
}

/** Waits until something is accepted that was asked after `since`. @returns how long after it that was */
export async function backAfter(load: Load, since: number): Promise<number> {
  for (const giveUpAt = Date.now() + 30_000; Date.now() < giveUpAt; await delay(10)) {
    const at = load.acceptedAt.findLast((instant) => instant > since)
    if (at !== undefined) return (load.acceptedAt.find((instant) => instant > since) ?? at) - since
  }
  throw new Error('nothing was accepted any more')
}

/** First uses, as many as reach every part of a ledger in a cluster. */
export const manyFresh = (host: Host) =>
  Array.from({ length: 400 }, () => host.ledger.use(aFreshNonce(), 1, Date.now()))

/** Waits until fresh nonces on every part of the ledger are accepted. @returns how long that took */
export async function allBack(host: Host): Promise<number> {
  const since = Date.now()
  for (const giveUpAt = since + 30_000; Date.now() < giveUpAt; await delay(20)) {
    const outcomes = await Promise.allSettled(manyFresh(host))
    if (outcomes.every((outcome) => outcome.status === 'fulfilled' && outcome.value === 'accepted')) {
      return Date.now() - since
    }
  }
  throw new Error('some part of the ledger did not come back')
}
