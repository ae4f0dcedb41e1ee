import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { type Impu, isTemporaryImpu, parseFqdn, parseImpu } from '../../src/core/identity.ts'

const impu = (text: string): Impu => {
  const parsed = parseImpu(text)
  assert.ok(parsed, text)
  return parsed
}

describe('parseImpu', () => {
  const canonical: readonly (readonly [name: string, text: string, expected: string])[] = [
    [
      'keeps a canonical SIP URI',
      'sip:alice@ims.mnc001.mcc001.3gppnetwork.org',
      'sip:alice@ims.mnc001.mcc001.3gppnetwork.org',
    ],
    ['keeps a canonical tel URI', 'tel:+15550100123', 'tel:+15550100123'],
    ['lowers scheme and host, never the user', 'SIP:Alice@EXAMPLE.Com', 'sip:Alice@example.com'],
    ['keeps SIPS apart', 'SipS:alice@example.com', 'sips:alice@example.com'],
    ['drops the port', 'sip:alice@example.com:5061', 'sip:alice@example.com'],
    ['drops parameters', 'sip:alice@example.com;transport=TCP;lr;x=%41', 'sip:alice@example.com'],
    ['drops headers', 'sip:alice@example.com?Subject=a%20b&x=', 'sip:alice@example.com'],
    ['leaves a number with user=phone a SIP URI', 'sip:+1555@example.com;user=phone', 'sip:+1555@example.com'],
    ['resolves escapes of unreserved characters', 'sip:%61lic%65%2d%7E@example.com', 'sip:alice-~@example.com'],
    ['keeps escapes of reserved characters', 'sip:a%3b%2f%40@example.com', 'sip:a%3B%2F%40@example.com'],
    ['does not resolve an escape twice', 'sip:a%2561@example.com', 'sip:a%2561@example.com'],
    [
      'takes every character a user part may hold',
      "sip:-_.!~*'()&=+$,;?/@example.com",
      "sip:-_.!~*'()&=+$,;?/@example.com",
    ],
    ['takes an IPv4 host', 'sip:alice@192.0.2.1', 'sip:alice@192.0.2.1'],
    ['drops visual separators', 'TEL:+1-(555)-010.0123', 'tel:+15550100123'],
    ['drops what routes a call', 'tel:+15550100123;npdi;rn=+1555', 'tel:+15550100123'],
    [
      'keeps the context of a local number',
      'tel:12-AB;Phone-Context=Example.COM',
      'tel:12ab;phone-context=example.com',
    ],
    ['keeps a global prefix as context', 'tel:*31#;phone-context=+1-555', 'tel:*31#;phone-context=+1555'],
  ]
  for (const [name, text, expected] of canonical) test(name, () => assert.equal(parseImpu(text), expected))

  const refused: readonly (readonly [name: string, text: string])[] = [
    ['nothing', ''],
    ['no scheme', 'alice@example.com'],
    ['another scheme', 'http://alice@example.com'],
    ['an im URI', 'im:alice@example.com'],
    ['an escaped scheme', '%73ip:alice@example.com'],
    ['no user', 'sip:example.com'],
    ['an empty user', 'sip:@example.com'],
    ['a password', 'sip:alice:secret@example.com'],
    ['an empty password', 'sip:alice:@example.com'],
    ['two at signs', 'sip:alice@example.com@example.net'],
    ['an at sign in a parameter', 'sip:alice@example.com;x=bob@example.net'],
    ['an at sign in a header', 'sip:alice@example.com?x=bob@example.net'],
    ['no host', 'sip:alice@'],
    ['a trailing dot', 'sip:alice@example.com.'],
    ['an empty label', 'sip:alice@example..com'],
    ['an IPv6 host', 'sip:alice@[2001:db8::1]'],
    ['an escaped host', 'sip:alice@ex%61mple.com'],
    ['an empty port', 'sip:alice@example.com:'],
    ['a port of letters', 'sip:alice@example.com:x'],
    ['an empty parameter', 'sip:alice@example.com;'],
    ['a parameter without name', 'sip:alice@example.com;=x'],
    ['empty headers', 'sip:alice@example.com?'],
    ['a fragment', 'sip:alice@example.com#x'],
    ['a malformed escape', 'sip:al%2ice@example.com'],
    ['half an escape', 'sip:alice%4@example.com'],
    ['an escaped NUL', 'sip:alice%00@example.com'],
    ['an escaped line feed', 'sip:alice%0a@example.com'],
    ['an escaped DEL', 'sip:alice%7F@example.com'],
    ['a NUL', 'sip:alice\0@example.com'],
    ['a line feed', 'sip:alice@example.com\n'],
    ['a space before', ' sip:alice@example.com'],
    ['a space inside', 'sip:al ice@example.com'],
    ['a non-ASCII letter', 'sip:aliće@example.com'],
    ['a Cyrillic look-alike in the host', 'sip:alice@exаmple.com'],
    ['a Kelvin sign in the host', 'sip:alice@\u212Aexample.com'],
    ['a fullwidth at sign', 'sip:alice＠example.com'],
    ['a soft hyphen', 'sip:ali\u00ADce@example.com'],
    ['angle brackets', '<sip:alice@example.com>'],
    ['quotation marks', '"sip:alice@example.com"'],
    ['a backslash', 'sip:alice\\@example.com'],
    ['brackets in the user', 'sip:ali[ce]@example.com'],
    ['more than 512 characters', `sip:${'a'.repeat(500)}@example.com`],
    ['a tel URI without number', 'tel:'],
    ['a plus without digits', 'tel:+'],
    ['separators without digits', 'tel:+-().'],
    ['16 digits', 'tel:+1234567890123456'],
    ['an escaped digit', 'tel:+%3155'],
    ['an escaped plus', 'tel:%2B1555'],
    ['a local number without context', 'tel:1555'],
    ['a local number with an empty context', 'tel:1555;phone-context='],
    ['a local number with two contexts', 'tel:1555;phone-context=+1;phone-context=+2'],
    ['a local number with a context in no form', 'tel:1555;phone-context=+1x'],
    ['a global number with a context', 'tel:+1555;phone-context=+1'],
    ['an extension', 'tel:+1555;ext=44'],
    ['a subaddress', 'tel:+1555;ISUB=44'],
    ['an at sign in a tel URI', 'tel:+1555@example.com'],
    ['letters in a global number', 'tel:+1555CALL'],
  ]
  for (const [name, text] of refused) test(`refuses ${name}`, () => assert.equal(parseImpu(text), undefined))

  const different: readonly (readonly [name: string, a: string, b: string])[] = [
    ['sip and sips', 'sip:alice@example.com', 'sips:alice@example.com'],
    ['letter case of the user', 'sip:alice@example.com', 'sip:Alice@example.com'],
    ['host and subdomain', 'sip:alice@example.com', 'sip:alice@a.example.com'],
    ['a reserved character and its escape', 'sip:a;b@example.com', 'sip:a%3Bb@example.com'],
    ['a number as SIP and as tel', 'sip:+1555@example.com;user=phone', 'tel:+1555'],
    ['global and local digits', 'tel:+1555', 'tel:1555;phone-context=+1'],
    ['two contexts', 'tel:1555;phone-context=a.example', 'tel:1555;phone-context=b.example'],
    ['dots in the user', 'sip:a.lice@example.com', 'sip:alice@example.com'],
  ]
  for (const [name, a, b] of different) test(`tells apart ${name}`, () => assert.notEqual(impu(a), impu(b)))

  const printable = fc.string({ unit: fc.constantFrom(...'abAB19%24:@;?=&+-._~<>"\\/[]# \tsipteléK'), maxLength: 40 })

  test('reads its own output as the same identity, whatever the input', () => {
    const anything = fc.oneof(
      printable,
      fc.tuple(fc.constantFrom('sip:', 'SIPS:', 'tel:'), printable).map((t) => t.join('')),
      fc.string(),
    )
    fc.assert(
      fc.property(anything, (text) => {
        const once = parseImpu(text)
        if (once !== undefined) assert.equal(parseImpu(once), once)
      }),
      { numRuns: 3000 },
    )
  })

  // An oracle of its own making: it decodes instead of rewriting, and knows RFC 3261's reserved set by heart.
  const user = fc.array(
    fc.oneof(
      fc.constantFrom(..."abzABZ019-_.!~*'()&=+$,;?/").map((c) => ({ wire: c, meaning: `raw ${c}` })),
      fc.integer({ min: 0x20, max: 0x7e }).chain((code) => {
        const c = String.fromCharCode(code)
        const digits = code.toString(16).padStart(2, '0')
        return fc.constantFrom(digits, digits.toUpperCase()).map((hex) => ({
          wire: `%${hex}`,
          meaning: ';/?:@&=+$,'.includes(c) || /[\s"#%<>[\\\]^`{|}]/.test(c) ? `escaped ${c}` : `raw ${c}`,
        }))
      }),
    ),
    { minLength: 1, maxLength: 12 },
  )
  const host = fc.tuple(
    fc.constantFrom('example.com', 'EXAMPLE.com', 'example.net'),
    fc.constantFrom('', ':5060', ';lr', '?a=b'),
  )

  test('agrees on scheme, user and host with RFC 3261 clause 19.1.4', () => {
    const uri = fc.tuple(fc.constantFrom('sip', 'SIP', 'sips'), user, host)
    fc.assert(
      fc.property(uri, uri, (a, b) => {
        const [x, y] = [a, b].map(([scheme, parts, [domain, tail]]) => ({
          impu: impu(`${scheme}:${parts.map(({ wire }) => wire).join('')}@${domain}${tail}`),
          meaning: JSON.stringify([scheme.toLowerCase(), parts.map(({ meaning }) => meaning), domain.toLowerCase()]),
        }))
        assert.equal(x?.impu === y?.impu, x?.meaning === y?.meaning)
      }),
      { numRuns: 3000 },
    )
  })

  test('reads any global number alike with and without separators', () => {
    const digits = fc.stringMatching(/^[0-9]{1,15}$/)
    fc.assert(
      fc.property(
        digits,
        fc.array(fc.constantFrom('-', '.', '(', ')', ''), { minLength: 16, maxLength: 16 }),
        (number, marks) => {
          const written = [...number].map((digit, i) => digit + (marks[i] ?? '')).join('')
          assert.equal(parseImpu(`tel:+${written}`), `tel:+${number}`)
        },
      ),
    )
  })

  test('takes time in proportion to the length of what it refuses', () => {
    const started = process.hrtime.bigint()
    for (const text of [
      `sip:${'a%'.repeat(250)}`,
      `sip:a@b${';a'.repeat(250)}@`,
      `tel:+${'-'.repeat(500)}`,
      `sip:a@${'a.'.repeat(250)}`,
    ]) {
      for (let i = 0; i < 200; i++) assert.equal(parseImpu(text), undefined)
    }
    assert.ok(process.hrtime.bigint() - started < 1_000_000_000n)
  })
})

describe('parseFqdn', () => {
  test('refuses a character that only becomes a letter by lower-casing', () =>
    assert.equal(parseFqdn('\u212Aamailio.example'), undefined))
  test('lowers letters', () => assert.equal(parseFqdn('BSF.Example'), 'bsf.example'))
})

describe('isTemporaryImpu', () => {
  const imsiBased = [
    'sip:234150999999999@ims.mnc015.mcc234.3gppnetwork.org',
    'sip:310410123456789@ims.mnc410.mcc310.3gppnetwork.org',
  ]
  for (const text of imsiBased) test(`recognises ${text}`, () => assert.equal(isTemporaryImpu(impu(text)), true))
  const others = [
    'sip:alice@ims.mnc015.mcc234.3gppnetwork.org',
    'sip:+234150999999999@ims.mnc015.mcc234.3gppnetwork.org',
    'sip:999990999999999@ims.mnc015.mcc234.3gppnetwork.org',
    'sip:234150999999999@example.com',
    'tel:+234150999999999',
  ]
  for (const text of others) test(`leaves ${text}`, () => assert.equal(isTemporaryImpu(impu(text)), false))
})
