import assert from 'node:assert/strict'
import { setTimeout as delay } from 'node:timers/promises'
import { LAB_NAF } from '../../src/lab.ts'
import { challengeOf, handUb } from './hand-ub.ts'
import { type HandUe, handUe } from './hand-ue.ts'
import { eventually, impuOfCard, type WorkersSite } from './workers.ts'

export interface SiegeOptions {
  readonly bootstraps: number
  /** Let through. Each goes out twice at once, on two connections. */
  readonly requests: number
  /** By turns of one worker and of all processes. */
  readonly kills: number
}

export interface SiegeReport {
  readonly acknowledged: number
  readonly accepted: number
  /** Requests of whose two copies neither came through, since a process died in between. */
  readonly lost: number
  readonly vectors: number
  readonly replacedMs: readonly number[]
}

const BOOTSTRAPPERS = 8
const REQUESTERS = 8
/** The card by which SQN is watched. */
const WATCHED = 19
const own = (n: number) => `/resource-lists/users/${impuOfCard(n)}/index`

/**
 * Kills processes of a host while UEs bootstrap and send requests.
 * @throws AssertionError when an acknowledged B-TID is lost, a nonce count is accepted twice or refused for nothing, or
 *         SQN goes back
 */
export async function siege(site: WorkersSite, { bootstraps, requests, kills }: SiegeOptions): Promise<SiegeReport> {
  const acknowledged: { readonly n: number; readonly ue: HandUe }[] = []
  const outcomes: { readonly probe: string; readonly statuses: readonly (number | undefined)[] }[] = []
  const sqns: number[] = []
  let accepted = 0
  let killed = 0
  let isOver = false
  /** What a killed process breaks off is tried again. */
  const again = async <Result>(work: () => Promise<Result>): Promise<Result> => {
    for (let left = 400; ; left--) {
      try {
        return await work()
      } catch (error) {
        if (left === 0 || error instanceof assert.AssertionError) throw error
        await delay(25)
      }
    }
  }
  const progress = () => Math.min(acknowledged.length / bootstraps, accepted / requests)

  async function bootstrapper(n: number): Promise<void> {
    while (acknowledged.length < bootstraps) {
      acknowledged.push({ n, ue: await again(() => handUe(site.reached(n), {})) })
    }
  }
  async function requester(n: number): Promise<void> {
    const ue = await again(() => handUe(site.reached(n), {}))
    const nonce = await again(() => ue.freshNonce())
    for (let nc = 1; accepted < requests; nc++) {
      const probe = `${n}-${nc}`
      const octets = await ue.signed('GET', own(n), { nonce, nc, headers: [`X-Probe: ${probe}`] })
      const copy = () =>
        ue.send(octets).then(
          ({ status }) => status,
          () => undefined,
        )
      const statuses = await Promise.all([copy(), copy()])
      outcomes.push({ probe, statuses })
      if (statuses.includes(200)) accepted++
      if (statuses.every((status) => status === undefined)) await delay(100)
    }
  }
  async function watcher(): Promise<void> {
    const ub = handUb(site.ub, site.card(WATCHED))
    while (!isOver) {
      sqns.push(await again(async () => ub.sqnOf(challengeOf(await ub.hello()))))
      await delay(20)
    }
  }
  const replacedMs: number[] = []
  async function killer(): Promise<void> {
    while (killed < kills) {
      const due = (killed + 1) / (kills + 1)
      while (progress() < due) await delay(5)
      if (killed % 2 === 0) {
        await eventually('both workers are up', () => site.workers().size > 1)
        const pids = [...site.workers()]
        const [number = 0, pid = 0] = pids[killed % pids.length] ?? []
        process.kill(pid, 'SIGKILL')
        replacedMs.push(await eventually('it is replaced', () => (site.workers().get(number) ?? pid) !== pid))
      } else {
        await site.killTree()
        await site.start()
      }
      killed++
    }
  }

  const watching = watcher()
  await Promise.all([
    ...Array.from({ length: BOOTSTRAPPERS }, (_, n) => bootstrapper(n)),
    ...Array.from({ length: REQUESTERS }, (_, n) => requester(BOOTSTRAPPERS + n)),
    killer(),
  ])
  isOver = true
  await watching

  for (const { n, ue } of acknowledged) {
    const { status } = await ue.request('GET', own(n), { headers: ['X-Probe: afterwards'] })
    assert.equal(status, 200, `B-TID ${ue.btid} was acknowledged at ${LAB_NAF}`)
  }
  for (const { probe, statuses } of outcomes) {
    assert.ok((site.hits.get(probe) ?? 0) <= 1, `${probe} was forwarded ${site.hits.get(probe)} times`)
    assert.ok(statuses.filter((status) => status === 200).length <= 1, `${probe}: ${statuses}`)
    // Where both were answered, one of them was let through.
    if (!statuses.includes(undefined)) {
      // An application server is not there for a request whose worker died; the other copy is refused then.
      assert.deepEqual([...statuses].sort(), [200, 401], `${probe}`)
    }
  }
  for (const [i, sqn] of sqns.entries())
    assert.ok(i === 0 || sqn > (sqns[i - 1] ?? 0), `SQN ${sqns[i - 1]} then ${sqn}`)
  return {
    acknowledged: acknowledged.length,
    accepted,
    lost: outcomes.filter(({ statuses }) => !statuses.includes(200)).length,
    vectors: site.lines().filter(({ event }) => event === 'zh.av-drawn').length,
    replacedMs: replacedMs.map(Math.round),
  }
}
