import { findAttribute, follow, type NodeSelector, namedLike, type Step, selectElement } from './node-selector.ts'
import type { XcapError } from './xcap-error.ts'
import {
  attributeSpans,
  namespacesInScope,
  parseXmlDocument,
  type XmlAttribute,
  type XmlDocument,
  type XmlElement,
} from './xml-document.ts'

/** An edited document: everything but the node in question is as it was, character for character. */
export interface Edit {
  readonly document: XmlDocument
  readonly created: boolean
}

export type EditOutcome = Edit | XcapError

/**
 * Reads a node: an element or an attribute value as it is written in the document, or the namespaces that hold there.
 * @returns undefined when the selector selects nothing
 * @see RFC 4825 clauses 7.5, 7.8 and 7.10
 */
export function readNode(document: XmlDocument, { steps, terminal }: NodeSelector): string | undefined {
  const element = selectElement(document, steps)
  if (!element) return undefined
  if (!terminal) return document.text.slice(element.start, element.end)
  if (terminal.kind === 'namespaces') return namespacesElement(document, element)
  const span = findSpan(document, element, findAttribute(element, terminal))
  return span && document.text.slice(span.valueStart, span.valueEnd)
}

/**
 * Replaces the selected element, or inserts the fragment where the selector will select it.
 * Reading: white space around the fragment is dropped, since every client that sends a file sends its last newline.
 * @param fragment  one element; prefixes it does not declare are those of the place it goes to
 * @see RFC 4825 clause 8.2.3
 */
export function putElement(document: XmlDocument, { steps }: NodeSelector, fragment: string): EditOutcome {
  const found = follow(document, steps)
  if (found.length < steps.length - 1) return noParent(steps, found.length)
  const existing = found[steps.length - 1]
  const parent = existing ? existing.parent : found.at(-1)
  const text = trimXml(fragment)
  const parsed = parseXmlDocument(text, parent && namespacesInScope(parent))
  if (parsed === 'too-complex') return TOO_COMPLEX
  if (typeof parsed === 'string' || parsed.root.start !== 0 || parsed.root.end !== text.length) {
    return { error: 'not-xml-frag', phrase: 'The body is not one well-formed element' }
  }
  const splice = existing
    ? { start: existing.start, end: existing.end, text, at: existing.start }
    : parent && insertion(document, parent, steps, parsed.root, text)
  if (!splice) return CANNOT_INSERT
  const edited = reparse(document, splice)
  if ('error' in edited) return edited
  return selectElement(edited, steps)?.start === splice.at ? { document: edited, created: !existing } : CANNOT_INSERT
}

/**
 * Sets an attribute.
 * @param value  as between the quotation marks of a document: references, if any, are kept as they are written
 * @see RFC 4825 clause 8.2.3
 */
export function putAttribute(document: XmlDocument, selector: NodeSelector, value: string): EditOutcome {
  const { steps, terminal } = selector
  if (terminal?.kind !== 'attribute') throw new RangeError('the selector names no attribute')
  const literal = quote(value)
  if (typeof parseXmlDocument(`<a a=${literal}/>`) === 'string') {
    return { error: 'not-xml-att-value', phrase: 'The body is not an attribute value' }
  }
  const found = follow(document, steps)
  const element = found[steps.length - 1]
  if (!element) return noParent(steps, found.length)
  const span = findSpan(document, element, findAttribute(element, terminal))
  const name = qualify(element, terminal)
  if (!span && name === undefined) {
    return { error: 'cannot-insert', phrase: 'No prefix of the document stands for the namespace of the attribute' }
  }
  const end = span ? span.end : startTagEnd(document, element)
  const edited = reparse(document, {
    start: span ? span.valueStart - 1 : end,
    end,
    text: span ? literal : ` ${name}=${literal}`,
  })
  if ('error' in edited) return edited
  const after = selectElement(edited, steps)
  const same = after && findAttribute(after, terminal)
  return same ? { document: edited, created: !span } : CANNOT_INSERT
}

/**
 * Removes an element or an attribute.
 * @returns undefined when there is nothing to delete
 * @see RFC 4825 clause 8.3
 */
export function deleteNode(document: XmlDocument, { steps, terminal }: NodeSelector): EditOutcome | undefined {
  if (terminal?.kind === 'namespaces') throw new RangeError('namespaces are not deleted by selector')
  const element = selectElement(document, steps)
  if (!element) return undefined
  if (terminal) {
    const span = findSpan(document, element, findAttribute(element, terminal))
    if (!span) return undefined
    const before = document.text.slice(0, span.start).trimEnd().length
    const edited = reparse(document, { start: before, end: span.end, text: '' })
    return 'error' in edited ? edited : { document: edited, created: false }
  }
  if (!element.parent) return { error: 'schema-validation-error', phrase: 'A document has a root element' }
  const edited = reparse(document, { start: element.start, end: element.end, text: '' })
  if ('error' in edited) return edited
  return selectElement(edited, steps)
    ? { error: 'cannot-delete', phrase: 'The selector would then select another element' }
    : { document: edited, created: false }
}

