import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { parseNodeSelector, selectElement } from '../../src/as/node-selector.ts'
import { parseXmlDocument } from '../../src/as/xml-document.ts'

const SHOP = `<shop xmlns="urn:shop" xmlns:t="urn:toys">
  <shelf id="one" label="&quot;A&amp;B&quot;"><item/><t:item no="7"/><item no="7"/></shelf>
  <shelf id="two/three"><item/></shelf>
  <t:shelf t:id="one" id="four" xml:lang="fr"/>
  <till/>
</shop>`

/** The id of the element that a selector finds, or its name where it has none. */
function found(selector: string, query?: string, text = SHOP): string | undefined {
  const document = parseXmlDocument(text)
  const parsed = parseNodeSelector(selector, query, 'urn:shop')
  if (typeof document === 'string' || !parsed) throw new Error(`cannot be tried: ${selector}`)
  const element = selectElement(document, parsed.steps)
  return element && (element.attributes.find(({ name }) => name === 'id')?.value ?? element.name)
}

describe('a node selector', () => {
  const toys = 'xmlns(x=urn:toys)'
  for (const [selector, query, expected] of [
    ['shop', undefined, 'shop'],
    ['*', undefined, 'shop'],
    ['shelf', undefined, undefined],
    ['shop/till', undefined, 'till'],
    ['shop/shelf', undefined, undefined],
    ['shop/shelf%5B2%5D', undefined, 'two/three'],
    ['shop/shelf[2]', undefined, 'two/three'],
    ['shop/shelf%5B0%5D', undefined, undefined],
    ['shop/shelf%5B3%5D', undefined, undefined],
    ['shop/*%5B3%5D', undefined, 'four'],
    ['shop/*%5B4%5D', undefined, 'till'],
    ['shop/*', undefined, undefined],
    ['shop/shelf%5B@id=%22one%22%5D', undefined, 'one'],
    ["shop/shelf%5B@id='one'%5D", undefined, 'one'],
    ['shop/shelf%5B@id=%22two/three%22%5D', undefined, 'two/three'],
    ['shop/shelf%5B@id=%22two%2Fthree%22%5D/item', undefined, 'item'],
    ['shop/shelf%5B@id=%22One%22%5D', undefined, undefined],
    ['shop/shelf%5B2%5D%5B@id=%22two/three%22%5D', undefined, 'two/three'],
    ['shop/shelf%5B1%5D%5B@id=%22two/three%22%5D', undefined, undefined],
    ['shop/*%5B3%5D%5B@id=%22four%22%5D', undefined, 'four'],
    ['shop/shelf%5B@label=%27%22A%26amp;B%22%27%5D', undefined, 'one'],
    ['shop/shelf%5B@label=%22%26quot;A%26#38;B%26#x22;%22%5D', undefined, 'one'],
    ['shop/x:shelf', toys, 'four'],
    ['shop/x:shelf%5B@x:id=%22one%22%5D', toys, 'four'],
    ['shop/x:shelf%5B@id=%22one%22%5D', toys, undefined],
    ['shop/x:shelf%5B@xml:lang=%22fr%22%5D', toys, 'four'],
    ['shop/*%5B@xml:lang=%22fr%22%5D', 'xmlns(xml=urn:other)', 'four'],
    ['shop/x:shelf', 'xmlns%28x%3Durn%3Atoys%29', 'four'],
    ['a:shop/x:shelf', 'xmlns(a=urn:shop) xmlns(x=urn:toys)'.replace(' ', '%20'), 'four'],
    ['a:shop/x:shelf', 'xmlns(a=urn:shop)xmlns(x=urn:toys)', 'four'],
    ['shop/shelf%5B1%5D/*%5B@no=%227%22%5D', undefined, undefined],
    ['shop/shelf%5B1%5D/item%5B@no=%227%22%5D', undefined, 'item'],
    ['shop/shelf%5B1%5D/x:item', toys, 't:item'],
    ['shop/nothing/item', undefined, undefined],
  ] as const) {
    test(`${selector} ${query ?? ''} selects ${expected ?? 'nothing'}`, () =>
      assert.equal(found(selector, query), expected))
  }

  test('is decoded once and not twice', () => {
    assert.equal(found('a%5B@b=%22%2525%22%5D', undefined, '<a xmlns="urn:shop" b="%25"/>'), 'a')
    assert.equal(found('a%5B@b=%22%2525%22%5D', undefined, '<a xmlns="urn:shop" b="%"/>'), undefined)
  })

  test('resolves an escaped bracket in a namespace', () =>
    assert.equal(found('p:a', 'xmlns(p=urn:%5E(x%5E)%5E%5E)', '<a xmlns="urn:(x)^"/>'), 'a'))

  test('may end in an attribute or in the namespaces', () => {
    assert.deepEqual(parseNodeSelector('a/@b', undefined, 'd')?.terminal, {
      kind: 'attribute',
      prefix: '',
      ns: '',
      local: 'b',
    })
    assert.deepEqual(parseNodeSelector('a/@p:b', 'xmlns(p=urn:p)', 'd')?.terminal, {
      kind: 'attribute',
      prefix: 'p',
      ns: 'urn:p',
      local: 'b',
    })
    assert.deepEqual(parseNodeSelector('a/namespace::*', undefined, 'd')?.terminal, { kind: 'namespaces' })
  })

  for (const [selector, query] of [
    ['', undefined],
    ['/', undefined],
    ['a/', undefined],
    ['/a', undefined],
    ['a//b', undefined],
    ['@b', undefined],
    ['namespace::*', undefined],
    ['a/@b/c', undefined],
    ['a/@*', undefined],
    ['a[]', undefined],
    ['a[-1]', undefined],
    ['a[1][2]', undefined],
    ['a[@b="c"][1]', undefined],
    ['a[@b=c]', undefined],
    ['a[@b="c\']', undefined],
    ['a[@b="<"]', undefined],
    ['a[@b="&"]', undefined],
    ['a[@b="&nbsp;"]', undefined],
    ['a[@b="&#x110000;"]', undefined],
    ['a[ 1 ]', undefined],
    ['a[text()]', undefined],
    ['..', undefined],
    ['a/..', undefined],
    ['a|b', undefined],
    ['1a', undefined],
    ['p:a', undefined],
    ['p:a', 'xmlns(q=urn:q)'],
    ['a/@p:b', undefined],
    ['a[@p:b="c"]', undefined],
    ['a', 'xmlns(p)'],
    ['a', 'xmlns(p=urn(x))'],
    ['a', 'xmlns(p=urn)&more'],
    ['a%', undefined],
    ['a%ff', undefined],
    ['a%C0%80', undefined],
    ['a'.repeat(4097), undefined],
  ] as const) {
    test(`refuses ${selector.slice(0, 40)} ${query ?? ''}`, () =>
      assert.equal(parseNodeSelector(selector, query, 'urn:shop'), undefined))
  }

  test('never throws, whatever is sent', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'ab:/[]@="\'*0123%25&;#x^() <é') }), (text) => {
        parseNodeSelector(text, text, 'd')
        parseNodeSelector('a', `xmlns(${text})`, 'd')
      }),
    )
  })

  test('of the greatest length is read in bounded time', { timeout: 5_000 }, () => {
    for (const text of ['a/'.repeat(2047), 'a'.repeat(4096), '[@a="&#1'.repeat(500), `a[@b="${'&'.repeat(4000)}`]) {
      parseNodeSelector(text, `xmlns(a${' '.repeat(4000)}`, 'd')
      parseNodeSelector(text, undefined, 'd')
    }
  })
})
