import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { FAULTS } from '../../src/errors.ts'
import { faultTable } from '../../src/observe/fault-texts.ts'
import { numbersPlot, plotFile } from '../bench/proxies/numbers.ts'
import { between, GENERATED } from '../support/readme.ts'

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8')

describe('README', () => {
  for (const { begin, end, content } of GENERATED) {
    test(`holds what the code gives at ${begin}: npm run readme`, () => {
      assert.equal(readme, between(readme, begin, end, content()))
    })
  }

  test('shows the numbers that it tells: npm run readme', () => {
    assert.equal(readFileSync(plotFile, 'utf8'), numbersPlot())
  })

  test('has a row for every fault code', () => {
    for (const code of Object.keys(FAULTS)) assert.ok(faultTable().includes(`\`${code}\``), code)
  })
})
