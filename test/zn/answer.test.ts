import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { toHex } from '../../src/core/bytes.ts'
import type { Guss, Uss } from '../../src/core/guss.ts'
import type { Btid, Fqdn, Impi, Impu } from '../../src/core/identity.ts'
import type { UaProtocolId } from '../../src/core/naf-id.ts'
import { type FaultCode, GbaError } from '../../src/errors.ts'
import type { Bootstrap } from '../../src/store/store.ts'
import { answerBir, checkNaf, type NafEntry } from '../../src/zn/answer.ts'
import type { Bir } from '../../src/zn/port.ts'
import { hex, secret, vectors } from '../support/vectors.ts'

const golden = vectors<{
  identities: Record<'impi' | 'naf', string>
  aka: Record<'RAND' | 'Ks', string>
  btid: string
  ua: Record<'Ks_NAF' | 'uaProtocolId', string>
  pskTls: Record<'tls12' | 'tls13', Record<'uaProtocolId' | 'psk', string>>
}>('golden-flow.json')
const { ksNaf: derivations } = vectors<{
  ksNaf: readonly Record<'label' | 'nafFqdn' | 'uaProtocolId' | 'impi' | 'Ks' | 'RAND' | 'out', string>[]
}>('ks-naf.json')

const NAF = golden.identities.naf as Fqdn
const IMPI = golden.identities.impi as Impi
const uss = (gsid: number, nafGroup?: string): Uss => ({
  gsid,
  gsType: gsid,
  uids: ['sip:alice@example.org' as Impu],
  flags: [],
  ...(nafGroup !== undefined && { nafGroup }),
})
const guss: Guss = { impi: IMPI, uiccType: 'GBA', ussList: [uss(2), uss(3), uss(3, 'premium'), uss(7)] }
const bootstrap: Bootstrap = {
  btid: golden.btid as Btid,
  impi: IMPI,
  rand: hex(golden.aka.RAND),
  ks: secret(golden.aka.Ks),
  createdAt: 1_000,
  expiresAt: 5_000,
  gbaType: '3G_GBA',
  guss,
}
const naf: NafEntry = { name: 'ap', fqdns: [NAF], gsids: [2, 3], impi: false, nafGroups: [] }
const bir: Bir = {
  btid: bootstrap.btid,
  nafFqdn: NAF,
  uaProtocolId: golden.ua.uaProtocolId as UaProtocolId,
  gsids: [3],
  gbaUAware: false,
}
const answer = (changes: { naf?: Partial<NafEntry>; bir?: Partial<Bir>; bootstrap?: Partial<Bootstrap> } = {}) =>
  answerBir({ ...naf, ...changes.naf }, { ...bir, ...changes.bir }, { ...bootstrap, ...changes.bootstrap }, 4_999)
const refuses = (code: FaultCode, run: () => unknown) =>
  assert.throws(run, (error) => error instanceof GbaError && error.code === code)

describe('a NAF is let in', () => {
  test('under a name and for services of its entry', () => {
    checkNaf(naf, bir)
    checkNaf(naf, { ...bir, gsids: [] })
    checkNaf(naf, { ...bir, gsids: [3, 2] })
  })

  for (const [what, entry, asked] of [
    ['with an empty entry', { fqdns: [], gsids: [] }, {}],
    ['under another name', {}, { nafFqdn: 'xcap.example.org' as Fqdn }],
    ['under a name below its own', {}, { nafFqdn: `a.${NAF}` as Fqdn }],
    ['for a service that is not listed', {}, { gsids: [7] }],
    ['for one listed service and one that is not', {}, { gsids: [3, 7] }],
    ['for a listed service under a name that is not', { fqdns: ['other.example.org' as Fqdn] }, {}],
  ] as const satisfies [string, Partial<NafEntry>, Partial<Bir>][]) {
    test(`not ${what}`, () => refuses('ZN_NOT_AUTHORISED', () => checkNaf({ ...naf, ...entry }, { ...bir, ...asked })))
  }

  test('for all names and services: exactly when each is listed', () => {
    const fqdns = fc.constantFrom('a.example.org', 'b.example.org', 'c.example.org').map((name) => name as Fqdn)
    const gsids = fc.array(fc.nat(4))
    fc.assert(
      fc.property(fc.array(fqdns), gsids, fqdns, gsids, (ownNames, ownGsids, nafFqdn, asked) => {
        const check = () => checkNaf({ ...naf, fqdns: ownNames, gsids: ownGsids }, { ...bir, nafFqdn, gsids: asked })
        if (ownNames.includes(nafFqdn) && asked.every((gsid) => ownGsids.includes(gsid))) check()
        else refuses('ZN_NOT_AUTHORISED', check)
      }),
    )
  })
})

