import type { Readiness } from '../admin/health.ts'
import type { App, Listener } from '../app.ts'
import type { Config } from '../config/schema.ts'
import type { MetricReport } from '../observe/exposition.ts'
import { createLog, type Logger } from '../observe/log.ts'
import type { WorkerPlace } from '../worker-place.ts'
import type { Io } from './command.ts'
import { oneByOne, takeOver } from './reload.ts'
import { startUnprivileged } from './start.ts'

/** What a supervisor tells its workers. */
export type Order = Start | Change | Ask | { readonly do: 'hang-up' | 'stop' }

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

/** The configuration comes as text: all workers have the same, whatever has become of its file. */
export interface Start {
  readonly do: 'start'
  readonly place: WorkerPlace
  readonly yamlText: string
}

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
    else stop()
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
    app = await startUnprivileged(config, file, stderr, { place: order.place, log })
    if (!app) return 1
    started.resolve(log)
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
function tell(message: Up | Told | Changed): Promise<void> {
  return new Promise((sent) => {
    if (process.send && process.connected) process.send(message, undefined, {}, () => sent())
    else sent()
  })
}

/** Where those that come later are to listen. */
export const portsOf = (addresses: App['addresses']): Readonly<Record<string, number>> =>
  Object.fromEntries(
    Object.entries(addresses).map(([name, { port }]: [string, { port: number }]) => [name as Listener, port]),
  )
