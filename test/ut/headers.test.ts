import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { Btid, Impi, Impu } from '../../src/core/identity.ts'
import { GbaError } from '../../src/errors.ts'
import { authorise, type Grant } from '../../src/ut/authorise.ts'
import { type AppServerPolicy, incomingHeaders, outgoingHeaders } from '../../src/ut/headers.ts'
import { parseXcapUri } from '../../src/ut/xcap-uri.ts'
import { vectors } from '../support/vectors.ts'

const ALICE = 'sip:alice@example.com' as Impu
const NUMBER = 'tel:+15550100123' as Impu
const POLICY: AppServerPolicy = {
  identityHeader: ['X-3GPP-Asserted-Identity'],
  identityQuoted: true,
  authorisationFlags: true,
  hostHeader: 'preserve',
  authority: 'xdms.internal:8080',
}
const FRAMING = { host: 'xcap.example.com', requestId: 'r1' }

const grantFor = ({
  uids = [ALICE, NUMBER],
  flags = [1, 2],
  intended,
  assert: assertion = 'one',
}: {
  uids?: readonly Impu[]
  flags?: readonly number[]
  intended?: Impu
  assert?: 'one' | 'all'
} = {}): Grant =>
  authorise(
    {
      impi: '001010123456789@ims.mnc001.mcc001.3gppnetwork.org' as Impi,
      btid: 'I1U8vpY3qJ0hiuZNrke/NQ==@bsf.example.com' as Btid,
      ussList: [{ gsid: 3, gsType: 3, uids, flags }],
    },
    parseXcapUri('/xcap-caps/global/index'),
    'GET',
    intended,
    { appServer: 'xdms', gsids: [3], ownership: 'owner', assert: assertion },
  )

describe('outgoingHeaders', () => {
  test('turns the golden request into the golden forwarded one', () => {
    const { ua, identities, btid } = vectors<{
      ua: { request1: string; request2_authorization: string; forwardedToAS_headers: string[] }
      identities: { impi: Impi; impus: Impu[] }
      btid: Btid
    }>('golden-flow.json')
    const [head = ''] = ua.request1.split('\r\n\r\n')
    const [requestLine = '', ...lines] = head.split('\r\n')
    const [method = '', target = ''] = requestLine.split(' ')
    const received = [...lines.flatMap((line) => line.split(': ')), 'Authorization', ua.request2_authorization]
    const grant = authorise(
      { impi: identities.impi, btid, ussList: [{ gsid: 3, gsType: 3, uids: identities.impus, flags: [1] }] },
      parseXcapUri(target),
      method,
      identities.impus[0],
      { appServer: 'as', gsids: [3], ownership: 'owner' },
    )
    const sent = outgoingHeaders(
      received,
      grant,
      { ...POLICY, authorisationFlags: false, forwardIntendedIdentity: true },
      { contentLength: 392, host: 'xcap.ims.mnc001.mcc001.pub.3gppnetwork.org', requestId: 'r1' },
    )
    const expected = ua.forwardedToAS_headers.slice(1).map((line) => line.split(': '))
    assert.deepEqual(sent, {
      ...Object.fromEntries(expected.map(([name = '', value]) => [name.toLowerCase(), value])),
      'user-agent': 'ue-sim/1.0 3gpp-gba',
      'x-request-id': 'r1',
    })
  })

  test('passes what XCAP lives on', () => {
    const received = [
      'If-Match',
      '"v1"',
      'If-None-Match',
      '*',
      'Accept',
      'application/xcap-el+xml',
      'Accept-Encoding',
      '',
      'Content-Type',
      'application/xcap-el+xml',
      'X-Vendor',
      'kept',
    ]
    const sent = outgoingHeaders(received, grantFor(), POLICY, FRAMING)
    for (let i = 0; i < received.length; i += 2) assert.equal(sent[received[i]?.toLowerCase() ?? ''], received[i + 1])
  })
  test('keeps several lines of a list apart', () =>
    assert.deepEqual(outgoingHeaders(['Accept', 'a/b', 'accept', 'c/d'], grantFor(), POLICY, FRAMING).accept, [
      'a/b',
      'c/d',
    ]))

  describe('identity', () => {
    const all = grantFor({ assert: 'all' })
    const cases: readonly (readonly [
      name: string,
      policy: Partial<AppServerPolicy>,
      expected: Record<string, string | undefined>,
    ])[] = [
      ['quoted', {}, { 'x-3gpp-asserted-identity': '"sip:alice@example.com","tel:+15550100123"' }],
      ['unquoted', { identityQuoted: false }, { 'x-3gpp-asserted-identity': 'sip:alice@example.com,tel:+15550100123' }],
      [
        'in the header of OMA',
        { identityHeader: ['X-XCAP-Asserted-Identity'] },
        {
          'x-3gpp-asserted-identity': undefined,
          'x-xcap-asserted-identity': '"sip:alice@example.com","tel:+15550100123"',
        },
      ],
      [
        'in the header of SIP',
        { identityHeader: ['P-Asserted-Identity'] },
        { 'p-asserted-identity': '<sip:alice@example.com>, <tel:+15550100123>' },
      ],
      [
        'in two headers',
        { identityHeader: ['X-3GPP-Asserted-Identity', 'X-XCAP-Asserted-Identity'], identityQuoted: false },
        {
          'x-3gpp-asserted-identity': 'sip:alice@example.com,tel:+15550100123',
          'x-xcap-asserted-identity': 'sip:alice@example.com,tel:+15550100123',
        },
      ],
      ['with flags', {}, { 'x-3gpp-authorization-flags': '"1","2"' }],
      ['without flags', { authorisationFlags: false }, { 'x-3gpp-authorization-flags': undefined }],
    ]
    for (const [name, policy, expected] of cases) {
      test(name, () => {
        const sent = outgoingHeaders([], all, { ...POLICY, ...policy }, FRAMING)
        for (const [key, value] of Object.entries(expected)) assert.equal(sent[key], value)
      })
    }
    test('with no flags there is no flag header', () =>
      assert.equal(
        'x-3gpp-authorization-flags' in outgoingHeaders([], grantFor({ flags: [] }), POLICY, FRAMING),
        false,
      ))
    test('P-Asserted-Identity has one SIP and one tel URI at most', () => {
      const uids = [ALICE, 'sip:a2@example.com', NUMBER, 'tel:+2'] as Impu[]
      const sent = outgoingHeaders(
        [],
        grantFor({ uids, assert: 'all' }),
        { ...POLICY, identityHeader: ['P-Asserted-Identity'] },
        FRAMING,
      )
      assert.equal(sent['p-asserted-identity'], '<sip:alice@example.com>, <tel:+15550100123>')
    })
    test('one with a comma is not asserted without quotation marks', () => {
      const comma = grantFor({ uids: ['sip:a,b@example.com' as Impu] })
      assert.equal(outgoingHeaders([], comma, POLICY, FRAMING)['x-3gpp-asserted-identity'], '"sip:a,b@example.com"')
      assert.throws(
        () => outgoingHeaders([], comma, { ...POLICY, identityQuoted: false }, FRAMING),
        (error) => error instanceof GbaError && error.code === 'UT_IDENTITY_MALFORMED',
      )
    })
    test('the intended identity is dropped, unless the server wants it: then it is written anew', () => {
      const grant = grantFor({ intended: NUMBER })
      const received = ['X-3GPP-Intended-Identity', 'tel:+1-555-010-0123']
      assert.equal('x-3gpp-intended-identity' in outgoingHeaders(received, grant, POLICY, FRAMING), false)
      const wanted = outgoingHeaders(received, grant, { ...POLICY, forwardIntendedIdentity: true }, FRAMING)
      assert.equal(wanted['x-3gpp-intended-identity'], '"tel:+15550100123"')
    })
  })

  describe('framing', () => {
    test('the length is that of the body we send', () => {
      const received = ['Content-Length', '7', 'Transfer-Encoding', 'chunked']
      const sent = outgoingHeaders(received, grantFor(), POLICY, { ...FRAMING, contentLength: 5 })
      assert.equal(sent['content-length'], '5')
      assert.equal('transfer-encoding' in sent, false)
    })
    test('an empty body has length 0, no body has none', () => {
      assert.equal(outgoingHeaders([], grantFor(), POLICY, { ...FRAMING, contentLength: 0 })['content-length'], '0')
      assert.equal('content-length' in outgoingHeaders(['Content-Length', '7'], grantFor(), POLICY, FRAMING), false)
    })
    test('the host is the verified one, or the server’s own', () => {
      const received = ['Host', 'evil.example', 'host', 'two.example']
      assert.equal(outgoingHeaders(received, grantFor(), POLICY, FRAMING).host, 'xcap.example.com')
      const upstream = outgoingHeaders(received, grantFor(), { ...POLICY, hostHeader: 'upstream' }, FRAMING)
      assert.equal(upstream.host, 'xdms.internal:8080')
    })
    test('the request id is ours', () =>
      assert.equal(outgoingHeaders(['X-Request-ID', 'theirs'], grantFor(), POLICY, FRAMING)['x-request-id'], 'r1'))
  })

  test('throws without a grant, and with a forged one', () => {
    assert.throws(() => outgoingHeaders([], {} as Grant, POLICY, FRAMING), TypeError)
    const altered: Grant = { ...grantFor(), assertedIdentities: ['sip:bob@example.com' as Impu] }
    assert.throws(() => outgoingHeaders([], altered, POLICY, FRAMING), TypeError)
  })
})

