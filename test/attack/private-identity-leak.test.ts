import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { type Btid, type Fqdn, type Impi, type Impu, parseImpu } from '../../src/core/identity.ts'
import { Secret } from '../../src/core/secret.ts'
import { type FaultCode, GbaError } from '../../src/errors.ts'
import { authorise, type RoutePolicy, type Subject } from '../../src/ut/authorise.ts'
import { type AppServerPolicy, prepare } from '../../src/ut/headers.ts'
import { parseXcapUri } from '../../src/ut/xcap-uri.ts'

// A UE, or somebody who steers it, makes the proxy tell an application server outside the trust domain who it serves.
const IMSI = '001010123456789'
const IMPI = `${IMSI}@ims.mnc001.mcc001.3gppnetwork.org` as Impi
const RAND = 'I1U8vpY3qJ0hiuZNrke/NQ=='
const BTID = `${RAND}@bsf.mnc001.mcc001.pub.3gppnetwork.org` as Btid
const ALICE = 'sip:alice.smith@example.com' as Impu
const NUMBER = 'tel:+15550100123' as Impu
const SECOND = 'sip:nightowl77@example.com' as Impu
const TEMPORARY = `sip:${IMPI}` as Impu
const WILDCARDED = 'sip:desk!.+!@pbx.example.com' as Impu
const DOMAIN = 'pseudonym.invalid' as Fqdn

const SUBJECT: Subject = {
  impi: IMPI,
  btid: BTID,
  ussList: [{ gsid: 3, gsType: 3, uids: [TEMPORARY, ALICE, NUMBER, SECOND, WILDCARDED], flags: [7] }],
}
const ROUTE: RoutePolicy = { appServer: 'partner', gsids: [3], ownership: 'owner' }
const EXTERNAL: AppServerPolicy = {
  trust: 'external',
  identityHeader: ['X-3GPP-Asserted-Identity', 'P-Asserted-Identity'],
  identityQuoted: true,
  authorisationFlags: true,
  hostHeader: 'preserve',
  authority: 'partner.example',
}
const PAIRWISE: AppServerPolicy = {
  ...EXTERNAL,
  pseudonym: 'pairwise',
  pseudonymDomain: DOMAIN,
  pseudonymKey: new Secret(new Uint8Array(32).fill(1)),
}

interface Asked {
  readonly target?: string
  readonly received?: readonly string[]
  readonly intended?: Impu
  readonly policy?: AppServerPolicy
  readonly subject?: Subject
  readonly route?: Partial<RoutePolicy>
}

function send({ target, received = [], intended, policy = EXTERNAL, subject = SUBJECT, route = {} }: Asked = {}) {
  const uri = parseXcapUri(target ?? `/resource-lists/users/${ALICE}/index`)
  const grant = authorise(subject, uri, 'PUT', intended, { ...ROUTE, ...route })
  return prepare(grant, policy, received, { contentLength: 3, host: 'xcap.example.com', requestId: 'r1' })
}

/** Everything of the sent message but its body, one text for each place. */
const sentBy = (asked: Asked): string[] => {
  const { target, headers } = send(asked)
  return [target, ...Object.entries(headers).flatMap(([name, values]) => [name, ...[values].flat()])]
}

const refuses = (doing: () => unknown, code: FaultCode = 'UT_IDENTITY_NOT_WITHHELD') =>
  assert.throws(doing, (error) => error instanceof GbaError && error.code === code)

const percentEncoded = (text: string) =>
  [...Buffer.from(text)].map((octet) => `%${octet.toString(16).padStart(2, '0')}`).join('')
