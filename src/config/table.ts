import { configSchema } from './schema.ts'
import type { SchemaNode } from './validate.ts'

export const TABLE_BEGIN = '<!-- config:begin -->'
export const TABLE_END = '<!-- config:end -->'

/** The configuration as a Markdown table: key, type, default, what a change of it takes, sentence. */
export function configTable(schema: SchemaNode = configSchema): string {
  const rows = rowsOf(schema, '').map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`)
  return ['| key | type | default | change | meaning |', '|---|---|---|---|---|', ...rows].join('\n')
}

/**
 * The text with a fresh table between its markers.
 * @throws Error when the markers are not there, each once and in order
 */
export function updateReadme(text: string, table = configTable()): string {
  const begin = text.indexOf(TABLE_BEGIN)
  const end = text.indexOf(TABLE_END)
  const once = begin === text.lastIndexOf(TABLE_BEGIN) && end === text.lastIndexOf(TABLE_END)
  if (begin < 0 || end < begin || !once) {
    throw new Error(`the configuration table belongs between one ${TABLE_BEGIN} and one ${TABLE_END}`)
  }
  return `${text.slice(0, begin + TABLE_BEGIN.length)}\n${table}\n${text.slice(end)}`
}

type Row = readonly [key: string, type: string, byDefault: string, change: string, meaning: string]

function rowsOf(section: SchemaNode, prefix: string): Row[] {
  return Object.entries(section.properties ?? {}).flatMap(([name, node]) => {
    const key = prefix + name
    const isRequired = section.required?.includes(name) && node.default === undefined
    const row: Row = [
      `\`${key}\``,
      typeOf(node),
      isRequired ? 'required' : defaultOf(node),
      changeOf(node),
      node.description ?? '',
    ]
    return [row, ...rowsOf(node, `${key}.`), ...rowsOf(node.items ?? {}, `${key}[].`)]
  })
}

function typeOf(node: SchemaNode): string {
  if (node.anyOf) return node.anyOf.map(typeOf).join(' | ')
  if (node.enum) return node.enum.join(' | ')
  if (node.type === 'integer' || node.type === 'number') return `${node.minimum}..${node.maximum}`
  if (node.type === 'array') return node.items?.properties ? 'list of sections' : `list of ${typeOf(node.items ?? {})}`
  if (node.patternProperties) return `map to ${typeOf(Object.values(node.patternProperties)[0] ?? {})}`
  if (node.type === 'object') return 'section'
  return node.type === 'boolean' ? 'true | false' : (node.format ?? 'text')
}

/** A section that is always there changes by its keys alone. */
function changeOf(node: SchemaNode): string {
  return node.properties && node.default !== undefined ? '' : (node.reload ?? '')
}

function defaultOf(node: SchemaNode): string {
  if (node.type === 'object') return node.default === undefined ? 'absent' : ''
  // A key that overrides another has that one for its default.
  if (node.default === undefined) return 'inherited'
  if (node.default === '') return 'none'
  return Array.isArray(node.default) ? `\`[${node.default.join(', ')}]\`` : `\`${String(node.default)}\``
}
