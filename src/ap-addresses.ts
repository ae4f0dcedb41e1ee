import type { AppServer } from './passage.ts'
import { AppServerAddresses, type AppServerState, type BreakerChange } from './ut/addresses.ts'
import { checkHealth, type HealthChange } from './ut/health.ts'

/**
 * What one process knows of the addresses of its application servers. A server is the object that describes it: who sends
 * to the same one, on whatever listener and lane, shares what is known; one that a change of the configuration leaves as
 * it was stays the same object, and so keeps its breakers and its weights.
 */
export interface KnownAddresses {
  /** Begun without a fault where nobody has asked before. */
  of(server: AppServer): AppServerAddresses
  /** While one holds it, its health is asked after. @returns lets it go; the second time it means nothing */
  hold(server: AppServer): () => void
  /** Of every address of the servers that are held; where a server has been replaced by another of its name, of that. */
  states(now?: number): readonly AppServerState[]
  /** Asks after nobody's health any more. */
  close(): void
}

interface Holding {
  holders: number
  readonly health: { close(): void }
}

/**
 * @param onChange   told when a server says something else of its health than before
 * @param onBreaker  told when an address begins to be left alone, and when it is trusted again
 */
export function knownAddresses(
  onChange: (change: HealthChange) => void,
  onBreaker: (change: BreakerChange) => void = () => {},
): KnownAddresses {
  const known = new WeakMap<AppServer, AppServerAddresses>()
  /** In the order in which they came. */
  const held = new Map<AppServer, Holding>()

  function of(server: AppServer): AppServerAddresses {
    const addresses = known.get(server) ?? new AppServerAddresses(server, onBreaker)
    known.set(server, addresses)
    return addresses
  }

  return {
    of,
    hold(server) {
      const holding = held.get(server) ?? { holders: 0, health: checkHealth(server, of(server), onChange) }
      holding.holders++
      held.set(server, holding)
      let isHeld = true
      return () => {
        if (!isHeld) return
        isHeld = false
        if (--holding.holders > 0) return
        held.delete(server)
        holding.health.close()
      }
    },
    states(now = performance.now()) {
      const latest = new Map([...held.keys()].map((server) => [server.name, of(server)]))
      return [...latest.values()].flatMap((addresses) => addresses.states(now))
    },
    close() {
      for (const { health } of held.values()) health.close()
    },
  }
}
