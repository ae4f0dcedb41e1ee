import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Btid, Impu } from '../../src/core/identity.ts'
import { authorise } from '../../src/ut/authorise.ts'
import {
  type AppServerPolicy,
  headTextOf,
  incomingHeaders,
  type OutgoingHeaders,
  outgoingHeaders,
  prepare,
  preparedTarget,
  returnedFields,
} from '../../src/ut/headers.ts'
import { parseXcapUri } from '../../src/ut/xcap-uri.ts'

const ALICE = 'sip:alice@example.com' as Impu
const TARGET = `/resource-lists/users/${ALICE}/index`
const POLICY: AppServerPolicy = {
  identityHeader: ['X-3GPP-Asserted-Identity'],
  identityQuoted: true,
  authorisationFlags: false,
  hostHeader: 'preserve',
  authority: 'xdms.internal:8080',
}
const FRAMING = { host: 'xcap.example.com', requestId: 'r1' }
const grantFor = (method = 'GET') =>
  authorise(
    {
      btid: 'I1U8vpY3qJ0hiuZNrke/NQ==@bsf.example.com' as Btid,
      ussList: [{ gsid: 3, gsType: 3, uids: [ALICE], flags: [] }],
    },
    parseXcapUri(TARGET),
    method,
    undefined,
    { appServer: 'xdms', gsids: [3], ownership: 'owner' },
  )

describe('the head of a prepared request', () => {
  test('is its request line and fields, Host first', () => {
    const headers = outgoingHeaders(['Accept', 'a/b', 'If-Match', '"v1"'], grantFor('PUT'), POLICY, {
      ...FRAMING,
      contentLength: 3,
    })
    assert.equal(
      headTextOf('PUT', TARGET, headers),
      [
        `PUT ${TARGET} HTTP/1.1`,
        'host: xcap.example.com',
        'accept: a/b',
        'if-match: "v1"',
        'content-length: 3',
        'x-request-id: r1',
        `x-3gpp-asserted-identity: "${ALICE}"`,
        '',
        '',
      ].join('\r\n'),
    )
  })

  test('has a line for each of several values', () => {
    const headers = outgoingHeaders(['Accept', 'a/b', 'accept', 'c/d'], grantFor(), POLICY, FRAMING)
    assert.match(headTextOf('GET', TARGET, headers), /\r\naccept: a\/b\r\naccept: c\/d\r\n/)
  })

  test('says what the headers of the general lane say, for any fields', () => {
    const field = fc.tuple(
      fc.constantFrom('Accept', 'X-A', 'x-a', 'User-Agent', 'X-é', 'Connection'),
      fc.string({ unit: 'binary' }),
    )
    fc.assert(
      fc.property(fc.uniqueArray(field, { maxLength: 6, selector: ([name]) => name }), (fields) => {
        const grant = grantFor()
        const headers = outgoingHeaders(fields.flat(), grant, POLICY, FRAMING)
        const lines = headTextOf('GET', preparedTarget(headers, grant) ?? '', headers).split('\r\n')
        const expected = Object.entries(headers).flatMap(([name, value]) =>
          [value].flat().map((one) => `${name}: ${one}`),
        )
        assert.deepEqual(lines.slice(1, -2).sort(), expected.sort())
        assert.deepEqual(lines.slice(-2), ['', ''])
      }),
    )
  })

  test('is made of no other headers, method or target than those that were prepared together', () => {
    const { headers, target } = prepare(grantFor(), POLICY, [], FRAMING)
    for (const forged of [{ ...headers }, { host: 'a' }, Object.create(headers)]) {
      assert.throws(() => headTextOf('GET', target, forged as OutgoingHeaders), TypeError)
    }
    assert.throws(() => headTextOf('DELETE', target, headers), TypeError)
    assert.throws(() => headTextOf('GET', `${target}/x`, headers), TypeError)
  })

  for (const [what, framing] of [
    ['a line end in the host', { ...FRAMING, host: 'a\r\nx: y' }],
    ['a line feed alone', { ...FRAMING, requestId: 'r\nx: y' }],
    ['a NUL', { ...FRAMING, requestId: 'r\0' }],
    ['a character that is no octet', { ...FRAMING, requestId: 'Ā' }],
  ] as const) {
    test(`is not written with ${what} in it`, () => {
      const { headers, target } = prepare(grantFor(), POLICY, [], framing)
      assert.throws(() => headTextOf('GET', target, headers), TypeError)
    })
  }

  for (const method of ['', 'G ET', 'GET\r\n', 'GÉT']) {
    test(`is not written for the method ${JSON.stringify(method)}`, () => {
      const { headers, target } = prepare(grantFor(method), { ...POLICY }, [], FRAMING)
      assert.throws(() => headTextOf(method, target, headers), TypeError)
    })
  }
})

describe('the fields of an answer that are returned', () => {
  const names = [
    'ETag',
    'Content-Length',
    'content-type',
    'X-Hop',
    'Server',
    'Connection',
    'Transfer-Encoding',
    'X_A',
    'Via',
    'Date',
  ]
  const field = fc.tuple(
    fc.constantFrom(...names),
    fc.oneof(
      fc.constantFrom('x', 'close', 'keep-alive', 'X-Hop', 'close, etag', '', 'a\nb', 'Ā'),
      fc.string({ unit: 'binary' }),
    ),
  )

  test('are those of the general lane, for any answer', () => {
    fc.assert(
      fc.property(fc.array(field, { maxLength: 8 }), (fields) => {
        const together: Record<string, string | string[]> = {}
        for (const [name, value] of fields) {
          const before = together[name.toLowerCase()]
          together[name.toLowerCase()] = before === undefined ? value : [before, value].flat()
        }
        const general = Object.entries(incomingHeaders(together)).flatMap(([name, value]) =>
          [value ?? []].flat().map((one) => `${name}: ${one}`),
        )
        const returned = returnedFields(fields.flat())
        const lines = Array.from(
          { length: returned.length / 2 },
          (_, i) => `${returned[2 * i]}: ${returned[2 * i + 1]}`,
        )
        assert.deepEqual(lines.sort(), general.sort())
      }),
      { numRuns: 1_000 },
    )
  })

  test('stay in their order, several lines of a name apart, and Content-Length with them', () => {
    assert.deepEqual(
      returnedFields(['ETag', '"1"', 'Link', 'a', 'Content-Length', '3', 'Link', 'b', 'Keep-Alive', 'timeout=5']),
      ['etag', '"1"', 'link', 'a', 'content-length', '3', 'link', 'b'],
    )
  })
})
