import type { FaultCode } from '../errors.ts'
import { FAULT_TEXTS } from './fault-texts.ts'

/** Every kind of decision that is recorded. */
export const AUDIT_EVENTS = [
  'ub.challenged',
  'ub.bootstrapped',
  'ub.resynchronised',
  'ub.refused',
  'zh.av-drawn',
  'zn.granted',
  'zn.refused',
  'zn.fetched',
  'ut.forwarded',
  'ut.log-read',
  'ut.refused',
  'tls.refused',
  'admin.called',
] as const
export type AuditEvent = (typeof AUDIT_EVENTS)[number]

/** Where a request stands among those of other servers; whoever makes traces alone looks further into it. */
export interface RequestTrace {
  /** 32 hexadecimal digits in lower case. */
  readonly traceId: string
}

/** Identities in here are in clear; `auditor` writes them as the configuration says. */
export interface AuditRecord {
  readonly requestId?: string
  /** Where traces are made; only its id is written. */
  readonly trace?: RequestTrace
  readonly impi?: string
  readonly btid?: string
  readonly impus?: readonly string[]
  readonly xui?: string
  readonly code?: FaultCode
  /** Why, in words of the place that refused; it may name an identity and is written only where identities are clear. */
  readonly detail?: string
  readonly source?: string
  readonly method?: string
  readonly auid?: string
  readonly naf?: string
  readonly appServer?: string
  /** How far the request came: the stage that refused it, or `forward`. */
  readonly step?: 'arrive' | 'authenticate' | 'authorise' | 'rewrite' | 'forward'
  /** By which the UE came, or tried to. */
  readonly door?: 'psk' | 'certificate' | 'digest' | 'password'
  /** Of a TLS handshake that did not come about. */
  readonly reason?: string
  /** Ua security protocol identifier that verified. */
  readonly uaProtocolId?: string
  /** Those that would have been tried. */
  readonly uaProtocolIds?: readonly string[]
  /** Path prefix of the route. */
  readonly route?: string
  /** Names of tolerated deviations. */
  readonly tolerances?: readonly string[]
  readonly status?: number
  readonly durationMs?: number
  /** From sending the request to the head of the application server's answer. */
  readonly upstreamMs?: number
  /** Of a call of the admin API: the resource, as a template without what it was asked about. */
  readonly path?: string
  /** Of the certificate by which an operator came. */
  readonly subject?: string
}

/** The stream of decisions, and how many of each kind there were. */
export interface Audit {
  record(event: AuditEvent, record: AuditRecord): void
  count(event: AuditEvent): number
  /** How often a deviation was tolerated. */
  toleranceCount(name: string): number
}

/** Decisions that let something through: these may be sampled, refusals never are. */
const ACCEPTING: ReadonlySet<AuditEvent> = new Set(['ut.forwarded', 'ut.log-read', 'zn.granted', 'zn.fetched'])

/**
 * Writes each decision as one structured record.
 * @param write       where a finished record goes
 * @param pseudonym   what an identity is written as; undefined: in clear
 * @param everyNth     of the accepting decisions, one in so many is written; all are counted
 */
export function auditor(
  write: (event: AuditEvent, fields: Readonly<Record<string, unknown>>) => void,
  pseudonym: ((identity: string) => string) | undefined,
  everyNth = 1,
): Audit {
  const counts = new Map<AuditEvent, number>()
  const tolerated = new Map<string, number>()
  const named = pseudonym ?? IN_CLEAR
  return {
    record(event, record) {
      const count = (counts.get(event) ?? 0) + 1
      counts.set(event, count)
      for (const name of record.tolerances ?? []) tolerated.set(name, (tolerated.get(name) ?? 0) + 1)
      if (ACCEPTING.has(event) && count % everyNth !== 0) return
      write(event, auditFields(record, named, pseudonym === undefined))
    },
    count: (event) => counts.get(event) ?? 0,
    toleranceCount: (name) => tolerated.get(name) ?? 0,
  }
}

/** What an identity is written as where it may be. */
export const IN_CLEAR = (identity: string): string => identity

/**
 * A record as it is written down.
 * @param named     what an identity is written as
 * @param isDetailed  whether the detail is told, which may name identities
 */
export function auditFields(
  record: AuditRecord,
  named: (identity: string) => string,
  isDetailed: boolean,
): Readonly<Record<string, unknown>> {
  const { impi, btid, impus, xui, detail, trace, ...rest } = record
  const fields: Record<string, unknown> = rest // a copy already: none is made of it
  if (trace !== undefined) fields.traceId = trace.traceId
  if (impi !== undefined) fields.impi = named(impi)
  if (btid !== undefined) fields.btid = named(btid)
  if (impus !== undefined) fields.impus = impus.map((identity) => named(identity))
  if (xui !== undefined) fields.xui = named(xui)
  if (rest.code !== undefined) fields.clause = FAULT_TEXTS[rest.code].clause
  if (detail !== undefined && isDetailed) fields.detail = detail
  return fields
}
