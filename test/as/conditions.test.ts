import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { failedPrecondition, parsePreconditions } from '../../src/as/preconditions.ts'
import { DOCUMENT, ELEMENT, INDEX, LISTS, node, xcap } from './xcap-client.ts'

const ERIN = node('resource-lists/list[1]/entry[@uri="sip:erin@home.example"]')
const CAROL = node('resource-lists/list[1]/entry[@uri="sip:carol@home.example"]')
const ENTRY = { body: '<entry uri="sip:erin@home.example"/>', type: ELEMENT }
const PUT = { body: DOCUMENT, type: LISTS }

async function filled(...args: Parameters<typeof xcap>) {
  const ask = await xcap(...args)
  const { headers } = await ask('PUT', INDEX, PUT)
  return { ask, etag: headers.etag ?? '' }
}

describe('If-None-Match', () => {
  test('answers GET and HEAD with 304 while the tag is current', async (t) => {
    const { ask, etag } = await filled(t)
    for (const [method, path] of [
      ['GET', INDEX],
      ['HEAD', INDEX],
      ['GET', CAROL],
    ] as const) {
      for (const tags of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
        const answer = await ask(method, path, { headers: { 'If-None-Match': tags } })
        assert.deepEqual([answer.status, answer.headers.etag, answer.body], [304, etag, ''], `${method} ${tags}`)
      }
      assert.equal((await ask(method, path, { headers: { 'If-None-Match': '"other"' } })).status, 200)
    }
  })

  test('* lets a document be created and not replaced', async (t) => {
    const ask = await xcap(t)
    const headers = { 'If-None-Match': '*' }
    assert.equal((await ask('PUT', INDEX, { ...PUT, headers })).status, 201)
    assert.equal((await ask('PUT', INDEX, { ...PUT, headers })).status, 412)
  })

  test('* asks for the element, where one is addressed', async (t) => {
    const { ask } = await filled(t)
    const headers = { 'If-None-Match': '*' }
    assert.equal((await ask('PUT', ERIN, { ...ENTRY, headers })).status, 201)
    assert.equal((await ask('PUT', ERIN, { ...ENTRY, headers })).status, 412)
  })

  test('* is met by exactly one of many that come at once', async (t) => {
    const ask = await xcap(t)
    const headers = { 'If-None-Match': '*' }
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask('PUT', INDEX, { ...PUT, headers })))
    const statuses = answers.map(({ status }) => status).sort()
    assert.deepEqual(statuses, [201, ...Array<number>(19).fill(412)])
  })
})

describe('If-Match', () => {
  test('lets only the holder of the current tag write', async (t) => {
    const { ask, etag } = await filled(t)
    for (const [method, path, send] of [
      ['PUT', INDEX, PUT],
      ['PUT', ERIN, ENTRY],
      ['PUT', CAROL, { ...ENTRY, body: '<entry uri="sip:carol@home.example"/>' }],
      ['DELETE', INDEX, {}],
      ['DELETE', CAROL, {}],
    ] as const) {
      for (const tag of ['"other"', `W/${etag}`]) {
        assert.equal(
          (await ask(method, path, { ...send, headers: { 'If-Match': tag } })).status,
          412,
          `${method} ${tag}`,
        )
      }
    }
    assert.equal((await ask('GET', INDEX)).headers.etag, etag)
    const inserted = await ask('PUT', ERIN, { ...ENTRY, headers: { 'If-Match': `"other", ${etag}` } })
    assert.equal(inserted.status, 201)
    assert.equal((await ask('DELETE', INDEX, { headers: { 'If-Match': etag } })).status, 412)
    assert.equal((await ask('DELETE', INDEX, { headers: { 'If-Match': inserted.headers.etag ?? '' } })).status, 200)
  })

  test('is not met by what does not exist', async (t) => {
    const ask = await xcap(t)
    for (const tag of ['*', '"any"']) {
      assert.equal((await ask('PUT', INDEX, { ...PUT, headers: { 'If-Match': tag } })).status, 412)
    }
    assert.equal((await ask('GET', INDEX)).status, 404)
    await ask('PUT', INDEX, PUT)
    assert.equal((await ask('PUT', ERIN, { ...ENTRY, headers: { 'If-Match': '*' } })).status, 412)
  })

  test('holds for reading too', async (t) => {
    const { ask, etag } = await filled(t)
    assert.equal((await ask('GET', INDEX, { headers: { 'If-Match': '"other"' } })).status, 412)
    assert.equal((await ask('GET', INDEX, { headers: { 'If-Match': etag } })).status, 200)
  })

  test('is met by exactly one of many that come at once with the same tag', async (t) => {
    const { ask, etag } = await filled(t)
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => ask('PUT', INDEX, { ...PUT, headers: { 'If-Match': etag } })),
    )
    assert.equal(answers.filter(({ status }) => status === 200).length, 1)
    assert.equal(answers.filter(({ status }) => status === 412).length, 19)
  })
})

test('a tag in If-None-Match does not keep an element from being inserted', async (t) => {
  const { ask, etag } = await filled(t)
  const once = await ask('PUT', ERIN, { ...ENTRY, headers: { 'If-None-Match': etag } })
  assert.equal(once.status, 201)
  const again = await ask('PUT', ERIN, { ...ENTRY, headers: { 'If-None-Match': once.headers.etag ?? '' } })
  assert.equal(again.status, 412)
})

test('a document that was deleted and made again does not answer to its old tag', async (t) => {
  const { ask, etag } = await filled(t)
  await ask('DELETE', INDEX)
  await ask('PUT', INDEX, PUT)
  assert.equal((await ask('PUT', INDEX, { ...PUT, headers: { 'If-Match': etag } })).status, 412)
  assert.equal((await ask('GET', INDEX, { headers: { 'If-None-Match': etag } })).status, 200)
})

test('what is not there is 404 whatever the condition', async (t) => {
  const ask = await xcap(t)
  for (const headers of [{ 'If-Match': '"a"' }, { 'If-None-Match': '*' }]) {
    assert.equal((await ask('GET', INDEX, { headers })).status, 404)
    assert.equal((await ask('DELETE', INDEX, { headers })).status, 404)
  }
})

test('a condition that cannot be read is 400 and changes nothing', async (t) => {
  const { ask, etag } = await filled(t)
  assert.equal((await ask('DELETE', INDEX, { headers: { 'If-Match': etag.slice(1) } })).status, 400)
  assert.equal((await ask('GET', INDEX)).status, 200)
})

describe('parsePreconditions', () => {
  for (const value of ['', ',', 'a', '"a', 'a"', '"a" "b"', '"a"b', 'w/"a"', '*, "a"', '"a b"', '**', '"a",*']) {
    test(`refuses ${JSON.stringify(value)}`, () => assert.equal(parsePreconditions({ 'if-match': value }), undefined))
  }
  test('reads lists, weak tags and empty elements', () =>
    assert.deepEqual(parsePreconditions({ 'if-none-match': ', "a" ,W/"b,c",,"" ,' })?.ifNoneMatch, [
      { tag: 'a', weak: false },
      { tag: 'b,c', weak: true },
      { tag: '', weak: false },
    ]))
  test('takes no header for no condition', () => {
    assert.deepEqual(parsePreconditions({}), {})
    assert.equal(failedPrecondition({}, false, undefined), undefined)
  })
  test('reads a long header in bounded time', { timeout: 2_000 }, () =>
    assert.equal(parsePreconditions({ 'if-match': `"a"${' ,'.repeat(30_000)}x` }), undefined),
  )
})
