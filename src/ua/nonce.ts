import { createHmac, timingSafeEqual } from 'node:crypto'
import type { EpochMs } from '../core/bytes.ts'
import { concat, utf8 } from '../core/bytes.ts'
import type { Fqdn } from '../core/identity.ts'
import type { Secret } from '../core/secret.ts'

const TIME_OCTETS = 6
export const NONCE_RANDOM_OCTETS = 9
const MAC_OCTETS = 15

/**
 * Mints a nonce without keeping state: time ‖ random ‖ HMAC, under a key that all workers and hosts share, bound to one
 * NAF. 40 characters of base64url: a UE that splits header values on commas and equals signs meets none.
 * @param random  NONCE_RANDOM_OCTETS octets
 * @see RFC 7616 section 3.3
 */
export function mintNonce(key: Secret, nafFqdn: Fqdn, now: EpochMs, random: Uint8Array): string {
  if (random.length !== NONCE_RANDOM_OCTETS) throw new RangeError('a nonce takes 9 random octets')
  const time = Buffer.alloc(TIME_OCTETS)
  time.writeUIntBE(now, 0, TIME_OCTETS)
  const head = concat(time, random)
  return Buffer.from(concat(head, mac(key, nafFqdn, head))).toString('base64url')
}

/** When a nonce of ours was minted; undefined for a text that we did not mint for this NAF. */
export function mintedAt(key: Secret, nafFqdn: Fqdn, nonce: string): EpochMs | undefined {
  if (!/^[A-Za-z0-9_-]{40}$/.test(nonce)) return undefined
  const octets = Buffer.from(nonce, 'base64url')
  const head = octets.subarray(0, TIME_OCTETS + NONCE_RANDOM_OCTETS)
  if (!timingSafeEqual(octets.subarray(head.length), mac(key, nafFqdn, head))) return undefined
  return octets.readUIntBE(0, TIME_OCTETS)
}

function mac(key: Secret, nafFqdn: Fqdn, head: Uint8Array): Uint8Array {
  return createHmac('sha256', key.keyObject())
    .update('ua nonce')
    .update(head)
    .update(utf8(nafFqdn))
    .digest()
    .subarray(0, MAC_OCTETS)
}
