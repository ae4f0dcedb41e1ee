import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { faultOfFixedHeader } from '../../src/core/header-names.ts'
import type { Btid, Impu } from '../../src/core/identity.ts'
import { authorise, type Grant } from '../../src/ut/authorise.ts'
import { type AppServerPolicy, prepare, preparedTarget } from '../../src/ut/headers.ts'
import { parseXcapUri } from '../../src/ut/xcap-uri.ts'

const ALICE = 'sip:alice@example.com' as Impu
const POLICY: AppServerPolicy = {
  identityHeader: ['X-3GPP-Asserted-Identity'],
  identityQuoted: true,
  authorisationFlags: false,
  hostHeader: 'upstream',
  authority: 'xdms.internal',
}
const FRAMING = { host: 'xcap.example.com', requestId: 'r1' }

function grantFor(target: string, xcapRoot = ''): Grant {
  const ussList = [{ gsid: 3, gsType: 3, uids: [ALICE], flags: [] }]
  const policy = { appServer: 'xdms', gsids: [3], ownership: 'as-decides' } as const
  const btid = 'I1U8vpY3qJ0hiuZNrke/NQ==@bsf.example.com' as Btid
  return authorise({ btid, ussList }, parseXcapUri(target, xcapRoot), 'PUT', undefined, policy)
}

describe('the root of the target', () => {
  const REST = '/resource-lists/users/sip%3Aalice@example.com/index/~~/a%5B@b=%22c%22%5D?xmlns(a=b)'
  const cases: readonly (readonly [xcapRoot: string, upstreamRoot: string | undefined, sent: string])[] = [
    ['', undefined, ''],
    ['', '', ''],
    ['', '/', ''],
    ['', '/xcap-root', '/xcap-root'],
    ['/services', undefined, '/services'],
    ['/services', '', '/services'],
    ['/services', '/', ''],
    ['/services/', '/a/b/', '/a/b'],
    ['/services', '/services/services', '/services/services'],
  ]
  for (const [xcapRoot, upstreamRoot, sent] of cases) {
    test(`${xcapRoot || 'none'} becomes ${upstreamRoot ?? 'what it was'}, and all behind it stays`, () => {
      const grant = grantFor(xcapRoot.replace(/\/$/, '') + REST, xcapRoot)
      const policy = { ...POLICY, xcapRoot, ...(upstreamRoot !== undefined && { upstreamRoot }) }
      const { target, headers } = prepare(grant, policy, [], FRAMING)
      assert.equal(target, sent + REST)
      assert.equal(preparedTarget(headers, grant), target)
      assert.equal(grant.target, xcapRoot.replace(/\/$/, '') + REST, 'what was authorised is kept')
    })
  }
  test('is replaced where it is the root, and nowhere else', () => {
    const document = fc.constantFrom('services', 'a', 'services.xml', 'x%20y')
    fc.assert(
      fc.property(fc.array(document, { minLength: 1, maxLength: 5 }), (path) => {
        const rest = `/services/users/${ALICE}/${path.join('/')}?/services/`
        const policy = { ...POLICY, xcapRoot: '/services', upstreamRoot: '/other' }
        assert.equal(prepare(grantFor(`/services${rest}`, '/services'), policy, [], FRAMING).target, `/other${rest}`)
      }),
    )
  })
  test('of another application server is our mistake, and so is one that is no plain path', () => {
    const grant = grantFor(`/services/a/users/${ALICE}/index`, '/services')
    assert.throws(() => prepare(grant, POLICY, [], FRAMING), TypeError)
    assert.throws(() => prepare(grant, { ...POLICY, xcapRoot: '/serv' }, [], FRAMING), TypeError)
    for (const upstreamRoot of ['other', '/a/../b', '/a%2fb', '//a', '/a?b', 'http://a']) {
      assert.throws(() => prepare(grant, { ...POLICY, xcapRoot: '/services', upstreamRoot }, [], FRAMING), RangeError)
    }
  })
})

