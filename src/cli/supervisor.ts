import { type ChildProcess, fork } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import type { App } from '../app.ts'
import type { Logger } from '../observe/log.ts'
import { FIRST_WORKER, type WorkerPlace } from '../worker-place.ts'
import { type Order, portsOf, type Up } from './worker.ts'

export interface SupervisorOptions {
  readonly count: number
  /** Program and arguments of a worker. */
  readonly worker: { readonly module: string; readonly args: readonly string[] }
  readonly log: Logger
  /** Aborted: stop. */
  readonly signal: AbortSignal
  /** Told once, when all listen. */
  readonly onUp: (addresses: App['addresses']) => void
}

/**
 * Starts workers and puts a new one in the place of each that dies. It serves nothing and holds no key.
 * The first starts alone, so that what keeps it from starting is said once, by it.
 * @returns exit code: that of a worker which could not start at first, else 0
 */
export async function supervise({ count, worker, log, signal, onUp }: SupervisorOptions): Promise<number> {
  const running = new Map<ChildProcess, Promise<unknown>>()
  const tellAll = (order: Order) => {
    for (const child of running.keys()) tell(child, order)
  }
  const stop = () => tellAll({ do: 'stop' })
  const hangUp = () => tellAll({ do: 'hang-up' })
  signal.addEventListener('abort', stop)
  process.on('SIGHUP', hangUp)

  function begin(place: WorkerPlace): Worker {
    const begun = start(worker, place)
    running.set(begun.child, begun.ended)
    void begun.ended.then(() => running.delete(begun.child))
    // asked to stop before it existed
    if (signal.aborted) tell(begun.child, { do: 'stop' })
    return begun
  }

  /** Serves in one place for good. */
  async function keep(place: WorkerPlace, first: Worker): Promise<void> {
    let quickDeaths = 0
    for (let current = first; ; current = begin(place)) {
      const up = await current.up
      const since = performance.now()
      if (up) log.info({ of: place.number, pid: current.child.pid }, 'worker.up')
      const { code, signal: by } = await current.ended
      if (signal.aborted) return
      quickDeaths = up && performance.now() - since > QUICK_MS ? 0 : quickDeaths + 1
      const waitMs = restartDelayMs(quickDeaths)
      log.error({ of: place.number, pid: current.child.pid, exit: code, by, waitMs }, 'worker.ended')
      await delay(waitMs, undefined, { signal }).catch(() => {})
      if (signal.aborted) return
    }
  }

  try {
    const first = begin({ number: FIRST_WORKER, ports: undefined })
    const addresses = await first.up
    if (!addresses) return signal.aborted ? 0 : await failure(first)
    const ports = portsOf(addresses)
    const others = Array.from({ length: count - 1 }, (_, i) => ({ number: FIRST_WORKER + 1 + i, ports }))
    const begun = others.map((place) => ({ place, worker: begin(place) }))
    const late = await Promise.all(begun.map(async (other) => ((await other.worker.up) ? [] : [other.worker])))
    const [failed] = late.flat()
    if (failed && !signal.aborted) return await failure(failed)
    if (!signal.aborted) onUp(addresses)
    await Promise.all([
      keep({ number: FIRST_WORKER, ports }, first),
      ...begun.map(({ place, worker: one }) => keep(place, one)),
    ])
    return 0
  } finally {
    stop()
    const insist = setTimeout(() => {
      for (const child of running.keys()) child.kill('SIGKILL')
    }, INSIST_MS)
    await Promise.all(running.values())
    clearTimeout(insist)
    signal.removeEventListener('abort', stop)
    process.off('SIGHUP', hangUp)
  }
}

/**
 * How long to wait before the next try: not at all for one death, longer for each that follows at once, so that what
 * cannot live does not keep a core busy.
 * @param quickDeaths in a row, this one included
 */
export function restartDelayMs(quickDeaths: number): number {
  return quickDeaths < 2 ? 0 : Math.min(MOST_DELAY_MS, 250 * 2 ** (quickDeaths - 2))
}

/** Who lived longer did not die of how it was started. */
const QUICK_MS = 5_000
const MOST_DELAY_MS = 30_000
/** Workers stop sooner by themselves. */
const INSIST_MS = 9_500

interface Worker {
  readonly child: ChildProcess
  /** Where it listens; undefined: it ended before. */
  readonly up: Promise<App['addresses'] | undefined>
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>
}

function start({ module, args }: SupervisorOptions['worker'], place: WorkerPlace): Worker {
  const child = fork(module, [...args])
  const ended: Worker['ended'] = new Promise((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }))
    // It could not even be started.
    child.once('error', () => child.pid === undefined && resolve({ code: 1, signal: null }))
  })
  const up: Worker['up'] = new Promise((resolve) => {
    child.once('message', ({ addresses }: Up) => resolve(addresses))
    void ended.then(() => resolve(undefined))
  })
  tell(child, { do: 'start', place })
  return { child, up, ended }
}

/** One that is gone needs no telling. */
function tell(child: ChildProcess, order: Order): void {
  if (child.connected) child.send(order, () => {})
}

/** It has said itself why. */
async function failure({ ended }: Worker): Promise<number> {
  return (await ended).code || 1
}
