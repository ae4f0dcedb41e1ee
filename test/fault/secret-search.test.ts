import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { describe, test } from 'node:test'
import { formsOf, leaksIn } from '../support/secret-search.ts'

describe('the search for secrets', () => {
  const secret = { name: 'it', octets: randomBytes(16) }
  const among = (octets: Uint8Array) => Buffer.concat([randomBytes(1_000), octets, randomBytes(1_000)])

  test('finds each form in which one may be written, and nothing else', () => {
    for (const [form, octets] of formsOf(secret.octets)) {
      assert.ok(leaksIn(among(octets), [secret]).includes(`it, as ${form}`), form)
    }
    assert.deepEqual(leaksIn(among(randomBytes(16)), [secret]), [])
    assert.deepEqual(leaksIn('', [secret]), [])
  })
  test('finds one among other octets that were written as base64 together', () => {
    for (let lead = 0; lead < 6; lead++) {
      const text = Buffer.concat([randomBytes(lead), secret.octets, randomBytes(5)]).toString('base64')
      assert.equal(leaksIn(text, [secret]).length > 0, true, `${lead}`)
    }
  })
  test('finds what Node prints of octets', () => {
    const { octets } = secret
    assert.ok(leaksIn(JSON.stringify({ key: Buffer.from(octets) }), [secret]).includes('it, as JSON numbers'))
    assert.ok(leaksIn(`<Buffer ${(octets.toString('hex').match(/../g) ?? []).join(' ')}>`, [secret]).length > 0)
  })
})
