import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { impuOf } from '../../src/lab.ts'
import { ACCESS_LOG_AUID } from '../../src/ut/access-log.ts'
import { type HandUe, handUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'
import { problemIdOf } from '../support/refusals.ts'

// One id names a request to the UE, to the application server and in what is written down.
const OWN = `/resource-lists/users/${impuOf('alice')}/index`
const FOREIGN = `/resource-lists/users/${impuOf('bob')}/index`

for (const httpFront of ['strict', 'fastify']) {
  describe(`with httpFront: ${httpFront}, the id of a request`, () => {
    let lab: TestLab
    let ue: HandUe
    before(async () => {
      const answer = () => ({ status: 200, headers: { 'X-Request-ID': 'theirs' }, body: 'x' })
      lab = await testLab({ answer, ap: { httpFront, accessLog: { enabled: true } } })
      ue = await handUe(lab)
    })
    after(() => lab.close())

    const decidedId = () => lab.decisions.at(-1)?.record.requestId

    for (const method of ['GET', 'HEAD', 'DELETE', 'PUT']) {
      for (const qop of ['auth', 'auth-int'] as const) {
        test(`is told to both sides: ${method}, ${qop}`, async () => {
          const body = method === 'PUT' ? { body: 'x', headers: ['Content-Type: text/plain'] } : {}
          const answer = await ue.request(method, OWN, { qop, ...body })
          const { rawHeaders = [] } = lab.seen.at(-1) ?? {}
          assert.equal(answer.status, 200)
          assert.deepEqual(answer.values('x-request-id'), [decidedId()])
          assert.equal(rawHeaders[rawHeaders.indexOf('x-request-id') + 1], decidedId())
        })
      }
    }

    test('is told with a refusal, in the header as in the problem', async () => {
      const answer = await ue.request('GET', FOREIGN)
      assert.equal(answer.status, 403)
      assert.deepEqual(answer.values('x-request-id'), [problemIdOf(answer)])
      assert.equal(problemIdOf(answer), decidedId())
    })

    test('is told with what the proxy answers itself', async () => {
      const answer = await ue.request('GET', `/${ACCESS_LOG_AUID}/users/${impuOf('alice')}/index`)
      assert.equal(answer.status, 200)
      assert.deepEqual(answer.values('x-request-id'), [decidedId()])
    })

    test('is never what a UE calls it', async () => {
      const answer = await ue.request('GET', OWN, { headers: ['X-Request-ID: mine'] })
      assert.deepEqual(answer.values('x-request-id'), [decidedId()])
    })
  })
}
