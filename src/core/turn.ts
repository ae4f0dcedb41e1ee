/**
 * What is done together once all that has arrived in a turn of the event loop is read, in the order of these steps: what
 * has to be written down first is committed, and what follows from that is sent, in the same turn.
 */
export type TurnStep = 'commit' | 'send'

const waiting: Record<TurnStep, (() => void)[]> = { commit: [], send: [] }
let isArmed = false

/** Runs `work` at its step of this turn; or of the next one, where that step is over. */
export function atEndOfTurn(step: TurnStep, work: () => void): void {
  waiting[step].push(work)
  if (isArmed) return
  isArmed = true
  // Promises that the first settles go on before the second one runs.
  setImmediate(commit)
  setImmediate(send)
}

const commit = (): void => run('commit')

function send(): void {
  isArmed = false
  run('send')
  const late = waiting.commit
  waiting.commit = []
  for (const work of late) atEndOfTurn('commit', work)
}

function run(step: TurnStep): void {
  const works = waiting[step]
  waiting[step] = []
  for (const work of works) {
    try {
      work()
    } catch (error) {
      // The others are not to suffer for it.
      queueMicrotask(() => {
        throw error
      })
    }
  }
}
