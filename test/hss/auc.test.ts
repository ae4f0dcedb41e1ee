import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { checkAutn, generateAv, usimState } from '../../src/core/aka.ts'
import { toHex } from '../../src/core/bytes.ts'
import type { Impi } from '../../src/core/identity.ts'
import { milenage } from '../../src/core/milenage.ts'
import { SEQ_DELTA } from '../../src/core/sqn.ts'
import { type FaultCode, GbaError } from '../../src/errors.ts'
import { auc } from '../../src/hss/auc.ts'
import { loadSubscribers } from '../../src/hss/subscribers.ts'
import { memorySqnStore } from '../../src/store/memory.ts'
import type { SqnStore } from '../../src/store/store.ts'
import type { AvSource } from '../../src/zh/port.ts'
import { hex, secret, vectors } from '../support/vectors.ts'

interface Golden {
  readonly resync: {
    readonly SQN_MS: string
    readonly AUTS: string
    readonly afterResync: Readonly<Record<'SQN' | 'RAND' | 'AUTN' | 'RES' | 'CK' | 'IK', string>>
  }
}

const K = '465b5ce8b199b49faa5f0a2ee238a6bc'
const OPC = 'cd63cb71954a9f4e48a5994e37a02baf'
const RAND = '23553cbe9637a89d218ae64dae47bf35'
const alice = '001010123456789@ims.mnc001.mcc001.3gppnetwork.org' as Impi
const bob = 'bob@home1.net' as Impi
const card = milenage(secret(K), secret(OPC))
const { resync } = vectors<Golden>('golden-flow.json')

const file = (sqn: string) => `subscribers:
  - impi: ${alice}
    k: ${K}
    opc: ${OPC}
    amf: b9b9
    sqn: ${sqn}
    impus: [sip:alice@home1.net]
    uss: [{ gsid: 3 }]
  - impi: ${bob}
    k: ${K}
    opc: ${OPC}
    impus: [sip:bob@home1.net]
`

interface Setup {
  readonly sqn?: string
  readonly ind?: number
  readonly sqnStore?: SqnStore
  readonly rands?: readonly string[]
}

/** An AuC whose RANDs are listed or counted, and what it did. */
function centre({ sqn = '000000000000', ind, sqnStore = memorySqnStore(), rands = [] }: Setup = {}) {
  let randCount = 0
  let drawn = 0
  const source = auc({
    subscribers: loadSubscribers(file(sqn), 'subscribers.yaml'),
    sqnStore,
    randomBytes: (size) => hex(rands[randCount++] ?? randCount.toString(16).padStart(2 * size, '0')),
    ...(ind !== undefined && { ind }),
    onDraw: () => {
      drawn++
    },
  })
  return { source, sqnStore, randCount: () => randCount, drawn: () => drawn }
}

/** What the card reads as SQN, having checked the MAC; its state never stands in the way. */
async function drawnSqn(source: AvSource, ...parameters: Parameters<AvSource['draw']>): Promise<string> {
  const { av } = await source.draw(...parameters)
  const ak = card.f2345(av.rand).ak.expose(6)
  const sqn = av.autn.slice(0, 6).map((octet, i) => octet ^ (ak[i] ?? 0))
  assert.deepEqual(generateAv(card, av.rand, sqn, av.autn.slice(6, 8)).autn, av.autn)
  return toHex(sqn)
}

/** What a card that stands at this SQN answers to the challenge. */
function autsOf(rand: Uint8Array, autn: Uint8Array, sqnMs: string): Uint8Array {
  const answer = checkAutn(card, usimState(hex(sqnMs)), rand, autn)
  assert.equal(answer.outcome, 'resync')
  return answer.auts
}

const refusedWith = (code: FaultCode) => (error: unknown) => error instanceof GbaError && error.code === code

const stored = (sqnStore: SqnStore): Promise<Uint8Array> =>
  sqnStore.update(alice, (sqn) => sqn ?? assert.fail('no SQN was stored'))

