import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { ConfigError } from '../../src/config/config-error.ts'
import { parseConfig } from '../../src/config/load.ts'

const config = (admin: string) => parseConfig(`as: { port: 8085 }\nadmin: ${admin}\n`, 'test.yaml')
const tls = 'tls: { certificateFile: a.pem, keyFile: a.key, clientCaFile: ca.pem }'

describe('the section admin', () => {
  test('is absent where the file does not name it', () => {
    assert.equal(parseConfig('as: { port: 8085 }\n', 'test.yaml').admin, undefined)
  })

  for (const host of ['127.0.0.1', '127.9.9.9', "'::1'", 'localhost']) {
    test(`may be at ${host} without TLS`, () => assert.equal(config(`{ host: ${host} }`).admin?.enabled, true))
  }

  for (const host of ['0.0.0.0', "'::'", '192.0.2.1', 'ops.example.org', '128.0.0.1']) {
    test(`may be at ${host} with TLS, or on the operator's word, and not else`, () => {
      assert.throws(() => config(`{ host: ${host} }`), ConfigError)
      assert.ok(config(`{ host: ${host}, ${tls} }`).admin?.tls)
      assert.equal(config(`{ host: ${host}, insecurePlain: true }`).admin?.insecurePlain, true)
      assert.equal(config(`{ host: ${host}, enabled: false }`).admin?.enabled, false)
    })
  }

  test('asks for the certificates of clients with every TLS', () => {
    assert.throws(() => config('{ tls: { certificateFile: a.pem, keyFile: a.key } }'), ConfigError)
  })

  test('has no port that another listener has', () => {
    assert.throws(() => config('{ port: 8085 }'), ConfigError)
    assert.equal(config('{ port: 8085, enabled: false }').admin?.port, 8085)
  })
})
