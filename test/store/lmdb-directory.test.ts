import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { utf8 } from '../../src/core/bytes.ts'
import { GbaError } from '../../src/errors.ts'
import { lmdbBootstrapStore, openLmdb } from '../../src/store/lmdb.ts'
import { LmdbFile } from '../../src/store/lmdb-file.ts'
import { lmdbNonceLedger } from '../../src/store/lmdb-nonce-ledger.ts'
import { flipLastBit, holds, isUnavailable } from '../contract/adapter.ts'
import { aBootstrap, aTmpi, shown } from '../contract/samples.ts'
import { aDirectory, atRest, octetsIn } from './directory.ts'

const modeOf = (path: string) => (statSync(path).mode & 0o777).toString(8)

/** The refusal names the path, so that the operator knows where to look. */
const refusalNaming = (path: string) => (error: unknown) =>
  error instanceof GbaError && error.code === 'STORE_UNAVAILABLE' && error.message.includes(path)

async function aStoreWithOne(): Promise<string> {
  const directory = join(aDirectory(), 'state')
  const environment = openLmdb({ directory })
  await lmdbBootstrapStore(environment).put(aBootstrap(1))
  await environment.close()
  return directory
}

describe('openLmdb', () => {
  test('a first start makes the directory, the key file and the store for this user alone', async () => {
    const directory = await aStoreWithOne()
    assert.equal(modeOf(directory), '700')
    assert.deepEqual(readdirSync(directory).sort(), ['seal.key', 'store.mdb', 'store.mdb-lock'])
    for (const name of readdirSync(directory)) assert.equal(modeOf(join(directory, name)), '600')
  })

  test('what the engine keeps in the clear is seen by the search that finds no secrets', async () => {
    assert.ok(holds(octetsIn(await aStoreWithOne()), utf8('bootstraps')))
  })

  test('the key file may lie elsewhere', async () => {
    const directory = join(aDirectory(), 'state')
    const keyFile = join(aDirectory(), 'keys')
    for (let start = 0; start < 2; start++) await openLmdb({ directory, keyFile }).close()
    assert.equal(existsSync(join(directory, 'seal.key')), false)
    assert.equal(modeOf(keyFile), '600')
  })

  test('a directory that others may write to is refused', () => {
    const directory = aDirectory()
    chmodSync(directory, 0o770)
    assert.throws(() => openLmdb({ directory }), refusalNaming(directory))
  })

  test('a directory that cannot be made is refused', () => {
    const file = join(aDirectory(), 'file')
    writeFileSync(file, '')
    assert.throws(() => openLmdb({ directory: join(file, 'state') }), refusalNaming(file))
  })

  test('a key file that others may read is refused', async () => {
    const directory = await aStoreWithOne()
    chmodSync(join(directory, 'seal.key'), 0o640)
    assert.throws(() => openLmdb({ directory }), refusalNaming(join(directory, 'seal.key')))
  })

  test('a store whose key file is gone is refused, and no new key is made', async () => {
    const directory = await aStoreWithOne()
    rmSync(join(directory, 'seal.key'))
    assert.throws(() => openLmdb({ directory }), refusalNaming(join(directory, 'seal.key')))
    assert.equal(existsSync(join(directory, 'seal.key')), false)
  })

  test('the key file of another store is refused', async () => {
    const [directory, other] = [await aStoreWithOne(), await aStoreWithOne()]
    writeFileSync(join(directory, 'seal.key'), readFileSync(join(other, 'seal.key')))
    assert.throws(() => openLmdb({ directory }), refusalNaming(directory))
  })

  for (const [name, change] of [
    ['cut short', (text: string) => text.slice(0, -2)],
    ['with a line that is no key', (text: string) => `${text}seal 1 2\n`],
    ['with a key id twice', (text: string) => text + text.slice(text.indexOf('\nseal '))],
    ['with two index lines', (text: string) => text + text.slice(text.indexOf('\nindex '), text.indexOf('\nseal '))],
    ['without an index', (text: string) => text.slice(text.indexOf('\nseal '))],
    ['without a seal', (text: string) => text.slice(0, text.indexOf('\nseal '))],
    ['that is empty', () => ''],
  ] as const) {
    test(`a key file ${name} is refused`, async () => {
      const directory = await aStoreWithOne()
      const keyFile = join(directory, 'seal.key')
      writeFileSync(keyFile, change(readFileSync(keyFile, 'utf8')))
      assert.throws(() => openLmdb({ directory }), refusalNaming(keyFile))
    })
  }

  test('after a rotation the new key seals, the old one still opens, and without the old one its records are refused', async () => {
    const directory = await aStoreWithOne()
    const keyFile = join(directory, 'seal.key')
    const before = readFileSync(keyFile, 'utf8')
    appendFileSync(keyFile, `seal 0000002a ${'7'.repeat(64)}\n`)
    const rotated = openLmdb({ directory })
    const store = lmdbBootstrapStore(rotated)
    await store.put(aBootstrap(2))
    assert.deepEqual(shown(await store.find(aBootstrap(1).btid, 1_000)), shown(aBootstrap(1)))
    assert.deepEqual(shown(await store.find(aBootstrap(2).btid, 1_000)), shown(aBootstrap(2)))
    await rotated.close()

    writeFileSync(keyFile, before)
    const rolledBack = openLmdb({ directory })
    await assert.rejects(lmdbBootstrapStore(rolledBack).find(aBootstrap(2).btid, 1_000), isUnavailable)
    await rolledBack.close()
  })

  test('a store of a later format is refused and left as it is', async () => {
    const directory = await aStoreWithOne()
    const environment = openLmdb({ directory })
    const marks = environment.file.database('marks')
    environment.file.write(() => marks.putSync(utf8('format'), utf8('2')))
    await environment.close()
    assert.throws(() => openLmdb({ directory }), refusalNaming(directory))
  })

  test('a TMPI made to point at the bootstrap of another subscriber is refused', async () => {
    const environment = openLmdb({ directory: await aStoreWithOne() })
    const store = lmdbBootstrapStore(environment)
    await store.put(aBootstrap(2))
    await atRest('', environment.file, environment.file.database('tmpis')).swap()
    await assert.rejects(store.findImpi(aTmpi(1), 1_000), isUnavailable)
    await environment.close()
  })

  test('a closed store refuses instead of crashing, and closes twice', async () => {
    const environment = openLmdb({ directory: await aStoreWithOne() })
    const store = lmdbBootstrapStore(environment)
    await environment.close()
    await environment.close()
    await assert.rejects(store.find(aBootstrap(1).btid, 1_000), isUnavailable)
    await assert.rejects(store.put(aBootstrap(2)), isUnavailable)
  })

  test('the same directory can be open twice in one process, and each sees the other’s writes', async () => {
    const directory = await aStoreWithOne()
    const [one, two] = [openLmdb({ directory }), openLmdb({ directory })]
    await lmdbBootstrapStore(one).put(aBootstrap(2))
    assert.ok(await lmdbBootstrapStore(two).find(aBootstrap(2).btid, 1_000))
    await one.close()
    assert.ok(await lmdbBootstrapStore(two).find(aBootstrap(1).btid, 1_000))
    await two.close()
  })
})

