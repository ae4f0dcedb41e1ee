import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { configSchema } from '../../src/config/schema.ts'
import type { SchemaNode } from '../../src/config/validate.ts'

function* keys(section: SchemaNode, prefix = ''): Generator<[key: string, node: SchemaNode, section: SchemaNode]> {
  for (const [name, node] of Object.entries(section.properties ?? {})) {
    yield [prefix + name, node, section]
    yield* keys(node, `${prefix}${name}.`)
    yield* keys(node.items ?? {}, `${prefix}${name}[].`)
  }
}

describe('every key of the configuration', () => {
  test('is there to be looked at', () => assert.ok([...keys(configSchema)].length > 80))

  for (const [key, node, section] of keys(configSchema)) {
    test(`${key} has a title, a sentence, and a default or a reason to be required`, () => {
      assert.match(node.title ?? '', /^[A-Z]\S*/)
      assert.match(node.description ?? '', /^\S.*[^.]\.$/)
      const isSection = node.type === 'object'
      const isRequired = section.required?.includes(key.split('.').at(-1) ?? '') === true
      const overrides = section.description?.startsWith('Exceptions to ') === true
      assert.ok(node.default !== undefined || isRequired || isSection || overrides)
      assert.ok(node.default === undefined || node.minimum === undefined || Number(node.default) >= node.minimum)
    })
  }

  test('that is a number of time or size says its unit', () => {
    for (const [key, { type, title = '' }] of keys(configSchema)) {
      if (type === 'integer' && /timeout|lifetime|age|size|body/i.test(title)) assert.match(key, /(?:Ms|S|Bytes)$/, key)
    }
  })
})
