import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ALICE, ATTRIBUTE, DOCUMENT, ELEMENT, INDEX, LISTS, node, xcap } from './xcap-client.ts'

const CAROL = node('resource-lists/list[@name="team"]/entry[@uri="sip:carol@home.example"]')
const ERIN = node('resource-lists/list[@name="team"]/entry[@uri="sip:erin@home.example"]')
const ERIN_ENTRY = '<entry uri="sip:erin@home.example"/>'

/** A server that holds Alice's document. */
async function filled(...args: Parameters<typeof xcap>) {
  const ask = await xcap(...args)
  await ask('PUT', INDEX, { body: DOCUMENT, type: LISTS })
  return ask
}

describe('an element', () => {
  test('is read, created, replaced and deleted; each time the document gets a new tag', async (t) => {
    const ask = await filled(t)
    const read = await ask('GET', CAROL)
    assert.deepEqual(
      [read.status, read.headers['content-type'], read.body],
      [200, ELEMENT, '<entry uri="sip:carol@home.example"/>'],
    )
    const tags = [read.headers.etag]
    for (const [method, status, send] of [
      ['PUT', 201, { body: ERIN_ENTRY, type: ELEMENT }],
      ['PUT', 200, { body: ERIN_ENTRY.replace('/>', '></entry>'), type: ELEMENT }],
      ['DELETE', 200, {}],
    ] as const) {
      const answer = await ask(method, ERIN, send)
      assert.equal(answer.status, status)
      assert.equal((await ask('GET', INDEX)).headers.etag, answer.headers.etag)
      tags.push(answer.headers.etag)
    }
    assert.equal(new Set(tags).size, 4)
    assert.equal((await ask('GET', INDEX)).body, DOCUMENT)
    assert.equal((await ask('GET', ERIN)).status, 404)
    assert.equal((await ask('DELETE', ERIN)).status, 404)
  })

  test('has the tag of its document', async (t) => {
    const ask = await filled(t)
    assert.equal((await ask('GET', CAROL)).headers.etag, (await ask('GET', INDEX)).headers.etag)
  })

  test('is addressed by prefixes of the query', async (t) => {
    const ask = await xcap(t)
    const doc = `/simservs.ngn.etsi.org/users/${ALICE}/simservs.xml`
    const ns = 'http://uri.etsi.org/ngn/params/xml/simservs/xcap'
    const body = `<ss:simservs xmlns:ss="${ns}"><ss:communication-diversion active="true"/></ss:simservs>`
    await ask('PUT', doc, { body, type: 'application/vnd.etsi.simservs+xml' })
    const active = `${doc}/~~/x:simservs/x:communication-diversion/@active`
    assert.equal((await ask('GET', `${active}?xmlns(x=${ns})`)).body, 'true')
    assert.equal((await ask('PUT', `${active}?xmlns(x=${ns})`, { body: 'false', type: ATTRIBUTE })).status, 200)
    assert.equal((await ask('GET', doc)).body, body.replace('true', 'false'))
    assert.equal((await ask('GET', active)).status, 400)
    assert.equal((await ask('GET', `${doc}/~~/simservs/communication-diversion`)).body, '<ss:communication-diversion active="true"/>'.replace('true', 'false')) // biome-ignore format: one line
  })

  for (const [what, selector, body, error] of [
    ['does not match', 'resource-lists/list[@name="a"]', '<list name="b"/>', 'cannot-insert'],
    ['is no element', 'resource-lists/list[@name="a"]', 'list', 'not-xml-frag'],
    ['has no parent', 'resource-lists/list[@name="a"]/entry', '<entry/>', 'no-parent'],
    ['is the root of another kind', '*', '<lists/>', 'schema-validation-error'],
    ['has a twin', 'resource-lists/list[1]/entry[3]', '<entry uri="sip:carol@home.example"/>', 'uniqueness-failure'],
  ] as const) {
    test(`that ${what} is refused: ${error}`, async (t) => {
      const ask = await filled(t)
      const before = await ask('GET', INDEX)
      const answer = await ask('PUT', node(selector), { body, type: ELEMENT })
      assert.equal(answer.status, 409)
      assert.match(answer.body, new RegExp(`<${error} `))
      const after = await ask('GET', INDEX)
      assert.deepEqual([after.body, after.headers.etag], [before.body, before.headers.etag])
    })
  }

  test('that is no UTF-8 is refused', async (t) => {
    const ask = await filled(t)
    const answer = await ask('PUT', ERIN, { body: Buffer.from('<entry uri="é"/>', 'latin1'), type: ELEMENT })
    assert.match(answer.body, /<not-utf-8 /)
  })

  test('without parent is told of the closest ancestor, in a URI that can be used', async (t) => {
    const ask = await filled(t)
    const ancestorOf = async (selector: string, query = '') => {
      const { body } = await ask('PUT', node(selector) + query, { body: '<x/>', type: ELEMENT })
      return /<ancestor>(.*)<\/ancestor>/.exec(body)?.[1]
    }
    assert.equal(await ancestorOf('no/no'), INDEX)
    const ancestor = await ancestorOf(
      'resource-lists/l:list[@name="team"]/no/no',
      '?xmlns(l=urn:ietf:params:xml:ns:resource-lists)',
    )
    assert.equal(
      ancestor,
      `${INDEX}/~~/resource-lists/l:list%5B@name=%22team%22%5D?xmlns(l=urn:ietf:params:xml:ns:resource-lists)`,
    )
    assert.equal((await ask('GET', ancestor ?? '')).status, 200)
  })

  test('without document has no parent', async (t) => {
    const ask = await xcap(t)
    const answer = await ask('PUT', ERIN, { body: ERIN_ENTRY, type: ELEMENT })
    assert.equal(answer.status, 409)
    assert.match(answer.body, /<no-parent phrase="[^"]+"\/>/)
    assert.equal((await ask('GET', ERIN)).status, 404)
    assert.equal((await ask('DELETE', ERIN)).status, 404)
  })

  test('is not deleted where another would take its place', async (t) => {
    const ask = await filled(t)
    const answer = await ask('DELETE', node('resource-lists/list[1]/entry[1]'))
    assert.equal(answer.status, 409)
    assert.match(answer.body, /<cannot-delete /)
    assert.equal((await ask('GET', INDEX)).body, DOCUMENT)
  })

  test('does not make a document grow beyond the limit', async (t) => {
    const ask = await filled(t, { bodyLimit: DOCUMENT.length + 10 })
    const answer = await ask('PUT', ERIN, { body: ERIN_ENTRY, type: ELEMENT })
    assert.equal(answer.status, 409)
    assert.match(answer.body, /<constraint-failure /)
  })

  test('put or deleted leaves a byte order mark where it is', async (t) => {
    const ask = await xcap(t)
    await ask('PUT', INDEX, { body: `\uFEFF${DOCUMENT}`, type: LISTS })
    assert.equal((await ask('PUT', ERIN, { body: ERIN_ENTRY, type: ELEMENT })).status, 201)
    assert.equal((await ask('DELETE', ERIN)).status, 200)
    assert.equal((await ask('GET', INDEX)).body, `\uFEFF${DOCUMENT}`)
  })

  test('error bodies are XML whatever the path holds', async (t) => {
    const ask = await xcap(t)
    const path = `${INDEX}&more`
    await ask('PUT', path, { body: DOCUMENT, type: LISTS })
    const { body } = await ask('PUT', `${path}/~~/no/no`, { body: '<x/>', type: ELEMENT })
    assert.match(body, /index&amp;more<\/ancestor>/)
  })

  test('error bodies name the root as clients know it', async (t) => {
    const ask = await xcap(t, { xcapRoot: 'https://xcap.home.example/x' })
    await ask('PUT', `/x${INDEX}`, { body: DOCUMENT, type: LISTS })
    const { body } = await ask('PUT', `/x${node('no/no')}`, { body: '<x/>', type: ELEMENT })
    assert.match(body, new RegExp(`<ancestor>https://xcap\\.home\\.example/x${INDEX}</ancestor>`))
  })
})

