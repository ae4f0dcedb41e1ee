import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { impuOf } from '../../src/lab.ts'
import { type HandUe, handUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'

describe('two routes of one host with other challenges', () => {
  let lab: TestLab
  const lists = `/resource-lists/users/${impuOf('alice')}/index`
  const rules = `/pres-rules/users/${impuOf('alice')}/index`
  before(async () => {
    lab = await testLab({
      recording: true,
      ap: {
        challenge: { algorithms: ['MD5'], qop: ['auth', 'auth-int'] },
        routes: [
          { pathPrefix: '/pres-rules', appServer: 'lab', challenge: { algorithms: ['SHA-256'], qop: ['auth-int'] } },
          { appServer: 'lab' },
        ],
      },
    })
  })
  after(() => lab.close())
  const refusals = () => lab.decisions.filter(({ record }) => record.status === 401).map(({ record }) => record.code)

  test('cost a challenge at each change, said to be stale, and never a second bootstrap', async () => {
    const ue = await lab.ue('alice')
    const before = lab.app.audit.count('zh.av-drawn')
    for (let i = 0; i < 3; i++) {
      for (const path of [lists, rules]) assert.equal((await ue.request('GET', lab.url(path))).status, 200)
    }
    assert.equal(lab.app.audit.count('zh.av-drawn') - before, 1)
    assert.ok(refusals().includes('UA_OFFERED_ELSEWHERE'))
  })

  test('do not open one another: what only the other offers is answered by a challenge, and nothing is forwarded', async () => {
    const hand: HandUe = await handUe(lab, { name: 'bob' })
    const path = rules.replace('alice', 'bob')
    const seen = lab.seen.length
    const { status, headers } = await hand.send(await hand.signed('GET', path, { algorithm: 'MD5', qop: 'auth' }))
    assert.equal(status, 401)
    assert.match(JSON.stringify(headers), /stale=true/)
    assert.equal(refusals().at(-1), 'UA_OFFERED_ELSEWHERE')
    assert.equal(lab.seen.length, seen)
  })
})