const ENCODINGS: Readonly<Record<string, (text: string) => string>> = {
  raw: (text) => text,
  'in upper case': (text) => text.toUpperCase(),
  'in lower case': (text) => text.toLowerCase(),
  'percent-encoded': percentEncoded,
  'percent-encoded where it must be': encodeURIComponent,
  'percent-encoded in upper case': (text) => percentEncoded(text).toUpperCase(),
  'percent-encoded twice': (text) => encodeURIComponent(encodeURIComponent(text)),
  'percent-encoded twice, every octet': (text) => percentEncoded(percentEncoded(text)),
  'in base64': (text) => Buffer.from(text).toString('base64'),
  'in base64 with something before': (text) => Buffer.from(`u:${text}`).toString('base64'),
  'in base64 without padding': (text) => Buffer.from(text).toString('base64').replaceAll('=', ''),
  'in base64url': (text) => Buffer.from(text).toString('base64url'),
  'in base64 in percent-encoding': (text) => encodeURIComponent(Buffer.from(text).toString('base64')),
  'in hexadecimal': (text) => Buffer.from(text).toString('hex'),
  'in hexadecimal in upper case': (text) => Buffer.from(text).toString('hex').toUpperCase(),
}
const PRIVATE: Readonly<Record<string, string>> = { IMPI, IMSI, 'B-TID': BTID, 'RAND of the B-TID': RAND }
const OTHER: Readonly<Record<string, string>> = {
  'second identity': SECOND,
  'second identity without scheme': SECOND.slice(4),
  number: NUMBER,
  'number without plus sign': NUMBER.slice(5),
  'identity of a wildcarded one': 'sip:desk42@pbx.example.com',
}
const PASSING = ['Accept', 'Accept-Language', 'Cache-Control', 'User-Agent']
const NEEDED = ['If-Match', 'If-None-Match', 'Range', 'Content-Type', 'If-Modified-Since']

for (const [what, secret] of Object.entries({ ...PRIVATE, ...OTHER })) {
  describe(`the ${what} does not reach an external server`, () => {
    for (const [how, encode] of Object.entries(ENCODINGS)) {
      const text = encode(secret)
      test(`${how}, in headers that may be left out`, () => {
        for (const name of PASSING) {
          for (const value of [text, `x ${text} y`, `x="${text}"`, `a${text}`]) {
            assert.equal(name.toLowerCase() in send({ received: [name, value] }).headers, false, `${name}: ${value}`)
          }
        }
      })
      test(`${how}, in headers that change what the request does: refused`, () => {
        for (const name of NEEDED) refuses(() => send({ received: [name, `"${text}"`] }))
      })
      test(`${how}, in the target: refused`, () => {
        for (const target of [
          `/resource-lists/users/${ALICE}/${text}`,
          `/resource-lists/users/${ALICE}/x${text}`,
          `/resource-lists/users/${ALICE}/index/~~/list%5B@name=%22${text}%22%5D`,
          `/resource-lists/users/${ALICE}/index?${text}`,
          `/resource-lists/users/${ALICE}/index?a=x&b=${text}`,
          `/resource-lists/global/${text}`,
        ]) {
          assert.throws(
            () => send({ target, route: { ownership: 'as-decides' } }),
            (error) =>
              error instanceof GbaError &&
              /^UT_(?:IDENTITY_NOT_WITHHELD|TARGET_AMBIGUOUS|REQUEST_MALFORMED)$/.test(error.code),
            target,
          )
        }
      })
    }
  })
}

describe('a private identity is known by its form', () => {
  const unknown: Subject = { btid: BTID, ussList: [{ gsid: 3, gsType: 3, uids: [ALICE], flags: [] }] }
  for (const [what, value] of [
    ['the IMPI of a subscriber whose IMPI nobody told', IMPI],
    ['the IMSI of another network', '262011234567890@ims.mnc001.mcc262.3gppnetwork.org'],
    ['the IMSI with a digit before it', `0${IMPI}`],
    ['an older B-TID', 'AAECAwQFBgcICQoLDA0ODw==@bsf.example.com'],
    ['a TMPI', `${Buffer.alloc(24, 7).toString('base64')}@tmpi.bsf.3gppnetwork.org`],
  ] as const) {
    test(what, () => {
      for (const encode of Object.values(ENCODINGS)) {
        if (encode(value) === value.toUpperCase() && value !== value.toUpperCase()) continue
        refuses(() => send({ subject: unknown, received: ['If-Match', encode(value)] }))
      }
    })
  }
  test('and a telephone number of a 3GPP domain is none', () => {
    const number = '+155501001234567@ims.mnc001.mcc001.3gppnetwork.org'
    assert.equal(send({ subject: unknown, received: ['Accept', number] }).headers.accept, number)
  })
  test('also the IMSI that only a temporary identity gives away', () => {
    const ussList = [{ gsid: 3, gsType: 3, uids: [ALICE, TEMPORARY], flags: [] }]
    refuses(() => send({ subject: { btid: BTID, ussList }, received: ['If-Match', `"${IMSI}"`] }))
  })
  test('also the octets of RAND', () => {
    for (const encoding of ['hex', 'base64url'] as const) {
      refuses(() => send({ received: ['If-Match', Buffer.from(RAND, 'base64').toString(encoding)] }))
    }
  })
  test('also with separators in between', () => {
    for (const value of ['001-01-0123456789', '001 01 0123456789', 'tel:+1-555-010-0123', '+1 (555) 010 0123']) {
      refuses(() => send({ received: ['If-Match', value] }))
    }
  })
})

