import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import {
  attributeSpans,
  MAX_DEPTH,
  MAX_NODES,
  namespacesInScope,
  parseXmlDocument,
  type XmlElement,
} from '../../src/as/xml-document.ts'

const TEXT =
  '\uFEFF<?xml version="1.0" encoding="utf-8"?>\r\n<!-- <no/> -->\r\n' +
  '<o:order xmlns:o="urn:o" xmlns = \'urn:d\'  id="a>b"\r\n\to:id=\'"\'>😀 &amp; <![CDATA[<no/>]]><line  /><o:line></o:line ></o:order >\n'

function parsed(text = TEXT) {
  const document = parseXmlDocument(text)
  if (typeof document === 'string') throw new Error(document)
  return document
}

describe('parseXmlDocument', () => {
  test('knows where every element begins and ends, whatever stands around and between them', () => {
    const { root } = parsed()
    const whole = ({ start, end }: XmlElement) => TEXT.slice(start, end)
    const content = ({ contentStart, contentEnd }: XmlElement) => TEXT.slice(contentStart, contentEnd)
    assert.equal(whole(root), TEXT.slice(TEXT.indexOf('<o:order'), -1))
    assert.equal(content(root), '😀 &amp; <![CDATA[<no/>]]><line  /><o:line></o:line >')
    assert.deepEqual(root.children.map(whole), ['<line  />', '<o:line></o:line >'])
    assert.deepEqual(root.children.map(content), ['', ''])
  })

  test('resolves the names of elements and attributes', () => {
    const { root } = parsed()
    assert.deepEqual(
      root.children.map(({ ns, local }) => [ns, local]),
      [
        ['urn:d', 'line'],
        ['urn:o', 'line'],
      ],
    )
    assert.deepEqual(root.attributes, [
      { name: 'id', local: 'id', ns: '', value: 'a>b' },
      { name: 'o:id', local: 'id', ns: 'urn:o', value: '"' },
    ])
    assert.deepEqual(
      [...namespacesInScope(root)],
      [
        ['o', 'urn:o'],
        ['', 'urn:d'],
      ],
    )
  })

  test('finds attributes as they are written', () => {
    const document = parsed()
    const spans = attributeSpans(document, document.root)
    assert.deepEqual(
      spans.map(({ start, end }) => TEXT.slice(start, end)),
      ['xmlns:o="urn:o"', "xmlns = 'urn:d'", 'id="a>b"', "o:id='\"'"],
    )
    assert.deepEqual(
      spans.map(({ valueStart, valueEnd }) => TEXT.slice(valueStart, valueEnd)),
      ['urn:o', 'urn:d', 'a>b', '"'],
    )
  })

  for (const text of [
    '',
    'words',
    '<a>',
    '<a/><b/>',
    '<a x=1/>',
    '<a x="1" x="2"/>',
    '<a x="<"/>',
    '<a>&nothing;</a>',
    '<!DOCTYPE a><a/>',
    '<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
    '<p:a/>',
    '<a p:x=""/>',
    '<a xmlns:p="u" xmlns:q="u" p:x="" q:x=""/>',
    '<a>\u0001</a>',
    '<a>]]></a>',
    '<a></b>',
  ]) {
    test(`refuses ${JSON.stringify(text)}`, () => assert.equal(parseXmlDocument(text), 'not-well-formed'))
  }

  test('refuses a declaration of another encoding', () =>
    assert.equal(parseXmlDocument('<?xml version="1.0" encoding="ISO-8859-1"?><a/>'), 'not-utf-8'))

  test('takes prefixes from the place a fragment goes to, and only from there', () => {
    const document = parseXmlDocument(
      '<p:a><b/></p:a>',
      new Map([
        ['p', 'urn:p'],
        ['', 'urn:d'],
      ]),
    )
    assert.ok(typeof document !== 'string')
    assert.equal(document.root.ns, 'urn:p')
    assert.equal(document.root.children[0]?.ns, 'urn:d')
    assert.equal(parseXmlDocument('<q:a/>', new Map([['p', 'urn:p']])), 'not-well-formed')
  })

  test('stops at the depth it promises', () => {
    const nested = (depth: number) => '<a>'.repeat(depth) + '</a>'.repeat(depth)
    assert.notEqual(parseXmlDocument(nested(MAX_DEPTH)), 'too-complex')
    assert.equal(parseXmlDocument(nested(MAX_DEPTH + 1)), 'too-complex')
  })

  test('stops at the number of nodes it promises', () => {
    const wide = (count: number) => `<a>${'<b c=""/>'.repeat((count - 2) / 2)}<b/></a>`
    assert.notEqual(parseXmlDocument(wide(MAX_NODES)), 'too-complex')
    assert.equal(parseXmlDocument(wide(MAX_NODES + 2)), 'too-complex')
  })

  test('reads a megabyte in bounded time, however it is nested', { timeout: 10_000 }, () => {
    const opening = Array.from({ length: MAX_DEPTH - 1 }, (_, i) => `<d xmlns:p${i}="u">`).join('')
    const many = '<p0:a/>'.repeat(60_000)
    assert.notEqual(typeof parseXmlDocument(opening + many + '</d>'.repeat(MAX_DEPTH - 1)), 'string')
    assert.equal(parseXmlDocument('<d>'.repeat(350_000)), 'too-complex')
  })
})
