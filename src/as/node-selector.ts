import type { XmlAttribute, XmlDocument, XmlElement } from './xml-document.ts'

/** A name with its namespace resolved. */
interface Name {
  readonly ns: string
  readonly local: string
}

export interface Step {
  /** The step as the client wrote it, percent-decoded. */
  readonly text: string
  readonly name: Name | '*'
  /** Counted from 1 among the children that bear the name. */
  readonly position?: number
  readonly test?: Name & { readonly value: string }
}

export type Terminal =
  | ({ readonly kind: 'attribute'; readonly prefix: string } & Name)
  | { readonly kind: 'namespaces' }

/** Which node of a document is meant. At least one step. */
export interface NodeSelector {
  readonly steps: readonly [Step, ...Step[]]
  readonly terminal?: Terminal
}

/** Octets of the percent-encoded selector; its query has the same bound. */
export const MAX_SELECTOR = 4096

/**
 * Reads a node selector: what follows `/~~/`, and the namespace bindings of the query.
 * Reading: a prefix that the query does not bind makes the URI malformed, since no document could ever match it.
 * @param raw    percent-encoded, as received; decoded here, once
 * @param query  what follows `?`, percent-encoded: `xmlns(prefix=namespace)` parts
 * @param defaultNamespace  of the application usage; holds for elements without prefix, never for attributes
 * @returns undefined when malformed
 * @see RFC 4825 clauses 6.3 and 6.4
 */
export function parseNodeSelector(
  raw: string,
  query: string | undefined,
  defaultNamespace: string,
): NodeSelector | undefined {
  const text = decode(raw)
  const bindings = parseBindings(query)
  if (text === undefined || !bindings) return undefined
  const steps: Step[] = []
  let at = 0
  while (true) {
    const terminal = parseTerminal(text.slice(at), bindings)
    const [first, ...more] = steps
    if (terminal && first) return { steps: [first, ...more], terminal }
    const step = parseStep(text, at, bindings, defaultNamespace)
    if (!step) return undefined
    steps.push(step)
    at += step.text.length
    const [root, ...below] = steps
    if (at === text.length) return root && { steps: [root, ...below] }
    if (text[at] !== '/') return undefined
    at += 1
  }
}

/**
 * The one element that the steps lead to. A step that matches several children, or none, leads nowhere.
 * @see RFC 4825 clause 6.3
 */
export function selectElement(document: XmlDocument, steps: readonly Step[]): XmlElement | undefined {
  const found = follow(document, steps)
  return found.length === steps.length ? found.at(-1) : undefined
}

/** The elements on the way, as far as the steps lead: shorter than `steps` when they lead nowhere. */
export function follow(document: XmlDocument, steps: readonly Step[]): XmlElement[] {
  const found: XmlElement[] = []
  let among: readonly XmlElement[] = [document.root]
  for (const step of steps) {
    const [element, another] = candidates(among, step).filter((child) => passes(child, step))
    if (!element || another) break
    found.push(element)
    among = element.children
  }
  return found
}

/** The children that bear the name of a step, in document order. */
export function namedLike(children: readonly XmlElement[], { name }: Step): readonly XmlElement[] {
  return name === '*' ? children : children.filter((child) => child.local === name.local && child.ns === name.ns)
}

export function findAttribute(element: XmlElement, { ns, local }: Name): XmlAttribute | undefined {
  return element.attributes.find((attribute) => attribute.local === local && attribute.ns === ns)
}

function candidates(children: readonly XmlElement[], step: Step): readonly XmlElement[] {
  const named = namedLike(children, step)
  return step.position === undefined ? named : named.slice(step.position - 1, step.position)
}

function passes(element: XmlElement, { test }: Step): boolean {
  return test === undefined || findAttribute(element, test)?.value === test.value
}

const NC_NAME =
  '[A-Z_a-z\\xC0-\\xD6\\xD8-\\xF6\\xF8-\\u02FF\\u0370-\\u037D\\u037F-\\u1FFF\\u200C\\u200D\\u2070-\\u218F\\u2C00-\\u2FEF\\u3001-\\uD7FF\\uF900-\\uFDCF\\uFDF0-\\uFFFD\\u{10000}-\\u{EFFFF}]' +
  '[A-Z_a-z\\xC0-\\xD6\\xD8-\\xF6\\xF8-\\u02FF\\u0370-\\u037D\\u037F-\\u1FFF\\u200C\\u200D\\u2070-\\u218F\\u2C00-\\u2FEF\\u3001-\\uD7FF\\uF900-\\uFDCF\\uFDF0-\\uFFFD\\u{10000}-\\u{EFFFF}.0-9\\xB7\\u0300-\\u036F\\u203F\\u2040-]*'
