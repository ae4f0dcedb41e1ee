import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ConfigError } from '../../src/config/config-error.ts'
import { parseConfig } from '../../src/config/load.ts'

const AP = `ap:
  tls: { certificateFile: ap.pem, keyFile: ap.key }
  nafs: [{ fqdn: xcap.example.org }]
  zn: { adapter: http, url: https://bsf:8444/, caFile: ca.pem, certificateFile: zn.pem, keyFile: zn.key }
  appServers: [{ name: xdms, url: 'http://127.0.0.1:8085/' }]
  routes: [{ appServer: xdms }]
`

function refusalOf(text: string): string {
  try {
    parseConfig(text, 'gba.yaml')
  } catch (error) {
    assert.ok(error instanceof ConfigError)
    return error.message
  }
  assert.fail('the configuration was accepted')
}

describe('workers in a configuration', () => {
  test('are one, a number of them, or as many as there are cores', () => {
    assert.equal(parseConfig(AP, 'gba.yaml').workers, 1)
    assert.equal(parseConfig(`workers: 4\n${AP}`, 'gba.yaml').workers, 4)
    assert.equal(parseConfig(`workers: auto\n${AP}`, 'gba.yaml').workers, 'auto')
  })

  for (const wrong of ['0', '65', '1.5', 'many', 'true', '[2]']) {
    test(`are not ${wrong}, which is said in one sentence`, () => {
      assert.match(refusalOf(`workers: ${wrong}\n${AP}`), /^gba\.yaml:1: workers: must be auto or 1 to 64, not /)
    })
  }

  for (const count of ['auto', '2']) {
    test(`need a store that they share: ${count}`, () => {
      assert.match(refusalOf(`workers: ${count}\nstore: { kind: memory }\n${AP}`), /^gba\.yaml:1: workers: .*memory/)
      assert.equal(parseConfig(`workers: 1\nstore: { kind: memory }\n${AP}`, 'gba.yaml').store.kind, 'memory')
    })

    test(`cannot be asked to judge how a UE counts: ${count}`, () => {
      const strict = `${AP}  tolerance: { profile: strict }\n`
      assert.match(refusalOf(`workers: ${count}\n${strict}`), /^gba\.yaml:1: workers: .*nc-gap/)
      assert.match(refusalOf(`workers: ${count}\n${AP}  tolerance: { refuse: [nc-gap] }\n`), /nc-gap/)
      const lenient = `${AP}  tolerance: { profile: strict, allow: [nc-decimal, nc-gap, nc-not-reset, nc-out-of-order] }\n`
      assert.equal(parseConfig(`workers: ${count}\n${lenient}`, 'gba.yaml').ap?.tolerance.profile, 'strict')
    })
  }
})
