import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { DIGEST_ALGORITHMS } from '../../src/core/digest.ts'
import {
  type AuthenticationInfo,
  type DigestChallenge,
  formatAuthenticationInfo,
  formatAuthorization,
  formatChallenge,
  type OutgoingCredentials,
  parseAuthenticationInfo,
  parseAuthorization,
  parseChallenges,
} from '../../src/core/digest-header.ts'

const RFC = 'username="u", realm="r", nonce="n", uri="/", response="00"'
const digest = (more: string) => parseAuthorization(`Digest ${RFC}, ${more}`)

const latin1 = fc.nat(0xff).map((code) => String.fromCharCode(code))
const text = fc.string({ unit: fc.constantFrom(...' !"#%&\'(),/:;<=>?@AZ[\\]^`az{|}~09'), maxLength: 24 })
const nc = fc.string({ unit: fc.constantFrom(...'0123456789abcdefABCDEF'), minLength: 1, maxLength: 10 })
const qop = fc.constantFrom('auth' as const, 'auth-int' as const)
const algorithm = fc.constantFrom(...DIGEST_ALGORITHMS)

const credentials: fc.Arbitrary<OutgoingCredentials> = fc
  .record(
    {
      ...{ username: text, realm: text, nonce: text, uri: text, response: text },
      ...{ algorithm, qop, nc, cnonce: text, opaque: text, auts: text, userhash: fc.boolean() },
    },
    {
      requiredKeys: ['username', 'realm', 'nonce', 'uri', 'response', 'nc', 'cnonce', 'userhash'],
      noNullPrototype: true,
    },
  )
  .map((value) => value as OutgoingCredentials)

const challenge: fc.Arbitrary<DigestChallenge> = fc
  .record(
    { realm: text, nonce: text, qop: fc.uniqueArray(qop), algorithm, opaque: text, stale: fc.boolean() },
    { requiredKeys: ['realm', 'nonce', 'qop'], noNullPrototype: true },
  )
  .map((value) => value as DigestChallenge)

const info: fc.Arbitrary<AuthenticationInfo> = fc
  .record(
    { qop, rspauth: text, cnonce: text, nc, nextnonce: text },
    { requiredKeys: ['rspauth'], noNullPrototype: true },
  )
  .map((value) => value as AuthenticationInfo)

