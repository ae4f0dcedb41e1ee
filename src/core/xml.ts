import { SaxesParser } from 'saxes'

/** Namespace declarations are not listed: they are resolved into `ns`. */
export interface XmlAttribute {
  readonly local: string
  /** Empty: none. */
  readonly ns: string
  readonly value: string
}

/** Comments and processing instructions are left out; no two strings follow one another in `children`. */
export interface XmlElement {
  readonly local: string
  /** Empty: none. */
  readonly ns: string
  readonly attributes: readonly XmlAttribute[]
  readonly children: readonly (XmlElement | string)[]
}

export interface XmlLimits {
  /** Default 64 KiB, counted in UTF-8. */
  readonly maxBytes?: number
  /** Elements within one another, default 64. */
  readonly maxDepth?: number
}

/**
 * Reads one XML document with namespaces. A DOCTYPE is refused, hence every entity but the five of XML itself.
 * @returns the root element, or undefined when malformed or beyond the limits
 * @see W3C Namespaces in XML 1.0 clause 7
 */
export function parseXml(
  text: string,
  { maxBytes = 64 * 1024, maxDepth = 64 }: XmlLimits = {},
): XmlElement | undefined {
  if (text.length > maxBytes || Buffer.byteLength(text) > maxBytes) return undefined
  const parser = new SaxesParser({ xmlns: true, position: false, defaultXMLVersion: '1.0', forceXMLVersion: true })
  const document: Open = { children: [] }
  const open = [document]
  const addText = (chunk: string) => {
    const children = open.at(-1)?.children ?? []
    const last = children.at(-1)
    if (typeof last === 'string') children[children.length - 1] = last + chunk
    else if (chunk !== '') children.push(chunk)
  }
  parser.on('text', addText)
  parser.on('cdata', addText)
  parser.on('doctype', () => {
    throw new XmlRefused('DOCTYPE')
  })
  parser.on('opentag', ({ local, uri: ns, attributes }) => {
    if (open.length > maxDepth) throw new XmlRefused('depth')
    const own = Object.values(attributes).filter(({ uri }) => uri !== XMLNS)
    const element = {
      local,
      ns,
      attributes: own.map((a) => ({ local: a.local, ns: a.uri, value: a.value })),
      children: [],
    }
    open.at(-1)?.children.push(element)
    open.push(element)
  })
  parser.on('closetag', () => {
    open.pop()
  })
  parser.on('error', (error) => {
    throw new XmlRefused('not well-formed', { cause: error })
  })
  try {
    parser.write(text).close()
  } catch (error) {
    if (error instanceof XmlRefused) return undefined
    throw error
  }
  return document.children.find((child) => typeof child !== 'string')
}

/** The child elements of that local name, whatever their namespace. */
export const childElements = (parent: XmlElement, local: string): XmlElement[] =>
  parent.children.filter((child) => typeof child !== 'string').filter((child) => child.local === local)

/** The text of an element without the white space around it, or undefined when it has child elements. */
export function textContent(element: XmlElement): string | undefined {
  const text = element.children.filter((child) => typeof child === 'string')
  return text.length === element.children.length ? text.join('').trim() : undefined
}

/** The value of the attribute of that name in no namespace. */
export const attributeValue = (element: XmlElement, local: string): string | undefined =>
  element.attributes.find((attribute) => attribute.ns === '' && attribute.local === local)?.value

/**
 * Text as it stands in an element or between double quotation marks in an attribute, so that a reader gets it back.
 * @throws RangeError on what XML 1.0 has no characters for
 * @see W3C XML 1.0 clause 2.4
 */
export function escapeXml(text: string): string {
  if (/[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/u.test(text)) throw new RangeError('not XML characters')
  return text.replace(/[&<>"\t\n\r]/g, (character) => ESCAPES[character] ?? `&#${character.charCodeAt(0)};`)
}

interface Open {
  readonly children: (XmlElement | string)[]
}

class XmlRefused extends Error {}

const XMLNS = 'http://www.w3.org/2000/xmlns/'
const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }
