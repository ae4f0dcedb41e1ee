import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { parseAnswerHead } from '../../src/http/answer-head.ts'
import { invalid } from './asking.ts'

const head = (...lines: readonly string[]) => `${lines.join('\r\n')}\r\n\r\n`
const parse = (...lines: readonly string[]) => parseAnswerHead(head(...lines), false)
const OK = 'HTTP/1.1 200 OK'

describe('the head of an answer', () => {
  test('gives status and fields as they came, without the white space around values', () => {
    const { status, rawHeaders } = parse(OK, 'ETag:"a"', 'X-A: \t b c\t ', 'x-a:', 'X-B:  ', 'X-C: caf\xe9')
    assert.equal(status, 200)
    assert.deepEqual(rawHeaders, ['ETag', '"a"', 'X-A', 'b c', 'x-a', '', 'X-B', '', 'X-C', 'caf\xe9'])
  })

  for (const line of [
    'HTTP/1.1 404',
    'HTTP/1.1 404 ',
    'HTTP/1.1 404 Not\tFound',
    'HTTP/1.1 404 \xe9',
    'HTTP/1.0 404 x',
  ]) {
    test(`may begin with ${JSON.stringify(line)}`, () => assert.equal(parse(line).status, 404))
  }

  const refused: readonly (readonly [string, string])[] = [
    ['another version', head('HTTP/1.2 200 OK')],
    ['a version of another time', head('HTTP/2.0 200 OK')],
    ['another protocol', head('HTTPS/1.1 200 OK')],
    ['a version in small letters', head('http/1.1 200 OK')],
    ['no version', head('200 OK')],
    ['white space before the version', head(' HTTP/1.1 200 OK')],
    ['an empty line before the status line', `\r\n${head(OK)}`],
    ['two spaces before the status', head('HTTP/1.1  200 OK')],
    ['a tab before the status', head('HTTP/1.1\t200 OK')],
    ['no status', head('HTTP/1.1 ')],
    ['a status of two digits', head('HTTP/1.1 20 OK')],
    ['a status of four digits', head('HTTP/1.1 2000 OK')],
    ['a status with a sign', head('HTTP/1.1 +20 OK')],
    ['a status with a letter', head('HTTP/1.1 2x0 OK')],
    ['a status glued to the reason', head('HTTP/1.1 200OK')],
    ['a status below 100', head('HTTP/1.1 099 OK')],
    ['a status above 599', head('HTTP/1.1 600 OK')],
    ['another protocol to switch to, for which nobody asked', head('HTTP/1.1 101 Switching', 'Upgrade: h2c')],
    ['a control octet in the reason', head('HTTP/1.1 200 O\x00K')],
    ['DEL in the reason', head('HTTP/1.1 200 O\x7fK')],
    ['a carriage return in the reason', head('HTTP/1.1 200 O\rK')],
    ['a bare line feed after the status line', `HTTP/1.1 200 OK\n\r\n`],
    ['a bare line feed after a field', 'HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n'],
    ['a bare line feed for the empty line', 'HTTP/1.1 200 OK\r\nA: b\r\n\n'],
    ['a bare carriage return in a value', head(OK, 'A: b\rc')],
    ['a bare carriage return for the empty line', 'HTTP/1.1 200 OK\r\nA: b\r\n\rx'],
    ['NUL in a value', head(OK, 'A: b\x00c')],
    ['ESC in a value', head(OK, 'A: \x1b[1m')],
    ['DEL in a value', head(OK, 'A: \x7f')],
    ['a field without a colon', head(OK, 'A')],
    ['a field without a name', head(OK, ': b')],
    ['white space before the colon', head(OK, 'A : b')],
    ['white space in a name', head(OK, 'A B: c')],
    ['NUL in a name', head(OK, 'A\x00: b')],
    ['a letter beyond ASCII in a name', head(OK, '\xe9: b')],
    ['a separator in a name', head(OK, 'A(b): c')],
    ['a folded field', head(OK, 'A: b', ' c')],
    ['a field folded with a tab', head(OK, 'A: b', '\tc')],
    ['a fold right after the status line', head(OK, ' A: b')],
    ['octets after the empty line', `${head(OK)}x`],
    ['no empty line', 'HTTP/1.1 200 OK\r\nA: b\r\n'],
    ['nothing', ''],
    ['what is no octet', head(OK, 'A: \u0100')],
    ['two lengths', head(OK, 'Content-Length: 1', 'Content-Length: 2')],
    ['the same length twice', head(OK, 'Content-Length: 1', 'content-length: 1')],
    ['a list of lengths', head(OK, 'Content-Length: 1, 1')],
    ['an empty length', head(OK, 'Content-Length:')],
    ['a length with a sign', head(OK, 'Content-Length: +1')],
    ['a length below zero', head(OK, 'Content-Length: -1')],
    ['a length in hexadecimal', head(OK, 'Content-Length: 0x10')],
    ['a length with a fraction', head(OK, 'Content-Length: 1.0')],
    ['a length with white space in it', head(OK, 'Content-Length: 1 0')],
    ['a length that no number holds', head(OK, 'Content-Length: 9999999999999999')],
    ['a length with a tab behind it', head(OK, 'Content-Length: 1\t')],
    ['a length with a tab before it', head(OK, 'Content-Length:\t1')],
    [
      'chunked with a tab behind it, which some parsers take for another coding',
      head(OK, 'Transfer-Encoding: chunked\t'),
    ],
    ['chunked with a tab before it', head(OK, 'Transfer-Encoding:\tchunked')],
    ['a length and chunks', head(OK, 'Content-Length: 1', 'Transfer-Encoding: chunked')],
    ['chunks and a length', head(OK, 'Transfer-Encoding: chunked', 'Content-Length: 0')],
    ['a length and chunks with 204', head('HTTP/1.1 204 x', 'Content-Length: 0', 'Transfer-Encoding: chunked')],
    ['another transfer coding', head(OK, 'Transfer-Encoding: gzip')],
    ['identity', head(OK, 'Transfer-Encoding: identity')],
    ['two transfer codings', head(OK, 'Transfer-Encoding: gzip, chunked')],
    ['chunked twice in one field', head(OK, 'Transfer-Encoding: chunked, chunked')],
    ['chunked twice', head(OK, 'Transfer-Encoding: chunked', 'Transfer-Encoding: chunked')],
    ['chunked with a parameter', head(OK, 'Transfer-Encoding: chunked;a=b')],
    ['chunked with something around it', head(OK, 'Transfer-Encoding: \x0bchunked')],
    ['an empty transfer coding', head(OK, 'Transfer-Encoding:')],
    ['chunks in HTTP/1.0', head('HTTP/1.0 200 OK', 'Transfer-Encoding: chunked')],
    ['an informational answer with a length', head('HTTP/1.1 103 x', 'Content-Length: 3')],
    ['an informational answer in HTTP/1.0', head('HTTP/1.0 100 x')],
    ['an informational answer that is the last', head('HTTP/1.1 103 x', 'Connection: close')],
    ['an informational answer with chunks', head('HTTP/1.1 100 x', 'Transfer-Encoding: chunked')],
  ]
  for (const [what, text] of refused) {
    test(`is refused with ${what}`, () => assert.throws(() => parseAnswerHead(text, false), invalid))
    test(`is refused with ${what}, also to HEAD`, () => assert.throws(() => parseAnswerHead(text, true), invalid))
  }
})

