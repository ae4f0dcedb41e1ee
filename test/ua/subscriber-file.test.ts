import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { inspect } from 'node:util'
import { ConfigError } from '../../src/config/config-error.ts'
import { utf8 } from '../../src/core/bytes.ts'
import { computeHa1 } from '../../src/core/digest.ts'
import { type Impi, type Impu, parseImpu } from '../../src/core/identity.ts'
import { followApSubscribers, parseApSubscribers, ussListOf } from '../../src/ua/subscriber-file.ts'

const HA1 = computeHa1('MD5', 'carol@ims.example.org', 'xcap.example.org', utf8('open sesame'))
const FINGERPRINT = Array.from({ length: 32 }, () => 'AB').join(':')
const impu = (text: string) => parseImpu(text) as Impu
const one = (rest: string, impus = "['sip:carol@ims.example.org']") =>
  `subscribers:\n  - impus: ${impus}\n    ${rest}\n`
const parse = (text: string) => parseApSubscribers(text, 'ap-subscribers.yaml')

const FULL = `subscribers:
  - impi: carol@ims.example.org
    impus: ['sip:carol@IMS.example.org', 'tel:+1-555-0100003']
    gsids: [3, 1]
    flags: [1, 7]
    certificate:
      - fingerprint256: '${FINGERPRINT.toLowerCase()}'
      - subject: 'CN=carol, O=x'
      - san: 'URI:sip:carol@IMS.example.org;user=phone'
    digest:
      username: carol@ims.example.org
      realm: xcap.example.org
      ha1: { MD5: ${HA1.toUpperCase()}, SHA-256: '${'0a'.repeat(32)}', 'SHA-512-256': '${'0b'.repeat(32)}' }
  - impus: ['sip:dave@ims.example.org', 'sip:room!.*!@ims.example.org']
    certificate: { san: 'email:Dave@IMS.example.org' }
`

describe('a subscriber file of the proxy', () => {
  const found = parse(FULL)
  const [carol, dave] = found.all

  test('gives identities, services and flags in canonical form', () => {
    assert.equal(found.all.length, 2)
    assert.equal(carol?.impi, 'carol@ims.example.org')
    assert.deepEqual(carol?.impus, ['sip:carol@ims.example.org', 'tel:+15550100003'])
    assert.deepEqual(
      [carol?.gsids, carol?.flags],
      [
        [3, 1],
        [1, 7],
      ],
    )
    assert.deepEqual([dave?.impi, dave?.gsids, dave?.flags, dave?.digest], [undefined, undefined, [], undefined])
  })

  test('knows a subscriber by each mark of her certificates, and by no other', () => {
    const nobody = { fingerprint256: '00', subject: 'CN=x', sans: [] }
    const by = (mark: object) => found.byCertificate({ ...nobody, ...mark })
    assert.deepEqual(by({ fingerprint256: FINGERPRINT }), [carol])
    assert.deepEqual(by({ subject: 'CN=carol,O=x' }), [carol])
    assert.deepEqual(by({ sans: [{ type: 'URI', value: 'sip:carol@ims.example.org' }] }), [carol])
    assert.deepEqual(by({ sans: [{ type: 'email', value: 'Dave@ims.example.org' }] }), [dave])
    for (const mark of [
      {},
      { subject: 'O=x,CN=carol' },
      { subject: 'CN=carol' },
      { sans: [{ type: 'DNS', value: 'sip:carol@ims.example.org' }] },
      { sans: [{ type: 'email', value: 'dave@ims.example.org' }] },
    ]) {
      assert.deepEqual(by(mark), [])
    }
  })

  test('tells each once of whom a certificate has several marks, and both where it has marks of two', () => {
    const mixed = { fingerprint256: FINGERPRINT, subject: 'CN=carol,O=x', sans: [] }
    assert.deepEqual(found.byCertificate(mixed), [carol])
    const two = { ...mixed, sans: [{ type: 'email', value: 'Dave@ims.example.org' } as const] }
    assert.deepEqual(found.byCertificate(two), [carol, dave])
  })

  test('knows a subscriber by username and realm together, in their letter case', () => {
    assert.equal(found.byUsername('carol@ims.example.org', 'xcap.example.org'), carol)
    for (const [username, realm] of [
      ['Carol@ims.example.org', 'xcap.example.org'],
      ['carol@ims.example.org', 'XCAP.example.org'],
      ['carol@ims.example.org xcap.example.org', ''],
    ] as const) {
      assert.equal(found.byUsername(username, realm), undefined)
    }
  })

  test('knows whose an identity is, also one that a wildcarded one stands for', () => {
    assert.equal(found.byImpu(impu('tel:+15550100003')), carol)
    assert.equal(found.byImpu(impu('sip:room17@ims.example.org')), dave)
    assert.equal(found.byImpu(impu('sip:room17@other.example.org')), undefined)
    assert.equal(found.byImpi('carol@IMS.example.org' as Impi), carol)
    assert.equal(found.byImpi('dave@ims.example.org' as Impi), undefined)
  })

  test('keeps HA1 as the hex that a response is made of, lower case, and shows it to nobody', () => {
    const secret = carol?.digest?.ha1.get('MD5')
    assert.equal(Buffer.from(secret?.expose(32) ?? []).toString(), HA1)
    assert.deepEqual([...(carol?.digest?.ha1.keys() ?? [])], ['MD5', 'SHA-256', 'SHA-512-256'])
    assert.doesNotMatch(inspect(found.all, { depth: 9 }), new RegExp(HA1, 'i'))
  })

  test('gives settings for those services of a route that she may use', () => {
    assert.ok(carol && dave)
    assert.deepEqual(ussListOf(carol, [1, 2, 1]), [{ gsid: 1, gsType: 1, uids: carol.impus, flags: [1, 7] }])
    assert.deepEqual(ussListOf(carol, [2]), [])
    assert.deepEqual(
      ussListOf(dave, [2, 4711]).map(({ gsid, gsType, flags }) => [gsid, gsType, flags]),
      [
        [2, 2, []],
        [4711, 0, []],
      ],
    )
  })

  for (const [name, text] of [
    ['is empty', ''],
    ['is all comment', '# nobody\n---\n  # at all\n'],
    ['has an empty list', 'subscribers: []\n'],
    ['has the key alone', 'subscribers:\n'],
  ] as const) {
    test(`that ${name} has no subscribers`, () => assert.deepEqual(parse(text).all, []))
  }
})

