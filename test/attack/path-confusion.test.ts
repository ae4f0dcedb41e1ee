import assert from 'node:assert/strict'
import { posix } from 'node:path'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { parseImpu } from '../../src/core/identity.ts'
import { type FaultCode, GbaError } from '../../src/errors.ts'
import { parseXcapUri, type XcapUri } from '../../src/ut/xcap-uri.ts'

// A target that the proxy and the application server read differently lets one subscriber into the tree of another.
const OWN = '/resource-lists/users/sip:alice@example.com'

const codeOf = (target: string, root?: string): FaultCode | 'accepted' => {
  try {
    parseXcapUri(target, root)
    return 'accepted'
  } catch (error) {
    if (error instanceof GbaError) return error.code
    throw error
  }
}

describe('targets that two parsers read differently are refused', () => {
  const cases: Readonly<Record<string, readonly string[]>> = {
    'dot segments': [
      `${OWN}/../sip:bob@example.com/index`,
      `${OWN}/./index`,
      `${OWN}/index/..`,
      `${OWN}/index/.`,
      '/../resource-lists/users/sip:alice@example.com/index',
      '/resource-lists/../resource-lists/users/sip:alice@example.com/index',
      '/./resource-lists/users/sip:alice@example.com/index',
      `${OWN}/index/~~/../../sip:bob@example.com/index`,
    ],
    'escaped dot segments': [
      '%2e%2e',
      '%2E%2E',
      '.%2e',
      '%2e.',
      '%2e',
      '%2E',
      '%2e%2e%2f',
      '%252e%252e',
      '%2%65%2e',
    ].map((dots) => `${OWN}/${dots}/sip:bob@example.com/index`),
    'dots that only some take for a dot segment': [
      '..;',
      '..;x=y',
      '.;',
      '...',
      '..a',
      'a..',
      'a..;x',
      '..%20',
      '..%3B',
      '.%3bx',
      'a.',
      'a%20',
      'a.;x',
    ].map((dots) => `${OWN}/${dots}/index`),
    'escaped slashes': [
      `${OWN}%2findex`,
      `${OWN}%2Findex`,
      `${OWN}/a%2f..%2f..%2fsip:bob@example.com/index`,
      '/resource-lists%2fusers/sip:alice@example.com/index',
      '/resource-lists/users%2fsip:alice@example.com/index',
      '/resource-lists/users/sip:bob@example.com%2findex%2f..%2f..%2fsip:alice@example.com/index',
      `${OWN}/index/~~/a%5B@b=%22c%2Fd%22%5D`,
      `${OWN}/index%2f~~%2fa`,
    ],
    backslashes: [
      `${OWN}\\index`,
      `${OWN}/a\\..\\b`,
      `${OWN}/a%5cb`,
      `${OWN}/a%5Cb`,
      `\\resource-lists/users/x/y`,
      `${OWN}/index/~~/a%5cb`,
    ],
    'empty segments': [
      `/${OWN}/index`,
      `/${OWN.slice(1)}//index`,
      '//evil.example/resource-lists/users/sip:alice@example.com/index',
      '/resource-lists//users/sip:alice@example.com/index',
      '/resource-lists/users//sip:alice@example.com/index',
      `${OWN}/index/`,
      `${OWN}/`,
      `${OWN}/;x/index`,
      `${OWN}/%3Bx/index`,
      `${OWN}/index/~~//a`,
      `${OWN}/index/~~/`,
      '/',
      '',
    ],
    'double escapes': [
      '%252f',
      '%255c',
      '%2500',
      '%25',
      '100%25',
      '%252e',
      '%25%32%66',
      '%25%32f',
      '%2525',
      '%253F',
    ].flatMap((name) => [
      `${OWN}/${name}`,
      `${OWN}/a${name}b`,
      `/resource-lists/users/sip:a${name}b@example.com/index`,
      `${OWN}/index/~~/a%5B@b=%22${name}%22%5D`,
    ]),
    'control characters': [
      '%00',
      '%0a',
      '%0D',
      '%09',
      '%1f',
      '%7f',
      '%7F',
      '%C2%80',
      '%C2%85',
      '\0',
      '\n',
      '\r',
      '\t',
      ' ',
    ].flatMap((octet) => [
      `${OWN}/index${octet}`,
      `${OWN}/${octet}index`,
      `/resource-lists/users${octet}/sip:alice@example.com/index`,
      `/resource-lists/users/sip:bob@example.com${octet}sip:alice@example.com/index`,
    ]),
    'control characters in the query': ['a%00b', 'a%0ab', 'a%7Fb', 'a\nb', 'a b'].map(
      (query) => `${OWN}/index?${query}`,
    ),
    'invisible characters': ['%E2%80%8B', '%E2%80%AE', '%EF%BB%BF', '%C2%AD', '%E2%80%A8', '%E2%80%A9'].map(
      (octets) => `${OWN}/in${octets}dex`,
    ),
    'look-alikes of delimiters': [
      '%EF%BC%8F', // fullwidth slash
      '%EF%BC%BC', // fullwidth backslash
      '%EF%BC%8E%EF%BC%8E', // fullwidth dots
      '%E2%80%A5', // two-dot leader
      '%EF%BC%85', // fullwidth percent sign
      '%EF%BC%9F', // fullwidth question mark
      '%CD%BE', // Greek question mark, canonically a semicolon
      '%EF%B9%A8', // small backslash
    ].map((octets) => `${OWN}/a${octets}b`),
    'overlong and invalid UTF-8': [
      '%c0%af',
      '%C0%AE%C0%AE',
      '%e0%80%af',
      '%f0%80%80%af',
      '%c0%80',
      '%ff',
      '%80',
      '%C3',
      '%ED%A0%80',
      '%F4%90%80%80',
      '%c1%9c',
    ].flatMap((octets) => [`${OWN}/${octets}`, `${OWN}/index/~~/${octets}`, `${OWN}/index?${octets}`]),
    'malformed escapes': ['%', '%2', '%zz', '%u002f', '%u2215', '%%', '%2%66', '%-2f', '% 2f', '%2g'].flatMap(
      (octets) => [`${OWN}/a${octets}`, `${OWN}/index?${octets}`],
    ),
    'needless escapes of letters, digits and dots': [
      '/%72esource-lists/users/sip:alice@example.com/index',
      '/resource-lists/%75sers/sip:alice@example.com/index',
      '/resource-lists/user%73/sip:alice@example.com/index',
      '/resource-lists/%67lobal/index',
      '/resource-lists/users/%73ip:alice@example.com/index',
      '/resource-lists/users/sip:%61lice@example.com/index',
      '/resource-lists/users/tel:+%31555/index',
      `${OWN}/inde%78`,
      `${OWN}/index%2exml`,
      `${OWN}/index/~~/%61`,
    ],
    'another spelling of AUID or tree': [
      ...['Users', 'USERS', 'uSERS', 'users;', 'users;x=y', 'users.', 'users%20', 'users%3B', 'Global', 'GLOBAL'].map(
        (tree) => `/resource-lists/${tree}/sip:alice@example.com/index`,
      ),
      '/users/users/sip:alice@example.com/index',
      '/Users/users/sip:alice@example.com/index',
      '/global/global/index',
      '/resource%2Dlists/users/sip:alice@example.com/index',
      '/resource-lists%20/users/sip:alice@example.com/index',
    ],
    'a second tree behind the first': [
      `${OWN}/users/sip:bob@example.com/index`,
      `${OWN}/Users/sip:bob@example.com/index`,
      `${OWN}/users;x/sip:bob@example.com/index`,
      `${OWN}/global/index`,
      '/resource-lists/global/users/sip:bob@example.com/index',
    ],
    'another separator than ~~': [
      `${OWN}/index/%7e%7e/a`,
      `${OWN}/index/%7E~/a`,
      `${OWN}/index/~%7e/a`,
      `${OWN}/index/~~;/a`,
      `${OWN}/index/~~%3Bx/a`,
      `${OWN}/index/~~/a/~~/b`,
      `${OWN}/index/~~/~~/b`,
    ],
    'early query and fragment': [
      `${OWN}/index#x`,
      '/resource-lists/users/sip:bob@example.com#/../sip:alice@example.com/index',
      `${OWN}/index%23x`,
      `${OWN}/index%3Fx`,
      '/resource-lists/users/sip:bob@example.com%3Fx=y/index',
      '/resource-lists/users/sip:bob%3Fsip:alice@example.com/index',
      '/resource-lists/users/sip:bob%23@example.com/index',
      `${OWN}/index?a#b`,
    ],
    'an empty query': [`${OWN}/index?`],
    'targets in another form': [
      '*',
      'https://xcap.example.com/resource-lists/users/sip:alice@example.com/index',
      'HTTP://evil.example/xcap-caps/global/index',
      'xcap.example.com:443',
      'resource-lists/users/sip:alice@example.com/index',
      '?a',
      '#a',
    ],
    'characters outside RFC 3986': [...'"<>^`{|}'].flatMap((c) => [
      `${OWN}/a${c}b`,
      `${OWN}/index/~~/a${c}`,
      `${OWN}/index?a=${c}`,
    ]),
    'octets beyond ASCII': [
      `${OWN}/é`,
      `${OWN}/\u00c3\u00a9`,
      `${OWN}/index?é`,
      '/resource-lists/users/sip:alice@exаmple.com/index',
      '／resource-lists／users／x／y',
    ],
    'characters that URL classes rewrite in a query': [`${OWN}/index?a='b'`, `${OWN}/index?a=[b]`],
    'more than 8192 characters': [`${OWN}/${'a'.repeat(8192)}`],
  }
  for (const [name, targets] of Object.entries(cases)) {
    test(name, () => {
      for (const target of targets) assert.equal(codeOf(target), 'UT_TARGET_AMBIGUOUS', JSON.stringify(target))
    })
  }
  test('an escape in the XCAP root is refused, whatever the root', () =>
    assert.equal(codeOf('/xcap%2droot/xcap-caps/global/index', '/xcap-root'), 'UT_REQUEST_MALFORMED'))
})

