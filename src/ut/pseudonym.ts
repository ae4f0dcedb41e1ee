import { createHmac } from 'node:crypto'
import { type Fqdn, type Impu, parseImpu } from '../core/identity.ts'
import type { Secret } from '../core/secret.ts'

/**
 * Name of a subscriber at one application server and nowhere else: HMAC-SHA-256 over server and subscriber, its first
 * 160 bits in base32 as the user part of a SIP URI. Two servers that compare theirs learn nothing; who has the key can
 * tell whose it is.
 * @param key         32 octets, shared by all proxies in front of that server, and never changed
 * @param subscriber  the same in every bootstrap of one subscriber, and of no other
 * @param appServer   as configured
 * @throws RangeError on a wrong length of the key
 * @see RFC 4648 clause 6
 */
export function pairwisePseudonym(key: Secret, subscriber: string, appServer: string, domain: Fqdn): Impu {
  const mac = createHmac('sha256', key.expose(32)).update(`pairwise pseudonym\0${appServer}\0${subscriber}`).digest()
  const impu = parseImpu(`sip:${base32(mac.subarray(0, 20))}@${domain}`)
  if (impu === undefined) throw new RangeError('no domain for a pseudonym')
  return impu
}

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567'

/** @param octets 20 of them, which is 32 characters without a rest */
function base32(octets: Uint8Array): string {
  const digits = BigInt(`0x${Buffer.from(octets).toString('hex')}`)
    .toString(32)
    .padStart(32, '0')
  return [...digits].map((digit) => ALPHABET[Number.parseInt(digit, 32)]).join('')
}
