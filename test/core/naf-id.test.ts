import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { getCiphers } from 'node:tls'
import { toHex, utf8 } from '../../src/core/bytes.ts'
import { type Fqdn, parseFqdn } from '../../src/core/identity.ts'
import {
  CIPHER_SUITES,
  nafIdOf,
  parseUaProtocolId,
  UA_HTTP_DIGEST,
  UA_PSK_TLS13,
  UA_TMPI,
  uaProtocolIdOfSuite,
} from '../../src/core/naf-id.ts'
import { vectors } from '../support/vectors.ts'

interface NafKey {
  readonly case: string
  readonly nafFqdn: string
  readonly uaProtocolId: string
  readonly NAF_Id: string
}

describe('nafIdOf', () => {
  for (const { case: name, nafFqdn, uaProtocolId, NAF_Id } of vectors<{ ksNaf: NafKey[] }>('ks-naf.json').ksNaf) {
    test(`is FQDN and identifier: ${name} at ${nafFqdn}`, () => {
      const fqdn = parseFqdn(nafFqdn)
      const id = parseUaProtocolId(uaProtocolId)
      assert.ok(fqdn && id)
      assert.equal(toHex(nafIdOf(fqdn, id)), NAF_Id)
    })
  }

  test('puts the five octets behind the name, with nothing between', () => {
    assert.deepEqual(nafIdOf('a.b' as Fqdn, UA_TMPI), Uint8Array.of(...utf8('a.b'), 1, 0, 0, 1, 0))
  })
})

describe('parseUaProtocolId', () => {
  test('takes ten hex digits and keeps them in lower case', () => {
    assert.equal(parseUaProtocolId('010001C02F'), '010001c02f')
  })
  for (const text of [
    '',
    '0100000',
    '010001c02',
    '010001c02f0',
    '010001c02g',
    '0x0001c02f',
    ' 010001c02f',
    '010001c02f\n',
  ]) {
    test(`refuses ${JSON.stringify(text)}`, () => assert.equal(parseUaProtocolId(text), undefined))
  }
  test('knows its own constants', () => {
    for (const id of [UA_HTTP_DIGEST, UA_PSK_TLS13, UA_TMPI]) assert.equal(parseUaProtocolId(id), id)
  })
})

describe('uaProtocolIdOfSuite', () => {
  const printed: Record<string, string> = {
    TLS_RSA_WITH_AES_128_CBC_SHA: '010001002f',
    TLS_RSA_WITH_3DES_EDE_CBC_SHA: '010001000a',
    TLS_PSK_WITH_AES_128_CBC_SHA: '010001008c',
    TLS_DHE_PSK_WITH_AES_128_CBC_SHA: '0100010090',
    TLS_PSK_WITH_AES_128_GCM_SHA256: '01000100a8',
    TLS_DHE_PSK_WITH_AES_256_GCM_SHA384: '01000100ab',
    TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: '010001c02b',
    TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256: '010001c02f',
    TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256: '010001cca8',
    TLS_ECDHE_PSK_WITH_AES_128_GCM_SHA256: '010001d001',
    TLS_AES_128_GCM_SHA256: '0100011301',
  }
  for (const [name, id] of Object.entries(printed)) {
    test(`${name} gives ${id}`, () => assert.equal(uaProtocolIdOfSuite(name), id))
  }

  for (const name of ['', 'TLS_NULL_WITH_NULL_NULL', 'ECDHE-RSA-AES128-GCM-SHA256', 'constructor', '__proto__']) {
    test(`knows no suite named ${JSON.stringify(name)}`, () => assert.equal(uaProtocolIdOfSuite(name), undefined))
  }

  test('gives every suite an identifier of its own', () => {
    const ids = new Set([...CIPHER_SUITES.keys()].map(uaProtocolIdOfSuite))
    assert.equal(ids.size, CIPHER_SUITES.size)
    assert.ok([...ids].every((id) => id?.startsWith('010001') && parseUaProtocolId(id) === id))
  })

  test('the table covers every AEAD suite that this Node can negotiate with ECDHE or TLS 1.3', () => {
    const aead = getCiphers().filter((name) => /^(?:tls_|ecdhe-(?:rsa|ecdsa)-(?:aes\d+-gcm|chacha20))/.test(name))
    assert.ok(aead.length >= 9, `only ${aead.join()}`)
    for (const name of aead) {
      // OpenSSL's ECDHE-RSA-AES128-GCM-SHA256 is IANA's TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
      const iana = name.startsWith('tls_')
        ? name.toUpperCase()
        : `TLS_${name.toUpperCase()}`
            .replace(/-(?=AES|CHACHA)/, '_WITH_')
            .replace(/AES(\d+)/, 'AES_$1')
            .replace(/POLY1305$/, 'POLY1305_SHA256')
            .replaceAll('-', '_')
      assert.ok(CIPHER_SUITES.has(iana), iana)
    }
  })
})
