import type { EpochMs } from '../core/bytes.ts'
import type { BootstrapStore } from '../store/store.ts'
import { answerBir, checkNaf, type NafEntry } from './answer.ts'
import type { KeySource } from './port.ts'

/**
 * Zn within one process: the AP and the BSF are the same program. The rules are those of the wire.
 * @param nafOf  the entry of this AP as it is now
 */
export const localKeySource = (bootstraps: BootstrapStore, nafOf: () => NafEntry, now: () => EpochMs): KeySource => ({
  async fetch(bir) {
    const naf = nafOf()
    checkNaf(naf, bir)
    return answerBir(naf, bir, await bootstraps.find(bir.btid, now()), now())
  },
})
