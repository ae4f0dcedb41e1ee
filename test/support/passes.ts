import { AssertionError } from 'node:assert'
import { setTimeout as delay } from 'node:timers/promises'

/** Asks again until what is asserted holds. @throws AssertionError of the last try, after ten seconds */
export async function passes(check: () => Promise<void> | void): Promise<void> {
  for (const since = performance.now(); ; await delay(20)) {
    try {
      return await check()
    } catch (error) {
      if (!(error instanceof AssertionError) || performance.now() - since > PATIENCE_MS) throw error
    }
  }
}

const PATIENCE_MS = 10_000
