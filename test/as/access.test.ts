import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { pino } from 'pino'
import { parseAssertedIdentities } from '../../src/as/asserted-identity.ts'
import { parseAsTarget } from '../../src/as/request-target.ts'
import { GbaError } from '../../src/errors.ts'
import { memoryDocumentStore } from '../../src/store/memory.ts'
import { ALICE, ATTRIBUTE, BOB, DOCUMENT, ELEMENT, INDEX, LISTS, node, xcap } from './xcap-client.ts'

const PUT = { body: DOCUMENT, type: LISTS }

describe('a tree of a user', () => {
  for (const method of ['GET', 'HEAD', 'PUT', 'DELETE']) {
    test(`is closed to ${method} of nobody in particular (401) and of others (403)`, async (t) => {
      const ask = await xcap(t)
      await ask('PUT', INDEX, PUT)
      for (const [as, status] of [
        [null, 401],
        ['', 401],
        ['""', 401],
        ['"alice"', 401],
        [`"${ALICE}" "${BOB}"`, 401],
        [`"${ALICE}`, 401],
        [`"${BOB}"`, 403],
        [`"sip:ALICE@home.example"`, 403],
        [`"sips:alice@home.example"`, 403],
      ] as const) {
        const answer = await ask(method, INDEX, { ...(method === 'PUT' && PUT), as })
        assert.equal(answer.status, status, String(as))
        assert.equal('www-authenticate' in answer.headers, status === 401)
        assert.equal('etag' in answer.headers, false)
      }
      assert.equal((await ask('GET', INDEX)).body, DOCUMENT)
    })
  }

  test('is open to whoever is asserted with it, in any spelling and among others', async (t) => {
    const ask = await xcap(t)
    for (const as of [
      ALICE,
      `"${ALICE}"`,
      '"sip:alice@HOME.example;user=phone"',
      `"${BOB}", "tel:+1", "${ALICE}"`,
      `${BOB},${ALICE}`,
    ]) {
      assert.equal((await ask('PUT', INDEX, { ...PUT, as })).status < 300, true, as)
    }
  })

  test('is one tree for every spelling of a telephone number', async (t) => {
    const ask = await xcap(t)
    const as = '"tel:+491701234567"'
    const path = (xui: string) => `/resource-lists/users/${xui}/index`
    assert.equal((await ask('PUT', path('tel:+49-170-1234567'), { ...PUT, as })).status, 201)
    assert.equal((await ask('GET', path('tel:%2B491701234567'), { as })).body, DOCUMENT)
    assert.equal((await ask('GET', path('sip:+491701234567@home.example'), { as })).status, 403)
  })

  test('whose owner is no public identity belongs to nobody', async (t) => {
    const ask = await xcap(t)
    for (const xui of ['alice', 'alice@home.example', 'mailto:alice@home.example', '%22']) {
      assert.equal((await ask('GET', `/resource-lists/users/${xui}/index`)).status, 403, xui)
    }
  })
})

describe('the global tree', () => {
  test('is read by anybody and written by nobody', async (t) => {
    const documents = memoryDocumentStore()
    await documents.update('resource-lists/global/index', () => ({
      body: Buffer.from(DOCUMENT),
      contentType: LISTS,
      etag: 'e',
    }))
    const ask = await xcap(t, { documents })
    const path = '/resource-lists/global/index'
    assert.equal((await ask('GET', path, { as: null })).body, DOCUMENT)
    assert.equal((await ask('PUT', path, PUT)).status, 403)
    assert.equal((await ask('DELETE', path)).status, 403)
    assert.equal((await ask('PUT', `${path}2`, PUT)).status, 403)
    assert.equal((await ask('GET', `${path}2`)).status, 404)
  })
})