const Q_NAME = `(?:(${NC_NAME}):)?(${NC_NAME})`
const STEP = new RegExp(
  `(?:\\*|${Q_NAME})(?:\\[([0-9]{1,9})\\])?(?:\\[@${Q_NAME}=("[^"<]*"|'[^'<]*')\\])?(?=/|$)`,
  'uy',
)
const TERMINAL_ATTRIBUTE = new RegExp(`^@${Q_NAME}$`, 'u')
const BINDING = new RegExp(
  `xmlns\\((${NC_NAME})[ \\t\\r\\n]*=[ \\t\\r\\n]*((?:[^()^]|\\^[()^])*)\\)[ \\t\\r\\n]*`,
  'uy',
)

function parseStep(
  text: string,
  at: number,
  bindings: ReadonlyMap<string, string>,
  defaultNamespace: string,
): Step | undefined {
  STEP.lastIndex = at
  const match = STEP.exec(text)
  if (!match) return undefined
  const [whole, prefix, local, position, testPrefix, testLocal, quoted] = match
  const ns = prefix === undefined ? defaultNamespace : bindings.get(prefix)
  if (ns === undefined) return undefined
  const step: Step = {
    text: whole,
    name: local === undefined ? '*' : { ns, local },
    ...(position !== undefined && { position: Number(position) }),
  }
  if (testLocal === undefined || quoted === undefined) return step
  const testNs = testPrefix === undefined ? '' : bindings.get(testPrefix)
  const value = resolveReferences(quoted.slice(1, -1))
  if (testNs === undefined || value === undefined) return undefined
  return { ...step, test: { ns: testNs, local: testLocal, value } }
}

function parseTerminal(text: string, bindings: ReadonlyMap<string, string>): Terminal | undefined {
  if (text === 'namespace::*') return { kind: 'namespaces' }
  const [, prefix, local] = TERMINAL_ATTRIBUTE.exec(text) ?? []
  if (local === undefined) return undefined
  const ns = prefix === undefined ? '' : bindings.get(prefix)
  return ns === undefined ? undefined : { kind: 'attribute', prefix: prefix ?? '', ns, local }
}

/** @see XPointer xmlns() scheme, W3C 2003 */
function parseBindings(query: string | undefined): Map<string, string> | undefined {
  const bindings = new Map([['xml', XML_NAMESPACE]])
  const text = decode(query ?? '')
  if (text === undefined) return undefined
  let at = 0
  while (at < text.length) {
    BINDING.lastIndex = at
    const [whole, prefix, ns] = BINDING.exec(text) ?? []
    if (whole === undefined || prefix === undefined || ns === undefined) return undefined
    if (prefix !== 'xml' && prefix !== 'xmlns') bindings.set(prefix, ns.replace(/\^([()^])/g, '$1'))
    at += whole.length
  }
  return bindings
}

const XML_NAMESPACE = 'http://www.w3.org/XML/1998/namespace'

function decode(raw: string): string | undefined {
  if (raw.length > MAX_SELECTOR) return undefined
  try {
    return decodeURIComponent(raw)
  } catch {
    return undefined
  }
}

const PREDEFINED: ReadonlyMap<string, string> = new Map(
  Object.entries({ lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" }),
)

/** The value behind an attribute literal; undefined when a `&` begins no reference. */
function resolveReferences(literal: string): string | undefined {
  let ok = true
  const value = literal.replace(
    /&(?:#x([0-9a-fA-F]{1,6});|#([0-9]{1,7});|([a-z]{2,4});)?/g,
    (_, hex, decimal, name) => {
      const code = hex ? Number.parseInt(hex, 16) : decimal ? Number(decimal) : undefined
      const character =
        code === undefined ? PREDEFINED.get(name) : code <= 0x10ffff ? String.fromCodePoint(code) : undefined
      ok &&= character !== undefined
      return character ?? ''
    },
  )
  return ok ? value : undefined
}
