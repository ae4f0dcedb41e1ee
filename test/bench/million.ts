import { spawnSync } from 'node:child_process'
import { hash } from 'node:crypto'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Btid, Impi, Impu, Tmpi } from '../../src/core/identity.ts'
import { Secret } from '../../src/core/secret.ts'
import { lmdbBootstrapStore, openLmdb } from '../../src/store/lmdb.ts'
import { LmdbFile } from '../../src/store/lmdb-file.ts'
import type { Bootstrap } from '../../src/store/store.ts'

// What a million bootstrap contexts take: `node test/bench/million.ts [contexts]`.

const [, , first = '1000000', directory = mkdtempSync(join(tmpdir(), 'gba-proxy-million-'))] = process.argv
const LOOKUPS = 20_000
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
    const few = await filled(1_000, 0)
    const many = await filled(contexts, 1_000)
    const starts = [1, 2, 3].map(() => openedAnew())
    const report = {
      contexts,
      octetsEach: Math.round(many.octets / contexts),
      few,
      many,
      ratio: many.cpuUs / few.cpuUs,
      starts,
    }
    process.stdout.write(`${JSON.stringify(report, null, 2)}\n`)
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
}

/** Fills the store up to so many contexts, and looks some up. */
async function filled(contexts: number, from: number) {
  const begin = performance.now()
  await fill(from, contexts)
  const fillS = (performance.now() - begin) / 1000
  const environment = openLmdb({ directory })
  const store = lmdbBootstrapStore(environment)
  const looked = Array.from({ length: LOOKUPS }, (_, i) => contextOf((i * 7_919) % contexts).btid)
  const rounds: { us: number; cpuUs: number }[] = []
  for (let round = 0; round < 5; round++) {
    const start = performance.now()
    const cpu = process.cpuUsage()
    for (const btid of looked) if (!(await store.find(btid, 1))) throw new Error(`${btid} is not there`)
    const { user, system } = process.cpuUsage(cpu)
    rounds.push({ us: ((performance.now() - start) * 1000) / LOOKUPS, cpuUs: (user + system) / LOOKUPS })
  }
  const beforePut = performance.now()
  for (let i = 0; i < 200; i++) await store.put(contextOf(contexts + i))
  const putMs = (performance.now() - beforePut) / 200
  for (let i = 0; i < 200; i++) await store.remove(contextOf(contexts + i).btid)
  await environment.close()
  const octets = statSync(join(directory, 'store.mdb')).size
  const least = (key: 'us' | 'cpuUs') => Math.min(...rounds.map((round) => round[key]))
  return { us: least('us'), cpuUs: least('cpuUs'), putMs, fillS, octets }
}

/** One commit for each, as it is in use, but none waits for the disk. */
async function fill(from: number, to: number): Promise<void> {
  const { keys, close } = openLmdb({ directory })
  await close()
  const path = join(directory, 'store.mdb')
  const file = new LmdbFile({ path, durable: false, minFreeBytes: 0, freeBytes: () => Number.POSITIVE_INFINITY })
  const store = lmdbBootstrapStore({ file, keys, close: () => file.close() })
  for (let n = from; n < to; n++) await store.put(contextOf(n))
  await file.close()
  spawnSync('sync', [path])
}

function openedAnew() {
  const begin = performance.now()
  const { stdout } = spawnSync(process.execPath, [import.meta.filename, 'open', directory])
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
