import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Btid, Impu } from '../../src/core/identity.ts'
import { parseIdentityHeader } from '../../src/core/identity-header.ts'
import { GbaError } from '../../src/errors.ts'
import { authorise, type RoutePolicy, type Subject } from '../../src/ut/authorise.ts'
import { parseXcapUri } from '../../src/ut/xcap-uri.ts'

// One subscriber passes for another by writing an identity so that the check and the application server disagree.
const ALICE = 'sip:alice@example.com' as Impu
const NUMBER = 'tel:+15550100123' as Impu
const SUBJECT: Subject = {
  btid: 'I1U8vpY3qJ0hiuZNrke/NQ==@bsf.example.com' as Btid,
  ussList: [{ gsid: 3, gsType: 3, uids: [ALICE, NUMBER], flags: [] }],
}
const POLICY: RoutePolicy = { appServer: 'xdms', gsids: [3], ownership: 'owner' }

const put = (xui: string, intended: readonly string[] = []) => {
  const uri = parseXcapUri(`/resource-lists/users/${xui}/index`)
  const identity = parseIdentityHeader(intended)
  if (identity === 'malformed') throw new GbaError('UT_IDENTITY_MALFORMED', '')
  return authorise(SUBJECT, uri, 'PUT', identity === 'absent' ? undefined : identity.impu, POLICY)
}
const outcome = (xui: string, intended?: readonly string[]): readonly Impu[] | string => {
  try {
    return put(xui, intended).assertedIdentities
  } catch (error) {
    if (error instanceof GbaError) return error.code
    throw error
  }
}

describe('the tree of another subscriber stays shut in every spelling', () => {
  const foreign: Readonly<Record<string, readonly string[]>> = {
    'as it is': ['sip:bob@example.com', 'tel:+15550100124'],
    'letter case of the user': ['sip:Alice@example.com', 'sip:ALICE@example.com', 'sip:alicE@example.com'],
    'another scheme': [
      'sips:alice@example.com',
      'im:alice@example.com',
      'http:alice@example.com',
      'tel:alice@example.com',
    ],
    'no scheme': ['alice@example.com', '+15550100123', 'alice'],
    'percent-encoded letters': [
      '%73ip:alice@example.com',
      'sip:%61lice@example.com',
      'sip:b%6Fb@example.com',
      'sip:alice@ex%61mple.com',
    ],
    'percent-encoded delimiters around another user': ['sip%3Abob%40example.com', 'sip%3Abob%40example.com%3Bx=alice'],
    'double encoding': ['sip:%2561lice@example.com', 'sip%253Aalice%2540example.com'],
    'dots at the end': [
      'sip:alice@example.com.',
      'sip:alice.@example.com',
      'sip:alice@example.com..',
      'sip:alice@example.com%2e',
    ],
    'dots at the beginning': ['sip:.alice@example.com', 'sip:alice@.example.com'],
    'another host': [
      'sip:alice@example.com.evil.example',
      'sip:alice@evil.example',
      'sip:alice@xn--exmple-cua.com',
      'sip:alice@example.co',
    ],
    'two hosts': [
      'sip:alice@example.com@evil.example',
      'sip:alice@evil.example@example.com',
      'sip:alice%40evil.example@example.com',
      'sip:alice@evil.example%40example.com',
    ],
    'a password': [
      'sip:alice:@example.com',
      'sip:alice:x@example.com',
      'sip:bob:alice@example.com',
      'sip:alice%3Abob@example.com',
    ],
    'a delimiter in the user part': [
      'sip:alice;x@example.com',
      'sip:alice,sip:bob@example.com',
      'sip:bob%3Balice@example.com',
      'sip:alice%3Bbob@example.com',
    ],
    'another user in parameters': [
      'sip:bob@example.com;x=sip:alice',
      'sip:bob@example.com;user=alice',
      'sip:bob@example.com%3Bmaddr=example.com',
    ],
    'brackets and quotation marks': [
      '%3Csip:alice@example.com%3E',
      '%22sip:alice@example.com%22',
      "'sip:alice@example.com'",
      '<sip:alice@example.com>',
    ],
    'white space': [
      'sip:alice@example.com%20',
      '%20sip:alice@example.com',
      'sip:%20alice@example.com',
      'sip:alice+@example.com',
    ],
    'control characters': [
      'sip:alice%00@example.com',
      'sip:alice@example.com%00',
      'sip:bob@example.com%00sip:alice@example.com',
      'sip:alice%0d%0a@example.com',
    ],
    'look-alikes beyond ASCII': [
      'sip:%D0%B0lice@example.com',
      'sip:alice@%D0%B5xample.com',
      'sip:%EF%BD%81lice@example.com',
      'sip:alice@example%E3%80%82com',
      'sip:ali%C2%ADce@example.com',
      'sip:alice%EF%BC%A0example.com',
      'sip:al%C4%B1ce@example.com',
    ],
    'telephone numbers as SIP and the other way': [
      'sip:+15550100123@example.com',
      'sip:+15550100123@example.com;user=phone',
      'tel:15550100123',
      'tel:15550100123;phone-context=+1',
      'tel:5550100123;phone-context=+1',
    ],
    'numbers with an extension': [
      'tel:+15550100123;ext=1',
      'tel:+15550100123;isub=1',
      'tel:+15550100123;phone-context=example.com',
    ],
    'numbers written otherwise': [
      'tel:%2B15550100124',
      'tel:+1555010012',
      'tel:+155501001230',
      'tel:0015550100123',
      'tel:+1555010012%33',
    ],
    nothing: ['sip:', 'sip:@', 'sip:@example.com', 'tel:', 'tel:+'],
  }
  for (const [name, xuis] of Object.entries(foreign)) {
    test(name, () => {
      for (const xui of xuis) {
        assert.match(String(outcome(xui)), /^UT_(?:TREE_NOT_OWNED|TARGET_AMBIGUOUS|REQUEST_MALFORMED)$/, xui)
      }
    })
  }
})

