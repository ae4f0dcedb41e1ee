import { spawnSync } from 'node:child_process'
import { hash } from 'node:crypto'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Btid, Impi, Impu, Tmpi } from '../../src/core/identity.ts'
import { Secret } from '../../src/core/secret.ts'
import { lmdbBootstrapStore, openLmdb } from '../../src/store/lmdb.ts'
import { lmdbEnvironment } from '../../src/store/lmdb-environment.ts'
import { LmdbFile } from '../../src/store/lmdb-file.ts'
import type { Bootstrap, BootstrapStore } from '../../src/store/store.ts'

// What a million bootstrap contexts take: `node test/bench/million.ts [contexts]`.

const [, , first = '1000000', directory = mkdtempSync(join(tmpdir(), 'gba-proxy-million-'))] = process.argv
const FEW = 1_000
const LOOKUPS = 20_000
const ROUNDS = 7
const EXPIRES_AT = 4_000_000_000_000

if (first === 'open') {
  const begin = performance.now()
  const environment = openLmdb({ directory })
  const found = await lmdbBootstrapStore(environment).find(contextOf(7).btid, 1)
  process.stdout.write(JSON.stringify({ openMs: performance.now() - begin, found: found !== undefined }))
  await environment.close()
} else {
  const contexts = Number(first)
  try {
    const [few, many] = [await filled('few', FEW), await filled('many', contexts)]
    // By turns, so that whatever else this machine does concerns both.
    for (let round = 0; round < ROUNDS; round++) for (const each of [few, many]) await lookUp(each)
    const starts = [1, 2, 3].map(() => openedAnew(many.at))
    const octetsEach = Math.round(statSync(join(many.at, 'store.mdb')).size / contexts)
    const lookups = { few: medianOf(few), many: medianOf(many) }
    const ratio = lookups.many.cpuUs / lookups.few.cpuUs
    const puts = { few: await putMs(few), many: await putMs(many) }
    const report = { contexts, octetsEach, fillS: many.fillS, lookups, ratio, putMs: puts, starts }
    process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
    await Promise.all([few.close(), many.close()])
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

interface Filled {
  readonly at: string
  readonly contexts: number
  readonly store: BootstrapStore
  readonly fillS: number
  readonly rounds: { readonly us: number; readonly cpuUs: number }[]
  close(): Promise<void>
}

async function filled(name: string, contexts: number): Promise<Filled> {
  const at = join(directory, name)
  const begin = performance.now()
  await fill(at, contexts)
  const fillS = (performance.now() - begin) / 1000
  const environment = openLmdb({ directory: at })
  return { at, contexts, store: lmdbBootstrapStore(environment), fillS, rounds: [], close: environment.close }
}

async function lookUp({ store, contexts, rounds }: Filled): Promise<void> {
  const looked = Array.from({ length: LOOKUPS }, (_, i) => contextOf((i * 7_919) % contexts).btid)
  const start = performance.now()
  const cpu = process.cpuUsage()
  for (const btid of looked) if (!(await store.find(btid, 1))) throw new Error(`${btid} is not there`)
  const { user, system } = process.cpuUsage(cpu)
  rounds.push({ us: ((performance.now() - start) * 1000) / LOOKUPS, cpuUs: (user + system) / LOOKUPS })
}

function medianOf({ rounds }: Filled) {
  const middle = (key: 'us' | 'cpuUs') =>
    rounds.map((round) => round[key]).sort((a, b) => a - b)[rounds.length >> 1] ?? 0
  return { us: middle('us'), cpuUs: middle('cpuUs') }
}

async function putMs({ store, contexts }: Filled): Promise<number> {
  const begin = performance.now()
  for (let i = 0; i < 200; i++) await store.put(contextOf(contexts + i))
  return (performance.now() - begin) / 200
}

/** One commit for each, as it is in use, but none waits for the disk. */
async function fill(at: string, contexts: number): Promise<void> {
  const { keys, close } = openLmdb({ directory: at })
  await close()
  const path = join(at, 'store.mdb')
  const file = new LmdbFile({ path, durable: false, minFreeBytes: 0, freeBytes: () => Number.POSITIVE_INFINITY })
  const store = lmdbBootstrapStore(lmdbEnvironment(file, keys))
  for (let n = 0; n < contexts; n++) await store.put(contextOf(n))
  await file.close()
  spawnSync('sync', [path])
}

function openedAnew(at: string) {
  const begin = performance.now()
  const { stdout } = spawnSync(process.execPath, [import.meta.filename, 'open', at])
  return { ...JSON.parse(String(stdout)), processMs: performance.now() - begin }
}

/** As a UE with a TMPI and a GUSS of two services leaves it. */
function contextOf(n: number): Bootstrap {
  const rand = hash('sha256', `rand ${n}`, 'buffer').subarray(0, 16)
  const imsi = String(1_010_000_000_000 + n).padStart(15, '0')
  const impi = `${imsi}@ims.mnc001.mcc001.3gppnetwork.org` as Impi
  const impu = `sip:+15550${String(n).padStart(8, '0')}@ims.mnc001.mcc001.3gppnetwork.org` as Impu
  return {
    btid: `${rand.toString('base64')}@bsf.mnc001.mcc001.pub.3gppnetwork.org` as Btid,
    impi,
    rand,
    ks: new Secret(hash('sha256', `ks ${n}`, 'buffer')),
    createdAt: EXPIRES_AT - 43_200_000,
    expiresAt: EXPIRES_AT + (n % 43_200) * 1000,
    gbaType: '3G_GBA',
    tmpi: `${hash('sha256', `tmpi ${n}`, 'base64').slice(0, 32)}@tmpi.bsf.mnc001.mcc001.pub.3gppnetwork.org` as Tmpi,
    guss: {
      impi,
      uiccType: 'GBA',
      ussList: [3, 2].map((gsid) => ({ gsid, gsType: gsid, uids: [impu], flags: [1] })),
    },
  }
}
