import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'

const ROOT = join(import.meta.dirname, '../..')
const text = readFileSync(join(import.meta.dirname, 'README.md'), 'utf8')
const named = [...text.matchAll(/`(test\/[^`]+\.ts)`/g)].map(([, path = '']) => path)

test('the table of faults names files that there are', () => {
  assert.deepEqual(
    named.filter((path) => !existsSync(join(ROOT, path))),
    [],
  )
})

test('the table of faults names every test of this folder, but for those of its tools', () => {
  const tools = ['fault-proxy.test.ts', 'secret-search.test.ts', 'readme.test.ts']
  const tests = readdirSync(import.meta.dirname).filter((file) => file.endsWith('.test.ts') && !tools.includes(file))
  assert.deepEqual(
    tests.filter((file) => !named.includes(`test/fault/${file}`)),
    [],
  )
})
