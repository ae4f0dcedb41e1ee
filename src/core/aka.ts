import { timingSafeEqual } from 'node:crypto'
import { concat, fromBase64, octetsOf, toBase64, xor } from './bytes.ts'
import type { Milenage } from './milenage.ts'
import type { Secret } from './secret.ts'
import { acceptSqn, highestSqn, type UsimState } from './sqn.ts'

export { highestSqn, nextSqn, type UsimState, usimState } from './sqn.ts'

/** Authentication vector. @see 3GPP TS 33.102 clause 6.3.2 (Rel-17) */
export interface Av {
  /** 16 octets. */
  readonly rand: Uint8Array
  /** (SQN ⊕ AK) ‖ AMF ‖ MAC-A, 16 octets. */
  readonly autn: Uint8Array
  /** 4 to 16 octets; 8 with MILENAGE. */
  readonly xres: Secret
  /** 16 octets. */
  readonly ck: Secret
  /** 16 octets. */
  readonly ik: Secret
}

/** How a USIM answers a challenge. */
export type AutnOutcome =
  | {
      readonly outcome: 'ok'
      readonly res: Secret
      readonly ck: Secret
      readonly ik: Secret
      readonly sqn: Uint8Array
      /** The state from now on. */
      readonly usim: UsimState
    }
  | { readonly outcome: 'resync'; readonly auts: Uint8Array }
  | { readonly outcome: 'mac-failure' }

/**
 * Makes one authentication vector.
 * @param rand never used before, 16 octets
 * @param sqn  6 octets
 * @param amf  2 octets
 * @see 3GPP TS 33.102 clause 6.3.2 (Rel-17)
 */
export function generateAv(algorithm: Milenage, rand: Uint8Array, sqn: Uint8Array, amf: Uint8Array): Av {
  const { res, ck, ik, ak } = algorithm.f2345(rand)
  const autn = concat(xor(sqn, ak.expose(6)), amf, algorithm.f1(rand, sqn, amf))
  return { rand: Uint8Array.from(rand), autn, xres: res, ck, ik }
}

/**
 * The USIM's side: is the challenge from the home network, and is it fresh?
 * @param rand 16 octets
 * @param autn 16 octets
 * @returns RES and keys; or AUTS (14 octets) when only the SQN is out of range; or that the MAC is wrong
 * @see 3GPP TS 33.102 clause 6.3.3 (Rel-17)
 */
export function checkAutn(algorithm: Milenage, usim: UsimState, rand: Uint8Array, autn: Uint8Array): AutnOutcome {
  octetsOf('AUTN', autn, 16)
  const { res, ck, ik, ak } = algorithm.f2345(rand)
  const sqn = xor(autn.slice(0, 6), ak.expose(6))
  if (!timingSafeEqual(algorithm.f1(rand, sqn, autn.slice(6, 8)), autn.slice(8))) return { outcome: 'mac-failure' }
  const next = acceptSqn(usim, sqn)
  if (next === undefined) return { outcome: 'resync', auts: autsOf(algorithm, rand, highestSqn(usim)) }
  return { outcome: 'ok', res, ck, ik, sqn, usim: next }
}

/**
 * The home network's side of a resynchronisation: SQN_MS out of AUTS = (SQN_MS ⊕ AK*) ‖ MAC-S.
 * @param rand of the challenge that the USIM refused, 16 octets
 * @param auts 14 octets
 * @returns SQN_MS, 6 octets, or undefined when MAC-S is wrong
 * @see 3GPP TS 33.102 clause 6.3.5 (Rel-17)
 */
export function recoverSqn(algorithm: Milenage, rand: Uint8Array, auts: Uint8Array): Uint8Array | undefined {
  octetsOf('AUTS', auts, 14)
  const sqnMs = xor(auts.slice(0, 6), algorithm.f5Star(rand).expose(6))
  return timingSafeEqual(algorithm.f1Star(rand, sqnMs, RESYNC_AMF), auts.slice(6)) ? sqnMs : undefined
}

/**
 * The nonce of a Digest AKA challenge.
 * @param rand 16 octets
 * @param autn 16 octets
 * @returns base64(RAND ‖ AUTN)
 * @see RFC 3310 clause 3.2 (2002)
 */
export function akaNonce(rand: Uint8Array, autn: Uint8Array): string {
  return toBase64(concat(octetsOf('RAND', rand, 16), octetsOf('AUTN', autn, 16)))
}

/**
 * RAND and AUTN out of a nonce; what a server adds behind them is passed over.
 * @returns undefined for what is not base64 of at least 32 octets
 * @see RFC 3310 clause 3.2 (2002)
 */
export function parseAkaNonce(text: string): { readonly rand: Uint8Array; readonly autn: Uint8Array } | undefined {
  const octets = fromBase64(text)
  if (octets === undefined || octets.length < 32) return undefined
  return { rand: octets.slice(0, 16), autn: octets.slice(16, 32) }
}

/** MAC-S is always over this AMF, whatever the challenge had (TS 33.102 clause 6.3.3). */
const RESYNC_AMF = new Uint8Array(2)

function autsOf(algorithm: Milenage, rand: Uint8Array, sqnMs: Uint8Array): Uint8Array {
  return concat(xor(sqnMs, algorithm.f5Star(rand).expose(6)), algorithm.f1Star(rand, sqnMs, RESYNC_AMF))
}
