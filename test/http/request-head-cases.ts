import type { HeadLimits } from '../../src/http/request-head.ts'

/** Octets that a connection may begin with; the same seed makes the same ones. */
export interface Case {
  readonly seed: number
  /** One character per octet. */
  readonly text: string
  readonly limits: HeadLimits
  /** How many requests it holds when every one is within the grammar; undefined: something was changed. */
  readonly valid: number | undefined
}

export type Random = (below: number) => number

/** mulberry32 */
export function randomOf(seed: number): Random {
  let state = seed | 0
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * below)
  }
}

/** A third as the grammar has it, the others with one to four changes. */
export function caseOf(seed: number): Case {
  const random = randomOf(seed)
  const limits = {
    headerBytes: random(3) === 0 ? 1024 : 16_384,
    headerCount: oneOf(random, [8, 100, 1000]),
    bodyBytes: MAX_BODY,
  }
  const count = 1 + Math.max(0, random(5) - 2)
  let text = ''
  let fits = true
  for (let i = 0; i < count; i++) {
    const { head, body, lines } = validRequest(random, limits, i === count - 1)
    fits &&= head.length <= limits.headerBytes && lines < limits.headerCount
    text += head + body
  }
  if (random(3) === 0) return { seed, text, limits, valid: fits ? count : undefined }
  for (let changes = 1 + random(4); changes > 0; changes--) text = oneOf(random, CHANGES)(text, random)
  return { seed, text, limits, valid: undefined }
}

export const MAX_BODY = 300

const oneOf = <T>(random: Random, list: readonly T[]): T => list[random(list.length)] as T

const TARGETS = [
  '/',
  '/resource-lists/users/sip:alice@example.com/index',
  '/simservs.ngn.etsi.org/users/tel:+1234567890/simservs.xml/~~/ss:simservs/ss:x?xmlns(ss=http://uri.etsi.org/ngn/params)',
  "/rls/users/sip:a@b.c/index/~~/list[@id='x']/entry[1]",
  '/a/~~/b%5B@id=%22cfu%22%5D?q=1?2&c;d',
  '//x/../.%2e/%00',
]
const TARGET_OCTETS = "/ABCzyx0189-._~!$&()*+,;=:@%[]'"
const TOKEN_OCTETS = "abcXYZ019!#$%&'*+-.^_`|~"
const VALUE_OCTETS = 'abcXYZ 019\t"\',;:=()<>@[]\\{}/?#%\x7e\x80\x85\xa0\xad\xff\xc3\xa4'

const ORDINARY = [
  'Accept',
  'Accept-Encoding',
  'Content-Type',
  'If-Match',
  'If-None-Match',
  'Cookie',
  'Keep-Alive',
  'X-A',
]
const AUTHORIZATION =
  'Digest username="I1U8vpY3qJ0hiuZNrke/NQ==@bsf.example.com", realm="3GPP-bootstrapping@xcap.example.com", ' +
  'nonce="AAABlKzW1Q0", uri="/", response="6629fae49393a05397450978507c4ef1", qop=auth, nc=00000001, cnonce="f2/wE4"'

const some = (random: Random, octets: string, most: number): string =>
  Array.from({ length: random(most + 1) }, () => octets[random(octets.length)]).join('')

const cased = (random: Random, word: string): string =>
  random(2) === 0 ? word : [...word].map((c) => (random(2) === 0 ? c.toLowerCase() : c.toUpperCase())).join('')

