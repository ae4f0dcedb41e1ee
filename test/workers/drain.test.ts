import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { handUe } from '../support/hand-ue.ts'
import { type RawConnection, rawConnect } from '../support/raw-client.ts'
import { eventually, impuOfCard, type WorkersSite, workersSite } from '../support/workers.ts'

const own = (n: number) => `/resource-lists/users/${impuOfCard(n)}/index`
const SLOW_MS = 2_000
const isSlow = (target: string) => target.endsWith('/slow')
/** What the issue of an orderly stop allows, and a little for the machine. */
const LONGEST_STOP_MS = 11_000

/** What became of the requests of one client. */
interface Load {
  readonly answered: number
  /** Sent whole, and never answered. */
  readonly lost: number
  readonly others: readonly number[]
  /** The last answer on each connection that was kept said so. */
  readonly unannounced: number
}

/** Sends one request after another until nobody is there any more. */
async function load(site: WorkersSite, n: number, kept: boolean): Promise<Load> {
  const ue = await handUe(site.reached(n), {})
  const nonce = await ue.freshNonce()
  const result = { answered: 0, lost: 0, others: [] as number[], unannounced: 0 }
  let connection: RawConnection | undefined
  for (let nc = 1; ; nc++) {
    try {
      connection ??= await rawConnect(ue.at)
    } catch {
      return result // not accepted: nothing was in flight
    }
    const octets = await ue.signed('GET', own(n), { nonce, nc })
    if (!connection.socket.writable) {
      // Closed while it waited for a request, which happens to those only that were told.
      connection.close()
      connection = undefined
      continue
    }
    connection.write(octets)
    const answer = await connection.answer().catch(() => undefined)
    if (answer === undefined) result.lost++
    else if (answer.status === 200) result.answered++
    else result.others.push(answer.status)
    const isLast = answer?.header('connection') === 'close'
    if (!kept || isLast || answer === undefined) {
      connection.close()
      connection = undefined
    }
  }
}

for (const workers of [1, 2]) {
  describe(`${workers === 1 ? 'one process' : 'two workers'} asked to stop`, () => {
    let site: WorkersSite
    before(async () => {
      site = await workersSite({
        workers,
        asDelayMs: (target) => (isSlow(target) ? SLOW_MS : Math.random() * 30),
      })
    })
    after(() => site?.close())

    test('under load: every request that was sent is answered, and the exit code is 0', async () => {
      await site.start()
      const loads = Promise.all(Array.from({ length: 12 }, (_, n) => load(site, n, n % 2 === 0)))
      await delay(1_500)
      const slow = await handUe(site.reached(13), {})
      const octets = await slow.signed('GET', `/resource-lists/users/${impuOfCard(13)}/slow`)
      const inFlight = slow.send(octets)
      await delay(300)
      const begin = performance.now()
      assert.equal(await site.stop(), 0)
      assert.ok(performance.now() - begin < LONGEST_STOP_MS)
      const answer = await inFlight
      assert.deepEqual([answer.status, answer.header('connection')], [200, 'close'])
      for (const { answered, lost, others } of await loads) {
        assert.ok(answered > 5)
        assert.deepEqual({ lost, others }, { lost: 0, others: [] })
      }
    })

    test('closes connections that wait, and cuts off those that never finish', async () => {
      await site.start()
      const ue = await handUe(site.reached(0), {})
      const idle = await rawConnect(ue.at)
      idle.write(await ue.signed('GET', own(0)))
      assert.equal((await idle.answer()).status, 200)
      const half = await rawConnect(ue.at)
      half.write('PUT /resource-lists/users/')
      const silent = await rawConnect({ port: site.ap })
      const begin = performance.now()
      const stopped = site.stop()
      await idle.closed
      assert.ok(performance.now() - begin < 5_000)
      assert.equal(await stopped, 0)
      await Promise.all([half.closed, silent.closed])
      assert.ok(performance.now() - begin < LONGEST_STOP_MS)
    })
  })
}

describe('workers', () => {
  let site: WorkersSite
  before(async () => {
    site = await workersSite({ workers: 2, asDelayMs: (target) => (isSlow(target) ? SLOW_MS : 0) })
    await site.start()
  })
  after(() => site?.close())

  test('that are told to stop one by one lose no request, and are replaced', async () => {
    const before = [...site.workers().values()]
    const loads = Array.from({ length: 6 }, (_, n) => load(site, n, n % 2 === 0))
    for (const number of [1, 2]) {
      await delay(1_500)
      const pid = site.workers().get(number) ?? assert.fail(`worker ${number}`)
      process.kill(pid, 'SIGTERM')
      await eventually('it is replaced', () => (site.workers().get(number) ?? pid) !== pid)
    }
    await delay(500)
    assert.equal([...site.workers().values()].filter((pid) => before.includes(pid)).length, 0)
    assert.equal(await site.stop(), 0)
    for (const { answered, lost, others } of await Promise.all(loads)) {
      assert.ok(answered > 5)
      assert.deepEqual({ lost, others }, { lost: 0, others: [] })
    }
  })

  test('whose supervisor is killed finish what is in flight, and end', async () => {
    await site.start()
    const pids = [...site.workers().values()]
    const ue = await handUe(site.reached(7), {})
    const octets = await ue.signed('GET', `/resource-lists/users/${impuOfCard(7)}/slow`)
    const inFlight = ue.send(octets)
    await delay(300)
    process.kill(site.supervisor(), 'SIGKILL')
    assert.equal((await inFlight).status, 200)
    await eventually('no worker is left', () => !pids.some(isAlive), LONGEST_STOP_MS)
  })
})

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