describe('a mistake in a subscriber file is told by line and key, and no value is repeated:', () => {
  const digest = (fields: string) => one(`digest: ${fields}`)
  const name = 'username: carol, realm: xcap.example.org'
  const cases: readonly (readonly [name: string, text: string, key: string | undefined])[] = [
    ['not YAML', 'subscribers: [', undefined],
    ['no list', 'subscribers: sesame', 'subscribers'],
    ['an unknown key', one('fingerprint: sesame'), 'subscribers[0].fingerprint'],
    ['no identities', 'subscribers:\n  - flags: [1]', 'subscribers[0].impus'],
    ['an empty list of identities', one('flags: [1]', '[]'), 'subscribers[0].impus'],
    ['an identity that is none', one('flags: [1]', '[sesame]'), 'subscribers[0].impus[0]'],
    [
      'a temporary identity',
      one('flags: [1]', "['sip:001010000000001@ims.mnc001.mcc001.3gppnetwork.org']"),
      'subscribers[0].impus[0]',
    ],
    ['an identity twice', one('flags: [1]', "['sip:a@example.org', 'sip:a@EXAMPLE.org']"), 'subscribers[0].impus[1]'],
    ['an IMPI that is none', one('impi: sesame'), 'subscribers[0].impi'],
    ['an IMPI of two', `${one('impi: a@b.org')}  - impi: a@B.org\n    impus: ['sip:x@b.org']\n`, 'subscribers[1].impi'],
    ['a GSID that is no number', one('gsids: [sesame]'), 'subscribers[0].gsids[0]'],
    ['a GSID over 32 bits', one('gsids: [4294967296]'), 'subscribers[0].gsids[0]'],
    ['a flag that is no number', one('flags: [-1]'), 'subscribers[0].flags[0]'],
    ['a certificate without a mark', one('certificate: {}'), 'subscribers[0].certificate'],
    [
      'a certificate with two marks',
      one("certificate: { subject: 'CN=sesame', san: 'DNS:a.org' }"),
      'subscribers[0].certificate',
    ],
    [
      'a fingerprint too short',
      one("certificate: { fingerprint256: 'AB:CD' }"),
      'subscribers[0].certificate.fingerprint256',
    ],
    ['a subject that is none', one('certificate: { subject: sesame }'), 'subscribers[0].certificate.subject'],
    ['a subject beyond ASCII', one("certificate: { subject: 'CN=sésame' }"), 'subscribers[0].certificate.subject'],
    ['a SAN without a type', one("certificate: { san: 'sip:carol@a.org' }"), 'subscribers[0].certificate.san'],
    ['a SAN that is no identity', one("certificate: { san: 'URI:sip:sesame' }"), 'subscribers[0].certificate.san'],
    [
      'a mark of two',
      `${one("certificate: { san: 'URI:sip:a@b.org' }")}  - impus: ['sip:x@b.org']\n    certificate: { san: 'URI:sip:a@B.org' }\n`,
      'subscribers[1].certificate',
    ],
    ['a digest without a realm', digest('{ username: sesame }'), 'subscribers[0].digest.realm'],
    ['a digest without HA1', digest(`{ ${name} }`), 'subscribers[0].digest.ha1'],
    ['a digest with an empty HA1', digest(`{ ${name}, ha1: {} }`), 'subscribers[0].digest.ha1'],
    ['an unknown algorithm', digest(`{ ${name}, ha1: { SHA1: sesame } }`), 'subscribers[0].digest.ha1.SHA1'],
    ['an HA1 too short', digest(`{ ${name}, ha1: { SHA-256: ${HA1} } }`), 'subscribers[0].digest.ha1.SHA-256'],
    [
      'a username with a colon',
      digest(`{ username: 'a:sesame', realm: r, ha1: { MD5: ${HA1} } }`),
      'subscribers[0].digest.username',
    ],
    [
      'a B-TID for a username',
      digest(`{ username: 'I1U8vpY3qJ0hiuZNrke/NQ==@bsf.example.org', realm: r, ha1: { MD5: ${HA1} } }`),
      'subscribers[0].digest.username',
    ],
    [
      'a realm of GBA',
      digest(`{ username: carol, realm: '3GPP-bootstrapping@xcap.example.org', ha1: { MD5: ${HA1} } }`),
      'subscribers[0].digest.realm',
    ],
    [
      'username and realm of two',
      `${digest(`{ ${name}, ha1: { MD5: ${HA1} } }`)}  - impus: ['sip:x@b.org']\n    digest: { ${name}, ha1: { MD5: ${HA1} } }\n`,
      'subscribers[1].digest',
    ],
  ]
  for (const [what, text, key] of cases) {
    test(what, () => {
      assert.throws(
        () => parse(text),
        (error) => {
          assert.ok(error instanceof ConfigError)
          assert.equal(error.key, key)
          assert.ok(error.line !== undefined)
          assert.doesNotMatch(error.message, new RegExp(`sesame|sésame|${HA1}`, 'i'))
          return true
        },
      )
    })
  }
})

