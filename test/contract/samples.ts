import { hash } from 'node:crypto'
import type { Guss, Uss } from '../../src/core/guss.ts'
import { btidOf, type Fqdn, type Impi, type Impu, type Tmpi } from '../../src/core/identity.ts'
import { Secret } from '../../src/core/secret.ts'
import type { Bootstrap } from '../../src/store/store.ts'

const digest = (text: string) => new Uint8Array(hash('sha256', text, 'buffer'))

export const anImpi = (n: number) => `00101${String(n).padStart(10, '0')}@ims.mnc001.mcc001.3gppnetwork.org` as Impi
export const aTmpi = (n: number) =>
  `${Buffer.from(digest(`tmpi ${n}`).subarray(0, 24)).toString('base64')}@tmpi.bsf.3gppnetwork.org` as Tmpi
export const aKs = (n: number) => digest(`ks ${n}`)

/** Every member present, so that one that a store forgets shows. */
const uss: Required<Uss> = {
  gsid: 1,
  gsType: 2,
  uids: ['sip:alice@example.org' as Impu, 'tel:+15550100' as Impu],
  flags: [1, 101],
  nafGroup: 'xcap',
  keyChoice: 'ME_BASED_KEY',
  droppedUids: 1,
}
const guss = (n: number): Required<Guss> => ({
  impi: anImpi(n),
  uiccType: 'GBA_U',
  keyLifetimeS: 3600,
  ussList: [uss],
})

export function aBootstrap(n: number, changes: Partial<Bootstrap> = {}): Bootstrap {
  const rand = digest(`rand ${n}`).subarray(0, 16)
  const sample: Required<Bootstrap> = {
    btid: btidOf(rand, 'bsf.example.org' as Fqdn),
    impi: anImpi(n),
    rand,
    ks: new Secret(aKs(n)),
    createdAt: 1_000,
    expiresAt: 5_000,
    gbaType: '3G_GBA',
    tmpi: aTmpi(n),
    guss: guss(n),
  }
  return { ...sample, ...changes }
}

/** A bootstrap with its key in the open, for assert.deepEqual. */
export const shown = (bootstrap: Bootstrap | undefined) =>
  bootstrap && {
    ...bootstrap,
    rand: Buffer.from(bootstrap.rand).toString('hex'),
    ks: Buffer.from(bootstrap.ks.expose(32)).toString('hex'),
  }