describe('an attribute', () => {
  const NAME = node('resource-lists/list[1]/@name')
  test('is read, replaced, deleted and created', async (t) => {
    const ask = await filled(t)
    const read = await ask('GET', NAME)
    assert.deepEqual([read.status, read.headers['content-type'], read.body], [200, ATTRIBUTE, 'team'])
    assert.equal((await ask('PUT', NAME, { body: 'crew', type: ATTRIBUTE })).status, 200)
    assert.equal((await ask('GET', INDEX)).body, DOCUMENT.replace('team', 'crew'))
    assert.equal((await ask('DELETE', NAME)).status, 200)
    assert.equal((await ask('GET', INDEX)).body, DOCUMENT.replace(' name="team"', ''))
    assert.equal((await ask('GET', NAME)).status, 404)
    assert.equal((await ask('PUT', NAME, { body: 'team', type: ATTRIBUTE })).status, 201)
    assert.equal((await ask('GET', INDEX)).body, DOCUMENT)
  })

  test('may be empty', async (t) => {
    const ask = await filled(t)
    assert.equal((await ask('PUT', NAME, { body: '', type: ATTRIBUTE })).status, 200)
    const read = await ask('GET', NAME)
    assert.deepEqual([read.status, read.body], [200, ''])
  })

  for (const [what, selector, body, error] of [
    ['is no value', 'resource-lists/list[1]/@name', 'a<b', 'not-xml-att-value'],
    ['has no element', 'resource-lists/list[2]/@name', 'x', 'no-parent'],
    ['contradicts its own selector', 'resource-lists/list[@name="team"]/@name', 'x', 'cannot-insert'],
    ['makes a twin', 'resource-lists/list[1]/entry[1]/@uri', 'sip:dave@home.example', 'uniqueness-failure'],
  ] as const) {
    test(`that ${what} is refused: ${error}`, async (t) => {
      const ask = await filled(t)
      const answer = await ask('PUT', node(selector), { body, type: ATTRIBUTE })
      assert.equal(answer.status, 409)
      assert.match(answer.body, new RegExp(`<${error} `))
    })
  }
})

describe('the namespaces of an element', () => {
  const NAMESPACES = node('resource-lists/list[1]/namespace::*')
  test('are read', async (t) => {
    const ask = await filled(t)
    const { status, headers, body } = await ask('GET', NAMESPACES)
    assert.deepEqual([status, headers['content-type']], [200, 'application/xcap-ns+xml'])
    assert.equal(body, '<list xmlns="urn:ietf:params:xml:ns:resource-lists"/>')
  })
  test('are not written', async (t) => {
    const ask = await filled(t)
    for (const method of ['PUT', 'DELETE']) {
      const answer = await ask(method, NAMESPACES, { body: '<list/>', type: 'application/xcap-ns+xml' })
      assert.deepEqual([answer.status, answer.headers.allow], [405, 'GET, HEAD'])
    }
    assert.equal((await ask('GET', INDEX)).body, DOCUMENT)
  })
})