describe('headers', () => {
  test('of unknown meaning stay behind, whatever they hold', () => {
    const received = [
      'X-Vendor',
      'x',
      'X-Device-Id',
      '490154203237518',
      'Referer',
      '/',
      'Date',
      'x',
      [...IMSI].join('-'),
      'x',
    ]
    assert.deepEqual(Object.keys(send({ received }).headers).sort(), [
      'content-length',
      'host',
      'p-asserted-identity',
      'x-3gpp-asserted-identity',
      'x-3gpp-authorization-flags',
      'x-request-id',
    ])
  })
  test('that XCAP lives on pass', () => {
    const received = [
      ...['If-Match', '"v1"', 'If-None-Match', '*', 'Accept', 'application/xcap-el+xml', 'Accept-Encoding', 'gzip'],
      ...['Content-Type', 'application/xcap-el+xml', 'Range', 'bytes=0-9', 'User-Agent', 'ue/1 3gpp-gba'],
    ]
    const { headers } = send({ received })
    for (let i = 0; i < received.length; i += 2)
      assert.equal(headers[received[i]?.toLowerCase() ?? ''], received[i + 1])
  })
  test('that name the asserted identity alone pass', () => {
    assert.equal(send({ received: ['Accept', `x;u="${ALICE}"`] }).headers.accept, `x;u="${ALICE}"`)
    assert.equal('accept' in send({ received: ['Accept', `x;u="${ALICE}"`], policy: PAIRWISE }).headers, false)
  })
})

describe('one public identity at a time', () => {
  const own = (impu: Impu) => `/resource-lists/users/${impu}/index`
  test('is asserted, though all would be within the trust domain', () => {
    const { headers } = send({ route: { assert: 'all' } })
    assert.equal(headers['x-3gpp-asserted-identity'], `"${ALICE}"`)
    assert.equal(headers['p-asserted-identity'], `<${ALICE}>`)
  })
  test('is asserted when the UE asks for a second one, and then nothing tells of the first', () => {
    const sent = sentBy({
      target: own(SECOND),
      intended: SECOND,
      policy: { ...EXTERNAL, forwardIntendedIdentity: true },
    })
    assert.ok(sent.includes(`"${SECOND}"`))
    assert.ok(!sent.some((text) => text.includes('alice')))
  })
  test('an intended identity beside the tree of another one is refused', () => {
    refuses(() => send({ target: own(ALICE), intended: SECOND }))
    refuses(() => send({ target: own(NUMBER), route: { defaultIdentity: 'first' } }))
    refuses(() => send({ target: '/resource-lists/users/sip:desk42@pbx.example.com/index', intended: ALICE }))
    assert.ok(send({ target: own(SECOND), intended: SECOND }))
  })
  test('the tree of another one in another spelling is refused as well', () => {
    for (const xui of ['tel:+1-555-010-0123', 'tel:%2B15550100123', 'sip%3Anightowl77%40EXAMPLE.com%3Buser=phone']) {
      refuses(() => send({ target: `/resource-lists/users/${xui}/index`, intended: ALICE }))
    }
  })
  test('a shorter identity within the asserted one gives nothing away, a longer one does', () => {
    const uids = ['sip:annabel@example.com', 'sip:bel@example.com', 'sip:annabel@example.community'] as Impu[]
    const subject = { btid: BTID, ussList: [{ gsid: 3, gsType: 3, uids, flags: [] }] }
    const target = '/resource-lists/users/sip:annabel@example.com/index'
    assert.equal(send({ subject, target }).target, target)
    refuses(() => send({ subject, target: `${target}?sip:bel@example.com` }))
    refuses(() => send({ subject, target: `${target}?sip:annabel@example.community` }))
  })
  test('identities of others are none of the subscriber’s', () => {
    const target = `/resource-lists/users/${ALICE}/index/~~/entry%5B@uri=%22sip:bob@example.com%22%5D`
    assert.equal(send({ target }).target, target)
    assert.ok(send({ target: own('sip:bob@example.com' as Impu), route: { ownership: 'as-decides' } }))
  })
  test('an asserted identity that holds the private one is refused, and its pseudonym is not', () => {
    const uids = ['sip:carol@example.com' as Impu]
    const subject = {
      impi: 'carol@example.com' as Impi,
      btid: BTID,
      ussList: [{ gsid: 3, gsType: 3, uids, flags: [] }],
    }
    const asked = { subject, target: '/resource-lists/users/sip:carol@example.com/index' }
    refuses(() => send(asked))
    assert.ok(!sentBy({ ...asked, policy: PAIRWISE }).some((text) => text.includes('carol')))
  })
})

