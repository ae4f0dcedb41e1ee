import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { inspect } from 'node:util'
import { ConfigError } from '../../src/config/config-error.ts'
import { toHex } from '../../src/core/bytes.ts'
import type { Impi } from '../../src/core/identity.ts'
import { loadSubscribers, type Subscriber } from '../../src/hss/subscribers.ts'

const K = '465b5ce8b199b49faa5f0a2ee238a6bc'
const OP = 'cdc202d5123e20f62b6d676ac72cb318'
const OPC = 'cd63cb71954a9f4e48a5994e37a02baf'
const ALICE = '001010123456789@ims.mnc001.mcc001.3gppnetwork.org'
const TEMPORARY = `sip:${ALICE}`

const minimal = `subscribers:
  - impi: ${ALICE}
    k: ${K}
    opc: ${OPC}
    impus: [sip:alice@home1.net]
`

const full = `# two subscribers
subscribers:
  - impi: ${ALICE}
    k: ${K}
    op: ${OP}
    amf: b9b9
    sqn: 000000000020
    impus:
      - impu: ${TEMPORARY}
        barred: true
      - sip:Alice@HOME1.net
      - { impu: 'tel:+1-555-010-0123', barred: false }
      - { impu: sip:old@home1.net, barred: true }
    uss:
      - gsid: 3
        flags: [1, 7]
      - gsid: 3
        nafGroup: partners
        uids: ['tel:+15550100123']
      - { gsid: 1000, type: 2, keyChoice: ME_BASED_KEY }
    uiccType: GBA_U
    keyLifetimeS: 3600
  - impi: bob@home1.net
    k: '00000000000000000000000000000001'
    opc: 00000000000000000000000000000002
    impus: [sip:bob@home1.net]
`

describe('a subscriber file', () => {
  test('gives what it says', () => {
    const alice = only(full, ALICE)
    assert.equal(toHex(alice.k.expose(16)), K)
    assert.equal(toHex(alice.opc.expose(16)), OPC, 'OPc out of OP')
    assert.equal(toHex(alice.amf), 'b9b9')
    assert.equal(toHex(alice.sqn), '000000000020')
    assert.deepEqual(alice.impus, [
      { impu: TEMPORARY, barred: true },
      { impu: 'sip:Alice@home1.net', barred: false },
      { impu: 'tel:+15550100123', barred: false },
      { impu: 'sip:old@home1.net', barred: true },
    ])
    assert.deepEqual(alice.guss, {
      impi: ALICE,
      uiccType: 'GBA_U',
      keyLifetimeS: 3600,
      ussList: [
        { gsid: 3, gsType: 3, uids: ['sip:Alice@home1.net', 'tel:+15550100123'], flags: [1, 7] },
        { gsid: 3, gsType: 3, uids: ['tel:+15550100123'], flags: [], nafGroup: 'partners' },
        {
          gsid: 1000,
          gsType: 2,
          uids: ['sip:Alice@home1.net', 'tel:+15550100123'],
          flags: [],
          keyChoice: 'ME_BASED_KEY',
        },
      ],
    })
  })

  test('reads keys of digits only as the digits they are, with or without quotation marks', () => {
    const bob = only(full, 'bob@home1.net')
    assert.equal(toHex(bob.k.expose(16)), '00000000000000000000000000000001')
    assert.equal(toHex(bob.opc.expose(16)), '00000000000000000000000000000002')
    const float = only(minimal.replace(K, '4650000000000000000000000000e100'), ALICE)
    assert.equal(toHex(float.k.expose(16)), '4650000000000000000000000000e100')
  })

  test('leaves the rest at its defaults', () => {
    const alice = only(minimal, ALICE)
    assert.equal(toHex(alice.amf), '0000')
    assert.equal(toHex(alice.sqn), '000000000000')
    assert.deepEqual(alice.guss, { impi: ALICE, uiccType: 'GBA', ussList: [] })
  })

  test('never makes a uid of a barred or a temporary identity, barred or not', () => {
    const text = minimal.replace('[sip:alice@home1.net]', `['${TEMPORARY}', { impu: sip:x@home1.net, barred: true }]`)
    const [uss] = only(`${text}    uss: [{ gsid: 2 }]\n`, ALICE).guss.ussList
    assert.deepEqual(uss?.uids, [])
  })

  test('types a GSID by itself only where that is a standard service', () => {
    const types = [0, 1, 5, 6, 4294967295].map(
      (gsid) => only(`${minimal}    uss: [{ gsid: ${gsid} }]\n`, ALICE).guss.ussList[0]?.gsType,
    )
    assert.deepEqual(types, [0, 1, 5, 0, 0])
  })

  test('shows no key when a subscriber is printed', () => {
    const shown =
      inspect(loadSubscribers(full, 'f'), { depth: 9, showHidden: true }) + JSON.stringify(only(full, ALICE))
    for (const key of [K, OP, OPC]) assert.ok(!shown.includes(key.slice(0, 8)))
  })
})

