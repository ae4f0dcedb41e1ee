import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { attributeValue, childElements, escapeXml, parseXml, textContent, type XmlElement } from '../../src/core/xml.ts'

function root(text: string): XmlElement {
  const element = parseXml(text)
  assert.ok(element, text)
  return element
}

describe('parseXml', () => {
  test('resolves prefixes and defaults, of elements and attributes', () => {
    const a = root('<a xmlns="urn:1" xmlns:p="urn:2" x="0" p:x="1"><p:b/><c xmlns=""/></a>')
    assert.deepEqual([a.local, a.ns], ['a', 'urn:1'])
    assert.deepEqual(a.attributes, [
      { local: 'x', ns: '', value: '0' },
      { local: 'x', ns: 'urn:2', value: '1' },
    ])
    assert.deepEqual(a.children, [
      { local: 'b', ns: 'urn:2', attributes: [], children: [] },
      { local: 'c', ns: '', attributes: [], children: [] },
    ])
    assert.equal(attributeValue(a, 'x'), '0')
    assert.equal(attributeValue(root('<a xmlns:p="urn:2" p:x="1" x="0"/>'), 'x'), '0')
    assert.equal(attributeValue(a, 'xmlns'), undefined)
  })

  test('reads a text as one, whatever comments, CDATA and references it is cut by', () => {
    assert.deepEqual(root('<a>al<!-- x -->ice<![CDATA[<@]]>e&amp;x<?pi?>&#65;&#x42;</a>').children, ['alice<@e&xAB'])
  })

  test('keeps text and elements in their order', () => {
    const { children } = root('<a>1<b/>2<b/></a>')
    assert.deepEqual(
      children.map((child) => (typeof child === 'string' ? child : child.local)),
      ['1', 'b', '2', 'b'],
    )
  })

  for (const [name, text] of [
    ['empty', ''],
    ['without an element', '<!-- a -->'],
    ['with two roots', '<a/><b/>'],
    ['with text behind the root', '<a/>x'],
    ['that is not closed', '<a>'],
    ['closed in another order', '<a><b></a></b>'],
    ['with an attribute twice', '<a x="1" x="2"/>'],
    ['with an attribute twice, by two prefixes', '<a xmlns:p="u" xmlns:q="u" p:x="1" q:x="2"/>'],
    ['with a prefix that is not declared', '<p:a/>'],
    ['with a DOCTYPE', '<!DOCTYPE a><a/>'],
    ['with an external DTD', '<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>'],
    ['with an external entity', '<!DOCTYPE a [<!ENTITY e SYSTEM "file:///etc/passwd">]><a>&e;</a>'],
    ['with entities that grow', '<!DOCTYPE a [<!ENTITY e "xx"><!ENTITY f "&e;&e;">]><a>&f;</a>'],
    ['with an entity that is not declared', '<a>&nbsp;</a>'],
    ['with an entity named as a property of every object', '<a>&constructor;</a>'],
    ['with a character that XML does not have', '<a>\u0001</a>'],
    ['with a reference to such a character', '<a>&#1;</a>'],
    ['with half a character', '<a>\ud800</a>'],
  ] as const) {
    test(`refuses a document ${name}`, () => assert.equal(parseXml(text), undefined))
  }

  test('is not misled by the names of what every object has', () => {
    const a = root('<__proto__ constructor="x"><toString/></__proto__>')
    assert.equal(a.local, '__proto__')
    assert.equal(attributeValue(a, 'constructor'), 'x')
    assert.equal(attributeValue(a, 'toString'), undefined)
  })

  test('counts its size limit in octets of UTF-8', () => {
    assert.ok(parseXml('<a>é</a>', { maxBytes: 9 }))
    assert.equal(parseXml('<a>é</a>', { maxBytes: 8 }), undefined)
    assert.equal(parseXml(`<a>${' '.repeat(65_536)}</a>`), undefined)
  })

  test('limits how deep elements stand', () => {
    const nested = (depth: number) => '<a>'.repeat(depth) + '</a>'.repeat(depth)
    assert.ok(parseXml(nested(64)))
    assert.equal(parseXml(nested(65)), undefined)
  })

  test('never throws, whatever it is given', () => {
    const markup = fc.string({
      unit: fc.constantFrom('<', '>', '/', 'a', ' ', '=', '"', '&', ';', '!', '?', '[', ']', '-', '\0'),
    })
    fc.assert(fc.property(markup, (text) => parseXml(`<a>${text}`) === undefined || text.includes('</a')))
    fc.assert(
      fc.property(
        fc.string({ unit: fc.nat(0xffff).map((code) => String.fromCharCode(code)) }),
        (text) => typeof parseXml(text) !== 'string',
      ),
    )
  })
})

describe('textContent', () => {
  test('is the text without white space around it', () => assert.equal(textContent(root('<a>\r\n\t x y </a>')), 'x y'))
  test('of an empty element is empty', () => assert.equal(textContent(root('<a/>')), ''))
  test('does not exist where elements stand between', () => {
    assert.equal(textContent(root('<a>sip:alice@<b/>example.com</a>')), undefined)
  })

  test('is done at once with much white space', () => {
    const start = performance.now()
    assert.equal(textContent(root(`<a>${' '.repeat(60_000)}x</a>`)), 'x')
    assert.equal(textContent(root(`<a>x${' '.repeat(60_000)}x</a>`))?.length, 60_002)
    assert.ok(performance.now() - start < 200)
  })
})

describe('childElements', () => {
  test('go by local name, whatever the namespace', () => {
    const a = root('<a xmlns:p="urn:1"><b/><p:b/><c><b/></c></a>')
    assert.deepEqual(
      childElements(a, 'b').map(({ ns }) => ns),
      ['', 'urn:1'],
    )
  })
})

describe('escapeXml', () => {
  test('lets a reader get back any text, from an element and from an attribute', () => {
    const unit = fc.integer({ min: 0x20, max: 0x2fff }).map((code) => String.fromCodePoint(code))
    const awkward = fc.constantFrom(...'\t\n\r&<>"\'', ']]>', '\u{1f600}')
    fc.assert(
      fc.property(fc.string({ unit: fc.oneof(unit, awkward) }), (text) => {
        const a = root(`<a x="${escapeXml(text)}">${escapeXml(text)}</a>`)
        assert.equal(attributeValue(a, 'x'), text)
        assert.deepEqual(a.children, text === '' ? [] : [text])
      }),
    )
  })

  for (const text of ['\0', '\u001f', '\ud800', '\uffff']) {
    test(`refuses ${JSON.stringify(text)}`, () => assert.throws(() => escapeXml(text), RangeError))
  }
})