describe('parseAuthorization', () => {
  test('reads back whatever was written', () => {
    fc.assert(
      fc.property(credentials, (value) => {
        const { quirks, ...parsed } = parseAuthorization(formatAuthorization(value)) ?? { quirks: undefined }
        assert.deepEqual(parsed, value)
        assert.ok(quirks?.every((quirk) => quirk === 'nc-length' || quirk === 'nc-upper-case'))
      }),
    )
  })

  test('never throws, whatever it is given', () => {
    fc.assert(fc.property(fc.string({ unit: latin1 }), (value) => parseAuthorization(value) === undefined))
    fc.assert(fc.property(fc.string(), (value) => parseAuthorization(`Digest ${RFC}, ${value}`) !== null))
  })

  for (const [name, header] of [
    ['empty', ''],
    ['of another scheme', 'Basic dTpw'],
    ['of a scheme that begins alike', `Digest2 ${RFC}`],
    ['with a tab behind the scheme', `Digest\t${RFC}`],
    ['of the scheme alone', 'Digest'],
    ['without parameters', 'Digest  , '],
    ['a token68', 'Digest dTpw=='],
    ['with a semicolon between parameters', `Digest ${RFC.replace(',', ';')}`],
    ['with a space for a comma', `Digest ${RFC.replace(',', '')}`],
    ['followed by garbage', `Digest ${RFC} x`],
    ['followed by other credentials', `Digest ${RFC}, Basic dTpw`],
    ['with a quotation mark left open', `Digest ${RFC}, opaque="x`],
    ['with a quotation mark that is escaped away', `Digest ${RFC}, opaque="x\\"`],
    ['with text behind a quoted-string', `Digest ${RFC}, opaque="x"y`],
    ['with a value of two tokens', `Digest ${RFC}, opaque=x y`],
    ['with a parameter without value', `Digest ${RFC}, opaque=`],
    ['with a name in quotation marks', `Digest ${RFC}, "opaque"=x`],
    ['with a control character', `Digest ${RFC}, opaque="\u0001"`],
    ['with a NUL', `Digest ${RFC}, opaque="a\0b"`],
    ['with an escaped control character', `Digest ${RFC}, opaque="\\\u0001"`],
    ['with a tab within quotation marks', `Digest ${RFC}, opaque="\t"`],
    ['with a line break', `Digest ${RFC}, opaque="a\r\n b"`],
    ['with DEL', `Digest ${RFC}, opaque="\u007f"`],
    ['with octets above 0x7e', `Digest ${RFC.replace('"u"', '"J\u00c3\u00a4s\u00c3\u00b8n"')}`],
    ['with white space no list has', `Digest ${RFC},\u00a0opaque="x"`],
    ['naming the user twice over', `Digest ${RFC}, username*=UTF-8''x`],
    ['with a parameter twice', `Digest ${RFC}, realm="r"`],
    ['with a parameter twice, in two letter cases', `Digest ${RFC}, URI="/"`],
    ['with an unknown parameter twice', `Digest ${RFC}, x=1, x=1`],
    ['with 33 parameters', `Digest ${RFC}, ${Array.from({ length: 28 }, (_, i) => `x${i}=1`).join(', ')}`],
    ['over 8 KiB', `Digest ${RFC}, opaque="${'x'.repeat(8192)}"`],
    ['with an unknown algorithm', `Digest ${RFC}, algorithm=SHA-512`],
    ['with an unknown qop', `Digest ${RFC}, qop=auth-conf, nc=00000001, cnonce="c"`],
    ['with a list for a qop', `Digest ${RFC}, qop="auth,auth-int", nc=00000001, cnonce="c"`],
    ['with a qop in capitals', `Digest ${RFC}, qop=AUTH, nc=00000001, cnonce="c"`],
    ['with a qop, but no nc', `Digest ${RFC}, qop=auth, cnonce="c"`],
    ['with a qop, but no cnonce', `Digest ${RFC}, qop=auth, nc=00000001`],
    ['with a -sess algorithm, but no cnonce', `Digest ${RFC}, algorithm=MD5-sess`],
    ['with an nc that is no number', `Digest ${RFC}, nc=0000000g`],
    ['with a negative nc', `Digest ${RFC}, nc=-1`],
    ['with an nc of 11 digits', `Digest ${RFC}, nc=00000000001`],
    ['with an empty nc', `Digest ${RFC}, nc=""`],
    ['with a userhash that is no truth value', `Digest ${RFC}, userhash=1`],
  ] as const) {
    test(`refuses a header ${name}`, () => assert.equal(parseAuthorization(header), undefined))
  }

  for (const name of ['username', 'realm', 'nonce', 'uri', 'response']) {
    test(`refuses a header without ${name}`, () => {
      const header = `Digest ${RFC.split(', ')
        .filter((param) => !param.startsWith(`${name}=`))
        .join(', ')}`
      assert.equal(parseAuthorization(header), undefined)
    })
  }

  test('takes the scheme and the names in any letter case', () => {
    assert.equal(parseAuthorization(`dIGEST ${RFC.toUpperCase()}`)?.realm, 'R')
  })

  test('takes white space and empty elements where RFC 9110 has them', () => {
    assert.deepEqual(
      parseAuthorization(`Digest  ,\t, ${RFC.replaceAll('=', ' =\t').replaceAll(', ', ' ,,')} ,`),
      digest('x=1'),
    )
  })

  test('takes 32 parameters', () => {
    assert.ok(digest(Array.from({ length: 27 }, (_, i) => `x${i}=1`).join(', ')))
  })

  test('ignores what it does not know', () => {
    assert.deepEqual(digest('charset=UTF-8, __proto__=x, constructor="y", x="a, nonce=b"'), digest('z=1'))
    assert.equal(digest('x="a, nonce=b"')?.nonce, 'n')
  })

  test('resolves escapes within quotation marks', () => {
    assert.equal(digest('opaque="a\\"b\\\\c\\d"')?.opaque, 'a"b\\cd')
  })

  test('tells an absent parameter from an empty one', () => {
    assert.equal(digest('x=1')?.opaque, undefined)
    assert.equal(digest('opaque=""')?.opaque, '')
  })

  test('keeps nc as sent, since its text enters the digest', () => {
    assert.equal(digest('nc=1a')?.nc, '1a')
    assert.equal(digest('nc=4294967295')?.nc, '4294967295')
  })

  test('lets the first request on Ub name a qop and a -sess algorithm without the rest', () => {
    const first = 'Digest username="u", realm="r", nonce="", uri="/", response=""'
    assert.equal(parseAuthorization(`${first}, qop=auth-int, algorithm=AKAv1-MD5-sess`)?.qop, 'auth-int')
  })

  test('reads the first request of a UE with an absolute uri and an opaque that nobody issued', () => {
    const header =
      'Digest username="001010123456789@ims.mnc001.mcc001.3gppnetwork.org",realm="ims.mnc001.mcc001.pub.3gppnetwork.org",' +
      'nonce="",uri="http://bsf.mnc001.mcc001.pub.3gppnetwork.org:80/",response="",opaque="x"'
    const parsed = parseAuthorization(header)
    assert.equal(parsed?.uri, 'http://bsf.mnc001.mcc001.pub.3gppnetwork.org:80/')
    assert.deepEqual(parsed?.quirks, [])
  })

  for (const [name, header] of [
    ['answers no nonce', 'Digest username="u", realm="r", nonce="", uri="/", response="00", qop=auth'],
    ['has no answer to a nonce', 'Digest username="u", realm="r", nonce="n", uri="/", response="", qop=auth'],
  ] as const) {
    test(`wants nc and cnonce of a request that ${name}`, () => assert.equal(parseAuthorization(header), undefined))
  }

  for (const [param, quirk] of [
    ['algorithm="MD5"', 'quoted-algorithm'],
    ['qop="auth", nc=00000001, cnonce="c"', 'quoted-qop'],
    ['nc="00000001"', 'quoted-nc'],
    ['userhash="false"', 'quoted-userhash'],
    ['cnonce=c', 'unquoted-cnonce'],
    ['opaque=x', 'unquoted-opaque'],
    ['auts=uoU', 'unquoted-auts'],
    ['nc=1', 'nc-length'],
    ['nc=0000000A', 'nc-upper-case'],
  ] as const) {
    test(`tolerates ${quirk} and says so`, () => assert.deepEqual(digest(param)?.quirks, [quirk]))
  }

  for (const name of ['username', 'realm', 'nonce', 'response']) {
    test(`tolerates unquoted-${name} and says so`, () => {
      const header = `Digest ${RFC.replace(new RegExp(`${name}="(\\w+)"`), `${name}=$1`)}`
      assert.deepEqual(parseAuthorization(header)?.quirks, [`unquoted-${name}`])
    })
  }

  for (const [name, header] of [
    ['many escapes in an open quoted-string', `Digest a="${'\\a'.repeat(4000)}`],
    ['many characters in an open quoted-string', `Digest a="${'a'.repeat(8100)}`],
    ['many spaces', `Digest a${' '.repeat(8100)}b`],
    ['many commas', `Digest ${', '.repeat(4000)}"`],
    ['one long token', `Digest ${'a'.repeat(8100)}`],
  ] as const) {
    test(`is done at once with ${name}`, () => {
      const start = performance.now()
      assert.equal(parseAuthorization(header), undefined)
      assert.deepEqual(parseChallenges([header]), [])
      assert.ok(performance.now() - start < 100)
    })
  }
})