describe('what prepare makes', () => {
  const grant = grantFor(`/a/users/${ALICE}/index`)
  test('is for the server of the grant', () => {
    assert.ok(prepare(grant, { ...POLICY, name: 'xdms' } as AppServerPolicy, [], FRAMING))
    assert.throws(() => prepare(grant, { ...POLICY, name: 'other' } as AppServerPolicy, [], FRAMING), TypeError)
  })
  test('holds for that grant alone, and for no copy', () => {
    const { headers } = prepare(grant, POLICY, [], FRAMING)
    assert.equal(preparedTarget(headers, grantFor(`/a/users/${ALICE}/index`)), undefined)
    assert.equal(preparedTarget({ ...headers }, grant), undefined)
    assert.ok(Object.isFrozen(headers))
  })
  test('has no look-alike of an identity header, wherever its hyphens are', () => {
    for (const name of [
      'X3G-PP',
      'X3-GPP-Foo',
      'X-3-GPP-Foo',
      '3-GPP-Foo',
      'PAsserted-Foo',
      'X-X-Cap',
      'XXcap-Foo',
      'X-Im-Si',
    ]) {
      assert.equal(name.toLowerCase() in prepare(grant, POLICY, [name, 'x'], FRAMING).headers, false, name)
    }
  })
  test('has no cookie, so that two servers share none', () => {
    const { headers } = prepare(grant, POLICY, ['Cookie', 'a=b', 'Cookie2', 'c'], FRAMING)
    assert.deepEqual(Object.keys(headers).sort(), ['host', 'x-3gpp-asserted-identity', 'x-request-id'])
  })
})

describe('fixed headers', () => {
  const grant = grantFor(`/a/users/${ALICE}/index`)
  const sent = (fixedHeaders: Readonly<Record<string, string>>, received: readonly string[] = []) =>
    prepare(grant, { ...POLICY, fixedHeaders }, received, FRAMING).headers

  test('go out as configured, in the place of what the UE sends', () => {
    const fixed = { 'X-Tenant': 'ims one', 'X-Forwarded-Proto': 'https' }
    const headers = sent(fixed, [
      'x-tenant',
      'evil',
      'X-TENANT',
      'worse',
      'X-Forwarded-Proto',
      'http',
      'X-Other',
      'kept',
    ])
    assert.deepEqual(
      [headers['x-tenant'], headers['x-forwarded-proto'], headers['x-other']],
      ['ims one', 'https', 'kept'],
    )
  })
  test('are not taken away by Connection', () =>
    assert.equal(sent({ 'X-Tenant': 'a' }, ['Connection', 'X-Tenant'])['x-tenant'], 'a'))

  for (const name of [
    ...[
      'X-3GPP-Asserted-Identity',
      'X-3GPP-Intended-Identity',
      'x-3gpp-foo',
      'P-Asserted-Identity',
      'P-Preferred-Identity',
    ],
    ...['X-XCAP-Asserted-Identity', 'Remote-User', 'X-User-Id', 'X-MSISDN', 'X-IMSI', 'From', 'MSISDN', 'Identity'],
    ...[
      'Connection',
      'Keep-Alive',
      'TE',
      'Trailer',
      'Transfer-Encoding',
      'Upgrade',
      'Proxy-Connection',
      'Proxy-Authorization',
    ],
    ...['Host', 'Content-Length', 'Content-Type', 'Expect', 'If-Match', 'Range', 'X-Request-ID'],
    ...['Authorization', 'Cookie', 'Set-Cookie', 'X_Tenant', 'X Tenant', '', '-X', 'X--Y', '__proto__', 'X'.repeat(65)],
  ]) {
    test(`refuses ${name === '' ? 'an empty name' : name}`, () => {
      assert.notEqual(faultOfFixedHeader(name, 'x'), undefined)
      if (name !== '__proto__') assert.throws(() => sent({ [name]: 'x' }), RangeError)
    })
  }
  for (const value of ['', ' x', 'x ', 'a\r\nb: c', 'ü', 'a\0', 'x'.repeat(1025)]) {
    test(`refuses the value ${JSON.stringify(value.slice(0, 10))}`, () => {
      assert.notEqual(faultOfFixedHeader('X-Tenant', value), undefined)
      assert.throws(() => sent({ 'X-Tenant': value }), RangeError)
    })
  }
  test('takes ordinary ones', () => {
    for (const name of ['X-Tenant', 'X-Forwarded-Proto', 'Accept-Language', 'User-Agent', 'X-Api-Key']) {
      assert.equal(faultOfFixedHeader(name, 'x y'), undefined)
    }
  })
})
