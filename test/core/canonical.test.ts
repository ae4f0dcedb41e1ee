import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { fromBase64 } from '../../src/core/bytes.ts'
import { responseEquals } from '../../src/core/digest.ts'
import { btidOf, type Fqdn, parseBtid, parseFqdn, parseImpu } from '../../src/core/identity.ts'
import { isCanonicalSipUri, parseSipUri } from '../../src/core/sip-uri.ts'

// What is in its one form already is taken as it stands: the short way has to say what the long one says.

const NUMBER_OF_RUNS = { numRuns: 2_000 }
const LABEL = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/i
const someText = (...pieces: string[]) =>
  fc.array(fc.constantFrom(...pieces), { maxLength: 12 }).map((list) => list.join(''))

describe('what is canonical already', () => {
  test('is the same host name', () => {
    const hosts = someText('a', 'Z', '9', '_', '-', '.', '..', 'x'.repeat(62), 'x'.repeat(63), 'K', ' ', 'é', '\n')
    fc.assert(
      fc.property(hosts, (text) => {
        const isHost = text.length <= 253 && text.split('.').every((label) => LABEL.test(label))
        assert.equal(parseFqdn(text), isHost ? text.toLowerCase() : undefined)
      }),
      NUMBER_OF_RUNS,
    )
  })

  test('is the same SIP URI', () => {
    const uris = someText(
      'sip:',
      'SIPS:',
      'sips:',
      'a',
      'B',
      '@',
      'h.example',
      'H',
      ';x=y',
      ':5060',
      '%41',
      '%2a',
      '?',
      '!',
      '\n',
    )
    fc.assert(
      fc.property(uris, (text) => {
        const sip = parseSipUri(text)
        const canonical = sip && `${sip.scheme}:${sip.user}@${sip.host}`
        if (isCanonicalSipUri(text)) assert.equal(canonical, text)
        if (sip) assert.equal(parseImpu(text), canonical)
        if (sip && parseImpu(text) === text && !text.includes('%')) assert.ok(isCanonicalSipUri(text))
      }),
      NUMBER_OF_RUNS,
    )
  })

  test('is the same B-TID', () => {
    const rands = fc
      .uint8Array({ minLength: 14, maxLength: 18 })
      .map((octets) => Buffer.from(octets).toString('base64'))
    const spoiled = fc.tuple(rands, fc.nat(24), fc.constantFrom('', 'A', '=', '-', '_', '/', '@', ' ', 'é'))
    const texts = spoiled.map(([rand, at, put]) => rand.slice(0, at) + put + rand.slice(at + put.length))
    fc.assert(
      fc.property(
        fc.oneof(rands, texts),
        fc.constantFrom('bsf.example.org', 'BSF.example.org', '', 'a..b'),
        (rand, host) => {
          const at = `${rand}@${host}`.indexOf('@')
          const isBtid = fromBase64(`${rand}@${host}`.slice(0, at))?.length === 16
          const domain = parseFqdn(`${rand}@${host}`.slice(at + 1))
          assert.equal(parseBtid(`${rand}@${host}`), isBtid && domain ? `${rand}@${domain}` : undefined)
        },
      ),
      NUMBER_OF_RUNS,
    )
    const btid = btidOf(new Uint8Array(16).fill(255), 'bsf.example.org' as Fqdn)
    assert.equal(parseBtid(btid), btid)
  })
})

describe('two digests', () => {
  const digest = 'abcdef0123456789'.repeat(4)
  test('are equal where every character is, whatever was compared before', () => {
    for (const length of [0, 31, 32, 33, 63, 64, 65, 128]) {
      const one = digest.repeat(2).slice(0, length)
      assert.ok(responseEquals(one, `${one}`))
      for (let at = 0; at < length; at++) {
        assert.ok(!responseEquals(one, `${one.slice(0, at)}x${one.slice(at + 1)}`), `${length} ${at}`)
      }
    }
  })

  test('are not equal where one has characters that are no digits of it', () => {
    for (const length of [32, 64]) {
      const one = digest.slice(0, length)
      for (const other of [
        one.toUpperCase(),
        one.slice(1),
        `${one}0`,
        `é${one.slice(1)}`,
        `${one.slice(0, -1)}é`,
        `${one.slice(0, -1)}Ā`,
        `\u{1f600}${one.slice(2)}`,
        '',
      ]) {
        assert.ok(!responseEquals(one, other))
        assert.ok(!responseEquals(other, one))
        assert.ok(responseEquals(other, `${other}`))
      }
    }
  })
})