describe('formatAuthorization', () => {
  test('writes no two credentials alike', () => {
    fc.assert(
      fc.property(credentials, credentials, (a, b) => {
        const same = JSON.stringify(Object.entries(a).sort()) === JSON.stringify(Object.entries(b).sort())
        assert.equal(formatAuthorization(a) === formatAuthorization(b), same)
      }),
    )
    const fields = ['username', 'realm', 'nonce', 'uri', 'response', 'cnonce', 'opaque', 'auts'] as const
    fc.assert(
      fc.property(credentials, fc.constantFrom(...fields), text, (a, field, value) => {
        const b = { ...a, [field]: value }
        assert.equal(formatAuthorization(a) === formatAuthorization(b), a[field] === value)
      }),
    )
  })

  for (const value of ['a\r\nX-3GPP-Asserted-Identity: "sip:eve@example.com"', 'J\u00e4s', '\0', '\t']) {
    test(`writes no ${JSON.stringify(value)}`, () => {
      const plain = { username: 'u', realm: 'r', nonce: 'n', uri: '/', response: '' }
      assert.throws(() => formatAuthorization({ ...plain, username: value }), RangeError)
      assert.throws(() => formatAuthorization({ ...plain, nc: value }), RangeError)
    })
  }
})

describe('parseChallenges', () => {
  test('reads back whatever was written, several in one value or one in each', () => {
    fc.assert(
      fc.property(fc.array(challenge), (challenges) => {
        const values = challenges.map(formatChallenge)
        assert.deepEqual(parseChallenges(values), challenges)
        assert.deepEqual(parseChallenges([values.join(', ')]), challenges)
      }),
    )
  })

  test('never throws, whatever it is given', () => {
    fc.assert(fc.property(fc.string(), (value) => Array.isArray(parseChallenges([value, `Digest ${value}`]))))
  })

  const one = 'Digest realm="r", nonce="n"'
  const read = { realm: 'r', nonce: 'n', qop: [] }
  for (const [name, value] of [
    ['another scheme with a token68 before it', `Negotiate dTpw==, ${one}`],
    ['another scheme with parameters before it', `Basic realm="x", charset="UTF-8", ${one}`],
    ['another scheme alone before it', `Negotiate, ${one}`],
    ['other schemes behind it', `${one}, Basic realm="Digest nonce", NTLM`],
    ['a Digest challenge without nonce before it', `Digest realm="x", ${one}`],
    ['an algorithm that nobody knows before it', `Digest realm="x", nonce="y", algorithm=SHA3, ${one}`],
    ['only a qop that nobody knows before it', `Digest realm="x", nonce="y", qop="auth-conf", ${one}`],
    ['empty elements around it', `, ,${one},,`],
  ] as const) {
    test(`finds a challenge with ${name}`, () => assert.deepEqual(parseChallenges([value]), [read]))
  }

  test('skips a malformed value and keeps the others', () => {
    const malformed = [`${one} x`, `${one}, nonce="m"`, `${one}, "x"`, `x="y", ${one}`, `Digest Basic ${one}`]
    assert.deepEqual(parseChallenges([...malformed, one]), [read])
  })

  test('keeps of a qop list what it knows', () => {
    assert.deepEqual(parseChallenges([`${one}, qop="auth-conf , auth-int,auth,auth"`])[0]?.qop, ['auth-int', 'auth'])
  })

  test('reads a quoted algorithm, a quoted stale and an unquoted qop', () => {
    const value = `${one}, qop=auth-int, algorithm="md5-SESS", stale="TRUE"`
    assert.deepEqual(parseChallenges([value]), [{ ...read, qop: ['auth-int'], algorithm: 'MD5-sess', stale: true }])
  })

  test('reads a realm that lists two methods as one realm', () => {
    const realm = '3GPP-bootstrapping-uicc@naf.example.com;3GPP-bootstrapping@naf.example.com'
    assert.equal(parseChallenges([`Digest realm="${realm}", nonce="n"`])[0]?.realm, realm)
  })
})

