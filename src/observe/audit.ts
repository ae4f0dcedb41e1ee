import type { FaultCode } from '../errors.ts'

/** Every kind of decision that is recorded. */
export type AuditEvent =
  | 'ub.challenged'
  | 'ub.bootstrapped'
  | 'ub.resynchronised'
  | 'ub.refused'
  | 'zh.av-drawn'
  | 'zn.granted'
  | 'zn.refused'
  | 'zn.fetched'
  | 'ut.forwarded'
  | 'ut.refused'

/** Identities in here are in clear; `auditor` writes them as the configuration says. */
export interface AuditRecord {
  readonly requestId?: string
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
  readonly uaProtocolId?: string
  readonly status?: number
  readonly durationMs?: number
}

/** The stream of decisions, and how many of each kind there were. */
export interface Audit {
  record(event: AuditEvent, record: AuditRecord): void
  count(event: AuditEvent): number
}

/**
 * Writes each decision as one structured record.
 * @param write       where a finished record goes
 * @param pseudonym   what an identity is written as; undefined: in clear
 */
export function auditor(
  write: (event: AuditEvent, fields: Readonly<Record<string, unknown>>) => void,
  pseudonym: ((identity: string) => string) | undefined,
): Audit {
  const counts = new Map<AuditEvent, number>()
  const named = (identity: string) => (pseudonym ? pseudonym(identity) : identity)
  return {
    record(event, { impi, btid, impus, xui, detail, ...rest }) {
      counts.set(event, (counts.get(event) ?? 0) + 1)
      write(event, {
        ...rest,
        ...(impi !== undefined && { impi: named(impi) }),
        ...(btid !== undefined && { btid: named(btid) }),
        ...(impus !== undefined && { impus: impus.map(named) }),
        ...(xui !== undefined && { xui: named(xui) }),
        ...(detail !== undefined && !pseudonym && { detail }),
      })
    },
    count: (event) => counts.get(event) ?? 0,
  }
}
