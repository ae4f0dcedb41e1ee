import { atEndOfTurn } from '../core/turn.ts'

export interface GroupCommitOptions<Job, Result> {
  /** Jobs of one transaction, at most: it holds up every other process. */
  readonly most: number
  /** Runs `action`, which does so many jobs, as one transaction. When it throws, nothing has changed. */
  readonly transaction: <T>(action: () => T, jobs: number) => T
  /** Does one job within a transaction, and nothing that would outlive one that is given up. */
  readonly act: (job: Job) => Result
}

interface Waiting<Job, Result> {
  readonly job: Job
  readonly resolve: (result: Result) => void
  readonly reject: (reason: unknown) => void
}

/**
 * Jobs that come within one turn of the event loop are done in one transaction at its end, in the order in which they
 * came: to begin and to commit costs several times what a job does. A job is answered once it has committed.
 */
export class GroupCommit<Job, Result> {
  readonly #options: GroupCommitOptions<Job, Result>
  #waiting: Waiting<Job, Result>[] = []

  constructor(options: GroupCommitOptions<Job, Result>) {
    this.#options = options
  }

  /** Resolves to what `act` returned; rejects with what it threw, or with what kept the transaction from committing. */
  add(job: Job): Promise<Result> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ job, resolve, reject })
      if (this.#waiting.length === 1) atEndOfTurn('commit', () => this.flush())
    })
  }

  /** Does now what waits. */
  flush(): void {
    const { most } = this.#options
    const waiting = this.#waiting
    this.#waiting = []
    if (waiting.length <= most) this.#commit(waiting)
    else for (let at = 0; at < waiting.length; at += most) this.#commit(waiting.slice(at, at + most))
  }

  #commit(batch: readonly Waiting<Job, Result>[]): void {
    const results = this.#together(batch)
    if (results === undefined) for (const waiting of batch) this.#alone(waiting)
    else for (const [at, result] of results.entries()) batch[at]?.resolve(result)
  }

  /**
   * @returns undefined when nothing has changed: whose fault it was is then refused by itself, and where space is short
   * one job needs less of it
   */
  #together(batch: readonly Waiting<Job, Result>[]): readonly Result[] | undefined {
    if (batch.length < 2) return undefined
    const { transaction, act } = this.#options
    try {
      return transaction(() => batch.map(({ job }) => act(job)), batch.length)
    } catch {
      return undefined
    }
  }

  #alone({ job, resolve, reject }: Waiting<Job, Result>): void {
    const { transaction, act } = this.#options
    try {
      resolve(transaction(() => act(job), 1))
    } catch (error) {
      reject(error)
    }
  }
}
