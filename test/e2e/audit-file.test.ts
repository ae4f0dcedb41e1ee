import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rename, rm, stat, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { type App, startApp } from '../../src/app.ts'
import { freePorts, impuOf, LAB_NAF, labConfig, prepareLab, writeSims } from '../../src/lab.ts'
import { createLog } from '../../src/observe/log.ts'
import { createUe, type Ue } from '../../src/ue/flow.ts'
import { loadSim } from '../../src/ue/sim.ts'

describe('the audit file', () => {
  let directory: string
  let app: App
  let ue: Ue
  let auditFile: string
  const log: Record<string, unknown>[] = []
  const url = `https://${LAB_NAF}/resource-lists/users/${impuOf('alice')}/index`
  const records = async (file: string): Promise<Record<string, unknown>[]> =>
    (await readFile(file, 'utf8'))
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'gba-proxy-test-'))
    auditFile = join(directory, 'audit.log')
    await prepareLab(directory, { randomBytes, now: Date.now() })
    const config = labConfig(directory, await freePorts(), {
      store: { kind: 'memory' },
      log: { auditFile, auditEveryNth: 2 },
    })
    const destination = { write: (line: string) => log.push(JSON.parse(line)) }
    app = await startApp(config, { log: createLog({ level: 'info', identities: 'hashed', destination }) })
    writeSims(directory, { ub: app.addresses.ub?.port ?? 0, ap: app.addresses.ap?.port ?? 0 })
    const ca = await readFile(join(directory, 'certs', 'ca.pem'))
    ue = createUe(await loadSim(join(directory, 'sims', 'alice.yaml')), { ca })
  })
  after(async () => {
    ue.close()
    await app.close()
    await rm(directory, { recursive: true, force: true })
  })

  test('has a record for each refusal and one in so many of what was let through, for its owner alone', async () => {
    for (let i = 0; i < 4; i++) await ue.request('GET', url)
    await ue.request('GET', url.replace('alice', 'bob'))
    const all = await records(auditFile)
    const refusal = all.find(({ code }) => code === 'UT_TREE_NOT_OWNED')
    assert.deepEqual([refusal?.event, refusal?.step, refusal?.status], ['ut.refused', 'authorise', 403])
    assert.match(String(refusal?.clause), /TS 24\.109/)
    assert.equal(all.filter(({ event }) => event === 'ut.forwarded').length, 2)
    assert.equal((await stat(auditFile)).mode & 0o777, 0o600)
    assert.doesNotMatch(await readFile(auditFile, 'utf8'), /alice|bob|001010/)
  })

  test('is opened anew when told, so that a rotated one stays as it is', async () => {
    const rotated = `${auditFile}.1`
    await rename(auditFile, rotated)
    const before = await readFile(rotated, 'utf8')
    app.reopenLogs()
    await ue.request('GET', url.replace('alice', 'bob'))
    assert.equal(await readFile(rotated, 'utf8'), before)
    assert.deepEqual(
      (await records(auditFile)).map(({ code }) => code),
      ['UT_TREE_NOT_OWNED'],
    )
  })

  test('serves nobody while it cannot be written, and says why in the log', async () => {
    const failed = () => log.filter(({ event }) => event === 'audit.failed').length
    await rm(auditFile)
    await symlink('/dev/full', auditFile)
    app.reopenLogs()
    const outcomes: unknown[] = []
    for (let i = 0; i < 5; i++) {
      const answer = await ue.request('GET', url.replace('alice', 'bob')).catch(() => undefined)
      outcomes.push(answer?.status ?? 500) // or the connection is cut
    }
    // The first is found out at the end of its turn.
    assert.deepEqual(outcomes.slice(1), [500, 500, 500, 500])
    assert.equal(failed(), 1)
    await rm(auditFile)
    app.reopenLogs()
    assert.equal((await ue.request('GET', url.replace('alice', 'bob'))).status, 403)
    assert.equal(failed(), 1)
  })
})
