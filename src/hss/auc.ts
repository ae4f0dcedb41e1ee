import { generateAv, nextSqn, recoverSqn } from '../core/aka.ts'
import type { Impi } from '../core/identity.ts'
import { type Milenage, milenage } from '../core/milenage.ts'
import { resumeSqn } from '../core/sqn.ts'
import { GbaError } from '../errors.ts'
import type { SqnStore } from '../store/store.ts'
import type { AvSource, Resync } from '../zh/port.ts'
import type { Subscribers } from './subscribers.ts'

export interface AucOptions {
  readonly subscribers: Pick<Subscribers, 'get'>
  readonly sqnStore: SqnStore
  /** The source of RAND. */
  readonly randomBytes: (size: number) => Uint8Array
  /** The BSF's own IND, 0 to 31, so that GBA runs do not push IMS and packet-switched ones out of step. */
  readonly ind?: number
  /** Called for every vector that was drawn. */
  readonly onDraw?: () => void
}

/**
 * The authentication centre of the HSS stub. An SQN is stored before the vector that has it leaves, so that none is
 * used twice, whatever crashes.
 * Reading: MAC-S is verified also where the home network's SQN is in range and TS 33.102 would let it pass unread:
 * a forged AUTS draws no vector.
 * @throws RangeError on an IND that is none
 * @see 3GPP TS 33.102 clause 6.3.5 (Rel-17)
 */
export function auc({ subscribers, sqnStore, randomBytes, ind = 31, onDraw }: AucOptions): AvSource {
  nextSqn(new Uint8Array(6), ind) // a wrong IND shows now, not at the first UE
  return {
    async draw(impi, resync) {
      const subscriber = subscribers.get(impi)
      if (subscriber === undefined) throw new GbaError('ZH_IMPI_UNKNOWN', `no subscriber ${impi}`)
      const algorithm = milenage(subscriber.k, subscriber.opc)
      const sqnMs = resync && verifiedSqn(algorithm, impi, resync)
      const sqn = await sqnStore.update(impi, (sqnHe = subscriber.sqn) =>
        nextSqn(sqnMs === undefined ? sqnHe : resumeSqn(sqnHe, sqnMs), ind),
      )
      const av = generateAv(algorithm, randomBytes(16), sqn, subscriber.amf)
      onDraw?.()
      return { av, guss: subscriber.guss }
    },
  }
}

function verifiedSqn(algorithm: Milenage, impi: Impi, { rand, auts }: Resync): Uint8Array {
  const sqnMs = recoverSqn(algorithm, rand, auts)
  if (sqnMs === undefined) throw new GbaError('ZH_RESYNC_REFUSED', `MAC-S is wrong, from ${impi}`)
  return sqnMs
}
