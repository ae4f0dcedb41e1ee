import assert from 'node:assert/strict'
import { rmSync, symlinkSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { impuOf } from '../../src/lab.ts'
import { handUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { eventually } from '../support/workers.ts'

const OWN = `/resource-lists/users/${impuOf('alice')}/index`

describe('while the audit cannot be written, the admin API', () => {
  let directory: string
  let auditFile: string
  let lab: TestLab
  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'gba-proxy-test-'))
    auditFile = join(directory, 'audit.log')
    lab = await testLab({ admin: { port: 0 }, log: { auditFile } })
  })
  after(async () => {
    await lab.close()
    await rm(directory, { recursive: true, force: true })
  })

  const call = async (method: string, path: string, body?: object) => {
    const answer = await fetch(`http://127.0.0.1:${lab.app.addresses.admin?.port}${path}`, {
      method,
      headers: { 'content-type': 'application/json' },
      body: body ? JSON.stringify(body) : method === 'DELETE' ? '{}' : null,
    })
    const type = answer.headers.get('content-type')
    const text = type === 'application/x-ndjson' ? '' : await answer.text()
    if (text === '') await answer.body?.cancel()
    return { status: answer.status, type, detail: text && JSON.parse(text).detail }
  }
  const at = (btid: string) => `/admin/bootstraps/${encodeURIComponent(btid)}`
  const logged = () =>
    lab
      .logged()
      .split('\n')
      .slice(0, -1)
      .map((line): Record<string, unknown> => JSON.parse(line))
      .filter(({ event }) => event === 'admin.called')
  async function unwritable<Result>(act: () => Promise<Result>): Promise<Result> {
    rmSync(auditFile)
    symlinkSync('/dev/full', auditFile)
    lab.app.reopenLogs()
    try {
      return await act()
    } finally {
      rmSync(auditFile)
      lab.app.reopenLogs()
    }
  }

  test('changes nothing, shows what it is asked for, and has the log take the records', async () => {
    const ue = await handUe(lab)
    assert.equal((await ue.request('GET', OWN)).status, 404)
    const before = logged().length
    await unwritable(async () => {
      assert.equal((await call('GET', '/admin/routes')).status, 200)
      for (const refused of [
        await call('DELETE', at(ue.btid)),
        await call('POST', '/admin/rebootstrap', { all: true }),
      ]) {
        const expected = { status: 503, type: 'application/problem+json', detail: 'the audit cannot be written now' }
        assert.deepEqual(refused, expected)
      }
      assert.equal((await call('GET', at(ue.btid))).status, 200)
      await eventually('all are in the log', () => logged().length >= before + 4)
    })
    const records = logged().slice(before)
    assert.deepEqual(
      records.map(({ level, method, path, status }) => [level, method, path, status]),
      [
        ['error', 'GET', '/admin/routes', 200],
        ['error', 'DELETE', '/admin/bootstraps/{btid}', 503],
        ['error', 'POST', '/admin/rebootstrap', 503],
        ['error', 'GET', '/admin/bootstraps/{btid}', 200],
      ],
    )
    assert.match(String(records.at(-1)?.btid), /^[0-9a-f]{12}$/)
    assert.ok(!JSON.stringify(records).includes(ue.btid))
    assert.equal((await ue.request('GET', OWN)).status, 404)
  })

  test('has the log take the record of the change by which that was found out', async () => {
    const { btid } = await handUe(lab)
    const before = logged().length
    await unwritable(async () => {
      assert.equal((await call('DELETE', at(btid))).status, 200)
      await eventually('it is in the log', () => logged().length > before)
    })
    assert.deepEqual(
      logged()
        .slice(before)
        .map(({ method, status }) => [method, status]),
      [['DELETE', 200]],
    )
  })

  test('lets nobody follow decisions, and has room for as many readers afterwards', async () => {
    const follow = async () => (await call('GET', '/admin/decisions?follow=1')).status
    await unwritable(async () => {
      const before = logged().length
      await call('GET', '/admin/routes')
      await eventually('it is found out', () => logged().length > before)
      for (let i = 0; i < 9; i++) assert.equal(await follow(), 503)
    })
    assert.equal(await follow(), 200)
  })

  test('changes things again once it can be written', async () => {
    const { btid } = await handUe(lab)
    assert.equal((await call('DELETE', at(btid))).status, 200)
  })
})