describe('a followed subscriber file', () => {
  const directory = mkdtempSync(join(tmpdir(), 'gba-ap-subscribers-'))
  after(() => rmSync(directory, { recursive: true }))
  let count = 0
  const file = (text: string, mode = 0o600) => {
    const path = join(directory, `${count++}.yaml`)
    writeFileSync(path, text)
    chmodSync(path, mode)
    return path
  }
  async function until(condition: () => boolean): Promise<void> {
    for (let tries = 0; !condition(); tries++) {
      assert.ok(tries < 500, 'did not come true')
      await sleep(10)
    }
  }

  test('is read again on change, and a mistake or its loss keeps what was there', async () => {
    const mistakes: unknown[] = []
    const path = file(FULL)
    const followed = followApSubscribers(path, (error) => mistakes.push(error), { everyMs: 5 })
    try {
      assert.equal(followed.current().all.length, 2)
      writeFileSync(path, 'subscribers: nobody')
      await until(() => mistakes.length === 1)
      assert.equal(followed.current().all.length, 2)
      rmSync(path)
      await until(() => mistakes.length === 2)
      assert.equal(followed.current().all.length, 2)
      renameSync(file(one('flags: [1]')), path)
      await until(() => followed.current().all.length === 1)
      writeFileSync(path, '')
      await until(() => followed.current().all.length === 0)
      assert.equal(mistakes.length, 2)
      assert.ok(mistakes.every((error) => error instanceof ConfigError))
    } finally {
      followed.close()
    }
  })

  test('that is not there, or that others can write, is refused at the start', () => {
    const never = () => assert.fail('told of a mistake that was thrown')
    for (const path of [join(directory, 'none.yaml'), file(FULL, 0o620), file(FULL, 0o602)]) {
      assert.throws(() => followApSubscribers(path, never), ConfigError)
    }
  })

  test('that others become able to write is not read, and neither its next text', async () => {
    const mistakes: unknown[] = []
    const path = file(FULL)
    const followed = followApSubscribers(path, (error) => mistakes.push(error), { everyMs: 5 })
    try {
      chmodSync(path, 0o666)
      await until(() => mistakes.length === 1)
      writeFileSync(path, '')
      await until(() => mistakes.length === 2)
      assert.equal(followed.current().all.length, 2)
    } finally {
      followed.close()
    }
  })

  test('that others can read is read with a warning, and one that they cannot without', () => {
    const warned: string[] = []
    for (const mode of [0o600, 0o644, 0o640]) {
      followApSubscribers(file(FULL, mode), () => {}, { warn: (path) => warned.push(path) }).close()
    }
    assert.equal(warned.length, 2)
  })
})
