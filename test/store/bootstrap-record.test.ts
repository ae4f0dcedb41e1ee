import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { decodeBootstrap, encodeBootstrap } from '../../src/store/bootstrap-record.ts'
import { aBootstrap, shown } from '../contract/samples.ts'

describe('the record of a bootstrap', () => {
  test('comes back as it went', () => {
    assert.deepEqual(shown(decodeBootstrap(encodeBootstrap(aBootstrap(1)))), shown(aBootstrap(1)))
  })

  test('is wiped by reading it, since it holds Ks', () => {
    const plaintext = encodeBootstrap(aBootstrap(1))
    decodeBootstrap(plaintext)
    assert.ok(plaintext.every((octet) => octet === 0))
  })

  test('holds Ks as octets only, never as text', () => {
    const ks = Buffer.from(aBootstrap(1).ks.expose())
    const text = Buffer.from(encodeBootstrap(aBootstrap(1))).toString('latin1')
    assert.ok(text.includes(ks.toString('latin1')))
    for (const form of ['hex', 'base64'] as const) assert.equal(text.includes(ks.toString(form)), false)
    assert.equal(text.includes('secret'), false)
  })

  test('is nothing when cut anywhere', () => {
    const plaintext = encodeBootstrap(aBootstrap(1))
    for (let length = 0; length < plaintext.length; length++) {
      assert.equal(decodeBootstrap(plaintext.slice(0, length)), undefined)
    }
  })
})