describe('LMDB on a disk that fills', () => {
  test('below the free space it must leave, a store reads, refuses to write, and writes again with room', async () => {
    let free = 1_000
    const environment = openLmdb({ directory: await aStoreWithOne(), minFreeBytes: 1_000, freeBytes: () => free })
    const store = lmdbBootstrapStore(environment)
    await store.put(aBootstrap(2))
    free = 999
    await assert.rejects(store.put(aBootstrap(3)), isUnavailable)
    await assert.rejects(store.remove(aBootstrap(1).btid), isUnavailable)
    assert.ok(await store.find(aBootstrap(1).btid, 1_000))
    assert.equal(await store.find(aBootstrap(3).btid, 1_000), undefined)
    free = 1_000
    await store.put(aBootstrap(3))
    assert.ok(await store.find(aBootstrap(3).btid, 1_000))
    await environment.close()
  })

  test('a store opens for reading on a full disk, and none is begun there', async () => {
    const full = { minFreeBytes: 1_000, freeBytes: () => 0 }
    const environment = openLmdb({ directory: await aStoreWithOne(), ...full })
    assert.ok(await lmdbBootstrapStore(environment).find(aBootstrap(1).btid, 1_000))
    await environment.close()
    const directory = aDirectory()
    assert.throws(() => openLmdb({ directory, ...full }), isUnavailable)
    assert.equal(existsSync(join(directory, 'store.mdb')), false)
  })

  test('a really full tmpfs is never written to: the process lives, keeps what it has and goes on with room', (t) => {
    const script = join(import.meta.dirname, 'full-disk.ts')
    const directory = aDirectory()
    const mount = 'mount -t tmpfs -o size=8m none "$1" && exec "$2" "$3" "$1"'
    const unshare = ['--mount', ...(process.getuid?.() === 0 ? [] : ['--map-root-user'])]
    const argv = [...unshare, 'sh', '-c', mount, 'sh', directory, process.execPath, script]
    if (spawnSync('unshare', [...unshare, 'true']).status !== 0) return t.skip('no mount namespaces here')
    const { status, stdout, stderr } = spawnSync('unshare', argv, { encoding: 'utf8' })
    assert.equal(status, 0, stderr)
    assert.equal(stdout.trim(), 'ok')
  })
})

