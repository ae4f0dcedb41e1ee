import assert from 'node:assert/strict'
import { readFile, rename, writeFile } from 'node:fs/promises'
import { after, before, describe, test } from 'node:test'
import { parse, stringify } from 'yaml'
import { adminPortIn, ask } from '../support/admin.ts'
import { handUe } from '../support/hand-ue.ts'
import { eventually, impuOfCard, type WorkersSite, workersSite } from '../support/workers.ts'

const OWN = `/resource-lists/users/${impuOfCard(0)}/index`
const OTHER = '/rls-services/global/index'

for (const workers of [1, 2]) {
  describe(`the configuration of ${workers} process${workers > 1 ? 'es' : ''}`, () => {
    let site: WorkersSite
    let good: string
    before(async () => {
      site = await workersSite({ workers })
      await site.start()
      good = await readFile(site.file, 'utf8')
    })
    after(() => site?.close())

    /** As editors do it. */
    async function put(text: string) {
      await writeFile(`${site.file}.new`, text)
      await rename(`${site.file}.new`, site.file)
    }
    // biome-ignore lint/suspicious/noExplicitAny: as the YAML has it
    const changed = (change: (config: any) => void) => {
      const config = parse(good)
      change(config)
      return stringify(config)
    }
    const told = (event: string) => site.lines().filter((line) => line.event === event)
    /** Whoever reads the configuration: with workers the supervisor says it as well. */
    const speakers = workers > 1 ? workers + 1 : 1
    const hangUp = () => process.kill(site.supervisor(), 'SIGHUP')

    test('is taken over when the file changes, by all', async () => {
      const ue = await handUe(site.reached(0))
      const statuses = async (target: string) => {
        const answers = await Promise.all(Array.from({ length: 12 }, () => ue.request('GET', target, {})))
        return [...new Set(answers.map(({ status }) => status))]
      }
      await ue.request('GET', OWN, {})
      assert.deepEqual(await statuses(OTHER), [200])
      await put(
        changed(({ ap }) => {
          ap.routes[0].pathPrefix = '/resource-lists'
        }),
      )
      await eventually('all say so', () => told('config.reloaded').length === speakers)
      for (const { keys } of told('config.reloaded')) assert.deepEqual(keys, ['ap.routes[0].pathPrefix'])
      assert.deepEqual(await statuses(OTHER), [404])
      assert.deepEqual(await statuses(OWN), [200])
    })

    test('stays where the file is broken, which is named with line and key', async () => {
      const text = changed(({ ap }) => {
        ap.routes[0].appServer = 'nobody'
      })
      await put(text)
      await eventually('it is named', () => told('config.refused').length === 1)
      const [refused] = told('config.refused')
      const line = text.split('\n').findIndex((each) => each.includes('appServer: nobody')) + 1
      assert.equal(refused?.file, site.file)
      assert.equal(refused?.line, line)
      assert.equal(refused?.at, 'ap.routes[0].appServer')
      const ue = await handUe(site.reached(0))
      assert.equal((await ue.request('GET', OTHER, {})).status, 404)
    })

    test('stays where a key of it needs a restart, at SIGHUP as well', async () => {
      await put(
        changed((config) => {
          config.ap.limits.bodyBytes = 1000
          config.log.level = 'debug'
        }),
      )
      await eventually('it is named', () => told('config.refused').length === 2)
      hangUp()
      await eventually('it is named again', () => told('config.refused').length === 3)
      for (const { needRestart } of told('config.refused').slice(1)) {
        assert.deepEqual(needRestart, ['ap.limits.bodyBytes'])
      }
    })

    test('is taken over at SIGHUP, and said to be the same where it is', async () => {
      await put(good)
      hangUp()
      await eventually('all are back', () => told('config.reloaded').length === 2 * speakers)
      hangUp()
      await eventually('all say that it is the same', () => told('config.unchanged').length >= speakers)
      const ue = await handUe(site.reached(0))
      assert.equal((await ue.request('GET', OTHER, {})).status, 200)
    })

    if (workers > 1) {
      test('is taken back by all where one cannot take it over', async () => {
        const [reloaded, refused] = [told('config.reloaded').length, told('config.refused').length]
        await put(
          changed(({ ap }) => {
            ap.rebootstrapFile = 'missing.yaml'
          }),
        )
        await eventually('it is taken back', () => told('config.taken-back').length === 1)
        await eventually('each has said why', () => told('config.refused').length === refused + workers)
        assert.equal(told('config.reloaded').length, reloaded)
      })

      test('that was taken over is the one that a new worker begins with', async () => {
        const reloaded = told('config.reloaded').length
        await put(
          changed(({ ap }) => {
            ap.routes[0].pathPrefix = '/resource-lists'
          }),
        )
        await eventually('all say so', () => told('config.reloaded').length === reloaded + speakers)
        for (const pid of site.workers().values()) process.kill(pid, 'SIGKILL')
        await eventually('there are others', () => told('worker.up').length === 2 * workers)
        const ue = await handUe(site.reached(1))
        assert.equal((await ue.request('GET', OTHER, {})).status, 404)
      })
    }
  })
}

for (const workers of [1, 2]) {
  test(`the application servers of a reload are those of /ready, with ${workers} process${workers > 1 ? 'es' : ''}`, async () => {
    const site = await workersSite({ workers, overrides: { admin: { port: 0 } } })
    try {
      await site.start()
      const names = async () =>
        Object.keys(JSON.parse((await ask(adminPortIn(site.stderr()), '/ready')).text).appServers)
      assert.deepEqual(await names(), ['lab'])
      const config = parse(await readFile(site.file, 'utf8'))
      config.ap.appServers.push({ ...config.ap.appServers[0], name: 'second' })
      await writeFile(site.file, stringify(config))
      process.kill(site.supervisor(), 'SIGHUP')
      const reloads = () => site.lines().filter(({ event }) => event === 'config.reloaded').length
      await eventually('all say so', () => reloads() === (workers > 1 ? workers + 1 : 1))
      assert.deepEqual(await names(), ['lab', 'second'])
    } finally {
      await site.close()
    }
  })
}
