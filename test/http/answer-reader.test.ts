import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { AnswerReader, COLLECTED_BYTES } from '../../src/http/answer-reader.ts'
import { invalid, refusedAs, unreachable } from './asking.ts'

interface Read {
  readonly status: number | undefined
  readonly body: string
  readonly isDone: boolean
  readonly isReusable: boolean
}

interface Asked {
  readonly method?: string
  readonly maxHeadBytes?: number
  /** The connection ends after the last octet. */
  readonly ends?: boolean
}

/** As a connection reads: into one memory, that holds what was read before. */
function readAll(parts: readonly Buffer[], { method = 'GET', maxHeadBytes = 16_384, ends = false }: Asked = {}): Read {
  const memory = Buffer.alloc(128 * 1024, '\r\n\r\n')
  const reader = new AnswerReader(maxHeadBytes)
  reader.begin(method === 'HEAD')
  let status: number | undefined
  let body = ''
  let isDone = false
  for (const part of parts) {
    part.copy(memory)
    const progress = reader.read(memory, part.length)
    if (progress.head !== undefined) {
      assert.equal(status, undefined)
      status = progress.head.status
    }
    if (progress.body !== undefined) {
      assert.notEqual(status, undefined)
      body += progress.body.toString('latin1')
    }
    isDone = progress.isDone
    if (isDone) break
  }
  if (ends && !isDone) {
    reader.end()
    isDone = true
  }
  return { status, body, isDone, isReusable: reader.isReusable }
}

const inOne = (text: string) => [Buffer.from(text, 'latin1')]
const octetByOctet = (text: string) => [...Buffer.from(text, 'latin1')].map((octet) => Buffer.of(octet))
const split = (text: string, at: number) => {
  const octets = Buffer.from(text, 'latin1')
  return [octets.subarray(0, at), octets.subarray(at)]
}
const OK = 'HTTP/1.1 200 OK\r\n'
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`

const FRAMINGS: readonly (readonly [string, string, Read & Asked])[] = [
  [
    'a known length',
    `${OK}Content-Length: 5\r\n\r\nhello`,
    { status: 200, body: 'hello', isDone: true, isReusable: true },
  ],
  ['no octets', `${OK}Content-Length: 0\r\n\r\n`, { status: 200, body: '', isDone: true, isReusable: true }],
  ['chunks', `${CHUNKED}5\r\nhello\r\n0\r\n\r\n`, { status: 200, body: 'hello', isDone: true, isReusable: true }],
  [
    'chunks with all that may be around them',
    `${CHUNKED}1;a\r\nh\r\n00000003;b=c;d="e\\"\t"\r\nell\r\n1\r\no\r\n000;x=y\r\nExpires: never\r\nX: \r\n\r\n`,
    { status: 200, body: 'hello', isDone: true, isReusable: true },
  ],
  ['no chunk but the last', `${CHUNKED}0\r\n\r\n`, { status: 200, body: '', isDone: true, isReusable: true }],
  [
    'an end with the connection',
    `${OK}\r\nhello`,
    { status: 200, body: 'hello', isDone: true, isReusable: false, ends: true },
  ],
  ['204', 'HTTP/1.1 204 x\r\n\r\n', { status: 204, body: '', isDone: true, isReusable: true }],
  ['304', 'HTTP/1.1 304 x\r\nContent-Length: 9\r\n\r\n', { status: 304, body: '', isDone: true, isReusable: true }],
  [
    'nothing to HEAD',
    `${OK}Content-Length: 9\r\n\r\n`,
    { method: 'HEAD', status: 200, body: '', isDone: true, isReusable: true },
  ],
  [
    'nothing to HEAD, announced in chunks',
    CHUNKED,
    { method: 'HEAD', status: 200, body: '', isDone: true, isReusable: true },
  ],
  [
    'informational answers before it',
    `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nLink: <a>\r\n\r\n${OK}Content-Length: 2\r\n\r\nok`,
    { status: 200, body: 'ok', isDone: true, isReusable: true },
  ],
  [
    'Connection: close',
    `${OK}Content-Length: 2\r\nConnection: close\r\n\r\nok`,
    { status: 200, body: 'ok', isDone: true, isReusable: false },
  ],
]

