import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { GroupCommit } from '../../src/store/group-commit.ts'

/** Jobs append their name, in transactions that are remembered; a job that names a fault throws it. */
function recording({ most = 10, failing = () => false }: { most?: number; failing?: (jobs: number) => boolean } = {}) {
  const transactions: string[][] = []
  let open: string[] | undefined
  const commits = new GroupCommit<string, string>({
    most,
    transaction: (action, jobs) => {
      open = []
      const result = action()
      if (failing(jobs)) throw new Error('disk')
      transactions.push(open)
      return result
    },
    act: (job) => {
      open?.push(job)
      if (job.startsWith('fault')) throw new Error(job)
      return job.toUpperCase()
    },
  })
  return { commits, transactions }
}

/** The outcome of each, refusals by their message. */
const settled = async (promises: readonly Promise<string>[]) =>
  (await Promise.allSettled(promises)).map((each) => (each.status === 'fulfilled' ? each.value : each.reason.message))

describe('GroupCommit', () => {
  test('does the jobs of one turn in one transaction, in the order in which they came', async () => {
    const { commits, transactions } = recording()
    const turn = ['a', 'b', 'c'].map((job) => commits.add(job))
    assert.deepEqual(transactions, [])
    assert.deepEqual(await settled(turn), ['A', 'B', 'C'])
    assert.equal(await commits.add('d'), 'D')
    assert.deepEqual(transactions, [['a', 'b', 'c'], ['d']])
  })

  test('puts no more than so many jobs into one transaction', async () => {
    const { commits, transactions } = recording({ most: 2 })
    assert.deepEqual(await settled(['a', 'b', 'c', 'd', 'e'].map((job) => commits.add(job))), ['A', 'B', 'C', 'D', 'E'])
    assert.deepEqual(transactions, [['a', 'b'], ['c', 'd'], ['e']])
  })

  test('refuses a job for its own fault alone, and commits nothing of it', async () => {
    const { commits, transactions } = recording()
    const turn = ['a', 'fault 1', 'b', 'fault 2'].map((job) => commits.add(job))
    assert.deepEqual(await settled(turn), ['A', 'fault 1', 'B', 'fault 2'])
    assert.deepEqual(transactions, [['a'], ['b']])
  })

  test('refuses every job whose transaction does not commit, and never calls one done before', async () => {
    const { commits, transactions } = recording({ failing: () => true })
    assert.deepEqual(await settled(['a', 'b'].map((job) => commits.add(job))), ['disk', 'disk'])
    assert.deepEqual(transactions, [])
  })

  test('tries jobs one by one where all of them together are too many', async () => {
    const { commits, transactions } = recording({ failing: (jobs) => jobs > 1 })
    assert.deepEqual(await settled(['a', 'b'].map((job) => commits.add(job))), ['A', 'B'])
    assert.deepEqual(transactions, [['a'], ['b']])
  })

  test('does at once what waits when told, and nothing twice', async () => {
    const { commits, transactions } = recording()
    const turn = ['a', 'b'].map((job) => commits.add(job))
    commits.flush()
    assert.deepEqual(transactions, [['a', 'b']])
    commits.flush()
    const later = commits.add('c')
    assert.deepEqual(await settled([...turn, later]), ['A', 'B', 'C'])
    assert.deepEqual(transactions, [['a', 'b'], ['c']])
  })
})
