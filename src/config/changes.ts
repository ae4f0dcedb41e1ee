import { isDeepStrictEqual } from 'node:util'
import { type Config, configSchema } from './schema.ts'
import { dotted, type KeyPath, type SchemaNode } from './validate.ts'

/** One key that two configurations have different. */
export interface ConfigChange {
  /** Dotted path as the new configuration has it: `ap.routes[0].gsids`. Never a value: that may be a secret. */
  readonly key: string
  /** What the change takes: nothing more than a reload, or a new start. */
  readonly takes: 'live' | 'restart'
}

/** The keys by which two configurations differ, in the order of the schema; a list that grew or shrank is one key. */
export function changesBetween(before: Config, after: Config): ConfigChange[] {
  const changes = differences(configSchema, before, after, [])
  if (!opensPsk(before) && opensPsk(after)) {
    return changes.map((change) =>
      /^ap\.routes(?:$|.*\.doors$)/.test(change.key) ? { ...change, takes: 'restart' } : change,
    )
  }
  return changes
}

export const keysOf = (changes: readonly ConfigChange[]): string[] => changes.map(({ key }) => key)

/** Those of the changes that no reload brings about. */
export const needingRestart = (changes: readonly ConfigChange[]): ConfigChange[] =>
  changes.filter(({ takes }) => takes === 'restart')

/** The configuration is good, and yet a running process cannot go over to it; nothing of it is in use. */
export class RestartNeeded extends Error {
  /** That need a new start. */
  readonly keys: readonly string[]

  constructor(changes: readonly ConfigChange[]) {
    const keys = keysOf(needingRestart(changes))
    super(`a restart is needed for ${keys.join(', ')}`)
    this.name = 'RestartNeeded'
    this.keys = keys
  }
}

/** Connections are looked at for shared keys from the start, or not at all. */
const opensPsk = ({ ap }: Config): boolean => ap?.routes.some(({ doors }) => doors.includes('psk')) ?? false

function differences(node: SchemaNode, before: unknown, after: unknown, path: KeyPath): ConfigChange[] {
  if (isDeepStrictEqual(before, after)) return []
  if (node.properties && isRecord(before) && isRecord(after)) {
    return Object.entries(node.properties).flatMap(([name, child]) =>
      differences(child, before[name], after[name], [...path, name]),
    )
  }
  const { items } = node
  if (items?.properties && Array.isArray(before) && Array.isArray(after) && before.length === after.length) {
    return after.flatMap((item: unknown, i) => differences(items, before[i], item, [...path, i]))
  }
  return [{ key: dotted(path), takes: node.reload ?? 'restart' }]
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
