import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ALICE, DOCUMENT, INDEX, LISTS, xcap } from './xcap-client.ts'

const RESOURCE_LISTS = 'urn:ietf:params:xml:ns:resource-lists'

describe('a document', () => {
  test('is created with 201, read, replaced with 200 and deleted with 200', async (t) => {
    const ask = await xcap(t)
    assert.equal((await ask('GET', INDEX)).status, 404)
    const created = await ask('PUT', INDEX, { body: DOCUMENT, type: LISTS })
    assert.deepEqual([created.status, created.body], [201, ''])
    const read = await ask('GET', INDEX)
    assert.deepEqual([read.status, read.body, read.headers['content-type']], [200, DOCUMENT, LISTS])
    assert.equal(read.headers.etag, created.headers.etag)
    const replaced = await ask('PUT', INDEX, { body: DOCUMENT, type: LISTS })
    assert.equal(replaced.status, 200)
    assert.equal((await ask('DELETE', INDEX)).status, 200)
    assert.equal((await ask('GET', INDEX)).status, 404)
    assert.equal((await ask('DELETE', INDEX)).status, 404)
  })

  test('has a strong entity tag that no other version has, not even one of the same content', async (t) => {
    const ask = await xcap(t)
    const tags = new Set<string | undefined>()
    for (let i = 0; i < 3; i++) {
      tags.add((await ask('PUT', INDEX, { body: DOCUMENT, type: LISTS })).headers.etag)
      tags.add((await ask('PUT', INDEX, { body: DOCUMENT, type: LISTS })).headers.etag)
      await ask('DELETE', INDEX)
    }
    assert.equal(tags.size, 6)
    for (const tag of tags) assert.match(tag ?? '', /^"[^"]+"$/)
  })

  test('answers HEAD as GET, without the body', async (t) => {
    const ask = await xcap(t)
    await ask('PUT', INDEX, { body: DOCUMENT, type: LISTS })
    const [get, head] = [await ask('GET', INDEX), await ask('HEAD', INDEX)]
    assert.deepEqual([head.status, head.body], [200, ''])
    for (const name of ['etag', 'content-type', 'content-length'] as const) {
      assert.equal(head.headers[name], get.headers[name])
    }
    assert.equal((await ask('HEAD', `${INDEX}2`)).status, 404)
  })

  test('is kept octet for octet', async (t) => {
    const ask = await xcap(t)
    const body = `\uFEFF${DOCUMENT.replaceAll('\n', '\r\n')}<!-- é😀 -->`
    await ask('PUT', INDEX, { body, type: LISTS })
    assert.equal((await ask('GET', INDEX)).body, body)
  })

  test('may stand in a folder below the XUI', async (t) => {
    const ask = await xcap(t)
    const nested = `/resource-lists/users/${ALICE}/work/2026/team.xml`
    assert.equal((await ask('PUT', nested, { body: DOCUMENT, type: LISTS })).status, 201)
    assert.equal((await ask('GET', nested)).status, 200)
  })

  test('may bear a name that begins like the separator', async (t) => {
    const ask = await xcap(t)
    const path = `/resource-lists/users/${ALICE}/~~x`
    assert.equal((await ask('PUT', path, { body: DOCUMENT, type: LISTS })).status, 201)
    assert.equal((await ask('GET', `${path}/~~/resource-lists/list/@name`)).body, 'team')
  })

  test('is the same one however the path is encoded', async (t) => {
    const ask = await xcap(t)
    await ask('PUT', INDEX, { body: DOCUMENT, type: LISTS })
    for (const path of [
      '/resource-lists/users/sip%3Aalice%40home.example/index',
      '/resource-lists/users/sip:%61lice@HOME.example/%69ndex',
      '/resource%2Dlists/users/sip:alice@home.example/index',
    ]) {
      assert.equal((await ask('GET', path)).status, 200, path)
    }
  })

  test('is found below the root that is configured, and only there', async (t) => {
    for (const xcapRoot of ['/services/xcap', '/services/xcap/', 'https://xcap.home.example/services/xcap']) {
      const ask = await xcap(t, { xcapRoot })
      assert.equal((await ask('PUT', `/services/xcap${INDEX}`, { body: DOCUMENT, type: LISTS })).status, 201)
      assert.equal((await ask('GET', INDEX)).status, 404)
      assert.equal((await ask('GET', `/services/xcapital${INDEX}`)).status, 404)
    }
  })

  for (const [what, auid, type, body] of [
    [
      'rls-services',
      'rls-services',
      'application/rls-services+xml',
      '<rls-services xmlns="urn:ietf:params:xml:ns:rls-services"/>',
    ],
    [
      'pres-rules',
      'pres-rules',
      'application/auth-policy+xml',
      '<ruleset xmlns="urn:ietf:params:xml:ns:common-policy"/>',
    ],
    [
      'OMA presence rules',
      'org.openmobilealliance.pres-rules',
      'application/auth-policy+xml',
      '<cr:ruleset xmlns:cr="urn:ietf:params:xml:ns:common-policy"/>',
    ],
    [
      'OMA groups',
      'org.openmobilealliance.groups',
      'application/vnd.oma.poc.groups+xml',
      '<group xmlns="urn:oma:xml:poc:list-service"/>',
    ],
    [
      'hard state of presence',
      'pidf-manipulation',
      'application/pidf+xml',
      '<presence xmlns="urn:ietf:params:xml:ns:pidf"/>',
    ],
    [
      'MMTel services',
      'simservs.ngn.etsi.org',
      'application/vnd.etsi.simservs+xml',
      '<simservs xmlns="http://uri.etsi.org/ngn/params/xml/simservs/xcap"/>',
    ],
  ] as const) {
    test(`may hold ${what}`, async (t) => {
      const ask = await xcap(t)
      const path = `/${auid}/users/${ALICE}/doc`
      assert.equal((await ask('PUT', path, { body, type })).status, 201)
      assert.equal((await ask('GET', path)).headers['content-type'], type)
    })
  }
})

