import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { type AuthParams, parseCredentials, parseParams } from '../../src/core/auth-params.ts'
import { parseAuthorization } from '../../src/core/digest-header.ts'

/** The grammar as expressions: what the reader, which goes octet by octet, has to agree with. */
function oracle(text: string): AuthParams | undefined {
  const start = /[ \t,]*/y
  const end = /[ \t]*(?:$|,[ \t,]*)/y
  const param =
    /([!#$%&'*+\-.^_`|~0-9A-Za-z]+)[ \t]*=[ \t]*(?:([!#$%&'*+\-.^_`|~0-9A-Za-z]+)|"([ !#-[\]-~]*(?:\\[ -~][ !#-[\]-~]*)*)")/y
  const take = (pattern: RegExp, at: number) => {
    pattern.lastIndex = at
    const found = pattern.exec(text)
    return found && { found, next: pattern.lastIndex }
  }
  if (text.length > 8192) return undefined
  const params = new Map<string, { value: string; quoted: boolean }>()
  let at = take(start, 0)?.next
  while (at !== undefined && at < text.length) {
    const one = take(param, at)
    const [, name = '', token, quoted = ''] = one?.found ?? []
    const key = name.toLowerCase()
    if (!one || params.has(key) || params.size === 32) return undefined
    params.set(key, { value: token ?? quoted.replace(/\\(.)/g, '$1'), quoted: token === undefined })
    at = take(end, one.next)?.next
  }
  return at === undefined || params.size === 0 ? undefined : params
}

const plain = (params: AuthParams | undefined) =>
  params && [...params].map(([name, { value, quoted }]) => [name, value, quoted])

const piece = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom('a=b', 'a="b"', 'A=c', 'x="\\"y"', 'nc=00000001', 'realm = "r,s"', 'e=""') },
  { weight: 4, arbitrary: fc.constantFrom(', ', ',', ' ,\t,', ' ', '=', '"', '\\', '\\"', 'a', '\t') },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 3 }) },
  { weight: 1, arbitrary: fc.constantFrom('é', '\u007f', '\0', '\n', '\r\n', 'K=1', 'Ā="x"') },
)

describe('a list of parameters', () => {
  test('is read as the grammar says, whatever it is', () => {
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const text = pieces.join('')
        assert.deepEqual(plain(parseParams(text)), plain(oracle(text)))
        assert.deepEqual(plain(parseCredentials(`DigesT ${text}`, 'digest')), plain(oracle(text)))
      }),
      { numRuns: 2_000 },
    )
  })

  test('is read as the grammar says at the limits', () => {
    const many = (count: number) => Array.from({ length: count }, (_, i) => `p${i}=x`).join(',')
    for (const text of [many(32), many(33), `a="${'x'.repeat(8_188)}"`, `a="${'x'.repeat(8_189)}"`, ' , ', '', 'a=']) {
      assert.deepEqual(plain(parseParams(text)), plain(oracle(text)))
    }
  })
})

describe('Digest credentials', () => {
  const NAMES = ['username', 'realm', 'nonce', 'uri', 'response', 'cnonce', 'opaque', 'nc', 'qop', 'algorithm', 'other']
  const VALUES = ['"x"', 'x', 'auth', '"auth"', '00000001', 'MD5', '"a b"', '""']
  const param = fc
    .tuple(fc.constantFrom(...NAMES), fc.constantFrom(...VALUES))
    .map(([name, value]) => `${name}=${value}`)

  test('have the values that the list of parameters has, each at most once', () => {
    const first = 'username="u", realm="r", nonce="n", uri="/", response="s"'
    fc.assert(
      fc.property(fc.array(param, { maxLength: 6 }), fc.boolean(), (more, whole) => {
        const text = [...(whole ? [first] : []), ...more].join(', ')
        const params = parseCredentials(`Digest ${text}`, 'digest')
        const credentials = parseAuthorization(`Digest ${text}`)
        if (!params) assert.equal(credentials, undefined)
        if (!params || !credentials) return
        for (const name of [
          'username',
          'realm',
          'nonce',
          'uri',
          'response',
          'cnonce',
          'opaque',
          'nc',
          'qop',
        ] as const) {
          assert.equal(credentials[name], params.get(name)?.value)
        }
      }),
      { numRuns: 1_000 },
    )
  })

  test('are none with a second name for the user, or an unknown parameter twice', () => {
    const good = 'Digest username="u", realm="r", nonce="n", uri="/", response="s"'
    assert.ok(parseAuthorization(`${good}, other=1`))
    for (const more of ['username*=x', 'USERNAME*=x', 'other=1, Other=2', 'uri="/"', 'Uri=x']) {
      assert.equal(parseAuthorization(`${good}, ${more}`), undefined, more)
    }
  })
})
