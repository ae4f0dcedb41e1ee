import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { GbaError } from '../../src/errors.ts'
import { parseXcapUri } from '../../src/ut/xcap-uri.ts'
import { vectors } from '../support/vectors.ts'

const refusal = (code: string) => (error: unknown) => error instanceof GbaError && error.code === code

describe('parseXcapUri', () => {
  test('reads a document of a user', () =>
    assert.deepEqual(parseXcapUri('/resource-lists/users/sip:alice@example.com/index'), {
      target: '/resource-lists/users/sip:alice@example.com/index',
      auid: 'resource-lists',
      tree: 'users',
      xui: 'sip:alice@example.com',
      documentSelector: 'resource-lists/users/sip:alice@example.com/index',
    }))

  test('reads a document of everybody', () =>
    assert.deepEqual(parseXcapUri('/xcap-caps/global/index'), {
      target: '/xcap-caps/global/index',
      auid: 'xcap-caps',
      tree: 'global',
      documentSelector: 'xcap-caps/global/index',
    }))

  test('reads what a handset asks for call diversion', () => {
    const target =
      '/simservs.ngn.etsi.org/users/tel:+1234567890/simservs.xml/~~/ss:simservs/ss:communication-diversion' +
      '/cp:ruleset/cp:rule%5B@id=%22cfu%22%5D?xmlns(ss=http://uri.etsi.org/ngn/params/xml/simservs/xcap)xmlns(cp=urn:ietf:params:xml:ns:common-policy)'
    assert.deepEqual(parseXcapUri(target), {
      target,
      auid: 'simservs.ngn.etsi.org',
      tree: 'users',
      xui: 'tel:+1234567890',
      documentSelector: 'simservs.ngn.etsi.org/users/tel:+1234567890/simservs.xml',
      nodeSelector: 'ss:simservs/ss:communication-diversion/cp:ruleset/cp:rule%5B@id=%22cfu%22%5D',
      query: 'xmlns(ss=http://uri.etsi.org/ngn/params/xml/simservs/xcap)xmlns(cp=urn:ietf:params:xml:ns:common-policy)',
    })
  })

  test('reads the golden target', () => {
    const { ua } = vectors<{ ua: { request1: string } }>('golden-flow.json')
    const [, target = ''] = ua.request1.split(' ')
    const uri = parseXcapUri(target)
    assert.equal(uri.auid, 'org.openmobilealliance.pres-rules')
    assert.equal(uri.xui, 'sip:alice@ims.mnc001.mcc001.3gppnetwork.org')
    assert.equal(uri.target, target)
  })

  test('gives all spellings of one document one selector, and keeps the spelling', () => {
    const spellings = [
      '/resource-lists/users/sip:alice@example.com/my%20list',
      '/resource-lists/users/sip%3Aalice%40example.com/my%20list',
      '/resource-lists/users/SIP%3aalice%40EXAMPLE.com%3Buser=phone/my%20list',
      '/resource-lists/users/sip:alice@example.com:5060/my%20list',
    ]
    for (const target of spellings) {
      const uri = parseXcapUri(target)
      assert.equal(uri.documentSelector, 'resource-lists/users/sip:alice@example.com/my list')
      assert.equal(uri.target, target)
    }
  })

  test('finds the tree below an XCAP root', () => {
    for (const root of ['/xcap-root', '/xcap-root/']) {
      const uri = parseXcapUri('/xcap-root/pres-rules/users/sip:alice@example.com/index', root)
      assert.equal(uri.auid, 'pres-rules')
      assert.equal(uri.target, '/xcap-root/pres-rules/users/sip:alice@example.com/index')
    }
  })

  test('is frozen, so that nobody edits what was parsed', () =>
    assert.ok(Object.isFrozen(parseXcapUri('/xcap-caps/global/index'))))

  const accepted: readonly (readonly [name: string, target: string])[] = [
    ['folders in the document path', '/org.openmobilealliance.groups/users/sip:alice@example.com/a/b/c.xml'],
    ['UTF-8 in a document name', '/org.openmobilealliance.groups/users/sip:alice@example.com/M%C3%BCller.xml'],
    ['dots inside a name', '/resource-lists/users/sip:alice@example.com/a..b'],
    ['a tilde in a name', '/resource-lists/users/sip:alice@example.com/index~1'],
    ['unescaped brackets in the node selector', '/rls-services/global/index/~~/rls-services/service[2][@uri=%22x%22]'],
    ['a terminal attribute', '/rls-services/global/index/~~/rls-services/service/@uri'],
    ['a namespace selector', '/rls-services/global/index/~~/rls-services/namespace::*'],
    ['a wildcard step', '/rls-services/global/index/~~/*/*%5B1%5D'],
    ['a question mark in an attribute value', '/rls-services/global/index/~~/a%5B@b=%22c%3Fd%22%5D'],
    ['a step named users', '/rls-services/global/index/~~/users/global'],
    ['a question mark in the query', '/rls-services/global/index?a=b?c'],
    ['an escaped percent sign in the query', '/rls-services/global/index/~~/a:b?xmlns(a=http://x/%2525)'],
  ]
  for (const [name, target] of accepted) {
    test(`takes ${name}`, () => assert.equal(parseXcapUri(target).target, target))
  }

  const malformed: readonly (readonly [name: string, target: string, root?: string])[] = [
    ['only an AUID', '/resource-lists'],
    ['no XUI', '/resource-lists/users'],
    ['no document of a user', '/resource-lists/users/sip:alice@example.com'],
    ['no document in the global tree', '/resource-lists/global'],
    ['no document before the node selector', '/resource-lists/users/sip:alice@example.com/~~/resource-lists'],
    ['no XUI before the node selector', '/resource-lists/users/~~/resource-lists'],
    ['no node selector after ~~', '/resource-lists/users/sip:alice@example.com/index/~~'],
    ['another tree', '/resource-lists/groups/sip:alice@example.com/index'],
    ['an XUI without scheme', '/resource-lists/users/alice@example.com/index'],
    ['an XUI that is a name', '/resource-lists/users/alice/index'],
    ['an XUI with a password', '/resource-lists/users/sip:alice:x@example.com/index'],
    ['an XUI with white space', '/resource-lists/users/sip:al%20ice@example.com/index'],
    ['an XUI with a letter beyond ASCII', '/resource-lists/users/sip:alic%C3%A9@example.com/index'],
    ['an XUI with an empty label in its host', '/resource-lists/users/sip:alice@example..com/index'],
    ['an AUID with punctuation at its end', '/resource-lists-/users/sip:alice@example.com/index'],
    ['a path outside the XCAP root', '/resource-lists/users/sip:alice@example.com/index', '/xcap-root'],
    ['a root in another letter case', '/XCAP-root/resource-lists/users/sip:alice@example.com/index', '/xcap-root'],
    ['a root with a letter for its slash', '/xcap-rootsresource-lists/users/sip:alice@example.com/index', '/xcap-root'],
    ['a root that only begins alike', '/xcap-roots/users/sip:alice@example.com/index', '/xcap-root'],
  ]
  for (const [name, target, root] of malformed) {
    test(`refuses ${name} as malformed`, () =>
      assert.throws(() => parseXcapUri(target, root), refusal('UT_REQUEST_MALFORMED')))
  }

  for (const root of ['xcap-root', '/a//b', '/..', '/a%20b', '/a/.', '//']) {
    test(`calls the root ${root} a bug of the caller`, () =>
      assert.throws(() => parseXcapUri('/xcap-caps/global/index', root), RangeError))
  }
})
