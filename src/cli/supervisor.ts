import { type ChildProcess, fork } from 'node:child_process'
import { setTimeout as delay } from 'node:timers/promises'
import type { App } from '../app.ts'
import type { Logger } from '../observe/log.ts'
import type { StandingDemand } from '../ua/standing-demands.ts'
import { FIRST_WORKER, type WorkerPlace } from '../worker-place.ts'
import { oneByOne, watchFiles } from './reload.ts'
import { type Changed, type Order, portsOf, type Said } from './worker.ts'
import type { WorkerCalls } from './worker-calls.ts'
import type { WorkerReports } from './worker-reports.ts'

export interface SupervisorOptions {
  readonly count: number
  /** Of the configuration. */
  readonly yamlText: string
  /** Program and arguments of a worker. */
  readonly worker: { readonly module: string; readonly args: readonly string[] }
  readonly log: Logger
  /** Told of who serves. */
  readonly reports: Pick<WorkerReports, 'add' | 'remove'>
  /** Told of who has been given a place. */
  readonly calls: Pick<WorkerCalls, 'add'>
  /** What operators demand that no file has, as of now. */
  readonly demands: () => readonly StandingDemand[]
  /** Files whose change is a reason to read the configuration again. */
  readonly followed: () => readonly string[]
  /** Version of the first of them that `yamlText` is. */
  readonly since: string
  /** The configuration as it is now; undefined: it cannot be taken over, and the log says why. */
  readonly reread: () => Promise<string | undefined>
  /** Told of the text by which all workers go on. */
  readonly onTaken: (yamlText: string) => void
  /** Aborted: stop. */
  readonly signal: AbortSignal
  /** Told once, when all listen. */
  readonly onUp: (addresses: App['addresses']) => void
  /** How long workers have to end when they are told to stop; who has not is killed. Less than ten seconds by default. */
  readonly insistMs?: number
}

/**
 * Starts workers and puts a new one in the place of each that dies: one is always loaded and waits for its place, since
 * loading takes most of the time. It serves no UE itself and holds no key of any.
 * The first starts alone, so that what keeps it from starting is said once, by it.
 * @returns exit code: that of a worker which could not start at first, else 0
 */
export async function supervise(options: SupervisorOptions): Promise<number> {
  const { count, worker, log, reports, calls, signal, onUp, insistMs = INSIST_MS } = options
  const running = new Set<Worker>()
  /** Those of them that have a place. */
  const placed = new Set<Worker>()
  let { yamlText } = options
  let spare: Worker | undefined
  const tellAll = (order: Order) => {
    for (const { child } of running) tell(child, order)
  }
  let insisting: NodeJS.Timeout | undefined
  // From the first time that it is called: whoever hangs holds up nothing that comes after.
  const stop = () => {
    insisting ??= setTimeout(insist, insistMs)
    tellAll({ do: 'stop' })
  }
  function insist(): void {
    for (const { child } of running) {
      log.error({ pid: child.pid, waitedMs: insistMs }, 'worker.killed')
      child.kill('SIGKILL')
    }
  }
  const inTurn = oneByOne()
  const change = () => void inTurn(changeAll)
  const hangUp = () => {
    tellAll({ do: 'hang-up' })
    change()
  }
  signal.addEventListener('abort', stop)
  process.on('SIGHUP', hangUp)
  const unwatch = watchFiles(options.followed, change, options.since)

  /** All go over to the configuration as it is now, or none does: one that cannot takes the others back. */
  async function changeAll(): Promise<void> {
    const text = await options.reread()
    if (text === undefined || signal.aborted) return
    const before = yamlText
    // Whoever takes the place of one that ends meanwhile begins with the new one.
    yamlText = text
    const verdicts = await Promise.all([...placed].map((each) => each.change(text)))
    if (!verdicts.includes('unchanged')) return options.onTaken(text)
    yamlText = before
    log.error({}, 'config.taken-back')
    await Promise.all([...placed].map((each) => each.change(before)))
  }

  function load(): Worker {
    const loading = watched(fork(worker.module, [...worker.args]))
    running.add(loading)
    void loading.ended.then(() => {
      running.delete(loading)
      placed.delete(loading)
    })
    // asked to stop before it existed
    if (signal.aborted) tell(loading.child, { do: 'stop' })
    return loading
  }
  const hasSpare = () => spare !== undefined && running.has(spare) && spare.child.connected
  function begin(place: WorkerPlace): Worker {
    const begun = (hasSpare() && spare) || load()
    spare = undefined
    placed.add(begun)
    calls.add(place.number, begun.child)
    tell(begun.child, { do: 'start', place, yamlText, demands: options.demands() })
    return begun
  }

  /** Serves in one place for good. */
  async function keep(place: WorkerPlace, first: Worker): Promise<void> {
    let quickDeaths = 0
    for (let current = first; ; current = begin(place)) {
      const up = await current.up
      const since = performance.now()
      if (up) {
        log.info({ of: place.number, pid: current.child.pid }, 'worker.up')
        reports.add(place.number, current.child, current !== first)
      }
      if (!hasSpare() && !signal.aborted) spare = load()
      const { code, signal: by } = await current.ended
      reports.remove(current.child)
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
    unwatch()
    stop()
    await Promise.all([...running].map(({ ended }) => ended))
    clearTimeout(insisting)
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
  /** Tells it to go over to another configuration. @returns undefined: it ended instead */
  change(yamlText: string): Promise<Changed['is'] | undefined>
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>
}

function watched(child: ChildProcess): Worker {
  const ended: Worker['ended'] = new Promise((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }))
    // It could not even be started.
    child.once('error', () => child.pid === undefined && resolve({ code: 1, signal: null }))
  })
  const up: Worker['up'] = new Promise((resolve) => {
    child.on('message', (message: Said) => message.is === 'up' && resolve(message.addresses))
    void ended.then(() => resolve(undefined))
  })
  const change: Worker['change'] = (yamlText) =>
    new Promise((resolve) => {
      const hear = (message: Said) => {
        if (message.is !== 'changed' && message.is !== 'unchanged') return
        child.off('message', hear)
        resolve(message.is)
      }
      child.on('message', hear)
      void ended.then(() => resolve(undefined))
      tell(child, { do: 'change', yamlText })
    })
  return { child, up, ended, change }
}

/** One that is gone needs no telling. */
function tell(child: ChildProcess, order: Order): void {
  if (child.connected) child.send(order, () => {})
}

/** It has said itself why. */
async function failure({ ended }: Worker): Promise<number> {
  return (await ended).code || 1
}
