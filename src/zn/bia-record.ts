import { concat, type EpochMs, fromUtf8, utf8 } from '../core/bytes.ts'
import type { Uss } from '../core/guss.ts'
import { type Impi, parseImpi } from '../core/identity.ts'
import { Secret } from '../core/secret.ts'
import { allOf, ussOf } from '../core/uss.ts'
import type { Bia, GbaType } from './port.ts'

/** An answer of the BSF, and when it came: its age counts from there, wherever it is read. */
export interface FetchedBia {
  readonly bia: Bia
  readonly fetchedAt: EpochMs
}

const VERSION = 1
const KEY = 32
/** version, and whether there is a Ks_int_NAF */
const HEAD = 2

/** version (1) ‖ 0 or 1 (1) ‖ Ks_NAF (32) ‖ Ks_int_NAF (32) where there is one ‖ JSON. No key becomes a string. */
export function encodeFetchedBia({ bia, fetchedAt }: FetchedBia): Uint8Array {
  const { ksNaf, ksIntNaf, ...others } = bia
  const head = Uint8Array.of(VERSION, ksIntNaf ? 1 : 0)
  const secrets = [ksNaf.expose(KEY), ...(ksIntNaf ? [ksIntNaf.expose(KEY)] : [])]
  return concat(head, ...secrets, utf8(JSON.stringify({ ...others, fetchedAt })))
}

/** Wipes what it reads. @returns undefined for what `encodeFetchedBia` does not write */
export function decodeFetchedBia(octets: Uint8Array): FetchedBia | undefined {
  try {
    const [version, keyCount = 2] = octets
    if (version !== VERSION || keyCount > 1) return undefined
    const end = HEAD + KEY * (1 + keyCount)
    if (octets.length < end) return undefined
    const rest = restOf(JSON.parse(fromUtf8(octets.subarray(end))))
    if (rest === undefined) return undefined
    const { fetchedAt, ...others } = rest
    const secretAt = (start: number) => new Secret(octets.subarray(start, start + KEY))
    const ksIntNaf = keyCount === 1 ? { ksIntNaf: secretAt(HEAD + KEY) } : {}
    return { bia: { ksNaf: secretAt(HEAD), ...ksIntNaf, ...others }, fetchedAt }
  } catch {
    return undefined
  } finally {
    octets.fill(0)
  }
}

type Json = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)
const isInstant = (value: unknown): value is EpochMs => Number.isSafeInteger(value)
const isGbaType = (value: unknown): value is GbaType =>
  value === '3G_GBA' || value === '2G_GBA' || value === 'GBA_DIGEST'

/** A member that is not known may say something that has to be heeded. */
const hasOnly = (value: Json, names: readonly string[]): boolean =>
  Object.keys(value).every((name) => names.includes(name))

const MEMBERS = ['expiresAt', 'bootstrappedAt', 'gbaType', 'ussList', 'impi', 'fetchedAt']
const USS_MEMBERS = ['gsid', 'gsType', 'uids', 'flags', 'nafGroup', 'keyChoice', 'droppedUids']

function restOf(value: unknown): (Omit<Bia, 'ksNaf' | 'ksIntNaf'> & { readonly fetchedAt: EpochMs }) | undefined {
  if (!isObject(value) || !hasOnly(value, MEMBERS)) return undefined
  const { expiresAt, bootstrappedAt, gbaType, fetchedAt } = value
  const ussList = Array.isArray(value.ussList) ? allOf(value.ussList.map(readUss)) : undefined
  const impi = impiOf(value.impi)
  if (!isInstant(expiresAt) || !isInstant(bootstrappedAt) || !isInstant(fetchedAt)) return undefined
  if (!isGbaType(gbaType) || ussList === undefined || impi === 'malformed') return undefined
  return { expiresAt, bootstrappedAt, gbaType, ussList, ...(impi !== undefined && { impi }), fetchedAt }
}

function impiOf(value: unknown): Impi | undefined | 'malformed' {
  if (value === undefined) return undefined
  return (typeof value === 'string' && parseImpi(value)) || 'malformed'
}

function readUss(value: unknown): Uss | undefined {
  if (!isObject(value) || !hasOnly(value, USS_MEMBERS)) return undefined
  const { gsid, gsType, uids, flags, nafGroup, keyChoice, droppedUids } = value
  if (!Array.isArray(uids) || !Array.isArray(flags)) return undefined
  if (droppedUids !== undefined && !(Number.isSafeInteger(droppedUids) && Number(droppedUids) > 0)) return undefined
  const uss = ussOf({ gsid, gsType, uids, flags, nafGroup, keyChoice })
  // Its identities are in canonical form: one that reads differently was not written here.
  if (uss === undefined || uss.uids.length !== uids.length || uss.uids.some((uid, i) => uid !== uids[i]))
    return undefined
  return droppedUids === undefined ? uss : { ...uss, droppedUids: Number(droppedUids) }
}
