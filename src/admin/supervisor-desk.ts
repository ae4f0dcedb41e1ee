import type { Config } from '../config/schema.ts'
import type { EpochMs } from '../core/bytes.ts'
import type { AuditRecord } from '../observe/audit.ts'
import { type Logger, withoutRedaction } from '../observe/log.ts'
import { DemandRefused } from '../ua/add-demand.ts'
import type { StandingDemands } from '../ua/standing-demands.ts'
import {
  type AdminAnswer,
  type AdminCall,
  type AdminDesk,
  type DecisionFilter,
  type Demand,
  isWanted,
  type Known,
  type ShownDecision,
} from './calls.ts'
import { AUDIT_IS_OUT, aboutDemand, NO_PROXY } from './desk.ts'
import { mergeDone, mergeShown, type WorkerAnswer } from './merge.ts'
import type { ToldDecisions } from './relay.ts'
import { routesIn } from './routes.ts'

/** One of the processes that serve. */
export interface AskedWorker {
  readonly number: number
  /** It listens. One that does not yet will do what it is told as soon as it does. */
  readonly isUp: boolean
  /** It did not answer the last time. */
  readonly isSilent: boolean
  /** Never rejects. */
  ask(call: AdminCall, patienceMs: number): Promise<WorkerAnswer>
  /** @returns whether it wrote that record; a record that comes to it too late is not written */
  record(record: AuditRecord, patienceMs: number): Promise<boolean>
}

export interface Workers {
  /** All that there are now. */
  all(): readonly AskedWorker[]
  /** Has all tell what is wanted, also those that come later; no filter: nothing. */
  follow(filters: readonly DecisionFilter[], hear: (told: ToldDecisions) => void): void
}

export interface SupervisorDeskOptions {
  /** The configuration of now. */
  readonly config: () => Config
  readonly workers: Workers
  /** What every worker begins with. */
  readonly demands: Pick<StandingDemands, 'add'>
  readonly log: Logger
  readonly now: () => EpochMs
  /** How long a worker has to answer; 2 s by default. */
  readonly patienceMs?: number
}

const PATIENCE_MS = 2_000

/**
 * The desk of a process that has others serve: it knows the configuration, and neither store nor decisions. It asks the
 * others and makes one answer of theirs; whatever can be judged of a call, they judge. Records are written by one of them.
 */
