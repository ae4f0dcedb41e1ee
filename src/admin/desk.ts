import type { Config } from '../config/schema.ts'
import type { EpochMs } from '../core/bytes.ts'
import { toHex } from '../core/bytes.ts'
import { type Btid, type Impi, parseBtid, parseImpi } from '../core/identity.ts'
import { GbaError } from '../errors.ts'
import type { Subscribers } from '../hss/subscribers.ts'
import { type AuditEvent, type AuditRecord, auditFields, IN_CLEAR } from '../observe/audit.ts'
import { type Logger, withoutRedaction } from '../observe/log.ts'
import type { BootstrapStore, SqnStore } from '../store/store.ts'
import { addDemand, DemandRefused } from '../ua/add-demand.ts'
import { FOLLOWED_EVERY_MS } from '../ua/followed-file.ts'
import { OTHER_HOST_SKEW_MS } from '../ua/rebootstrap.ts'
import type { StandingDemands } from '../ua/standing-demands.ts'
import {
  type AdminAnswer,
  type AdminBody,
  type AdminCall,
  type AdminDesk,
  type Demand,
  isWanted,
  type Known,
  MOST_REFUSALS,
  type ShownBootstrap,
  type ShownDecision,
} from './calls.ts'
import { routesIn } from './routes.ts'
import { type Refusal, sightings } from './sightings.ts'

export interface ProcessDeskOptions {
  /** The configuration of now. */
  readonly config: () => Config
  /** Those of the HSS of this process, as of now; undefined: there is none. */
  readonly subscribers: () => Pick<Subscribers, 'get'> | undefined
  readonly bootstraps: BootstrapStore
  readonly sqns: SqnStore
  /** Lets go of the keys that the proxy of this process has of a bootstrap. @returns how many there were */
  readonly forgetKeys: (btid: Btid) => number
  /** Those that no file keeps. */
  readonly demands: Pick<StandingDemands, 'add'>
  /** Goes by the file of demands as it is now. */
  readonly lookAtDemands: () => void
  /** What an identity is written as; undefined: in clear. */
  readonly pseudonym: ((identity: string) => string) | undefined
  /** Writes a record of the audit at once. @throws what the file system said, while that takes nothing */
  readonly audit: (event: AuditEvent, record: AuditRecord) => void
  /** @throws what the file system said, while the audit takes nothing */
  readonly requireAudit: () => void
  readonly log: Logger
  readonly now: () => EpochMs
}

/** The desk of one process, which is to be told of every decision. */
export interface ProcessDesk extends AdminDesk {
  readonly hear: (event: AuditEvent, record: AuditRecord) => void
  /** As `record`, for whoever has another place for what the audit does not take. @throws while it takes nothing */
  readonly recordInAudit: (record: AuditRecord) => void
}

