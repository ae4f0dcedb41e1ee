import type { AdminAnswer, AdminCall, DecisionFilter } from '../admin/calls.ts'
import type { Readiness } from '../admin/health.ts'
import { relay, type ToldDecisions } from '../admin/relay.ts'
import type { App, Listener } from '../app.ts'
import type { Config } from '../config/schema.ts'
import type { AuditRecord } from '../observe/audit.ts'
import type { MetricReport } from '../observe/exposition.ts'
import { createLog, type Logger } from '../observe/log.ts'
import { type StandingDemand, standingDemands } from '../ua/standing-demands.ts'
import type { WorkerPlace } from '../worker-place.ts'
import type { Io } from './command.ts'
import { oneByOne, takeOver } from './reload.ts'
import { startUnprivileged } from './start.ts'

/** What a supervisor tells its workers. */
export type Order = Start | Change | Ask | Call | Write | Follow | { readonly do: 'hang-up' | 'stop' }

/** Go over to another configuration. */
export interface Change {
  readonly do: 'change'
  readonly yamlText: string
}

/** What its supervisor wants to know. */
export interface Ask {
  readonly do: 'tell'
  readonly about: 'metrics' | 'readiness'
  readonly id: number
}

/** An operator asks. It is answered once this worker is up. */
export interface Call {
  readonly do: 'answer'
  readonly id: number
  readonly call: AdminCall
}

/** A call of an operator is to be recorded, unless it is too late for that: then somebody else has done it. */
export interface Write {
  readonly do: 'record'
  readonly id: number
  readonly record: AuditRecord
  /** As `monotonicMs` tells it. */
  readonly before: number
}

/** Decisions are to be told as they are made, or no more of them. */
export interface Follow {
  readonly do: 'follow'
  readonly filters: readonly DecisionFilter[]
}

/** The configuration comes as text: all workers have the same, whatever has become of its file. */
export interface Start {
  readonly do: 'start'
  readonly place: WorkerPlace
  readonly yamlText: string
  /** What operators have demanded, and no file has. */
  readonly demands: readonly StandingDemand[]
}

/** What a worker tells its supervisor. */
export type Said = Up | Changed | Told | Answered | Decided

/** What a worker tells, once: all its roles listen. */
export interface Up {
  readonly is: 'up'
  readonly addresses: App['addresses']
}

/** What became of an order to change. */
export interface Changed {
  readonly is: 'changed' | 'unchanged'
}

/** The answer, by the id of the question; what was counted comes once more, unasked, when all is done. */
export interface Told {
  readonly is: 'told'
  readonly id: number
  readonly metrics?: MetricReport
  readonly readiness?: Readiness
}

/** What became of a call, by its id. */
export interface Answered {
  readonly is: 'answered'
  readonly id: number
  readonly answer?: AdminAnswer
  readonly isRecorded?: boolean
}

/** While somebody follows. */
export interface Decided extends ToldDecisions {
  readonly is: 'decided'
}

/** A clock that all processes of a host share, and that nobody sets. */
export const monotonicMs = (): number => Number(process.hrtime.bigint() / 1_000_000n)

const UNASKED = -1

/**
 * One of several processes that a supervisor started. It waits for its place, and then serves until it is told to stop,
 * by an order or a signal, or the supervisor is gone; then it finishes what is in flight.
 */
export async function work(
  parse: (yamlText: string) => Config,
  file: string,
  { stderr, signal }: Pick<Io, 'stderr' | 'signal'>,
): Promise<number> {
  const stopping = new AbortController()
  const stop = () => stopping.abort()
  const ordered = Promise.withResolvers<Start | undefined>()
  let app: App | undefined
  const started = Promise.withResolvers<Logger>()
  const inTurn = oneByOne()
  const hangUp = () => {
    app?.reopenLogs()
    app?.reload()
  }
  const change = ({ yamlText }: Change) =>
    void inTurn(async () => {
      const log = await started.promise
      const isTaken = await takeOver(file, log, () => app?.change(parse(yamlText)) ?? [])
      await tell({ is: isTaken ? 'changed' : 'unchanged' })
    })
  const obey = (order: Order) => {
    if (order.do === 'start') ordered.resolve(order)
    else if (order.do === 'tell')
      answer(order).catch(() => {}) // it then counts as silent
    else if (order.do === 'hang-up') hangUp()
    else if (order.do === 'change') change(order)
    else if (order.do === 'answer') void call(order)
    else if (order.do === 'record') void write(order)
    else if (order.do === 'follow') void follow(order)
    else stop()
  }
  const serving = Promise.withResolvers<App>()
  const tail = serving.promise.then(({ desk }) => relay(desk, (told) => tell({ is: 'decided', ...told })))
  const follow = async ({ filters }: Follow) => (await tail)(filters)
  const call = async ({ call: its, id }: Call) => {
    const { desk } = await serving.promise
    try {
      await tell({ is: 'answered', id, answer: await desk.answer(its) })
    } catch (error) {
      const log = await started.promise
      log.error({ err: error }, 'admin.failed')
      await tell({ is: 'answered', id, answer: { status: 500, detail: 'a worker has failed, and its log says how' } })
    }
  }
  const write = async ({ before, id, record }: Write) => {
    const { desk } = await serving.promise
    const isRecorded = monotonicMs() < before && wasDone(() => desk.recordInAudit(record))
    await tell({ is: 'answered', id, isRecorded })
  }
  const answer = async ({ about, id }: Ask) => {
    if (!app) return
    if (about === 'readiness') await tell({ is: 'told', id, readiness: app.readiness() })
    else await tell({ is: 'told', id, metrics: await app.metrics() })
  }
  stopping.signal.addEventListener('abort', () => ordered.resolve(undefined))
  signal.addEventListener('abort', stop)
  process.on('message', obey).once('disconnect', stop).on('SIGHUP', hangUp)
  try {
    const order = await ordered.promise
    if (!order) return 0
    const config = parse(order.yamlText)
    const { level, identities } = config.log
    const log = createLog({ level, identities, worker: order.place.number })
    const demands = standingDemands(order.demands)
    app = await startUnprivileged(config, file, stderr, { place: order.place, log, demands })
    if (!app) return 1
    started.resolve(log)
    serving.resolve(app)
    await tell({ is: 'up', addresses: app.addresses })
    if (!stopping.signal.aborted) {
      await new Promise((resolve) => stopping.signal.addEventListener('abort', resolve, { once: true }))
    }
    await app.close()
    await tell({ is: 'told', id: UNASKED, metrics: await app.metrics() })
    return 0
  } finally {
    signal.removeEventListener('abort', stop)
    process.off('message', obey).off('disconnect', stop).off('SIGHUP', hangUp)
    // the channel alone would keep this process alive
    if (process.connected) process.disconnect()
  }
}

/** A supervisor that is gone needs no telling. */
function tell(message: Said): Promise<void> {
  return new Promise((sent) => {
    if (process.send && process.connected) process.send(message, undefined, {}, () => sent())
    else sent()
  })
}

/** What cannot be recorded says so elsewhere. */
function wasDone(act: () => void): boolean {
  try {
    act()
    return true
  } catch {
    return false
  }
}

/** Where those that come later are to listen. */
export const portsOf = (addresses: App['addresses']): Readonly<Record<string, number>> =>
  Object.fromEntries(
    Object.entries(addresses).map(([name, { port }]: [string, { port: number }]) => [name as Listener, port]),
  )