describe('lmdbNonceLedger', () => {
  const nonce = { nonce: 'n', mintedAt: 2_000, expiresAt: 9_000 }
  const limits = { maxNonces: 10, startedAt: 1_000 }

  test('a new boot of the host begins a new file and forgets what was minted before', async () => {
    const directory = aDirectory()
    const before = lmdbNonceLedger({ directory, ...limits, bootId: 'one' })
    assert.equal(await before.use(nonce, 1, 3_000), 'accepted')
    await before.close()
    const after = lmdbNonceLedger({ directory, ...limits, startedAt: 4_000, bootId: 'two' })
    assert.equal(await after.use(nonce, 1, 5_000), 'forgotten')
    assert.equal(await after.use(nonce, 2, 5_000), 'forgotten')
    assert.equal(await after.use({ ...nonce, mintedAt: 4_001 }, 1, 5_000), 'accepted')
    await after.close()
    assert.deepEqual(readdirSync(directory).sort(), ['nonces-two.mdb', 'nonces-two.mdb-lock'])
  })

  test('what was minted ahead of a clock that was behind is of no other boot, whatever the clock says then', async () => {
    const directory = aDirectory()
    const before = lmdbNonceLedger({ directory, ...limits, bootId: 'one' })
    const { floor, generation } = before.standing() ?? assert.fail('it stands nowhere')
    const ahead = { ...nonce, mintedAt: floor + 1, generation }
    assert.equal(await before.use(ahead, 1, 10), 'accepted')
    await before.close()
    const after = lmdbNonceLedger({ directory, ...limits, startedAt: 10, bootId: 'two' })
    for (const now of [10, floor, floor + 1, 3_000]) assert.equal(await after.use(ahead, 1, now), 'forgotten')
    await after.close()
  })

  test('where boots have no names one file goes on', async () => {
    const directory = aDirectory()
    for (const outcome of ['accepted', 'reused']) {
      const ledger = lmdbNonceLedger({ directory, ...limits, bootId: undefined })
      assert.equal(await ledger.use(nonce, 1, 3_000), outcome)
      await ledger.close()
    }
  })

  test('no nonce lies in the clear, and the store beside it is untouched', async () => {
    const directory = await aStoreWithOne()
    mkdirSync(join(directory, 'nonces-of-mine'))
    const ledger = lmdbNonceLedger({ directory, ...limits })
    await ledger.use({ ...nonce, nonce: 'a-nonce-of-some-length' }, 1, 3_000)
    assert.equal(holds(octetsIn(directory), utf8('a-nonce-of-some-length')), false)
    await ledger.close()
    await openLmdb({ directory }).close()
    assert.ok(existsSync(join(directory, 'nonces-of-mine')))
  })

  test('a full disk is an unavailable ledger, never an accepted count', async () => {
    let free = 1
    const ledger = lmdbNonceLedger({ directory: aDirectory(), ...limits, minFreeBytes: 1, freeBytes: () => free })
    free = 0
    await assert.rejects(ledger.use(nonce, 1, 3_000), isUnavailable)
    free = 1
    assert.equal(await ledger.use(nonce, 1, 3_000), 'accepted')
    await ledger.close()
  })

  test('uses of one turn are judged in the order in which they came, each against those before it', async () => {
    const ledger = lmdbNonceLedger({ directory: aDirectory(), ...limits })
    const ncs = [5, 5, 4, 6, 4, 9, 7, 7]
    const turn = await Promise.all(ncs.map((nc) => ledger.use(nonce, nc, 3_000)))
    const known = new Set<number>()
    const expected = ncs.map((nc) => (known.has(nc) ? 'reused' : known.add(nc) && 'accepted'))
    assert.deepEqual(turn, expected)
    await ledger.close()
  })

  test('2000 uses of one turn, of which half are copies, are accepted once each', async () => {
    const ledger = lmdbNonceLedger({ directory: aDirectory(), ...limits, maxNonces: 2_000 })
    const uses = Array.from({ length: 2_000 }, (_, n) => ({ ...nonce, nonce: `n ${n % 1_000}` }))
    const turn = await Promise.all(uses.map((use) => ledger.use(use, 1, 3_000)))
    assert.deepEqual(
      turn,
      uses.map((_, n) => (n < 1_000 ? 'accepted' : 'reused')),
    )
    await ledger.close()
  })

  test('a damaged record refuses its own uses and none of those that come with them', async () => {
    const directory = aDirectory()
    const ledger = lmdbNonceLedger({ directory, ...limits, bootId: 'one' })
    await ledger.use(nonce, 1, 3_000)
    const path = join(directory, 'nonces-one.mdb')
    const file = new LmdbFile({ path, durable: false, minFreeBytes: 0, freeBytes: () => 1 })
    await atRest(directory, file, file.database('nonces')).tamper(flipLastBit)
    await file.close()
    const others = ['a', 'b', 'a'].map((name) => ({ ...nonce, nonce: name }))
    const [a, b, damaged, again] = await Promise.allSettled(
      [others[0], others[1], nonce, others[2]].map((each) => ledger.use(each ?? nonce, 2, 3_000)),
    )
    assert.deepEqual(
      [a, b, again].map((each) => each?.status === 'fulfilled' && each.value),
      ['accepted', 'accepted', 'reused'],
    )
    assert.ok(damaged?.status === 'rejected' && isUnavailable(damaged.reason))
    await ledger.close()
  })

  test('a bad count among others is refused alone, and never where it is asked', async () => {
    const ledger = lmdbNonceLedger({ directory: aDirectory(), ...limits })
    const turn = [1, -1, 2, Number.NaN].map((nc) => ledger.use(nonce, nc, 3_000))
    assert.deepEqual(
      (await Promise.allSettled(turn)).map((each) => (each.status === 'fulfilled' ? each.value : each.reason.name)),
      ['accepted', 'RangeError', 'accepted', 'RangeError'],
    )
    await ledger.close()
  })

  test('what waits when it is closed is committed, what comes after is refused', async () => {
    const directory = aDirectory()
    const ledger = lmdbNonceLedger({ directory, ...limits })
    const turn = [1, 2, 3].map((nc) => ledger.use(nonce, nc, 3_000))
    const closing = ledger.close()
    const late = ledger.use(nonce, 4, 3_000)
    assert.deepEqual(await Promise.all(turn), ['accepted', 'accepted', 'accepted'])
    await assert.rejects(late, isUnavailable)
    await closing
    const again = lmdbNonceLedger({ directory, ...limits })
    for (const nc of [1, 2, 3]) assert.equal(await again.use(nonce, nc, 3_000), 'reused')
    assert.equal(await again.use(nonce, 4, 3_000), 'accepted')
    await again.close()
  })

  test('a full disk refuses all uses of a turn; where it has room for one, they go one by one', async () => {
    let free = 1
    const ledger = lmdbNonceLedger({ directory: aDirectory(), ...limits, minFreeBytes: 1, freeBytes: () => free })
    const turn = () => Promise.allSettled([1, 2, 3].map((nc) => ledger.use(nonce, nc, 3_000)))
    free = 0
    for (const each of await turn()) assert.ok(each.status === 'rejected' && isUnavailable(each.reason))
    free = 1
    assert.deepEqual(
      (await turn()).map((each) => each.status === 'fulfilled' && each.value),
      ['accepted', 'accepted', 'accepted'],
    )
    await ledger.close()
  })
})