describe('the length of a body', () => {
  test('is told, or not', () => {
    assert.equal(parse(OK, 'Content-Length: 42').contentLength, 42)
    assert.equal(parse(OK, 'content-LENGTH:007').contentLength, 7)
    assert.equal(parse(OK, 'Content-Length: 999999999999999').contentLength, 999_999_999_999_999)
    assert.equal(parse(OK, 'Transfer-Encoding: Chunked').contentLength, undefined)
    assert.equal(parse(OK, 'Transfer-Encoding: Chunked').isChunked, true)
    assert.equal(parse(OK).contentLength, undefined)
  })

  test('says nothing of what follows HEAD, 204 and 304', () => {
    assert.deepEqual(
      [
        parseAnswerHead(head(OK, 'Content-Length: 5'), true),
        parse('HTTP/1.1 304 x', 'Content-Length: 5'),
        parse('HTTP/1.1 204 x'),
        parse(OK, 'Content-Length: 5'),
      ].map(({ isBodyless, contentLength }) => [isBodyless, contentLength]),
      [
        [true, 5],
        [true, 5],
        [true, undefined],
        [false, 5],
      ],
    )
  })
})

describe('another request on the same connection', () => {
  const isLast = (...lines: readonly string[]) => parse(...lines).isLast
  const LENGTH = 'Content-Length: 0'
  test('may follow where nothing speaks against it', () => {
    assert.equal(isLast(OK, LENGTH), false)
    assert.equal(isLast(OK, 'Transfer-Encoding: chunked'), false)
    assert.equal(isLast(OK, LENGTH, 'Connection: keep-alive, x-close'), false)
    assert.equal(isLast('HTTP/1.0 200 OK', LENGTH, 'Connection: Keep-Alive'), false)
    assert.equal(isLast('HTTP/1.1 204 x'), false)
    assert.equal(isLast('HTTP/1.1 204 x', LENGTH), false)
    assert.equal(isLast('HTTP/1.1 304 x', 'Content-Length: 5'), false)
    assert.equal(parseAnswerHead(head(OK), true).isLast, false)
  })
  for (const [what, lines] of [
    ['Connection: close', [OK, LENGTH, 'Connection: close']],
    ['close among others', [OK, LENGTH, 'Connection: keep-alive , CLOSE']],
    ['close in a field of its own', [OK, LENGTH, 'Connection: keep-alive', 'Connection: close']],
    ['HTTP/1.0', ['HTTP/1.0 200 OK', LENGTH]],
    ['HTTP/1.0 that means something else', ['HTTP/1.0 200 OK', LENGTH, 'Connection: x-keep-alive']],
    ['a body until the connection ends', [OK]],
    ['a body that 204 announces and cannot have', ['HTTP/1.1 204 x', 'Content-Length: 5']],
    ['chunks that 204 announces and cannot have', ['HTTP/1.1 204 x', 'Transfer-Encoding: chunked']],
  ] as const) {
    test(`may not follow ${what}`, () => assert.equal(isLast(...lines), true))
  }

  test('has as long as Keep-Alive says', () => {
    const keepAliveMs = (...values: readonly string[]) =>
      parse(OK, ...values.map((value) => `Keep-Alive: ${value}`)).keepAliveMs
    assert.equal(keepAliveMs('timeout=5'), 5000)
    assert.equal(keepAliveMs('max=100, Timeout = 7'), 7000)
    assert.equal(keepAliveMs('timeout=5', 'timeout=3'), 3000)
    assert.equal(keepAliveMs('max=100'), undefined)
    assert.equal(keepAliveMs('xtimeout=5'), undefined)
  })
})