describe('incomingHeaders', () => {
  test('passes what XCAP lives on', () => {
    const answer = {
      etag: '"v1"',
      'content-type': 'application/xcap-error+xml',
      'content-length': '3',
      allow: 'GET',
      'last-modified': 'x',
      location: '/a',
    }
    assert.deepEqual(incomingHeaders(answer), answer)
  })
  for (const name of [
    'WWW-Authenticate',
    'Proxy-Authenticate',
    'Authentication-Info',
    'Proxy-Authentication-Info',
    'Set-Cookie',
    'Connection',
    'Keep-Alive',
    'Transfer-Encoding',
    'Trailer',
    'Upgrade',
    'X-3GPP-Asserted-Identity',
    'X_3GPP_Asserted_Identity',
    'X-3GPP-Authorization-Flags',
    'X-XCAP-Asserted-Identity',
    'P-Asserted-Identity',
    'Server',
    'Via',
    'Alt-Svc',
    'X-Request-Id',
    'X-Accel-Redirect',
  ]) {
    test(`drops ${name}`, () => {
      assert.deepEqual(incomingHeaders({ [name]: 'x', etag: '"v1"' }), { etag: '"v1"' })
      assert.deepEqual(incomingHeaders({ [name.toLowerCase()]: 'x' }), {})
    })
  }
  test('drops what Connection names', () =>
    assert.deepEqual(incomingHeaders({ connection: 'close, X-Hop', 'x-hop': '1', 'x-end': '2' }), { 'x-end': '2' }))
  test('drops a value that no header can carry', () =>
    assert.deepEqual(incomingHeaders({ 'x-a': 'b\r\nSet-Cookie: c', 'x-b': 'ü', 'x-c': ['ok', 'Ā'] }), { 'x-b': 'ü' }))
})