describe('auc', () => {
  test('draws the golden vector, and the GUSS with it', async () => {
    const { source } = centre({ sqn: 'ff9bb4d0b5e7', ind: 7, rands: [RAND] })
    const { av, guss } = await source.draw(alice)
    assert.equal(toHex(av.rand), RAND)
    assert.equal(toHex(av.autn), '55f328b43577b9b94a9ffac354dfafb3')
    assert.equal(toHex(av.xres.expose(8)), 'a54211d5e3ba50bf')
    assert.equal(toHex(av.ck.expose(16)), 'b40ba9a3c58b2a05bbf0d987b21bf8cb')
    assert.equal(toHex(av.ik.expose(16)), 'f769bcd751044604127672711c6d3441')
    assert.equal(guss?.impi, alice)
    assert.deepEqual(guss?.ussList[0]?.uids, ['sip:alice@home1.net'])
  })

  test('counts SEQ up by one per vector, under the BSF’s own IND', async () => {
    const { source } = centre({ sqn: '000000000023' })
    const sqns = [await drawnSqn(source, alice), await drawnSqn(source, alice), await drawnSqn(source, alice)]
    assert.deepEqual(sqns, ['00000000005f', '00000000007f', '00000000009f'])
  })

  test('counts each subscriber apart', async () => {
    const { source } = centre({ sqn: '000000000100', ind: 0 })
    assert.equal(await drawnSqn(source, alice), '000000000120')
    assert.equal(await drawnSqn(source, bob), '000000000020')
  })

  test('takes a fresh RAND for every vector and reports each', async () => {
    const { source, randCount, drawn } = centre()
    const [a, b] = [await source.draw(alice), await source.draw(alice)]
    assert.notDeepEqual(a.av.rand, b.av.rand)
    assert.equal(randCount(), 2)
    assert.equal(drawn(), 2)
  })

  test('goes on counting after a restart over the same store, whatever the file says', async () => {
    const { source, sqnStore } = centre({ sqn: '000000000000', ind: 0 })
    await source.draw(alice)
    const restarted = centre({ sqn: '000000001000', ind: 0, sqnStore })
    assert.equal(await drawnSqn(restarted.source, alice), '000000000040')
  })

  test('fifty draws at once get fifty SQNs, none left out', async () => {
    const { source } = centre({ ind: 0 })
    const sqns = await Promise.all(Array.from({ length: 50 }, () => drawnSqn(source, alice)))
    const expected = Array.from({ length: 50 }, (_, i) => (32 * (i + 1)).toString(16).padStart(12, '0'))
    assert.deepEqual(sqns.toSorted(), expected)
  })

  test('an unknown IMPI is refused, and nothing is drawn for it', async () => {
    const { source, sqnStore, drawn, randCount } = centre()
    const stranger = 'eve@home1.net' as Impi
    await assert.rejects(source.draw(stranger), refusedWith('ZH_IMPI_UNKNOWN'))
    await assert.rejects(source.draw(alice.toUpperCase() as Impi), refusedWith('ZH_IMPI_UNKNOWN'))
    assert.equal(drawn() + randCount(), 0)
    await sqnStore.update(stranger, (sqn) => {
      assert.equal(sqn, undefined)
      return new Uint8Array(6)
    })
  })

  test('a store that fails gives no vector', async () => {
    const broken: SqnStore = {
      find: async () => undefined,
      update: async () => {
        throw new GbaError('STORE_UNAVAILABLE', 'disk full')
      },
    }
    const { source, drawn } = centre({ sqnStore: broken })
    await assert.rejects(source.draw(alice), refusedWith('STORE_UNAVAILABLE'))
    assert.equal(drawn(), 0)
  })

  for (const ind of [-1, 32, 0.5]) {
    test(`refuses ${ind} as IND before any UE comes`, () => assert.throws(() => centre({ ind }), RangeError))
  }
})

