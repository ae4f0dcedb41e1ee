import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { toHex } from '../../src/core/bytes.ts'
import type { Guss, Uss } from '../../src/core/guss.ts'
import type { Btid, Fqdn, Impi, Impu } from '../../src/core/identity.ts'
import type { UaProtocolId } from '../../src/core/naf-id.ts'
import { type FaultCode, GbaError } from '../../src/errors.ts'
import type { Bootstrap, BootstrapStore } from '../../src/store/store.ts'
import type { NafEntry } from '../../src/zn/answer.ts'
import type { Bir, KeySource } from '../../src/zn/port.ts'
import { hex, secret, vectors } from '../support/vectors.ts'
import { type Adapter, using } from './adapter.ts'

/** What the BSF behind a key source knows and allows, and what time it is there. */
export interface KeySourceWorld {
  readonly naf: NafEntry
  readonly bootstraps: BootstrapStore
  readonly now: () => number
}

const golden = vectors<{
  identities: Record<'impi' | 'naf', string>
  aka: Record<'RAND' | 'Ks', string>
  btid: string
  ua: Record<'Ks_NAF' | 'uaProtocolId', string>
}>('golden-flow.json')
const NAF = golden.identities.naf as Fqdn
const SECOND_NAF = 'lists.example.org' as Fqdn
const IMPI = golden.identities.impi as Impi
const uss = (gsid: number, nafGroup?: string): Uss => ({
  gsid,
  gsType: gsid,
  uids: ['sip:alice@example.org' as Impu, 'tel:+15550100123' as Impu],
  flags: [1],
  ...(nafGroup !== undefined && { nafGroup }),
})
const guss: Guss = { impi: IMPI, uiccType: 'GBA_U', ussList: [uss(2), uss(3), uss(3, 'premium'), uss(7)] }
export const GOLDEN_BOOTSTRAP: Bootstrap = {
  btid: golden.btid as Btid,
  impi: IMPI,
  rand: hex(golden.aka.RAND),
  ks: secret(golden.aka.Ks),
  createdAt: 1_000,
  expiresAt: 5_000,
  gbaType: '3G_GBA',
  guss,
}
export const A_NAF: NafEntry = { name: 'ap', fqdns: [NAF, SECOND_NAF], gsids: [2, 3], impi: false, nafGroups: [] }
export const A_BIR: Bir = {
  btid: GOLDEN_BOOTSTRAP.btid,
  nafFqdn: NAF,
  uaProtocolId: golden.ua.uaProtocolId as UaProtocolId,
  gsids: [3],
  gbaUAware: false,
}

export const refusesKey = (code: FaultCode, doing: Promise<unknown>) =>
  assert.rejects(doing, (error) => error instanceof GbaError && error.code === code)

const holding = (bootstrap: Bootstrap | undefined): BootstrapStore => ({
  async put() {},
  async find(btid, now) {
    return bootstrap?.btid === btid && now < bootstrap.expiresAt ? bootstrap : undefined
  },
  async findImpi() {
    return undefined
  },
  async remove() {},
  async sweep() {
    return 0
  },
})

