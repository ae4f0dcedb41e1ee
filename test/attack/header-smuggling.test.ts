import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Btid, Impi, Impu } from '../../src/core/identity.ts'
import { GbaError } from '../../src/errors.ts'
import { authorise } from '../../src/ut/authorise.ts'
import { type AppServerPolicy, inspectIdentityHeaders, outgoingHeaders } from '../../src/ut/headers.ts'
import { parseXcapUri } from '../../src/ut/xcap-uri.ts'

// A UE adds, hides, removes or frames headers so that the application server believes it to be somebody else.
const IMPI = '001010123456789@ims.mnc001.mcc001.3gppnetwork.org' as Impi
const BTID = 'I1U8vpY3qJ0hiuZNrke/NQ==@bsf.example.com' as Btid
const ASSERTED = '"sip:alice@example.com"'

const grant = authorise(
  { impi: IMPI, btid: BTID, ussList: [{ gsid: 3, gsType: 3, uids: ['sip:alice@example.com' as Impu], flags: [7] }] },
  parseXcapUri('/resource-lists/users/sip:alice@example.com/index'),
  'PUT',
  undefined,
  { appServer: 'xdms', gsids: [3], ownership: 'owner' },
)
const POLICY: AppServerPolicy = {
  identityHeader: ['X-3GPP-Asserted-Identity'],
  identityQuoted: true,
  authorisationFlags: true,
  hostHeader: 'preserve',
  authority: 'xdms.internal',
}
const send = (received: readonly string[]) =>
  outgoingHeaders(received, grant, POLICY, { contentLength: 3, host: 'xcap.example.com', requestId: 'r1' })
const OURS = {
  host: 'xcap.example.com',
  'content-length': '3',
  'x-request-id': 'r1',
  'x-3gpp-asserted-identity': ASSERTED,
  'x-3gpp-authorization-flags': '"7"',
}

describe('a UE that asserts an identity itself is refused', () => {
  for (const name of [
    'X-3GPP-Asserted-Identity',
    'x-3gpp-asserted-identity',
    'X_3GPP_Asserted_Identity',
    'X-3GPP_Asserted-Identity',
    'X.3GPP.Asserted.Identity',
    'X--3GPP-Asserted-Identity',
    'X-3GPP-AssertedIdentity',
    'X3GPPAssertedIdentity',
    '-X-3GPP-Asserted-Identity',
    'X-3GPP-Asserted-Identity_',
    "X-3GPP-Asserted-Identity'",
    'X-3GPP-Authorization-Flags',
    'X-3GPP-Authorisation-Flags',
    'X_3GPP_AUTHORIZATION_FLAGS',
    'X-XCAP-Asserted-Identity',
    'X_XCAP_Asserted_Identity',
    'P-Asserted-Identity',
    'P_ASSERTED_IDENTITY',
    'PAssertedIdentity',
    'X_3GPP_Intended_Identity',
    'X-3GPP-IntendedIdentity',
  ]) {
    test(name, () => {
      for (const received of [
        [name, ASSERTED],
        ['Accept', '*/*', name, ''],
        [name, ASSERTED, 'Connection', name],
      ]) {
        assert.throws(
          () => inspectIdentityHeaders(received),
          (error) => error instanceof GbaError && error.code === 'UT_IDENTITY_HEADER_FORBIDDEN',
        )
      }
      assert.deepEqual(send([name, '"sip:bob@example.com"']), OURS, 'and would not pass if it were not refused')
    })
  }
  test('an ordinary request is not', () => {
    inspectIdentityHeaders(['X-3GPP-Intended-Identity', ASSERTED, 'User-Agent', 'x 3gpp-gba', 'If-Match', '"v1"'])
    inspectIdentityHeaders(['x-3gpp-intended-identity', ASSERTED])
  })
})

