import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { makeLabPki } from '../../src/tls/issue.ts'
import { formatRevocationList, parseRevocationList } from '../../src/tls/revoke.ts'

const now = Date.UTC(2026, 0, 1)
const names = { naf: [], bsf: [], znClients: [] }
const [{ ca }, { ca: stranger }] = await Promise.all([
  makeLabPki({ names, now, validDays: 1 }),
  makeLabPki({ names, now, validDays: 1 }),
])
const empty = { number: 1, thisUpdate: now, nextUpdate: now + 1000, revoked: new Map<string, number>() }

describe('a list of revoked certificates', () => {
  test('is read as it was written, to the second, for any serial numbers and dates', () => {
    const seconds = fc.integer({ min: 0, max: Date.UTC(2099, 0, 1) / 1000 }).map((at) => at * 1000)
    const serial = fc.stringMatching(/^01[0-9A-F]{32}$/)
    const fields = {
      number: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
      thisUpdate: seconds,
      nextUpdate: seconds,
      revoked: fc.array(fc.tuple(serial, seconds), { maxLength: 9 }).map((entries) => new Map(entries)),
    }
    const list = fc.record(fields, { noNullPrototype: true })
    fc.assert(
      fc.property(list, (one) => {
        assert.deepEqual(parseRevocationList(formatRevocationList(ca, one), ca.certificate), one)
      }),
      { numRuns: 50 },
    )
  })

  test('may be long', () => {
    const revoked = new Map(
      Array.from({ length: 2000 }, (_, i) => [`01${i.toString(16).padStart(32, '0')}`.toUpperCase(), now]),
    )
    const list = { ...empty, revoked }
    assert.deepEqual(parseRevocationList(formatRevocationList(ca, list), ca.certificate), list)
  })

  test('of another CA, with another name on it, or changed in one octet is none', () => {
    const pem = formatRevocationList(ca, empty)
    assert.equal(parseRevocationList(pem, stranger.certificate), undefined)
    const mixed = formatRevocationList({ certificate: stranger.certificate, key: ca.key }, empty)
    assert.equal(parseRevocationList(mixed, ca.certificate), undefined)
    const der = Buffer.from(pem.replace(/-----[^-]+-----/g, ''), 'base64')
    const rewrapped = (octets: Buffer) =>
      `-----BEGIN X509 CRL-----\n${octets.toString('base64')}\n-----END X509 CRL-----\n`
    assert.deepEqual(parseRevocationList(rewrapped(der), ca.certificate), empty)
    for (const at of [4, 40, 100, der.length - 1]) {
      const changed = Buffer.from(der)
      changed[at] = (changed[at] ?? 0) ^ 1
      assert.equal(parseRevocationList(rewrapped(changed), ca.certificate), undefined, `octet ${at}`)
    }
    for (const text of ['', 'nothing', rewrapped(der.subarray(0, 20)), rewrapped(Buffer.alloc(0)), ca.certificate]) {
      assert.equal(parseRevocationList(text, ca.certificate), undefined)
    }
  })
})
