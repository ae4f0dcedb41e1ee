import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { CIPHER_SUITES } from '../../src/core/naf-id.ts'
import { ianaSuite, opensslSuite } from '../../src/core/openssl-suites.ts'

describe('ianaSuite', () => {
  for (const [name, iana] of [
    ['TLS_AES_128_GCM_SHA256', 'TLS_AES_128_GCM_SHA256'],
    ['ECDHE-RSA-AES128-GCM-SHA256', 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256'],
    ['ECDHE-ECDSA-CHACHA20-POLY1305', 'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256'],
    ['ECDHE-ECDSA-AES128-CCM8', 'TLS_ECDHE_ECDSA_WITH_AES_128_CCM_8'],
    ['ECDHE-RSA-AES128-SHA256', 'TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256'],
    ['DHE-RSA-AES256-SHA', 'TLS_DHE_RSA_WITH_AES_256_CBC_SHA'],
    ['AES128-SHA', 'TLS_RSA_WITH_AES_128_CBC_SHA'],
    ['DES-CBC3-SHA', 'TLS_RSA_WITH_3DES_EDE_CBC_SHA'],
    ['PSK-3DES-EDE-CBC-SHA', 'TLS_PSK_WITH_3DES_EDE_CBC_SHA'],
    ['DHE-PSK-AES128-CBC-SHA256', 'TLS_DHE_PSK_WITH_AES_128_CBC_SHA256'],
    ['0xC02F', 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256'],
    ['0x1301', 'TLS_AES_128_GCM_SHA256'],
  ] as const) {
    test(`reads ${name}`, () => assert.equal(ianaSuite(name), iana))
  }

  for (const name of ['', 'ecdhe-rsa-aes128-gcm-sha256', '0xC02F ', '0xc02', '0xffff', 'NULL-SHA', '__proto__']) {
    test(`does not know ${name || 'an empty name'}`, () => assert.equal(ianaSuite(name), undefined))
  }

  test('reads every suite by each of its three names', () => {
    for (const [iana, code] of CIPHER_SUITES) {
      const names = [iana, opensslSuite(iana), `0x${code.toString(16).padStart(4, '0').toUpperCase()}`]
      assert.deepEqual(names.map(ianaSuite), [iana, iana, iana])
    }
  })

  test('no two suites share a name', () => {
    const names = [...CIPHER_SUITES.keys()].map(opensslSuite)
    assert.equal(new Set(names).size, CIPHER_SUITES.size)
  })
})
