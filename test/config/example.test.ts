import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { describe, test } from 'node:test'
import { parseConfig } from '../../src/config/load.ts'
import { ROLES } from '../../src/config/schema.ts'

const FILE = 'deploy/config.example.yaml'
const text = readFileSync(new URL(`../../${FILE}`, import.meta.url), 'utf8')

describe('the example configuration', () => {
  test('is good and has every role', () => {
    const config = parseConfig(text, FILE)
    assert.ok(ROLES.every((role) => config[role] !== undefined))
  })

  test('is good with its commented parts, too', () => {
    const uncommented = text
      .replaceAll(/^( +)# ( *(?:[a-zA-Z0-9]+:|- name).*)$/gm, '$1$2')
      .replace('adapter: local\n', '\n')
    const config = parseConfig(uncommented, FILE)
    assert.equal(config.bsf?.zn?.nafs[0]?.certificate.san, 'ap')
    assert.equal(config.ap?.zn.adapter, 'http')
  })
})