describe('a document that cannot be stored', () => {
  const lists = (content: string) => `<resource-lists xmlns="${RESOURCE_LISTS}">${content}</resource-lists>`
  for (const [what, body, error] of [
    ['is empty', '', 'not-well-formed'],
    ['is no XML', 'friends', 'not-well-formed'],
    ['has no end', '<resource-lists>', 'not-well-formed'],
    ['has a document type', `<!DOCTYPE x>${lists('')}`, 'not-well-formed'],
    ['is no UTF-8', Buffer.from(lists('é'), 'latin1'), 'not-utf-8'],
    ['holds an overlong form', Buffer.concat([Buffer.from('<a>'), Buffer.from([0xc0, 0xaf])]), 'not-utf-8'],
    ['declares another encoding', `<?xml version="1.0" encoding="ISO-8859-1"?>${lists('')}`, 'not-utf-8'],
    ['is UTF-16', Buffer.from(`\uFEFF${lists('')}`, 'utf16le'), 'not-utf-8'],
    ['has another root', `<lists xmlns="${RESOURCE_LISTS}"/>`, 'schema-validation-error'],
    ['has a root of another namespace', '<resource-lists/>', 'schema-validation-error'],
    ['nests too deep', lists('<list>'.repeat(200) + '</list>'.repeat(200)), 'constraint-failure'],
    ['names two lists alike', lists('<list name="a"/><list/><list/><list name="a"/>'), 'uniqueness-failure'],
    [
      'names an entry twice',
      lists('<list><entry uri="sip:x@y"/><entry uri="sip:x&#64;y"/></list>'),
      'uniqueness-failure',
    ],
  ] as const) {
    test(`because it ${what}: ${error}`, async (t) => {
      const ask = await xcap(t)
      const answer = await ask('PUT', INDEX, { body, type: LISTS })
      assert.deepEqual([answer.status, answer.headers['content-type']], [409, 'application/xcap-error+xml'])
      assert.match(
        answer.body,
        new RegExp(`<xcap-error xmlns="urn:ietf:params:xml:ns:xcap-error"><${error} phrase="[^"]+"`),
      )
      assert.equal((await ask('GET', INDEX)).status, 404)
    })
  }

  test('leaves the one before as it was', async (t) => {
    const ask = await xcap(t)
    const { headers } = await ask('PUT', INDEX, { body: DOCUMENT, type: LISTS })
    assert.equal((await ask('PUT', INDEX, { body: '<a>', type: LISTS })).status, 409)
    const after = await ask('GET', INDEX)
    assert.deepEqual([after.body, after.headers.etag], [DOCUMENT, headers.etag])
  })

  test('is told which of the twins is one too many', async (t) => {
    const ask = await xcap(t)
    const body = lists('<list name="a"/><list name="b"><entry uri="u"/><entry uri="v"/><entry uri="u"/></list>')
    const answer = await ask('PUT', INDEX, { body, type: LISTS })
    assert.match(answer.body, /<exists field="resource-lists\/list\[2\]\/entry\[3\]\/@uri"\/>/)
  })

  test('is told of sixteen twins at most', async (t) => {
    const ask = await xcap(t)
    const answer = await ask('PUT', INDEX, { body: lists('<list name="a"/>'.repeat(100)), type: LISTS })
    assert.equal(answer.body.match(/<exists /g)?.length, 16)
  })

  test('may hold attributes of other namespaces by the same name', async (t) => {
    const ask = await xcap(t)
    const body = lists(
      '<list xmlns:o="urn:o"><entry uri="u" o:uri="w"/><entry o:uri="w" uri="v"/><entry o:uri="w"/><entry o:uri="w"/></list>',
    )
    assert.equal((await ask('PUT', INDEX, { body, type: LISTS })).status, 201)
  })

  test('may repeat in another list what stands in one', async (t) => {
    const ask = await xcap(t)
    const list = (name: string) => `<list name="${name}"><entry uri="u"/><list name="a"/></list>`
    assert.equal((await ask('PUT', INDEX, { body: lists(list('a') + list('b')), type: LISTS })).status, 201)
  })
})

