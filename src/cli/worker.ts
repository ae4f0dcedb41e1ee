import type { App, Listener } from '../app.ts'
import type { Config } from '../config/schema.ts'
import type { WorkerPlace } from '../worker-place.ts'
import type { Io } from './command.ts'
import { startUnprivileged } from './start.ts'

/** What a supervisor tells its workers. */
export type Order = Start | { readonly do: 'hang-up' | 'stop' }

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
  const hangUp = () => {
    app?.reopenLogs()
    app?.reload()
  }
  const obey = (order: Order) => {
    if (order.do === 'start') ordered.resolve(order)
    else if (order.do === 'hang-up') hangUp()
    else stop()
  }
  stopping.signal.addEventListener('abort', () => ordered.resolve(undefined))
  signal.addEventListener('abort', stop)
  process.on('message', obey).once('disconnect', stop).on('SIGHUP', hangUp)
  try {
    const order = await ordered.promise
    if (!order) return 0
    app = await startUnprivileged(parse(order.yamlText), file, stderr, { place: order.place })
    if (!app) return 1
    tell({ is: 'up', addresses: app.addresses })
    if (!stopping.signal.aborted) {
      await new Promise((resolve) => stopping.signal.addEventListener('abort', resolve, { once: true }))
    }
    await app.close()
    return 0
  } finally {
    signal.removeEventListener('abort', stop)
    process.off('message', obey).off('disconnect', stop).off('SIGHUP', hangUp)
    // the channel alone would keep this process alive
    if (process.connected) process.disconnect()
  }
}

/** A supervisor that is gone needs no telling. */
function tell(message: Up): void {
  process.send?.(message, undefined, {}, () => {})
}

/** Where those that come later are to listen. */
export const portsOf = (addresses: App['addresses']): Readonly<Record<string, number>> =>
  Object.fromEntries(
    Object.entries(addresses).map(([name, { port }]: [string, { port: number }]) => [name as Listener, port]),
  )
