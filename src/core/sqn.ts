import { octetsOf } from './bytes.ts'

/**
 * IND takes the last 5 bits of an SQN: one slot per requesting domain, so that none pushes another out of step.
 * @see 3GPP TS 33.102 Annex C.1.2 (Rel-17)
 */
export const IND_COUNT = 32

/**
 * Δ: how far the SEQ of one challenge may lie above the highest one accepted.
 * @see 3GPP TS 33.102 Annex C.2.1 (Rel-17)
 */
export const SEQ_DELTA = 2 ** 28

/**
 * The sequence number for the next vector: SEQ + 1 with the requester's IND (not time-based).
 * @param sqn the last one given out, 6 octets
 * @param ind 0 to 31
 * @returns 6 octets
 * @throws RangeError past the last SEQ
 * @see 3GPP TS 33.102 Annex C.1.1 (Rel-17)
 */
export function nextSqn(sqn: Uint8Array, ind: number): Uint8Array {
  if (!Number.isInteger(ind) || ind < 0 || ind >= IND_COUNT) throw new RangeError(`IND is not 0 to 31: ${ind}`)
  const seq = seqOf(sqn) + 1
  if (seq >= SEQ_COUNT) throw new RangeError('the last SEQ is used up')
  return sqnOf(seq, ind)
}

/**
 * Where the home environment goes on counting once a USIM has shown its SQN: at its own SQN when the USIM would accept
 * the next one, else at the USIM's. It goes back only when its own is more than Δ ahead, where no USIM would follow.
 * @param sqnHe last one given out, 6 octets
 * @param sqnMs out of an AUTS that has verified, 6 octets
 * @see 3GPP TS 33.102 clause 6.3.5 (Rel-17)
 */
export function resumeSqn(sqnHe: Uint8Array, sqnMs: Uint8Array): Uint8Array {
  const ahead = seqOf(sqnHe) + 1 - seqOf(sqnMs)
  return ahead > 0 && ahead <= SEQ_DELTA ? sqnHe : sqnMs
}

/** What a USIM remembers; a value that is replaced, never changed. @see 3GPP TS 33.102 Annex C.2.2 (Rel-17) */
export interface UsimState {
  /** Last SQN accepted, by IND: 32 of 6 octets. */
  readonly sqns: readonly Uint8Array[]
}

/**
 * A USIM that stands at this SQN.
 * @param highest 6 octets; all zero by default
 * @param sqns    those slots that stand elsewhere, by IND
 * @see 3GPP TS 33.102 Annex C.2.2 (Rel-17)
 */
export function usimState(
  highest: Uint8Array = new Uint8Array(6),
  sqns: readonly (Uint8Array | undefined)[] = [],
): UsimState {
  return { sqns: Array.from({ length: IND_COUNT }, (_, ind) => octetsOf('SQN', sqns[ind] ?? highest, 6)) }
}

/**
 * SQN_MS: the highest SQN that the USIM has accepted under any IND, 6 octets.
 * @see 3GPP TS 33.102 Annex C.2.2 (Rel-17)
 */
export function highestSqn(usim: UsimState): Uint8Array {
  return usim.sqns.reduce((highest, sqn) => (numberOf(sqn) > numberOf(highest) ? sqn : highest))
}

/**
 * The USIM's judgement of freshness: SEQ above the one of its IND, and at most Δ above the highest of all.
 * Reading: the age limit L, which Annex C leaves to the operator, is not applied.
 * @param sqn 6 octets, out of an AUTN whose MAC has verified
 * @returns the next state, or undefined when the USIM asks for resynchronisation
 * @see 3GPP TS 33.102 Annex C.2.2 (Rel-17)
 */
export function acceptSqn(usim: UsimState, sqn: Uint8Array): UsimState | undefined {
  const ind = numberOf(sqn) % IND_COUNT
  const slot = usim.sqns[ind]
  if (slot === undefined || seqOf(sqn) <= seqOf(slot)) return undefined
  if (seqOf(sqn) - seqOf(highestSqn(usim)) > SEQ_DELTA) return undefined
  return { sqns: usim.sqns.with(ind, Uint8Array.from(sqn)) }
}

/** SQN = SEQ (43 bits) ‖ IND (5 bits); 48 bits fit a number without loss. */
const SEQ_COUNT = 2 ** 43
const numberOf = (sqn: Uint8Array): number => octetsOf('SQN', sqn, 6).reduce((sum, octet) => sum * 256 + octet, 0)
const seqOf = (sqn: Uint8Array): number => Math.floor(numberOf(sqn) / IND_COUNT)

function sqnOf(seq: number, ind: number): Uint8Array {
  const sqn = seq * IND_COUNT + ind
  return Uint8Array.from({ length: 6 }, (_, i) => Math.floor(sqn / 256 ** (5 - i)) % 256)
}