describe('the capabilities', () => {
  const CAPS = '/xcap-caps/global/index'
  test('list the application usages and their namespaces', async (t) => {
    const ask = await xcap(t)
    const { status, headers, body } = await ask('GET', CAPS)
    assert.deepEqual([status, headers['content-type']], [200, 'application/xcap-caps+xml'])
    for (const auid of ['resource-lists', 'rls-services', 'pres-rules', 'simservs.ngn.etsi.org', 'xcap-caps']) {
      assert.match(body, new RegExp(`<auid>${auid}</auid>`))
    }
    assert.match(body, new RegExp(`<namespace>${RESOURCE_LISTS}</namespace>`))
  })

  test('are read like any document', async (t) => {
    const ask = await xcap(t)
    const { headers } = await ask('GET', CAPS)
    assert.equal((await ask('GET', CAPS, { headers: { 'If-None-Match': headers.etag ?? '' } })).status, 304)
    const first = await ask('GET', `${CAPS}/~~/xcap-caps/auids/auid%5B1%5D`)
    assert.deepEqual([first.status, first.body], [200, '<auid>resource-lists</auid>'])
  })

  test('are written by nobody', async (t) => {
    const ask = await xcap(t)
    for (const method of ['PUT', 'DELETE']) {
      const answer = await ask(method, CAPS, { body: '<a/>', type: 'application/xcap-caps+xml' })
      assert.deepEqual([answer.status, answer.headers.allow], [405, 'GET, HEAD'])
    }
  })

  test('are nowhere else', async (t) => {
    const ask = await xcap(t)
    for (const path of ['/xcap-caps/global/other', `/xcap-caps/users/${ALICE}/index`]) {
      assert.equal((await ask('GET', path)).status, 404)
    }
  })
})
