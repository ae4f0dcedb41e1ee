import { hash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { finished } from 'node:stream/promises'
import { toBase64 } from '../../../src/core/bytes.ts'
import { btidOf, type Fqdn, type Impi, type Impu } from '../../../src/core/identity.ts'
import { deriveKsNaf } from '../../../src/core/kdf.ts'
import { nafIdOf, uaProtocolIdOfSuite } from '../../../src/core/naf-id.ts'
import { Secret } from '../../../src/core/secret.ts'
import { lmdbBootstrapStore, openLmdb } from '../../../src/store/lmdb.ts'
import { lmdbEnvironment } from '../../../src/store/lmdb-environment.ts'
import { LmdbFile } from '../../../src/store/lmdb-file.ts'
import { lmdbNonceLedger } from '../../../src/store/lmdb-nonce-ledger.ts'
import { secretFile } from '../../../src/store/secret-file.ts'
import type { Bootstrap } from '../../../src/store/store.ts'
import { mintNonce, NONCE_RANDOM_OCTETS } from '../../../src/ua/nonce.ts'
import { BSF, DOMAIN, md5, NAF, REALM } from './ues.ts'

/** UEs of whom each has a bootstrap and a nonce, as the load reads them. */
export interface KeyHolders {
  /** A record for each: RAND in base64 (24), HA1 (32), nonce (40). */
  readonly file: string
  readonly count: number
}

const LIFETIME_MS = 43_200_000
const MINUTE_MS = 60_000
/** A commit for so many: nobody is acknowledged anything. */
const AT_ONCE = 500

/**
 * Puts bootstraps straight into the store of a process that has not started yet, and nonces of its key with them.
 * @param home  directory of the process; its store is `state`
 */
export async function provisionKeys(home: string, count: number): Promise<KeyHolders> {
  const directory = join(home, 'state')
  const { keys, close } = openLmdb({ directory })
  await close()
  // A record of nonces that begins before them: the process would take a younger one for none that remembers them.
  await lmdbNonceLedger({ directory, maxNonces: 4 * count, startedAt: Date.now() - MINUTE_MS }).close()
  const nonceKey = secretFile(join(directory, 'nonce.key'))
  const path = join(directory, 'store.mdb')
  const free = { minFreeBytes: 0, freeBytes: () => Number.POSITIVE_INFINITY }
  const environment = lmdbEnvironment(new LmdbFile({ path, durable: false, ...free }), keys)
  const store = lmdbBootstrapStore(environment)
  const suite = uaProtocolIdOfSuite('TLS_AES_128_GCM_SHA256')
  if (!suite) throw new TypeError('the suite has a code')
  const nafId = nafIdOf(NAF, suite)
  const file = join(home, 'holders')
  const holders = createWriteStream(file, { mode: 0o600 })
  const now = Date.now()
  let puts: Promise<void>[] = []
  for (let n = 0; n < count; n++) {
    const bootstrap = bootstrapOf(n, now)
    const { btid, ks, rand, impi } = bootstrap
    puts.push(store.put(bootstrap))
    const password = toBase64(deriveKsNaf(ks, rand, impi, nafId).expose(32))
    const random = hash('sha256', `nonce ${n}`, 'buffer').subarray(0, NONCE_RANDOM_OCTETS)
    const nonce = mintNonce(nonceKey, NAF, now, random)
    holders.write(`${toBase64(rand)}${md5(`${btid}:${REALM}:${password}`)}${nonce}`)
    if (puts.length < AT_ONCE) continue
    await Promise.all(puts)
    puts = []
  }
  await Promise.all(puts)
  await environment.close()
  holders.end()
  await finished(holders)
  return { file, count }
}

/** As a UE with a GUSS of two services leaves it. */
function bootstrapOf(n: number, now: number): Bootstrap {
  const rand = hash('sha256', `rand ${n}`, 'buffer').subarray(0, 16)
  const impi = `${String(1_010_000_000_000 + n).padStart(15, '0')}@${DOMAIN}` as Impi
  return {
    btid: btidOf(rand, BSF as Fqdn),
    impi,
    rand,
    ks: new Secret(hash('sha256', `ks ${n}`, 'buffer')),
    createdAt: now,
    expiresAt: now + LIFETIME_MS,
    gbaType: '3G_GBA',
    guss: {
      impi,
      uiccType: 'GBA',
      ussList: [3, 2].map((gsid) => ({ gsid, gsType: gsid, uids: [impuOf(n)], flags: [] })),
    },
  }
}

/** The load makes the same of the number. */
const impuOf = (n: number): Impu => `sip:holder${String(n).padStart(8, '0')}@${DOMAIN}` as Impu
