import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { Secret } from '../../src/core/secret.ts'
import { OwnerKeys } from '../../src/store/owner-keys.ts'
import { recordKey } from '../../src/store/seal.ts'
import { anOwner } from '../contract/access-log.ts'

const keys = { index: new Secret(new Uint8Array(32).fill(1)), current: 0, keys: new Map() }

describe('keys of owners', () => {
  test('are those of their records, however many owners came in between', () => {
    const ownerKeys = new OwnerKeys(keys, 'access', 8)
    for (let n = 0; n < 200; n++) {
      const owner = anOwner((n * n) % 23)
      assert.deepEqual([...ownerKeys.of(owner)], [...recordKey(keys, 'access', owner)])
    }
  })

  test('stay what they are while others come', () => {
    const ownerKeys = new OwnerKeys(keys, 'access', 2)
    for (const n of [1, 1]) {
      const key = ownerKeys.of(anOwner(n))
      const was = [...key]
      for (let other = 2; other < 12; other++) ownerKeys.of(anOwner(other))
      assert.deepEqual([...key], was)
    }
  })
})