describe('what is wrong is named by file, line and key', () => {
  const bob = (more: string) => `${minimal}  - impi: bob@home1.net\n    k: ${K}\n    opc: ${OPC}\n${more}`
  const cases: readonly (readonly [what: string, text: string, line: number, key: string | undefined])[] = [
    ['nothing', '', 1, undefined],
    ['a list at the top', '- 1\n', 1, undefined],
    ['no subscribers', '{}\n', 1, 'subscribers'],
    ['an empty list', 'subscribers: []\n', 1, 'subscribers'],
    ['not a list', 'subscribers: yes\n', 1, 'subscribers'],
    ['text for a subscriber', 'subscribers:\n  - alice\n', 2, 'subscribers[0]'],
    ['another top key', `${minimal}users: []\n`, 6, 'users'],
    ['no impi', minimal.replace(/impi: .*\n {4}/, ''), 2, 'subscribers[0].impi'],
    ['no k', minimal.replace(/k: .*\n {4}/, ''), 2, 'subscribers[0].k'],
    ['neither opc nor op', minimal.replace(/opc: .*\n {4}/, ''), 2, 'subscribers[0].opc'],
    ['no impus', minimal.replace(/ {4}impus: .*\n/, ''), 2, 'subscribers[0].impus'],
    ['both opc and op', `${minimal}    op: ${OP}\n`, 6, 'subscribers[0].op'],
    ['an impi without domain', minimal.replace(ALICE, 'alice'), 2, 'subscribers[0].impi'],
    [
      'a temporary private identity',
      minimal.replace(ALICE, `'NdfNQvvGWK4SGbs7c17alrZHQXyhEcrW@tmpi.bsf.3gppnetwork.org'`),
      2,
      'subscribers[0].impi',
    ],
    ['a k that is short', minimal.replace(K, K.slice(2)), 3, 'subscribers[0].k'],
    ['a k that is not hex', minimal.replace(K, K.replace('b', 'g')), 3, 'subscribers[0].k'],
    ['a k that is a list', minimal.replace(K, `[${K}]`), 3, 'subscribers[0].k'],
    ['a k that is empty', minimal.replace(K, ''), 3, 'subscribers[0].k'],
    ['a k in binary', minimal.replace(K, `!!binary ${K}`), 3, 'subscribers[0].k'],
    ['an alias', `${minimal.replace(K, `&k ${K}`)}    op: *k\n`.replace(/ {4}opc: .*\n/, ''), 5, 'subscribers[0].op'],
    ['an opc that is long', minimal.replace(OPC, `${OPC}00`), 4, 'subscribers[0].opc'],
    ['an amf of one octet', `${minimal}    amf: '80'\n`, 6, 'subscribers[0].amf'],
    ['an sqn of five octets', `${minimal}    sqn: '0000000000'\n`, 6, 'subscribers[0].sqn'],
    ['an sqn that nothing can follow', `${minimal}    sqn: ffffffffffe0\n`, 6, 'subscribers[0].sqn'],
    ['no identity at all', minimal.replace('[sip:alice@home1.net]', '[]'), 5, 'subscribers[0].impus'],
    ['an identity that is none', minimal.replace('sip:alice', 'http:alice'), 5, 'subscribers[0].impus[0]'],
    [
      'a section without impu',
      minimal.replace('sip:alice@home1.net', '{barred: true}'),
      5,
      'subscribers[0].impus[0].impu',
    ],
    [
      'barred neither true nor false',
      minimal.replace('sip:alice@home1.net', '{impu: sip:alice@home1.net, barred: yes}'),
      5,
      'subscribers[0].impus[0].barred',
    ],
    ['an unknown uiccType', `${minimal}    uiccType: gba\n`, 6, 'subscribers[0].uiccType'],
    ['a key lifetime of nothing', `${minimal}    keyLifetimeS: 0\n`, 6, 'subscribers[0].keyLifetimeS'],
    ['a key lifetime with a unit', `${minimal}    keyLifetimeS: 12h\n`, 6, 'subscribers[0].keyLifetimeS'],
    ['a USS without gsid', `${minimal}    uss:\n      - type: 2\n`, 7, 'subscribers[0].uss[0].gsid'],
    ['a gsid too large', `${minimal}    uss:\n      - gsid: 4294967296\n`, 7, 'subscribers[0].uss[0].gsid'],
    [
      'a negative flag',
      `${minimal}    uss:\n      - gsid: 2\n        flags: [1, -1]\n`,
      8,
      'subscribers[0].uss[0].flags[1]',
    ],
    [
      'a nafGroup with a space',
      `${minimal}    uss: [{ gsid: 2, nafGroup: a b }]\n`,
      6,
      'subscribers[0].uss[0].nafGroup',
    ],
    ['an unknown keyChoice', `${minimal}    uss: [{ gsid: 2, keyChoice: ME }]\n`, 6, 'subscribers[0].uss[0].keyChoice'],
    ['the same USS twice', `${minimal}    uss:\n      - gsid: 2\n      - gsid: 02\n`, 8, 'subscribers[0].uss[1]'],
    [
      'a uid of nobody',
      `${minimal}    uss: [{ gsid: 2, uids: [sip:b@home1.net] }]\n`,
      6,
      'subscribers[0].uss[0].uids[0]',
    ],
    [
      'a barred uid',
      minimal
        .replace('sip:alice@home1.net', '{ impu: sip:a@home1.net, barred: true }')
        .concat('    uss: [{ gsid: 2, uids: [sip:a@home1.net] }]\n'),
      6,
      'subscribers[0].uss[0].uids[0]',
    ],
    [
      'a temporary uid',
      `${minimal.replace('sip:alice@home1.net', TEMPORARY)}    uss: [{ gsid: 2, uids: ['${TEMPORARY}'] }]\n`,
      6,
      'subscribers[0].uss[0].uids[0]',
    ],
    [
      'an impi twice',
      bob('    impus: [sip:bob@home1.net]\n').replace('bob@home1.net\n', `${ALICE}\n`),
      6,
      'subscribers[1].impi',
    ],
    ['an impu of two subscribers', bob('    impus: [sip:alice@HOME1.net]\n'), 9, 'subscribers[1].impus[0]'],
    [
      'an impu twice in one subscriber',
      minimal.replace(']', ', { impu: sip:alice@home1.net, barred: true }]'),
      5,
      'subscribers[0].impus[1]',
    ],
    ['a key twice', `${minimal}    k: ${K}\n`, 6, undefined],
    ['two documents', `${minimal}---\n${minimal}`, 6, undefined],
    ['an unknown tag', minimal.replace(K, `!secret ${K}`), 3, undefined],
    ['broken YAML', `${minimal}  impi: "x\n`, 6, undefined],
    ['a list for a key', `${minimal}    ? [a]\n    : b\n`, 6, 'subscribers[0]'],
  ]
  for (const [what, text, line, key] of cases) {
    test(what, () => {
      const error = refusal(text)
      assert.equal(error.file, 'lab/subscribers.yaml')
      assert.equal(error.key, key)
      assert.equal(error.line, line)
      for (const secret of [K, OP, OPC]) assert.ok(!error.message.includes(secret.slice(2, 10)), error.message)
    })
  }

  for (const [typo, place, meant] of [
    ['    ocp: 00\n', 'subscribers[0].ocp', 'opc'],
    ['    IMPUS: []\n', 'subscribers[0].IMPUS', 'impus'],
    ['    key_lifetime: 1\n', 'subscribers[0].key_lifetime', 'keyLifetimeS'],
    ['    uss: [{ gsid: 2, flag: [1] }]\n', 'subscribers[0].uss[0].flag', 'flags'],
  ] as const) {
    test(`for the unknown ${place} it names ${meant}`, () => {
      const error = refusal(minimal + typo)
      assert.equal(error.key, place)
      assert.match(error.detail, new RegExp(`\\b${meant}\\b`))
    })
  }

  test('for a key like none it names none', () => {
    const { key, detail } = refusal(`${minimal}    telephone: 1\n`)
    assert.equal(key, 'subscribers[0].telephone')
    assert.doesNotMatch(detail, /did you mean/)
  })

  test('for an identity taken it says by whom', () => {
    const { detail } = refusal(bob('    impus: [sip:alice@home1.net]\n'))
    assert.match(detail, /subscribers\[0\]\.impus\[0\].*5/)
  })
})

function only(text: string, impi: string): Subscriber {
  const subscriber = loadSubscribers(text, 'lab/subscribers.yaml').get(impi as Impi)
  assert.ok(subscriber)
  return subscriber
}

function refusal(text: string): ConfigError {
  try {
    loadSubscribers(text, 'lab/subscribers.yaml')
  } catch (error) {
    assert.ok(error instanceof ConfigError, inspect(error))
    return error
  }
  return assert.fail('it was accepted')
}
