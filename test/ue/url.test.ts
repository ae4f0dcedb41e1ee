import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { connectTarget, parseConnectTo, parseUeUrl } from '../../src/ue/url.ts'
import { xcapMediaType } from '../../src/ue/xcap-media-type.ts'

describe('the URL of a UE', () => {
  test('keeps every target as it is written', () => {
    const octet = fc.integer({ min: 0x21, max: 0x7e }).map((code) => String.fromCharCode(code))
    const target = fc.array(octet, { maxLength: 40 }).map((all) => `/${all.join('').replaceAll('#', '')}`)
    fc.assert(
      fc.property(target, (text) => {
        assert.equal(parseUeUrl(`https://xcap.example${text}`).target, text)
      }),
    )
  })

  test('is split into what the parts of a request need', () => {
    assert.deepEqual(parseUeUrl('HTTPS://XCAP.Example:8443?x#fragment'), {
      scheme: 'https',
      host: 'xcap.example',
      port: 8443,
      authority: 'xcap.example:8443',
      origin: 'https://xcap.example:8443',
      target: '/?x',
    })
    assert.equal(parseUeUrl('http://a.example:80/').authority, 'a.example')
    assert.equal(parseUeUrl('https://a.example:80/').authority, 'a.example:80')
  })

  for (const text of [
    'xcap.example/',
    'ftp://a/',
    'https://',
    'https:///x',
    'https://u:p@a/',
    'https://a:/',
    'https://a:0/',
    'https://a:65536/',
    'https://a:x/',
    'https://[::1]/',
    'https://a b/',
    'https://a./',
    'https://a/ b',
    'https://a/\n',
    'https://a/é',
    String.raw`https://a\b/`,
  ]) {
    test(`is not ${JSON.stringify(text)}`, () => assert.throws(() => parseUeUrl(text), { code: 'URL_MALFORMED' }))
  }
})

describe('connect rules', () => {
  const to = (rule: string, host = 'a.example', port = 443) => {
    const parsed = parseConnectTo(rule)
    return parsed && connectTarget([parsed], host, port)
  }

  test('move what they name and nothing else', () => {
    assert.deepEqual(to('a.example:443:b.example:1'), { host: 'b.example', port: 1 })
    assert.deepEqual(to('A.EXAMPLE:443:b.example:1'), { host: 'b.example', port: 1 })
    assert.deepEqual(to('a.example:444:b.example:1'), { host: 'a.example', port: 443 })
    assert.deepEqual(to('x.example:443:b.example:1'), { host: 'a.example', port: 443 })
  })

  test('with empty parts match, or keep, anything', () => {
    assert.deepEqual(to('::127.0.0.1:9'), { host: '127.0.0.1', port: 9 })
    assert.deepEqual(to('a.example::[::1]:'), { host: '::1', port: 443 })
    assert.deepEqual(to(':443::9'), { host: 'a.example', port: 9 })
    assert.deepEqual(to(':::'), { host: 'a.example', port: 443 })
  })

  test('are tried in order', () => {
    const rules = ['a.example::b.example:', '::c.example:'].map((text) => parseConnectTo(text) ?? assert.fail())
    assert.equal(connectTarget(rules, 'a.example', 1).host, 'b.example')
    assert.equal(connectTarget(rules, 'z.example', 1).host, 'c.example')
  })

  for (const text of [
    '',
    'a',
    'a:1',
    'a:1:b',
    'a:1:b:x',
    'a:0:b:1',
    'a:1:b:65536',
    'a:1:b:1:c',
    '::1:2:b:3',
    'a b:1:c:2',
  ]) {
    test(`are not written ${JSON.stringify(text)}`, () => assert.equal(parseConnectTo(text), undefined))
  }
})

describe('the content type of a body', () => {
  for (const [target, type] of [
    ['/resource-lists/users/sip:a@b/index', 'application/resource-lists+xml'],
    ['/root/with/path/pres-rules/users/sip:a@b/index', 'application/auth-policy+xml'],
    ['/simservs.ngn.etsi.org/users/tel:+1/simservs.xml', 'application/vnd.etsi.simservs+xml'],
    ['/resource-lists/users/sip:a@b/index/~~/resource-lists/list%5B1%5D', 'application/xcap-el+xml'],
    ['/resource-lists/users/sip:a@b/index/~~/resource-lists/list/@name', 'application/xcap-att+xml'],
    ['/resource-lists/users/sip:a@b/index/~~/resource-lists/list/%40name?xmlns(a=b)', 'application/xcap-att+xml'],
    ['/unknown/users/sip:a@b/index', undefined],
    ['/', undefined],
    ['/users/', undefined],
  ] as const) {
    test(`for ${target} is ${type ?? 'left open'}`, () => assert.equal(xcapMediaType(target), type))
  }
})
