import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { impuOf } from '../../src/lab.ts'
import { handUe } from '../support/hand-ue.ts'
import { inProcess } from '../support/in-process.ts'
import { type TestLab, testLab } from '../support/lab.ts'

describe('gba-proxy admin', () => {
  let lab: TestLab
  let url: string
  before(async () => {
    lab = await testLab({ admin: { port: 0 } })
    url = `http://127.0.0.1:${lab.app.addresses.admin?.port}`
  })
  after(() => lab.close())
  const admin = (...args: string[]) => inProcess(['admin', ...args, '--url', url])

  test('shows and drops a bootstrap, and says with 3 that it is gone', async () => {
    const { btid } = await handUe(lab)
    const shown = await admin('bootstrap', btid, '--json')
    assert.deepEqual([shown.code, JSON.parse(shown.stdout).bootstrap.btid], [0, btid])
    assert.match((await admin('drop', btid)).stdout, /^bsf: true$/m)
    assert.equal((await admin('drop', btid)).code, 3)
  })

  test('shows routes and refusals', async () => {
    const ue = await handUe(lab)
    await ue.request('GET', `/resource-lists/users/${impuOf('bob')}/index`)
    assert.match((await admin('routes')).stdout, /appServer=lab/)
    assert.match((await admin('refusals', '--code', 'UT_TREE_NOT_OWNED')).stdout, /^refusals: 1$/m)
  })

  test('says why it was refused', async () => {
    const { code, stderr } = await admin('rebootstrap', '--impu', 'alice')
    assert.equal(code, 1)
    assert.match(stderr, /400 .*impu/)
  })

  test('demands new bootstraps, and says where that is kept', async () => {
    assert.match((await admin('rebootstrap', '--all')).stdout, /^keptIn: memory$/m)
  })

  test('says that nobody answers', async () => {
    assert.equal((await inProcess(['admin', 'routes', '--url', 'http://127.0.0.1:1'])).code, 1)
  })

  for (const args of [
    [],
    ['drop'],
    ['routes', 'x'],
    ['what'],
    ['rebootstrap'],
    ['rebootstrap', '--all', '--btid', 'x'],
  ]) {
    test(`is 2 for a command line that is wrong: ${args.join(' ')}`, async () => {
      assert.equal((await admin(...args)).code, 2)
    })
  }
})
