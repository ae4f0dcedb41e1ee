import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { fromUtf8, toHex, utf8 } from '../../src/core/bytes.ts'
import { Secret } from '../../src/core/secret.ts'
import { RUN_SEAL_OVERHEAD, RunSeal } from '../../src/store/run-seal.ts'
import { seal, unseal } from '../../src/store/seal.ts'

const octets = (length: number, value: number) => new Uint8Array(length).fill(value)
const old = new Secret(octets(32, 2))
const keys = { index: new Secret(octets(32, 1)), current: 7, keys: new Map([[7, old]]) }
const place = { database: 'access', key: octets(36, 3) }
const text = 'what was sealed before'
const opened = (value: Uint8Array | undefined) => value && fromUtf8(value)

describe('a value sealed in a run', () => {
  test('opens at any object that has the key, be it octets or a text', () => {
    const run = new RunSeal(keys)
    for (const value of [text, utf8(text), 'größer', '']) {
      const sealed = run.seal(place, value)
      for (const other of [run, new RunSeal(keys)]) {
        assert.equal(opened(other.unseal(place, sealed)), typeof value === 'string' ? value : fromUtf8(value))
      }
    }
  })

  test('has a run and a counter that no other has', () => {
    const runs = [new RunSeal(keys), new RunSeal(keys)]
    const nonces = new Set<string>()
    for (let n = 0; n < 1_000; n++) {
      for (const run of runs) nonces.add(toHex(run.seal(place, text).subarray(5, 25)))
    }
    assert.equal(nonces.size, 2_000)
    assert.equal(new Set([...nonces].map((nonce) => nonce.slice(0, 32))).size, 2)
  })

  test('opens at its place only, and whole', () => {
    const run = new RunSeal(keys)
    const sealed = run.seal(place, text)
    assert.equal(sealed.length, text.length + RUN_SEAL_OVERHEAD)
    const elsewhere = [
      { ...place, database: 'bootstraps' },
      { ...place, key: octets(36, 5) },
      { ...place, header: octets(1, 0) },
    ]
    for (const other of elsewhere) assert.equal(run.unseal(other, sealed), undefined)
    for (let at = 0; at < sealed.length; at++) {
      const changed = Uint8Array.from(sealed)
      changed[at] = (changed[at] ?? 0) ^ 1
      assert.equal(run.unseal(place, changed), undefined, `octet ${at}`)
      assert.equal(run.unseal(place, sealed.subarray(0, at)), undefined, `cut at ${at}`)
    }
  })

  test('is told apart from one with a key of its own, and both open', () => {
    const run = new RunSeal(keys)
    assert.equal(opened(run.unseal(place, seal(keys, place, utf8(text)))), text)
    assert.equal(unseal(keys, place, run.seal(place, text)), undefined)
  })

  test('is sealed under the key that is current, and opens as long as its own is there', () => {
    const fresh = new Secret(octets(32, 4))
    const before = new RunSeal(keys).seal(place, text)
    const exchanged = new RunSeal({ ...keys, current: 8, keys: new Map([...keys.keys, [8, fresh]]) })
    const after = exchanged.seal(place, text)
    assert.deepEqual([before[4], after[4]], [7, 8])
    for (const sealed of [before, after]) assert.equal(opened(exchanged.unseal(place, sealed)), text)
    assert.equal(new RunSeal(keys).unseal(place, after), undefined)
  })
})