/** Ways in which servers take a target apart. Each gives the segments of document path, XUI, tree and AUID. */
const READERS: Readonly<Record<string, (target: string) => string[]>> = {
  'the WHATWG URL class': (target) => documentOf(new URL(target, 'http://h').pathname).map(decodeURIComponent),
  'decoding before splitting': (target) => documentOf(decodeURIComponent(pathOf(target))),
  'decoding twice': (target) => documentOf(decodeURIComponent(decodeURIComponent(pathOf(target)))),
  'a file system': (target) => documentOf(posix.normalize(decodeURIComponent(pathOf(target)))),
  'a Windows file system': (target) =>
    documentOf(
      posix.normalize(
        decodeURIComponent(pathOf(target))
          .replaceAll('\\', '/')
          .replaceAll(/[. ]+(?=\/|$)/g, ''),
      ),
    ),
  'merging slashes': (target) => documentOf(decodeURIComponent(pathOf(target)).replaceAll(/\/+/g, '/')),
  'splitting the query off a decoded target': (target) =>
    documentOf(decodeURIComponent(pathOf(target)).split(/[?#]/, 1)[0] ?? ''),
  'looking for the last tree': (target) => {
    const path = decodeURIComponent(pathOf(target)).split('/~~/', 1)[0] ?? ''
    const [, auid = '', tree = '', rest = ''] = /^\/(.*)\/(users|global)\/(.*)$/s.exec(path) ?? []
    return [auid, tree, ...rest.split('/')]
  },
  'compatibility forms of Unicode': (target) =>
    documentOf(decodeURIComponent(pathOf(target)).normalize('NFKC')).map((s) => s.normalize('NFC')),
}

const pathOf = (target: string): string => target.split('?', 1)[0] ?? ''
const documentOf = (path: string): string[] => (path.split('/~~/', 1)[0] ?? '').split('/').slice(1)

function expectedOf(uri: XcapUri): string[] {
  return uri.documentSelector.split('/')
}

/** With the XUI in canonical form, as the proxy compares it. */
function canonical([auid = '', tree = '', ...rest]: string[]): string[] {
  const [xui = '', ...names] = rest
  return tree === 'users' ? [auid, tree, parseImpu(xui) ?? xui, ...names] : [auid, tree, ...rest]
}

const alphabet = [
  ...[
    '/',
    '/',
    '/users/',
    '/global/',
    '/~~/',
    '/..',
    '/.',
    '//',
    '\\',
    ';',
    '?',
    '#',
    '~~',
    '.',
    '..',
    '%',
    ' ',
    '"',
    "'",
    '[',
    ']',
    '@',
    ':',
    '=',
    '+',
  ],
  ...[
    '%2f',
    '%2F',
    '%5c',
    '%00',
    '%2e',
    '%2E',
    '%252f',
    '%25',
    '%20',
    '%3A',
    '%40',
    '%3b',
    '%3f',
    '%23',
    '%7e',
    '%7E',
    '%5B',
    '%22',
    '%27',
    '%61',
    '%C3%A9',
    '%C0%AF',
    '%EF%BC%8F',
    '%E2%80%A5',
    '%CD%BE',
  ],
  ...[
    'a',
    'index',
    'users',
    'Users',
    'global',
    'resource-lists',
    'sip:alice@example.com',
    'sip:bob@example.com',
    'tel:+1555',
    '/sip:alice@example.com',
    '/sip:bob@example.com',
    'é',
  ],
]
const soup = fc.array(fc.constantFrom(...alphabet), { maxLength: 10 }).map((parts) => parts.join(''))
const targets = fc.oneof(
  soup,
  soup.map((tail) => `${OWN}/${tail}`),
  soup.map((tail) => `${OWN}/index/~~/${tail}`),
  soup.map((tail) => `${OWN}/index?${tail}`),
  soup.map((tail) => `/resource-lists/users/sip:alice@example.com${tail}/index`),
  soup.map((tail) => `/resource-lists/users/${tail}@example.com/index`),
  soup.map((tail) => `/resource-lists/global/${tail}`),
  fc.tuple(soup, soup).map(([a, b]) => `/${a}/users/${b}/index`),
  fc.webPath().map((path) => `${OWN}${path}`),
)

describe('whatever target is accepted', () => {
  const everyAccepted = (holds: (uri: XcapUri) => void, numRuns = 10_000) => {
    let accepted = 0
    fc.assert(
      fc.property(targets, (target) => {
        if (codeOf(target) !== 'accepted') return
        accepted++
        holds(parseXcapUri(target))
      }),
      { numRuns },
    )
    assert.ok(accepted > numRuns / 50, `only ${accepted} targets were accepted: the property shows too little`)
  }

  for (const [name, read] of Object.entries(READERS)) {
    test(`is read alike by ${name}`, () =>
      everyAccepted((uri) =>
        assert.deepEqual(
          canonical(read(uri.target)),
          expectedOf(uri).map((s) => (name.startsWith('compat') ? s.normalize('NFKC').normalize('NFC') : s)),
          uri.target,
        ),
      ))
  }
  test('is read alike by a servlet container, which cuts segments at a semicolon, but for parameters', () =>
    everyAccepted((uri) => {
      const cut = (segments: string[]) => segments.map((segment) => segment.split(';', 1)[0])
      assert.deepEqual(
        cut(documentOf(posix.normalize(pathOf(uri.target).replaceAll(/;[^/]*/g, ''))).map(decodeURIComponent)).length,
        documentOf(pathOf(uri.target)).length,
        uri.target,
      )
    }))
  test('passes through the URL class octet for octet', () =>
    everyAccepted((uri) => {
      const { pathname, search, hash, host } = new URL(uri.target, 'http://h')
      assert.equal(pathname + search, uri.target)
      assert.equal(hash, '')
      assert.equal(host, 'h')
    }))
  test('is kept as it came, and its parts are parts of it', () =>
    everyAccepted((uri) => {
      assert.match(uri.target, /^\/[\x21-\x7e]+$/)
      if (uri.query !== undefined) assert.ok(uri.target.endsWith(`?${uri.query}`))
      if (uri.nodeSelector !== undefined) assert.ok(pathOf(uri.target).endsWith(`/~~/${uri.nodeSelector}`))
      if (uri.tree === 'users') assert.ok(uri.xui !== undefined && parseImpu(uri.xui) === uri.xui)
      else assert.equal(uri.xui, undefined)
    }))
  test('no other error than ours comes out, for any text', () => {
    fc.assert(
      fc.property(fc.oneof(targets, fc.string({ unit: 'binary' }), fc.webUrl()), (target) => void codeOf(target)),
      { numRuns: 5000 },
    )
  })
})

test('refusing takes time in proportion to the length', () => {
  const started = process.hrtime.bigint()
  for (const target of [
    `${OWN}${'/a'.repeat(4000)}/`,
    `${OWN}/${'%41'.repeat(2700)}`,
    `${OWN}/${';'.repeat(8000)}`,
    `${OWN}/index?${'a'.repeat(8000)}%`,
    '/'.repeat(8192),
  ]) {
    for (let i = 0; i < 20; i++) assert.notEqual(codeOf(target), 'accepted')
  }
  assert.ok(process.hrtime.bigint() - started < 2_000_000_000n)
})
