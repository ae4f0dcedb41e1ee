import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { impuOf } from '../../src/lab.ts'
import { type TestLab, testLab } from '../support/lab.ts'

describe('the whole flow', () => {
  let lab: TestLab
  before(async () => {
    lab = await testLab()
  })
  after(() => lab.close())

  test('one bootstrap serves 100 requests to two NAF names with one authentication vector', async () => {
    const ue = await lab.ue('alice')
    const path = `/resource-lists/users/${impuOf('alice')}/index`
    const naf = new URL(lab.url(path)).host
    const before = lab.app.audit.count('zh.av-drawn')
    for (let i = 0; i < 50; i++) {
      for (const host of [naf, 'lists.ims.mnc001.mcc001.3gppnetwork.org']) {
        const { status } = await ue.request('GET', `https://${host}${path}`)
        assert.equal(status, 404)
      }
    }
    assert.equal(lab.app.audit.count('zh.av-drawn') - before, 1)
    assert.equal(lab.decisions.filter(({ event }) => event === 'ut.forwarded').length, 100)
    const challenges = lab.decisions.filter(({ event, record }) => event === 'ut.refused' && record.status === 401)
    assert.equal(challenges.length, 2)
  })
})