describe('parseAuthenticationInfo', () => {
  test('reads back whatever was written, with and without spaces', () => {
    fc.assert(
      fc.property(info, fc.constantFrom(',' as const, ', ' as const), (value, separator) => {
        assert.deepEqual(parseAuthenticationInfo(formatAuthenticationInfo(value, { separator })), value)
      }),
    )
  })

  test('ignores parameters of other headers, as BSFs in the field send them', () => {
    const value = 'qop="auth-int", rspauth="00", cnonce="c", nc="00000001", opaque="o", nonce="n"'
    assert.deepEqual(parseAuthenticationInfo(value), { qop: 'auth-int', rspauth: '00', cnonce: 'c', nc: '00000001' })
  })

  for (const value of [
    '',
    ' ',
    'x',
    'rspauth="00',
    'rspauth="00", rspauth="00"',
    'qop=x',
    'nc=x',
    'Digest rspauth="00"',
  ]) {
    test(`refuses ${JSON.stringify(value)}`, () => assert.equal(parseAuthenticationInfo(value), undefined))
  }
})

describe('formatAuthenticationInfo', () => {
  const value: AuthenticationInfo = { qop: 'auth', rspauth: '00', cnonce: 'c', nc: '00000001', nextnonce: 'n' }

  test('puts no space anywhere, since a handset cuts at the first one', () => {
    assert.equal(formatAuthenticationInfo(value), 'qop=auth,rspauth="00",cnonce="c",nc=00000001,nextnonce="n"')
  })

  test('leaves out what is absent', () => assert.equal(formatAuthenticationInfo({ nextnonce: 'n' }), 'nextnonce="n"'))
})
