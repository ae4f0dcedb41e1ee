import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import { FORMATS, type FormatName } from './formats.ts'
import { nearest, suggestion } from './nearest.ts'
import { type Config, configSchema } from './schema.ts'

/** Keys and list positions from the root of the configuration. */
export type KeyPath = readonly (string | number)[]

/** One thing that is wrong with a configuration. */
export interface Finding {
  readonly path: KeyPath
  readonly detail: string
}

/** What validation needs to see of a JSON Schema. */
export interface SchemaNode {
  readonly type?: string
  readonly format?: string
  readonly title?: string
  readonly description?: string
  readonly default?: unknown
  readonly enum?: readonly string[]
  readonly anyOf?: readonly SchemaNode[]
  readonly minimum?: number
  readonly maximum?: number
  readonly required?: readonly string[] | undefined
  readonly properties?: Readonly<Record<string, SchemaNode>>
  readonly patternProperties?: Readonly<Record<string, SchemaNode>>
  readonly items?: SchemaNode
  /** What a change of it takes. */
  readonly reload?: 'live' | 'restart'
}

/**
 * Completes a plain value by the defaults, checks it against the schema and makes texts canonical.
 * @param base absolute folder that relative file names start from
 * @returns the configuration, not yet frozen, or what is wrong: only the unknown keys where there are any, since a
 *          misspelt key explains the missing one
 */
export function validate(value: unknown, base: string): Config | Finding[] {
  const draft = structuredClone(value)
  const check = compiled()
  if (!check(draft)) {
    const errors = withoutBranches(check.errors ?? [])
    const unknown = errors.filter(({ keyword }) => keyword === 'additionalProperties')
    return (unknown.length > 0 ? unknown : errors).map((error) => findingOf(error, draft))
  }
  return canonical(configSchema, draft, base) as Config
}

/** Where a value fits none of several schemas, that is the error, and not what each of them says. */
function withoutBranches(errors: readonly ErrorObject[]): ErrorObject[] {
  const none = errors.filter(({ keyword }) => keyword === 'anyOf').map(({ instancePath }) => instancePath)
  return errors.filter(({ keyword, instancePath }) => keyword === 'anyOf' || !none.includes(instancePath))
}

/** `ap.routes[0].appServer` */
export function dotted(path: KeyPath): string {
  return path.map((step, i) => (typeof step === 'number' ? `[${step}]` : i === 0 ? step : `.${step}`)).join('')
}

let compiledOnce: ValidateFunction | undefined

function compiled(): ValidateFunction {
  if (compiledOnce) return compiledOnce
  const ajv = new Ajv({ strict: true, useDefaults: true, allErrors: true, verbose: true, keywords: ['reload'] })
  for (const [name, format] of Object.entries(FORMATS)) {
    ajv.addFormat(name, (text: string) => text === '' || format.read(text, '/') !== undefined)
  }
  compiledOnce = ajv.compile(configSchema)
  return compiledOnce
}

function findingOf(error: ErrorObject, root: unknown): Finding {
  const parent = keyPath(error.instancePath, root)
  switch (error.keyword) {
    case 'additionalProperties': {
      const key = String(error.params.additionalProperty)
      return { path: [...parent, key], detail: `unknown key${suggestion(nearestKey(parent, key, error.parentSchema))}` }
    }
    case 'required': {
      const key = String(error.params.missingProperty)
      const node: SchemaNode | undefined = (error.parentSchema as SchemaNode | undefined)?.properties?.[key]
      return { path: [...parent, key], detail: `missing; ${node?.description ?? 'it has to be given'}` }
    }
    case 'minLength':
      return { path: parent, detail: 'must not be empty' }
    default:
      return { path: parent, detail: `must be ${expectation(error)}, not ${shown(error.data)}` }
  }
}

/** Completes "must be …". */
function expectation(error: ErrorObject): string {
  const { keyword, params } = error
  const node = (error.parentSchema ?? {}) as SchemaNode
  switch (keyword) {
    case 'type':
      return typeName(node, error.data)
    case 'enum': {
      const near = typeof error.data === 'string' ? nearest(error.data, node.enum ?? []) : undefined
      return `one of ${node.enum?.join(', ')}${near === undefined ? '' : ` (${near}?)`}`
    }
    case 'format':
      return FORMATS[params.format as FormatName].expects
    case 'anyOf':
      return (node.anyOf ?? [])
        .map(({ enum: words, minimum, maximum }) => words?.join() ?? `${minimum} to ${maximum}`)
        .join(' or ')
    case 'minimum':
    case 'maximum':
      return `from ${node.minimum} to ${node.maximum}`
    case 'minItems':
      return `a list of at least ${params.limit}`
    case 'uniqueItems':
      return 'a list in which nothing comes twice'
    default:
      return error.message ?? keyword
  }
}

function typeName(node: SchemaNode, data: unknown): string {
  switch (node.type) {
    case 'string':
      return typeof data === 'number' || typeof data === 'boolean' ? 'text (write it in quotes)' : 'text'
    case 'integer':
      return 'a whole number'
    case 'number':
      return 'a number'
    case 'boolean':
      return 'true or false'
    case 'array':
      return 'a list'
    default:
      return 'a section of keys'
  }
}

/** The same section's nearest key, or else the place where a key of this very name exists. */
function nearestKey(parent: KeyPath, key: string, schema: ErrorObject['parentSchema']): string | undefined {
  const near = nearest(key, Object.keys((schema as SchemaNode | undefined)?.properties ?? {}))
  if (near !== undefined) return dotted([...parent, near])
  return everyKey(configSchema, '').find((known) => known.split('.').at(-1) === key)
}

function everyKey(node: SchemaNode, prefix: string): string[] {
  return Object.entries(node.properties ?? {}).flatMap(([name, child]) => [
    prefix + name,
    ...everyKey(child, `${prefix}${name}.`),
    ...everyKey(child.items ?? {}, `${prefix}${name}[].`),
  ])
}

/** A JSON pointer of Ajv as a path: numbers where the value is a list. */
function keyPath(pointer: string, root: unknown): (string | number)[] {
  let value = root
  return pointer
    .split('/')
    .slice(1)
    .map((escaped) => {
      const name = escaped.replaceAll('~1', '/').replaceAll('~0', '~')
      const step = Array.isArray(value) ? Number(name) : name
      value = (value as Record<string | number, unknown> | undefined)?.[step]
      return step
    })
}

function shown(value: unknown): string {
  if (value === null || value === undefined) return 'empty'
  const json = JSON.stringify(value)
  return json.length > 60 ? `${json.slice(0, 57)}...` : json
}

/** The value with every text in the canonical form of its format. */
function canonical(node: SchemaNode, value: unknown, base: string): unknown {
  if (typeof value === 'string') {
    const format = FORMATS[node.format as FormatName]
    return value === '' || format === undefined ? value : format.read(value, base)
  }
  if (Array.isArray(value)) return value.map((item) => canonical(node.items ?? {}, item, base))
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value).map(([name, child]) => [
    name,
    canonical(node.properties?.[name] ?? {}, child, base),
  ])
  // a map is looked up by words from outside: `constructor` must not find anything in it
  return node.patternProperties
    ? Object.assign(Object.create(null), Object.fromEntries(entries))
    : Object.fromEntries(entries)
}