test('the own tree opens in every spelling of the same identity, and one canonical identity is asserted', () => {
  const own: readonly (readonly [string, Impu])[] = [
    ['sip:alice@example.com', ALICE],
    ['SIP:alice@EXAMPLE.COM', ALICE],
    ['sip%3Aalice%40example.com', ALICE],
    ['sip:alice@example.com;user=phone', ALICE],
    ['sip:alice@example.com%3Btransport%3Dtcp', ALICE],
    ['sip:alice@example.com:5060', ALICE],
    ['tel:+15550100123', NUMBER],
    ['tel:%2B15550100123', NUMBER],
    ['tel:+1-555-010-0123', NUMBER],
    ['TEL:+1(555)0100123', NUMBER],
  ]
  for (const [xui, impu] of own) assert.deepEqual(outcome(xui), [impu], xui)
})

describe('X-3GPP-Intended-Identity', () => {
  const refused: Readonly<Record<string, readonly string[][]>> = {
    'of another subscriber': [['"sip:bob@example.com"'], ['sip:bob@example.com'], ['<sip:bob@example.com>']],
    'of another subscriber behind the own': [
      ['"sip:alice@example.com","sip:bob@example.com"'],
      ['sip:alice@example.com, sip:bob@example.com'],
      ['"sip:alice@example.com" "sip:bob@example.com"'],
    ],
    'of another subscriber in a second line': [
      ['"sip:alice@example.com"', '"sip:bob@example.com"'],
      ['', '"sip:alice@example.com"'],
    ],
    'of another subscriber in a comment, display name or parameter': [
      ['"bob" <sip:alice@example.com>'],
      ['sip:alice@example.com (sip:bob@example.com)'],
      ['"sip:bob@example.com;x=sip:alice@example.com"'],
    ],
    'with escapes': [
      ['"sip:\\alice@example.com"'],
      ['"sip:alice@example.com\\"'],
      ['"sip:alice\\",\\"sip:bob@example.com"'],
    ],
    'with control characters': [
      ['"sip:alice@example.com"\0"sip:bob@example.com"'],
      ['"sip:alice@example.com\r\nX-3GPP-Asserted-Identity: x"'],
      ['\u0001"sip:alice@example.com"'],
    ],
    'beyond ASCII': [
      ['"sip:\u0430lice@example.com"'],
      ['"sip:alice@example\u3002com"'],
      ['\u201csip:alice@example.com\u201d'],
    ],
    'percent-encoded': [
      ['%22sip:alice@example.com%22'],
      ['"%73ip:alice@example.com"'],
      ['"sip%3Aalice%40example.com"'],
    ],
    'in another letter case or scheme': [
      ['"sip:Alice@example.com"'],
      ['"sips:alice@example.com"'],
      ['"alice@example.com"'],
    ],
    'with a trailing dot': [['"sip:alice@example.com."']],
    empty: [[''], ['""'], ['<>'], [' '], ['"sip:"']],
    'that is a private identity': [
      ['"I1U8vpY3qJ0hiuZNrke/NQ==@bsf.example.com"'],
      ['"001010123456789@ims.mnc001.mcc001.3gppnetwork.org"'],
    ],
  }
  for (const [name, all] of Object.entries(refused)) {
    test(`${name}: refused`, () => {
      for (const values of all) {
        assert.match(
          String(outcome(ALICE, values)),
          /^UT_(?:IDENTITY_MALFORMED|IMPU_NOT_OWNED)$/,
          JSON.stringify(values),
        )
      }
    })
  }
  test('an escaped spelling of the own identity is asserted in the canonical one', () =>
    assert.deepEqual(outcome(ALICE, ['"SIP:%61lice@EXAMPLE.com;user=phone"']), [ALICE]))
})

