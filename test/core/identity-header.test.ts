import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { type Impu, parseImpu } from '../../src/core/identity.ts'
import { formatFlags, formatIdentities, parseIdentityHeader } from '../../src/core/identity-header.ts'

const ALICE = 'sip:alice@example.com' as Impu

describe('parseIdentityHeader', () => {
  test('knows that there is none', () => assert.equal(parseIdentityHeader([]), 'absent'))
  const accepted: readonly (readonly [string, string, object])[] = [
    ['a quoted identity', '"sip:alice@example.com"', { impu: ALICE }],
    ['white space around it', ' \t"sip:alice@example.com" ', { impu: ALICE }],
    ['a quoted identity not in canonical form', '"SIP:alice@EXAMPLE.com;user=phone"', { impu: ALICE }],
    ['a comma between quotation marks', '"sip:a,b@example.com"', { impu: 'sip:a,b@example.com' }],
    ['a quoted tel URI', '"tel:+1-555"', { impu: 'tel:+1555' }],
    ['an unquoted identity', 'sip:alice@example.com', { impu: ALICE, quirk: 'unquoted-identity' }],
    ['an unquoted tel URI', 'tel:+1555', { impu: 'tel:+1555', quirk: 'unquoted-identity' }],
    ['a bracketed identity', '<sip:alice@example.com>', { impu: ALICE, quirk: 'bracketed-identity' }],
  ]
  for (const [name, value, expected] of accepted) {
    test(`takes ${name}`, () => assert.deepEqual(parseIdentityHeader([value]), expected))
  }
  const refused: readonly (readonly [string, readonly string[]])[] = [
    ['two lines', ['"sip:alice@example.com"', '"sip:bob@example.com"']],
    ['the same line twice', ['"sip:alice@example.com"', '"sip:alice@example.com"']],
    ['an empty line beside a good one', ['"sip:alice@example.com"', '']],
    ['a quoted list', ['"sip:alice@example.com","sip:bob@example.com"']],
    ['a quoted list with a space', ['"sip:alice@example.com", "sip:bob@example.com"']],
    ['an unquoted list', ['sip:alice@example.com,sip:bob@example.com']],
    ['an unquoted comma', ['sip:a,b@example.com']],
    ['a trailing comma', ['"sip:alice@example.com",']],
    ['nothing', ['']],
    ['white space', ['  ']],
    ['empty quotation marks', ['""']],
    ['empty brackets', ['<>']],
    ['one quotation mark', ['"sip:alice@example.com']],
    ['a stray quotation mark', ['sip:alice@example.com"']],
    ['single quotation marks', ["'sip:alice@example.com'"]],
    ['doubled quotation marks', ['""sip:alice@example.com""']],
    ['brackets between quotation marks', ['"<sip:alice@example.com>"']],
    ['a display name', ['"Alice" <sip:alice@example.com>']],
    ['an escaped quotation mark', ['"sip:alice\\"@example.com"']],
    ['an escaped letter', ['"sip:\\alice@example.com"']],
    ['a control character', ['"sip:alice\u0001@example.com"']],
    ['a NUL at the end', ['"sip:alice@example.com"\0']],
    ['a line feed', ['"sip:alice@example.com"\n']],
    ['an octet beyond ASCII', ['"sip:alic\u00e9@example.com"']],
    ['text after it', ['"sip:alice@example.com" x']],
    ['a private identity', ['"001010123456789@ims.mnc001.mcc001.3gppnetwork.org"']],
    ['a kilometre of it', [`"sip:alice@example.com"${' '.repeat(2000)}`]],
  ]
  for (const [name, values] of refused) {
    test(`refuses ${name}`, () => assert.equal(parseIdentityHeader(values), 'malformed'))
  }
  test('reads back every identity that is formatted', () => {
    const identity = fc
      .tuple(fc.constantFrom('sip:', 'sips:'), fc.string({ unit: fc.constantFrom(..."aZ0,;=?/'()%2F"), minLength: 1 }))
      .map(([scheme, user]) => parseImpu(`${scheme}${user}@example.com`))
      .filter((impu) => impu !== undefined)
    fc.assert(
      fc.property(identity, (impu) => assert.deepEqual(parseIdentityHeader([formatIdentities([impu])]), { impu })),
    )
  })
})

describe('formatIdentities', () => {
  test('quotes each identity and separates them by a bare comma', () =>
    assert.equal(formatIdentities([ALICE, 'tel:+1555' as Impu]), '"sip:alice@example.com","tel:+1555"'))
  for (const text of ['sip:a"b@example.com', 'sip:a@example.com\r\nX: y', 'SIP:a@example.com', '']) {
    test(`refuses ${JSON.stringify(text)} as a caller's bug`, () =>
      assert.throws(() => formatIdentities([text as Impu]), RangeError))
  }
  test('refuses an empty list', () => assert.throws(() => formatIdentities([]), RangeError))
})

describe('formatFlags', () => {
  test('quotes each flag', () => assert.equal(formatFlags([1, 2, 4294967295]), '"1","2","4294967295"'))
  for (const flags of [[], [-1], [1.5], [Number.NaN], [4294967296]]) {
    test(`refuses ${JSON.stringify(flags)}`, () => assert.throws(() => formatFlags(flags), RangeError))
  }
})
