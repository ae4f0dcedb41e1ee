import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { FAULTS } from '../../src/errors.ts'
import { FAULT_TABLE_BEGIN, FAULT_TABLE_END, faultTable } from '../../src/observe/fault-texts.ts'
import { between } from '../support/readme.ts'

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')

test('the table of fault codes in README is the one that the code gives: npm run readme', () => {
  assert.equal(readme, between(readme, FAULT_TABLE_BEGIN, FAULT_TABLE_END, faultTable()))
})

test('the table has a row for every fault code', () => {
  for (const code of Object.keys(FAULTS)) assert.ok(faultTable().includes(`\`${code}\``), code)
})
