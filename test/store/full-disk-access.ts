import assert from 'node:assert/strict'
import { closeSync, openSync, statfsSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { GbaError } from '../../src/errors.ts'
import { openLmdb } from '../../src/store/lmdb.ts'
import { lmdbAccessLog } from '../../src/store/lmdb-access-log.ts'
import { anEntry, anOwner } from '../contract/access-log.ts'

/** Run by access-log-octets.test.ts on a tmpfs: long access logs fill it, and it says 'ok' if their file lived through. */
const [, , mount = ''] = process.argv
const directory = join(mount, 'state')
const { keys, close } = openLmdb({ directory })
const log = lmdbAccessLog({ directory, keys, writeBehindMs: 1_000_000, entriesPerOwner: 10_000, maxWaiting: 60_000 })
let at = 0
async function aFlood() {
  for (let n = 0; n < 60_000; n++, at++) {
    await log.append(anOwner(at % 97), { ...anEntry(at), documentSelector: 'x'.repeat(512) })
  }
  await log.flush()
}
/** Nothing may have been tried that the disk did not take. */
const isForWantOfRoom = (error: unknown) =>
  error instanceof GbaError && error.code === 'STORE_UNAVAILABLE' && error.cause === undefined

const ballast = openSync(join(mount, 'ballast'), 'w')
writeSync(ballast, Buffer.alloc(8 * 1024 * 1024))
closeSync(ballast)
let failure: unknown
while (failure === undefined) {
  await aFlood().catch((error: unknown) => {
    failure = error
  })
}
assert.ok(isForWantOfRoom(failure))
const { bavail, bsize } = statfsSync(mount)
assert.ok(bavail * bsize > 4 * 1024 * 1024)
for (let n = 0; n < 3; n++) await assert.rejects(log.flush(), isForWantOfRoom)
unlinkSync(join(mount, 'ballast'))
await log.flush().catch((error: unknown) => assert.ok(isForWantOfRoom(error)))
await log.append(anOwner('later'), anEntry(1))
assert.equal((await log.read(anOwner('later'), 1)).length, 1)
await log.close().catch((error: unknown) => assert.ok(isForWantOfRoom(error)))
await close()
process.stdout.write('ok\n')