/** What operators may see and do in one process. No key is ever in an answer. */
export function processDesk(options: ProcessDeskOptions): ProcessDesk {
  const { bootstraps, config, now, pseudonym, sqns } = options
  const isClear = pseudonym === undefined
  const named = pseudonym ?? IN_CLEAR
  const bare = withoutRedaction(options.log)
  const seen = sightings({ now, named, isDetailed: isClear })
  const followers = new Set<(decision: ShownDecision) => void>()

  const isOfPseudonym =
    (asked: string) =>
    ({ record }: Refusal) =>
      record.impi !== undefined && named(record.impi) === asked
  const impiOf = (text: string, known?: Known): Impi | undefined =>
    parseImpi(text) ?? known?.impi ?? seen.impiBehind(text)
  /** Also of one of whom nothing but refusals was seen. */
  const refusedImpiOf = (text: string, known?: Known): Impi | undefined =>
    impiOf(text, known) ?? (seen.refusals(isOfPseudonym(text))[0]?.record.impi as Impi | undefined)
  const btidOf = (text: string, known?: Known): Btid | undefined =>
    parseBtid(text) ?? known?.btid ?? seen.btidBehind(text)
  const btidsOf = (impi: Impi, known?: Known): readonly Btid[] => [
    ...new Set([...seen.btidsOf(impi), ...(known?.btids ?? [])]),
  ]

  /** Pseudonyms for all that the operator did not name. */
  const shownTo =
    (asked: string) =>
    (identity: string): string =>
      identity === asked ? identity : named(identity)

  async function shown(btid: Btid, show: (identity: string) => string): Promise<[Impi, ShownBootstrap] | undefined> {
    const found = await bootstraps.find(btid, now())
    if (!found) return undefined
    found.ks.wipe()
    const { createdAt, expiresAt, gbaType, impi } = found
    const nafs = seen.nafsOf(btid)
    const times = { createdAt: isoOf(createdAt), expiresAt: isoOf(expiresAt) }
    return [impi, { btid: show(btid), impi: show(impi), ...times, gbaType, nafs }]
  }

  async function bootstrapsOf(
    impi: Impi,
    btids: readonly Btid[],
    show: (identity: string) => string,
  ): Promise<ShownBootstrap[]> {
    const all = await Promise.all(btids.map((btid) => shown(btid, show)))
    return all.flatMap((one) => (one?.[0] === impi ? [one[1]] : []))
  }

  function decision({ at, event, record }: Refusal, show: (identity: string) => string): ShownDecision {
    return { time: isoOf(at), event, ...auditFields(record, show, isClear) }
  }

  function who(name: (AdminCall & { ask: 'who' })['name']): AdminAnswer {
    if ('btid' in name) {
      const btid = btidOf(name.btid)
      return { status: 200, known: btid ? { btid } : {} }
    }
    const impi = refusedImpiOf(name.impi)
    return { status: 200, known: impi ? { impi, btids: btidsOf(impi) } : {} }
  }

  async function listed(asked: string, known?: Known): Promise<AdminAnswer> {
    const impi = impiOf(asked, known)
    if (impi === undefined) return noSuch('neither a private identity nor a pseudonym of one that was seen')
    if (!config().bsf) return NO_BSF
    const show = shownTo(asked)
    const list = await bootstrapsOf(impi, btidsOf(impi, known), show)
    return ok({ impi: show(impi), bootstraps: list, seenSince: isoOf(seen.since) }, { impi })
  }

  async function one(asked: string, known?: Known): Promise<AdminAnswer> {
    const btid = btidOf(asked, known)
    if (btid === undefined) return noSuch('neither a B-TID nor a pseudonym of one that was seen')
    if (!config().bsf) return NO_BSF
    const found = await shown(btid, shownTo(asked))
    if (!found) return noSuch('the BSF has no live bootstrap of that name', { btid })
    return ok({ bootstrap: found[1] }, { btid })
  }

  async function drop(asked: string, known?: Known): Promise<AdminAnswer> {
    const btid = btidOf(asked, known)
    if (btid === undefined) return noSuch('neither a B-TID nor a pseudonym of one that was seen')
    const found = config().bsf ? await bootstraps.find(btid, now()) : undefined
    found?.ks.wipe()
    // First: whoever asks from then on is told that there is none, and what was told before is forgotten.
    if (found) await bootstraps.remove(btid)
    const cachedKeys = options.forgetKeys(btid)
    const about = { btid, ...(found && { impi: found.impi }) }
    if (!found && cachedKeys === 0) return noSuch('there is no live bootstrap of that name, and no key of it', about)
    return ok({ btid: shownTo(asked)(btid), bsf: found !== undefined, cachedKeys }, about)
  }

  async function subscriber(asked: string, known?: Known): Promise<AdminAnswer> {
    const impi = refusedImpiOf(asked, known)
    if (impi === undefined) return noSuch('neither a private identity nor a pseudonym of one that was seen')
    const provisioned = options.subscribers()?.get(impi)
    const show = shownTo(asked)
    const btids = btidsOf(impi, known)
    const list = config().bsf ? await bootstrapsOf(impi, btids, show) : []
    const impus = new Set<string>(provisioned?.impus.map(({ impu }) => impu))
    const refusals = seen.refusals(
      ({ record }) =>
        record.impi === impi ||
        (record.impi === undefined &&
          ((record.btid !== undefined && btids.includes(record.btid as Btid)) ||
            (record.impus ?? []).some((impu) => impus.has(impu)))),
    )
    if (!provisioned && btids.length === 0 && refusals.length === 0) {
      return noSuch('no such subscriber was seen', { impi })
    }
    const sqn = provisioned && ((await sqns.find(impi)) ?? provisioned.sqn)
    return ok(
      {
        impi: show(impi),
        ...(sqn && { sqn: toHex(sqn) }),
        bootstraps: list,
        refusals: refusals.slice(0, MOST_REFUSALS).map((refusal) => decision(refusal, show)),
        seenSince: isoOf(seen.since),
      },
      { impi },
    )
  }

  function rebootstrap({ since = isoOf(now()), whom }: Demand): AdminAnswer {
    const about = aboutDemand(whom)
    const { ap } = config()
    if (!ap) return { ...NO_PROXY, about }
    const demand = { ...whom, since }
    const skewMs = ap.zn.adapter === 'local' ? 0 : OTHER_HOST_SKEW_MS
    try {
      if (ap.rebootstrapFile === '') {
        options.demands.add({ whom, since: Date.parse(since) }, now())
        return { status: 202, body: { demand, holdsWithinS: skewMs / 1000, keptIn: 'memory' }, about }
      }
      addDemand(ap.rebootstrapFile, demand)
      options.lookAtDemands()
      const holdsWithinS = (FOLLOWED_EVERY_MS + skewMs) / 1000
      return { status: 202, body: { demand, holdsWithinS, keptIn: 'file' }, about }
    } catch (error) {
      if (error instanceof DemandRefused) return { status: 409, detail: error.message, about }
      throw error
    }
  }

  function audit(): AdminAnswer {
    try {
      options.requireAudit()
      return { status: 200 }
    } catch {
      return AUDIT_IS_OUT
    }
  }

  async function answered(call: AdminCall): Promise<AdminAnswer> {
    switch (call.ask) {
      case 'bootstraps':
        return listed(call.impi, call.known)
      case 'bootstrap':
        return one(call.btid, call.known)
      case 'drop':
        return drop(call.btid, call.known)
      case 'subscriber':
        return subscriber(call.impi, call.known)
      case 'who':
        return who(call.name)
      case 'routes': {
        const { ap } = config()
        return ap ? ok({ routes: routesIn(ap) }) : NO_PROXY
      }
      case 'refusals': {
        const wanted = seen.refusals(({ event, record }) => isWanted(call.filter, { ...record, event }))
        const refusals = wanted.slice(0, MOST_REFUSALS).map((refusal) => decision(refusal, named))
        return ok({ refusals, seenSince: isoOf(seen.since) })
      }
      case 'look-at-demands':
        options.lookAtDemands()
        return { status: 200 }
      case 'rebootstrap':
        return rebootstrap(call.demand)
      case 'audit':
        return audit()
    }
  }

  const recordInAudit = (record: AuditRecord) => options.audit('admin.called', record)
  return {
    async answer(call) {
      try {
        return await answered(call)
      } catch (error) {
        if (error instanceof GbaError && error.code === 'STORE_UNAVAILABLE') return STORE_IS_OUT
        throw error
      }
    },
    follow(tell) {
      followers.add(tell)
      return () => followers.delete(tell)
    },
    record(record) {
      try {
        recordInAudit(record)
      } catch {
        // Why is in the log already.
        bare.error(auditFields(record, named, isClear), 'admin.called')
      }
    },
    recordInAudit,
    hear(event, record) {
      seen.record(event, record)
      if (followers.size === 0) return
      const told = decision({ at: now(), event, record }, named)
      for (const tell of followers) tell(told)
    },
  }
}

/** Whom a demand is about. */
export const aboutDemand = (whom: Demand['whom']): Pick<AuditRecord, 'btid' | 'impus'> =>
  'btid' in whom ? { btid: whom.btid } : 'impu' in whom ? { impus: [whom.impu] } : {}

export const NO_PROXY: AdminAnswer = { status: 409, detail: 'there is no proxy in this process' }
export const AUDIT_IS_OUT: AdminAnswer = { status: 503, detail: 'the audit cannot be written now' }
const NO_BSF: AdminAnswer = { status: 409, detail: 'there is no BSF in this process' }
const STORE_IS_OUT: AdminAnswer = { status: 503, detail: 'the store cannot be reached, or is full' }

const ok = (body: AdminBody, about: AdminAnswer['about'] = {}): AdminAnswer => ({ status: 200, body, about })

const noSuch = (detail: string, about: AdminAnswer['about'] = {}): AdminAnswer => ({ status: 404, detail, about })

const isoOf = (instant: EpochMs): string => new Date(instant).toISOString()