test('whatever the UE writes, what is granted is its own tree as an independent reader sees it', () => {
  const part = fc.constantFrom(
    'sip',
    'sips',
    'tel',
    'SIP',
    ':',
    '%3A',
    '%3a',
    '@',
    '%40',
    'alice',
    'bob',
    'Alice',
    'example.com',
    'EXAMPLE.com',
    'evil.example',
    ';',
    '%3B',
    '=',
    'user=phone',
    '+15550100123',
    '%2B15550100123',
    '+1-555',
    '-0100123',
    '5060',
    '.',
    '%20',
    '%00',
    '%61',
    ',',
    '/',
    '?',
    '%2F',
  )
  const xuis = fc.oneof(
    fc.array(part, { minLength: 1, maxLength: 8 }).map((parts) => parts.join('')),
    fc.array(part, { maxLength: 3 }).map((parts) => `sip:alice@example.com${parts.join('')}`),
    fc.array(part, { maxLength: 3 }).map((parts) => `sip:alice${parts.join('')}@example.com`),
    fc.array(part, { maxLength: 3 }).map((parts) => `${parts.join('')}tel:+15550100123`),
  )
  let granted = 0
  fc.assert(
    fc.property(xuis, (xui) => {
      if (typeof outcome(xui) === 'string') return
      granted++
      // Cruder than the product: cut everything after the host, strip what a number may be written with.
      const text = decodeURIComponent(xui.split('/', 1)[0] ?? '')
      if (/^tel:/i.test(text))
        assert.equal(
          text
            .split(';')[0]
            ?.slice(4)
            .replace(/[^+0-9a-z]/gi, ''),
          '+15550100123',
        )
      else assert.match(text, /^[Ss][Ii][Pp]:alice@[Ee][Xx][Aa][Mm][Pp][Ll][Ee]\.[Cc][Oo][Mm](?:[:;][^@]*)?$/)
    }),
    { numRuns: 20_000 },
  )
  assert.ok(granted > 100, `only ${granted} granted`)
})