describe('a pairwise pseudonym', () => {
  const pseudonymIn = (asked: Asked) => {
    const { headers } = send({ policy: PAIRWISE, ...asked })
    return /^"(sip:[a-z2-7]{32}@pseudonym\.invalid)"$/.exec(String(headers['x-3gpp-asserted-identity']))?.[1]
  }
  const pseudonym = pseudonymIn({}) ?? ''

  test('takes the place of every identity of the subscriber, in headers and in its own tree', () => {
    for (const own of [ALICE, NUMBER, SECOND, 'sip:desk42@pbx.example.com' as Impu]) {
      for (const intended of [undefined, own, ALICE]) {
        const policy = { ...PAIRWISE, forwardIntendedIdentity: true }
        const asked = { target: `/a/users/${own}/index?x`, policy, ...(intended && { intended }) }
        assert.equal(send(asked).target, `/a/users/${pseudonym}/index?x`)
        assert.equal(pseudonymIn(asked), pseudonym)
        assert.ok(!sentBy(asked).some((text) => /alice|nightowl|desk42|5550100/.test(text)))
      }
    }
  })
  test('is written as the UE wrote its own', () => {
    const escaped = pseudonym.replace(':', '%3a').replace('@', '%40')
    for (const [xui, expected] of [
      ['sip%3aalice.smith%40example.com', escaped],
      ['sip:alice.smith%40example.com', pseudonym.replace('@', '%40')],
      ['SIP:alice.smith@EXAMPLE.com;user=phone', pseudonym],
      ['tel:%2B15550100123', pseudonym],
      ['tel%3a+15550100123', escaped],
    ] as const) {
      const { target } = send({ target: `/a/users/${xui}/index/~~/b`, policy: PAIRWISE })
      assert.equal(target, `/a/users/${expected}/index/~~/b`)
      assert.equal(parseXcapUri(target).xui, parseImpu(pseudonym))
    }
  })
  test('is another at another server, and the same in the next bootstrap', () => {
    const elsewhere = pseudonymIn({ route: { appServer: 'other' } })
    assert.ok(elsewhere !== undefined && elsewhere !== pseudonym)
    const rebootstrapped = { ...SUBJECT, btid: 'AAECAwQFBgcICQoLDA0ODw==@bsf.example.com' as Btid }
    assert.equal(pseudonymIn({ subject: rebootstrapped }), pseudonym)
  })
  test('without an IMPI is the same in whatever order the identities come, and another for who shares only some', () => {
    const of = (uids: readonly Impu[]) =>
      pseudonymIn({ subject: { btid: BTID, ussList: [{ gsid: 3, gsType: 3, uids, flags: [] }] } })
    assert.equal(of([ALICE, NUMBER]), of([NUMBER, ALICE]))
    assert.notEqual(of([ALICE, NUMBER]), of([ALICE, SECOND]))
  })
  test('leaves no room for the real identity anywhere else in the target', () => {
    refuses(() => send({ target: `/a/users/${ALICE}/index/~~/b%5B@c=%22${ALICE}%22%5D`, policy: PAIRWISE }))
    refuses(() => send({ target: `/a/users/${ALICE}/index?${ALICE}`, policy: PAIRWISE }))
  })
  test('opens the trees of other pseudonyms only, never those of real identities', () => {
    const route: Partial<RoutePolicy> = { ownership: 'as-decides' }
    const other = '/a/users/sip:bbbb@pseudonym.invalid/index'
    assert.equal(send({ target: other, policy: PAIRWISE, route }).target, other)
    refuses(() => send({ target: '/a/users/sip:bob@example.com/index', policy: PAIRWISE, route }))
    refuses(() => send({ target: '/a/users/sip:b@apseudonym.invalid/index', policy: PAIRWISE, route }))
  })
  test('without a key or a domain is no reason to tell the real identity', () => {
    const { pseudonymKey: _key, ...keyless } = PAIRWISE
    const { pseudonymDomain: _domain, ...homeless } = PAIRWISE
    for (const policy of [keyless, homeless]) assert.throws(() => send({ policy }), RangeError)
  })
})

