import type { Btid, Impu } from '../core/identity.ts'
import type { FaultCode } from '../errors.ts'
import type { AuditEvent, AuditRecord } from '../observe/audit.ts'

/** What operators ask for, in a form that goes from process to process. An identity may be its pseudonym instead. */
export type AdminCall =
  | { readonly ask: 'bootstraps'; readonly impi: string }
  | { readonly ask: 'bootstrap'; readonly btid: string }
  | { readonly ask: 'drop'; readonly btid: string }
  | { readonly ask: 'subscriber'; readonly impi: string }
  | { readonly ask: 'routes' }
  | { readonly ask: 'refusals'; readonly filter: DecisionFilter }
  | { readonly ask: 'rebootstrap'; readonly demand: Demand }

/** Whoever has an older bootstrap is to bootstrap anew. */
export interface Demand {
  readonly whom: { readonly impu: Impu } | { readonly btid: Btid } | { readonly all: true }
  /** ISO 8601, UTC; now by default. */
  readonly since?: string
}

export interface DecisionFilter {
  readonly event?: AuditEvent
  readonly code?: FaultCode
}

/** What becomes of a call, in the same form. */
export interface AdminAnswer {
  readonly status: number
  /** Of 2xx. */
  readonly body?: AdminBody
  /** Of any other status: why, naming no identity. */
  readonly detail?: string
  /** Whom it was about, in clear: for the audit alone. */
  readonly about?: Pick<AuditRecord, 'impi' | 'btid' | 'impus'>
}

export interface AdminBody {
  /** Public and private identities, and B-TIDs, are pseudonyms unless the call named them or they may be in clear. */
  readonly impi?: string
  readonly btid?: string
  readonly bootstraps?: readonly ShownBootstrap[]
  readonly bootstrap?: ShownBootstrap
  /** Whether the BSF of this process had it. */
  readonly bsf?: boolean
  /** How many keys of it the proxy had. */
  readonly cachedKeys?: number
  /** 12 hexadecimal digits; of the HSS of this process. */
  readonly sqn?: string
  readonly refusals?: readonly ShownDecision[]
  /** What is told was seen from then on, ISO 8601. */
  readonly seenSince?: string
  readonly routes?: readonly ShownRoute[]
  readonly demand?: Readonly<Record<string, string | boolean>>
  /** After how many seconds at most it holds. */
  readonly holdsWithinS?: number
}

/** A bootstrap without its keys. */
export interface ShownBootstrap {
  readonly btid: string
  readonly impi: string
  /** ISO 8601. */
  readonly createdAt: string
  readonly expiresAt: string
  readonly gbaType: string
  /** NAFs that have asked for its keys, as seen here; the 16 latest. */
  readonly nafs: readonly string[]
}

/** A decision as the log has it. */
export interface ShownDecision extends Readonly<Record<string, unknown>> {
  /** ISO 8601. */
  readonly time: string
  readonly event: AuditEvent
}

export interface ShownRoute {
  /** Empty: every NAF. */
  readonly host: string
  readonly pathPrefix: string
  readonly appServer: string
  readonly methods: readonly string[]
  readonly doors: readonly string[]
  readonly challenge: Readonly<Record<string, unknown>>
  /** 0: as old as the BSF lets a bootstrap be. */
  readonly maxKeyAgeS: number
  readonly gsids: readonly number[]
}

/** Whoever can answer operators: a process, or a supervisor of several. */
export interface AdminDesk {
  answer(call: AdminCall): Promise<AdminAnswer>
  /**
   * Tells every decision from now on.
   * @param lost  told of how many could not be brought
   * @returns to be called when there are enough
   */
  follow(tell: (decision: ShownDecision) => void, lost: (count: number) => void): () => void
  /** Records a call of an operator. */
  record(record: AuditRecord): void
}

export const isWanted = ({ event, code }: DecisionFilter, decision: Readonly<Record<string, unknown>>): boolean =>
  (event === undefined || decision.event === event) && (code === undefined || decision.code === code)
