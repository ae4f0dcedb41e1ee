import { setTimeout as delay } from 'node:timers/promises'
import { impuOf } from '../../src/lab.ts'
import type { HandUe } from './hand-ue.ts'
import { rawConnect } from './raw-client.ts'

/** Requests on kept connections, one at a time on each, until they are told to stop. */
export interface KeptLoad {
  /** How often each outcome came: a status, or why there was none. */
  readonly outcomes: ReadonlyMap<string, number>
  /** All outcomes together. */
  readonly count: () => number
  readonly stop: () => Promise<void>
}

export interface LoadOptions {
  /** auth goes down the express lane, auth-int the general road; a connection for each. */
  readonly qops: readonly ('auth' | 'auth-int')[]
  /** After so many requests a connection is replaced by a new one, with a handshake of its own. */
  readonly perConnection: number
  readonly target?: string
}

export function keptLoad(ue: HandUe, options: LoadOptions): KeptLoad {
  const { qops, perConnection, target = `/resource-lists/users/${impuOf('alice')}/index` } = options
  const outcomes = new Map<string, number>()
  const met = (outcome: string) => outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
  let isStopping = false

  async function connectionOf(qop: 'auth' | 'auth-int'): Promise<void> {
    const nonce = await ue.freshNonce()
    const connection = await rawConnect(ue.at)
    try {
      for (let nc = 1; nc <= perConnection && !isStopping; nc++) {
        const method = nc % 4 === 0 ? 'PUT' : 'GET'
        const body = method === 'PUT' ? { body: `<n>${nc}</n>` } : {}
        connection.write(await ue.signed(method, target, { qop, nonce, nc, ...body }))
        const { status } = await connection.answer(method)
        met(String(status))
      }
    } finally {
      connection.close()
    }
  }

  const running = qops.map(async (qop) => {
    while (!isStopping) {
      await connectionOf(qop).catch((error: unknown) => {
        met(error instanceof Error ? error.message : String(error))
        return delay(10)
      })
    }
  })
  return {
    outcomes,
    count: () => [...outcomes.values()].reduce((sum, each) => sum + each, 0),
    async stop() {
      isStopping = true
      await Promise.all(running)
    },
  }
}
