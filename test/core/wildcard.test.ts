import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { type Impu, parseImpu } from '../../src/core/identity.ts'
import { isWildcarded, wildcardMatcher } from '../../src/core/wildcard.ts'

const matches = (wildcarded: string, impu: string) => wildcardMatcher(wildcarded as Impu)(impu as Impu)

describe('isWildcarded', () => {
  for (const impu of ['sip:chatlist!.*!@example.com', 'sip:!.*!@example.com', 'sips:a!b!c@example.com', 'sip:!!@a.b']) {
    test(`${impu} is`, () => assert.equal(isWildcarded(impu as Impu), true))
  }
  for (const impu of ['sip:chatlist!1@example.com', 'sip:alice@example.com', 'tel:+15550100123']) {
    test(`${impu} is not`, () => assert.equal(isWildcarded(impu as Impu), false))
  }
})

describe('wildcardMatcher', () => {
  const cases: readonly (readonly [wildcarded: string, yes: readonly string[], no: readonly string[]])[] = [
    [
      'sip:chatlist!.*!@example.com',
      [
        'sip:chatlist@example.com',
        'sip:chatlist1@example.com',
        'sip:chatlist!1@example.com',
        'sip:chatlist%40@example.com',
      ],
      [
        'sip:chatlis@example.com',
        'sip:Chatlist1@example.com',
        'sip:xchatlist1@example.com',
        'sips:chatlist1@example.com',
        'sip:chatlist1@example.org',
        'sip:chatlist1@a.example.com',
        'tel:+15550100123',
        'sip:chatlist!.*!@example.com',
        'sip:chatlist!1!@example.com',
      ],
    ],
    ['sip:!.+!@example.com', ['sip:a@example.com', 'sip:abc@example.com'], ['sip:a@example.org']],
    [
      'sip:a!b?!c@example.com',
      ['sip:ac@example.com', 'sip:abc@example.com'],
      ['sip:abbc@example.com', 'sip:adc@example.com'],
    ],
    ['sip:a!b!c!d@example.com', ['sip:ab!cd@example.com'], ['sip:abcd@example.com', 'sip:a!b!c!d@example.com']],
    ['sip:a.b!x!@example.com', ['sip:a.bx@example.com'], ['sip:acbx@example.com']],
    [
      'sip:room!%5B0-9%5D+!@example.com',
      ['sip:room7@example.com', 'sip:room42@example.com'],
      ['sip:room@example.com', 'sip:rooma@example.com'],
    ],
    [
      'sip:r!%5B%5E0-9-%5D!@example.com',
      ['sip:ra@example.com', 'sip:r%40@example.com'],
      ['sip:r1@example.com', 'sip:r-@example.com', 'sip:rab@example.com'],
    ],
    [
      'sip:r!%5B-a.*%5D!@example.com',
      ['sip:r-@example.com', 'sip:ra@example.com', 'sip:r.@example.com', 'sip:r*@example.com'],
      ['sip:rb@example.com'],
    ],
    ['sip:+1555!.*!@example.com', ['sip:+15550100123@example.com'], ['sip:+1444@example.com']],
  ]
  for (const [wildcarded, yes, no] of cases) {
    test(wildcarded, () => {
      assert.equal(parseImpu(wildcarded), wildcarded, 'is provisioned in this form')
      for (const impu of yes) assert.equal(matches(wildcarded, impu), true, impu)
      for (const impu of no) assert.equal(matches(wildcarded, impu), false, impu)
    })
  }

  describe('stands for nobody with', () => {
    for (const [what, expression, would] of [
      ['nothing in between', '', ''],
      ['a quantifier first', '*', ''],
      ['two quantifiers', 'a*+', 'aa'],
      ['a group', '(ab)+', 'ab'],
      ['alternatives', 'a%7Cb', 'a'],
      ['anchors', '%5Ea$', 'a'],
      ['a repetition count', 'a%7B2%7D', 'aa'],
      ['an escape', '%5C.', '.'],
      ['an open class', '%5Ba', 'a'],
      ['an empty class', '%5B%5D', ']'],
      ['a named class', '%5B%5B:alpha:%5D%5D', 'a'],
      ['a range upside down', '%5Bz-a%5D', 'z'],
      ['a range between other characters', '%5B!-~%5D', '+'],
      ['an end without a class', 'a%5D', 'a'],
    ] as const) {
      test(what, () => {
        const wildcarded = `sip:x!${expression}!@example.com`
        assert.equal(isWildcarded(wildcarded as Impu), true)
        assert.equal(matches(wildcarded, `sip:x${would}@example.com`), false)
      })
    }
  })

  test('a class, dot or literal means what it means to a backtracking matcher', () => {
    const atom = fc.constantFrom('a', 'b', '.', '%5Bab%5D', '%5B%5Ea%5D', '%5Ba-c%5D')
    const expression = fc
      .array(fc.tuple(atom, fc.constantFrom('', '', '*', '+', '?')), { minLength: 1, maxLength: 6 })
      .map((atoms) => atoms.flat().join(''))
    const user = fc.string({ unit: fc.constantFrom('a', 'b', 'c', 'd'), maxLength: 8 })
    let matched = 0
    fc.assert(
      fc.property(expression, user, (text, its) => {
        const expected = new RegExp(`^x${decodeURIComponent(text)}y$`).test(`x${its}y`)
        if (expected) matched++
        assert.equal(matches(`sip:x!${text}!y@example.com`, `sip:x${its}y@example.com`), expected)
      }),
      { numRuns: 3000 },
    )
    assert.ok(matched > 300, `${matched} matched`)
  })

  test('takes no time over what makes a backtracking matcher take years', () => {
    const wildcarded = `sip:x!${'a*'.repeat(200)}b!@example.com`
    const before = performance.now()
    assert.equal(matches(wildcarded, `sip:x${'a'.repeat(450)}@example.com`), false)
    assert.ok(performance.now() - before < 500)
  })
})