describe('auc, resynchronisation', () => {
  test('golden: SQN_MS out of AUTS, and the next vector above it', async () => {
    const { SQN, RAND: rand2, AUTN, RES, CK, IK } = resync.afterResync
    const { source, sqnStore } = centre({ sqn: 'ff9bb4d0b5e7', ind: 7, rands: [RAND, rand2] })
    await source.draw(alice)
    const { av } = await source.draw(alice, { rand: hex(RAND), auts: hex(resync.AUTS) })
    assert.equal(toHex(av.rand), rand2)
    assert.equal(toHex(av.autn), AUTN)
    assert.equal(toHex(av.xres.expose(8)), RES)
    assert.equal(toHex(av.ck.expose(16)), CK)
    assert.equal(toHex(av.ik.expose(16)), IK)
    assert.equal(toHex(await stored(sqnStore)), SQN)
  })

  test('the card takes the vector that follows, wherever it stood', async () => {
    for (const sqnMs of ['000000000fff', '0fffffffffff', 'fffffffff000']) {
      const { source } = centre()
      const { av } = await source.draw(alice)
      const next = await source.draw(alice, { rand: av.rand, auts: autsOf(av.rand, av.autn, sqnMs) })
      assert.equal(checkAutn(card, usimState(hex(sqnMs)), next.av.rand, next.av.autn).outcome, 'ok')
    }
  })

  test('keeps its own SQN when another draw has taken it past the card’s already', async () => {
    const { source } = centre({ ind: 0 })
    const { av } = await source.draw(alice)
    const auts = autsOf(av.rand, av.autn, '000000000040')
    for (let i = 0; i < 9; i++) await source.draw(alice)
    assert.equal(await drawnSqn(source, alice, { rand: av.rand, auts }), '000000000160')
  })

  test('the same AUTS twice does not take SQN back', async () => {
    const { source } = centre({ ind: 0 })
    const { av } = await source.draw(alice)
    const again = { rand: av.rand, auts: autsOf(av.rand, av.autn, '000000000400') }
    assert.equal(await drawnSqn(source, alice, again), '000000000420')
    assert.equal(await drawnSqn(source, alice, again), '000000000440')
  })

  test('goes down to a card that is more than Δ behind, which would follow no other way', async () => {
    const far = (32 * (SEQ_DELTA + 1)).toString(16).padStart(12, '0')
    const { source } = centre({ sqn: far, ind: 0 })
    const { av } = await source.draw(alice)
    const auts = autsOf(av.rand, av.autn, '000000000000')
    assert.equal(await drawnSqn(source, alice, { rand: av.rand, auts }), '000000000020')
  })

  const wrong: readonly (readonly [string, (rand: Uint8Array, auts: Uint8Array) => [Uint8Array, Uint8Array]])[] = [
    ['one bit of MAC-S is wrong', (rand, auts) => [rand, auts.with(13, (auts[13] ?? 0) ^ 1)]],
    ['one bit of SQN_MS is wrong', (rand, auts) => [rand, auts.with(0, (auts[0] ?? 0) ^ 0x80)]],
    ['it belongs to another RAND', (rand, auts) => [rand.with(0, (rand[0] ?? 0) ^ 1), auts]],
    ['it is all zero', (rand) => [rand, new Uint8Array(14)]],
  ]
  for (const [what, spoil] of wrong) {
    test(`AUTS is refused and SQN stays where it was when ${what}`, async () => {
      const { source, sqnStore, drawn, randCount } = centre()
      const { av } = await source.draw(alice)
      const before = await stored(sqnStore)
      const [rand, auts] = spoil(av.rand, autsOf(av.rand, av.autn, '00000fffffff'))
      await assert.rejects(source.draw(alice, { rand, auts }), refusedWith('ZH_RESYNC_REFUSED'))
      assert.deepEqual(await stored(sqnStore), before)
      assert.equal(drawn(), 1)
      assert.equal(randCount(), 1)
    })
  }
})
