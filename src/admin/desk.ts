import type { Config } from '../config/schema.ts'
import type { EpochMs } from '../core/bytes.ts'
import { toHex } from '../core/bytes.ts'
import { type Btid, type Impi, parseBtid, parseImpi } from '../core/identity.ts'
import { GbaError } from '../errors.ts'
import type { Subscribers } from '../hss/subscribers.ts'
import { type AuditEvent, type AuditRecord, auditFields, IN_CLEAR } from '../observe/audit.ts'
import type { BootstrapStore, SqnStore } from '../store/store.ts'
import { addDemand, DemandRefused } from '../ua/add-demand.ts'
import { FOLLOWED_EVERY_MS } from '../ua/followed-file.ts'
import {
  type AdminAnswer,
  type AdminBody,
  type AdminCall,
  type AdminDesk,
  type Demand,
  isWanted,
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
  /** What an identity is written as; undefined: in clear. */
  readonly pseudonym: ((identity: string) => string) | undefined
  /** Writes a record of the audit. */
  readonly audit: (event: AuditEvent, record: AuditRecord) => void
  readonly now: () => EpochMs
}

/** The desk of one process, which is to be told of every decision. */
export interface ProcessDesk extends AdminDesk {
  readonly hear: (event: AuditEvent, record: AuditRecord) => void
}

/** What operators may see and do in one process. No key is ever in an answer. */
export function processDesk(options: ProcessDeskOptions): ProcessDesk {
  const { bootstraps, config, now, pseudonym, sqns } = options
  const isClear = pseudonym === undefined
  const named = pseudonym ?? IN_CLEAR
  const seen = sightings({ now, named })
  const followers = new Set<(decision: ShownDecision) => void>()

  const impiOf = (text: string): Impi | undefined => parseImpi(text) ?? seen.impiBehind(text)
  const btidOf = (text: string): Btid | undefined => parseBtid(text) ?? seen.btidBehind(text)

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

  async function bootstrapsOf(impi: Impi, show: (identity: string) => string): Promise<ShownBootstrap[]> {
    const all = await Promise.all(seen.btidsOf(impi).map((btid) => shown(btid, show)))
    return all.flatMap((one) => (one?.[0] === impi ? [one[1]] : []))
  }

  function decision({ at, event, record }: Refusal, show: (identity: string) => string): ShownDecision {
    return { time: isoOf(at), event, ...auditFields(record, show, isClear) }
  }

  async function listed(asked: string): Promise<AdminAnswer> {
    const impi = impiOf(asked)
    if (impi === undefined) return noSuch('neither a private identity nor a pseudonym of one that was seen')
    if (!config().bsf) return NO_BSF
    const show = shownTo(asked)
    const list = await bootstrapsOf(impi, show)
    return ok({ impi: show(impi), bootstraps: list, seenSince: isoOf(seen.since) }, { impi })
  }

  async function one(asked: string): Promise<AdminAnswer> {
    const btid = btidOf(asked)
    if (btid === undefined) return noSuch('neither a B-TID nor a pseudonym of one that was seen')
    if (!config().bsf) return NO_BSF
    const found = await shown(btid, shownTo(asked))
    if (!found) return noSuch('the BSF has no live bootstrap of that name', { btid })
    return ok({ bootstrap: found[1] }, { btid })
  }

  async function drop(asked: string): Promise<AdminAnswer> {
    const btid = btidOf(asked)
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

  async function subscriber(asked: string): Promise<AdminAnswer> {
    const isOfPseudonym = ({ record }: Refusal) => record.impi !== undefined && named(record.impi) === asked
    const impi = impiOf(asked) ?? (seen.refusals(isOfPseudonym)[0]?.record.impi as Impi | undefined)
    if (impi === undefined) return noSuch('neither a private identity nor a pseudonym of one that was seen')
    const known = options.subscribers()?.get(impi)
    const show = shownTo(asked)
    const list = config().bsf ? await bootstrapsOf(impi, show) : []
    const btids: readonly string[] = seen.btidsOf(impi)
    const impus = new Set<string>(known?.impus.map(({ impu }) => impu))
    const refusals = seen.refusals(
      ({ record }) =>
        record.impi === impi ||
        (record.impi === undefined &&
          ((record.btid !== undefined && btids.includes(record.btid)) ||
            (record.impus ?? []).some((impu) => impus.has(impu)))),
    )
    if (!known && btids.length === 0 && refusals.length === 0) return noSuch('no such subscriber was seen', { impi })
    const sqn = known && ((await sqns.find(impi)) ?? known.sqn)
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
    const about = 'btid' in whom ? { btid: whom.btid } : 'impu' in whom ? { impus: [whom.impu] } : {}
    const file = config().ap?.rebootstrapFile ?? ''
    if (file === '') return { status: 409, detail: 'ap.rebootstrapFile is not set: demands live in that file', about }
    try {
      addDemand(file, { ...whom, since })
    } catch (error) {
      if (error instanceof DemandRefused) return { status: 409, detail: error.message, about }
      throw error
    }
    return { status: 202, body: { demand: { ...whom, since }, holdsWithinS: FOLLOWED_EVERY_MS / 1000 }, about }
  }

  async function answered(call: AdminCall): Promise<AdminAnswer> {
    switch (call.ask) {
      case 'bootstraps':
        return listed(call.impi)
      case 'bootstrap':
        return one(call.btid)
      case 'drop':
        return drop(call.btid)
      case 'subscriber':
        return subscriber(call.impi)
      case 'routes': {
        const { ap } = config()
        return ap ? ok({ routes: routesIn(ap) }) : { status: 409, detail: 'there is no proxy in this process' }
      }
      case 'refusals': {
        const wanted = seen.refusals(({ event, record }) => isWanted(call.filter, { ...record, event }))
        const refusals = wanted.slice(0, MOST_REFUSALS).map((refusal) => decision(refusal, named))
        return ok({ refusals, seenSince: isoOf(seen.since) })
      }
      case 'rebootstrap':
        return rebootstrap(call.demand)
    }
  }

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
    record: (record) => options.audit('admin.called', record),
    hear(event, record) {
      seen.record(event, record)
      if (followers.size === 0) return
      const told = decision({ at: now(), event, record }, named)
      for (const tell of followers) tell(told)
    },
  }
}

/** In one answer. */
const MOST_REFUSALS = 100

const NO_BSF: AdminAnswer = { status: 409, detail: 'there is no BSF in this process' }
const STORE_IS_OUT: AdminAnswer = { status: 503, detail: 'the store cannot be reached, or is full' }

const ok = (body: AdminBody, about: AdminAnswer['about'] = {}): AdminAnswer => ({ status: 200, body, about })

const noSuch = (detail: string, about: AdminAnswer['about'] = {}): AdminAnswer => ({ status: 404, detail, about })

const isoOf = (instant: EpochMs): string => new Date(instant).toISOString()
