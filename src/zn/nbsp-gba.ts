import type { EpochMs } from '../core/bytes.ts'
import { fromHex, toHex } from '../core/bytes.ts'
import { formatUssListJson, parseUssListJson } from '../core/guss.ts'
import { parseBtid, parseFqdn, parseImpi } from '../core/identity.ts'
import { parseUaProtocolId } from '../core/naf-id.ts'
import { Secret } from '../core/secret.ts'
import type { Bia, Bir, GbaType } from './port.ts'

/** @see 3GPP TS 29.309 clause 6.1.3 (Rel-18) */
export const NBSP_GBA_PATH = '/nbsp-gba/v1/bootstrapping-info-retrieval'

/** What a service says of a URI that it does not have. @see 3GPP TS 29.500 clause 5.2.7.2 (Rel-17) */
export const WRONG_URI_CAUSE = 'RESOURCE_URI_STRUCTURE_NOT_FOUND'

type Json = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

const optional = <T>(value: unknown, check: (value: unknown) => T | undefined): T | undefined | 'malformed' => {
  if (value === undefined) return undefined
  return check(value) ?? 'malformed'
}

/** BootstrappingInfoRequest. @see 3GPP TS 29.309 clause 6.1.6.2.2 (Rel-18) */
export function formatBir(bir: Bir): Json {
  return {
    btId: bir.btid,
    nafId: { nafFqdn: bir.nafFqdn, uaSecProtId: bir.uaProtocolId },
    gbaUAware: bir.gbaUAware,
    // The schema forbids an empty list.
    ...(bir.gsids.length > 0 && { gsIds: [...bir.gsids] }),
  }
}

/**
 * Reads a NAF's request; unknown members are ignored.
 * @returns undefined for what is not a BootstrappingInfoRequest
 * @see 3GPP TS 29.309 clause 6.1.6.2.2 (Rel-18)
 */
export function parseBir(value: unknown): Bir | undefined {
  if (!isObject(value) || typeof value.btId !== 'string' || !isObject(value.nafId)) return undefined
  const { nafFqdn, uaSecProtId } = value.nafId
  if (typeof nafFqdn !== 'string' || typeof uaSecProtId !== 'string') return undefined
  const btid = parseBtid(value.btId)
  const fqdn = parseFqdn(nafFqdn)
  const uaProtocolId = parseUaProtocolId(uaSecProtId)
  const gsids = optional(value.gsIds, asGsids)
  const gbaUAware = optional(value.gbaUAware, asBoolean)
  if (!btid || !fqdn || !uaProtocolId || gsids === 'malformed' || gbaUAware === 'malformed') return undefined
  return { btid, nafFqdn: fqdn, uaProtocolId, gsids: gsids ?? [], gbaUAware: gbaUAware ?? false }
}

/** BootstrappingInfoResponse: the one place where a NAF key is written out. @see 3GPP TS 29.309 clause 6.1.6.2.3 (Rel-18) */
export function formatBia(bia: Bia): Json {
  // The schema forbids an empty list, and a setting without identities has no place in it.
  const ussList = formatUssListJson(bia.ussList)
  return {
    meKeyMaterial: toHex(bia.ksNaf.expose(32)),
    ...(bia.ksIntNaf && { uiccKeyMaterial: toHex(bia.ksIntNaf.expose(32)) }),
    keyExpiryTime: new Date(bia.expiresAt).toISOString(),
    bootstrappingInfoCreationTime: new Date(bia.bootstrappedAt).toISOString(),
    ...(ussList.length > 0 && { ussList }),
    gbaType: bia.gbaType,
    ...(bia.impi && { impi: bia.impi }),
  }
}

/**
 * Reads a BSF's answer strictly: a NAF must not work with half a key.
 * @param assumedLifetimeMs  used when the BSF names no expiry
 * @returns undefined for what is not a BootstrappingInfoResponse
 * @see 3GPP TS 29.309 clause 6.1.6.2.3 (Rel-18)
 */
export function parseBia(value: unknown, now: EpochMs, assumedLifetimeMs: number): Bia | undefined {
  if (!isObject(value)) return undefined
  const ksNaf = asKey(value.meKeyMaterial)
  const ksIntNaf = optional(value.uiccKeyMaterial, asKey)
  const expiresAt = optional(value.keyExpiryTime, asInstant)
  const bootstrappedAt = optional(value.bootstrappingInfoCreationTime, asInstant)
  const ussList = optional(value.ussList, parseUssListJson)
  const impi = optional(value.impi, (text) => (typeof text === 'string' ? parseImpi(text) : undefined))
  const gbaType = optional(value.gbaType, asGbaType)
  if (
    !ksNaf ||
    ksIntNaf === 'malformed' ||
    expiresAt === 'malformed' ||
    bootstrappedAt === 'malformed' ||
    ussList === 'malformed' ||
    impi === 'malformed' ||
    gbaType === 'malformed'
  ) {
    return undefined
  }
  return {
    ksNaf,
    ...(ksIntNaf && { ksIntNaf }),
    // Reading: the schema makes the expiry optional; a key with no end is not used longer than ours last.
    expiresAt: expiresAt ?? now + assumedLifetimeMs,
    bootstrappedAt: bootstrappedAt ?? now,
    gbaType: gbaType ?? '3G_GBA',
    ussList: ussList ?? [],
    ...(impi && { impi }),
  }
}

function asKey(value: unknown): Secret | undefined {
  return typeof value === 'string' && /^[0-9a-fA-F]{64}$/.test(value) ? new Secret(fromHex(value)) : undefined
}

function asInstant(value: unknown): EpochMs | undefined {
  if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d)$/i.test(value)) {
    return undefined
  }
  const [instant, day] = [Date.parse(value), value.slice(0, 10)]
  // Date.parse takes 31 February for 3 March.
  return !Number.isNaN(instant) && new Date(day).toISOString().startsWith(day) ? instant : undefined
}

function asGsids(value: unknown): number[] | undefined {
  if (!Array.isArray(value) || value.length === 0 || value.length > 64) return undefined
  return value.every((gsid) => Number.isInteger(gsid) && gsid >= 0 && gsid <= 0xffffffff) ? value : undefined
}

function asBoolean(value: unknown): boolean | undefined {
  return typeof value === 'boolean' ? value : undefined
}

/** The type is extensible: an unknown one is not an error, but its keys are not ours to use. */
function asGbaType(value: unknown): GbaType | undefined {
  return value === '3G_GBA' || value === '2G_GBA' || value === 'GBA_DIGEST' ? value : undefined
}