describe('whatever a UE sends', () => {
  const secrets = { ...PRIVATE, ...OTHER }
  const { 'in upper case': _upper, 'in lower case': _lower, ...reversible } = ENCODINGS
  const encoding = fc.constantFrom(...Object.values(ENCODINGS))
  // Another letter case on top would be the end of base64, and of whoever wants to read it.
  const again = fc.constantFrom(...Object.values(reversible))
  const hidden = fc
    .tuple(fc.constantFrom(...Object.values(secrets)), encoding, again)
    .map(([secret, encode, encodeAgain]) => encodeAgain(encode(secret)))
  const everyEncoding = Object.values(secrets).flatMap((secret) =>
    Object.values(ENCODINGS).map((encode) => encode(secret).toLowerCase()),
  )
  const around = fc.string({ unit: fc.constantFrom('=', '"', ' ', '/', ';', ',', '<', ':'), maxLength: 3 })
  const name = fc.constantFrom(...PASSING, ...NEEDED, 'X-Vendor', 'Referer', 'Cookie', 'Authorization', 'X-3GPP-Foo')
  const line = fc.tuple(name, around, hidden, around).map(([key, before, text, after]) => ({
    line: [key, `${before}${text}${after}`],
    text,
  }))
  const harmless = fc.tuple(fc.constantFrom('Accept', 'Pragma'), fc.string({ maxLength: 20 }))
  const place = fc.constantFrom(
    (text: string) => `/resource-lists/users/${ALICE}/${text}`,
    (text: string) => `/resource-lists/users/${ALICE}/index/~~/a%5B@b=%22${text}%22%5D`,
    (text: string) => `/resource-lists/users/${ALICE}/index?${text}`,
    (text: string) => `/resource-lists/users/${text}/index`,
  )

  for (const [kind, policy] of [
    ['an external', EXTERNAL],
    ['a pseudonymous', PAIRWISE],
  ] as const) {
    test(`no identity in its headers reaches ${kind} server`, () => {
      let sent = 0
      fc.assert(
        fc.property(
          fc.array(line, { minLength: 1, maxLength: 4 }),
          fc.array(harmless, { maxLength: 3 }),
          (lines, more) => {
            const received = [...more.flat(), ...lines.flatMap(({ line }) => line)]
            let texts: string[]
            try {
              texts = sentBy({ received, policy })
            } catch (error) {
              assert.ok(error instanceof GbaError)
              return
            }
            sent++
            for (const { text } of lines) assert.ok(!texts.some((its) => its.includes(text)), text)
            const all = texts.join('\n').toLowerCase()
            for (const known of everyEncoding) assert.ok(!all.includes(known), known)
          },
        ),
        { numRuns: 800 },
      )
      assert.ok(sent > 100, `only ${sent} sent`)
    })

    test(`no identity in its target reaches ${kind} server`, () => {
      let refused = 0
      fc.assert(
        fc.property(place, hidden, (put, text) => {
          try {
            const { target } = send({ target: put(text), policy, route: { ownership: 'as-decides' } })
            // What went out is the tree of the identity that is asserted, and of no other.
            assert.ok(
              !target.includes(text) ||
                (policy === EXTERNAL && parseXcapUri(target).xui === parseImpu(decodeURIComponent(text))),
              target,
            )
          } catch (error) {
            if (!(error instanceof GbaError)) throw error
            if (error.code === 'UT_IDENTITY_NOT_WITHHELD') refused++
          }
        }),
        { numRuns: 1500 },
      )
      assert.ok(refused > 200, `only ${refused} refused`)
    })
  }

  test('what holds no identity passes', () => {
    const base = fc.uint8Array({ minLength: 1, maxLength: 64 })
    const tag = fc.oneof(
      base.map((octets) => Buffer.from(octets).toString('base64')),
      base.map((octets) => Buffer.from(octets).toString('hex')),
      fc.string({ maxLength: 100 }).map((text) => encodeURIComponent(text)),
      fc.uuid(),
    )
    fc.assert(
      fc.property(tag, (text) => {
        const { headers, target } = send({
          received: ['If-Match', `"${text}"`],
          target: `/a/users/${ALICE}/index?${'x'}`,
        })
        assert.equal(headers['if-match'], `"${text}"`)
        assert.equal(target, `/a/users/${ALICE}/index?x`)
      }),
      { numRuns: 3000 },
    )
  })
})
