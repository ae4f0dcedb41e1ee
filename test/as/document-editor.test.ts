import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { deleteNode, type EditOutcome, putAttribute, putElement, readNode } from '../../src/as/document-editor.ts'
import { type NodeSelector, parseNodeSelector } from '../../src/as/node-selector.ts'
import { parseXmlDocument, type XmlDocument } from '../../src/as/xml-document.ts'

const SHOP = `<?xml version="1.0"?>
<!-- kept -->
<shop xmlns="urn:shop" xmlns:t='urn:toys'>
  <shelf id="one"  label='"x"' />
  <!-- between -->
  <shelf id="two">
    <item no="1"/><item no="2"></item>
  </shelf>
  <till/>
</shop>
`

function documentOf(text: string): XmlDocument {
  const document = parseXmlDocument(text)
  if (typeof document === 'string') throw new Error(document)
  return document
}

function selectorOf(text: string): NodeSelector {
  const selector = parseNodeSelector(encodeURIComponent(text), 'xmlns(toys=urn:toys)xmlns(z=urn:z)', 'urn:shop')
  if (!selector) throw new Error(`no selector: ${text}`)
  return selector
}

/** The text afterwards, or the name of the error. */
const textOf = (outcome: EditOutcome | undefined) =>
  outcome && ('error' in outcome ? outcome.error : outcome.document.text)

const read = (selector: string, text = SHOP) => readNode(documentOf(text), selectorOf(selector))
const put = (selector: string, fragment: string, text = SHOP) =>
  textOf(putElement(documentOf(text), selectorOf(selector), fragment))
const set = (selector: string, value: string, text = SHOP) =>
  textOf(putAttribute(documentOf(text), selectorOf(selector), value))
const remove = (selector: string, text = SHOP) => textOf(deleteNode(documentOf(text), selectorOf(selector)))

describe('readNode', () => {
  for (const [selector, expected] of [
    ['shop/shelf[1]', `<shelf id="one"  label='"x"' />`],
    ['shop/shelf[@id="two"]/item[2]', '<item no="2"></item>'],
    ['shop/shelf[1]/@label', '"x"'],
    ['shop/shelf[1]/@id', 'one'],
    ['shop/shelf[1]/@no', undefined],
    ['shop/shelf', undefined],
    ['shop/@xmlns', undefined],
    ['shop/till/namespace::*', `<till xmlns="urn:shop" xmlns:t='urn:toys'/>`],
    ['shop/none/namespace::*', undefined],
  ] as const) {
    test(`gives ${expected ?? 'nothing'} for ${selector}`, () => assert.equal(read(selector), expected))
  }

  test('gives an attribute value as it is written', () =>
    assert.equal(read('shop/@a', '<shop xmlns="urn:shop" a="&lt;&#65;"/>'), '&lt;&#65;'))

  test('gives the namespaces that hold, not those that were overridden or undeclared', () =>
    assert.equal(
      read('*/*/namespace::*', '<x:a xmlns:x="u" xmlns:y="v" xmlns="w"><b xmlns="" xmlns:y="z"/></x:a>'),
      '<b xmlns:x="u" xmlns:y="z"/>',
    ))
})