describe('headers that tell a server another user, address, path, method or framing do not pass', () => {
  for (const name of [
    ...[
      'Authorization',
      'Proxy-Authorization',
      'Cookie',
      'Cookie2',
      'From',
      'Forwarded',
      'Via',
      'P-Preferred-Identity',
    ],
    ...[
      'X-Forwarded-For',
      'X-Forwarded-Host',
      'X-Forwarded-User',
      'X-Forwarded-Proto',
      'X_Forwarded_For',
      'X-Real-IP',
      'X-Client-IP',
    ],
    ...[
      'X-Original-URL',
      'X-Rewrite-URL',
      'X-Original-Host',
      'X-Host',
      'X-HTTP-Method-Override',
      'X-HTTP-Method',
      'X-Method-Override',
    ],
    ...[
      'Remote-User',
      'X-Remote-User',
      'X-Authenticated-User',
      'X-User',
      'X-User-Id',
      'X-Client-Cert',
      'SSL-Client-Cert',
      'X-SSL-Client-DN',
      'Client-Cert',
    ],
    ...[
      'X-MSISDN',
      'X-IMSI',
      'X-Up-Calling-Line-ID',
      'X-Nokia-MSISDN',
      'X-3GPP-Foo',
      'X-XCAP-Foo',
      '3gpp-Sbi-Foo',
      'X-AKMA-Foo',
    ],
    ...[
      'Connection',
      'Keep-Alive',
      'Proxy-Connection',
      'TE',
      'Trailer',
      'Transfer-Encoding',
      'Upgrade',
      'Expect',
      'HTTP2-Settings',
    ],
    ...[
      'Content-Length',
      'Host',
      'X-Request-ID',
      'Traceparent',
      'Baggage',
      'Content_Length',
      'Transfer_Encoding',
      'If_Match',
      'X Y',
      'X\tY',
      'X:Y',
      '',
    ],
  ]) {
    test(name === '' ? 'a header without name' : name, () => {
      assert.deepEqual(send([name, 'x']), OURS)
      assert.deepEqual(send([name.toUpperCase(), 'x', name.toLowerCase(), 'y']), OURS)
    })
  }
})

describe('Connection', () => {
  test('cannot remove what the proxy writes', () => {
    const names = Object.keys(OURS).join(', ')
    assert.deepEqual(send(['Connection', names, 'connection', names.toUpperCase()]), OURS)
  })
  test('takes away what it names, in every line and letter case', () =>
    assert.deepEqual(
      send(['X-Hop', '1', 'Connection', 'close,\t x-HOP', 'connection', ' x-hop2 ', 'X-Hop2', '2', 'X-End', '3']),
      { 'x-end': '3', ...OURS },
    ))
})

test('a header with one value is refused when it comes twice', () => {
  for (const name of ['Content-Type', 'If-Modified-Since', 'Range', 'User-Agent']) {
    assert.throws(
      () => send([name, 'a', name.toLowerCase(), 'b']),
      (error) => error instanceof GbaError && error.code === 'UT_REQUEST_MALFORMED',
    )
  }
})

test('a name that is a member of every object is a header like any other', () => {
  assert.deepEqual(send(['constructor', 'x', 'tostring', 'y']), { constructor: 'x', tostring: 'y', ...OURS })
  assert.deepEqual(send(['__proto__', 'x']), OURS)
})

describe('no value with a private identity passes', () => {
  const encode = (text: string) => [...Buffer.from(text)].map((octet) => `%${octet.toString(16)}`).join('')
  for (const value of [
    IMPI,
    IMPI.toUpperCase(),
    `Digest username="${IMPI}"`,
    encodeURIComponent(IMPI),
    encodeURIComponent(encodeURIComponent(IMPI)),
    encode(IMPI),
    'imsi-001010123456789',
    encode('001010123456789'),
    BTID,
    `x ${BTID.split('@')[0]} y`,
    encodeURIComponent(BTID),
    encodeURIComponent(encodeURIComponent(BTID)),
    encode(BTID),
  ]) {
    test(value, () =>
      assert.deepEqual(send(['Referer', value, 'X-Vendor', value, 'X-End', '1']), { 'x-end': '1', ...OURS }),
    )
  }
})

