import assert from 'node:assert/strict'
import { request } from 'node:http'
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { describe, test } from 'node:test'
import { GbaError } from '../../src/errors.ts'
import { AnswerReader } from '../../src/http/answer-reader.ts'

// What our reader takes for an answer, Node's parser has to take for the same one: else the proxy and whoever reads
// beside it, or before it, could see two different answers in the same octets.

interface Read {
  readonly status: number
  readonly rawHeaders: readonly string[]
  readonly body: string
}

/** @returns undefined: refused. `length`: octets that came until the answer was complete */
function ours(octets: Buffer, method: string, sizes: () => number): (Read & { length: number }) | undefined {
  const reader = new AnswerReader(16_384)
  reader.begin(method === 'HEAD')
  let head: Omit<Read, 'body'> | undefined
  let body = ''
  let at = 0
  try {
    while (at < octets.length) {
      const part = Buffer.from(octets.subarray(at, at + sizes()))
      at += part.length
      const progress = reader.read(part, part.length)
      head ??= progress.head
      body += progress.body?.toString('latin1') ?? ''
      if (progress.isDone) return head && { status: head.status, rawHeaders: head.rawHeaders, body, length: at }
    }
    reader.end()
    return head && { status: head.status, rawHeaders: head.rawHeaders, body, length: at }
  } catch (error) {
    if (error instanceof GbaError) return undefined
    throw error
  }
}

