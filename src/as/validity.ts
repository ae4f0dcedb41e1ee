import type { ApplicationUsage, UniqueRule } from './auids.ts'
import type { XcapError } from './xcap-error.ts'
import type { XmlDocument, XmlElement } from './xml-document.ts'

/**
 * What the application usage has against a document, or undefined. No schema is read: the root element stands for it.
 * @see RFC 4825 clause 8.2.5
 */
export function objection({ root }: XmlDocument, usage: ApplicationUsage): XcapError | undefined {
  if (root.local !== usage.root.local || root.ns !== usage.root.ns) {
    return {
      error: 'schema-validation-error',
      phrase: `The root element is not ${usage.root.local} in ${usage.root.ns}`,
    }
  }
  const fields = usage.unique.length === 0 ? [] : duplicates(root, usage.unique)
  return fields.length === 0
    ? undefined
    : { error: 'uniqueness-failure', phrase: 'Values that may stand only once stand twice', fields }
}

/** Enough of them to be of use, and no more: the answer stays small. */
const MAX_FIELDS = 16

function duplicates(root: XmlElement, rules: readonly UniqueRule[]): string[] {
  const fields: string[] = []
  const open = [root]
  for (let parent = open.pop(); parent && fields.length < MAX_FIELDS; parent = open.pop()) {
    const seen = new Set<string>()
    for (const child of parent.children) {
      open.push(child)
      const rule = rules.find(({ ns, local }) => child.local === local && child.ns === ns)
      const value = rule && child.attributes.find(({ ns, local }) => ns === '' && local === rule.attribute)?.value
      if (rule === undefined || value === undefined) continue
      const key = `${rule.local} ${value}`
      if (seen.has(key) && fields.length < MAX_FIELDS) fields.push(`${positionOf(child)}/@${rule.attribute}`)
      seen.add(key)
    }
  }
  return fields
}

/** The element as a path that names and counts every step, so that it says which of the twins is meant. */
function positionOf(element: XmlElement): string {
  if (!element.parent) return element.name
  const twins = element.parent.children.filter(({ local, ns }) => local === element.local && ns === element.ns)
  return `${positionOf(element.parent)}/${element.name}[${twins.indexOf(element) + 1}]`
}
