import assert from 'node:assert/strict'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { parse, stringify } from 'yaml'
import { adminPortIn, ask, type Scraped, scrape, sumOf } from '../support/admin.ts'
import { type HandUe, handUe } from '../support/hand-ue.ts'
import { run } from '../support/programs.ts'
import { eventually, impuOfCard, type WorkersSite, workersSite } from '../support/workers.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const own = (n: number) => `/resource-lists/users/${impuOfCard(n)}/index`

describe('the admin listener of a host of two workers', () => {
  let site: WorkersSite
  let port: number
  const ues: HandUe[] = []
  before(async () => {
    site = await workersSite({ workers: 2, overrides: { admin: { port: 0 } } })
    await site.start()
    port = adminPortIn(site.stderr())
    for (const n of [0, 1]) ues.push(await handUe(site.reached(n), {}))
  })
  after(() => site?.close())

  /** Each on a connection of its own, so that both workers get some. */
  async function requests(count: number): Promise<void> {
    for (let i = 0; i < count; i++) assert.equal((await ues[i % 2]?.request('GET', own(i % 2)))?.status, 200)
  }
  const forwarded = (scraped: Scraped) => sumOf(scraped, 'gba_proxy_requests_total', 'ut', 'forwarded')
  const readiness = async () => JSON.parse((await ask(port, '/ready')).text)

  test('adds up what both count', async () => {
    await requests(24)
    const scraped = await scrape(port)
    assert.equal(forwarded(scraped), 24)
    assert.equal(sumOf(scraped, 'gba_proxy_logins_total', 'digest'), 24)
    assert.equal(sumOf(scraped, 'gba_proxy_bootstraps_total'), 2)
    assert.equal(sumOf(scraped, 'gba_proxy_request_duration_seconds_count', 'ut', 'forwarded'), 24)
    assert.equal(sumOf(scraped, 'gba_proxy_upstream_duration_seconds_bucket', '2xx', '+Inf'), 24)
    assert.deepEqual(
      ['workers', 'workers_alive', 'workers_silent', 'worker_replacements_total', 'store_writable'].map((name) =>
        sumOf(scraped, `gba_proxy_${name}`),
      ),
      [2, 2, 0, 0, 1],
    )
    assert.equal(sumOf(scraped, 'gba_proxy_build_info'), 1)
    assert.ok(sumOf(scraped, 'process_resident_memory_bytes') > 100e6)
  })

  test('is ready with both, and says so of each', async () => {
    const { ready, workers, store, appServers } = await readiness()
    assert.deepEqual([ready, store.state, appServers.lab.state], [true, 'writable', 'up'])
    assert.deepEqual(workers, [
      { number: 1, ready: true, reasons: [] },
      { number: 2, ready: true, reasons: [] },
    ])
    assert.equal(JSON.parse((await ask(port, '/version')).text).workers, 2)
  })

  test('goes on counting from where it was when one is killed', async () => {
    const before = await scrape(port)
    const [[number, pid] = [0, 0]] = [...site.workers()]
    process.kill(pid, 'SIGKILL')
    await eventually('it is replaced', () => (site.workers().get(number) ?? pid) !== pid)
    const then = await scrape(port)
    const counters = [...before.keys()].filter((name) => /^gba_proxy_\w+_(?:total|count|bucket|sum)\b/.test(name))
    assert.ok(counters.length > 50)
    assert.deepEqual(
      counters.filter((name) => (then.get(name) ?? 0) < (before.get(name) ?? 0)),
      [],
    )
    assert.equal(forwarded(then), 24)
    assert.equal(sumOf(then, 'gba_proxy_worker_replacements_total'), 1)
    await requests(6)
    assert.equal(forwarded(await scrape(port)), 30)
  })

  test('has what a worker counted to the last, when that was asked to stop', async () => {
    await requests(8)
    const [[number, pid] = [0, 0]] = [...site.workers()]
    process.kill(pid, 'SIGTERM')
    await eventually('it is replaced', () => (site.workers().get(number) ?? pid) !== pid)
    assert.equal(forwarded(await scrape(port)), 38)
  })

  test('does not wait for one that hangs, and tells the last of it', async () => {
    const [, [, pid] = [0, 0]] = [...site.workers()]
    const before = await scrape(port)
    process.kill(pid, 'SIGSTOP')
    try {
      const then = await scrape(port)
      assert.equal(sumOf(then, 'gba_proxy_workers_silent'), 1)
      assert.equal(forwarded(then), forwarded(before))
      const { ready, workers } = await readiness()
      assert.equal(ready, true)
      const reasons = workers.map((worker: { reasons: string[] }) => worker.reasons.join())
      assert.deepEqual(reasons.sort(), ['', 'silent'])
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    assert.equal(sumOf(await scrape(port), 'gba_proxy_workers_silent'), 0)
  })

  test('shows nobody', async () => {
    const { text } = await ask(port, '/metrics')
    assert.doesNotMatch(text, /[@]|sip:|user0|00101/)
  })

  test('at a port of the configuration that is taken keeps a host from starting, and says which', async () => {
    const file = join(site.directory, 'workers.yaml')
    const config = parse(await readFile(file, 'utf8'))
    await writeFile(join(site.directory, 'again.yaml'), stringify({ ...config, admin: { port } }))
    const args = [MAIN, 'serve', '--config', join(site.directory, 'again.yaml')]
    const { status, stderr } = await run(process.execPath, args)
    assert.deepEqual([status, stderr], [1, `gba-proxy: not started: 127.0.0.1:${port} is in use by another program\n`])
  })

  test('ends with the host', async () => {
    assert.equal(await site.stop(), 0)
    await assert.rejects(ask(port, '/live'))
  })
})
