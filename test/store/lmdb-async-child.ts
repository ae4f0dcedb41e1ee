import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { LmdbFile } from '../../src/store/lmdb-file.ts'
import { isUnavailable } from '../contract/adapter.ts'

/** Run by lmdb-async-write.test.ts: has the file to itself until a file `enough` is there, or writes until it cannot. */
const [, , what, directory = ''] = process.argv
const path = join(directory, 'one.mdb')
const file = new LmdbFile({ path, durable: true, minFreeBytes: 0, freeBytes: () => 1 })
const database = file.database('data')

if (what === 'hold') {
  const never = new Int32Array(new SharedArrayBuffer(4))
  file.write(() => {
    process.stdout.write('held\n')
    while (!existsSync(join(directory, 'enough'))) Atomics.wait(never, 0, 0, 10)
  })
} else {
  const fill = () => {
    for (let n = 0; n < 100; n++) database.putSync(randomBytes(32), randomBytes(300))
  }
  let failure: unknown
  while (failure === undefined) {
    await file.writeAsync(fill).catch((error: unknown) => {
      failure = error
    })
  }
  assert.ok(isUnavailable(failure))
  assert.equal(file.isWritable(), false)
  for (let n = 0; n < 3; n++) await assert.rejects(file.writeAsync(fill), isUnavailable)
  assert.throws(() => file.write(fill), isUnavailable)
  assert.ok(file.read(() => database.getKeysCount()) > 0)
  // A rejection that nobody handles would end the process by now.
  await new Promise((resolve) => setTimeout(resolve, 50))
  process.stdout.write('ok\n')
}
await file.close()