describe('a target', () => {
  for (const [target, status] of [
    ['/', 400],
    ['/resource-lists', 404],
    ['/resource-lists/users', 404],
    [`/resource-lists/users/${ALICE}`, 404],
    [`/resource-lists/users/${ALICE}/`, 400],
    ['/resource-lists/global', 404],
    [`/resource-lists/Users/${ALICE}/index`, 404],
    [`/Resource-Lists/users/${ALICE}/index`, 404],
    [`/no-such-usage/users/${ALICE}/index`, 404],
    [`/resource-lists/users//index`, 400],
    [`//resource-lists/users/${ALICE}/index`, 400],
    [`/resource-lists/users/${ALICE}/../${BOB}/index`, 400],
    [`/resource-lists/users/${ALICE}/%2e%2e/index`, 400],
    [`/resource-lists/users/${ALICE}/./index`, 400],
    [`/resource-lists/users/${ALICE}/a%2Findex`, 400],
    [`/resource-lists/users/${ALICE}/a%5Cindex`, 400],
    [`/resource-lists/users/${ALICE}/a\\index`, 400],
    [`/resource-lists/users/${ALICE}/a%00`, 400],
    [`/resource-lists/users/${ALICE}/a%C0%AF`, 400],
    [`/resource-lists/users/${ALICE}/a%zz`, 400],
    [`/resource-lists/users/${ALICE}/a%`, 400],
    [`${INDEX}/~~`, 400],
    [`${INDEX}/~~/`, 400],
    [`${INDEX}/~~/list%5B`, 400],
    [`${INDEX}/~~/p:list`, 400],
    [`${INDEX}/~~/list?xmlns(`, 400],
    [`/resource-lists/users/${ALICE}/~~/list`, 404],
    [`${INDEX}${'x'.repeat(1024)}`, 414],
    [`${INDEX}/~~/${'x'.repeat(4097)}`, 414],
    [`${INDEX}/~~/x?${'x'.repeat(4097)}`, 414],
    [`${INDEX}?anything`, 200],
    [`${INDEX}/%7E%7e/resource-lists`, 200],
  ] as const) {
    test(`${target.slice(0, 90)} is ${status}`, async (t) => {
      const ask = await xcap(t)
      await ask('PUT', INDEX, PUT)
      assert.equal((await ask('GET', target)).status, status)
    })
  }

  test('in absolute form is refused', async (t) => {
    const ask = await xcap(t)
    assert.equal((await ask('GET', `http://home.example${INDEX}`)).status, 404)
  })
})

test('a target of other than printable ASCII is refused', () => {
  for (const target of ['/resource-lists/global/é', '/resource-lists/global/a b', '/resource-lists/global/a\u007f']) {
    assert.equal(parseAsTarget(target), 400)
  }
})

