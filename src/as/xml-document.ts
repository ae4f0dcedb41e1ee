import { SaxesParser } from 'saxes'

/** An attribute other than a namespace declaration. */
export interface XmlAttribute {
  /** As written, prefix included. */
  readonly name: string
  readonly local: string
  /** '' when unprefixed. */
  readonly ns: string
  readonly value: string
}

/** An element and where it stands in the text, in UTF-16 units: what lies between the offsets is never re-written. */
export interface XmlElement {
  /** As written, prefix included. */
  readonly name: string
  readonly local: string
  readonly ns: string
  readonly attributes: readonly XmlAttribute[]
  /** Namespaces declared on this very element: prefix ('' for the default) to name. */
  readonly declares: ReadonlyMap<string, string>
  readonly parent: XmlElement | undefined
  readonly children: readonly XmlElement[]
  readonly start: number
  /** Just after the `>` of the start tag; equals `end` in `<name/>`. */
  readonly contentStart: number
  /** At the `<` of the end tag; equals `end` in `<name/>`. */
  readonly contentEnd: number
  readonly end: number
}

export interface XmlDocument {
  readonly text: string
  readonly root: XmlElement
}

/** Why a text is not taken: it is no XML, its declaration names another encoding than UTF-8, or it passes the bounds. */
export type XmlFault = 'not-well-formed' | 'not-utf-8' | 'too-complex'

/** Elements within elements, the root counted. */
export const MAX_DEPTH = 200

/** Elements and attributes together: what a megabyte of tags would cost is paid in milliseconds, not seconds. */
export const MAX_NODES = 65_536

/**
 * Reads a document with source offsets; a DOCTYPE is refused, so there are no entities but the predefined five.
 * @param context  namespaces that hold around the text, for a fragment: prefix ('' for the default) to name
 */
export function parseXmlDocument(
  text: string,
  context: ReadonlyMap<string, string> = new Map(),
): XmlDocument | XmlFault {
  const parser = new SaxesParser({
    xmlns: true,
    position: false,
    forceXMLVersion: true,
    defaultXMLVersion: '1.0',
    resolvePrefix: (prefix: string) => context.get(prefix),
  })
  const open: Building[] = []
  let root: Building | undefined
  let start = 0
  let nodes = 0
  parser.on('xmldecl', ({ encoding }) => {
    if (encoding !== undefined && !/^utf-8$/i.test(encoding)) throw new Refused('not-utf-8')
  })
  parser.on('doctype', () => {
    throw new Refused('not-well-formed')
  })
  parser.on('opentagstart', () => {
    if (open.length >= MAX_DEPTH) throw new Refused('too-complex')
    nodes += 1
    start = text.lastIndexOf('<', parser.position - 1)
  })
  parser.on('attribute', () => {
    nodes += 1
    if (nodes > MAX_NODES) throw new Refused('too-complex')
  })
  parser.on('opentag', (tag) => {
    if (nodes > MAX_NODES) throw new Refused('too-complex')
    const parent = open.at(-1)
    const attributes: XmlAttribute[] = []
    const declares = new Map<string, string>()
    for (const { name, prefix, local, uri, value } of Object.values(tag.attributes)) {
      if (name === 'xmlns') declares.set('', value)
      else if (prefix === 'xmlns') declares.set(local, value)
      else attributes.push({ name, local, ns: uri, value })
    }
    const { name, local, uri: ns } = tag
    const contentStart = parser.position
    const children: Building[] = []
    const element = {
      name,
      local,
      ns,
      attributes,
      declares,
      parent,
      children,
      start,
      contentStart,
      contentEnd: 0,
      end: 0,
    }
    if (parent) parent.children.push(element)
    else root = element
    open.push(element)
  })
  parser.on('closetag', ({ isSelfClosing }) => {
    const element = open.pop()
    if (!element) return
    element.end = parser.position
    element.contentEnd = isSelfClosing ? element.end : text.lastIndexOf('<', element.end - 1)
  })
  try {
    parser.write(text).close()
  } catch (error) {
    return error instanceof Refused ? error.fault : 'not-well-formed'
  }
  return root ? { text, root } : 'not-well-formed'
}

/** Every namespace that holds inside the element, its own declarations first in rank; an undeclared default is absent. */
export function namespacesInScope(element: XmlElement): Map<string, string> {
  const line: XmlElement[] = []
  for (let at: XmlElement | undefined = element; at; at = at.parent) line.push(at)
  const scope = new Map<string, string>()
  for (const { declares } of line.reverse()) for (const [prefix, ns] of declares) scope.set(prefix, ns)
  if (scope.get('') === '') scope.delete('')
  return scope
}

/** Where an attribute is written: `start` at its name, the value without its quotation marks, `end` after them. */
export interface AttributeSpan {
  readonly name: string
  readonly start: number
  readonly valueStart: number
  readonly valueEnd: number
  readonly end: number
}

/** The attributes of a start tag as written, namespace declarations among them. */
export function attributeSpans({ text }: XmlDocument, element: XmlElement): AttributeSpan[] {
  const spans: AttributeSpan[] = []
  ATTRIBUTE.lastIndex = element.start + 1 + element.name.length
  for (let match = ATTRIBUTE.exec(text); match; match = ATTRIBUTE.exec(text)) {
    const [whole, space = '', name = '', quoted = ''] = match
    const start = match.index + space.length
    const end = match.index + whole.length
    spans.push({ name, start, valueStart: end - quoted.length + 1, valueEnd: end - 1, end })
  }
  return spans
}

/** Good on start tags that the parser has accepted, and on nothing else. */
const ATTRIBUTE = /([ \t\r\n]+)([^ \t\r\n=/>]+)[ \t\r\n]*=[ \t\r\n]*("[^"]*"|'[^']*')/y

interface Building extends XmlElement {
  children: Building[]
  contentEnd: number
  end: number
}

class Refused extends Error {
  readonly fault: XmlFault
  constructor(fault: XmlFault) {
    super(fault)
    this.fault = fault
  }
}