export function supervisorDesk(options: SupervisorDeskOptions): AdminDesk {
  const { config, demands, now, patienceMs = PATIENCE_MS, workers } = options
  const bare = withoutRedaction(options.log)
  const followers = new Set<Follower>()

  /** Asks all, several times if need be; who was silent once is not waited for again. */
  function asking() {
    const silent = new Set<number>()
    return async (whom: 'serving' | 'all', call: AdminCall): Promise<readonly WorkerAnswer[]> => {
      const asked = workers.all().filter(({ isUp }) => isUp || whom === 'all')
      const answers = await Promise.all(asked.map((one) => one.ask(call, silent.has(one.number) ? 0 : patienceMs)))
      for (const one of answers) if ('missing' in one && one.missing === 'silent') silent.add(one.number)
      return answers
    }
  }

  async function show(call: Named | (AdminCall & { ask: 'refusals' })): Promise<AdminAnswer> {
    const ask = asking()
    if (call.ask === 'refusals') return mergeShown(await ask('serving', call))
    const known = knownOf(await ask('serving', { ask: 'who', name: nameIn(call) }))
    return mergeShown(await ask('serving', { ...call, known }))
  }

  /**
   * Everybody is told twice: where keys are shared, one may have taken a copy of what another has not yet let go of.
   * One that is starting is told as well, since it may have a key before it says that it is up.
   */
  async function drop(call: AdminCall & { ask: 'drop' }): Promise<AdminAnswer> {
    const ask = asking()
    const known = knownOf(await ask('serving', { ask: 'who', name: nameIn(call) }))
    const first = await ask('all', { ...call, known })
    return mergeDone([...first, ...(await ask('all', { ...call, known }))])
  }

  /** One that says nothing is no hindrance: whatever is done without it is told with the answer. */
  async function audit(call: AdminCall): Promise<AdminAnswer> {
    const answers = await asking()('serving', call)
    const isOut = answers.some((one) => 'answer' in one && one.answer.status >= 500)
    return isOut ? AUDIT_IS_OUT : { status: 200 }
  }

  async function rebootstrap({ since = new Date(now()).toISOString(), whom }: Demand): Promise<AdminAnswer> {
    const { ap } = config()
    const about = aboutDemand(whom)
    if (!ap) return { ...NO_PROXY, about }
    const call: AdminCall = { ask: 'rebootstrap', demand: { whom, since } }
    if (ap.rebootstrapFile !== '') return { about, ...(await byFile(call)) }
    try {
      // First: whoever starts from now on begins with it.
      demands.add({ whom, since: Date.parse(since) }, now())
    } catch (error) {
      if (error instanceof DemandRefused) return { status: 409, detail: error.message, about }
      throw error
    }
    return { about, ...mergeDone(await asking()('all', call)) }
  }

  /** One writes, all read. */
  async function byFile(call: AdminCall): Promise<AdminAnswer> {
    const answers: WorkerAnswer[] = []
    for (const worker of likelyFirst(workers.all())) {
      const one = await worker.ask(call, patienceMs)
      answers.push(one)
      if ('answer' in one) break
    }
    const isWritten = answers.some((one) => 'answer' in one && one.answer.status < 300)
    return mergeDone(isWritten ? [...answers, ...(await asking()('all', { ask: 'look-at-demands' }))] : answers)
  }

  async function record(its: AuditRecord): Promise<void> {
    for (const worker of likelyFirst(workers.all())) if (await worker.record(its, patienceMs / 2)) return
    const { btid: _, impi: __, impus: ___, ...rest } = its
    // Nobody is there who could write a pseudonym.
    bare.error(config().log.identities === 'clear' ? its : rest, 'admin.called')
  }

  const follow = () =>
    workers.follow(
      [...followers].map(({ filter }) => filter),
      hear,
    )
  function hear({ decisions, lost }: ToldDecisions): void {
    for (const { filter, lose, tell } of followers) {
      for (const decision of decisions) if (isWanted(filter, decision)) tell(decision)
      const count = lost.reduce((sum, some) => (isWanted(filter, { ...some }) ? sum + some.count : sum), 0)
      if (count > 0) lose(count)
    }
  }

  return {
    async answer(call) {
      switch (call.ask) {
        case 'routes': {
          const { ap } = config()
          return ap ? { status: 200, body: { routes: routesIn(ap) } } : NO_PROXY
        }
        case 'who':
        case 'look-at-demands':
          return { status: 404 }
        case 'audit':
          return audit(call)
        case 'drop':
          return drop(call)
        case 'rebootstrap':
          return rebootstrap(call.demand)
        default:
          return show(call)
      }
    },
    follow(tell, lose, filter = {}) {
      const follower = { filter, lose, tell }
      followers.add(follower)
      follow()
      return () => {
        followers.delete(follower)
        follow()
      }
    },
    record: (its) => void record(its),
  }
}

interface Follower {
  readonly filter: DecisionFilter
  readonly tell: (decision: ShownDecision) => void
  readonly lose: (count: number) => void
}

/** Calls about somebody. */
type Named = AdminCall & { ask: 'bootstraps' | 'bootstrap' | 'drop' | 'subscriber' }

const nameIn = (call: Named) => ('btid' in call ? { btid: call.btid } : { impi: call.impi })

function knownOf(answers: readonly WorkerAnswer[]): Known {
  const all = answers.flatMap((one) => ('answer' in one ? (one.answer.known ?? []) : []))
  const btids = [...new Set(all.flatMap((known) => known.btids ?? []))]
  return { ...Object.assign({}, ...all), btids }
}

/** Those that serve, and who answered the last time before others. */
const likelyFirst = (workers: readonly AskedWorker[]): AskedWorker[] =>
  workers.filter(({ isUp }) => isUp).sort((a, b) => Number(a.isSilent) - Number(b.isSilent))
