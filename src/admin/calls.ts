import type { Btid, Impi, Impu } from '../core/identity.ts'
import type { FaultCode } from '../errors.ts'
import type { AuditEvent, AuditRecord } from '../observe/audit.ts'

/** What operators ask for, in a form that goes from process to process. An identity may be its pseudonym instead. */
export type AdminCall =
  | { readonly ask: 'bootstraps'; readonly impi: string; readonly known?: Known }
  | { readonly ask: 'bootstrap'; readonly btid: string; readonly known?: Known }
  | { readonly ask: 'drop'; readonly btid: string; readonly known?: Known }
  | { readonly ask: 'subscriber'; readonly impi: string; readonly known?: Known }
  /** By a supervisor alone: go by the file of demands as it is now. */
  | { readonly ask: 'look-at-demands' }
  /** By a supervisor alone: whom a name stands for. */
  | { readonly ask: 'who'; readonly name: { readonly impi: string } | { readonly btid: string } }
  | { readonly ask: 'routes' }
  | { readonly ask: 'refusals'; readonly filter: DecisionFilter }
  | { readonly ask: 'rebootstrap'; readonly demand: Demand }
  /** Whether the audit takes records now: 503 while it does not, as far as that has been found out. */
  | { readonly ask: 'audit' }

/** What processes of a host know of a name, so that each of them can tell what it has of whom that is. In clear. */
export interface Known {
  readonly impi?: Impi
  readonly btid?: Btid
  /** Of bootstraps of that subscriber. */
  readonly btids?: readonly Btid[]
}

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
  /** Of `who`, from process to process alone. */
  readonly known?: Known
  /** Where several processes were asked. */
  readonly workers?: Participation
}

/** Which processes of a host had a part in an answer, by their numbers. */
export interface Participation {
  readonly answered: readonly number[]
  /** `silent`: no answer in time; `failed`: it could not; `ended`: it is gone, and what it remembered with it. */
  readonly missing: Readonly<Record<string, 'silent' | 'failed' | 'ended'>>
}

export interface AdminBody {
  /** Public and private identities, and B-TIDs, are pseudonyms unless the call named them or they may be in clear. */
  readonly impi?: string
  readonly btid?: string
  readonly bootstraps?: readonly ShownBootstrap[]
  readonly bootstrap?: ShownBootstrap
  /** Whether the BSF of this host had it. */
  readonly bsf?: boolean
  /** How many keys of it the proxy had, in all processes. */
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
  /** What is kept in memory ends with `gba-proxy serve`; each new worker is told of it. */
  readonly keptIn?: 'file' | 'memory'
}

/** In one answer. */
export const MOST_REFUSALS = 100
/** Of one bootstrap. */
export const MOST_NAFS = 16

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
   * @param lost    told of how many could not be brought
   * @param filter  decisions that it does not want need not be told
   * @returns to be called when there are enough
   */
  follow(tell: (decision: ShownDecision) => void, lost: (count: number) => void, filter?: DecisionFilter): () => void
  /** Records a call of an operator: in the audit, or in the log while the audit takes nothing. */
  record(record: AuditRecord): void
}

export const isWanted = ({ event, code }: DecisionFilter, decision: Readonly<Record<string, unknown>>): boolean =>
  (event === undefined || decision.event === event) && (code === undefined || decision.code === code)
