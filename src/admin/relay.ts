import type { AuditEvent } from '../observe/audit.ts'
import { type AdminDesk, type DecisionFilter, isWanted, type ShownDecision } from './calls.ts'

/** Decisions on their way from process to process, and those that found no room. */
export interface ToldDecisions {
  readonly decisions: readonly ShownDecision[]
  readonly lost: readonly LostDecisions[]
}

export interface LostDecisions {
  readonly event: AuditEvent
  readonly code?: string
  readonly count: number
}

/** Decisions that wait until those before them have been taken: more are lost, and counted. */
const MOST_WAITING = 1_000

/**
 * Tells another process of decisions, as far as somebody wants them: nothing is made of them otherwise.
 * @param send  resolves when the other end has room for more; never rejects
 * @returns to be told what is wanted from now on; nothing: no filter
 */
export function relay(
  desk: Pick<AdminDesk, 'follow'>,
  send: (told: ToldDecisions) => Promise<void>,
  mostWaiting: number = MOST_WAITING,
): (filters: readonly DecisionFilter[]) => void {
  let filters: readonly DecisionFilter[] = []
  let leave: (() => void) | undefined
  let waiting: ShownDecision[] = []
  const lost = new Map<string, LostDecisions>()
  let isSending = false

  function hear(decision: ShownDecision): void {
    if (!filters.some((filter) => isWanted(filter, decision))) return
    if (waiting.length < mostWaiting) waiting.push(decision)
    else lose(decision)
    if (!isSending) void sendAll()
  }
  function lose({ code, event }: ShownDecision): void {
    const kind = `${event} ${code}`
    const count = (lost.get(kind)?.count ?? 0) + 1
    lost.set(kind, { event, count, ...(typeof code === 'string' && { code }) })
  }
  async function sendAll(): Promise<void> {
    isSending = true
    while (waiting.length > 0 || lost.size > 0) {
      const told = { decisions: waiting, lost: [...lost.values()] }
      waiting = []
      lost.clear()
      await send(told)
    }
    isSending = false
  }

  return (wanted) => {
    filters = wanted
    if (wanted.length > 0) leave ??= desk.follow(hear, () => {})
    else {
      leave?.()
      leave = undefined
      waiting = []
      lost.clear()
    }
  }
}
