import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import type { Guss } from '../../src/core/guss.ts'
import type { Fqdn, Impi, Tmpi } from '../../src/core/identity.ts'
import { Secret } from '../../src/core/secret.ts'
import type { Opening, PendingChallenge } from '../../src/ub/bootstrap.ts'
import { decodePendingChallenge, encodePendingChallenge } from '../../src/ub/pending-challenge.ts'
import { tracesOf } from '../contract/adapter.ts'

const octets = (name: string, length: number) => new Uint8Array(hash('sha256', name, 'buffer').subarray(0, length))
const secret = (name: string, length: number) => new Secret(octets(name, length))

function aChallenge(identity: Opening['identity'], guss?: Guss): PendingChallenge {
  return {
    opening: { username: 'é"user', identity, bsfFqdn: 'bsf.example.org' as Fqdn, tmpiAware: true },
    impi: '001010000000001@example.org' as Impi,
    nonce: 'bm9uY2U=',
    opaque: 'opaque',
    av: {
      rand: octets('rand', 16),
      autn: octets('autn', 16),
      xres: secret('xres', 8),
      ck: secret('ck', 16),
      ik: secret('ik', 16),
    },
    ...(guss && { guss }),
  }
}

const shown = (pending: PendingChallenge | undefined) =>
  pending && {
    ...pending,
    av: Object.fromEntries(
      Object.entries(pending.av).map(([name, value]) => [
        name,
        [...(value instanceof Secret ? value.expose() : value)],
      ]),
    ),
  }

describe('a pending challenge as octets', () => {
  const guss: Guss = { impi: '001010000000001@example.org' as Impi, uiccType: 'GBA', ussList: [] }
  for (const [name, pending] of [
    ['with an IMPI', aChallenge({ impi: '001010000000001@example.org' as Impi })],
    ['with a TMPI and a GUSS', aChallenge({ tmpi: 'abc@tmpi.bsf.3gppnetwork.org' as Tmpi }, guss)],
  ] as const) {
    test(`comes back whole, ${name}`, () => {
      const encoded = encodePendingChallenge(pending)
      assert.deepEqual(shown(decodePendingChallenge(encoded)), shown(pending))
      assert.ok(
        encoded.every((octet) => octet === 0),
        'wiped',
      )
    })
  }

  test('has no key as text', () => {
    const pending = aChallenge({ impi: '001010000000001@example.org' as Impi })
    const encoded = Buffer.from(encodePendingChallenge(pending))
    for (const key of [pending.av.xres, pending.av.ck, pending.av.ik]) {
      const [raw, ...texts] = tracesOf(key.expose())
      assert.ok(raw && encoded.includes(raw))
      assert.deepEqual(
        texts.filter((trace) => encoded.includes(trace)),
        [],
      )
    }
  })

  test('is refused when it is something else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (garbage) => {
        assert.equal(decodePendingChallenge(garbage), undefined)
      }),
    )
    const whole = encodePendingChallenge(aChallenge({ impi: '001010000000001@example.org' as Impi }))
    for (let length = 0; length < whole.length; length++) {
      assert.equal(decodePendingChallenge(whole.slice(0, length)), undefined)
    }
  })
})