function validRequest(random: Random, limits: HeadLimits, isLast: boolean) {
  const method = oneOf(random, ['GET', 'HEAD', 'PUT', 'DELETE'])
  const mayHaveBody = method === 'PUT' || method === 'DELETE'
  const target =
    random(2) === 0
      ? oneOf(random, TARGETS)
      : `/${some(random, TARGET_OCTETS, 40)}${random(2) ? `?${some(random, TARGET_OCTETS.slice(0, -1), 20)}` : ''}`
  const value = () => some(random, VALUE_OCTETS, 30).replace(/^[\t ]+|[\t ]+$/g, '')
  const before = () => oneOf(random, ['', ' ', ' ', ' ', ' ', '\t', '  ', ' \t '])
  const behind = () => oneOf(random, ['', '', '', '', '', ' ', '\t', ' \t'])
  const name = (word: string) => cased(random, word)

  const lines = [`${name('Host')}:${before()}${oneOf(random, ['xcap.example.com', 'x:443', '[::1]', value() || 'h'])}`]
  const line = (word: string, content: string) => lines.push(`${name(word)}:${before()}${content}${behind()}`)
  if (random(2)) line('User-Agent', oneOf(random, ['UE/1.0 3gpp-gba', value()]))
  if (random(2)) line('Authorization', oneOf(random, [AUTHORIZATION, value()]))
  if (random(3) === 0) line('X-3GPP-Intended-Identity', oneOf(random, ['"sip:alice@example.com"', value()]))
  for (let more = random(random(8) === 0 ? 60 : 5); more > 0; more--) {
    line(random(3) ? oneOf(random, ORDINARY) : `Z${some(random, TOKEN_OCTETS, 12)}`, value())
  }
  let body = ''
  if (random(mayHaveBody ? 4 : 8) > (mayHaveBody ? 0 : 6)) {
    if (mayHaveBody) body = bodyOf(random)
    const digits = String(body.length).padStart(random(4) === 0 ? 1 + random(15) : 1, '0')
    lines.push(`${name('Content-Length')}:${before()}${digits}`)
  }
  const close = isLast && random(4) === 0
  if (close || random(2)) lines.push(`${name('Connection')}:${before()}${name(close ? 'close' : 'keep-alive')}`)
  for (let i = lines.length - 1; i > 0; i--) {
    const j = random(i + 1)
    ;[lines[i], lines[j]] = [lines[j] as string, lines[i] as string]
  }
  // Often as near to the limit as possible.
  if (random(6) === 0) {
    const missing = limits.headerBytes - headOf(method, target, lines).length - 'P: \r\n'.length - random(4) + 1
    if (missing > 0) lines.push(`P: ${'p'.repeat(missing)}`)
  }
  return { head: headOf(method, target, lines), body, lines: lines.length }
}

const headOf = (method: string, target: string, lines: readonly string[]): string =>
  `${method} ${target} HTTP/1.1\r\n${lines.map((line) => `${line}\r\n`).join('')}\r\n`

function bodyOf(random: Random): string {
  const bodies = [
    '<a/>',
    'GET /smuggled HTTP/1.1\r\nHost: s\r\n\r\n',
    '\r\n\r\n',
    '0\r\n\r\nPUT /smuggled HTTP/1.1\r\nHost: s\r\nContent-Length: 9\r\n\r\n',
    some(random, `${VALUE_OCTETS}\r\n\0\x01\x7f`, MAX_BODY),
  ]
  return oneOf(random, bodies)
}

const LINES = [
  ...['Transfer-Encoding: chunked', 'Transfer-Encoding: identity', 'transfer_encoding: chunked', 'TE: trailers'],
  ...[
    'Transfer-Encoding : chunked',
    'Transfer-Encoding\t: chunked',
    ' Transfer-Encoding: chunked',
    'TransferEncoding: x',
  ],
  ...['Content-Length: 5', 'Content-Length: 0', 'Content-Length:', 'Content-Length: +5', 'Content-Length: 5, 5'],
  ...['Content-Length: 0x5', 'Content-Length: 5 ', 'Content-Length: 5\t', 'Content-Length: 5 5', 'Content_Length: 5'],
  ...[
    'Content-Length: 1e1',
    'Content-Length: 18446744073709551621',
    'Content-Length: 000000000000005',
    'ContentLength: 5',
  ],
  ...[
    'Content-Length : 5',
    'Content-Length: \x0b5',
    'Content-Length: 5;',
    'Content-Length: -0',
    'Content-Length: \xb2',
    'Content-Length: 5.0',
  ],
  ...[
    'Connection: close',
    'Connection: keep-alive',
    'Connection: close, keep-alive',
    'Connection: upgrade',
    'Connection:',
  ],
  ...['Connection: close ', 'Connection: close\t', 'Connection: ,close', 'Connection: clos', 'Connection: "close"'],
  ...[
    'Connection: Host',
    'Connection: keep-alive\t',
    'Connection : close',
    'Connection:\tclose',
    'Proxy-Connection: close',
  ],
  ...[
    'Upgrade: h2c',
    'Upgrade: TLS/1.2',
    'HTTP2-Settings: AAMAAABk',
    'Expect: 100-continue',
    'Expect: x',
    'Trailer: x',
  ],
  ...['Host: other', 'Host:', 'Host: ', 'host: other', 'Ho\x73t: again', 'Host : x', 'Host\0: x', 'Hos_t: x'],
  ...[
    ': empty',
    'NoColon',
    'Name\x80: x',
    'Na me: x',
    'Na(me): x',
    '"Name": x',
    '\tfold',
    ' fold',
    'A: \0',
    'A: \x7f',
    'A: \x1b',
  ],
  ...[
    'A: b\rc',
    'A: b\nc',
    'A: b\n',
    'A:\r',
    'A: b\r\r',
    '',
    '\r',
    '\n',
    'GET /b HTTP/1.1',
    'PRI * HTTP/2.0',
    'Content-Length',
  ],
]

const OCTETS = [
  ...'\0\x01\t\n\v\f\r\x1b \x7f\x80\x85\xa0\xff',
  ...':;,"#\\<>^`{|}%_-[]@',
  ...'059AaGgHhPpz/.?',
] as const