export function keySourceContract(adapter: Adapter<KeySource, KeySourceWorld>): void {
  const on = (world: Partial<KeySourceWorld>, run: (keys: KeySource) => Promise<void>) =>
    using(adapter, { naf: A_NAF, bootstraps: holding(GOLDEN_BOOTSTRAP), now: () => 4_999, ...world }, run)

  describe(`KeySource on ${adapter.name}`, () => {
    test(
      'has the golden key, with its times, its kind and the settings asked for',
      on({}, async (keys) => {
        const { ksNaf, ...rest } = await keys.fetch(A_BIR)
        assert.equal(toHex(ksNaf.expose(32)), golden.ua.Ks_NAF)
        assert.deepEqual(rest, { expiresAt: 5_000, bootstrappedAt: 1_000, gbaType: '3G_GBA', ussList: [uss(3)] })
      }),
    )

    test(
      'has another key for each NAF name and each Ua protocol, and the same one each time',
      on({}, async (keys) => {
        const birs = [
          A_BIR,
          { ...A_BIR, nafFqdn: SECOND_NAF },
          { ...A_BIR, uaProtocolId: '0100000002' as UaProtocolId },
          A_BIR,
        ]
        const hexes = await Promise.all(birs.map(async (bir) => toHex((await keys.fetch(bir)).ksNaf.expose(32))))
        assert.equal(new Set(hexes).size, 3)
        assert.equal(hexes[0], hexes[3])
      }),
    )

    test(
      'has as many settings as were asked for: several, or none',
      on({}, async (keys) => {
        assert.deepEqual((await keys.fetch({ ...A_BIR, gsids: [3, 2] })).ussList, [uss(2), uss(3)])
        assert.deepEqual((await keys.fetch({ ...A_BIR, gsids: [] })).ussList, [])
      }),
    )

    test(
      'has a key for a subscriber without settings',
      on({ bootstraps: holding(withoutGuss()) }, async (keys) => {
        assert.deepEqual((await keys.fetch(A_BIR)).ussList, [])
      }),
    )

    test(
      'has settings of a NAF group for its members',
      on({ naf: { ...A_NAF, nafGroups: ['premium'] } }, async (keys) => {
        assert.deepEqual((await keys.fetch(A_BIR)).ussList, [uss(3), uss(3, 'premium')])
      }),
    )

    test(
      'has the private identity for a NAF trusted with it',
      on({ naf: { ...A_NAF, impi: true } }, async (keys) => {
        assert.equal((await keys.fetch(A_BIR)).impi, IMPI)
      }),
    )

    test(
      'has Ks_int_NAF beside Ks_NAF for a NAF that is aware of GBA_U',
      on({}, async (keys) => {
        const { ksNaf, ksIntNaf } = await keys.fetch({ ...A_BIR, gbaUAware: true })
        assert.equal(ksIntNaf?.length, 32)
        assert.equal(ksNaf.equals(ksIntNaf), false)
      }),
    )

    test(
      'does not know an unknown B-TID',
      on({ bootstraps: holding(undefined) }, (keys) => refusesKey('ZN_BTID_UNKNOWN', keys.fetch(A_BIR))),
    )

    test(
      'does not know a B-TID from the instant on at which it expires',
      on({ now: () => 5_000 }, (keys) => refusesKey('ZN_BTID_UNKNOWN', keys.fetch(A_BIR))),
    )

    test(
      'asks the store first, and the clock again after it',
      on({ bootstraps: { ...holding(undefined), find: async () => GOLDEN_BOOTSTRAP }, now: () => 5_000 }, (keys) =>
        refusesKey('ZN_BTID_UNKNOWN', keys.fetch(A_BIR)),
      ),
    )

    for (const [what, naf] of [
      ['a name that is not the NAF’s', { fqdns: [SECOND_NAF] }],
      ['a service that the NAF may not ask for', { gsids: [2] }],
    ] as const satisfies [string, Partial<NafEntry>][]) {
      test(
        `refuses ${what}, whether the B-TID is known or not`,
        on({ naf: { ...A_NAF, ...naf } }, async (keys) => {
          await refusesKey('ZN_NOT_AUTHORISED', keys.fetch(A_BIR))
          const unknown = `${Buffer.alloc(16).toString('base64')}@bsf.example.org` as Btid
          await refusesKey('ZN_NOT_AUTHORISED', keys.fetch({ ...A_BIR, btid: unknown }))
        }),
      )
    }

    test(
      'is out of service, which the UE sees as 503, while the BSF’s store is',
      on({ bootstraps: { ...holding(undefined), find: unavailable } }, (keys) =>
        assert.rejects(keys.fetch(A_BIR), (error) => error instanceof GbaError && error.fault.ut === 503),
      ),
    )
  })
}

function withoutGuss(): Bootstrap {
  const { guss: _, ...rest } = GOLDEN_BOOTSTRAP
  return rest
}

async function unavailable(): Promise<never> {
  throw new GbaError('STORE_UNAVAILABLE', 'as the test wants it')
}
