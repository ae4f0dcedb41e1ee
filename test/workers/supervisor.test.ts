import assert from 'node:assert/strict'
import { readFile, rename } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { restartDelayMs } from '../../src/cli/supervisor.ts'
import { requireFree, workerCount } from '../../src/worker-place.ts'
import { handUe } from '../support/hand-ue.ts'
import { run } from '../support/programs.ts'
import { eventually, impuOfCard, type WorkersSite, workersSite } from '../support/workers.ts'

const MAIN = fileURLToPath(new URL('../../src/main.ts', import.meta.url))
const own = (n: number) => `/resource-lists/users/${impuOfCard(n)}/index`

describe('a supervisor', () => {
  const sites: WorkersSite[] = []
  after(() => Promise.all(sites.map((site) => site.close())))
  async function aSite(options: Parameters<typeof workersSite>[0]): Promise<WorkersSite> {
    const site = await workersSite(options)
    sites.push(site)
    return site
  }
  const serve = (site: WorkersSite) =>
    run(process.execPath, [MAIN, 'serve', '--config', join(site.directory, 'workers.yaml')])

  test('says once why nothing could be started, and ends with 1', async () => {
    const site = await aSite({ workers: 3 })
    const other = createServer()
    await new Promise<void>((listening) => other.listen(site.ap, '127.0.0.1', listening))
    const { status, stderr } = await serve(site)
    await new Promise((closed) => other.close(closed))
    assert.equal(status, 1)
    assert.equal(stderr.match(/not started/g)?.length, 1)
    assert.ok(stderr.includes(`127.0.0.1:${site.ap} is in use`))
  })

  test('is refused the ports of another one, which goes on alone', async () => {
    const site = await aSite({ workers: 2 })
    await site.start()
    const { status, stderr } = await serve(site)
    assert.equal(status, 1)
    assert.match(stderr, /is in use/)
    assert.equal(await site.stop(), 0)
  })

  test('passes SIGHUP on: each worker writes whole records, and then into the new audit file', async () => {
    const directory = (await aSite({ workers: 2 })).directory
    const auditFile = join(directory, 'audit.log')
    const site = await aSite({ workers: 2, overrides: { log: { level: 'info', identities: 'clear', auditFile } } })
    await site.start()
    const ues = await Promise.all(Array.from({ length: 6 }, (_, n) => handUe(site.reached(n), {})))
    const many = () =>
      Promise.all(
        ues.map(async (ue, n) => {
          for (let i = 0; i < 20; i++) assert.equal((await ue.request('GET', own(n))).status, 200)
        }),
      )
    await many()
    const recordsIn = async (file: string) =>
      (await readFile(file, 'utf8'))
        .split('\n')
        .slice(0, -1)
        .map((line): Record<string, unknown> => JSON.parse(line))
        .filter(({ event }) => event === 'ut.forwarded')
    // A record is written at the end of the turn in which its answer went out: the last may be a moment behind.
    const written = async (file: string) => {
      let records = await recordsIn(file)
      for (let i = 0; i < 100 && records.length < 120; i++) {
        await new Promise((resolve) => setTimeout(resolve, 20))
        records = await recordsIn(file)
      }
      return records
    }
    const before = await written(auditFile)
    assert.equal(before.length, 120)
    assert.deepEqual(new Set(before.map(({ worker }) => worker)), new Set([1, 2]))
    await rename(auditFile, `${auditFile}.1`)
    process.kill(site.supervisor(), 'SIGHUP')
    await eventually('there is a new file', () => site.workers().size === 2)
    await new Promise((resolve) => setTimeout(resolve, 500))
    await many()
    assert.equal((await written(auditFile)).length, 120)
    assert.equal((await recordsIn(`${auditFile}.1`)).length, 120)
    assert.equal(await site.stop(), 0)
  })
})

describe('worker places', () => {
  test('auto is one for each core, and the store has room for all', () => {
    assert.equal(workerCount({ workers: 'auto' }, 6), 6)
    assert.equal(workerCount({ workers: 'auto' }, 500), 64)
    assert.equal(workerCount({ workers: 3 }, 6), 3)
  })

  test('one death is followed by a start at once; more of them in a row wait longer and longer', () => {
    assert.deepEqual([0, 1, 2, 3, 4].map(restartDelayMs), [0, 0, 250, 500, 1000])
    assert.equal(restartDelayMs(50), 30_000)
  })

  test('a port that is taken is found out, also when whoever has it would share it', async () => {
    for (const reusePort of [false, true]) {
      const other = createServer()
      await new Promise<void>((listening) => other.listen({ port: 0, host: '127.0.0.1', reusePort }, listening))
      const address = other.address()
      const port = typeof address === 'object' && address !== null ? address.port : 0
      await assert.rejects(requireFree({ host: '127.0.0.1', port }), { code: 'EADDRINUSE' })
      await new Promise((closed) => other.close(closed))
      await requireFree({ host: '127.0.0.1', port })
    }
  })
})
