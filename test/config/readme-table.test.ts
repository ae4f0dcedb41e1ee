import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { updateReadme } from '../../src/config/table.ts'

test('the configuration table in README is the one that the schema gives', () => {
  const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')
  assert.equal(readme, updateReadme(readme), 'README.md is stale: put updateReadme(text) of src/config/table.ts there')
})