describe('the answer to a NAF', () => {
  test('has the golden key, the times of the bootstrap and the settings asked for', () => {
    const { ksNaf, ...rest } = answer()
    assert.equal(toHex(ksNaf.expose(32)), golden.ua.Ks_NAF)
    assert.deepEqual(rest, { expiresAt: 5_000, bootstrappedAt: 1_000, gbaType: '3G_GBA', ussList: [uss(3)] })
  })

  for (const { uaProtocolId, psk } of Object.values(golden.pskTls)) {
    test(`has the golden key for the Ua protocol ${uaProtocolId}`, () => {
      const { ksNaf } = answer({ bir: { uaProtocolId: uaProtocolId as UaProtocolId } })
      assert.equal(toHex(ksNaf.expose(32)), psk)
    })
  }

  test('is none without a bootstrap, and from the instant on at which it expires', () => {
    refuses('ZN_BTID_UNKNOWN', () => answerBir(naf, bir, undefined, 0))
    answerBir(naf, bir, bootstrap, 4_999)
    refuses('ZN_BTID_UNKNOWN', () => answerBir(naf, bir, bootstrap, 5_000))
  })

  test('has only the settings asked for, in the subscriber’s order', () => {
    assert.deepEqual(answer({ bir: { gsids: [3, 2] } }).ussList, [uss(2), uss(3)])
    assert.deepEqual(answer({ bir: { gsids: [] } }).ussList, [])
  })

  test('leaves out a setting that the subscriber lacks, or all of them', () => {
    assert.deepEqual(answer({ bootstrap: { guss: { ...guss, ussList: [uss(2)] } } }).ussList, [])
    const { guss: _, ...without } = bootstrap
    assert.deepEqual(answerBir(naf, bir, without, 0).ussList, [])
  })

  test('has a setting of a NAF group for members of that group only', () => {
    assert.deepEqual(answer({ naf: { nafGroups: ['premium'] } }).ussList, [uss(3), uss(3, 'premium')])
    assert.deepEqual(answer({ naf: { nafGroups: ['Premium', 'basic'] } }).ussList, [uss(3)])
  })

  test('has the private identity for a NAF that is trusted with it only', () => {
    assert.equal('impi' in answer(), false)
    assert.equal(answer({ naf: { impi: true } }).impi, IMPI)
  })

  const ofUicc = { guss: { ...guss, uiccType: 'GBA_U' } } as const
  for (const [what, changes, expected] of [
    ['under GBA_U for a NAF that is aware of it', { bir: { gbaUAware: true }, bootstrap: ofUicc }, true],
    ['not for a NAF that is not aware', { bootstrap: ofUicc }, false],
    ['not under GBA_ME', { bir: { gbaUAware: true } }, false],
    ['not for a subscriber without settings', { bir: { gbaUAware: true }, bootstrap: { guss: undefined } }, false],
  ] as const) {
    test(`has Ks_int_NAF ${what}`, () =>
      assert.equal('ksIntNaf' in answer(changes as Parameters<typeof answer>[0]), expected))
  }

  test('has every golden key of a mobile equipment and of a UICC', () => {
    const seen = derivations.map(({ label, nafFqdn, uaProtocolId, impi, Ks, RAND, out }) => {
      const { ksNaf, ksIntNaf } = answer({
        bir: { nafFqdn: nafFqdn as Fqdn, uaProtocolId: uaProtocolId as UaProtocolId, gbaUAware: true },
        bootstrap: { ...ofUicc, impi: impi as Impi, ks: secret(Ks), rand: hex(RAND) },
      })
      assert.equal(toHex((label === 'gba-u' ? ksIntNaf : ksNaf)?.expose(32) ?? new Uint8Array()), out)
      return label
    })
    assert.deepEqual([...new Set(seen)].sort(), ['gba-me', 'gba-u'])
  })
})
