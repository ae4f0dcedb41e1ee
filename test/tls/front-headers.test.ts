import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { readFrontHeaders, withoutFrontHeaders } from '../../src/tls/front-headers.ts'

const names = { client: 'X-Forwarded-For', sni: 'X-SSL-SNI', suite: 'X-SSL-Cipher' }
const read = (...raw: string[]) => readFrontHeaders(raw, names)

describe('readFrontHeaders', () => {
  test('reads who the client is, by what name it asked, and in which suite', () => {
    const raw = ['host', 'b', 'x-forwarded-for', '192.0.2.7', 'X-SSL-SNI', 'XCAP.example.org']
    assert.deepEqual(read(...raw, 'X-Ssl-Cipher', 'ECDHE-RSA-AES128-GCM-SHA256'), {
      clientAddress: '192.0.2.7',
      serverName: 'xcap.example.org',
      tls: { version: undefined, suite: 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256' },
    })
  })

  test('is told nothing by headers that are absent or empty', () => {
    assert.deepEqual(read('Host', 'a'), {})
    assert.deepEqual(read('X-Forwarded-For', '', 'X-SSL-SNI', '', 'X-SSL-Cipher', ''), {})
  })

  test('does not look for a header without a name', () => {
    assert.deepEqual(readFrontHeaders(['', '192.0.2.7'], { client: '', sni: '', suite: '' }), {})
  })

  test('is told of TLS, but of no suite, where nobody here knows it', () => {
    assert.deepEqual(read('X-SSL-Cipher', 'NULL-SHA'), { tls: { version: undefined, suite: undefined } })
  })

  for (const [value, clientAddress, clientPort] of [
    ['198.51.100.1, 192.0.2.7', '192.0.2.7'],
    ['unknown,_hidden ,\t192.0.2.7', '192.0.2.7'],
    ['2001:DB8:0::7', '2001:db8::7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
    ['[2001:db8::7]', '2001:db8::7'],
    ['[2001:db8::7]:443', '2001:db8::7', 443],
    ['198.51.100.1, 192.0.2.7:51234', '192.0.2.7', 51_234],
  ] as const) {
    test(`takes the last of ${value}`, () => {
      const facts = { clientAddress, ...(clientPort !== undefined && { clientPort }) }
      assert.deepEqual(read('X-Forwarded-For', value), facts)
    })
  }

  for (const value of [
    'unknown',
    '192.0.2.7,',
    ',',
    '192.0.2.7, unknown',
    '192.0.2.7 198.51.100.1',
    '192.0.2',
    '192.0.2.07',
    '192.0.2.7:65536',
    '192.0.2.7:',
    '192.0.2.7:x',
    '[192.0.2.7]x',
    '[2001:db8::7',
    '2001:db8::7]',
    'fe80::1%eth0',
    'for=192.0.2.7',
    '"192.0.2.7"',
    '192.0.2.7\u00a0',
    '192.0.2.7/32',
  ]) {
    test(`does not take ${value} for an address`, () => assert.equal(read('X-Forwarded-For', value), 'malformed'))
  }

  for (const value of [
    'a b',
    'xcap.example.org:443',
    '-',
    'xcap.example.org, xcap.example.org',
    'é.example.org',
    'a/b',
  ]) {
    test(`does not take ${value} for a name`, () => assert.equal(read('X-SSL-SNI', value), 'malformed'))
  }

  for (const value of ['A B', 'AES128-SHA, AES128-SHA', 'AES128-SHA;', 'A'.repeat(65)]) {
    test(`does not take ${value} for a suite`, () => assert.equal(read('X-SSL-Cipher', value), 'malformed'))
  }

  for (const [name, value] of [
    ['X-Forwarded-For', '192.0.2.7'],
    ['X-SSL-SNI', 'xcap.example.org'],
    ['X-SSL-Cipher', 'AES128-SHA'],
  ] as const) {
    test(`believes no ${name} that is there twice, the same or empty`, () => {
      assert.equal(read(name, value, name.toLowerCase(), value), 'malformed')
      assert.equal(read(name, '', name, value), 'malformed')
      assert.equal(read(name, value, name, ''), 'malformed')
    })
  }

  test('does not read look-alikes, which a front may have let through', () => {
    assert.deepEqual(read('X_SSL_SNI', 'xcap.example.org', 'X-SSL-SNI ', 'a', 'XSSLSNI', 'b'), {})
  })

  test('never throws, whatever the headers say', () => {
    const name = fc.oneof(fc.constantFrom(...Object.values(names)), fc.string())
    const value = fc.oneof(fc.string(), fc.ipV4(), fc.ipV6(), fc.constantFrom('1.2.3.4:5', '[::1]:5', 'a, [::1]'))
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value), { maxLength: 4 }), (lines) => {
        const facts = read(...lines.flat())
        if (facts === 'malformed' || facts.clientAddress === undefined) return
        assert.match(facts.clientAddress, /^[\da-f.:]+$/)
      }),
    )
  })
})

describe('withoutFrontHeaders', () => {
  test('leaves out the headers of the front in every spelling, and nothing else', () => {
    const raw = [
      'Host',
      'x-ssl-sni',
      'x-ssl-sni',
      'a',
      'X_SSL_SNI',
      'b',
      'X-Forwarded-For',
      'c',
      'X-SSL',
      'd',
      'XSSLCIPHER',
      'e',
    ]
    assert.deepEqual(withoutFrontHeaders(raw, names), ['Host', 'x-ssl-sni', 'X-SSL', 'd'])
  })

  test('leaves everything where no names are given', () => {
    assert.deepEqual(withoutFrontHeaders(['-', 'a'], { client: '', sni: '', suite: '' }), ['-', 'a'])
  })
})
