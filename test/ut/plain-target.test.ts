import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { parseImpu } from '../../src/core/identity.ts'
import { decodeSegment, requireUnambiguous } from '../../src/ut/target.ts'
import { parseXcapUri } from '../../src/ut/xcap-uri.ts'

// Plain targets are not decoded, since they read as themselves: that has to be so for each that is taken for plain.

/** Whether every check of a target without a query passes, each made in full. */
function readsAsItself(segment: string): boolean {
  const text = decodeURIComponent(segment)
  const [name = ''] = text.split(';', 1)
  const structureOf = (its: string) => its.replace(/[^/\\.;?#%~]/g, '')
  return (
    text === segment &&
    !/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(text) &&
    name !== '' &&
    name !== '~~' &&
    !text.startsWith('..') &&
    ![name, text].some((end) => /[. ]$/.test(end)) &&
    structureOf(text.normalize('NFKC')) === structureOf(text)
  )
}

const ASCII = Array.from({ length: 128 }, (_, code) => String.fromCharCode(code))
const part = fc.constantFrom(
  'a',
  'Z',
  '9',
  '-',
  '.',
  '..',
  '_',
  '~',
  '~~',
  '%41',
  '%2e',
  '%',
  ';',
  '?',
  '#',
  '\\',
  ' ',
  '@',
  ':',
  '[',
  "'",
  'é',
  'ﬀ',
)
const segments = fc.array(part, { minLength: 1, maxLength: 6 }).map((parts) => parts.join(''))
const succeeds = (run: () => unknown): boolean => {
  try {
    run()
    return true
  } catch {
    return false
  }
}

describe('a target', () => {
  test('that is taken undecoded reads as itself', () => {
    fc.assert(
      fc.property(fc.array(segments, { minLength: 1, maxLength: 4 }), (list) => {
        const target = `/${list.join('/')}`
        if (target.includes('?') || !succeeds(() => requireUnambiguous(target))) return
        assert.deepEqual(requireUnambiguous(target), { path: target })
        for (const segment of list) if (!segment.includes('%') && segment !== '~~') assert.ok(readsAsItself(segment))
      }),
      { numRuns: 3_000 },
    )
  })

  test('of one character in each place is refused or reads as itself', () => {
    for (const character of ASCII) {
      for (const segment of [character, `a${character}`, `${character}a`, `a${character}b`]) {
        if (segment.includes('/') || !succeeds(() => requireUnambiguous(`/x/${segment}/y`))) continue
        if (!/[?%]/.test(segment)) assert.ok(readsAsItself(segment), JSON.stringify(segment))
        if (!/[?%]/.test(segment)) assert.equal(decodeSegment(segment), segment)
      }
    }
  })

  test('has the document selector that its decoded segments make', () => {
    const users = fc.constantFrom(
      'sip:alice@example.org',
      'sip:Alice@EXAMPLE.org',
      'sip%3aalice%40example.org',
      'tel:+1555',
    )
    const names = fc.constantFrom('index', 'a.xml', 'b%20c', "it's", 'x;y', '[z]')
    fc.assert(
      fc.property(
        users,
        fc.array(names, { minLength: 1, maxLength: 3 }),
        fc.constantFrom('', '/root'),
        (user, path, root) => {
          const uri = parseXcapUri(`${root}/resource-lists/users/${user}/${path.join('/')}`, root)
          const xui = parseImpu(decodeURIComponent(user))
          const decoded = path.map(decodeURIComponent).join('/')
          assert.equal(uri.xui, xui)
          assert.equal(uri.documentSelector, `resource-lists/users/${xui}/${decoded}`)
        },
      ),
    )
  })
})