describe('putElement', () => {
  test('replaces an element and nothing else', () =>
    assert.equal(put('shop/shelf[1]', '<shelf/>'), SHOP.replace(`<shelf id="one"  label='"x"' />`, '<shelf/>')))

  test('drops the white space around what it is given', () =>
    assert.equal(put('shop/till', '\r\n <till>\n</till>\t\n'), SHOP.replace('<till/>', '<till>\n</till>')))

  const lastShelf = '  </shelf>\n  <till/>'
  for (const [what, selector, fragment, expected] of [
    ['a new name goes behind the last child', 'shop/door', '<door/>', ['<till/>', '<till/><door/>']],
    [
      'another of a name goes behind the last of that name',
      'shop/shelf[@id="n"]',
      '<shelf id="n"/>',
      [lastShelf, '  </shelf><shelf id="n"/>\n  <till/>'],
    ],
    [
      'an asterisk goes by the name of the element put',
      'shop/*[@id="n"]',
      '<shelf id="n"/>',
      [lastShelf, '  </shelf><shelf id="n"/>\n  <till/>'],
    ],
    [
      'the next free position goes behind the last of that name',
      'shop/shelf[3]',
      '<shelf/>',
      [lastShelf, '  </shelf><shelf/>\n  <till/>'],
    ],
    [
      'a taken position with another attribute pushes the rest back',
      'shop/shelf[2][@id="n"]',
      '<shelf id="n"/>',
      [`label='"x"' />`, `label='"x"' /><shelf id="n"/>`],
    ],
    [
      'the first position goes before the first of that name',
      'shop/shelf[1][@id="n"]',
      '<shelf id="n"/>',
      ['<shelf id="one"', '<shelf id="n"/><shelf id="one"'],
    ],
    [
      'a position of an asterisk counts all children',
      'shop/*[2][@id="n"]',
      '<door id="n"/>',
      [`label='"x"' />`, `label='"x"' /><door id="n"/>`],
    ],
    [
      'the first position of a new name goes behind the last child',
      'shop/door[1]',
      '<door/>',
      ['<till/>', '<till/><door/>'],
    ],
    ['an empty-element tag is opened', 'shop/till/coin', '<coin/>', ['<till/>', '<till><coin/></till>']],
    [
      'an empty-element tag keeps its attributes',
      'shop/shelf[1]/item',
      '<item/>',
      [`<shelf id="one"  label='"x"' />`, `<shelf id="one"  label='"x"'><item/></shelf>`],
    ],
    [
      'an element without children takes one',
      'shop/shelf[2]/item[2]/x',
      '<x/>',
      ['no="2"></item>', 'no="2"><x/></item>'],
    ],
    ['prefixes of the place hold in the fragment', 'shop/toys:doll', '<t:doll/>', ['<till/>', '<till/><t:doll/>']],
    [
      'prefixes of the fragment hold too',
      'shop/z:doll',
      '<d:doll xmlns:d="urn:z"/>',
      ['<till/>', '<till/><d:doll xmlns:d="urn:z"/>'],
    ],
  ] as const) {
    test(what, () => assert.equal(put(selector, fragment), SHOP.replace(expected[0], expected[1])))
  }

  for (const [what, selector, fragment, error] of [
    ['what bears another name', 'shop/door', '<gate/>', 'cannot-insert'],
    ['what lacks the attribute', 'shop/shelf[@id="n"]', '<shelf/>', 'cannot-insert'],
    ['what would take the attribute away', 'shop/shelf[@id="one"]', '<shelf id="1"/>', 'cannot-insert'],
    ['what is in another namespace', 'shop/door', '<door xmlns="urn:other"/>', 'cannot-insert'],
    ['what is in the namespace of another prefix', 'shop/z:doll', '<t:doll/>', 'cannot-insert'],
    ['a position with a gap before it', 'shop/shelf[4]', '<shelf/>', 'cannot-insert'],
    ['position zero', 'shop/shelf[0]', '<shelf/>', 'cannot-insert'],
    ['one of many', 'shop/shelf', '<shelf/>', 'cannot-insert'],
    ['a second of a name asked for without position', 'shop/*', '<till/>', 'cannot-insert'],
    ['a second root', 'gate', '<gate/>', 'cannot-insert'],
    ['a child of nobody', 'shop/door/handle', '<handle/>', 'no-parent'],
    ['nothing', 'shop/till', '', 'not-xml-frag'],
    ['text', 'shop/till', 'till', 'not-xml-frag'],
    ['two elements', 'shop/till', '<till/><till/>', 'not-xml-frag'],
    ['an element with text behind it', 'shop/till', '<till/>x', 'not-xml-frag'],
    ['a comment before the element', 'shop/till', '<!-- x --><till/>', 'not-xml-frag'],
    ['a comment behind the element', 'shop/till', '<till/><!-- x -->', 'not-xml-frag'],
    ['an element with an XML declaration', 'shop/till', '<?xml version="1.0"?><till/>', 'not-xml-frag'],
    ['an element that is not closed', 'shop/till', '<till>', 'not-xml-frag'],
    ['a document type', 'shop/till', '<!DOCTYPE till><till/>', 'not-xml-frag'],
    ['an unbound prefix', 'shop/till', '<till><u:x/></till>', 'not-xml-frag'],
    ['what closes its parent and opens it again', 'shop/till/x', '<x/></till><till>', 'not-xml-frag'],
    ['too deep an element', 'shop/till/a', '<a>'.repeat(199) + '</a>'.repeat(199), 'constraint-failure'],
  ] as const) {
    test(`does not insert ${what}: ${error}`, () => assert.equal(put(selector, fragment), error))
  }

  test('names the closest ancestor that exists', () => {
    const outcome = putElement(documentOf(SHOP), selectorOf('shop/shelf[@id="two"]/box/lid'), '<lid/>')
    assert.deepEqual('error' in outcome && outcome.error === 'no-parent' && outcome.ancestor, 'shop/shelf[@id="two"]')
  })

  test('tells a new element from a replaced one', () => {
    const created = (selector: string, fragment: string) => {
      const outcome = putElement(documentOf(SHOP), selectorOf(selector), fragment)
      return 'error' in outcome ? outcome.error : outcome.created
    }
    assert.equal(created('shop/till', '<till/>'), false)
    assert.equal(created('shop/door', '<door/>'), true)
  })

  test('drops a run of white space in linear time', { timeout: 5_000 }, () =>
    assert.equal(put('shop/till', `<till/>${' '.repeat(500_000)}x`), 'not-xml-frag'),
  )
})