describe('an answer with', () => {
  for (const [what, text, { method, ends, ...expected }] of FRAMINGS) {
    const asked = { ...(method === undefined ? {} : { method }), ...(ends === undefined ? {} : { ends }) }
    test(`${what} is read in one piece`, () => assert.deepEqual(readAll(inOne(text), asked), expected))
    test(`${what} is read octet by octet`, () => assert.deepEqual(readAll(octetByOctet(text), asked), expected))
    test(`${what} is read alike wherever it is split`, () => {
      for (let at = 1; at < text.length; at++) assert.deepEqual(readAll(split(text, at), asked), expected, `at ${at}`)
    })
    if (ends) continue
    test(`${what} and octets behind it is the last one on its connection`, () => {
      for (const behind of ['x', '\r\n', 'HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n']) {
        const read = readAll(inOne(text + behind), asked)
        assert.deepEqual(read, { ...expected, isReusable: false })
      }
    })
    test(`${what} that ends early is no answer`, () => {
      for (let at = 0; at < text.length; at++) {
        const parts = at === 0 ? [] : [split(text, at)[0] ?? Buffer.alloc(0)]
        assert.throws(
          () => readAll(parts, { ...asked, ends: true }),
          what === 'Connection: close' && at >= text.length - 2 ? invalid : unreachable,
          `at ${at}`,
        )
      }
    })
  }

  test('chunks that were announced as the last ones and end early is invalid', () => {
    const text = `${OK}Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n5\r\nhel`
    assert.throws(() => readAll(inOne(text), { ends: true }), invalid)
  })
})

describe('what can never be an answer is refused before it is whole:', () => {
  const refused: readonly (readonly [string, string])[] = [
    ['another protocol', 'SSH-2.0-OpenSSH'],
    ['one letter of another protocol', 'S'],
    ['a version that is none', 'HTTP/2'],
    ['an empty line', '\r\n'],
    ['lines without carriage returns', 'HTTP/1.1 200 OK\nContent-Length: 0\n\n'],
    ['too large a head', `${OK}A: ${'b'.repeat(20_000)}`],
    ['too large a head that is whole', `${OK}A: ${'b'.repeat(20_000)}\r\n\r\n`],
    ['nine informational answers', 'HTTP/1.1 100 Continue\r\n\r\n'.repeat(9)],
    ['no size', `${CHUNKED}\r\n`],
    ['an empty size', `${CHUNKED};a\r\n`],
    ['a size that is no number', `${CHUNKED}g\r\n`],
    ['a size with a sign', `${CHUNKED}+5\r\nhello`],
    ['a size with a prefix', `${CHUNKED}0x5\r\nhello`],
    ['a size with white space before it', `${CHUNKED} 5\r\nhello`],
    ['a size with white space behind it', `${CHUNKED}5 \r\nhello`],
    ['a size of nine digits', `${CHUNKED}000000005\r\nhello`],
    ['a size ended by a line feed', `${CHUNKED}5\nhello`],
    ['a size ended by a carriage return', `${CHUNKED}5\rhello`],
    ['a chunk longer than its size', `${CHUNKED}5\r\nhello!\r\n`],
    ['a chunk ended by a line feed', `${CHUNKED}5\r\nhello\n`],
    ['a chunk ended by a carriage return', `${CHUNKED}5\r\nhello\rx`],
    ['an extension without a name', `${CHUNKED}5;\r\nhello`],
    ['an extension with white space', `${CHUNKED}5; a=b\r\nhello`],
    ['an extension without a value', `${CHUNKED}5;a=\r\nhello`],
    ['an extension with an open quotation', `${CHUNKED}5;a="b\r\nhello`],
    ['an extension with a line feed', `${CHUNKED}5;a="\n"\r\nhello`],
    ['a very long extension', `${CHUNKED}5;${'a'.repeat(20_000)}`],
    ['many extensions', `${CHUNKED}${`1;${'a'.repeat(1000)}\r\nx\r\n`.repeat(17)}`],
    ['a trailer that is no field', `${CHUNKED}0\r\nx\r\n\r\n`],
    ['a folded trailer', `${CHUNKED}0\r\nA: b\r\n c\r\n\r\n`],
    ['a trailer ended by a line feed', `${CHUNKED}0\r\nA: b\n\r\n`],
    ['an end of chunks by a line feed', `${CHUNKED}0\r\n\n`],
    ['a trailer that frames', `${CHUNKED}0\r\ncontent-length: 0\r\n\r\n`],
    ['a trailer that frames anew', `${CHUNKED}0\r\nTransfer-Encoding: chunked\r\n\r\n`],
    ['many trailers', `${CHUNKED}0\r\n${'A: b\r\n'.repeat(4000)}`],
  ]
  for (const [what, text] of refused) {
    test(what, () => assert.throws(() => readAll(inOne(text)), invalid))
    test(`${what}, octet by octet`, () => assert.throws(() => readAll(octetByOctet(text)), invalid))
  }

  test('a head of just the size that is allowed is none of it', () => {
    const text = `${OK}Content-Length: 0\r\nA: ${'b'.repeat(900)}\r\n\r\n`
    assert.equal(readAll(inOne(text), { maxHeadBytes: text.length }).isDone, true)
    assert.equal(readAll(octetByOctet(text), { maxHeadBytes: text.length }).isDone, true)
    assert.throws(() => readAll(inOne(text), { maxHeadBytes: text.length - 1 }), invalid)
    assert.throws(() => readAll(octetByOctet(text), { maxHeadBytes: text.length - 1 }), invalid)
  })
})