type Change = (text: string, random: Random) => string

const splice = (text: string, at: number, deleted: number, inserted: string): string =>
  text.slice(0, at) + inserted + text.slice(at + deleted)

/** More often in the first octets, where the head is. */
const place = (text: string, random: Random): number =>
  random(random(2) ? text.length + 1 : Math.min(text.length, 90) + 1)

/** The lines behind the request line, as [begin, end] with their line end. */
function aLine(text: string, random: Random): readonly [from: number, to: number] {
  const ends = [...text.matchAll(/\r\n/g)].map(({ index }) => index + 2)
  const i = random(Math.max(1, ends.length - 1))
  return [ends[i] ?? 0, ends[i + 1] ?? text.length]
}

const NAME_OCTETS = '()<>@,;:\\"/[]?={} \t\0\x7f\x80\xff_-.~|'

function anotherForm(text: string, random: Random): string {
  const word = oneOf(random, ['Host', 'Content-Length', 'Content-Length', 'Connection'])
  const line = oneOf(
    random,
    LINES.filter((one) => one.startsWith(word)),
  )
  const there = new RegExp(`^${word}:.*$`, 'im')
  return there.test(text) ? text.replace(there, () => line) : splice(text, aLine(text, random)[0], 0, `${line}\r\n`)
}

const CHANGES: readonly Change[] = [
  (text, random) => splice(text, place(text, random), 0, oneOf(random, OCTETS)),
  (text, random) => splice(text, place(text, random), 1, oneOf(random, OCTETS)),
  (text, random) => splice(text, place(text, random), 1, String.fromCharCode(random(256))),
  (text, random) => splice(text, place(text, random), 1 + random(random(4) ? 1 : 12), ''),
  (text, random) => {
    const at = place(text, random)
    return splice(text, at, 0, text.slice(at, at + 1 + random(3)))
  },
  // another letter case
  (text, random) => {
    const at = place(text, random)
    return splice(text, at, 1, String.fromCharCode((text.charCodeAt(at) || 0x20) ^ 0x20))
  },
  // a line twice, away, elsewhere, or another line
  (text, random) => {
    const [from, to] = aLine(text, random)
    return splice(text, to, 0, text.slice(from, to))
  },
  (text, random) => {
    const [from, to] = aLine(text, random)
    return splice(text, from, to - from, '')
  },
  (text, random) => {
    const [from, to] = aLine(text, random)
    const [at] = aLine(text, random)
    return splice(text, at, 0, text.slice(from, to))
  },
  (text, random) => splice(text, aLine(text, random)[0], 0, `${oneOf(random, LINES)}\r\n`),
  (text, random) => splice(text, aLine(text, random)[0], 0, `${cased(random, oneOf(random, LINES))}\r\n`),
  // one that is there, in another form
  anotherForm,
  anotherForm,
  // an octet more in a name
  (text, random) => splice(text, aLine(text, random)[0] + random(5), random(2), oneOf(random, [...NAME_OCTETS])),
  // line ends, folds, blanks
  (text, random) =>
    splice(text, aLine(text, random)[0] - 2, 2, oneOf(random, ['\n', '\r', '\n\r', '\r\r\n', '\r\n\r\n', ''])),
  (text, random) => splice(text, place(text, random), 0, oneOf(random, ['\r\n', '\r\n ', '\r\n\t', '\n ', '\r\n\r\n'])),
  (text, random) =>
    splice(text, text.indexOf(':', place(text, random)), random(2), oneOf(random, [' ', '\t', ' :', '::', ''])),
  (text, random) =>
    splice(text, text.indexOf(' ', place(text, random)), 1, oneOf(random, ['', '  ', '\t', '\xa0', '+'])),
  // the request line
  (text, random) =>
    text.replace(
      'HTTP/1.1',
      oneOf(random, ['HTTP/1.0', 'HTTP/0.9', 'HTTP/2.0', 'http/1.1', 'HTTP/1.1 ', 'HTTP/1.10', 'ICE/1.0', '']),
    ),
  (text, random) =>
    text.replace(
      /^[A-Z]+/,
      oneOf(random, ['POST', 'CONNECT', 'OPTIONS', 'PRI', 'get', 'GETT', 'M-SEARCH', 'SOURCE', 'PATCH']),
    ),
  (text, random) =>
    text.replace(' /', oneOf(random, [' http://x/', ' *', ' x:443', ' \\', ' //', '  /', ' ', ' /#', ' /?#', ' /"'])),
  // a number
  (text, random) =>
    text.replace(/\d+/, (digits) => oneOf(random, [`${digits}0`, `0${digits}`, `${digits}.0`, '', '-1', '301', '300'])),
  (text, random) => text.slice(0, place(text, random)),
  (text) => text + text,
]
