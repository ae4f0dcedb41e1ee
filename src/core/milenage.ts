import { createCipheriv } from 'node:crypto'
import { concat, octetsOf, xor } from './bytes.ts'
import { Secret } from './secret.ts'

/** The functions f1 to f5* of one subscriber. @see 3GPP TS 33.102 clause 6.3 (Rel-17) */
export interface Milenage {
  /** MAC-A, 8 octets. */
  f1(rand: Uint8Array, sqn: Uint8Array, amf: Uint8Array): Uint8Array
  /** MAC-S, 8 octets. */
  f1Star(rand: Uint8Array, sqn: Uint8Array, amf: Uint8Array): Uint8Array
  /** RES (8 octets), CK and IK (16 each), AK (6). */
  f2345(rand: Uint8Array): { readonly res: Secret; readonly ck: Secret; readonly ik: Secret; readonly ak: Secret }
  /** AK of a resynchronisation, 6 octets. */
  f5Star(rand: Uint8Array): Secret
}

/**
 * OPc = OP ⊕ E_K(OP).
 * @param k  16 octets
 * @param op 16 octets
 * @returns 16 octets
 * @see 3GPP TS 35.206 clause 4.1 (Rel-17)
 */
export function deriveOpc(k: Secret, op: Secret): Secret {
  const opOctets = op.expose(16)
  return new Secret(xor(opOctets, aes(k)(opOctets)))
}

/**
 * Prepares MILENAGE for one subscriber; the AES key schedule is made once.
 * @param k   16 octets
 * @param opc 16 octets
 * @see 3GPP TS 35.206 clause 4.1 (Rel-17)
 */
export function milenage(k: Secret, opc: Secret): Milenage {
  const encrypt = aes(k)
  const mask = opc.expose(16)

  const temp = (rand: Uint8Array): Uint8Array => encrypt(xor(octetsOf('RAND', rand, 16), mask))

  /** OUT1: MAC-A ‖ MAC-S. */
  const out1 = (rand: Uint8Array, sqn: Uint8Array, amf: Uint8Array): Uint8Array => {
    const half = concat(octetsOf('SQN', sqn, 6), octetsOf('AMF', amf, 2))
    return xor(encrypt(xor(temp(rand), rotate(xor(concat(half, half), mask), 8))), mask)
  }

  /** Those of OUT2 to OUT5 that are wanted, one behind the other. */
  const out = (tempOctets: Uint8Array, wanted: readonly { readonly r: number; readonly c: number }[]): Uint8Array => {
    const masked = xor(tempOctets, mask)
    const octets = encrypt(concat(...wanted.map(({ r, c }) => xor(rotate(masked, r), constant(c)))))
    return octets.map((octet, at) => octet ^ (mask[at % 16] ?? 0))
  }

  return {
    f1: (rand, sqn, amf) => out1(rand, sqn, amf).slice(0, 8),
    f1Star: (rand, sqn, amf) => out1(rand, sqn, amf).slice(8),
    f2345: (rand) => {
      // All at once: a call of the cipher costs several times what its block costs.
      const octets = out(temp(rand), [OUT2, OUT3, OUT4])
      return {
        res: new Secret(octets.subarray(8, 16)),
        ck: new Secret(octets.subarray(16, 32)),
        ik: new Secret(octets.subarray(32, 48)),
        ak: new Secret(octets.subarray(0, 6)),
      }
    },
    f5Star: (rand) => new Secret(out(temp(rand), [OUT5]).subarray(0, 6)),
  }
}

/** Left rotation r in octets, and the last octet of the constant c (the rest is zero). */
const OUT2 = { r: 0, c: 1 }
const OUT3 = { r: 4, c: 2 }
const OUT4 = { r: 8, c: 4 }
const OUT5 = { r: 12, c: 8 }

/** AES-128 blocks under K, each by itself. The cipher object is kept: making one costs what several calls of it cost. */
function aes(k: Secret): (blocks: Uint8Array) => Uint8Array {
  k.expose(16) // for its length check
  const cipher = createCipheriv('aes-128-ecb', k.keyObject(), null).setAutoPadding(false)
  return (blocks) => new Uint8Array(cipher.update(blocks))
}

const rotate = (block: Uint8Array, octets: number): Uint8Array =>
  concat(block.subarray(octets), block.subarray(0, octets))

const constant = (last: number): Uint8Array => {
  const block = new Uint8Array(16)
  block[15] = last
  return block
}
