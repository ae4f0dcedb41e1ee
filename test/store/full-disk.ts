import assert from 'node:assert/strict'
import { closeSync, openSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { lmdbBootstrapStore, openLmdb } from '../../src/store/lmdb.ts'
import { lmdbNonceLedger } from '../../src/store/lmdb-nonce-ledger.ts'
import { isUnavailable } from '../contract/adapter.ts'
import { aBootstrap } from '../contract/samples.ts'

/** Run by lmdb-directory.test.ts on a tmpfs of a few megabytes: fills it and says 'ok' if the store lived through. */
const [, , mount = ''] = process.argv
const directory = join(mount, 'state')
const options = { directory, minFreeBytes: 1024 * 1024 }
const environment = openLmdb(options)
const store = lmdbBootstrapStore(environment)
const ledger = lmdbNonceLedger({ ...options, maxNonces: 10, startedAt: 1_000 })
const withReserve = { ...options, directory: join(mount, 'reserve'), maxNonces: 300, reserveBytes: 512 * 1024 }
const reserved = lmdbNonceLedger({ ...withReserve, startedAt: 1_000 })
await store.put(aBootstrap(0))

let refused = 0
let stored = 0
for (let n = 1; refused < 200; n++) {
  await store.put(aBootstrap(n)).then(
    () => stored++,
    (error) => refused++ || assert.ok(isUnavailable(error)),
  )
}
assert.ok(stored > 500)

const ballast = openSync(join(mount, 'ballast'), 'w')
assert.throws(() => {
  for (;;) writeSync(ballast, Buffer.alloc(4096))
})
closeSync(ballast)
for (let n = 0; n < 200; n++) {
  await assert.rejects(store.put(aBootstrap(-1)), isUnavailable)
  await assert.rejects(ledger.use({ nonce: `${n}`, mintedAt: 2_000, expiresAt: 9_000 }, 1, 3_000), isUnavailable)
  const nonce = { nonce: `${n}`, mintedAt: 2_000, expiresAt: 9_000 }
  assert.equal(await reserved.use(nonce, 1, 3_000), 'accepted')
  assert.equal(await reserved.use(nonce, 1, 3_000), 'reused')
  assert.ok(await store.find(aBootstrap(n).btid, 1_000))
}

await reserved.close()
unlinkSync(join(mount, 'ballast'))
const roomy = openLmdb({ directory, minFreeBytes: 0 })
assert.equal(await lmdbBootstrapStore(roomy).sweep(5_000), stored + 1)
await lmdbBootstrapStore(roomy).put(aBootstrap(-1))
await roomy.close()
await environment.close()
await ledger.close()
process.stdout.write('ok\n')
