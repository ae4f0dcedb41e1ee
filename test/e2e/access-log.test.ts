import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { attributeValue, childElements, parseXml } from '../../src/core/xml.ts'
import { impuOf } from '../../src/lab.ts'
import { headerValues } from '../../src/ue/message.ts'
import { ACCESS_LOG_AUID, ACCESS_LOG_TYPE } from '../../src/ut/access-log.ts'
import { handUe } from '../support/hand-ue.ts'
import { type TestLab, testLab } from '../support/lab.ts'

const alice = impuOf('alice')
const LIST = `/resource-lists/users/${alice}/index`
const LOG = `/${ACCESS_LOG_AUID}/users/${alice}/index`
const EMPTY_LIST = '<resource-lists xmlns="urn:ietf:params:xml:ns:resource-lists"/>'

/** Actor, method, document and status of each entry, newest first. */
function entriesOf(body: Uint8Array): string[] {
  const root = parseXml(Buffer.from(body).toString(), { maxBytes: 1_000_000 })
  assert.ok(root)
  return childElements(root, 'entry').map((entry) =>
    ['actor', 'method', 'document', 'status'].map((name) => attributeValue(entry, name)).join(' '),
  )
}

describe('the presentity’s log', () => {
  let lab: TestLab
  before(async () => {
    lab = await testLab({
      ap: { routes: [{ appServer: 'lab', gsids: [3], ownershipByAuid: { 'pres-rules': 'as-decides' } }] },
    })
  })
  after(() => lab.close())
  const logOf = async () => {
    const ue = await lab.ue('alice')
    const { status, body } = await ue.request('GET', lab.url(LOG))
    assert.equal(status, 200)
    return entriesOf(body)
  }

  test('tells the owner of its own requests, of strangers let through, and of tries', async () => {
    const ue = await lab.ue('alice')
    const other = await lab.ue('bob')
    const headers = { 'content-type': 'application/resource-lists+xml' }
    assert.deepEqual(await logOf(), [])
    assert.equal((await ue.request('PUT', lab.url(LIST), { headers, body: Buffer.from(EMPTY_LIST) })).status, 201)
    assert.equal((await other.request('DELETE', lab.url(LIST))).status, 403)
    assert.equal((await other.request('GET', lab.url(`/pres-rules/users/${alice}/index`))).status, 403)
    const wrong = await handUe(lab, { name: 'bob' })
    assert.equal((await wrong.request('GET', LIST, { response: '0'.repeat(32) })).status, 401)
    assert.deepEqual(await logOf(), [
      `refused GET resource-lists/users/${alice}/index 401`,
      `${impuOf('bob')} GET pres-rules/users/${alice}/index 403`,
      `refused DELETE resource-lists/users/${alice}/index 403`,
      `self PUT resource-lists/users/${alice}/index 201`,
    ])
  })

  test('is read by nobody else, whatever the letter case of its AUID, and such a try is in it', async () => {
    const other = await lab.ue('bob')
    const before = (await logOf()).length
    for (const path of [LOG, LOG.replace(ACCESS_LOG_AUID, ACCESS_LOG_AUID.toUpperCase())]) {
      assert.equal((await other.request('GET', lab.url(path))).status, 403)
    }
    assert.equal((await logOf()).length, before + 2)
  })

  test('has a type and an ETag, and answers HEAD and a condition', async () => {
    const ue = await lab.ue('alice')
    const { headers, body } = await ue.request('GET', lab.url(LOG))
    const [etag = ''] = headerValues(headers, 'etag')
    assert.match(etag, /^".+"$/)
    assert.deepEqual(headerValues(headers, 'content-type'), [ACCESS_LOG_TYPE])
    const head = await ue.request('HEAD', lab.url(LOG))
    assert.deepEqual([head.status, headerValues(head.headers, 'content-length')], [200, [String(body.length)]])
    const again = await ue.request('GET', lab.url(LOG), { headers: { 'if-none-match': etag } })
    assert.deepEqual([again.status, again.body.length], [304, 0])
  })

  for (const [method, path, status] of [
    ['PUT', LOG, 405],
    ['DELETE', LOG, 405],
    ['GET', `${LOG}/~~/log/entry%5b1%5d`, 404],
    ['GET', LOG.replace('/index', '/other'), 404],
  ] as const) {
    test(`${method} ${path} is answered ${status}`, async () => {
      const ue = await handUe(lab)
      const answer = await ue.request(method, path)
      assert.equal(answer.status, status)
      if (status === 405) assert.equal(answer.header('allow'), 'GET, HEAD')
    })
  }
})
