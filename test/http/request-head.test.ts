import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Likeness } from '../../src/http/likeness.ts'
import { type HeadLimits, type RequestHead, readRequestHead } from '../../src/http/request-head.ts'

const LIMITS: HeadLimits = { headerBytes: 1024, headerCount: 20, bodyBytes: 1000 }

const read = (text: string, limits = LIMITS) => readRequestHead(Buffer.from(text, 'latin1'), limits)
const withLines = (...lines: readonly string[]) => requestOf('GET', '/', ['Host: x', ...lines])
const requestOf = (method: string, target: string, lines: readonly string[]) =>
  `${method} ${target} HTTP/1.1\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`

function accepted(text: string, limits = LIMITS): RequestHead {
  const head = read(text, limits)
  if (typeof head === 'string') assert.fail(`${head}: ${JSON.stringify(text)}`)
  return head
}

describe('a request head within the grammar', () => {
  test('is read whole, and what is asked for most is noted', () => {
    const text = requestOf('PUT', '/rls/users/sip:a@example.com/index?x', [
      'host: xcap.example.com:443',
      'User-Agent:  UE/1.0 3gpp-gba\t',
      'Authorization: Digest username="a", uri="/"',
      'X-3GPP-Intended-Identity:"sip:a@example.com"',
      'X-Empty:',
      'If-Match: "\xe4"',
      'CONTENT-LENGTH: 0015',
      'Connection: Keep-Alive',
    ])
    assert.deepEqual(read(`${text}<body>what follows`), {
      method: 'PUT',
      target: '/rls/users/sip:a@example.com/index?x',
      rawHeaders: [
        ...['host', 'xcap.example.com:443'],
        ...['User-Agent', 'UE/1.0 3gpp-gba'],
        ...['Authorization', 'Digest username="a", uri="/"'],
        ...['X-3GPP-Intended-Identity', '"sip:a@example.com"'],
        ...['X-Empty', ''],
        ...['If-Match', '"\xe4"'],
        ...['CONTENT-LENGTH', '0015'],
        ...['Connection', 'Keep-Alive'],
      ],
      host: 'xcap.example.com:443',
      contentLength: 15,
      keepsAlive: true,
      length: text.length,
      authorization: ['Digest username="a", uri="/"'],
      userAgent: 'UE/1.0 3gpp-gba',
      intendedIdentity: ['"sip:a@example.com"'],
      authorizationAt: text.indexOf('Digest'),
      likeness: new Likeness(),
    })
  })

  test('has one of four methods', () => {
    for (const method of ['GET', 'HEAD', 'PUT', 'DELETE']) {
      assert.equal(accepted(requestOf(method, '/', ['Host: x'])).method, method)
    }
  })

  test('keeps alive, unless it says otherwise in any letter case', () => {
    const keepsAlive = (...lines: readonly string[]) => accepted(withLines(...lines)).keepsAlive
    assert.equal(keepsAlive(), true)
    assert.equal(keepsAlive('connection: KEEP-ALIVE'), true)
    assert.equal(keepsAlive('Connection: close'), false)
    assert.equal(keepsAlive('CONNECTION:\tClose '), false)
  })

  test('without Content-Length has no body, whatever the method', () => {
    assert.equal(accepted(requestOf('PUT', '/', ['Host: x'])).contentLength, 0)
    assert.equal(accepted(requestOf('GET', '/', ['Host: x', 'Content-Length: 0'])).contentLength, 0)
    assert.equal(accepted(requestOf('DELETE', '/', ['Host: x', 'Content-Length: 1000'])).contentLength, 1000)
  })

  test('keeps every line of what another may refuse for being there twice', () => {
    const head = accepted(
      withLines(
        ...['Authorization: a', 'authorization: b', 'User-Agent: first', 'User-Agent: second'],
        ...['X-3GPP-Intended-Identity: c', 'x-3gpp-intended-identity: d'],
      ),
    )
    assert.deepEqual(head.authorization, ['a', 'b'])
    assert.deepEqual(head.intendedIdentity, ['c', 'd'])
    assert.equal(head.userAgent, 'first')
    assert.equal(accepted(withLines()).userAgent, undefined)
  })

  test('has any octet of a token in its names, and any but controls in its values', () => {
    const values = Array.from({ length: 256 }, (_, octet) => String.fromCharCode(octet))
    const value = `|${values.filter((c) => c === '\t' || (c >= ' ' && c !== '\x7f')).join('')}|`
    assert.deepEqual(accepted(withLines(`Z!#$%&'*+-.^_\`|~09az: ${value}`)).rawHeaders.slice(2), [
      "Z!#$%&'*+-.^_`|~09az",
      value,
    ])
  })

  test('has what selectors of XCAP have in its target', () => {
    const targets = [
      '/simservs.ngn.etsi.org/users/tel:+1234567890/simservs.xml/~~/ss:simservs/ss:x?xmlns(ss=http://uri.etsi.org/a)',
      "/a/~~/b[@id='x']/c[1]/@d",
      '/a/~~/b%5B@id=%22cfu%22%5D',
      '/!$&()*+,;=:@-._~?/?!$&()*+,;=:@-._~[]',
      '/',
      '//',
    ]
    for (const target of targets) assert.equal(accepted(requestOf('GET', target, ['Host: x'])).target, target)
  })

  test('is as long as the limits allow, and no longer', () => {
    const text = withLines('A: b')
    assert.equal(accepted(text, { ...LIMITS, headerBytes: text.length }).length, text.length)
    assert.equal(read(text, { ...LIMITS, headerBytes: text.length - 1 }), 'other')
    assert.equal(accepted(text, { ...LIMITS, headerCount: 3 }).rawHeaders.length, 4)
    assert.equal(read(text, { ...LIMITS, headerCount: 2 }), 'other')
  })
})

