import type { ChildProcess } from 'node:child_process'
import type { DecisionFilter } from '../admin/calls.ts'
import type { ToldDecisions } from '../admin/relay.ts'
import type { AskedWorker, Workers } from '../admin/supervisor-desk.ts'
import { type Answered, monotonicMs, type Order, type Said } from './worker.ts'

/** Calls of operators, on their way to workers. */
export interface WorkerCalls extends Workers {
  /** One that has been given a place: it does what it is told, once it is up. It leaves when it ends. */
  add(number: number, child: ChildProcess): void
}

type Outcome = Pick<Answered, 'answer' | 'isRecorded'> | 'silent' | 'ended'

interface Line {
  readonly number: number
  readonly child: ChildProcess
  isUp: boolean
  isSilent: boolean
  readonly waiting: Map<number, (outcome: Outcome) => void>
}

/** Asks over the channel that each worker has to its supervisor. Nobody is waited for who is gone. */
export function workerCalls(): WorkerCalls {
  const lines = new Set<Line>()
  let filters: readonly DecisionFilter[] = []
  let hear: (told: ToldDecisions) => void = () => {}
  let questions = 0

  function ask(line: Line, orderOf: (id: number) => Order, patienceMs: number): Promise<Outcome> {
    const id = questions++
    return new Promise((resolve) => {
      const settle = (outcome: Outcome) => {
        clearTimeout(late)
        line.waiting.delete(id)
        line.isSilent = outcome === 'silent'
        resolve(outcome)
      }
      const late = setTimeout(settle, patienceMs, 'silent')
      line.waiting.set(id, settle)
      send(line.child, orderOf(id), () => settle('ended'))
    })
  }

  const asked = (line: Line): AskedWorker => ({
    number: line.number,
    isUp: line.isUp,
    isSilent: line.isSilent,
    async ask(call, patienceMs) {
      const { number } = line
      const outcome = await ask(line, (id) => ({ do: 'answer', id, call }), patienceMs)
      if (typeof outcome === 'string') return { number, missing: outcome }
      return { number, answer: outcome.answer ?? { status: 500, detail: 'no answer' } }
    },
    async record(record, patienceMs) {
      // Half of it, so that what is written is also told in time, and nobody else writes it again.
      const before = monotonicMs() + patienceMs / 2
      const outcome = await ask(line, (id) => ({ do: 'record', id, record, before }), patienceMs)
      return typeof outcome !== 'string' && outcome.isRecorded === true
    },
  })

  return {
    add(number, child) {
      const line: Line = { number, child, isUp: false, isSilent: false, waiting: new Map() }
      lines.add(line)
      child.on('message', (message: Said) => {
        if (message.is === 'up') line.isUp = true
        else if (message.is === 'answered') line.waiting.get(message.id)?.(message)
        else if (message.is === 'decided') hear(message)
      })
      const gone = () => {
        lines.delete(line)
        for (const settle of line.waiting.values()) settle('ended')
      }
      child.once('disconnect', gone).once('exit', gone)
      if (filters.length > 0) send(child, { do: 'follow', filters })
    },
    all: () => [...lines].sort((a, b) => a.number - b.number).map(asked),
    follow(wanted, told) {
      filters = wanted
      hear = told
      for (const { child } of lines) send(child, { do: 'follow', filters })
    },
  }
}

function send(child: ChildProcess, order: Order, onGone: () => void = () => {}): void {
  if (child.connected) child.send(order, (error) => error && onGone())
  else onGone()
}