describe('putAttribute', () => {
  test('replaces a value and nothing else', () =>
    assert.equal(set('shop/shelf[1]/@label', 'new'), SHOP.replace(`'"x"'`, '"new"')))

  test('puts a new attribute behind the last one', () => {
    assert.equal(set('shop/shelf[1]/@no', '1'), SHOP.replace(`'"x"' />`, `'"x"' no="1" />`))
    assert.equal(set('shop/till/@no', ''), SHOP.replace('<till/>', '<till no=""/>'))
  })

  test('keeps references as they are written', () =>
    assert.equal(set('shop/till/@no', '&lt;&#65;>'), SHOP.replace('<till/>', '<till no="&lt;&#65;>"/>')))

  test('never lets a quotation mark end the value early', () => {
    assert.equal(set('shop/till/@no', 'a" b="c'), SHOP.replace('<till/>', `<till no='a" b="c'/>`))
    assert.equal(set('shop/till/@no', `"'`), SHOP.replace('<till/>', `<till no="&quot;'"/>`))
  })

  test('uses the prefix that the document has for the namespace', () =>
    assert.equal(set('shop/till/@toys:no', '1'), SHOP.replace('<till/>', '<till t:no="1"/>')))

  test('takes any of several prefixes, but never the default namespace', () => {
    const text = '<shop xmlns="urn:z" xmlns:y="urn:z"/>'
    assert.equal(set('z:shop/@z:no', '1', text), text.replace('/>', ' y:no="1"/>'))
    assert.equal(set('z:shop/@z:no', '1', '<shop xmlns="urn:z"/>'), 'cannot-insert')
  })

  test('knows the prefix that no document declares', () =>
    assert.equal(set('shop/till/@xml:lang', 'fr'), SHOP.replace('<till/>', '<till xml:lang="fr"/>')))

  for (const [what, selector, value, error] of [
    ['a tag', 'shop/till/@no', '<', 'not-xml-att-value'],
    ['an ampersand', 'shop/till/@no', 'a&b', 'not-xml-att-value'],
    ['an unknown entity', 'shop/till/@no', '&nbsp;', 'not-xml-att-value'],
    ['a control character', 'shop/till/@no', '\u0000', 'not-xml-att-value'],
    ['what the selector itself asks for otherwise', 'shop/shelf[@id="one"]/@id', '1', 'cannot-insert'],
    ['a namespace declaration', 'shop/till/@xmlns', 'urn:shop', 'cannot-insert'],
    ['an attribute whose namespace the document does not know', 'shop/till/@z:no', '1', 'cannot-insert'],
    ['an attribute of nobody', 'shop/door/@no', '1', 'no-parent'],
  ] as const) {
    test(`does not set ${what}: ${error}`, () => assert.equal(set(selector, value), error))
  }
})