describe('what only the general server may judge:', () => {
  const forms: Record<string, string> = {
    'another method': requestOf('POST', '/', ['Host: x']),
    'a method in lower case': requestOf('get', '/', ['Host: x']),
    'a method with more behind it': requestOf('GETS', '/', ['Host: x']),
    'an empty line before the request': `\r\n${withLines()}`,
    'a blank before the request': ` ${withLines()}`,
    'two blanks before the target': requestOf('GET', ' /', ['Host: x']),
    'a tab before the target': withLines().replace(' /', '\t/'),
    'two blanks behind the target': requestOf('GET', '/ ', ['Host: x']),
    'no target': withLines().replace(' /', ''),
    'absolute-form': requestOf('GET', 'http://x/', ['Host: x']),
    'authority-form': requestOf('GET', 'x:443', ['Host: x']),
    'asterisk-form': requestOf('GET', '*', ['Host: x']),
    'HTTP/1.0': withLines().replace('HTTP/1.1', 'HTTP/1.0'),
    'HTTP/2.0': withLines().replace('HTTP/1.1', 'HTTP/2.0'),
    'HTTP in lower case': withLines().replace('HTTP/1.1', 'http/1.1'),
    'HTTP/0.9': 'GET /\r\n\r\n',
    'a blank behind the version': withLines().replace('HTTP/1.1', 'HTTP/1.1 '),
    'no header': 'GET / HTTP/1.1\r\n\r\n',
    'no Host': requestOf('GET', '/', ['A: b']),
    'an empty Host': requestOf('GET', '/', ['Host: \t ']),
    'two Hosts': withLines('Host: y'),
    'the same Host twice': withLines('host: x'),
    'Host in another spelling': withLines('H_ost: x'),
    'a fold': withLines('A: b', ' c'),
    'a fold with a tab': withLines('A: b', '\tc'),
    'a fold behind the request line': requestOf('GET', '/', [' Host: x', 'Host: x']),
    'a line without a colon': withLines('A'),
    'an empty name': withLines(': a'),
    'a blank before the colon': withLines('A : b'),
    'a tab before the colon': withLines('A\t: b'),
    'a bare LF behind the request line': withLines().replace('\r\n', '\n'),
    'a bare LF behind a header': withLines('A: b', 'C: d').replace('b\r\n', 'b\n'),
    'a bare LF in a value': withLines('A: b\nc'),
    'a bare CR in a value': withLines('A: b\rc'),
    'a bare CR at the end of a value': withLines('A: b\r'),
    'a bare CR behind a header': withLines('A: b', 'C: d').replace('b\r\n', 'b\r'),
    'NUL in a value': withLines('A: b\0'),
    'DEL in a value': withLines('A: b\x7f'),
    'a control in a value': withLines('A: b\x0bc'),
    'a control before a length': requestOf('PUT', '/', ['Host: x', 'Content-Length: \x0c5']),
    'two lengths': requestOf('PUT', '/', ['Host: x', 'Content-Length: 5', 'Content-Length: 6']),
    'the same length twice': requestOf('PUT', '/', ['Host: x', 'Content-Length: 5', 'content-length: 5']),
    'a list of lengths': requestOf('PUT', '/', ['Host: x', 'Content-Length: 5, 5']),
    'an empty length': requestOf('PUT', '/', ['Host: x', 'Content-Length:']),
    'a length with a sign': requestOf('PUT', '/', ['Host: x', 'Content-Length: +5']),
    'a length in hex': requestOf('PUT', '/', ['Host: x', 'Content-Length: 0x5']),
    'a length with a point': requestOf('PUT', '/', ['Host: x', 'Content-Length: 5.0']),
    'a length with a blank inside': requestOf('PUT', '/', ['Host: x', 'Content-Length: 1 0']),
    'a length of sixteen digits': requestOf('PUT', '/', ['Host: x', 'Content-Length: 0000000000000005']),
    'a length beyond the limit': requestOf('PUT', '/', ['Host: x', 'Content-Length: 1001']),
    'GET with a body': requestOf('GET', '/', ['Host: x', 'Content-Length: 1']),
    'HEAD with a body': requestOf('HEAD', '/', ['Host: x', 'Content-Length: 1']),
    'two Connection headers': withLines('Connection: keep-alive', 'Connection: close'),
    'an empty Connection': withLines('Connection:'),
    'a Connection with a list': withLines('Connection: keep-alive, close'),
    'a Connection that names a header': withLines('Connection: Host'),
    'a Connection to upgrade': withLines('Connection: upgrade'),
    'Transfer-Encoding': withLines('Transfer-Encoding: chunked'),
    'Transfer-Encoding in lower case': withLines('transfer-encoding: identity'),
    Upgrade: withLines('Upgrade: TLS/1.2'),
    Expect: withLines('Expect: 100-continue'),
    Trailer: withLines('Trailer: x'),
    TE: withLines('te: trailers'),
    'Proxy-Connection': withLines('Proxy-Connection: keep-alive'),
    'HTTP2-Settings': withLines('HTTP2-Settings: AAMAAABk'),
  }
  for (const [name, text] of Object.entries(forms)) test(name, () => assert.equal(read(text), 'other'))

  const names = [
    ...['Transfer_Encoding', 'transfer.encoding', 'TransferEncoding', 'Transfer--Encoding', 'Content_Length'],
    ...['ContentLength', 'Con-nection', 'Proxy_Connection', 'HTTP2_Settings', 'T_E', 'Up-grade', '~Expect', 'Trailer_'],
    ...['X_3GPP_Intended_Identity', 'Authorization_', 'User_Agent'],
  ]
  for (const name of names) test(`the look-alike ${name}`, () => assert.equal(read(withLines(`${name}: 0`)), 'other'))

  test('an octet in a target that some parser would change, or end it at', () => {
    for (let octet = 0; octet < 256; octet++) {
      const c = String.fromCharCode(octet)
      if (/[A-Za-z0-9!$%&'()*+,\-./:;=?@[\]_~]/.test(c)) continue
      assert.equal(read(requestOf('GET', `/a${c}b`, ['Host: x'])), 'other', JSON.stringify(c))
      assert.equal(read(requestOf('GET', `/a?${c}b`, ['Host: x'])), 'other', JSON.stringify(c))
    }
    assert.equal(read(requestOf('GET', "/a?b'", ['Host: x'])), 'other')
  })

  test('an octet in a name that no token has', () => {
    for (let octet = 0; octet < 256; octet++) {
      const c = String.fromCharCode(octet)
      if (/[\w!#$%&'*+\-.^`|~:]/.test(c)) continue
      assert.equal(read(withLines(`A${c}b: c`)), 'other', JSON.stringify(c))
    }
  })
})

describe('a request head that is not whole', () => {
  const whole = requestOf('DELETE', '/a/b?c', ['Host: x', 'If-Match: "a"', 'Empty:', 'Authorization: Digest a="b"\t'])

  test('is waited for at every octet', () => {
    for (let cut = 0; cut < whole.length; cut++) assert.equal(read(whole.slice(0, cut)), 'more', whole.slice(0, cut))
    assert.equal(accepted(whole).length, whole.length)
  })

  test('is not waited for once it has as many octets as a head may have', () => {
    const text = `GET / HTTP/1.1\r\nHost: x\r\nA: ${'b'.repeat(1024)}`
    assert.equal(read(text.slice(0, 1023)), 'more')
    assert.equal(read(text.slice(0, 1024)), 'other')
    assert.equal(read(text), 'other')
  })

  test('is the general server’s as soon as its lines show that it cannot become one', () => {
    const begun = [
      ...['P', 'PU', 'PUT'].map((word) => `${word}X`),
      ...[
        '\x16\x03\x01',
        'PRI * HTTP/2.0\r\n',
        '\r\n',
        ' ',
        'GET  ',
        'GET x',
        'GET /\n',
        'GET /"',
        'GET /a b',
        'GET /\r\n',
      ],
      ...[
        'GET / HTTP/1.0\r\n',
        'GET / HTTP/1.1\n',
        'GET / HTTP/1.1\r\r',
        'GET / HTTP/1.1\r\n ',
        'GET / HTTP/1.1\r\n\rA',
      ],
      ...[
        'GET / HTTP/1.1\r\nHost: x\n',
        'GET / HTTP/1.1\r\nHost: x\n\n',
        'GET / HTTP/1.1\r\nA b',
        'GET / HTTP/1.1\r\n:',
      ],
      ...['GET / HTTP/1.1\r\nA: b\0', 'GET / HTTP/1.1\r\nA: b\r\n c', 'GET / HTTP/1.1\r\nA: b\r\nc\r'],
    ]
    for (const text of begun) assert.equal(read(text), 'other', JSON.stringify(text))
  })
})

test('octets behind a head are not looked at', () => {
  for (const next of ['\0', 'GET / HTTP/1.1\r\n\r\n', '\r\n\r\n', 'x'.repeat(5000)]) {
    assert.deepEqual(read(withLines() + next), accepted(withLines()))
  }
})
