import type { ChildProcess } from 'node:child_process'
import { type HostReadiness, readinessOfHost, type WorkerHealth } from '../admin/health.ts'
import { aggregate, lastingOf, type MetricReport } from '../observe/exposition.ts'
import { familiesOf } from '../observe/metrics.ts'
import type { Ask, Told } from './worker.ts'

/** What the workers of a host say of themselves, together. */
export interface WorkerReports {
  /** One that serves from now on. @param isReplacement  in the place of one that has died */
  add(number: number, child: ChildProcess, isReplacement: boolean): void
  /** It has ended: what it counted goes on to count. */
  remove(child: ChildProcess): void
  /** Counters never go back: who does not answer in time, or has died, counts with what it told last. */
  metrics(): Promise<MetricReport>
  readiness(draining: boolean): Promise<HostReadiness>
}

interface Serving {
  readonly number: number
  /** What it told last. */
  metrics: MetricReport
  readonly waiting: Map<number, (told: Told | undefined) => void>
}

/** How long a worker has to answer. */
const PATIENCE_MS = 1_000

/** @param count  workers that there are to be */
export function workerReports(count: number, patienceMs = PATIENCE_MS): WorkerReports {
  const serving = new Map<ChildProcess, Serving>()
  const ending = new Set<Serving>()
  const departed: MetricReport[] = []
  let replacements = 0
  let questions = 0

  function ask(child: ChildProcess, one: Serving, about: Ask['about']): Promise<Told | undefined> {
    if (!child.connected) return Promise.resolve(undefined)
    const id = questions++
    return new Promise((resolve) => {
      const settle = (told: Told | undefined) => {
        clearTimeout(late)
        one.waiting.delete(id)
        resolve(told)
      }
      const late = setTimeout(settle, patienceMs, undefined)
      one.waiting.set(id, settle)
      child.send({ do: 'tell', about, id } satisfies Ask, (error) => error && settle(undefined))
    })
  }
  const askAll = (about: Ask['about']) =>
    Promise.all([...serving].map(async ([child, one]) => ({ one, told: await ask(child, one, about) })))

  return {
    add(number, child, isReplacement) {
      if (isReplacement) replacements++
      const one: Serving = { number, metrics: [], waiting: new Map() }
      serving.set(child, one)
      child.on('message', (message: Told) => {
        if (message.is !== 'told') return
        if (message.metrics) one.metrics = message.metrics
        one.waiting.get(message.id)?.(message)
      })
    },
    remove(child) {
      const one = serving.get(child)
      if (!one) return
      serving.delete(child)
      for (const settle of one.waiting.values()) settle(undefined)
      const bury = () => {
        ending.delete(one)
        departed.push(lastingOf(one.metrics))
      }
      if (!child.connected) return bury()
      // its last word may still be on its way
      ending.add(one)
      child.once('disconnect', bury)
    },
    async metrics() {
      const answers = await askAll('metrics')
      const gone = [...departed]
      if (gone.length > 1) departed.splice(0, gone.length, await aggregate(gone))
      const silent = answers.filter(({ told }) => told === undefined).length
      // What somebody told while others were waited for, and who has died meanwhile, is in these.
      const live = [...serving.values()].map(({ metrics }) => metrics)
      const reports = [...live, ...[...ending].map(({ metrics }) => lastingOf(metrics)), ...departed]
      const ours = familiesOf(
        new Map([
          ['gba_proxy_workers', [{ value: count }]],
          ['gba_proxy_workers_alive', [{ value: serving.size }]],
          ['gba_proxy_workers_silent', [{ value: silent }]],
          ['gba_proxy_worker_replacements_total', [{ value: replacements }]],
        ]),
      )
      return [...(await aggregate(reports)), ...ours]
    },
    async readiness(draining) {
      const answers = await askAll('readiness')
      const workers = answers.map(({ one, told }): WorkerHealth => ({ number: one.number, readiness: told?.readiness }))
      return readinessOfHost(
        workers.sort((a, b) => a.number - b.number),
        draining,
      )
    },
  }
}