describe('deleteNode', () => {
  test('removes an element and nothing else', () =>
    assert.equal(remove('shop/shelf[@id="two"]/item[@no="1"]'), SHOP.replace('<item no="1"/>', '')))

  test('removes an attribute and the white space before it', () => {
    assert.equal(remove('shop/shelf[1]/@label'), SHOP.replace(`  label='"x"'`, ''))
    assert.equal(remove('shop/shelf[1]/@id'), SHOP.replace(' id="one"', ''))
  })

  test('does not delete where the selector would select the next one', () => {
    assert.equal(remove('shop/shelf[1]'), 'cannot-delete')
    assert.equal(remove('shop/*[1]'), 'cannot-delete')
    assert.equal(remove('shop/shelf[2]'), SHOP.replace(/<shelf id="two">.*<\/shelf>/s, ''))
  })

  test('finds nothing to delete where nothing is selected', () => {
    for (const selector of ['shop/door', 'shop/shelf', 'shop/till/@no', 'shop/door/@no', 'gate']) {
      assert.equal(remove(selector), undefined)
    }
  })

  test('does not delete the root element', () => assert.equal(remove('shop'), 'schema-validation-error'))
})

test('a byte order mark, line ends and all that is not XML elements survive an edit', () => {
  const text =
    '\uFEFF<?xml version="1.0"?>\r\n<?pi x?>\r\n<shop xmlns="urn:shop">\r\n\t<till/>😀<![CDATA[<till/>]]>\r\n</shop>\r\n<!-- end -->'
  assert.equal(put('shop/till', '<till a="😀"/>', text), text.replace('<till/>', '<till a="😀"/>'))
})

describe('put and delete', () => {
  const blank = fc.string({ unit: fc.constantFrom(' ', '\n', 'é', '😀'), maxLength: 4 })
  const child = fc.oneof(
    blank,
    fc.constantFrom('<!-- <item no="9"/> -->', '<![CDATA[</shop>]]>', '&lt;'),
    fc.tuple(fc.constantFrom('item', 'box', 't:item'), fc.nat(3)).map(([name, no]) => `<${name} no='${no}' />`),
  )
  const shop = fc
    .tuple(fc.constantFrom('', '\uFEFF', '<!-- a -->\r\n'), fc.array(child, { maxLength: 8 }))
    .map(([head, children]) => `${head}<shop xmlns="urn:shop" xmlns:t="urn:toys">${children.join('')}</shop>\n`)
  const step = fc
    .tuple(fc.constantFrom('item', 'box', 'toys:item', '*'), fc.option(fc.integer({ min: 1, max: 4 })))
    .map(([name, position]) => name + (position === null ? '' : `[${position}]`))

  test('what was put is what is read, and the rest is as before', () => {
    fc.assert(
      fc.property(shop, step, fc.constantFrom('item', 'box', 't:item'), (text, last, name) => {
        const fragment = `<${name} no="new">x</${name}>`
        const selector = selectorOf(`shop/${last}[@no="new"]`)
        const outcome = putElement(documentOf(text), selector, fragment)
        if ('error' in outcome) return
        assert.equal(readNode(outcome.document, selector), fragment)
        assert.equal(outcome.document.text.replace(fragment, ''), text)
        assert.equal(textOf(deleteNode(outcome.document, selector)), text)
      }),
    )
  })

  test('a second put of the same changes nothing, and a second delete finds nothing', () => {
    fc.assert(
      fc.property(shop, step, (text, last) => {
        const selector = selectorOf(`shop/${last}`)
        const once = putElement(documentOf(text), selector, '<item no="new"/>')
        if (!('error' in once)) {
          const twice = putElement(once.document, selector, '<item no="new"/>')
          assert.deepEqual(twice, { document: once.document, created: false })
        }
        const gone = deleteNode(documentOf(text), selector)
        if (gone && !('error' in gone)) assert.equal(deleteNode(gone.document, selector), undefined)
      }),
    )
  })
})