const CANNOT_INSERT: XcapError = {
  error: 'cannot-insert',
  phrase: 'The selector would not select what was put',
}
const TOO_COMPLEX: XcapError = {
  error: 'constraint-failure',
  phrase: 'Too many elements, or too deep within each other',
}

function noParent(steps: readonly Step[], existing: number): XcapError {
  const ancestor = steps.slice(0, existing).map(({ text }) => text)
  return { error: 'no-parent', phrase: 'The parent does not exist', ancestor: ancestor.join('/') }
}

interface Splice {
  readonly start: number
  readonly end: number
  readonly text: string
}

function reparse({ text }: XmlDocument, splice: Splice): XmlDocument | XcapError {
  const edited = parseXmlDocument(text.slice(0, splice.start) + splice.text + text.slice(splice.end))
  if (edited === 'too-complex') return TOO_COMPLEX
  return typeof edited === 'string' ? CANNOT_INSERT : edited
}

/**
 * Where a new element goes: to its position if the last step counts, else behind its last namesake, else behind the
 * last child. `at` is where it will begin; whether the selector selects it there is for the caller to see.
 */
function insertion(
  document: XmlDocument,
  parent: XmlElement,
  steps: readonly Step[],
  fragment: XmlElement,
  text: string,
): (Splice & { at: number }) | undefined {
  const step = steps.at(-1)
  if (!step) return undefined
  const { position } = step
  const named = namedLike(parent.children, step)
  const next = position === 1 ? named[0] : undefined
  if (next) return { start: next.start, end: next.start, text, at: next.start }
  const namesake = parent.children.findLast(({ local, ns }) => local === fragment.local && ns === fragment.ns)
  const previous = (position === undefined ? namesake : named[position - 2]) ?? parent.children.at(-1)
  if (parent.contentEnd < parent.end) {
    const at = previous ? previous.end : parent.contentEnd
    return { start: at, end: at, text, at }
  }
  const start = startTagEnd(document, parent)
  return { start, end: parent.end, text: `>${text}</${parent.name}>`, at: start + 1 }
}

/** Just after the last attribute, or after the name where there is none. */
function startTagEnd(document: XmlDocument, element: XmlElement): number {
  return attributeSpans(document, element).at(-1)?.end ?? element.start + 1 + element.name.length
}

const findSpan = (document: XmlDocument, element: XmlElement, attribute: XmlAttribute | undefined) =>
  attribute && attributeSpans(document, element).find(({ name }) => name === attribute.name)

/** The name of a new attribute, with a prefix that holds at the element: the client's own if it means the same there. */
function qualify(element: XmlElement, { ns, local, prefix }: { ns: string; local: string; prefix: string }) {
  if (ns === '') return local
  if (ns === XML_NAMESPACE) return `xml:${local}`
  const scope = namespacesInScope(element)
  const bound = scope.get(prefix) === ns ? prefix : [...scope].find(([key, name]) => key !== '' && name === ns)?.[0]
  return bound === undefined ? undefined : `${bound}:${local}`
}

const XML_NAMESPACE = 'http://www.w3.org/XML/1998/namespace'

/** An attribute value in quotation marks that do not occur in it. */
function quote(value: string): string {
  if (!value.includes('"')) return `"${value}"`
  return value.includes("'") ? `"${value.replaceAll('"', '&quot;')}"` : `'${value}'`
}

function namespacesElement(document: XmlDocument, element: XmlElement): string {
  const spans = ancestry(element).flatMap((at) =>
    attributeSpans(document, at).filter(({ name }) => name === 'xmlns' || name.startsWith('xmlns:')),
  )
  const declarations = new Map(spans.map(({ name, start, end }) => [name, document.text.slice(start, end)]))
  if (!namespacesInScope(element).has('')) declarations.delete('xmlns')
  return `<${[element.name, ...declarations.values()].join(' ')}/>`
}

const ancestry = (element: XmlElement): XmlElement[] => [...(element.parent ? ancestry(element.parent) : []), element]

/** Not by a pattern anchored at the end: that takes quadratic time on a long run of spaces in the middle. */
function trimXml(text: string): string {
  let start = 0
  let end = text.length
  while (start < end && ' \t\r\n'.includes(text.charAt(start))) start += 1
  while (end > start && ' \t\r\n'.includes(text.charAt(end - 1))) end -= 1
  return text.slice(start, end)
}
