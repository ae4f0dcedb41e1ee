import { openLmdb } from '../../src/store/lmdb.ts'
import { lmdbAccessLog } from '../../src/store/lmdb-access-log.ts'
import { anEntry, anOwner } from '../contract/access-log.ts'

/** Run by access-log.test.ts: appends an entry every millisecond, says which, and never flushes by itself. */
const [, , directory = ''] = process.argv
const { keys } = openLmdb({ directory })
const log = lmdbAccessLog({ directory, keys, entriesPerOwner: 100_000, writeBehindMs: 50 })
for (let n = 1; ; n++) {
  await log.append(anOwner(1), anEntry(n))
  process.send?.({ n, at: performance.timeOrigin + performance.now() })
  await new Promise((resolve) => setTimeout(resolve, 1))
}
