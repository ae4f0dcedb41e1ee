import { once } from 'node:events'
import { openLmdb } from '../../src/store/lmdb.ts'
import { lmdbAccessLog } from '../../src/store/lmdb-access-log.ts'
import { anEntry, anOwner } from '../contract/access-log.ts'

/**
 * Run by access-log-processes.test.ts: writes into two logs, with a flush after each few entries, and says what is
 * flushed. No two writers have an instant in common.
 */
const [, , directory = '', name = '', times = ''] = process.argv
const environment = openLmdb({ directory })
const log = lmdbAccessLog({ directory, keys: environment.keys, entriesPerOwner: 1_000_000, writeBehindMs: 1_000_000 })
process.send?.('open')
await once(process, 'message')
const isEndless = times === 'forever'
const most = isEndless ? Number.POSITIVE_INFINITY : Number(times)
let waiting: number[] = []
for (let n = 0; n < most; n++) {
  const at = isEndless ? 100_000 * Number(name) + n + 1 : 3 * n + Number(name) + 1
  for (const owner of ['a', 'b']) await log.append(anOwner(owner), anEntry(at))
  waiting.push(at)
  if (n % 5 !== 4) continue
  await log.flush()
  if (isEndless) process.send?.(waiting)
  waiting = []
}
await log.close()
await environment.close()
process.disconnect()