/** A connection that gives these octets for an answer, and then ends. */
class Replay extends Duplex {
  #octets: Buffer | undefined
  constructor(octets: Buffer) {
    super()
    this.#octets = octets
  }
  override _read(): void {}
  override _write(_chunk: unknown, _encoding: string, done: () => void): void {
    done()
    if (this.#octets === undefined) return
    this.push(this.#octets)
    this.push(null)
    this.#octets = undefined
  }
}

function nodes(octets: Buffer, method: string): Promise<Read | string> {
  return new Promise((resolve) => {
    const asked = request({ method, createConnection: () => new Replay(octets) as unknown as Socket })
    asked.on('error', (error) => resolve(error.message))
    asked.on('upgrade', () => resolve('upgrade'))
    asked.on('response', (response) => {
      const parts: Buffer[] = []
      response.on('data', (part) => parts.push(part))
      response.on('error', (error) => resolve(error.message))
      response.on('close', () => {
        const { statusCode = 0, rawHeaders, complete } = response
        if (!complete) resolve('incomplete')
        else resolve({ status: statusCode, rawHeaders, body: Buffer.concat(parts).toString('latin1') })
      })
    })
    asked.end()
  })
}

/** Small, fast, and the same each time: a difference is found again. @see https://prng.di.unimi.it (splitmix32) */
function chance(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x9e3779b9) | 0
    let z = state ^ (state >>> 16)
    z = Math.imul(z, 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return ((z ^ (z >>> 15)) >>> 0) / 2 ** 32
  }
}

function generator(seed: number) {
  const next = chance(seed)
  const below = (limit: number) => Math.floor(next() * limit)
  const one = <T>(list: readonly T[]): T => list[below(list.length)] as T
  const maybe = (share: number, text: () => string) => (next() < share ? text() : '')
  const many = (most: number, text: () => string) => Array.from({ length: below(most + 1) }, text).join('')

  const NAMES = [
    'ETag',
    'X-A',
    'Server',
    'Date',
    'Via',
    "!#$%&'*+-.^_`|~",
    'Content-Type',
    'Trailer',
    'Upgrade',
    'Set-Cookie',
  ]
  const VALUES = ['a', '', '"abc"', 'a b', '\xe9\xff', 'a\tb', 'h2c', 'text/xml; charset="utf-8"', 'x'.repeat(300)]
  const field = () => `${one(NAMES)}:${one(['', ' ', '\t', '  \t'])}${one(VALUES)}${one(['', '', ' ', '\t '])}\r\n`
  const word = () => one(['a', 'foo', '"', ';', '=', 'b c', '\\', '"q"', '"\\""', '\x80'])
  const size = (length: number) =>
    one(['', '', '0', '000']) + one([length.toString(16), length.toString(16).toUpperCase()])
  const extension = () => maybe(0.2, () => one([';a', ';a=b', ';a="b;c"', ';a="\\"";b', `;${word()}${word()}`]))
  const chunk = () => {
    const data = 'abcdefghijklmnopqrstuvwxyz\r\n'.slice(0, 1 + below(28))
    return `${size(data.length)}${extension()}\r\n${data}\r\n`
  }
  const chunks = () => `${many(4, chunk)}${one(['0', '0', '00'])}${extension()}\r\n${maybe(0.2, field)}\r\n`
  const body = () => one(['', 'hello', '\r\n\r\n', 'HTTP/1.1 200 OK\r\n\r\n', 'x'.repeat(100)])
  const statusLine = (status: number | string) =>
    `HTTP/1.${one(['1', '1', '1', '1', '0'])} ${status}${one([' OK', ' ', '', ' \xe9 \t'])}\r\n`
  const blank = () => one(['', ' ', ' ', '\t', '  ', ' \t', '\x0b'])
  const connection = () =>
    maybe(
      0.3,
      () => `Connection:${blank()}${one(['close', 'keep-alive', 'upgrade', 'Keep-Alive, close'])}${blank()}\r\n`,
    )
  const answer = () => {
    const status = one([200, 200, 200, 201, 204, 304, 404, 412, 503, 100 + below(520)])
    const content = body()
    const [framing, after] = one([
      () => [`Content-Length: ${content.length}\r\n`, content],
      () => [`Content-Length: ${content.length + below(3) - 1}\r\n`, content],
      () => [`content-length:${blank()}${one(['0', '00', ''])}${content.length}${blank()}\r\n`, content],
      () => [
        `Transfer-Encoding:${blank()}${one(['chunked', 'Chunked', 'chunked', 'gzip, chunked', 'identity'])}${blank()}\r\n`,
        chunks(),
      ],
      () => ['Transfer-Encoding: chunked\r\n', chunks()],
      () => ['', content],
      () => [`${one(['Content-Length: 3\r\n', 'Transfer-Encoding: chunked\r\n'])}Content-Length: 3\r\n`, 'abc'],
    ])() as [string, string]
    const lines = [many(3, field), framing, connection(), many(2, field)].join('')
    return `${statusLine(status)}${lines}\r\n${after}`
  }
  const interim = () => `${statusLine(one([100, 102, 103, 103, 199]))}${many(2, field)}\r\n`

  /** Mostly nearly right: what is all wrong is refused by everybody. */
  const mutate = (text: string): string => {
    const at = below(text.length)
    const octet = () =>
      one(['\r', '\n', '\r\n', ' ', '\t', '\x00', ':', ';', ',', '0', '1', 'a', '\x7f', '\x80', '\x0b', '-', '+'])
    switch (below(6)) {
      case 0:
        return text.slice(0, at) + text.slice(at + 1)
      case 1:
        return text.slice(0, at) + octet() + text.slice(at)
      case 2:
        return text.slice(0, at) + octet() + text.slice(at + 1)
      case 3:
        return text.slice(0, at)
      case 4:
        return text.slice(0, at) + text.slice(below(at + 1))
      default:
        return text.replace(one(['\r\n', ': ', 'Content-Length', 'chunked', '\r\n\r\n', '0']), () => octet())
    }
  }
  return {
    method: () => one(['GET', 'GET', 'GET', 'PUT', 'HEAD']),
    answer: () => {
      let text = maybe(0.2, interim) + answer() + maybe(0.1, answer)
      for (let times = one([0, 0, 1, 1, 2, 4]); times > 0; times--) text = mutate(text)
      return Buffer.from(text, 'latin1')
    },
    sizes: () => one([() => 1_000_000, () => 1, () => 1 + below(20)]),
  }
}

describe('what our reader takes for an answer', () => {
  // GBA_FUZZ_ROUNDS and GBA_FUZZ_SEED: for a long run, elsewhere.
  const rounds = Number(process.env.GBA_FUZZ_ROUNDS ?? 6000)
  const seed = Number(process.env.GBA_FUZZ_SEED ?? 1)

  test("Node's parser takes for the same one", async () => {
    const make = generator(seed)
    let taken = 0
    let refused = 0
    for (let round = 0; round < rounds; round++) {
      const octets = make.answer()
      const method = make.method()
      const read = ours(octets, method, () => 1)
      if (read === undefined) {
        refused++
        continue
      }
      taken++
      // What stands behind the answer is the end of the connection for both, told in different ways.
      const { length, ...answer } = read
      const same = await nodes(octets.subarray(0, length), method)
      assert.deepEqual(same, answer, `${method} ${JSON.stringify(octets.toString('latin1'))}`)
    }
    assert.ok(taken > rounds / 5 && refused > rounds / 5, `${taken} taken, ${refused} refused`)
  })

  test('it takes for the same one however it comes', () => {
    const make = generator(seed + 1)
    for (let round = 0; round < rounds; round++) {
      const octets = make.answer()
      const method = make.method()
      const [whole, inParts] = [() => 1_000_000, make.sizes()].map((sizes) => {
        const read = ours(octets, method, sizes)
        return read && [read.status, read.rawHeaders, read.body]
      })
      assert.deepEqual(inParts, whole, `${method} ${JSON.stringify(octets.toString('latin1'))}`)
    }
  })
})
