import { Ajv } from 'ajv'
import { vectors } from './vectors.ts'

type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json }

/**
 * Validates against one schema of a published OpenAPI 3.0 file, of which test/vectors holds the names, types and constraints.
 * Every $ref is followed.
 * Stricter than the file in one way: a member that it does not name is a fault, since a misspelt optional one would
 * pass otherwise.
 * @returns what is wrong, nothing when the value is valid
 */
export function openapiSchema(file: string, name: string): (value: unknown) => string[] {
  const ajv = new Ajv({ strict: false, allErrors: true })
  ajv.addFormat('date-time', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/)
  ajv.addFormat('uuid', /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i)
  const check = ajv.compile(resolved({ $ref: `#/components/schemas/${name}` }, file) as object)
  return (value) => {
    check(value)
    return (check.errors ?? []).map(({ instancePath, message, params }) =>
      `${instancePath || '/'} ${message} ${JSON.stringify(params)}`.trim(),
    )
  }
}

/** A schema with the target of each $ref in its place. @param file  the one it stands in */
function resolved(schema: Json, file: string): Json {
  if (isList(schema)) return schema.map((item) => resolved(item, file))
  if (typeof schema !== 'object' || schema === null) return schema
  const { $ref } = schema
  if (typeof $ref === 'string') {
    const [other = '', pointer = ''] = $ref.split('#')
    const target = other === '' ? file : other
    // A file that is not here describes nothing that we send: whoever does send it finds this.
    return FILES.has(target) ? resolved(at(FILES.get(target) ?? null, pointer), target) : { not: {} }
  }
  const members = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, resolved(value, file)]))
  return 'properties' in schema ? { additionalProperties: false, ...members } : members
}

const FILES: ReadonlyMap<string, Json> = new Map(
  Object.entries(vectors<{ files: Record<string, Json> }>('nbsp-gba-schemas.json').files),
)

function at(document: Json, pointer: string): Json {
  return pointer
    .split('/')
    .slice(1)
    .reduce<Json>((value, name) => {
      const next = isList(value) || typeof value !== 'object' ? undefined : value?.[name]
      if (next === undefined) throw new Error(`nothing at ${pointer}`)
      return next
    }, document)
}

const isList = (value: Json): value is readonly Json[] => Array.isArray(value)