describe('a request', () => {
  for (const method of ['POST', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND']) {
    test(`with ${method} is told the methods there are`, async (t) => {
      const ask = await xcap(t)
      const answer = await ask(method, INDEX)
      assert.deepEqual([answer.status, answer.headers.allow], [405, 'GET, HEAD, PUT, DELETE'])
    })
  }

  for (const [what, path, type] of [
    ['no type for a document', INDEX, undefined],
    ['plain XML for a document', INDEX, 'application/xml'],
    ['JSON for a document', INDEX, 'application/json'],
    ['the type of another usage for a document', INDEX, 'application/auth-policy+xml'],
    ['an element for a document', INDEX, ELEMENT],
    ['a document for an element', node('resource-lists'), LISTS],
    ['an element for an attribute', node('resource-lists/@a'), ELEMENT],
    ['an attribute for an element', node('resource-lists'), ATTRIBUTE],
    ['a type that is none', INDEX, 'resource-lists'],
  ] as const) {
    test(`that sends ${what} is 415`, async (t) => {
      const ask = await xcap(t)
      await ask('PUT', INDEX, PUT)
      const sent = await ask('PUT', path, { body: DOCUMENT, ...(type !== undefined && { type }) })
      assert.equal(sent.status, 415)
    })
  }

  test('may write the media type in any case and with parameters', async (t) => {
    const ask = await xcap(t)
    const type = 'Application/Resource-Lists+XML; charset="utf-8"'
    assert.equal((await ask('PUT', INDEX, { body: DOCUMENT, type })).status, 201)
    assert.equal((await ask('GET', INDEX)).headers['content-type'], LISTS)
  })

  test('with a coded or partial body is refused', async (t) => {
    const ask = await xcap(t)
    assert.equal((await ask('PUT', INDEX, { ...PUT, headers: { 'Content-Encoding': 'gzip' } })).status, 415)
    assert.equal((await ask('PUT', INDEX, { ...PUT, headers: { 'Content-Range': 'bytes 0-9/10' } })).status, 400)
    assert.equal((await ask('GET', INDEX)).status, 404)
  })

  test('with a body over the limit is 413', async (t) => {
    const ask = await xcap(t, { bodyLimit: 1000 })
    const padded = (length: number) => DOCUMENT.padEnd(length)
    assert.equal((await ask('PUT', INDEX, { body: padded(1000), type: LISTS })).status, 201)
    assert.equal((await ask('PUT', INDEX, { body: padded(1001), type: LISTS })).status, 413)
  })

  test('without body is no document', async (t) => {
    const ask = await xcap(t)
    assert.equal((await ask('PUT', INDEX, { type: LISTS })).status, 409)
    assert.equal((await ask('PUT', INDEX)).status, 415)
  })

  test('that is refused is answered by a problem that repeats nothing of it', async (t) => {
    const ask = await xcap(t)
    const answer = await ask('GET', INDEX, { as: `"${BOB}"` })
    assert.match(answer.headers['content-type'] ?? '', /^application\/problem\+json/)
    assert.equal(JSON.parse(answer.body).status, 403)
    assert.doesNotMatch(answer.body, /alice|bob|index/)
    const malformed = await ask('GET', '/resource-lists/users/sip:alice@home.example/%zz')
    assert.doesNotMatch(malformed.body, /alice|zz/)
  })

  test('is 503 while the store is away, and 500 when the store misbehaves', async (t) => {
    const away = (error: Error) => ({ find: () => Promise.reject(error), update: () => Promise.reject(error) })
    for (const [error, status] of [
      [new GbaError('STORE_UNAVAILABLE', `cannot reach ${ALICE}`), 503],
      [new Error(`broken at ${ALICE}`), 500],
    ] as const) {
      const ask = await xcap(t, { documents: away(error) })
      for (const answer of [await ask('GET', INDEX), await ask('PUT', INDEX, PUT), await ask('DELETE', INDEX)]) {
        assert.equal(answer.status, status)
        assert.doesNotMatch(answer.body, /alice/)
      }
    }
  })
})

test('no log line names a path or an identity', async (t) => {
  const lines: string[] = []
  const log = pino({ level: 'trace' }, { write: (line: string) => void lines.push(line) })
  const ask = await xcap(t, { log, bodyLimit: 1000 })
  await ask('PUT', INDEX, PUT)
  await ask('GET', INDEX)
  await ask('GET', INDEX, { as: BOB })
  await ask('GET', `${INDEX}%zz`)
  await ask('PROPFIND', INDEX)
  await ask('PUT', INDEX, { body: DOCUMENT.padEnd(1001), type: LISTS })
  assert.doesNotMatch(lines.join(''), /alice|bob|index|resource-lists/)
})

describe('parseAssertedIdentities', () => {
  for (const value of [
    undefined,
    '',
    ' ',
    ',',
    '"',
    '"sip:a@b"x',
    '"sip:a@b";x',
    'sip:a@b sip:c@d',
    '"sip:a\\"@b"',
    '"sip:a@b","c"',
    `${'"sip:a@b.example",'.repeat(600)}"sip:a@b.example"`,
  ]) {
    test(`is undefined for ${JSON.stringify(value)?.slice(0, 30)}`, () =>
      assert.equal(parseAssertedIdentities(value), undefined))
  }
  test('keeps a comma between quotation marks', () =>
    assert.deepEqual(parseAssertedIdentities('"sip:a,b@c.example" ,"sip:d@c.example"'), [
      'sip:a,b@c.example',
      'sip:d@c.example',
    ]))
})