describe('a body of known length', () => {
  const reads = (length: number) => {
    const reader = new AnswerReader(16_384)
    reader.begin(false)
    const read = (text: string) => reader.read(Buffer.from(text, 'latin1'), text.length)
    const first = read(`${OK}Content-Length: ${length}\r\n\r\nab`)
    const second = read('c'.repeat(length - 2))
    return [first, second].map(({ head, body, isDone }) => [head?.status, body?.length, isDone])
  }
  test('is held until it is whole, and comes with its head', () => {
    const held = [undefined, undefined, false]
    assert.deepEqual(reads(COLLECTED_BYTES), [held, [200, COLLECTED_BYTES, true]])
  })
  test('comes as it is read where it is large', () => {
    const large = COLLECTED_BYTES + 1
    assert.deepEqual(reads(large), [
      [200, 2, false],
      [undefined, large - 2, true],
    ])
  })
})

test('an answer follows another one on a connection', () => {
  const reader = new AnswerReader(16_384)
  for (const [text, isForHead] of [
    [`${OK}Content-Length: 5\r\n\r\nhello`, false],
    [`${CHUNKED}1\r\na\r\n0\r\n\r\n`, false],
    [`${OK}Content-Length: 5\r\n\r\n`, true],
    [`${OK}Content-Length: 2\r\n\r\nok`, false],
  ] as const) {
    reader.begin(isForHead)
    assert.deepEqual([reader.hasBegun, reader.isInBody, reader.isReusable], [false, false, false])
    const { isDone } = reader.read(Buffer.from(text, 'latin1'), text.length)
    assert.deepEqual([isDone, reader.hasBegun, reader.isReusable], [true, true, true])
  }
})

test('octets between answers are refused', () => {
  const reader = new AnswerReader(16_384)
  assert.throws(() => reader.read(Buffer.from('HTTP/1.1'), 8), refusedAs('UT_AS_ANSWER_INVALID'))
})

test('an answer like the one before it is known again, and another one, or one to HEAD, is not', () => {
  const reader = new AnswerReader(16_384)
  const headOf = (text: string, isForHead = false) => {
    const octets = Buffer.from(text, 'latin1')
    reader.begin(isForHead)
    const { head, isDone } = reader.read(octets, octets.length)
    assert.equal(isDone, true)
    return head
  }
  const text = 'HTTP/1.1 200 OK\r\nETag: "a"\r\nContent-Length: 0\r\n\r\n'
  const first = headOf(text)
  assert.equal(headOf(text), first)
  assert.deepEqual(headOf(text.replace('"a"', '"b"'))?.rawHeaders, ['ETag', '"b"', 'Content-Length', '0'])
  const again = headOf(text)
  assert.notEqual(again, first)
  assert.deepEqual(again, first)
  const toHead = headOf(text, true)
  assert.equal(toHead?.isBodyless, true)
  assert.equal(headOf(text)?.isBodyless, false)
})