test('no value with a private identity that is no IMSI passes either', () => {
  const isim = authorise(
    {
      impi: 'user1_private@home1.net' as Impi,
      btid: BTID,
      ussList: [{ gsid: 3, gsType: 3, uids: grant.assertedIdentities, flags: [7] }],
    },
    grant.uri,
    'PUT',
    undefined,
    { appServer: 'xdms', gsids: [3], ownership: 'owner' },
  )
  const framing = { contentLength: 3, host: 'xcap.example.com', requestId: 'r1' }
  const received = [
    'X-Vendor',
    'x=User1_Private@HOME1.net',
    'Referer',
    'user1%5Fprivate%40home1.net',
    'X-End',
    'user1@home1.net',
  ]
  assert.deepEqual(outgoingHeaders(received, isim, POLICY, framing), { 'x-end': 'user1@home1.net', ...OURS })
})

describe('whatever headers come', () => {
  const evil = [
    ...[
      'X-3GPP-Asserted-Identity',
      'x_3gpp_asserted_identity',
      'X--3gpp--asserted--identity',
      'X.3GPP.Asserted.Identity',
      'P-Asserted-Identity',
      'X-XCAP-Asserted-Identity',
    ],
    ...[
      'X-3GPP-Authorization-Flags',
      'X_3GPP_Authorization_Flags',
      'X-3GPP-Intended-Identity',
      'Authorization',
      'authorization',
      'Author_ization',
      'Proxy-Authorization',
    ],
    ...[
      'Connection',
      'connection',
      'Host',
      'Content-Length',
      'Transfer-Encoding',
      'Cookie',
      'X-Request-ID',
      '__proto__',
      'constructor',
      'Accept',
      'X-Vendor',
      'If-Match',
    ],
  ]
  const name = fc.oneof(fc.constantFrom(...evil), fc.string({ unit: fc.constantFrom(...'xX-_.3gGpPaA ') }), fc.string())
  const value = fc.oneof(
    fc.constantFrom(
      ASSERTED,
      '"sip:bob@example.com"',
      IMPI,
      BTID,
      encodeURIComponent(BTID),
      'x\r\nX-3GPP-Asserted-Identity: y',
      'close',
    ),
    fc.array(fc.constantFrom(...evil, 'close')).map((names) => names.join(', ')),
    fc.string(),
  )
  const received = fc.array(fc.tuple(name, value), { maxLength: 12 }).map((lines) => lines.flat())
  const fold = (text: string) => text.toLowerCase().replace(/[^a-z0-9]/g, '')

  const NEVER = /authorization|^connection$|^cookie$|^transferencoding$|^passerted|^xxcap|^x3gpp/

  test('ours are there once and unchanged, and nothing passes for them', () => {
    fc.assert(
      fc.property(received, (lines) => {
        const sent = send(lines)
        for (const [key, own] of Object.entries(OURS)) {
          assert.equal(sent[key], own)
          assert.deepEqual(
            Object.keys(sent).filter((other) => fold(other) === fold(key)),
            [key],
          )
        }
        for (const [key, values] of Object.entries(sent)) {
          assert.match(key, /^[a-z0-9-]+$/)
          if (!(key in OURS)) assert.doesNotMatch(fold(key), NEVER)
          for (const text of [values].flat()) {
            assert.doesNotMatch(text, /[^\t\x20-\x7e\x80-\xff]/)
            if (!(key in OURS))
              assert.ok(![IMPI, BTID, '001010123456789'].some((secret) => decode(text).includes(secret)), text)
          }
        }
      }),
      { numRuns: 10_000 },
    )
  })
  const decode = (text: string) =>
    text.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
})
