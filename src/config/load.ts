import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { type Document, isMap, isNode, isPair, isSeq, LineCounter, type Node, parseDocument, visit } from 'yaml'
import { ConfigError } from './config-error.ts'
import { crossChecks } from './cross-checks.ts'
import type { Config } from './schema.ts'
import { dotted, type Finding, type KeyPath, validate } from './validate.ts'

export type Environment = Readonly<Record<string, string | undefined>>

/**
 * Environment variables that override a key of the file. Few, and none ends in PORT or HOST: container platforms
 * set such names of their own accord for a service called gba-proxy.
 */
export const ENVIRONMENT: Readonly<Record<string, KeyPath>> = {
  GBA_PROXY_LOG_LEVEL: ['log', 'level'],
  GBA_PROXY_LOG_IDENTITIES: ['log', 'identities'],
  GBA_PROXY_STORE_DIRECTORY: ['store', 'directory'],
}

/** Reads, completes, checks and freezes the configuration. @throws ConfigError */
export async function loadConfig(file: string, env: Environment): Promise<Config> {
  return parseConfig(await readConfig(file), file, env)
}

/** The text of a configuration file. @throws ConfigError */
export async function readConfig(file: string): Promise<string> {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(await readFile(file))
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : 'not UTF-8'
    throw new ConfigError({ file }, `cannot be read (${code})`, { cause })
  }
}

/**
 * @param file what errors call the text; relative file names in it start at its folder
 * @throws ConfigError
 */
export function parseConfig(yamlText: string, file: string, env: Environment = {}): Config {
  const lines = new LineCounter()
  const document = parseDocument(yamlText, { lineCounter: lines, prettyErrors: false, uniqueKeys: true })
  const lineAt = (offset: number | undefined) => (offset === undefined ? undefined : lines.linePos(offset).line)
  const broken = document.errors[0] ?? document.warnings[0]
  if (broken) throw new ConfigError({ file, line: lineAt(broken.pos[0]) }, `not YAML: ${broken.message}`)
  let value: unknown
  try {
    value = document.toJS({ maxAliasCount: 100 })
  } catch (cause) {
    throw new ConfigError({ file, line: lineAt(firstAlias(document)) }, 'not YAML: an alias without its anchor', {
      cause,
    })
  }
  return configOf(value, file, env, (path) => lineAt(offsetOf(document.contents, path)))
}

/**
 * The same from a plain value, for those who make a configuration rather than read one.
 * @throws ConfigError
 */
export function configOf(
  value: unknown,
  file: string,
  env: Environment = {},
  lineOf: (path: KeyPath) => number | undefined = () => undefined,
): Config {
  const { merged, overridden } = override(value ?? {}, env)
  const config = validate(merged, dirname(resolve(file)))
  const finding = first(Array.isArray(config) ? config : crossChecks(config), lineOf)
  if (finding) {
    const key = dotted(finding.path)
    const variable = overridden.get(key)
    const place = variable ? { file: `environment variable ${variable}` } : { file, line: lineOf(finding.path) }
    throw new ConfigError({ ...place, key: key === '' ? undefined : key }, finding.detail)
  }
  return freeze(config as Config)
}

/** The one that comes first in the file. */
function first(findings: readonly Finding[], lineOf: (path: KeyPath) => number | undefined): Finding | undefined {
  return findings.toSorted((a, b) => (lineOf(a.path) ?? 0) - (lineOf(b.path) ?? 0))[0]
}

/** @returns a copy in which the variables have spoken, and which key was set by which */
function override(value: unknown, env: Environment): { merged: unknown; overridden: Map<string, string> } {
  const merged = structuredClone(value)
  const overridden = new Map<string, string>()
  for (const [variable, [section, key]] of Object.entries(ENVIRONMENT)) {
    const text = env[variable]
    if (text === undefined || !isRecord(merged)) continue
    merged[String(section)] ??= {}
    const inside = merged[String(section)]
    if (!isRecord(inside)) continue
    inside[String(key)] = text
    overridden.set(`${section}.${key}`, variable)
  }
  return { merged, overridden }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Where the key is written; for a key that is missing, where its section begins. */
function offsetOf(root: Node | null, path: KeyPath): number | undefined {
  let node: unknown = root
  let offset: number | undefined = root?.range?.[0]
  for (const step of path) {
    if (isMap(node)) {
      const pair = node.items.find((item) => isPair(item) && String(item.key) === step)
      if (!pair) break
      if (isNode(pair.key)) offset = pair.key.range?.[0] ?? offset
      node = pair.value
    } else if (isSeq(node) && typeof step === 'number') {
      node = node.items[step]
      if (isNode(node)) offset = node.range?.[0] ?? offset
    } else break
  }
  return offset
}

/** The first alias that stands for nothing. */
function firstAlias(document: Document): number | undefined {
  let offset: number | undefined
  visit(document, {
    Alias: (_, alias) => {
      if (alias.resolve(document)) return undefined
      offset = alias.range?.[0]
      return visit.BREAK
    },
  })
  return offset
}

function freeze<Value>(value: Value): Value {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const child of Object.values(value)) freeze(child)
  }
  return value
}
