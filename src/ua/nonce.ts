import { createHmac, createSecretKey, type KeyObject, timingSafeEqual } from 'node:crypto'
import type { EpochMs } from '../core/bytes.ts'
import { concat } from '../core/bytes.ts'
import type { Fqdn } from '../core/identity.ts'
import { ownCopyOf } from '../core/memo.ts'
import type { Secret } from '../core/secret.ts'
import type { LedgerStanding } from '../store/store.ts'

const TIME_OCTETS = 6
export const NONCE_RANDOM_OCTETS = 9
const MAC_OCTETS = 15
const CHARACTERS = 40

/**
 * By a clock that was set back behind the floor of the ledger, whatever is minted would be forgotten until the clock
 * gets there again. Nonces are then minted ahead of the clock, just above the floor, and under a key of the ledger's
 * generation: only that ledger takes them, whose records know each use, and none does after it has lost any.
 */
export const isBehind = (now: EpochMs, { floor }: LedgerStanding): boolean => now <= floor

/**
 * Mints a nonce without keeping state: time ‖ random ‖ HMAC, under a key that all workers and hosts share, bound to one
 * NAF. 40 characters of base64url: a UE that splits header values on commas and equals signs meets none.
 * @param random    NONCE_RANDOM_OCTETS octets
 * @param standing  of the ledger that will be asked about it; undefined: not known, and taken for before `now`
 * @see RFC 7616 section 3.3
 */
export function mintNonce(
  key: Secret,
  nafFqdn: Fqdn,
  now: EpochMs,
  random: Uint8Array,
  standing?: LedgerStanding,
): string {
  if (random.length !== NONCE_RANDOM_OCTETS) throw new RangeError('a nonce takes 9 random octets')
  const time = Buffer.alloc(TIME_OCTETS)
  const ahead = standing && isBehind(now, standing) ? standing : undefined
  time.writeUIntBE(ahead ? Math.floor(ahead.floor) + 1 : now, 0, TIME_OCTETS)
  const head = concat(time, random)
  const signing = ahead ? keyAhead(key, ahead) : key.keyObject()
  return Buffer.from(concat(head, mac(signing, nafFqdn, head))).toString('base64url')
}

/**
 * When a nonce of ours was minted; undefined for a text that we did not mint for this NAF. UEs use a nonce thousands of
 * times, so those that proved to be ours are remembered, as long as the key: who wants to fill that has to fetch them.
 */
export function mintedAt(key: Secret, nafFqdn: Fqdn, nonce: string): EpochMs | undefined {
  if (nonce.length !== CHARACTERS) return undefined
  const ours = provenUnder(key)
  const known = ours.get(nonce)
  if (known !== undefined && known.nafFqdn === nafFqdn) return known.at
  const at = signedTime(key.keyObject(), nafFqdn, nonce)
  if (at === undefined) return undefined
  // Those in use are soon in it again.
  if (ours.size >= MAX_PROVEN) ours.clear()
  ours.set(ownCopyOf(nonce), { nafFqdn, at })
  return at
}

/** When a nonce was minted ahead of the clock; undefined for one that was not, for this NAF and ledger. */
export const mintedAhead = (key: Secret, nafFqdn: Fqdn, nonce: string, standing: LedgerStanding): EpochMs | undefined =>
  signedTime(keyAhead(key, standing), nafFqdn, nonce)

function signedTime(key: KeyObject, nafFqdn: Fqdn, nonce: string): EpochMs | undefined {
  if (nonce.length !== CHARACTERS || !/^[A-Za-z0-9_-]+$/.test(nonce)) return undefined
  const octets = Buffer.from(nonce, 'base64url')
  const head = octets.subarray(0, TIME_OCTETS + NONCE_RANDOM_OCTETS)
  if (!timingSafeEqual(octets.subarray(head.length), mac(key, nafFqdn, head))) return undefined
  return octets.readUIntBE(0, TIME_OCTETS)
}

type Proven = Map<string, { readonly nafFqdn: Fqdn; readonly at: EpochMs }>

const proven = new WeakMap<Secret, Proven>()
const MAX_PROVEN = 16_384

/** Nonces whose MAC was verified, with the NAF that it binds them to. */
function provenUnder(key: Secret): Proven {
  const known = proven.get(key)
  if (known) return known
  const none: Proven = new Map()
  proven.set(key, none)
  return none
}

/** No text that `mac` is made of begins like this one. */
const keyAhead = (key: Secret, { generation }: LedgerStanding): KeyObject =>
  createSecretKey(createHmac('sha256', key.keyObject()).update(`ahead of the clock: ${generation}`).digest())

function mac(key: KeyObject, nafFqdn: Fqdn, head: Uint8Array): Uint8Array {
  const text = Buffer.concat([LABEL, head, Buffer.from(nafFqdn)])
  return createHmac('sha256', key).update(text).digest().subarray(0, MAC_OCTETS)
}

const LABEL = Buffer.from('ua nonce')
